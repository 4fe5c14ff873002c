// The windows of one view in pages: which are open, what they hold, closing them in the order of their ends. Knows nothing of how
// events or merged rows came into them.
import {
  ROOT_WINDOWS_AT,
  WINDOW_APPLIED_AT,
  WINDOW_PAGES_AT,
  WINDOW_START_AT,
  WINDOW_VERSION_AT,
} from "../../kernels/abi.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { ChangedRows } from "./changes.ts";
import type {
  FoldPlace,
  OpenWindow,
  RecordFacts,
  Upper,
  ViewCounts,
  ViewState,
  ViewStats,
} from "./fold.ts";
import type { Grid } from "./grid.ts";
import { windowImages, windowImageSteps } from "./images.ts";
import { LateUpdate, type Closed } from "./late-update.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { openStats } from "./stats.ts";

export class WindowSet {
  /** Address of the view's root page. */
  readonly root: number;
  /** No row is late for a part of its windows only, so nothing has to be closed within a record. */
  readonly finalUs = -(2n ** 63n);
  /** `lateUpdate` takes all late rows. */
  readonly allowedUs = 0n;
  readonly #memory: FoldMemory;
  readonly #plan: ViewPlan;
  readonly #layout: RowLayout;
  /** Null unless late events correct closed windows. */
  readonly lateUpdate: LateUpdate | null;
  /** The rollups of the view. */
  readonly uppers: Upper[] = [];
  readonly #open = new Map<bigint, OpenWindow>();

  constructor(
    { memory, spill }: Pick<FoldPlace, "memory" | "spill">,
    view: { readonly plan: ViewPlan; readonly layout: RowLayout; readonly grid: Grid | null },
    state: Pick<ViewState, "root" | "correctedAtUs" | "closed">,
  ) {
    this.#memory = memory;
    this.#plan = view.plan;
    this.#layout = view.layout;
    this.root = state.root;
    this.lateUpdate =
      view.layout.revision === null
        ? null
        : new LateUpdate(memory, { ...view, uppers: this.uppers, spill }, state);
  }

  /**
   * Puts out the windows that end at or before the watermark, and frees those that no late event may change; their events move from pending
   * to applied.
   */
  close(record: RecordFacts, watermarkUs: bigint, counts: ViewCounts): ViewOutput[] {
    const closed =
      this.lateUpdate === null
        ? this.#putOut(record.position, watermarkUs)
        : this.lateUpdate.close(record, watermarkUs);
    counts.applied += closed.applied;
    counts.pending -= closed.applied;
    for (const start of closed.starts) this.#open.delete(start);
    return [...closed.outputs];
  }

  #putOut(position: number, watermarkUs: bigint): Closed {
    const { call } = this.#memory;
    const count = call.closableWindows(this.root, watermarkUs);
    if (count === 0) return { outputs: [], applied: 0, starts: [] };
    const windows = Array.from({ length: count }, (_, index) => call.windowAt(this.root, index));
    const images = windowImages(this.#memory, this.#layout, windows);
    const starts = windows.map((window) => this.#memory.pageI64(window + WINDOW_START_AT));
    let applied = 0;
    for (const window of windows)
      applied += Number(this.#memory.pageI64(window + WINDOW_APPLIED_AT));
    for (const upper of this.uppers) for (const window of windows) upper.merge(window);
    call.closeWindows(this.root, count);
    const view = this.#plan.name;
    const outputs = images.map((rows): ViewOutput => ({ view, kind: "rows", position, ...rows }));
    return { outputs, applied, starts };
  }

  /** Headers of the windows from number `from` on, the oldest first. */
  #windows(from: number): number[] {
    const { call } = this.#memory;
    const windows: number[] = [];
    const count = this.#memory.pageU32(this.root + ROOT_WINDOWS_AT);
    for (let index = from; index < count; index++) windows.push(call.windowAt(this.root, index));
    return windows;
  }

  /** As Fold has it. */
  *openWindows(): Generator<void, OpenWindow[]> {
    const memory = this.#memory;
    const all: OpenWindow[] = [];
    for (const window of this.open) {
      const startUs = memory.pageI64(window + WINDOW_START_AT);
      const version = memory.pageU32(window + WINDOW_VERSION_AT);
      const known = this.#open.get(startUs);
      if (known?.version === version) {
        all.push(known);
        continue;
      }
      const images = yield* windowImageSteps(memory, this.#layout, [window]);
      const open = { startUs, version, images };
      this.#open.set(startUs, open);
      all.push(open);
    }
    return all;
  }

  addUpper(upper: Upper): void {
    this.uppers.push(upper);
  }

  removeUpper(upper: Upper): void {
    this.uppers.splice(this.uppers.indexOf(upper), 1);
  }

  /** What of the state a checkpoint keeps outside of pages. */
  get state(): Pick<ViewState, "root" | "correctedAtUs" | "waits" | "closed"> {
    const { root, lateUpdate } = this;
    if (lateUpdate === null) return { root };
    const waits = this.correctionsDueAtUs === null ? {} : ({ waits: true } as const);
    return { root, correctedAtUs: lateUpdate.correctedAtUs, ...waits, closed: lateUpdate.partial };
  }

  /** As Fold has it. */
  get correctionsDueAtUs(): number | null {
    return this.lateUpdate?.correctionsDueAtUs ?? null;
  }

  /** Pages of the open windows; null: there are no others. */
  get openPages(): number | null {
    if (this.lateUpdate === null) return null;
    return this.open.reduce(
      (sum, window) => sum + this.#memory.pageU32(window + WINDOW_PAGES_AT),
      0,
    );
  }

  /** Headers of the windows that are not closed. */
  get open(): number[] {
    return this.#windows(this.lateUpdate?.kept ?? 0);
  }

  /** Rows of closed windows that late events changed since they were put out last. */
  corrected(): ChangedRows[] {
    return this.lateUpdate?.corrected() ?? [];
  }

  stats(): ViewStats {
    return openStats(this.#memory, [this.root]);
  }

  /** Gives back all memory. */
  free(): void {
    this.#memory.call.freeRoot(this.root);
    this.lateUpdate?.free();
    this.#open.clear();
  }
}
