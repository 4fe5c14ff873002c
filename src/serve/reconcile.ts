// Verb: POST /v1/reconcile -> lines of progress as JSON, then one with the report or the problem: without that last line it did not end.
// Owns the wire; what is reconciled is decided elsewhere.
import { timeUs } from "../base/iso-time.ts";
import { SQL_BODY_BYTES_MAX } from "../limits.ts";
import type { ReconcileProgress } from "../reconcile/tally.ts";
import { readBody } from "./body.ts";
import type { Reconcile, ReconcileRequest, Refusal } from "./deps.ts";
import { refuse } from "./problem.ts";
import { progressResponse } from "./progress.ts";

/** Reads `{"view": "v", "from": TIME, "to": TIME, "dry_run": false}`. */
export async function readReconcile(request: Request): Promise<ReconcileRequest | Refusal> {
  const body = await readBody(request, SQL_BODY_BYTES_MAX);
  if ("kind" in body) return body;
  let given: unknown;
  try {
    given = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return refuse(400, "bad_request", 'send {"view": NAME, "from": TIME, "to": TIME}');
  }
  const {
    view,
    from,
    to,
    dry_run: dry = false,
    ...unknown
  } = (given ?? {}) as Record<string, unknown>;
  const [name] = Object.keys(unknown);
  if (name !== undefined)
    // a dry run that is misspelt would be a real one
    return refuse(
      400,
      "bad_request",
      `${JSON.stringify(name)} is not known; send "view", "from", "to" and "dry_run"`,
    );
  const [fromUs, toUs] = [from, to].map((text) => (typeof text === "string" ? timeUs(text) : null));
  if (typeof view !== "string" || typeof dry !== "boolean" || fromUs == null || toUs == null)
    return refuse(
      400,
      "bad_request",
      '"view" is a name, "from" and "to" are times such as 2019-10-01T00:30:00Z, "dry_run" is true or false',
    );
  if (fromUs >= toUs)
    return refuse(400, "bad_range", `the range ends at ${String(to)}, not after ${String(from)}`);
  return { view, fromUs, toUs, isDry: dry };
}

/** The answer, as the run goes. What refuses at once is a problem of its own. */
export function reconcileResponse(
  reconcile: Reconcile,
  request: ReconcileRequest,
  aliveMs?: number,
): Promise<Response | Refusal> {
  const first: ReconcileProgress = { lateEventsDone: 0, lateEventsAll: 0 };
  return progressResponse((tell) => reconcile.start(request, tell), first, aliveMs);
}
