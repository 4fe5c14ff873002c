// One view of tumbling windows: its plan compiled for batches of each shape, its watermark and counts; windows lie in a WindowSet. Folds a batch that lies in the fold
// memory; knows nothing of records beyond position and received_at, nothing of checkpoints.
import {
  CHUNK_ROWS,
  REGISTER_BYTES,
  REGISTER_VALUES_AT,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  RESULT_LATE_AT,
  WORK_ERRORS_AT,
  WORK_RESULT_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { windowSizeUs, type ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import { compileView, type CompiledView, type StreamShape } from "./compile.ts";
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
import { lateImage } from "./late.ts";
import { rowLayout, type RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { bindRegister, type ProgramArea } from "./program.ts";
import { WindowSet } from "./window-set.ts";

export class ViewFold implements Fold {
  readonly plan: ViewPlan;
  readonly counts: ViewCounts;
  readonly #memory: FoldMemory;
  readonly #area: ProgramArea;
  readonly #shape: StreamShape;
  readonly #layout: RowLayout;
  readonly #windows: WindowSet;
  #compiled = new Map<string, CompiledView>();
  /** The program of the batch at hand. */
  #ready: CompiledView | null = null;
  #watermarkUs: bigint | null;
  #position: number;

  /** Continues from `state`. */
  constructor({ memory, area }: FoldPlace, view: FoldView, state: ViewState) {
    this.plan = view.plan;
    this.#memory = memory;
    this.#area = area;
    this.#shape = view.shape;
    this.#layout = rowLayout(view.plan);
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
    this.#ready = this.#compile(batch);
    return this.#ready?.columns ?? null;
  }

  /** The program for a batch, compiled when its shape is new; null when the program area is full. */
  #compile(batch: Batch): CompiledView | null {
    const { plan } = this;
    let key = "";
    for (const ordinal of this.#shape.texts) key += batch.entryCount(ordinal) >= 0 ? "d" : "p";
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const dictionaries = new Set(
      this.#shape.texts.filter((ordinal) => batch.entryCount(ordinal) >= 0),
    );
    const made = compileView(
      { memory: this.#memory, area: this.#area },
      plan,
      { layout: this.#layout, shape: this.#shape },
      dictionaries,
    );
    if (made !== null) this.#compiled.set(key, made);
    return made;
  }

  forgetPrograms(): void {
    this.#compiled = new Map();
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
    const compiled = must(this.#ready, "a program");
    assert(record.position > this.#position, `view ${this.plan.name}: record out of order`);
    const { memory, late } = { memory: this.#memory, late: this.#memory.take(batch.rowCount * 4) };
    if (compiled.receivedAt !== null) this.#setConstant(compiled, record.receivedAtUs);
    this.#runDictionaries(batch, compiled);
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

  #setConstant({ program, receivedAt }: CompiledView, value: number): void {
    const { data } = this.#memory;
    const register = program.registers + must(receivedAt, "register") * REGISTER_BYTES;
    data.setBigInt64(data.getUint32(register + REGISTER_VALUES_AT, true), BigInt(value), true);
  }

  /** Runs the parts of the program that depend on dictionary entries only, over entries and a null. */
  #runDictionaries(batch: Batch, { program }: CompiledView): void {
    const memory = this.#memory;
    for (const section of program.dictionaries) {
      const count = batch.entryCount(section.domain) + 1;
      for (const { register, width } of section.registers)
        bindRegister(
          memory,
          program.registers + register * REGISTER_BYTES,
          memory.take(count * (width + 1)),
          count * width,
        );
      const errors = memory.take(count);
      memory.u8.fill(0, errors, errors + count);
      const failed = memory.call.runProgram(
        section.address,
        section.count,
        program.registers,
        errors,
        0,
        count,
      );
      batch.setErrors(section.domain, failed > 0 ? errors : 0);
    }
  }

  /** Folds up to CHUNK_ROWS rows from `row` on; returns how many were late. */
  #chunk(
    batch: Batch,
    compiled: CompiledView,
    at: { row: number; position: number; lateTo: number },
  ): number {
    const { call, u8, data } = this.#memory;
    const { program, keys, states } = compiled;
    const rows = Math.min(CHUNK_ROWS, batch.rowCount - at.row);
    const { address, count } = program.rows;
    const { registers } = program;
    const errors = call.runProgram(address, count, registers, WORK_ERRORS_AT, at.row, rows);
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
    if (errors > 0) u8.fill(0, WORK_ERRORS_AT, WORK_ERRORS_AT + rows);
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
      })),
      windowSizeUs(this.plan),
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
