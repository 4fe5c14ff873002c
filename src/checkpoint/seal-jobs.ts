// How a generation is made, a bounded step at a time: from the oldest segments of a checkpoint, or from older generations. Reads and writes;
// what to make is decided by admit/seal-plan.ts, what becomes of it by sealer.ts.
import { decodeSegment } from "../admit/checkpoint.ts";
import {
  BUCKET_BITS_MIN,
  ENTRY_BYTES,
  GenerationWriter,
  openGeneration,
  type Generation,
  type GenerationInfo,
  type GenerationParts,
} from "../admit/generation.ts";
import { must } from "../base/assert.ts";
import type { Files, FileWriter } from "../base/files.ts";
import { SEAL_STEP_IDS } from "../limits.ts";
import type { CheckpointStore } from "./store.ts";

/** Where a generation is written. */
export interface JobPlace {
  readonly files: Files;
  readonly folder: string;
  readonly file: string;
}

/** What a job made: the generation, and what it takes the place of. */
export interface Made {
  readonly parts: GenerationParts;
  /** Segments of the checkpoint up to this number are in it; 0 = none. */
  readonly through: number;
  readonly replaced: readonly GenerationInfo[];
}

/** Makes one generation. */
export interface GenerationJob {
  readonly stream: string;
  /** One bounded step. Returns what was made after the last one. Throws OS errors and GenerationError; then `abandon` is called. */
  step(): Made | null;
  /** Removes what was written so far. */
  abandon(): void;
}

const ENTRY_WORDS = ENTRY_BYTES / 4;

/** Entries in memory that grow in number. */
class EntryPart {
  #words = new Uint32Array(1024);
  #length = 0;

  add(entries: Uint32Array, at: number): void {
    if (this.#length === this.#words.length) {
      const larger = new Uint32Array(this.#length * 2);
      larger.set(this.#words);
      this.#words = larger;
    }
    for (let word = 0; word < ENTRY_WORDS; word++)
      this.#words[this.#length + word] = entries[at + word] ?? 0;
    this.#length += ENTRY_WORDS;
  }

  get words(): Uint32Array {
    return this.#words.subarray(0, this.#length);
  }
}

/** Seals the oldest segments of a stream. */
export class SealJob implements GenerationJob {
  readonly stream: string;
  readonly #place: JobPlace;
  readonly #store: CheckpointStore;
  readonly #idsWanted: number;
  /** Entries are gathered by the first bits of their hash, so that each part is sorted and written in a step of its own. */
  readonly #parts = Array.from({ length: 2 ** BUCKET_BITS_MIN }, () => new EntryPart());
  #segment = 0;
  #ids = 0;
  #oldestMs = 0;
  #newestMs = 0;
  #written = 0;
  #file: FileWriter | null = null;
  #writer: GenerationWriter | null = null;

  constructor(place: JobPlace, store: CheckpointStore, wanted: { stream: string; ids: number }) {
    this.#place = place;
    this.#store = store;
    this.stream = wanted.stream;
    this.#idsWanted = wanted.ids;
  }

  step(): Made | null {
    if (this.#writer === null) {
      if (!this.#collect()) this.#begin();
      return null;
    }
    if (this.#written < this.#parts.length) {
      const part = must(this.#parts[this.#written], "a part");
      this.#writer.add(this.#writer.buckets / this.#parts.length, part.words);
      this.#written++;
      return null;
    }
    const parts = this.#writer.finish("checkpoint.seal.sync");
    return { parts, through: this.#segment, replaced: [] };
  }

  /** Takes the next segment; false = there are enough, or no more. */
  #collect(): boolean {
    if (this.#ids >= this.#idsWanted) return false;
    const next = this.#store.segmentAfter(this.stream, this.#segment);
    if (next === null) return false;
    const { newestMs, entries } = decodeSegment(next.segment.bytes);
    const words = new Uint32Array(entries.slice().buffer);
    if (this.#ids === 0)
      this.#oldestMs = newestMs - (((newestMs % 2 ** 32) - (words[3] ?? 0)) >>> 0);
    for (let at = 0; at < words.length; at += ENTRY_WORDS)
      must(this.#parts[(words[at + 1] ?? 0) >>> (32 - BUCKET_BITS_MIN)], "a part").add(words, at);
    this.#ids += words.length / ENTRY_WORDS;
    this.#newestMs = newestMs;
    this.#segment = next.number;
    return true;
  }

  #begin(): void {
    const { files, folder, file } = this.#place;
    this.#file = files.create(`${folder}/${file}`, "checkpoint.seal.create");
    this.#writer = new GenerationWriter(this.#file, {
      file,
      stream: this.stream,
      ids: this.#ids,
      oldestMs: this.#oldestMs,
      newestMs: this.#newestMs,
    });
  }

  abandon(): void {
    this.#file?.abandon("checkpoint.seal.abandon");
  }
}

/** Merges generations of a stream that follow each other, oldest first. */
export class MergeJob implements GenerationJob {
  readonly stream: string;
  readonly #inputs: readonly GenerationInfo[];
  readonly #open: readonly Generation[];
  readonly #file: FileWriter;
  readonly #writer: GenerationWriter;
  /** Bits of the hash that cut all of them into ranges of whole buckets, and ranges of a step. */
  readonly #bits: number;
  readonly #rangesPerStep: number;
  #range = 0;

  constructor(place: JobPlace, inputs: readonly GenerationInfo[]) {
    const { files, folder, file } = place;
    const [first] = inputs;
    const { stream, oldestMs } = must(first, "a generation to merge");
    const ids = inputs.reduce((sum, one) => sum + one.ids, 0);
    const newestMs = Math.max(...inputs.map((one) => one.newestMs));
    this.stream = stream;
    this.#inputs = inputs;
    // first: without room for it nothing else is opened
    this.#file = files.create(`${folder}/${file}`, "checkpoint.seal.create");
    this.#open = inputs.map((one) => openGeneration(files, folder, one, "none"));
    this.#writer = new GenerationWriter(this.#file, { file, stream, ids, oldestMs, newestMs });
    this.#bits = Math.min(...this.#open.map(({ bits }) => bits));
    const steps = Math.ceil(ids / SEAL_STEP_IDS);
    this.#rangesPerStep = Math.max(1, Math.floor(2 ** this.#bits / steps));
  }

  step(): Made | null {
    const ranges = 2 ** this.#bits;
    if (this.#range < ranges) {
      const end = Math.min(ranges, this.#range + this.#rangesPerStep);
      this.#copy(this.#range, end);
      this.#range = end;
      return null;
    }
    const parts = this.#writer.finish("checkpoint.seal.sync");
    for (const one of this.#open) one.close();
    return { parts, through: 0, replaced: this.#inputs };
  }

  #copy(first: number, end: number): void {
    const pieces = this.#open.map((one) => {
      const buckets = 2 ** (one.bits - this.#bits);
      return one.read(first * buckets, end * buckets);
    });
    const entries = new Uint32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      entries.set(piece, at);
      at += piece.length;
    }
    this.#writer.add((end - first) * (this.#writer.buckets / 2 ** this.#bits), entries);
  }

  abandon(): void {
    for (const one of this.#open) one.close();
    this.#file.abandon("checkpoint.seal.abandon");
  }
}
