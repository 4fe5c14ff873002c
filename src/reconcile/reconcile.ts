// Verb: late events into final windows and sessions of a view. What is published is done, and a run that ended half-way is gone on with by
// the next. Knows nothing of threads and HTTP.
import { must } from "../base/assert.ts";
import { standingOf, standingText } from "./questions.ts";
import { reconcileSessions } from "./session-run.ts";
import {
  ReconcileError,
  Tally,
  type ReconcileOrder,
  type ReconcilePorts,
  type ReconcileReport,
} from "./tally.ts";
import { reconcileWindows } from "./window-run.ts";

/** Reconciles. Rejects with ReconcileError, and as the ports do. */
export async function reconcile(
  order: ReconcileOrder,
  ports: ReconcilePorts,
): Promise<ReconcileReport> {
  const plan = must(order.plans[0], "a view");
  const standing = standingOf(plan.name, await ports.ask(standingText(plan, order.schema), null));
  if (standing.missingCount > 0)
    throw new ReconcileError(
      `${standing.missingCount} of the events that ${plan.name} counted are no longer among the raw events (export.raw was off for a while): its windows cannot be computed anew`,
    );
  if (standing.watermarkUs === null || order.fromUs >= order.toUs)
    return new Tally(order, ports, standing).report;
  return plan.window?.kind === "session"
    ? reconcileSessions(order, ports, standing)
    : reconcileWindows(order, ports, standing);
}
