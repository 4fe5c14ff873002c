// What several views of one stream ask of a record: computed once, over all of its rows, before the views fold it. Only expressions that no row
// can fail for, because a failure counts for the view that asked; knows nothing of views.
import { REGISTER_BYTES } from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import type { Expr } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import { runDictionaries } from "./dictionaries.ts";
import type { KeySet, NumberedKeys } from "./key-set.ts";
import type { KeyLayout } from "./layout.ts";
import {
  isShareable,
  Lowering,
  type LowerOptions,
  type SharedRegisters,
  type Want,
} from "./lower.ts";
import type { FoldMemory } from "./memory.ts";
import { bindRegister, type Program, type ProgramArea } from "./program.ts";

/** The key sets of one stream: of keys that several of its views have. */
export interface StreamKeySets {
  /** The set of keys; null when one view has them only, or without room. */
  of(keys: readonly KeyLayout[]): KeySet | null;
}

/** The shared program for batches of one shape. It grows as views are compiled; equal expressions have one register. */
export class SharedProgram implements SharedRegisters {
  readonly #memory: FoldMemory;
  readonly #area: ProgramArea;
  readonly #lowering: Lowering;
  readonly #keySets: StreamKeySets;
  /** Sets whose keys are numbered after the program, with its registers of them. */
  readonly #numbered = new Map<
    KeySet,
    readonly { readonly form: number; readonly hash: number }[]
  >();
  /** Null: not in the program area as it is now. */
  #program: Program | null = null;

  constructor(
    { memory, area, keySets }: SharingPlace,
    options: Omit<LowerOptions, "window" | "shared">,
  ) {
    this.#memory = memory;
    this.#area = area;
    this.#keySets = keySets;
    this.#lowering = new Lowering({ ...options, window: null, shared: null });
  }

  register(expr: Expr, want: Want): number {
    const { builder } = this.#lowering;
    const before = builder.registerCount;
    const register = this.#lowering.rows(expr, want);
    if (builder.registerCount > before) this.#program = null;
    return register;
  }

  /** How a view finds its groups by numbers of keys that other views have too; null when it has to look for them by itself. */
  numberedKeys(view: string, keys: readonly KeyLayout[]): NumberedKeys | null {
    if (keys.length === 0 || !keys.every(({ expr }) => isShareable(expr))) return null;
    const set = this.#keySets.of(keys);
    if (set === null) return null;
    if (!this.#numbered.has(set)) {
      const registers = keys.map(({ expr }) => ({
        form: this.register(expr, "form"),
        hash: this.register(expr, "hash"),
      }));
      this.#numbered.set(set, registers);
    }
    return set.of(view);
  }

  /** Gets the program ready when all views are compiled; gives the ordinals of the columns to load, or null when the program area is full. */
  prepare(): readonly number[] | null {
    // A vector is bound for each record: it is as long as that.
    const room = { take: (bytes: number) => this.#area.take(bytes), vector: () => 0 };
    this.#program ??= this.#lowering.builder.finish(this.#memory, room);
    return this.#program === null ? null : [...this.#lowering.columns];
  }

  /** Runs over a batch whose columns are loaded, after `prepare`. What it gives is good until scratch is cleared. */
  run(batch: Batch): void {
    const memory = this.#memory;
    const program = must(this.#program, "a shared program");
    const { rows, registers } = program;
    runDictionaries(memory, batch, program);
    for (const { register, width } of rows.registers) {
      const bytes = batch.rowCount * width;
      const address = memory.take(bytes + batch.rowCount);
      bindRegister(memory, registers + register * REGISTER_BYTES, address, bytes);
    }
    const errors = memory.take(batch.rowCount);
    const { address, count } = rows;
    const failed = memory.call.runProgram(address, count, registers, errors, 0, batch.rowCount);
    assert(failed === 0, "shared expressions do not fail");
    for (const [set, keys] of this.#numbered) set.number(memory, keys, batch.rowCount);
    memory.call.setShared(registers);
  }
}

/** Where the shared programs of one stream work. */
export interface SharingPlace {
  readonly memory: FoldMemory;
  readonly area: ProgramArea;
  readonly keySets: StreamKeySets;
}

/** The shared programs of one stream, by the shape of batches. */
export class SharedPrograms {
  readonly #place: SharingPlace;
  #programs = new Map<string, SharedProgram>();
  /** That of the batch at hand. */
  #ready: SharedProgram | null = null;

  constructor(place: SharingPlace) {
    this.#place = place;
  }

  /** The program of the shape of the batch at hand, which `key` names. */
  of(key: string, options: Omit<LowerOptions, "window" | "shared">): SharedProgram {
    this.#ready = this.#programs.get(key) ?? new SharedProgram(this.#place, options);
    this.#programs.set(key, this.#ready);
    return this.#ready;
  }

  /** After all views of the batch at hand: the ordinals of the columns to load, or null when the program area is full. */
  prepare(): readonly number[] | null {
    return this.#ready === null ? [] : this.#ready.prepare();
  }

  /** Runs over the batch, whose columns are loaded. */
  run(batch: Batch): void {
    this.#ready?.run(batch);
    this.#ready = null;
  }

  /** Forgets programs: the program area was cleared. */
  forget(): void {
    this.#programs = new Map();
    this.#ready = null;
  }
}
