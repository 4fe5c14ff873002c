// A rollup: a view whose windows merge those of the view below when they close. What is refused below never comes here; what corrects a
// closed window below is folded into the window here as well. It reads no events.
import {
  WINDOW_APPLIED_AT,
  WINDOW_CLOSED_AT,
  WINDOW_START_AT,
  WINDOW_VERSION_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import type { ViewPlan, WindowPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import { CalendarDays } from "./calendar-day.ts";
import type { ChangedRows } from "./changes.ts";
import type { CompiledView } from "./compile.ts";
import type {
  Fold,
  FoldPlace,
  FoldView,
  Lower,
  OpenWindow,
  RecordFacts,
  Upper,
  ViewCounts,
  ViewState,
  ViewStats,
} from "./fold.ts";
import { Grid, type Range } from "./grid.ts";
import { windowImageSteps } from "./images.ts";
import { rowLayout, type RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { mergeWindow } from "./merge.ts";
import type { ViewOutput } from "./output.ts";
import type { PageMeter } from "./page-meter.ts";
import { WindowSet } from "./window-set.ts";

/** An image of an open window and what it was made of. */
interface Picture {
  readonly made: string;
  readonly open: OpenWindow;
}

export class RollupFold implements Fold, Upper, Lower {
  readonly plan: ViewPlan;
  readonly #below: Lower;
  readonly #memory: FoldMemory;
  readonly #meter: PageMeter;
  readonly #layout: RowLayout;
  readonly #behind: number;
  readonly #windows: WindowSet;
  /** The range of the window that holds a time. */
  readonly #rangeOf: (timeUs: bigint) => Range;
  /** What the view below had counted when this one began; `applied` of it was in windows that this one never saw. */
  readonly #base: Readonly<ViewCounts>;
  #pictures = new Map<bigint, Picture>();
  #pictureCount = 0;
  #watermarkUs: bigint | null;
  #position: number;

  /** Continues from `state`, whose counts are those of the view below when this one began. */
  constructor(place: FoldPlace, view: FoldView & { readonly below: Lower }, state: ViewState) {
    this.plan = view.plan;
    this.#below = view.below;
    this.#memory = place.memory;
    this.#meter = place.meter;
    this.#layout = rowLayout(view.plan);
    this.#behind = view.shape.behind;
    this.#rangeOf = rangesOf(view.plan.window);
    const parts = { plan: view.plan, layout: this.#layout, grid: null };
    this.#windows = new WindowSet(place, parts, state);
    this.#base = state.counts;
    this.#watermarkUs = state.watermarkUs;
    this.#position = state.position;
    view.below.addUpper(this);
  }

  get position(): number {
    return this.#position;
  }

  get behindColumn(): number {
    return this.#behind;
  }

  get state(): ViewState {
    return {
      ...this.#windows.state,
      position: this.#position,
      watermarkUs: this.#watermarkUs,
      counts: this.#base,
    };
  }

  get watermarkUs(): bigint | null {
    return this.#watermarkUs;
  }

  /** Those of the view below, since this one began; what is in open windows of this one is pending here. */
  get counts(): Readonly<ViewCounts> {
    const below = this.#below.counts;
    const base = this.#base;
    let open = 0;
    for (const window of this.#windows.open)
      open += Number(this.#memory.pageI64(window + WINDOW_APPLIED_AT));
    const counts = {
      filtered: below.filtered - base.filtered,
      late: below.late - base.late,
      failed: below.failed - base.failed,
      applied: below.applied - base.applied - open,
      pending: below.pending + open,
    };
    const { filtered, late, failed, applied, pending } = counts;
    return { accepted: filtered + late + failed + applied + pending, ...counts };
  }

  prepare(): readonly number[] {
    return [];
  }

  forgetPrograms(): void {
    // It has none.
  }

  skip(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  fold(_: Batch, record: RecordFacts): ViewOutput[] {
    return this.advance(record);
  }

  /** Closes windows, after the view below has put its closed ones in. */
  advance(record: RecordFacts): ViewOutput[] {
    assert(record.position > this.#position, `view ${this.plan.name}: record out of order`);
    this.#position = record.position;
    this.#watermarkUs = record.watermarkUs;
    // Counts follow from those below and from what is open.
    const counts = { accepted: 0, filtered: 0, late: 0, failed: 0, applied: 0, pending: 0 };
    return record.watermarkUs === null
      ? []
      : this.#windows.close(record, record.watermarkUs, counts);
  }

  merge(window: number): void {
    const payer = this.#meter.charge(this.plan.name);
    this.#merge(window);
    this.#meter.charge(payer);
  }

  #merge(window: number): void {
    const memory = this.#memory;
    const to = this.#windowOf(window);
    const { lateUpdate } = this.#windows;
    lateUpdate?.reach(to);
    mergeWindow(memory, this.#layout, { from: window, to });
    // A window below that late events alone have made, after this one was put out: all of this one is put out again.
    if (lateUpdate === null || memory.pageU32(to + WINDOW_CLOSED_AT) === 0) return;
    lateUpdate.listAll(to);
    for (const upper of this.#windows.uppers) upper.merge(window);
  }

  correct(compiled: CompiledView, selected: number): void {
    const payer = this.#meter.charge(this.plan.name);
    this.#correct(compiled, selected);
    this.#meter.charge(payer);
  }

  #correct(compiled: CompiledView, selected: number): void {
    const { call, u32 } = this.#memory;
    const above = new Map<number, number>();
    for (let at = WORK_WINDOWS_AT / 4; at < WORK_WINDOWS_AT / 4 + selected; at++) {
      const window = must(u32[at], "window");
      const to = above.get(window) ?? this.#windowOf(window);
      if (!above.has(window)) call.countChange(to);
      above.set(window, to);
      u32[at] = to;
    }
    must(this.#windows.lateUpdate, "late policy update above as below").correct(compiled, selected);
  }

  /** Header of the window that holds a window below, made when it is not there. */
  #windowOf(window: number): number {
    const { startUs, endUs } = this.#rangeOf(this.#memory.pageI64(window + WINDOW_START_AT));
    return this.#memory.call.reachWindow(this.#windows.root, startUs, startUs, endUs);
  }

  get lower(): Lower {
    return this;
  }

  addUpper(upper: Upper): void {
    this.#windows.addUpper(upper);
  }

  removeUpper(upper: Upper): void {
    this.#windows.removeUpper(upper);
  }

  unmerged(): number[] {
    return [...this.#windows.open, ...this.#below.unmerged()];
  }

  /** Open windows with what is in open windows below. */
  *openWindows(): Generator<void, OpenWindow[]> {
    const before = this.#pictures;
    this.#pictures = new Map();
    const parts = new Map<bigint, number[]>();
    for (const window of this.unmerged()) {
      const { startUs } = this.#rangeOf(this.#memory.pageI64(window + WINDOW_START_AT));
      const list = parts.get(startUs);
      if (list === undefined) parts.set(startUs, [window]);
      else list.push(window);
    }
    const starts = [...parts.keys()].toSorted((a, b) => (a < b ? -1 : 1));
    const all: OpenWindow[] = [];
    for (const startUs of starts) {
      const windows = must(parts.get(startUs), "parts");
      const made = windows.map((window) => this.#versionOf(window)).join(" ");
      const known = before.get(startUs);
      const open = known?.made === made ? known.open : yield* this.#picture(startUs, windows);
      this.#pictures.set(startUs, { made, open });
      all.push(open);
    }
    return all;
  }

  #versionOf(window: number): string {
    const startUs = this.#memory.pageI64(window + WINDOW_START_AT);
    return `${window} ${startUs} ${this.#memory.pageU32(window + WINDOW_VERSION_AT)}`;
  }

  *#picture(startUs: bigint, windows: readonly number[]): Generator<void, OpenWindow> {
    const memory = this.#memory;
    const { endUs } = this.#rangeOf(startUs);
    const to = memory.call.createWindow(startUs, endUs);
    for (const from of windows) {
      mergeWindow(memory, this.#layout, { from, to });
      yield;
    }
    const images = yield* windowImageSteps(memory, this.#layout, [to]);
    memory.call.freeWindow(to);
    this.#pictureCount++;
    return { startUs, version: this.#pictureCount, images };
  }

  corrected(): ChangedRows[] {
    return this.#windows.corrected();
  }

  get correctionsDueAtUs(): number | null {
    return this.#windows.correctionsDueAtUs;
  }

  get openPages(): number | null {
    return this.#windows.openPages;
  }

  stats(): ViewStats {
    return this.#windows.stats();
  }

  free(): void {
    this.#below.removeUpper(this);
    this.#windows.free();
  }
}

/** Ranges of a rollup's windows. Throws for kinds of windows that a rollup cannot have. */
export function rangesOf(window: WindowPlan | null): (timeUs: bigint) => Range {
  if (window?.kind === "calendar_day") {
    const days = new CalendarDays(window.timeZone);
    return (timeUs) => days.dayOf(timeUs);
  }
  assert(window?.kind === "tumble", "a rollup has tumbling windows or calendar days");
  const grid = new Grid(window);
  return (timeUs) => {
    const startUs = grid.lastStart(timeUs);
    return { startUs, endUs: startUs + grid.sizeUs };
  };
}
