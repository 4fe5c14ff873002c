// Time comes in by argument everywhere else: this file and the adapters alone read a clock.

/** Wall-clock reading and monotonic reading, both in microseconds. */
export interface Clock {
  /** Microseconds since the epoch, UTC. */
  nowUs(): number;
  /** Microseconds since an arbitrary start; never goes back. */
  monotonicUs(): number;
}

/** Where a clock takes its readings from, µs: the machine's, or a test's. */
export interface TimeSource {
  wallUs(): number;
  monotonicUs(): number;
}

const MACHINE: TimeSource = {
  wallUs: () => Date.now() * 1000,
  monotonicUs: () => Math.floor(performance.now() * 1000),
};

/** The wall clock is followed once it is this far ahead, µs: the monotonic clock stands still while the machine is suspended. */
const AHEAD_US_MAX = 1_000_000;

/**
 * The machine's clock. `nowUs` follows the monotonic clock from the moment of creation, so that a wall clock that is put back or
 * slewed does not show. Only when the wall clock is more than a second ahead (a suspend, a clock set late) it jumps there; it never
 * goes back.
 */
export function systemClock(source: TimeSource = MACHINE): Clock {
  let originUs = source.wallUs() - source.monotonicUs();
  const nowUs = (): number => {
    const us = originUs + source.monotonicUs();
    const aheadUs = source.wallUs() - us;
    if (aheadUs <= AHEAD_US_MAX) return us;
    originUs += aheadUs;
    return us + aheadUs;
  };
  return { nowUs, monotonicUs: () => source.monotonicUs() };
}

/** The machine's wall clock as it is, also when it is put back: for what others compare with their own. */
export function wallClock(source: TimeSource = MACHINE): Clock {
  return { nowUs: () => source.wallUs(), monotonicUs: () => source.monotonicUs() };
}

/** A clock that only moves when told to: for tests and the simulator. */
export class ManualClock implements Clock {
  #us: number;
  constructor(startUs: number) {
    this.#us = startUs;
  }
  nowUs(): number {
    return this.#us;
  }
  monotonicUs(): number {
    return this.#us;
  }
  advance(us: number): void {
    this.#us += us;
  }
}
