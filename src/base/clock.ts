// Time comes in by argument everywhere else: this file and the adapters alone read a clock.

/** Wall-clock reading and monotonic reading, both in microseconds. */
export interface Clock {
  /** Microseconds since the epoch, UTC. */
  nowUs(): number;
  /** Microseconds since an arbitrary start; never goes back. */
  monotonicUs(): number;
}

/** The machine's clock. `nowUs` follows the monotonic clock from the moment of creation, so that a wall-clock step does not show. */
export function systemClock(): Clock {
  const monotonicUs = (): number => Math.floor(performance.now() * 1000);
  const originUs = Date.now() * 1000 - monotonicUs();
  return { nowUs: () => originUs + monotonicUs(), monotonicUs };
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
