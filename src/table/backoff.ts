// How long what failed waits until it is tried again: 1 s, then twice as long each time, up to 30 s.
import type { Clock } from "../base/clock.ts";
import { TABLE_RETRY_US_MAX, TABLE_RETRY_US_MIN } from "../limits.ts";

export class Backoff {
  readonly #clock: Clock;
  /** The wait after the last failure, µs; 0 = nothing has failed. */
  #waitUs = 0;
  #untilUs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it may be tried. */
  isOver(): boolean {
    return this.#waitUs === 0 || this.#clock.monotonicUs() >= this.#untilUs;
  }

  failed(): void {
    this.#waitUs = Math.min(Math.max(this.#waitUs * 2, TABLE_RETRY_US_MIN), TABLE_RETRY_US_MAX);
    this.#untilUs = this.#clock.monotonicUs() + this.#waitUs;
  }

  reset(): void {
    this.#waitUs = 0;
  }
}
