// The one scheduler of a simulated run: a queue of steps in virtual time. A step runs whole, for one of the machine's threads (or for the
// world outside), and takes as long as the disk calls that it makes; what comes for its thread meanwhile waits. Threads of one machine run
// at the same virtual time, as on as many cores; within a step nothing else runs. Owns time and order, nothing of the product.
import { drainMicrotasks } from "bun:jsc";
import type { Random } from "./random.ts";

/** A thread, or the world outside: `busyUntilUs` is when its last step ends. */
export class Actor {
  readonly name: string;
  busyUntilUs = 0;
  /** Steps of a dead actor are dropped. */
  isDead = false;

  constructor(name: string) {
    this.name = name;
  }
}

interface Step {
  readonly atUs: number;
  readonly order: number;
  readonly actor: Actor;
  readonly run: () => void;
}

/** A handle of a step that is not run yet. */
export interface Timer {
  cancelled: boolean;
}

export class Scheduler {
  readonly #random: Random;
  /** How many messages take long. */
  readonly #lateShare: number;
  readonly #queue: Step[] = [];
  #order = 0;
  #nowUs = 0;
  /** What runs now, and what it has spent so far. */
  #actor: Actor;
  #spentUs = 0;
  /** Steps that ran. */
  steps = 0;
  /** Until when a thread is not given any time, null: it is. */
  restsUntilUs: (thread: string, atUs: number) => number | null = () => null;
  /** A hash of all that ran, in order: two runs of one seed have the same. */
  trace = 0;

  constructor(random: Random) {
    this.#random = random;
    this.#lateShare = random.pick([0.005, 0.02, 0.2] as const);
    this.#actor = new Actor("world");
  }

  /** Virtual µs since the run began, as the step at hand sees it. */
  get nowUs(): number {
    return this.#nowUs + this.#spentUs;
  }

  /** Who runs now. */
  get actor(): Actor {
    return this.#actor;
  }

  /** The step at hand takes so much longer. */
  spend(us: number): void {
    this.#spentUs += us;
  }

  /** Runs `run` as a step of `actor`, at least `delayUs` from now. */
  after(delayUs: number, actor: Actor, run: () => void): Timer {
    const timer: Timer = { cancelled: false };
    this.#push({
      atUs: this.nowUs + delayUs,
      order: this.#order++,
      actor,
      run: () => {
        if (!timer.cancelled) run();
      },
    });
    return timer;
  }

  /** A short time that nobody can rely on: what a message or a turn of an event loop takes, µs. */
  jitterUs(): number {
    return this.#random.chance(this.#lateShare)
      ? this.#random.between(100, 30_000)
      : this.#random.between(1, 60);
  }

  /** Runs steps up to, not including, `untilUs`. */
  runUntil(untilUs: number, afterStep: () => void): void {
    for (
      let next = this.#queue[0];
      next !== undefined && next.atUs < untilUs;
      next = this.#queue[0]
    ) {
      this.#pop();
      const { actor } = next;
      if (actor.isDead) continue;
      if (actor.busyUntilUs > next.atUs) {
        this.#push({ ...next, atUs: actor.busyUntilUs });
        continue;
      }
      const restsUntilUs = this.restsUntilUs(actor.name, next.atUs);
      if (restsUntilUs !== null) {
        this.#push({ ...next, atUs: restsUntilUs });
        continue;
      }
      this.#run(next);
      afterStep();
    }
    this.#nowUs = Math.max(this.#nowUs, untilUs);
  }

  #run({ atUs, actor, run }: Step): void {
    this.#nowUs = atUs;
    this.#spentUs = 0;
    this.#actor = actor;
    this.steps++;
    run();
    // what was awaited goes on in the same step: nothing here waits for the machine that runs the simulation
    drainMicrotasks();
    this.trace = (Math.imul(this.trace ^ atUs, 0x01000193) ^ this.#spentUs) >>> 0;
    actor.busyUntilUs = atUs + this.#spentUs;
    this.#nowUs = atUs;
    this.#spentUs = 0;
  }

  #push(step: Step): void {
    const queue = this.#queue;
    let at = queue.length;
    queue.push(step);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = queue[parent];
      if (above === undefined || !isBefore(step, above)) break;
      queue[at] = above;
      at = parent;
    }
    queue[at] = step;
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop();
    if (last === undefined || queue.length === 0) return;
    for (let at = 0; ;) {
      let child = 2 * at + 1;
      const left = queue[child];
      if (left === undefined) {
        queue[at] = last;
        return;
      }
      const right = queue[child + 1];
      let least = left;
      if (right !== undefined && isBefore(right, left)) {
        least = right;
        child++;
      }
      if (!isBefore(least, last)) {
        queue[at] = last;
        return;
      }
      queue[at] = least;
      at = child;
    }
  }
}

function isBefore(one: Step, other: Step): boolean {
  return one.atUs < other.atUs || (one.atUs === other.atUs && one.order < other.order);
}
