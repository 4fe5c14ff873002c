// A view's programs, one for each shape of batches, and running them: first what depends on dictionary entries only, then chunk by chunk.
// Knows nothing of windows.
import { REGISTER_BYTES, REGISTER_VALUES_AT, WORK_ERRORS_AT } from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import { compileView, type CompiledView, type StreamShape } from "./compile.ts";
import type { FoldPlace } from "./fold.ts";
import type { RowLayout } from "./layout.ts";
import { runDictionaries } from "./dictionaries.ts";
import type { SharedPrograms } from "./shared-program.ts";

export class ViewProgram {
  readonly #place: Pick<FoldPlace, "memory" | "area">;
  readonly #view: {
    readonly plan: ViewPlan;
    readonly shape: StreamShape;
    readonly layout: RowLayout;
  };
  #compiled = new Map<string, CompiledView>();
  /** That of the batch at hand. */
  #ready: CompiledView | null = null;

  constructor(
    place: Pick<FoldPlace, "memory" | "area">,
    view: { readonly plan: ViewPlan; readonly shape: StreamShape; readonly layout: RowLayout },
  ) {
    this.#place = place;
    this.#view = view;
  }

  /** Gets the program for a batch ready, compiled when its shape is new; gives the columns to load, or null when the program area is full. */
  prepare(batch: Batch, sharing: SharedPrograms | null): readonly number[] | null {
    this.#ready = this.#compile(batch, sharing);
    return this.#ready?.columns ?? null;
  }

  #compile(batch: Batch, sharing: SharedPrograms | null): CompiledView | null {
    const { plan, shape, layout } = this.#view;
    let key = "";
    for (const ordinal of shape.texts) key += batch.entryCount(ordinal) >= 0 ? "d" : "p";
    const dictionaries = new Set(shape.texts.filter((ordinal) => batch.entryCount(ordinal) >= 0));
    const shared = sharing?.of(key, { eventTime: shape.eventTime, dictionaries }) ?? null;
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const made = compileView(this.#place, plan, { layout, shape }, { dictionaries, shared });
    if (made !== null) this.#compiled.set(key, made);
    return made;
  }

  /** Forgets programs: the program area was cleared. */
  forget(): void {
    this.#compiled = new Map();
  }

  /** Begins with a batch whose columns are loaded, after `prepare` for it: runs over its dictionaries. */
  begin(batch: Batch, receivedAtUs: number): CompiledView {
    const compiled = must(this.#ready, "a program");
    const { program, receivedAt } = compiled;
    if (receivedAt !== null) {
      const { data } = this.#place.memory;
      const values = data.getUint32(
        program.registers + receivedAt * REGISTER_BYTES + REGISTER_VALUES_AT,
        true,
      );
      data.setBigInt64(values, BigInt(receivedAtUs), true);
    }
    runDictionaries(this.#place.memory, batch, program);
    return compiled;
  }

  /** Runs over `rows` rows from number `row` on; returns how many errors there were. */
  runRows({ program }: CompiledView, row: number, rows: number): number {
    const { address, count } = program.rows;
    const { call } = this.#place.memory;
    return call.runProgram(address, count, program.registers, WORK_ERRORS_AT, row, rows);
  }

  /** Clears the errors of a chunk that had some. */
  clearErrors(rows: number): void {
    this.#place.memory.u8.fill(0, WORK_ERRORS_AT, WORK_ERRORS_AT + rows);
  }
}
