// Named failpoints: the moments of durable steps at which tests kill the process or fail the disk. This file owns the list of steps and the
// plan of one run; it reads no environment (main.ts does) and does no I/O besides ending the process when told to.
import { existsSync } from "node:fs";

/**
 * Every durable step by name, in the order of the path. Each room adds its own: the compiler knows no other names, and
 * test/e2e/failpoints.test.ts kills a process at each (those of savepoints, restores and shipments: test/e2e/copy-failpoints.test.ts). "write": of a file or of a
 * transaction, which may be killed in its middle too; "change": what the file system does at once.
 */
export const STEPS = {
  // log: data-folder.ts, sqlite-log.ts
  "log.probe.write": "write",
  "log.probe.unlink": "change",
  "log.lock.make": "change",
  "log.identity": "write",
  "log.file.prepare": "write",
  "log.file.publish": "change",
  "log.append": "write",
  "log.roll": "change",
  "log.recover.sync": "change",
  "log.trim.db": "change",
  "log.trim.sync": "change",
  "log.trim.wal": "change",
  // checkpoint: sqlite-store.ts
  "checkpoint.file.make": "write",
  "checkpoint.schema": "write",
  "checkpoint.recover.sync": "change",
  "checkpoint.save": "write",
  "checkpoint.merge": "change",
  // sealer.ts, seal-jobs.ts
  "checkpoint.seal.create": "change",
  "checkpoint.seal.sync": "change",
  "checkpoint.seal.abandon": "change",
  "checkpoint.seal.unlink": "change",
  // table: table-export.ts, ledger.ts, iceberg-table.ts, tables.ts
  "table.data.write": "write",
  "table.data.unlink": "change",
  "table.ledger.make": "write",
  "table.ledger.recover.sync": "change",
  "table.ledger.open": "write",
  "table.ledger.register": "write",
  "table.ledger.raise": "write",
  "table.ledger.record": "write",
  "table.ledger.advance": "write",
  "table.ledger.mark": "write",
  "table.ledger.forget": "write",
  "table.manifest.write": "write",
  "table.merged.write": "write",
  "table.reduced.write": "write",
  "table.list.write": "write",
  "table.metadata.write": "write",
  "table.metadata.link": "change",
  "table.metadata.unlink": "change",
  "table.recover.sync": "change",
  "table.hint.write": "write",
  "table.hint.rename": "change",
  "table.hint.unlink": "change",
  "table.expire.unlink": "change",
  "table.conflict.unlink": "change",
  "table.sweep.unlink": "change",
  "table.orphan.unlink": "change",
  "table.replaced.unlink": "change",
  // savepoint: folder.ts, sqlite-copy.ts, copy-log.ts, restore.ts, relocate.ts
  "savepoint.begin": "write",
  "savepoint.database.make": "write",
  "savepoint.database.write": "write",
  "savepoint.log.make": "write",
  "savepoint.log.append": "change",
  "savepoint.log.unlink": "change",
  "savepoint.file.link": "change",
  "savepoint.file.create": "change",
  "savepoint.file.sync": "change",
  "savepoint.file.abandon": "change",
  "savepoint.file.write": "write",
  "savepoint.folder.sync": "change",
  "savepoint.manifest.write": "write",
  "savepoint.manifest.rename": "change",
  "savepoint.end": "change",
  "savepoint.abandon": "change",
  "restore.file.create": "change",
  "restore.file.sync": "change",
  "restore.file.abandon": "change",
  "restore.table.unlink": "change",
  "restore.table.write": "write",
  "restore.place.rename": "change",
  "restore.tmp.remove": "change",
  "restore.identity.rename": "change",
  "restore.place.remove": "change",
  "restore.abandon": "change",
  // ship: claim.ts, log-shipper.ts, stage.ts, shipper.ts
  "ship.note.unlink": "change",
  "ship.note.write": "write",
  "ship.note.rename": "change",
  "ship.owner.put": "change",
  "ship.segment.put": "change",
  "ship.stage.remove": "change",
  "ship.chunk.put": "change",
  "ship.shipment.put": "change",
  "ship.object.remove": "change",
  // doctor: repair.ts
  "doctor.remove": "change",
  "doctor.move": "change",
  "doctor.sync": "change",
  "doctor.traces": "change",
  // disk-files.ts
  "files.folder.make": "change",
} as const satisfies Readonly<Record<string, "write" | "change">>;

/** A durable step by name: dots separate room, file kind and step. */
export type Step = keyof typeof STEPS;

/** Where free room is measured: not a step, but the disk may fail or be full there. */
const MEASURE = "files.free.measure";

/**
 * A moment of a step. `inside` a write: a file has half of its bytes, a transaction is not committed; what was written is not synced. `after`: before
 * anything else happens.
 */
export type Failpoint = `${Step}.${"before" | "inside" | "after"}` | typeof MEASURE;

/** All failpoints, in the order of their steps. */
export const FAILPOINTS: readonly Failpoint[] = [
  ...(Object.keys(STEPS) as Step[]).flatMap((step): Failpoint[] =>
    STEPS[step] === "write"
      ? [`${step}.before`, `${step}.inside`, `${step}.after`]
      : [`${step}.before`, `${step}.after`],
  ),
  MEASURE,
];

/** Runs a durable step that another library carries out (a SQLite transaction), between its failpoints. */
export function durably<T>(
  files: { readonly reach: (failpoint: Failpoint) => void },
  step: Step,
  run: () => T,
): T {
  files.reach(`${step}.before`);
  const result = run();
  files.reach(`${step}.after`);
  return result;
}

/** As `durably`, for a step that a store carries out. */
export async function durablyAway<T>(
  files: { readonly reach: (failpoint: Failpoint) => void },
  step: Step,
  run: () => Promise<T>,
): Promise<T> {
  files.reach(`${step}.before`);
  const result = await run();
  files.reach(`${step}.after`);
  return result;
}

/** What happens at a failpoint: the process is killed as by `kill -9`, the step throws an OS error of that code, or the thread waits first: a slow disk. */
export type FailpointAction = "kill" | "EIO" | "ENOSPC" | { readonly waitMs: number };

/** One armed failpoint: at the `countdown`-th time (from 1) that `name` is reached, and unless it is the end at later times up to the `last`-th. */
export interface FailpointPlan {
  readonly name: Failpoint;
  readonly countdown: number;
  /** Absent: for good. */
  readonly last?: number;
  readonly action: FailpointAction;
  /** Absent: from the start. Else times are counted, and the plan holds, only while there is a file at this path. */
  readonly while?: string;
}

/** Operating error: the text of MILLRACE_FAILPOINT is not a plan. */
export class FailpointPlanError extends Error {
  override readonly name = "FailpointPlanError";
}

/**
 * Parses `name[:n[-m]]:kill|error|eio|enospc|wait<ms>[@PATH]`, several with commas between them, as main.ts finds them in MILLRACE_FAILPOINT: n from 1, default 1;
 * `n-m`: the disk is well again after the m-th time; "error" means EIO; `@PATH`: only while there is a file. Throws FailpointPlanError for anything else.
 */
export function parseFailpointPlans(text: string): FailpointPlan[] {
  return text.split(",").map(parsePlan);
}

function parsePlan(text: string): FailpointPlan {
  const [what = "", path] = text.split("@");
  const parts = what.split(":");
  const [name = "", second = "", third] = parts;
  const action = actionOf(third ?? second);
  const times = third === undefined ? "1" : second;
  const [countdown = 0, last] = times.split("-").map(Number);
  const failpoint = FAILPOINTS.find((known) => known === name);
  if (failpoint === undefined)
    throw new FailpointPlanError(`unknown failpoint "${name}"; one of: ${FAILPOINTS.join(", ")}`);
  const isRange = /^[1-9]\d*(-[1-9]\d*)?$/.test(times) && countdown <= (last ?? countdown);
  if (parts.length > 3 || action === null || !isRange || path === "")
    throw new FailpointPlanError(
      `"${text}" is not name[:n]:kill|error|eio|enospc|wait<ms>[@PATH] with n from 1, or n-m`,
    );
  return {
    name: failpoint,
    countdown,
    action,
    ...(last === undefined ? {} : { last }),
    ...(path === undefined ? {} : { while: path }),
  };
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
    default: {
      const waitMs = /^wait([1-9]\d{0,6})$/.exec(word)?.[1];
      return waitMs === undefined ? null : { waitMs: Number(waitMs) };
    }
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

/** Blocks the thread. */
function wait(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Counts the steps of one Files adapter and acts at the armed ones. Does nothing when there are no plans. */
export class Failpoints {
  readonly #plans: readonly FailpointPlan[];
  readonly #reached = new Map<FailpointPlan, number>();

  constructor(plans: readonly FailpointPlan[]) {
    this.#plans = plans;
  }

  /** Called at each step. Throws FailpointError, or does not return, when a plan says so. */
  reach(failpoint: Failpoint): void {
    for (const plan of this.#plans) if (plan.name === failpoint) this.#act(plan);
  }

  #act(plan: FailpointPlan): void {
    if (plan.while !== undefined && !existsSync(plan.while)) return;
    const reached = (this.#reached.get(plan) ?? 0) + 1;
    this.#reached.set(plan, reached);
    if (reached < plan.countdown || reached > (plan.last ?? Infinity)) return;
    if (typeof plan.action === "object") return wait(plan.action.waitMs);
    if (plan.action !== "kill") throw new FailpointError(plan.action, plan.name);
    process.kill(process.pid, "SIGKILL");
    // The signal is delivered asynchronously: nothing may happen in between.
    return wait(Infinity);
  }

  /** As `reach` where room is asked for: an ENOSPC is the answer, not an error. */
  isFull(): boolean {
    try {
      this.reach(MEASURE);
      return false;
    } catch (error) {
      if (error instanceof FailpointError && error.code === "ENOSPC") return true;
      throw error;
    }
  }
}
