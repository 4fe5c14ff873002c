// The sealed ids of one stream: which rows of a batch were accepted within the TTL in a generation on disk. A filter in memory answers
// for nearly all new ids; only ids that pass it are looked up in their bucket. Owns the open generations; does not write them.
import type { Files } from "../base/files.ts";
import {
  bucketOf,
  Generation,
  openGeneration,
  type GenerationInfo,
  type GenerationParts,
} from "./generation.ts";
import { mayContain } from "./id-filter.ts";

/** A batch's ids: `words` has four words of hash a row, `idValid` a bit a row (null: all rows have an id). */
export interface SoughtIds {
  readonly words: Uint32Array;
  readonly idValid: Uint8Array | null;
  readonly rowCount: number;
}

export class SealedIds {
  readonly #files: Files;
  readonly #folder: string;
  #generations: Generation[] = [];
  /** Buckets that were read from disk, since the start. */
  bucketsRead = 0;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#folder = folder;
  }

  /**
   * Takes over the stream's list of generations: keeps those that are open, closes those that are gone, takes `made` as it is, and reads
   * the others from disk. Throws GenerationError for a file that is damaged or missing.
   */
  set(infos: readonly GenerationInfo[], made: GenerationParts | null): void {
    const known = new Map(this.#generations.map((one) => [one.info.file, one]));
    const next = infos.map((info) => {
      const open = known.get(info.file);
      known.delete(info.file);
      if (open !== undefined) return open;
      if (made?.info.file !== info.file) return openGeneration(this.#files, this.#folder, info);
      return new Generation(made, this.#files.open(`${this.#folder}/${info.file}`));
    });
    for (const gone of known.values()) gone.close();
    this.#generations = next;
  }

  /** received_at, ms, up to which every id of the stream is sealed (but for those of that very ms); null = none. */
  get throughMs(): number | null {
    const newest = this.#generations.map(({ info }) => info.newestMs);
    return newest.length === 0 ? null : Math.max(...newest) - 1;
  }

  /** Sealed ids, those included that have outlived the TTL since their generation was written. */
  get ids(): number {
    return this.#generations.reduce((sum, { info }) => sum + info.ids, 0);
  }

  get generations(): number {
    return this.#generations.length;
  }

  /** A byte a row: 1 = it was accepted less than `ttlMs` before `nowMs`. Null when there is none, which is nearly always. */
  find(sought: SoughtIds, nowMs: number, ttlMs: number): Uint8Array | null {
    let found: Uint8Array | null = null;
    for (const generation of this.#generations) {
      if (nowMs - generation.info.newestMs >= ttlMs) continue;
      let bucket = -1;
      let entries: Uint32Array = new Uint32Array(0);
      for (const row of candidates(generation, sought)) {
        const at = bucketOf(sought.words[4 * row + 1] ?? 0, generation.bits);
        if (at !== bucket) {
          entries = generation.read(at, at + 1);
          bucket = at;
          this.bucketsRead++;
        }
        if (ageIn(entries, sought.words, row, nowMs) >= ttlMs) continue;
        found ??= new Uint8Array(sought.rowCount);
        found[row] = 1;
      }
    }
    return found;
  }
}

/** Rows whose ids pass the filter, in the order of their buckets: neighbours on disk are read one after the other, the same one once. */
function candidates(generation: Generation, { words, idValid, rowCount }: SoughtIds): number[] {
  const { filter } = generation;
  const rows: number[] = [];
  for (let row = 0; row < rowCount; row++) {
    const at = 4 * row;
    if (!mayContain(filter, words[at] ?? 0, words[at + 1] ?? 0, words[at + 2] ?? 0)) continue;
    if (idValid !== null && (((idValid[row >> 3] ?? 0) >> (row & 7)) & 1) === 0) continue;
    rows.push(row);
  }
  return rows.length < 2
    ? rows
    : rows.toSorted((a, b) => (words[4 * a + 1] ?? 0) - (words[4 * b + 1] ?? 0));
}

/** ms since the id of a row was last accepted among `entries`; Infinity = it was not. */
function ageIn(entries: Uint32Array, words: Uint32Array, row: number, nowMs: number): number {
  const from = 4 * row;
  let age = Infinity;
  for (let at = 0; at < entries.length; at += 4)
    if (
      entries[at] === words[from] &&
      entries[at + 1] === words[from + 1] &&
      entries[at + 2] === words[from + 2]
    )
      age = Math.min(age, ((nowMs % 2 ** 32) - (entries[at + 3] ?? 0)) >>> 0);
  return age;
}
