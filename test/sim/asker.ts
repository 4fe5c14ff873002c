// Somebody who asks questions: pins a position as the SQL routes do, holds it as long as a question takes, and has the oracle look at what it names.
import type { Pin } from "../../src/query/pin.ts";
import type { Fleet } from "../../src/threads/fleet.ts";
import type { Appliance } from "./appliance.ts";
import type { PinOracle } from "./oracle-pins.ts";
import type { Random } from "./random.ts";
import { Actor, type Scheduler } from "./scheduler.ts";

export interface AskerParts {
  readonly appliance: Appliance;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly oracle: PinOracle;
  /** The relations that it may ask for. */
  readonly relations: readonly string[];
  /** The last position that a producer was told. */
  readonly told: () => number;
  readonly violated: (what: string) => void;
  /** Mean pause between questions, µs; none is asked after `untilUs`. */
  readonly pauseUs: number;
  readonly untilUs: number;
}

/** How long a question reads its files. */
const QUESTION_US_MAX = 6_000_000;

export class Asker {
  readonly #parts: AskerParts;
  readonly #actor = new Actor("asker");

  constructor(parts: AskerParts) {
    this.#parts = parts;
    this.#later();
  }

  #later(): void {
    const { scheduler, random, pauseUs, untilUs } = this.#parts;
    scheduler.after(random.between(0, 2 * pauseUs), this.#actor, () => {
      if (scheduler.nowUs >= untilUs) return;
      this.#ask();
      this.#later();
    });
  }

  #ask(): void {
    const { appliance, random, relations, scheduler, told } = this.#parts;
    const { main } = appliance;
    const wanted = relations.filter(() => random.chance(0.6));
    const after = random.chance(0.5) ? told() : null;
    scheduler.after(0, main, () => {
      const { fleet } = appliance;
      if (fleet === null) return;
      void this.#pin(fleet, wanted, after);
    });
  }

  async #pin(fleet: Fleet, relations: readonly string[], after: number | null): Promise<void> {
    const held = await fleet.pin(relations, after);
    if ("pin" in held) this.#hold(held.pin, after ?? 0, held.release);
  }

  /** What the pin names is there, and what it should be, at the question's beginning and at its end. */
  #hold(pin: Pin, after: number, release: () => void): void {
    const { appliance, scheduler, random, oracle, violated } = this.#parts;
    if (pin.position < after)
      violated(`a question that is to see position ${after} sees ${pin.position}`);
    const { main } = appliance;
    if (random.chance(0.5)) oracle.check(pin);
    scheduler.after(random.between(0, QUESTION_US_MAX), main, () => {
      oracle.check(pin);
      release();
    });
  }
}
