// The windows of a hop: closing them in the order of their ends, putting those out again that late events correct (late policy `update`),
// pictures of those that are open. How windows are put together is pane-tree.ts's, what late events mark is pane-marks.ts's.
import {
  WINDOW_APPLIED_AT,
  WINDOW_GROUPS_AT,
  WINDOW_PAGES_AT,
  WINDOW_VERSION_AT,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { CORRECTIONS_EVERY_US, OUTPUT_ROWS_MAX } from "../limits.ts";
import type { ViewPlan } from "../view/plan.ts";
import {
  changedImages,
  changeOutputs,
  changesOf,
  closedImages,
  markOut,
  type ChangedRows,
  type Changes,
} from "./changes.ts";
import { ClosedWindows } from "./closed-windows.ts";
import type { CompiledView } from "./compile.ts";
import type {
  FoldPlace,
  OpenWindow,
  RecordFacts,
  ViewCounts,
  ViewState,
  ViewStats,
} from "./fold.ts";
import type { Grid, Range } from "./grid.ts";
import { windowImages, windowImageSteps, type RowsImage } from "./images.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { PaneMarks } from "./pane-marks.ts";
import { atLeast, FIRST_US, LAST_US, PaneTree } from "./pane-tree.ts";
import { openStats } from "./stats.ts";

/** A window that was put together, and those of its rows that late events corrected. */
interface Made {
  readonly range: Range;
  readonly window: number;
  readonly corrected: readonly number[];
}

/** Corrected windows that are put together at a time. Not a number of their groups, which depends on how much of them lies in pages. */
const CORRECTED_TOGETHER = 16;

export class Panes {
  /** Late events go into panes, in their place among the others. */
  readonly lateUpdate = null;
  readonly #memory: FoldMemory;
  readonly #plan: ViewPlan;
  readonly #layout: RowLayout;
  readonly #grid: Grid;
  readonly #tree: PaneTree;
  /** Null unless late events correct closed windows. */
  readonly #marks: PaneMarks | null;
  /** Panes whose windows are all closed, which may leave memory; null unless late events correct them. */
  readonly #closed: ClosedWindows | null;
  /** µs behind a window's end within which late events correct it. */
  readonly allowedUs: bigint;
  /** Windows that end at or before it are closed, µs. */
  #closedUs: bigint;
  /** received_at of the last record that put corrections out. */
  #correctedAtUs: number;
  #open = new Map<bigint, OpenWindow>();

  constructor(
    { memory, spill }: Pick<FoldPlace, "memory" | "spill">,
    view: { readonly plan: ViewPlan; readonly layout: RowLayout; readonly grid: Grid },
    state: Pick<ViewState, "root" | "correctedAtUs" | "closed" | "closedMarks"> & {
      readonly closedUs: bigint | null;
    },
  ) {
    this.#memory = memory;
    this.#plan = view.plan;
    this.#layout = view.layout;
    this.#grid = view.grid;
    this.#tree = new PaneTree(memory, view, state.root);
    this.#closedUs = state.closedUs ?? FIRST_US;
    this.#correctedAtUs = state.correctedAtUs ?? 0;
    const isKept = view.layout.revision !== null;
    this.allowedUs = isKept ? BigInt(view.plan.late.allowedUs) : 0n;
    const { name } = view.plan;
    const { layout } = view;
    const root = memory.call.nodesOf(must(this.#tree.lists.at(-1), "list"));
    const marks = { root, partial: state.closedMarks ?? [] };
    this.#marks = isKept ? new PaneMarks(memory, { name, layout, spill }, marks) : null;
    const isClosed = (startUs: bigint): boolean => startUs < this.#openFrom(this.#closedUs);
    const panes = { spill, name, view: name, layout, root: state.root, isClosed };
    const windows = this.#tree.panes(FIRST_US, this.#openFrom(this.#closedUs));
    const partial = state.closed ?? [];
    this.#closed = isKept ? new ClosedWindows(memory, panes, { windows, partial }) : null;
  }

  get root(): number {
    return this.#tree.root;
  }

  /** Windows that end at or before it are final: no event comes into them any more, µs. */
  get finalUs(): bigint {
    return atLeast(this.#closedUs - this.allowedUs);
  }

  /** What of the state a checkpoint keeps outside of pages. */
  get state(): Pick<ViewState, "root" | "correctedAtUs" | "waits" | "closed" | "closedMarks"> {
    const { root } = this;
    if (this.#marks === null) return { root };
    const waits = this.correctionsDueAtUs === null ? {} : ({ waits: true } as const);
    const partial = {
      closed: this.#closed?.partial ?? [],
      closedMarks: this.#marks.closed.partial,
    };
    return { root, correctedAtUs: this.#correctedAtUs, ...waits, ...partial };
  }

  /** Pages of the panes that have an open window, and of what lies over them; null: there are no others. */
  get openPages(): number | null {
    if (this.#closed === null) return null;
    return this.#tree
      .openFrom(this.#openFrom(this.#closedUs))
      .reduce((sum, window) => sum + this.#memory.pageU32(window + WINDOW_PAGES_AT), 0);
  }

  /** As Fold has it. */
  get correctionsDueAtUs(): number | null {
    if (this.#marks === null || this.#marks.stale().length === 0) return null;
    return this.#correctedAtUs + CORRECTIONS_EVERY_US;
  }

  /** Before the selected rows of a chunk are folded into their panes: brings back what they need of those that left. */
  reach(keys: CompiledView["keys"], selected: number): void {
    this.#closed?.reach(keys, selected);
  }

  /** Marks the windows that rows of a chunk correct: `count` rows, listed at `list`. */
  correct(
    compiled: CompiledView,
    behind: number,
    rows: { readonly list: number; readonly count: number },
  ): void {
    this.#marks?.mark(compiled, behind, rows);
  }

  /**
   * Puts out the windows that end at or before the watermark, puts corrected ones out again when it is time, and frees the panes whose
   * windows are all final.
   */
  close(record: RecordFacts, watermarkUs: bigint, counts: ViewCounts): ViewOutput[] {
    const { position } = record;
    const view = this.#plan.name;
    const outputs: ViewOutput[] = [];
    if (watermarkUs > this.#closedUs) {
      this.#tree.dropStaleNodes();
      const closing = this.#tree.filled(this.#closedUs, watermarkUs);
      for (const image of this.#inParts(closing, isLarge, (made) => this.#putOut(made)))
        outputs.push({ view, kind: "rows", position, ...image });
      this.#countApplied(watermarkUs, counts);
      this.#closedUs = watermarkUs;
    }
    outputs.push(...changeOutputs(this.#corrections(record), view, position));
    this.#drop();
    return outputs;
  }

  /** Puts windows together, until `isEnough`, and gives what `work` makes of them. */
  #inParts<T>(
    ranges: Iterable<Range>,
    isEnough: (windows: number, groups: number) => boolean,
    work: (made: readonly Made[]) => readonly T[],
  ): T[] {
    const done: T[] = [];
    let made: Made[] = [];
    let groups = 0;
    const finish = (): void => {
      done.push(...work(made));
      for (const { window } of made) this.#memory.call.freeWindow(window);
      made = [];
      groups = 0;
    };
    for (const range of ranges) {
      const window = this.#tree.closing(range);
      made.push({ range, window, corrected: this.#marks?.write(range.startUs, window) ?? [] });
      groups += Number(this.#memory.pageI64(window + WINDOW_GROUPS_AT));
      if (isEnough(made.length, groups)) finish();
    }
    if (made.length > 0) finish();
    return done;
  }

  /** The rows of windows that close. */
  #putOut(made: readonly Made[]): readonly RowsImage[] {
    const [memory, layout, marks] = [this.#memory, this.#layout, this.#marks];
    const windows = made.map(({ window }) => window);
    if (marks === null) return windowImages(memory, layout, windows);
    const { images, out } = closedImages(memory, layout, windows);
    marks.keep(out);
    for (const { range } of made) marks.settle(range.startUs);
    return images;
  }

  /**
   * What late events changed, when a record is received CORRECTIONS_EVERY_US after the last one that put corrections out, or a window becomes
   * final: a function of the log, and every row is out before its window is final.
   */
  #corrections({ receivedAtUs }: RecordFacts): ChangedRows[] {
    const stale = this.#marks?.stale() ?? [];
    const [first] = stale;
    if (first === undefined) return [];
    const isDue = receivedAtUs >= this.#correctedAtUs + CORRECTIONS_EVERY_US;
    if (!isDue && first.endUs > this.finalUs) return [];
    this.#correctedAtUs = receivedAtUs;
    return this.#changes(stale, (made, changes) => {
      markOut(this.#memory, this.#layout, changes);
      if (this.#layout.shown !== null) this.#marks?.keep([...changes.upserts, ...changes.deletes]);
      for (const { range } of made) this.#marks?.settle(range.startUs);
    });
  }

  /** What late events changed in windows; `note` gets it while they are put together. */
  #changes(
    stale: readonly Range[],
    note: (made: readonly Made[], changes: Changes) => void,
  ): ChangedRows[] {
    const [memory, layout] = [this.#memory, this.#layout];
    this.#tree.dropStaleNodes();
    const together = (windows: number): boolean => windows === CORRECTED_TOGETHER;
    const changed = this.#inParts(this.#reached(stale), together, (made) => {
      const corrected = made.flatMap((window) => window.corrected);
      const changes = changesOf(memory, layout, corrected);
      const images = changedImages(memory, layout, changes);
      note(made, changes);
      return images;
    });
    // nodes over panes of which not all came back
    this.#tree.dropNodes(this.#openFrom(this.#closedUs));
    this.#closed?.letGo(LAST_US);
    return changed;
  }

  /**
   * Windows that late events changed, in order. Of their panes there is what their corrected keys need, of all keys that any of the windows
   * over a pane asks for, since these share nodes; panes behind a window are let go.
   */
  *#reached(stale: readonly Range[]): Generator<Range> {
    const [closed, marks] = [this.#closed, this.#marks];
    const [first, last] = [stale[0], stale.at(-1)];
    if (closed === null || marks === null || first === undefined || last === undefined) return;
    const isTop = this.#plan.topN !== null;
    if (isTop) for (const { startUs } of stale) marks.reachWhole(startUs);
    const left = closed.incomplete(first.startUs, last.endUs);
    const tags =
      isTop || left.length === 0 ? null : stale.map(({ startUs }) => marks.tags(startUs));
    let next = 0;
    for (const [index, range] of stale.entries()) {
      closed.letGo(range.startUs);
      for (
        let pane = left[next];
        pane !== undefined && pane.startUs < range.endUs;
        pane = left[++next]
      ) {
        for (let over = index; ; over++) {
          const startUs = stale[over]?.startUs;
          if (startUs === undefined || startUs > pane.startUs) break;
          closed.read(pane.startUs, tags?.[over] ?? null);
        }
      }
      yield range;
    }
  }

  /** The last windows of panes close: their events move from pending to applied. */
  #countApplied(watermarkUs: bigint, counts: ViewCounts): void {
    const [fromUs, toUs] = [this.#openFrom(this.#closedUs), this.#openFrom(watermarkUs)];
    for (const pane of this.#tree.panes(fromUs, toUs)) {
      const applied = Number(this.#memory.pageI64(pane + WINDOW_APPLIED_AT));
      counts.applied += applied;
      counts.pending -= applied;
      this.#closed?.add(pane);
    }
  }

  /** Start of the first window that ends after a time. */
  #openFrom(timeUs: bigint): bigint {
    const { sizeUs, slideUs } = this.#grid;
    return atLeast(this.#grid.lastStart(timeUs - sizeUs) + slideUs);
  }

  /** Frees the panes whose windows are all final, and what lies over panes whose windows are all closed. */
  #drop(): void {
    const neededUs = this.#openFrom(this.finalUs);
    const closed = this.#closed;
    const isOnDisk = closed !== null && closed.oldestEndUs <= neededUs;
    if (isOnDisk) closed.finish(neededUs);
    if (isOnDisk || this.#memory.call.windowsBefore(this.root, neededUs) > 0) {
      this.#tree.drop(neededUs);
      this.#marks?.drop(neededUs, this.finalUs);
    }
    if (this.#marks === null || closed === null) return;
    this.#tree.dropNodes(this.#openFrom(this.#closedUs));
    if (this.#marks.stale().length > 0) return;
    closed.release();
    this.#marks.closed.release();
  }

  /** The windows that are open and have an event, as images; those that did not change since the last call are the same objects. */
  *openWindows(): Generator<void, OpenWindow[]> {
    const memory = this.#memory;
    this.#tree.dropStaleNodes();
    const before = this.#open;
    this.#open = new Map();
    const versions = this.#versions();
    for (const range of this.#tree.filled(this.#closedUs, LAST_US)) {
      const { startUs, endUs } = range;
      const from = memory.call.windowsBefore(this.root, atLeast(startUs));
      const to = memory.call.windowsBefore(this.root, endUs);
      const version = must(versions[to], "version") - must(versions[from], "version");
      const known = before.get(startUs);
      if (known?.version === version) {
        this.#open.set(startUs, known);
        continue;
      }
      const window = this.#tree.assemble(range, this.#closedUs);
      yield;
      const images = yield* windowImageSteps(memory, this.#layout, [window]);
      memory.call.freeWindow(window);
      this.#open.set(startUs, { startUs, version, images });
    }
    return [...this.#open.values()];
  }

  /** Sums of the versions of the first 0, 1, 2 ... panes: those of a window grow with every change of one of its panes. */
  #versions(): number[] {
    const sums = [0];
    for (let index = 0; index < this.#tree.count; index++) {
      const pane = this.#memory.call.windowAt(this.root, index);
      sums.push(must(sums[index], "sum") + this.#memory.pageU32(pane + WINDOW_VERSION_AT));
    }
    return sums;
  }

  /** Rows of closed windows that late events changed since they were put out, and those that would go away. */
  corrected(): ChangedRows[] {
    const stale = this.#marks?.stale() ?? [];
    if (stale.length === 0) return [];
    return this.#changes(stale, () => undefined);
  }

  /** Panes, nodes and marks count as windows. */
  stats(): ViewStats {
    const marks = this.#marks === null ? [] : [this.#marks.root];
    return openStats(this.#memory, [...this.#tree.lists, ...marks]);
  }

  /** Gives back all memory. */
  free(): void {
    this.#memory.call.freeRoot(this.root);
    this.#closed?.free();
    this.#open.clear();
  }
}

/** Whether windows have as many groups as are put out at a time. */
function isLarge(_: number, groups: number): boolean {
  return groups >= OUTPUT_ROWS_MAX;
}
