// The batch at hand and the programs that run over it: gets those of all views of its stream ready, copies the columns that they read into the
// fold memory once, and runs what they share before any of them folds.
import { assert, must } from "../base/assert.ts";
import type { EventsRecord } from "../log/record.ts";
import { Batch } from "./batch.ts";
import type { Fold } from "./fold.ts";
import type { FoldMemory } from "./memory.ts";
import { ProgramArea } from "./program.ts";
import { SharedPrograms } from "./shared-program.ts";

export class BatchPrograms {
  readonly area = new ProgramArea();
  readonly #memory: FoldMemory;
  readonly #views: ReadonlyMap<string, Fold>;
  readonly #batch: Batch;
  /** By stream; none for a stream that has had one view at most. */
  readonly #sharing = new Map<string, SharedPrograms>();

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
    const made = new SharedPrograms({ memory: this.#memory, area: this.area });
    this.#sharing.set(stream, made);
    return made;
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
