// Pseudo-random numbers of a simulated run: everything in it that is left to chance is drawn from these, so that a seed repeats it.

/** In one of so many seeds events have no ids, and requests have keys instead. */
export const KEYED_EVERY = 5;

/** mulberry32 (Tommy Ettinger, public domain): 32 bits of state are plenty for a run of some 10,000 draws. */
export class Random {
  #state: number;

  /** Streams of one seed with different names are independent: what one draws more does not change another. */
  constructor(seed: number, stream: string) {
    this.#state = Bun.hash.xxHash32(stream, seed);
  }

  /** 32 bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** From 0 up to, not including, 1. */
  share(): number {
    return this.bits() / 2 ** 32;
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.share() * (high - low + 1));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.share() < probability;
  }

  /** One of the values. */
  pick<T>(values: readonly [T, ...T[]]): T {
    return values[this.between(0, values.length - 1)] ?? values[0];
  }
}
