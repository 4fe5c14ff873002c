// One view without a window: each record's events that pass the filter are rows, in log order, put out with the record. It keeps no state
// but its counts.
import {
  CHUNK_ROWS,
  FOLD_PAGE_BYTES,
  PHYSICAL_I64,
  PHYSICAL_UTF8,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  WORK_RESULT_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { physicalOf } from "../event/schema.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import type { ChangedRows } from "./changes.ts";
import type { CompiledView } from "./compile.ts";
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
import { NO_GROUPS } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { ScratchImage, type RowsImage } from "./scratch-image.ts";
import type { SharedPrograms } from "./shared-program.ts";
import { ViewProgram } from "./view-program.ts";

export class ProjectionFold implements Fold {
  readonly plan: ViewPlan;
  readonly openPages = null;
  readonly behindColumn: number;
  /** There is nothing to roll up. */
  readonly lower = null;
  readonly correctionsDueAtUs = null;
  readonly counts: ViewCounts;
  readonly #memory: FoldMemory;
  readonly #program: ViewProgram;
  readonly #root: number;
  #watermarkUs: bigint | null;
  #position: number;

  /** Continues from `state`. */
  constructor(place: FoldPlace, view: FoldView, state: ViewState) {
    this.plan = view.plan;
    this.behindColumn = view.shape.behind;
    this.#memory = place.memory;
    this.#program = new ViewProgram(place, { ...view, layout: NO_GROUPS });
    this.#root = state.root;
    this.#watermarkUs = state.watermarkUs;
    this.#position = state.position;
    this.counts = { ...state.counts };
  }

  get position(): number {
    return this.#position;
  }

  get watermarkUs(): bigint | null {
    return this.#watermarkUs;
  }

  get state(): ViewState {
    const { counts } = this;
    return { root: this.#root, position: this.#position, watermarkUs: this.#watermarkUs, counts };
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
    return [];
  }

  fold(batch: Batch, record: RecordFacts): ViewOutput[] {
    this.advance(record);
    const compiled = this.#program.begin(batch, record.receivedAtUs);
    const images: RowsImage[] = [];
    for (let row = 0; row < batch.rowCount; row += CHUNK_ROWS) {
      const image = this.#chunk(compiled, row, Math.min(CHUNK_ROWS, batch.rowCount - row));
      if (image !== null) images.push(image);
    }
    this.counts.accepted += batch.rowCount;
    const { position } = record;
    return images.map((rows) => ({ view: this.plan.name, kind: "rows", position, ...rows }));
  }

  /** The rows of a chunk; null when the filter takes none. */
  #chunk(compiled: CompiledView, row: number, rows: number): RowsImage | null {
    const { call, data } = this.#memory;
    const errors = this.#program.runRows(compiled, row, rows);
    const selected = call.selectRows(compiled.filter, rows);
    const failed = data.getUint32(WORK_RESULT_AT + RESULT_FAILED_AT, true);
    this.counts.filtered += data.getUint32(WORK_RESULT_AT + RESULT_FILTERED_AT, true);
    this.counts.failed += failed;
    this.counts.applied += selected - failed;
    if (errors > 0) this.#program.clearErrors(rows);
    return selected === 0 ? null : this.#image(compiled, selected);
  }

  /** The image of the selected rows: the output columns, then `revision`, which is zero. */
  #image({ outputs }: CompiledView, rows: number): RowsImage {
    const { call } = this.#memory;
    const { output } = this.plan;
    const image = new ScratchImage(this.#memory, { rows, columns: output.length + 1 });
    output.forEach(({ type }, ordinal) => {
      const register = must(outputs[ordinal], "register");
      const physical = physicalOf(type);
      if (physical === PHYSICAL_UTF8)
        image.text(ordinal, Number(call.projectTextBytes(register, rows)), (offsets, text, bits) =>
          call.projectText(register, rows, offsets, text, bits),
        );
      else
        image.fixed(ordinal, physical, (values, bits) =>
          call.project(register, rows, physical, values, bits),
        );
    });
    image.fixed(output.length, PHYSICAL_I64, () => 0);
    return image.finish();
  }

  *openWindows(): Generator<void, OpenWindow[]> {
    yield;
    return [];
  }

  corrected(): ChangedRows[] {
    return [];
  }

  stats(): ViewStats {
    return { windows: 0, groups: 0, bytes: FOLD_PAGE_BYTES };
  }

  free(): void {
    this.#memory.call.freeRoot(this.#root);
  }
}
