// The machine that runs now. Modules of the product that take an adapter by import (node:fs, bun:sqlite, timers) get one of the simulator's,
// which finds its machine here: one process simulates one machine at a time, and steps never interleave.
import type { SimDisk } from "./disk.ts";
import type { Random } from "./random.ts";
import type { Actor, Scheduler } from "./scheduler.ts";

/** A process on a machine: its disk, its threads, its clock. */
export interface MachineNow {
  readonly disk: SimDisk;
  readonly scheduler: Scheduler;
  /** For what the product draws: names of files, ids of snapshots. */
  readonly random: Random;
  /** µs since the epoch, as the machine's wall clock says: steps of it are faults. */
  readonly wallUs: () => number;
  /** A new thread of the process, or null once it has ended. */
  readonly thread: (name: string) => Actor;
}

let current: MachineNow | null = null;

export function machine(): MachineNow {
  if (current === null) throw new Error("no machine runs");
  return current;
}

export function runOn(next: MachineNow | null): void {
  current = next;
}
