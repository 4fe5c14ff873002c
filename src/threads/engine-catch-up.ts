// The engine's part in catching up: folds pieces of what was left to the log, and then what views that go on after a suspension have passed, in
// the time that bodies leave. Scheduling only: what is folded does not depend on it.
import type { Clock } from "../base/clock.ts";
import type { Engine } from "../engine.ts";
import type { EngineBacklog } from "../engine-backlog.ts";
import type { EngineLaggards } from "../engine-laggards.ts";
import type { ViewOutput } from "../window/output.ts";
import { CatchUpPace } from "./engine-pace.ts";
import type { LongestSteps } from "./engine-status.ts";

/** Until catching up is tried again when it had its share. */
const PAUSE_MS = 2;
/** Time of catching up that leaves some 100 MB of garbage. */
const COLLECT_AFTER_US = 100_000;

/** What catching up is connected with. */
export interface CatchUpWires {
  readonly backlog: EngineBacklog;
  readonly laggards: EngineLaggards;
  readonly clock: Clock;
  readonly longest: LongestSteps;
  readonly outputs: (outputs: readonly ViewOutput[]) => void;
  /** Takes bodies that have come; false: the thread stops, and the next start goes on. */
  readonly turn: () => boolean;
  /** Something was folded. */
  readonly folded: () => void;
  /** Runs a step later, as the thread's own. */
  readonly guard: (step: () => void) => void;
}

export class EngineCatchUp {
  readonly #engine: Engine;
  readonly #wires: CatchUpWires;
  readonly #pace: CatchUpPace;
  #isScheduled = false;
  #uncollectedUs = 0;

  constructor(engine: Engine, wires: CatchUpWires) {
    this.#engine = engine;
    this.#wires = wires;
    this.#pace = new CatchUpPace(wires.clock.monotonicUs());
  }

  /** Bodies took the thread since `beganUs`. */
  tookBodies(beganUs: number): void {
    this.#pace.tookBodies(beganUs, this.#wires.clock.monotonicUs());
  }

  /** `records` became durable. */
  durable(records: number): void {
    this.#pace.durable(records, this.#wires.clock.monotonicUs());
  }

  /** Sees to it that a piece is folded soon, where there is one. */
  schedule(): void {
    const { backlog, laggards, clock, guard } = this.#wires;
    if (this.#isScheduled || !(backlog.isBehind || laggards.mayFold)) return;
    this.#isScheduled = true;
    const run = (): void => guard(() => this.#run());
    if (this.#pace.mayGoOn(clock.monotonicUs())) setImmediate(run);
    else setTimeout(run, PAUSE_MS);
  }

  /** Folds a piece, after the bodies that have come. */
  #run(): void {
    this.#isScheduled = false;
    const { backlog, laggards, clock, longest, outputs, turn, folded } = this.#wires;
    if (!turn()) return;
    const beganUs = clock.monotonicUs();
    if (!this.#pace.mayGoOn(beganUs)) return this.schedule();
    const before = this.#engine.folded;
    const endUs = beganUs + this.#pace.pieceUs(beganUs);
    const isOver = (): boolean => clock.monotonicUs() >= endUs;
    const piece = backlog.catchUp(isOver);
    outputs(piece.outputs);
    let ofLaggards = 0;
    if (!isOver())
      outputs(
        laggards.step(() => {
          ofLaggards++;
          return isOver();
        }),
      );
    folded();
    const nowUs = clock.monotonicUs();
    this.#pace.caughtUp(this.#engine.folded - before + ofLaggards, beganUs, nowUs);
    longest.catchUpUs = Math.max(longest.catchUpUs, nowUs - beganUs);
    this.#collect(nowUs - beganUs);
    if (piece.more || laggards.mayFold) this.schedule();
  }

  /** Records that were read are garbage, of which the collector lets as much stay as the memories of the kernels are large. */
  #collect(tookUs: number): void {
    this.#uncollectedUs += tookUs;
    if (this.#uncollectedUs < COLLECT_AFTER_US) return;
    this.#uncollectedUs = 0;
    Bun.gc(false);
  }
}
