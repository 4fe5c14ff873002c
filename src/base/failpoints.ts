// Named failpoints: the steps at which tests kill the process or fail the disk. This file owns the list of names and the plan of
// one run; it reads no environment (main.ts does) and does no I/O besides ending the process when told to.
import type { Failpoint } from "./files.ts";

/**
 * Every durable step by name, in the order of the path. Each room appends its own; a test enumerates them and `parseFailpointPlan`
 * refuses others, so that a misspelt name cannot make a test pass. A step that SQLite carries out has one name before and one after it.
 */
export const FAILPOINTS: readonly Failpoint[] = [
  // log: data-folder.ts, sqlite-log.ts
  "log.folder.probe",
  "log.identity.before",
  "log.identity.after",
  "log.file.prepare",
  "log.file.publish",
  "log.append.before",
  "log.append.after",
  "log.roll.before",
  "log.roll.after",
  "log.recover.sync",
  "log.trim.db",
  "log.trim.sync",
  "log.trim.wal",
  // checkpoint: sqlite-store.ts
  "checkpoint.file.make",
  "checkpoint.recover.sync",
  "checkpoint.save.before",
  "checkpoint.save.inside",
  "checkpoint.save.after",
  // sealer.ts, seal-jobs.ts
  "checkpoint.seal.create",
  "checkpoint.seal.sync",
  "checkpoint.seal.unlink",
  // table: table-export.ts, ledger.ts, iceberg-table.ts, tables.ts
  "table.data.write",
  "table.data.unlink",
  "table.ledger.make",
  "table.ledger.recover.sync",
  "table.ledger.before",
  "table.ledger.after",
  "table.manifest.write",
  "table.merged.write",
  "table.reduced.write",
  "table.list.write",
  "table.metadata.write",
  "table.metadata.link",
  "table.metadata.unlink",
  "table.hint.write",
  "table.hint.rename",
  "table.hint.unlink",
  "table.expire.unlink",
  "table.conflict.unlink",
  "table.committed.before",
  "table.committed.after",
  "table.sweep.unlink",
  "table.orphan.unlink",
  "table.replaced.unlink",
  // doctor: repair.ts
  "doctor.remove",
  "doctor.move",
  "doctor.sync",
  "doctor.traces",
  // disk-files.ts
  "files.folder.make",
  "files.free.measure",
];

/** What happens at a failpoint: the process is killed as by `kill -9`, or the step throws an OS error of that code. */
export type FailpointAction = "kill" | "EIO" | "ENOSPC";

/** One armed failpoint: at the `countdown`-th time (from 1) that `name` is reached, and for errors at later times up to the `last`-th. */
export interface FailpointPlan {
  readonly name: Failpoint;
  readonly countdown: number;
  /** Absent: for good. */
  readonly last?: number;
  readonly action: FailpointAction;
}

/** Operating error: the text of MILLRACE_FAILPOINT is not a plan. */
export class FailpointPlanError extends Error {
  override readonly name = "FailpointPlanError";
}

/**
 * Parses `name[:n]:kill|error|eio|enospc` (n from 1, default 1; `n-m`: the disk is well again after the m-th time; "error" means
 * EIO), as main.ts finds it in MILLRACE_FAILPOINT. Throws FailpointPlanError for anything else.
 */
export function parseFailpointPlan(text: string): FailpointPlan {
  const parts = text.split(":");
  const [name = "", second = "", third] = parts;
  const action = actionOf(third ?? second);
  const times = third === undefined ? "1" : second;
  const [countdown = 0, last] = times.split("-").map(Number);
  if (!FAILPOINTS.includes(name))
    throw new FailpointPlanError(`unknown failpoint "${name}"; one of: ${FAILPOINTS.join(", ")}`);
  const isRange = /^[1-9]\d*(-[1-9]\d*)?$/.test(times) && countdown <= (last ?? countdown);
  if (parts.length > 3 || action === null || !isRange)
    throw new FailpointPlanError(
      `"${text}" is not name[:n]:kill|error|eio|enospc with n from 1, or n-m`,
    );
  return { name, countdown, action, ...(last === undefined ? {} : { last }) };
}

function actionOf(word: string): FailpointAction | null {
  switch (word) {
    case "kill":
      return "kill";
    case "error":
    case "eio":
      return "EIO";
    case "enospc":
      return "ENOSPC";
    default:
      return null;
  }
}

/** An OS error as the disk would give it, thrown by an armed failpoint. */
export class FailpointError extends Error {
  override readonly name = "FailpointError";
  readonly code: "EIO" | "ENOSPC";
  constructor(code: "EIO" | "ENOSPC", failpoint: Failpoint) {
    super(`${code}: ${code === "EIO" ? "i/o error" : "no space left on device"}, at ${failpoint}`);
    this.code = code;
  }
}

/** Counts the steps of one Files adapter and acts at the armed one. Does nothing when no plan is given. */
export class Failpoints {
  readonly #plan: FailpointPlan | null;
  #reached = 0;

  constructor(plan: FailpointPlan | null) {
    this.#plan = plan;
  }

  /** Called at each step. Throws FailpointError, or does not return, when the plan says so. */
  reach(failpoint: Failpoint): void {
    const plan = this.#plan;
    if (plan === null || plan.name !== failpoint) return;
    this.#reached++;
    if (this.#reached < plan.countdown || this.#reached > (plan.last ?? Infinity)) return;
    if (plan.action !== "kill") throw new FailpointError(plan.action, failpoint);
    process.kill(process.pid, "SIGKILL");
    // The signal is delivered asynchronously: nothing may happen in between.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }

  /** As `reach` where room is asked for: an ENOSPC is the answer, not an error. */
  isFull(failpoint: Failpoint): boolean {
    try {
      this.reach(failpoint);
      return false;
    } catch (error) {
      if (error instanceof FailpointError && error.code === "ENOSPC") return true;
      throw error;
    }
  }
}
