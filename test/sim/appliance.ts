// One appliance in the simulation: its process's lives on one disk. Each life is the product's Fleet with its log, engine and export threads, all
// real; it ends by a kill, a power cut, a failure that the process latched, or SIGTERM, and the next one starts on what the disk has.
import type { Fleet } from "../../src/threads/fleet.ts";
import type { Failed, ThreadStart } from "../../src/threads/messages.ts";
import type { SimDisk } from "./disk.ts";
import type { DiskFaults, Due } from "./faults.ts";
import { runOn } from "./machine-now.ts";
import type { Random } from "./random.ts";
import { releaseMemories } from "./wasm.ts";
import { Actor, type Scheduler } from "./scheduler.ts";

/** Starts the product's threads; given by the run, since the product is loaded after the simulator was put beneath it. */
export type StartFleet = (
  start: ThreadStart,
  events: { failed(failure: Failed): void; notice(text: string): void },
) => Promise<Fleet>;

/** 2026-01-01. */
export const BEGAN_US = Date.UTC(2026, 0, 1) * 1000;

export interface ApplianceParts {
  readonly start: ThreadStart;
  readonly startFleet: StartFleet;
  readonly scheduler: Scheduler;
  readonly disk: SimDisk;
  readonly faults: DiskFaults;
  readonly random: Random;
  /** Somebody else does something to it. */
  readonly others: (due: Extract<Due, { kind: "foreign" | "savepoint" }>) => void;
  /** A rule of the product is broken. */
  readonly violated: (what: string) => void;
  /** What a process says, and what becomes of it. */
  readonly say: (line: string) => void;
}

const RESTART_US_MAX = 3_000_000;

/** Refusals that a fault of the disk explains, while it lasts, are no more than errors; these say that files contradict each other. */
const CONTRADICTION =
  /restore|damaged|is missing|not of one moment|checksum|broken invariant|was removed/i;

export class Appliance {
  readonly #parts: ApplianceParts;
  #main = new Actor("main");
  #threads: Actor[] = [];
  /** Taking requests, else null. */
  fleet: Fleet | null = null;
  /** It takes no more requests. */
  isStopping = false;
  /** Ends the savepoint that is under way. */
  beforeStop: (() => void) | null = null;
  /** Processes that were started. */
  lives = 0;

  constructor(parts: ApplianceParts) {
    this.#parts = parts;
    runOn({
      disk: parts.disk,
      scheduler: parts.scheduler,
      random: parts.random,
      wallUs: () => BEGAN_US + parts.scheduler.nowUs + parts.faults.wallOffsetUs(),
      thread: (name) => this.#thread(name),
    });
    this.#startLater(0);
  }

  /** The main thread of the process that runs, or that started last. */
  get main(): Actor {
    return this.#main;
  }

  /** After each step: carries out the end that came in it, or that is due now. */
  look(): void {
    const { disk, faults } = this.#parts;
    if (disk.isEnded) return this.#end(faults.endedBy?.kind === "power");
    const due = faults.due();
    if (due === null) return undefined;
    if (due.kind === "stop") return this.stop();
    if (due.kind === "foreign" || due.kind === "savepoint") return this.#parts.others(due);
    return this.#end(due.kind === "power");
  }

  /** As SIGTERM: finishes what was accepted; then the process ends. */
  stop(): void {
    const { fleet } = this;
    if (fleet === null || this.isStopping) return;
    this.isStopping = true;
    const { scheduler, say } = this.#parts;
    scheduler.after(0, this.#main, () => {
      say("stop");
      this.endSavepoint();
      void this.#finish(fleet);
    });
  }

  /** The savepoint that is under way, if any, is over. */
  endSavepoint(): void {
    const end = this.beforeStop;
    this.beforeStop = null;
    end?.();
  }

  async #finish(fleet: Fleet): Promise<void> {
    const { say, violated } = this.#parts;
    try {
      fleet.noMore();
      await fleet.stop();
      say("stopped");
      this.#ended();
    } catch (error) {
      violated(`a stop failed: ${String(error)}`);
    }
  }

  #thread(name: string): Actor {
    const actor = new Actor(name);
    this.#threads.push(actor);
    return actor;
  }

  #end(powerCut: boolean): void {
    this.#parts.say(powerCut ? "power cut" : "killed");
    this.#ended(powerCut);
  }

  /** The process is gone; the next one comes some time later. */
  #ended(powerCut = false): void {
    const { disk, random } = this.#parts;
    for (const actor of [this.#main, ...this.#threads]) actor.isDead = true;
    this.#threads = [];
    this.fleet = null;
    this.isStopping = false;
    this.beforeStop = null;
    disk.halt();
    disk.restart(powerCut);
    releaseMemories();
    this.#startLater(random.between(1000, RESTART_US_MAX));
  }

  #startLater(delayUs: number): void {
    const { scheduler, say, faults } = this.#parts;
    const main = new Actor("main");
    this.#main = main;
    scheduler.after(delayUs, main, () => {
      this.lives++;
      faults.errors = 0;
      say(`start ${this.lives}`);
      void this.#begin(main);
    });
  }

  async #begin(main: Actor): Promise<void> {
    const { start, startFleet, say } = this.#parts;
    const failed = (failure: Failed): void => this.#failed(failure);
    try {
      const fleet = await startFleet(start, { failed, notice: say });
      if (main.isDead) return;
      this.fleet = fleet;
      say(`started ${this.lives}`);
    } catch (error) {
      if (!main.isDead) failed({ kind: "failed", message: String(error), advice: false });
    }
  }

  /** The process ends itself. Without an error of the disk in its life it had no reason to; that files contradict each other it may never say. */
  #failed({ message }: Failed): void {
    if (this.#main.isDead) return;
    const { faults, violated, say } = this.#parts;
    say(`failed: ${message}`);
    if (faults.errors === 0) violated(`the process ended itself without a reason: ${message}`);
    else if (CONTRADICTION.test(message.split("\n")[0] ?? "") && !/EIO|ENOSPC|SQLITE/.test(message))
      violated(`the process found a contradiction: ${message}`);
    this.#ended();
  }
}
