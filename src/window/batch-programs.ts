// The batch at hand and the programs that run over it: gets those of all views of its stream ready, copies the columns that they read into the
// fold memory once, and runs what they share before any of them folds.
import { assert, must } from "../base/assert.ts";
import type { EventsRecord } from "../log/record.ts";
import { Batch } from "./batch.ts";
import type { Fold } from "./fold.ts";
import { textKey } from "./classes.ts";
import { KeySet, KeySetRoom } from "./key-set.ts";
import type { KeyLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { ProgramArea } from "./program.ts";
import type { ViewPlan } from "../view/plan.ts";
import { SharedPrograms, type StreamKeySets } from "./shared-program.ts";

export class BatchPrograms {
  readonly area = new ProgramArea();
  readonly #memory: FoldMemory;
  readonly #views: ReadonlyMap<string, Fold>;
  readonly #batch: Batch;
  /** By stream; none for a stream that has had one view at most. */
  readonly #sharing = new Map<string, SharedPrograms>();
  readonly #keySetRoom = new KeySetRoom();

  /** `views`: all there are, as they are at each record. */
  constructor(memory: FoldMemory, views: ReadonlyMap<string, Fold>) {
    this.#memory = memory;
    this.#views = views;
    this.#batch = new Batch(memory);
  }

  /** Begins with a record that `readers` will fold. All scratch of the one before is free then. */
  begin({ stream, image, rowCount }: EventsRecord, readers: readonly Fold[]): Batch {
    const batch = this.#batch;
    batch.begin(image, rowCount);
    const sharing = this.#sharingOf(stream);
    const columns = this.#prepare(readers, sharing);
    const behind = must(readers[0], "reader").behindColumn;
    if (!batch.isZero(behind)) columns.add(behind);
    for (const ordinal of columns) batch.load(ordinal);
    sharing?.run(batch);
    return batch;
  }

  #sharingOf(stream: string): SharedPrograms | null {
    const known = this.#sharing.get(stream);
    if (known !== undefined) return known;
    const reads = ({ plan }: Fold): boolean => plan.stream === stream && plan.rollupOf === null;
    if ([...this.#views.values()].filter(reads).length < 2) return null;
    const keySets = this.#keySetsOf(stream);
    const made = new SharedPrograms({ memory: this.#memory, area: this.area, keySets });
    this.#sharing.set(stream, made);
    return made;
  }

  /** The key sets of a stream, each made when the first of several views asks for it. */
  #keySetsOf(stream: string): StreamKeySets {
    const sets = new Map<string, KeySet | null>();
    const isCommon = (text: string): boolean => {
      const have = ({ plan }: Fold): boolean =>
        plan.stream === stream && plan.rollupOf === null && keysText(plan) === text;
      return [...this.#views.values()].filter(have).length > 1;
    };
    const make = (keys: readonly KeyLayout[]): KeySet | null => KeySet.make(this.#keySetRoom, keys);
    return {
      of: (keys) => {
        const text = textKey(keys.map(({ expr }) => expr));
        const known = sets.get(text);
        if (known !== undefined) return known;
        const made = isCommon(text) ? make(keys) : null;
        sets.set(text, made);
        return made;
      },
    };
  }

  /** Gets programs ready and gives the columns that they read. When their area is full all programs make room, once. */
  #prepare(readers: readonly Fold[], sharing: SharedPrograms | null): Set<number> {
    for (const attempt of ["first", "second"]) {
      const columns = readers.map((view) => view.prepare(this.#batch, sharing));
      columns.push(sharing === null ? [] : sharing.prepare());
      const ready = columns.filter((list) => list !== null);
      if (ready.length === columns.length) return new Set(ready.flat());
      assert(attempt === "first", "the views of one stream fill the program area");
      this.area.clear();
      for (const view of this.#views.values()) view.forgetPrograms();
      for (const programs of this.#sharing.values()) programs.forget();
    }
    return new Set();
  }
}

/** Equal for views whose rows of groups begin with the same keys; of sessions it is a text that no other view has. */
function keysText({ name, keys, window }: ViewPlan): string {
  const isGrouped = window?.kind === "tumble" || window?.kind === "hop";
  return isGrouped ? textKey(keys.map(({ expr }) => expr)) : name;
}
