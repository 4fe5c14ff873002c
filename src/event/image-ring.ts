// Noun: the memory of batch images between engine and log, a ring. Images are written one after another, each has as many bytes as it needs,
// and they are given back in the order in which they were made.
import { assert } from "../base/assert.ts";

/** Images begin on multiples of this: a cache line. */
const ALIGNMENT = 64;

interface Kept {
  readonly address: number;
  /** Behind its last byte, aligned. */
  readonly end: number;
}

/** `bytes` from `base` on, aligned; the next image may have up to `imageBytesMax` of them. */
export class ImageRing {
  readonly #base: number;
  readonly #end: number;
  readonly #imageBytesMax: number;
  /** Oldest first. */
  readonly #kept: Kept[] = [];

  constructor(base: number, bytes: number, imageBytesMax: number) {
    assert(base % ALIGNMENT === 0, "images are aligned");
    this.#base = base;
    this.#end = base + bytes;
    this.#imageBytesMax = imageBytesMax;
  }

  /** Where the next image may be written; null: there is no room before older ones are given back. */
  get next(): number | null {
    const [oldest] = this.#kept;
    const newest = this.#kept.at(-1);
    if (oldest === undefined || newest === undefined) return this.#base;
    const fits = (from: number, to: number): boolean => to - from >= this.#imageBytesMax;
    if (newest.address < oldest.address)
      return fits(newest.end, oldest.address) ? newest.end : null;
    if (fits(newest.end, this.#end)) return newest.end;
    return fits(this.#base, oldest.address) ? this.#base : null;
  }

  /** The image at `next` has so many bytes: it stays until it is given back. */
  keep(bytes: number): void {
    const { next } = this;
    assert(next !== null && bytes <= this.#imageBytesMax, "the image has room");
    const end = next + Math.max(1, Math.ceil(bytes / ALIGNMENT)) * ALIGNMENT;
    this.#kept.push({ address: next, end });
  }

  /** Gives back the oldest image. */
  giveBack(address: number): void {
    const oldest = this.#kept.shift();
    assert(oldest?.address === address, "images are given back in their order");
  }
}
