// Late policy `update`: closed windows stay in pages until they are final; a late event is applied to its window, and the rows that it
// changed are put out again. Owns what happens to late rows of a chunk and to windows behind the watermark; the kernels are correct.ts's.
import {
  RESULT_FAILED_AT,
  RESULT_LATE_AT,
  ROW_WINDOW_AT,
  WINDOW_APPLIED_AT,
  WINDOW_CLOSED_AT,
  WINDOW_START_AT,
  WORK_RESULT_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { CORRECTED_ROWS_MAX, CORRECTIONS_EVERY_US } from "../limits.ts";
import type { ViewPlan } from "../view/plan.ts";
import {
  changedImages,
  changeOutputs,
  changesOf,
  closedImages,
  markOut,
  type ChangedRows,
} from "./changes.ts";
import { ClosedWindows, type PartialWindow } from "./closed-windows.ts";
import type { CompiledView } from "./compile.ts";
import type { RecordFacts, Upper } from "./fold.ts";
import type { Grid } from "./grid.ts";
import type { RowLayout } from "./layout.ts";
import { correctAbove } from "./rollup-lift.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import type { Spill } from "./spill.ts";

/** What became of the late rows of a chunk. */
export interface Corrected {
  /** Rows that stay in the list of late ones: their windows are final. */
  readonly beyond: number;
  readonly failed: number;
  /** Rows that are in closed windows now without a failure. */
  readonly applied: number;
}

/** What a record closed. */
export interface Closed {
  readonly outputs: readonly ViewOutput[];
  /** Events in windows that closed, without those that came late. */
  readonly applied: number;
  /** Starts of the windows that closed. */
  readonly starts: readonly bigint[];
}

/** The closed windows of one view that are not final. */
export class LateUpdate {
  readonly #memory: FoldMemory;
  readonly #plan: ViewPlan;
  readonly #layout: RowLayout;
  readonly #revision: number;
  readonly #root: number;
  /** Null: a rollup, which has no events of its own. */
  readonly #grid: Grid | null;
  readonly #uppers: readonly Upper[];
  readonly #allowedUs: bigint;
  readonly #closed: ClosedWindows;
  /** Rows of closed windows that changed since they were put out, by their windows, in the order of their first change; how many. */
  readonly #listed = new Map<number, number[]>();
  #listedCount = 0;
  /** received_at of the last record that put corrections out. */
  #correctedAtUs: number;

  /** Continues with the windows below `root`. `correctedAtUs`: as it was saved. */
  constructor(
    memory: FoldMemory,
    view: {
      readonly plan: ViewPlan;
      readonly layout: RowLayout;
      readonly grid: Grid | null;
      readonly uppers: readonly Upper[];
      readonly spill: Spill;
    },
    state: {
      readonly root: number;
      readonly correctedAtUs?: number;
      readonly closed?: readonly PartialWindow[];
    },
  ) {
    this.#memory = memory;
    this.#plan = view.plan;
    this.#layout = view.layout;
    this.#revision = must(view.layout.revision, "a revision in the rows");
    this.#root = state.root;
    this.#grid = view.grid;
    this.#uppers = view.uppers;
    this.#allowedUs = BigInt(view.plan.late.allowedUs);
    this.#correctedAtUs = state.correctedAtUs ?? 0;
    const windows: number[] = [];
    while (windows.length < this.#windowCount && this.#isClosed(windows.length))
      windows.push(memory.call.windowAt(this.#root, windows.length));
    const closed = {
      spill: view.spill,
      name: view.plan.name,
      view: view.plan.name,
      layout: view.layout,
      root: state.root,
    };
    this.#closed = new ClosedWindows(memory, closed, { windows, partial: state.closed ?? [] });
    const at = memory.take(0);
    const count = memory.call.correctedRows(this.#root, this.#revision, at);
    const rows = memory.u32.subarray(at / 4, at / 4 + count);
    rows.reverse();
    this.#noteListed(at, count);
    for (const window of this.#listed.keys()) this.#closed.hold(window);
  }

  /** Windows in pages that are closed and not final: the oldest ones of the view's list. */
  get kept(): number {
    return this.#closed.count;
  }

  /** Closed windows that are in pages in part. */
  get partial(): readonly PartialWindow[] {
    return this.#closed.partial;
  }

  get correctedAtUs(): number {
    return this.#correctedAtUs;
  }

  /** As Fold has it. */
  get correctionsDueAtUs(): number | null {
    return this.#listedCount === 0 ? null : this.#correctedAtUs + CORRECTIONS_EVERY_US;
  }

  /**
   * Applies the `count` late rows of the chunk at hand that `assignWindows` listed at `lateAt`, after its other rows: a row that is late for
   * a window comes behind all that are not, so each group's events stay in log order.
   */
  apply(
    compiled: CompiledView,
    chunk: { readonly behind: number; readonly row: number },
    { lateAt, count }: { readonly lateAt: number; readonly count: number },
  ): Corrected {
    const { call, data } = this.#memory;
    const { time } = compiled;
    const { sizeUs, offsetUs } = must(this.#grid, "windows of one size");
    const selected = call.assignCorrections(
      this.#root,
      time,
      chunk.behind,
      sizeUs,
      offsetUs,
      this.#allowedUs,
      chunk.row,
      lateAt,
      count,
    );
    const beyond = data.getUint32(WORK_RESULT_AT + RESULT_LATE_AT, true);
    const failed = data.getUint32(WORK_RESULT_AT + RESULT_FAILED_AT, true);
    if (selected > 0) this.correct(compiled, selected);
    return { beyond, failed, applied: selected - failed };
  }

  /** Folds the first `selected` rows of the work area into their windows there, and lists what of closed ones they change. */
  correct(compiled: CompiledView, selected: number): void {
    const { call } = this.#memory;
    const { keys, states } = compiled;
    const isTop = this.#plan.topN !== null;
    if (isTop) this.#reachWhole(selected);
    else this.#closed.reach(keys, selected);
    call.findGroups(keys.address, keys.count, this.#layout.rowBytes, selected);
    for (const { kind, offset, arg, filter } of states)
      call.updateStates(kind, offset, arg, filter, selected);
    const listed = this.#memory.take(selected * 4);
    this.#noteListed(listed, call.markCorrected(this.#root, this.#revision, selected, listed));
    this.#memory.rewind(listed);
    correctAbove(this.#memory, this.#uppers, { compiled, selected });
  }

  /** Brings back all of the closed windows in the work area: late events may change which rows are the first of them. */
  #reachWhole(selected: number): void {
    const at = WORK_WINDOWS_AT / 4;
    const windows = new Set(this.#memory.u32.subarray(at, at + selected));
    for (const window of windows) this.#closed.reachWhole(window);
  }

  /** Before another window is merged into one that may be closed: all of it must be there. */
  reach(window: number): void {
    this.#closed.reachWhole(window);
  }

  /** All rows of a closed window have changed. */
  listAll(window: number): void {
    const { call } = this.#memory;
    const rows = this.#memory.take(0);
    const count = call.listRows(window, this.#layout.rowBytes, rows);
    this.#closed.hold(window);
    this.#noteListed(rows, call.listCorrected(this.#root, this.#revision, rows, count));
  }

  /** Takes note of `count` rows that are listed as corrected from now on, so that nobody has to follow the list. */
  #noteListed(at: number, count: number): void {
    const words = this.#memory.words();
    for (const row of this.#memory.u32.subarray(at / 4, at / 4 + count)) {
      const window = must(words[(row + ROW_WINDOW_AT) / 4], "window");
      const rows = this.#listed.get(window);
      if (rows === undefined) this.#listed.set(window, [row]);
      else rows.push(row);
    }
    this.#listedCount += count;
  }

  /**
   * After a record: windows that the watermark has reached are put out and kept, corrected rows are put out again, final windows are freed.
   * Corrections wait until a record is received CORRECTIONS_EVERY_US after the last one that put some out, CORRECTED_ROWS_MAX rows wait, or a
   * window becomes final: a function of the log, and every row is out before its window goes.
   */
  close(record: RecordFacts, watermarkUs: bigint): Closed {
    const { call } = this.#memory;
    const closed = this.#publish(call.windowsEndedBy(this.#root, watermarkUs), record.position);
    const finalUs = watermarkUs - this.#allowedUs;
    const isFinal = this.#closed.oldestEndUs <= finalUs;
    const isDue =
      this.#listedCount >= CORRECTED_ROWS_MAX ||
      record.receivedAtUs >= this.#correctedAtUs + CORRECTIONS_EVERY_US;
    const corrections = isFinal || isDue ? this.#corrections(record) : [];
    if (isFinal) {
      const final = call.windowsEndedBy(this.#root, finalUs);
      if (final > 0) call.closeWindows(this.#root, final);
      this.#closed.finish(finalUs);
    }
    return { ...closed, outputs: [...closed.outputs, ...corrections] };
  }

  /** Rows that changed since they were put out, as they are now, and those that would go away. */
  corrected(): ChangedRows[] {
    const [memory, layout] = [this.#memory, this.#layout];
    return changedImages(memory, layout, changesOf(memory, layout, this.#rows()));
  }

  /** Puts out those of the oldest `ended` windows that were not: the newest of them, and such as late events have made. */
  #publish(ended: number, position: number): Closed {
    const fresh = ended - this.kept;
    if (fresh === 0) return { outputs: [], applied: 0, starts: [] };
    const memory = this.#memory;
    const windows: number[] = [];
    for (let index = ended - 1; windows.length < fresh; index--)
      if (!this.#isClosed(index)) windows.unshift(memory.call.windowAt(this.#root, index));
    const outputs = closedImages(memory, this.#layout, windows).images.map((rows): ViewOutput => ({
      view: this.#plan.name,
      kind: "rows",
      position,
      ...rows,
    }));
    let applied = 0;
    for (const window of windows) {
      applied += Number(memory.pageI64(window + WINDOW_APPLIED_AT));
      memory.call.setClosed(window);
      this.#closed.add(window);
      for (const upper of this.#uppers) upper.merge(window);
    }
    const starts = windows.map((window) => memory.pageI64(window + WINDOW_START_AT));
    return { outputs, applied, starts };
  }

  #corrections({ position, receivedAtUs }: RecordFacts): ViewOutput[] {
    const rows = this.#rows();
    if (rows.length === 0) return [];
    this.#correctedAtUs = receivedAtUs;
    const [memory, layout] = [this.#memory, this.#layout];
    const at = memory.take(rows.length * 4);
    memory.u32.set(rows, at / 4);
    memory.call.takeCorrected(this.#root, this.#revision, at, rows.length);
    memory.rewind(at);
    this.#listed.clear();
    this.#listedCount = 0;
    const changes = changesOf(memory, layout, rows);
    const images = changedImages(memory, layout, changes);
    markOut(memory, layout, changes);
    this.#closed.release();
    return changeOutputs(images, this.#plan.name, position);
  }

  /** Addresses of the corrected rows: windows by their start, rows in the order in which they were first corrected. */
  #rows(): number[] {
    const windows = [...this.#listed].map(([window, rows]) => {
      return { rows, startUs: this.#memory.pageI64(window + WINDOW_START_AT) };
    });
    return windows.toSorted((a, b) => (a.startUs < b.startUs ? -1 : 1)).flatMap(({ rows }) => rows);
  }

  /** Gives back what is outside of pages. */
  free(): void {
    this.#closed.free();
  }

  get #windowCount(): number {
    return this.#memory.call.windowsEndedBy(this.#root, 2n ** 63n - 1n);
  }

  #isClosed(index: number): boolean {
    const window = this.#memory.call.windowAt(this.#root, index);
    return this.#memory.pageU32(window + WINDOW_CLOSED_AT) === 1;
  }
}
