// One view of tumbling windows: its plan compiled for batches of each shape, its watermark and counts; windows lie in a WindowSet. Folds a batch that lies in the fold
// memory; knows nothing of records beyond position and received_at, nothing of checkpoints.
import {
  CHUNK_ROWS,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  RESULT_LATE_AT,
  WORK_RESULT_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { windowSizeUs, type ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import type { CompiledView, StreamShape } from "./compile.ts";
import type {
  Fold,
  FoldPlace,
  FoldView,
  OpenWindow,
  RecordFacts,
  ViewCounts,
  ViewState,
  ViewStats,
} from "./fold.ts";
import type { RowsImage } from "./images.ts";
import { lateImage, windowOf } from "./late.ts";
import { rowLayout, type RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { ViewProgram } from "./view-program.ts";
import { WindowSet } from "./window-set.ts";

export class ViewFold implements Fold {
  readonly plan: ViewPlan;
  readonly counts: ViewCounts;
  readonly #memory: FoldMemory;
  readonly #shape: StreamShape;
  readonly #layout: RowLayout;
  readonly #windows: WindowSet;
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
    this.#windows = new WindowSet(memory, { plan: view.plan, layout: this.#layout }, state);
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
    const { lateUpdate } = this.#windows;
    return {
      root: this.#windows.root,
      position: this.#position,
      watermarkUs: this.#watermarkUs,
      counts: this.counts,
      ...(lateUpdate === null ? {} : { correctedAtUs: lateUpdate.correctedAtUs }),
    };
  }

  get watermarkUs(): bigint | null {
    return this.#watermarkUs;
  }

  prepare(batch: Batch): readonly number[] | null {
    return this.#program.prepare(batch);
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
    const { memory, late } = { memory: this.#memory, late: this.#memory.take(batch.rowCount * 4) };
    const compiled = this.#program.begin(batch, record.receivedAtUs);
    let lateCount = 0;
    for (let row = 0; row < batch.rowCount; row += CHUNK_ROWS)
      lateCount += this.#chunk(batch, compiled, {
        row,
        position: record.position,
        lateTo: late + lateCount * 4,
      });
    this.counts.accepted += batch.rowCount;
    this.#position = record.position;
    const outputs: ViewOutput[] = [];
    if (lateCount > 0 && this.plan.late.policy !== "drop") {
      const rows = memory.u32.slice(late / 4, late / 4 + lateCount);
      outputs.push(this.#lateOutput(batch, rows, record));
    }
    this.#watermarkUs = record.watermarkUs;
    return [...outputs, ...this.#close(record)];
  }

  /** Folds up to CHUNK_ROWS rows from `row` on; returns how many were late. */
  #chunk(
    batch: Batch,
    compiled: CompiledView,
    at: { row: number; position: number; lateTo: number },
  ): number {
    const { call, data } = this.#memory;
    const { keys, states } = compiled;
    const rows = Math.min(CHUNK_ROWS, batch.rowCount - at.row);
    const errors = this.#program.runRows(compiled, at.row, rows);
    const ordinal = this.#shape.behind;
    const behind = batch.isZero(ordinal) ? 0 : batch.valuesAt(ordinal) + at.row * 8;
    const selected = call.assignWindows(
      this.#windows.root,
      compiled.time,
      behind,
      compiled.filter,
      BigInt(windowSizeUs(this.plan)),
      rows,
      at.row,
      at.lateTo,
    );
    let late = data.getUint32(WORK_RESULT_AT + RESULT_LATE_AT, true);
    const failed = data.getUint32(WORK_RESULT_AT + RESULT_FAILED_AT, true);
    this.counts.filtered += data.getUint32(WORK_RESULT_AT + RESULT_FILTERED_AT, true);
    this.counts.failed += failed;
    this.counts.pending += selected - failed;
    call.setPlace(at.position, at.row);
    if (selected > 0) {
      call.findGroups(keys.address, keys.count, this.#layout.rowBytes, selected);
      for (const { kind, offset, arg, filter } of states)
        call.updateStates(kind, offset, arg, filter, selected);
    }
    const { lateUpdate } = this.#windows;
    if (late > 0 && lateUpdate !== null) {
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

  #lateOutput(batch: Batch, rows: Uint32Array, record: RecordFacts): ViewOutput {
    const { i64 } = this.#memory;
    const times = batch.valuesAt(this.#shape.eventTime) / 8;
    const behind = batch.valuesAt(this.#shape.behind) / 8;
    const image = lateImage(
      Array.from(rows, (row) => ({
        row,
        timeUs: must(i64[times + row], "time"),
        behindUs: must(i64[behind + row], "behind"),
        ...windowOf(must(i64[times + row], "time"), windowSizeUs(this.plan)),
      })),
      record,
    );
    const { position } = record;
    return { view: this.plan.name, kind: "late", position, rowCount: rows.length, image };
  }

  #close(record: RecordFacts): ViewOutput[] {
    const { watermarkUs } = record;
    return watermarkUs === null ? [] : this.#windows.close(record, watermarkUs, this.counts);
  }

  openWindows(): OpenWindow[] {
    return this.#windows.openWindows();
  }

  corrected(): RowsImage[] {
    return this.#windows.corrected();
  }

  stats(): ViewStats {
    return this.#windows.stats();
  }

  free(): void {
    this.#windows.free();
  }
}
