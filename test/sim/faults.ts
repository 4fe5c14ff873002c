// The faults of a run: a list that is drawn from the seed before it begins (draw-faults.ts), so that it can be shortened while all else stays as it
// was. Each is an interval of virtual time, or a moment.
import type { Faults, Operation, Outcome } from "./disk.ts";
import type { Random } from "./random.ts";

/** Calls of a kind, of files whose path has `path` in it. */
export interface Spot {
  readonly of: Operation;
  readonly path: string;
}

export type Fault =
  /** The process is killed, or the machine loses power, at the `operation`-th call of the kind from then on, or so long after it; 0: between two steps. */
  | {
      readonly kind: "kill" | "power";
      readonly atUs: number;
      readonly spot: Spot | null;
      readonly operation: number;
      readonly isAfter: boolean;
      readonly laterUs: number;
    }
  /** SIGTERM, then a start. */
  | { readonly kind: "stop"; readonly atUs: number }
  /** The `operation`-th call of the kind from then on fails with EIO; `isAfter`: it has taken effect, only its answer is lost. */
  | {
      readonly kind: "eio";
      readonly atUs: number;
      readonly spot: Spot;
      readonly operation: number;
      readonly isAfter: boolean;
    }
  /** Nothing more can be written. */
  | { readonly kind: "full"; readonly atUs: number; readonly untilUs: number }
  /** What is written in folders whose path has `path` in it fails with EIO: a file system of its own that is away. */
  | {
      readonly kind: "away";
      readonly atUs: number;
      readonly untilUs: number;
      readonly path: string;
    }
  /** Each sync of a file whose path has `of` takes so long. */
  | {
      readonly kind: "slow";
      readonly atUs: number;
      readonly of: string;
      readonly untilUs: number;
      readonly syncUs: number;
    }
  /** A thread stands still: the machine has others to run. */
  | {
      readonly kind: "pause";
      readonly atUs: number;
      readonly untilUs: number;
      readonly thread: string;
    }
  /** The wall clock is set. */
  | { readonly kind: "clock"; readonly atUs: number; readonly stepUs: number }
  /** Another program commits to one of our tables: at the `operation`-th commit of ours from then on, just before it; 0: between two steps. */
  | { readonly kind: "foreign"; readonly atUs: number; readonly operation: number }
  /** A savepoint: state and tables are copied for so long, then the log. */
  | {
      readonly kind: "savepoint";
      readonly atUs: number;
      readonly copyUs: number;
      readonly logUs: number;
    }
  /** Requests and answers are lost, doubled, late. */
  | {
      readonly kind: "network";
      readonly atUs: number;
      readonly untilUs: number;
      readonly lossShare: number;
      readonly delayUsMax: number;
    };

type End = Extract<Fault, { kind: "kill" | "power" }>;

/** Those that come between two steps. */
export type Due = Extract<Fault, { kind: "kill" | "power" | "stop" | "foreign" | "savepoint" }>;

function isBetweenSteps(fault: Fault): fault is Due {
  if (fault.kind === "stop" || fault.kind === "savepoint") return true;
  const counts = fault.kind === "kill" || fault.kind === "power" || fault.kind === "foreign";
  return counts && fault.operation === 0;
}

/** What fails while a file system is away. */
const AWAY: ReadonlySet<Operation> = new Set(["create", "write", "fsync", "link", "rename"]);

/** The metadata of a table. */
const VERSION = /\/metadata\/v\d+\.metadata\.json$/;

/** What the disk is told of them. */
export class DiskFaults implements Faults {
  readonly #faults: readonly Fault[];
  readonly #pauses: readonly Extract<Fault, { kind: "pause" }>[];
  readonly #nowUs: () => number;
  readonly #random: Random;
  /** Operations of each kind of fault that were counted since it came. */
  readonly #left = new Map<Fault, number>();
  /** Faults that were met, and errors that were given in this life of the process. */
  readonly met = new Set<Fault>();
  errors = 0;
  /** From now on nothing fails any more. */
  isOver = false;
  /** The end that the last operation was: with the power, or of the process alone. */
  endedBy: Fault | null = null;
  /** Ends that come some time after a call. */
  readonly #later: End[] = [];

  /** Told of a version of a table that another program makes first. */
  intrude: (path: string) => void = () => undefined;

  constructor(faults: readonly Fault[], nowUs: () => number, random: Random) {
    this.#faults = faults;
    this.#pauses = faults.filter((fault) => fault.kind === "pause");
    this.#nowUs = nowUs;
    this.#random = random;
  }

  isFull(): boolean {
    return this.#during("full") !== null;
  }

  naming(path: string): void {
    if (this.isOver || !VERSION.test(path)) return;
    const nowUs = this.#nowUs();
    for (const fault of this.#faults) {
      if (fault.kind !== "foreign" || fault.operation === 0) continue;
      if (fault.atUs > nowUs || this.met.has(fault)) continue;
      const left = this.#left.get(fault) ?? fault.operation;
      this.#left.set(fault, left - 1);
      if (left > 1) continue;
      this.met.add(fault);
      return this.intrude(path);
    }
  }

  at(operation: Operation, path: string): Outcome {
    if (this.isOver) return "done";
    const nowUs = this.#nowUs();
    let outcome: Outcome = "done";
    if (this.isFull() && ["write", "commit", "create", "mkdir"].includes(operation)) {
      this.errors++;
      outcome = "ENOSPC";
    }
    const away = this.#during("away");
    if (away?.kind === "away" && path.includes(away.path) && AWAY.has(operation)) {
      this.errors++;
      outcome = "EIO";
    }
    for (const fault of this.#faults) {
      if (fault.atUs > nowUs || this.met.has(fault)) continue;
      if (fault.kind !== "kill" && fault.kind !== "power" && fault.kind !== "eio") continue;
      const { spot } = fault;
      if (spot !== null && (spot.of !== operation || !path.includes(spot.path))) continue;
      const left = this.#left.get(fault) ?? fault.operation;
      if (left > 1) {
        this.#left.set(fault, left - 1);
        continue;
      }
      this.met.add(fault);
      if (fault.kind === "eio") {
        this.errors++;
        return fault.isAfter ? "EIO after" : "EIO";
      }
      if (fault.laterUs > 0) {
        this.#later.push({ ...fault, atUs: nowUs + fault.laterUs });
        continue;
      }
      this.endedBy = fault;
      return fault.isAfter && outcome === "done" ? "end after" : "end before";
    }
    return outcome;
  }

  costUs(operation: Operation, path: string): number {
    if (operation !== "fsync" && operation !== "commit") return this.#random.between(5, 60);
    const slow = this.#during("slow");
    const isSlow = slow?.kind === "slow" && path.includes(slow.of);
    return isSlow ? slow.syncUs : this.#random.between(100, 3000);
  }

  /** What is due between steps, the next one, which is taken: ends, and what others do. */
  due(): Due | null {
    if (this.isOver) return null;
    const nowUs = this.#nowUs();
    const late = this.#later.findIndex(({ atUs }) => atUs <= nowUs);
    if (late !== -1) return this.#later.splice(late, 1)[0] ?? null;
    for (const fault of this.#faults) {
      if (fault.atUs > nowUs) break;
      if (this.met.has(fault) || !isBetweenSteps(fault)) continue;
      this.met.add(fault);
      return fault;
    }
    return null;
  }

  /** What the network does now; null: it works. */
  network(): Extract<Fault, { kind: "network" }> | null {
    const fault = this.#during("network");
    return fault?.kind === "network" ? fault : null;
  }

  /** Until when a thread that has something to do at this time stands still, µs; null: it does not. */
  restsUntilUs(thread: string, atUs: number): number | null {
    if (this.isOver) return null;
    for (const fault of this.#pauses)
      if (fault.thread === thread && fault.atUs <= atUs && atUs < fault.untilUs)
        return fault.untilUs;
    return null;
  }

  /** How far the wall clock is from the run's time now, µs. */
  wallOffsetUs(): number {
    const nowUs = this.#nowUs();
    return this.#faults.reduce(
      (sum, fault) => (fault.kind === "clock" && fault.atUs <= nowUs ? sum + fault.stepUs : sum),
      0,
    );
  }

  #during(kind: "full" | "slow" | "network" | "away"): Fault | null {
    if (this.isOver) return null;
    const nowUs = this.#nowUs();
    return (
      this.#faults.find(
        (fault) => fault.kind === kind && fault.atUs <= nowUs && nowUs < fault.untilUs,
      ) ?? null
    );
  }
}
