// One view of tumbling or hopping windows: its plan compiled for batches of each shape, its watermark and counts; windows lie in a WindowSet or in Panes. Folds a batch that lies in the fold
// memory; knows nothing of records beyond position and received_at, nothing of checkpoints.
import {
  CHUNK_ROWS,
  RESULT_APPLIED_AT,
  RESULT_CORRECTED_AT,
  RESULT_COUNTED_AT,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  RESULT_LATE_AT,
  RESULT_STOP_AT,
  WORK_RESULT_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import type { ChangedRows } from "./changes.ts";
import type { CompiledView, StreamShape } from "./compile.ts";
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
import { Grid } from "./grid.ts";
import { lateImage } from "./late.ts";
import { rowLayout, type RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { Panes } from "./panes.ts";
import type { SharedPrograms } from "./shared-program.ts";
import { ViewProgram } from "./view-program.ts";
import { WindowSet } from "./window-set.ts";

export class ViewFold implements Fold, Lower {
  readonly plan: ViewPlan;
  readonly counts: ViewCounts;
  readonly #memory: FoldMemory;
  readonly #shape: StreamShape;
  readonly #layout: RowLayout;
  readonly #grid: Grid;
  readonly #windows: WindowSet | Panes;
  readonly #program: ViewProgram;
  #watermarkUs: bigint | null;
  #position: number;

  /** Continues from `state`. */
  constructor(place: FoldPlace, view: FoldView, state: ViewState) {
    const { memory } = place;
    this.plan = view.plan;
    this.#memory = memory;
    this.#shape = view.shape;
    this.#layout = rowLayout(view.plan);
    this.#program = new ViewProgram(place, { ...view, layout: this.#layout });
    const { window } = view.plan;
    assert(window?.kind === "tumble" || window?.kind === "hop", "windows of one size");
    this.#grid = new Grid(window);
    const parts = { plan: view.plan, layout: this.#layout, grid: this.#grid };
    this.#windows =
      window.kind === "tumble"
        ? new WindowSet(place, parts, state)
        : new Panes(place, parts, { ...state, closedUs: state.watermarkUs });
    this.#position = state.position;
    this.#watermarkUs = state.watermarkUs;
    this.counts = { ...state.counts };
  }

  get position(): number {
    return this.#position;
  }

  get behindColumn(): number {
    return this.#shape.behind;
  }

  get state(): ViewState {
    return {
      ...this.#windows.state,
      position: this.#position,
      watermarkUs: this.#watermarkUs,
      counts: this.counts,
    };
  }

  get watermarkUs(): bigint | null {
    return this.#watermarkUs;
  }

  prepare(batch: Batch, sharing: SharedPrograms | null): readonly number[] | null {
    return this.#program.prepare(batch, sharing);
  }

  forgetPrograms(): void {
    this.#program.forget();
  }

  skip(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  advance(record: RecordFacts): ViewOutput[] {
    assert(record.position > this.#position, `view ${this.plan.name}: record out of order`);
    this.#position = record.position;
    this.#watermarkUs = record.watermarkUs;
    return this.#close(record);
  }

  fold(batch: Batch, record: RecordFacts): ViewOutput[] {
    assert(record.position > this.#position, `view ${this.plan.name}: record out of order`);
    const memory = this.#memory;
    const late = memory.take(batch.rowCount * 4);
    const correctTo = memory.take(CHUNK_ROWS * 4);
    const compiled = this.#program.begin(batch, record.receivedAtUs);
    const outputs: ViewOutput[] = [];
    let lateCount = 0;
    for (let row = 0; row < batch.rowCount; row += CHUNK_ROWS)
      lateCount += this.#chunk(batch, compiled, {
        row,
        record,
        lateTo: late + lateCount * 4,
        correctTo,
        outputs,
      });
    this.counts.accepted += batch.rowCount;
    this.#position = record.position;
    if (lateCount > 0 && this.plan.late.policy !== "drop") {
      const rows = memory.u32.slice(late / 4, late / 4 + lateCount);
      outputs.push(this.#lateOutput(batch, rows, record));
    }
    this.#watermarkUs = record.watermarkUs;
    return [...outputs, ...this.#close(record)];
  }

  /**
   * Folds up to CHUNK_ROWS rows from `row` on; returns how many were late. Before a row that is late for a window which is not final yet and
   * counts for another, the windows that the watermark had passed by then are closed: panes are shared.
   */
  #chunk(
    batch: Batch,
    compiled: CompiledView,
    at: {
      row: number;
      record: RecordFacts;
      lateTo: number;
      correctTo: number;
      outputs: ViewOutput[];
    },
  ): number {
    const rows = Math.min(CHUNK_ROWS, batch.rowCount - at.row);
    const errors = this.#program.runRows(compiled, at.row, rows);
    this.#memory.call.setPlace(at.record.position, at.row);
    let late = 0;
    for (let begin = 0; begin < rows;) {
      const { row, correctTo } = at;
      const part = { begin, rows, firstRow: row, lateTo: at.lateTo + late * 4, correctTo };
      const { stop, lateCount } = this.#part(batch, compiled, part);
      late += lateCount;
      begin = stop;
      if (stop < rows) at.outputs.push(...this.#closeBefore(batch, at.row + stop, at.record));
    }
    const { lateUpdate } = this.#windows;
    if (late > 0 && lateUpdate !== null) {
      const behind = batch.valuesAt(this.#shape.behind) + at.row * 8;
      const list = { lateAt: at.lateTo, count: late };
      const corrected = lateUpdate.apply(compiled, { behind, row: at.row }, list);
      this.counts.failed += corrected.failed;
      this.counts.applied += corrected.applied;
      late = corrected.beyond;
    }
    this.counts.late += late;
    if (errors > 0) this.#program.clearErrors(rows);
    return late;
  }

  /** Folds the rows of a chunk from `begin` on, up to one before which windows must be closed: `stop`. */
  #part(
    batch: Batch,
    compiled: CompiledView,
    part: { begin: number; rows: number; firstRow: number; lateTo: number; correctTo: number },
  ): { stop: number; lateCount: number } {
    const { call, data } = this.#memory;
    const { time, filter, keys, states } = compiled;
    const { begin, rows, firstRow, lateTo, correctTo } = part;
    const { paneUs, slideUs, sizeUs, offsetUs } = this.#grid;
    const { behind } = this.#shape;
    const behindAt = batch.isZero(behind) ? 0 : batch.valuesAt(behind) + firstRow * 8;
    const { root, finalUs, allowedUs } = this.#windows;
    call.setWindows(paneUs, slideUs, sizeUs, offsetUs, allowedUs);
    const selected = call.assignWindows(
      root,
      time,
      behindAt,
      filter,
      finalUs,
      begin,
      rows,
      firstRow,
      lateTo,
      correctTo,
    );
    const result = (offset: number): number => data.getUint32(WORK_RESULT_AT + offset, true);
    const lateCount = result(RESULT_LATE_AT);
    const failed = result(RESULT_FAILED_AT);
    const stop = result(RESULT_STOP_AT);
    this.counts.filtered += result(RESULT_FILTERED_AT);
    this.counts.failed += failed;
    const applied = result(RESULT_APPLIED_AT);
    this.counts.applied += applied;
    this.counts.pending += result(RESULT_COUNTED_AT) - failed - applied;
    const corrected = { list: correctTo, count: result(RESULT_CORRECTED_AT) };
    if (corrected.count > 0 && this.#windows instanceof Panes) this.#windows.reach(keys, selected);
    if (selected > 0) {
      this.#findGroups(keys, firstRow, selected);
      for (const { kind, offset, arg, filter: condition } of states)
        call.updateStates(kind, offset, arg, condition, selected);
    }
    if (corrected.count > 0 && this.#windows instanceof Panes)
      this.#windows.correct(compiled, behindAt, corrected);
    return { stop, lateCount };
  }

  #findGroups(
    { address, count, numbered }: CompiledView["keys"],
    firstRow: number,
    selected: number,
  ): void {
    const { call } = this.#memory;
    const { rowBytes } = this.#layout;
    if (numbered === null) call.findGroups(address, count, rowBytes, selected);
    else {
      const { set, column } = numbered;
      call.findNumbered(address, count, rowBytes, selected, set, column, firstRow);
    }
  }

  /** Closes the windows that the watermark had passed before a row behind it. */
  #closeBefore(batch: Batch, row: number, record: RecordFacts): ViewOutput[] {
    const { timeUs, behindUs } = this.#timesOf(batch, row);
    return this.#windows.close(record, timeUs + behindUs, this.counts);
  }

  #timesOf(batch: Batch, row: number): { readonly timeUs: bigint; readonly behindUs: bigint } {
    const { i64 } = this.#memory;
    const { behind } = this.#shape;
    const eventTime = must(this.#shape.eventTime, "a time that can be behind: not the receipt");
    return {
      timeUs: must(i64[batch.valuesAt(eventTime) / 8 + row], "time"),
      behindUs: must(i64[batch.valuesAt(behind) / 8 + row], "behind"),
    };
  }

  #lateOutput(batch: Batch, rows: Uint32Array, record: RecordFacts): ViewOutput {
    const { allowedUs } = this.#windows;
    const events = Array.from(rows, (row) => {
      const { timeUs, behindUs } = this.#timesOf(batch, row);
      return {
        row,
        timeUs,
        behindUs,
        ...this.#grid.lateRange(timeUs, timeUs + behindUs - allowedUs),
      };
    });
    const image = lateImage(events, record);
    const { position } = record;
    return { view: this.plan.name, kind: "late", position, rowCount: rows.length, image };
  }

  #close(record: RecordFacts): ViewOutput[] {
    const { watermarkUs } = record;
    return watermarkUs === null ? [] : this.#windows.close(record, watermarkUs, this.counts);
  }

  openWindows(): Generator<void, OpenWindow[]> {
    return this.#windows.openWindows();
  }

  corrected(): ChangedRows[] {
    return this.#windows.corrected();
  }

  get correctionsDueAtUs(): number | null {
    return this.#windows.correctionsDueAtUs;
  }

  get lower(): Lower | null {
    return this.#windows instanceof WindowSet ? this : null;
  }

  addUpper(upper: Upper): void {
    this.#set.addUpper(upper);
  }

  removeUpper(upper: Upper): void {
    this.#set.removeUpper(upper);
  }

  unmerged(): number[] {
    return this.#set.open;
  }

  /** The windows, of which rollups can be made. */
  get #set(): WindowSet {
    assert(this.#windows instanceof WindowSet, "rollups of tumbling windows");
    return this.#windows;
  }

  get openPages(): number | null {
    return this.#windows.openPages;
  }

  stats(): ViewStats {
    return this.#windows.stats();
  }

  free(): void {
    this.#windows.free();
  }
}
