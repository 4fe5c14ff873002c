// Noun: a condition over the events of one stream, run by the kernels outside of any view: which events of a batch move the watermark.
// It has a memory of its own: admission asks before there is a record, and what views hold must not depend on it.
import { CHUNK_ROWS, IMAGE_ROWS_AT, WORK_ERRORS_AT } from "../../kernels/abi.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import { must } from "../base/assert.ts";
import type { EventSchema } from "../event/schema.ts";
import { FOLD_MEMORY_BYTES_MAX } from "../limits.ts";
import type { ViewPlan } from "../view/plan.ts";
import { Batch } from "./batch.ts";
import { streamShape } from "./compile.ts";
import { NO_GROUPS } from "./layout.ts";
import { FoldMemory } from "./memory.ts";
import { ProgramArea } from "./program.ts";
import { ViewProgram } from "./view-program.ts";

export class Condition {
  readonly #memory: FoldMemory;
  readonly #area = new ProgramArea();
  readonly #batch: Batch;
  readonly #program: ViewProgram;

  /** `plan`: its filter is the condition. */
  constructor(foldModule: Uint8Array, plan: ViewPlan, schema: EventSchema) {
    // Scratch, and as few pages as there can be: a condition keeps nothing.
    this.#memory = new FoldMemory(instantiate<FoldKernels>(foldModule, FOLD_MEMORY_BYTES_MAX), 1);
    this.#batch = new Batch(this.#memory);
    const place = { memory: this.#memory, area: this.#area };
    this.#program = new ViewProgram(place, { plan, shape: streamShape(schema), layout: NO_GROUPS });
  }

  /** A byte for each row of a batch image: 1 = the condition is true. Zero where it is false, NULL or raises. */
  rows(image: Uint8Array, receivedAtUs: number): Uint8Array {
    if (image.length === 0) return new Uint8Array();
    const { call, u8 } = this.#memory;
    const header = new DataView(image.buffer, image.byteOffset, image.byteLength);
    const rowCount = header.getUint32(IMAGE_ROWS_AT, true);
    this.#batch.begin(image, rowCount);
    for (const ordinal of this.#columns()) this.#batch.load(ordinal);
    const { program, filter } = this.#program.begin(this.#batch, receivedAtUs);
    const { address, count } = program.rows;
    const to = this.#memory.take(CHUNK_ROWS);
    const marks = new Uint8Array(rowCount);
    for (let row = 0; row < rowCount; row += CHUNK_ROWS) {
      const rows = Math.min(CHUNK_ROWS, rowCount - row);
      call.maskRows(address, count, program.registers, WORK_ERRORS_AT, row, rows, filter, to);
      this.#program.clearErrors(rows);
      marks.set(u8.subarray(to, to + rows), row);
    }
    return marks;
  }

  /** The columns that the program for the batch reads. Programs of other shapes of batches make room when there is none. */
  #columns(): readonly number[] {
    const columns = this.#program.prepare(this.#batch, null);
    if (columns !== null) return columns;
    this.#area.clear();
    this.#program.forget();
    return must(this.#program.prepare(this.#batch, null), "one program has room");
  }
}
