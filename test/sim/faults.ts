// The faults of a run: a list that is drawn from the seed before it begins, so that it can be shortened while all else stays as it was. Each is
// an interval of virtual time, or a moment.
import type { Faults, Operation, Outcome } from "./disk.ts";
import type { Random } from "./random.ts";

export type Fault =
  /** The process is killed, or the machine loses power, at the `operation`-th call of the kind from then on; 0: between two steps. */
  | {
      readonly kind: "kill" | "power";
      readonly atUs: number;
      /** Null: of any. */
      readonly of: Operation | null;
      readonly operation: number;
      readonly isAfter: boolean;
    }
  /** SIGTERM, then a start. */
  | { readonly kind: "stop"; readonly atUs: number }
  /** The `operation`-th call of the kind from then on fails with EIO. */
  | {
      readonly kind: "eio";
      readonly atUs: number;
      readonly of: Operation;
      readonly operation: number;
    }
  /** Nothing more can be written. */
  | { readonly kind: "full"; readonly atUs: number; readonly untilUs: number }
  /** Each sync of a file whose path has `of` takes so long. */
  | {
      readonly kind: "slow";
      readonly atUs: number;
      readonly of: string;
      readonly untilUs: number;
      readonly syncUs: number;
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

const OPERATIONS = ["write", "fsync", "link", "rename", "commit", "create", "unlink"] as const;

/** The faults of a seed, in order of time; none later than `untilUs`. */
export function drawFaults(random: Random, untilUs: number): Fault[] {
  const faults: Fault[] = [];
  const at = (): number => random.between(0, untilUs);
  // runs differ in temper: some are about power, some about a bad disk, some are quiet
  const often = random.pick([0, 1, 2, 4] as const);
  for (let count = random.between(0, 2 + often); count > 0; count--)
    faults.push(drawEnd(random, at()));
  for (let count = random.between(0, often); count > 0; count--)
    faults.push({
      kind: "eio",
      atUs: at(),
      of: random.pick(OPERATIONS),
      operation: random.between(1, 20),
    });
  for (let count = random.between(0, 2); count > 0; count--) faults.push(drawPeriod(random, at()));
  if (random.chance(0.3)) faults.push(...drawEndOfSlow(random, at()));
  return faults.toSorted((a, b) => a.atUs - b.atUs);
}

/** What others do to the appliance meanwhile, in order of time; ends of the process among it, where they tell something. */
export function drawOthers(random: Random, untilUs: number): Fault[] {
  const faults: Fault[] = [];
  for (let count = random.between(0, 3); count > 0; count--) {
    const atUs = random.between(0, untilUs);
    faults.push({ kind: "foreign", atUs, operation: random.between(0, 3) });
    // the other's commit is the last when we start again
    if (random.chance(0.3)) faults.push(drawEnd(random, atUs + random.between(0, 2_000_000)));
  }
  if (random.chance(0.5)) {
    const copyUs = random.between(1000, 3_000_000);
    const logUs = random.between(1000, 5_000_000);
    faults.push({ kind: "savepoint", atUs: random.between(0, untilUs), copyUs, logUs });
  }
  return faults.toSorted((a, b) => a.atUs - b.atUs);
}

function drawEnd(random: Random, atUs: number): Fault {
  if (random.chance(0.15)) return { kind: "stop", atUs };
  const kind = random.chance(0.6) ? "power" : "kill";
  const isAfter = random.chance(0.5);
  // between what belongs together: commits of log, checkpoint and ledger, names
  if (random.chance(0.4)) {
    const of = random.pick(["commit", "commit", "commit", "rename", "link", "fsync"] as const);
    return { kind, atUs, of, operation: random.between(1, 8), isAfter };
  }
  const operation = random.chance(0.5) ? random.between(1, 12) : random.between(0, 120);
  return { kind, atUs, of: null, operation, isAfter };
}

/** One file's syncs are slow, so that others go ahead of it, and then the machine ends. */
function drawEndOfSlow(random: Random, atUs: number): Fault[] {
  const of = random.pick(["/log/", "/log/", "state.db", "ledger.db"] as const);
  const endUs = atUs + random.between(500_000, 6_000_000);
  const slow = {
    kind: "slow",
    atUs,
    untilUs: endUs + 1_000_000,
    of,
    syncUs: random.between(100_000, 800_000),
  };
  const operation = random.between(0, 6);
  return [
    { ...slow, kind: "slow" },
    { kind: "power", atUs: endUs, of: null, operation, isAfter: random.chance(0.5) },
  ];
}

function drawPeriod(random: Random, atUs: number): Fault {
  const untilUs = atUs + random.between(500_000, 8_000_000);
  const kind = random.pick(["full", "slow", "clock", "network"] as const);
  if (kind === "full") return { kind, atUs, untilUs };
  if (kind === "slow") {
    const of = random.pick(["", "/log/", "state.db", "ledger.db"] as const);
    return { kind, atUs, untilUs, of, syncUs: random.between(10_000, 600_000) };
  }
  if (kind === "clock") return { kind, atUs, stepUs: random.between(-20_000_000, 20_000_000) };
  const lossShare = random.share() * 0.6;
  return { kind, atUs, untilUs, lossShare, delayUsMax: random.between(10_000, 8_000_000) };
}

/** Those that come between two steps. */
export type Due = Extract<Fault, { kind: "kill" | "power" | "stop" | "foreign" | "savepoint" }>;

function isBetweenSteps(fault: Fault): fault is Due {
  if (fault.kind === "stop" || fault.kind === "savepoint") return true;
  const counts = fault.kind === "kill" || fault.kind === "power" || fault.kind === "foreign";
  return counts && fault.operation === 0;
}

/** The metadata of a table. */
const VERSION = /\/metadata\/v\d+\.metadata\.json$/;

/** What the disk is told of them. */
export class DiskFaults implements Faults {
  readonly #faults: readonly Fault[];
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

  /** Told of a version of a table that another program makes first. */
  intrude: (path: string) => void = () => undefined;

  constructor(faults: readonly Fault[], nowUs: () => number, random: Random) {
    this.#faults = faults;
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

  at(operation: Operation, _path: string): Outcome {
    if (this.isOver) return "done";
    const nowUs = this.#nowUs();
    let outcome: Outcome = "done";
    if (this.isFull() && ["write", "commit", "create", "mkdir"].includes(operation)) {
      this.errors++;
      outcome = "ENOSPC";
    }
    for (const fault of this.#faults) {
      if (fault.atUs > nowUs || this.met.has(fault)) continue;
      if (fault.kind !== "kill" && fault.kind !== "power" && fault.kind !== "eio") continue;
      if (fault.of !== null && fault.of !== operation) continue;
      const left = this.#left.get(fault) ?? fault.operation;
      if (left > 1) {
        this.#left.set(fault, left - 1);
        continue;
      }
      this.met.add(fault);
      if (fault.kind === "eio") {
        this.errors++;
        return "EIO";
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

  /** How far the wall clock is from the run's time now, µs. */
  wallOffsetUs(): number {
    const nowUs = this.#nowUs();
    return this.#faults.reduce(
      (sum, fault) => (fault.kind === "clock" && fault.atUs <= nowUs ? sum + fault.stepUs : sum),
      0,
    );
  }

  #during(kind: "full" | "slow" | "network"): Fault | null {
    if (this.isOver) return null;
    const nowUs = this.#nowUs();
    return (
      this.#faults.find(
        (fault) => fault.kind === kind && fault.atUs <= nowUs && nowUs < fault.untilUs,
      ) ?? null
    );
  }
}
