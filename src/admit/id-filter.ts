// The filter of a generation of sealed ids: which ids are certainly not in it. A blocked Bloom filter (Putze, Sanders, Singler: "Cache-,
// Hash- and Space-Efficient Bloom Filters", 2007): all bits of an id lie in one block of 64 bytes, so that a lookup costs one line of
// memory. Blocks follow the order of the hash, so that a filter is filled from its beginning to its end while a file is written.
//
// An id is three words of 32 bits of its hash, as an id entry stores them: `w0`, `w1` (the highest bits), `w2`.
import { SEALED_FILTER_BITS } from "../limits.ts";

const BLOCK_BITS = 512;
const WORDS_PER_BLOCK = BLOCK_BITS / 32;
const TWO_32 = 2 ** 32;

/** Bytes of a block. */
export const FILTER_BLOCK_BYTES = BLOCK_BITS / 8;

/** Blocks of a filter for `ids` ids: SEALED_FILTER_BITS bits each, at least one block. */
export function filterBlocks(ids: number): number {
  return Math.max(1, Math.ceil((ids * SEALED_FILTER_BITS) / BLOCK_BITS));
}

/** Adds an id: six bits, nine bits of the hash each, of the block that the highest word chooses. */
export function addToFilter(filter: Uint32Array, w0: number, w1: number, w2: number): void {
  const blocks = filter.length / WORDS_PER_BLOCK;
  const at = Math.floor((w1 * blocks) / TWO_32) * WORDS_PER_BLOCK;
  for (const word of [w0, w2])
    for (let shift = 5; shift <= 23; shift += 9) {
      const bit = (word >>> shift) & 511;
      const place = at + (bit >>> 5);
      filter[place] = (filter[place] ?? 0) | (1 << (bit & 31));
    }
}

/** False when an id was certainly not added. */
export function mayContain(filter: Uint32Array, w0: number, w1: number, w2: number): boolean {
  const at = Math.floor((w1 * (filter.length / WORDS_PER_BLOCK)) / TWO_32) * WORDS_PER_BLOCK;
  const a = (filter[at + (w0 >>> 28)] ?? 0) >>> ((w0 >>> 23) & 31);
  if ((a & 1) === 0) return false;
  const b = (filter[at + ((w0 >>> 19) & 15)] ?? 0) >>> ((w0 >>> 14) & 31);
  if ((b & 1) === 0) return false;
  const c = (filter[at + ((w0 >>> 10) & 15)] ?? 0) >>> ((w0 >>> 5) & 31);
  if ((c & 1) === 0) return false;
  const d = (filter[at + (w2 >>> 28)] ?? 0) >>> ((w2 >>> 23) & 31);
  if ((d & 1) === 0) return false;
  const e = (filter[at + ((w2 >>> 19) & 15)] ?? 0) >>> ((w2 >>> 14) & 31);
  if ((e & 1) === 0) return false;
  const f = (filter[at + ((w2 >>> 10) & 15)] ?? 0) >>> ((w2 >>> 5) & 31);
  return (f & 1) === 1;
}
