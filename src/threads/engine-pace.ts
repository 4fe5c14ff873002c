// How much of its thread the engine may give to catching up with the log. Scheduling only: what is folded does not depend on it. Catching
// up at full speed costs the engine's core and, with what it closes, the export's: with two cores nothing is left for those who bring
// events. So it goes twice as fast as events come in, and faster only as far as the thread has little else to do.

/** Longest time that catching up folds at a stretch, µs: the next record begins before it. One that closes windows takes what that takes. */
const PIECE_US = 2000;
/** The same where bodies take all of the thread: else views would fall behind further and further. */
const LONG_PIECE_US = 5000;

/** What views must reach: below it pieces are long. */
const RATIO_MIN = 1.3;
/** Views catch up at least so many times as fast as events come in, so that a minute behind is over after a minute. */
const RATIO = 2;
/** What an event in a body costs all threads and the kernel together, as a multiple of what it costs the engine. */
const SHARE_OF_ALL = 3;
/** Time over which shares are taken: the last one to two of these, µs. */
const INTERVAL_US = 100_000;

interface Interval {
  readonly beginUs: number;
  /** Time given to new bodies, and to catching up, µs. */
  bodiesUs: number;
  catchUpUs: number;
  /** Records that became durable, and those that were caught up. */
  durable: number;
  folded: number;
}

function interval(beginUs: number): Interval {
  return { beginUs, bodiesUs: 0, catchUpUs: 0, durable: 0, folded: 0 };
}

export class CatchUpPace {
  #before: Interval;
  #now: Interval;

  /** `nowUs`, here and below: a monotonic clock's. */
  constructor(nowUs: number) {
    this.#before = interval(nowUs);
    this.#now = interval(nowUs);
  }

  /** New bodies took the thread from `beganUs` to `nowUs`. */
  tookBodies(beganUs: number, nowUs: number): void {
    this.#at(nowUs).bodiesUs += nowUs - beganUs;
  }

  /** `records` became durable. */
  durable(records: number, nowUs: number): void {
    this.#at(nowUs).durable += records;
  }

  /** Catching up took the thread from `beganUs` to `nowUs`, and folded `records`. */
  caughtUp(records: number, beganUs: number, nowUs: number): void {
    const now = this.#at(nowUs);
    now.catchUpUs += nowUs - beganUs;
    now.folded += records;
  }

  /** Whether a further piece may be folded now. */
  mayGoOn(nowUs: number): boolean {
    const now = this.#at(nowUs);
    const before = this.#before;
    if (before.folded + now.folded < RATIO * (before.durable + now.durable)) return true;
    const spanUs = nowUs - before.beginUs;
    const others = SHARE_OF_ALL * (before.bodiesUs + now.bodiesUs);
    return before.catchUpUs + now.catchUpUs < spanUs - others;
  }

  /** How long the next piece may take, µs. */
  pieceUs(nowUs: number): number {
    const now = this.#at(nowUs);
    const durable = this.#before.durable + now.durable;
    return this.#before.folded + now.folded < RATIO_MIN * durable ? LONG_PIECE_US : PIECE_US;
  }

  #at(nowUs: number): Interval {
    const ageUs = nowUs - this.#now.beginUs;
    if (ageUs >= INTERVAL_US) {
      this.#before = ageUs < 2 * INTERVAL_US ? this.#now : interval(nowUs - INTERVAL_US);
      this.#now = interval(nowUs);
    }
    return this.#now;
  }
}
