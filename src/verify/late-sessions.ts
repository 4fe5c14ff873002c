// Verb: which events were late for the sessions of a view, by the plain model of the session rule (kernels/reference/session.ts) over what
// the raw relation says of them: time, keys, `_behind`.
import { ReferenceSessions } from "../../kernels/reference/session.ts";
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { VERIFY_PAGE_ROWS } from "../limits.ts";
import type { Client } from "../serve/client.ts";
import { columnText, PLACE } from "../view/batch.ts";
import { RANGE } from "../view/macros.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteName, renderExpr } from "../view/render.ts";
import { reconciledOf, sinceText } from "./comparison.ts";

/** The late events up to a position of the log, without those that were reconciled. */
export interface LateInSessions {
  readonly position: number;
  /** Places (PLACE in view/batch.ts), in the log's order. */
  readonly late: readonly bigint[];
}

/** Reads the events that the view counts, page by page, up to the position of the first page. Rejects with ApplianceError. */
export async function lateInSessions(
  client: Client,
  plan: ViewPlan,
  schema: EventSchema,
): Promise<LateInSessions> {
  const model = new SessionModel(plan);
  const late: bigint[] = [];
  let position: number | null = null;
  for (let after = -1n; ;) {
    const answer = await client.ask(eventsText(plan, schema, { after, upTo: position }));
    position ??= answer.position;
    for (const [place, timeUs, behindUs, isReconciled, ...keys] of answer.rows) {
      after = BigInt(String(place));
      const at = { timeUs: BigInt(String(timeUs)), behindUs: BigInt(String(behindUs)) };
      const isLate = model.isLate(JSON.stringify(keys), at);
      if (isLate && isReconciled !== "true") late.push(after);
    }
    if (answer.rows.length < VERIFY_PAGE_ROWS) return { position, late };
  }
}

/** The sessions of each key by themselves. */
class SessionModel {
  readonly #gapUs: bigint;
  readonly #allowedUs: bigint | null;
  readonly #sessions = new Map<string, ReferenceSessions<null>>();
  #watermarkUs: bigint | null = null;

  constructor({ window, late }: ViewPlan) {
    this.#gapUs = BigInt(window?.kind === "session" ? window.gapUs : 0);
    this.#allowedUs = late.policy === "update" ? BigInt(late.allowedUs) : null;
  }

  /**
   * Where it decides, the watermark before an event is known: an event that is behind has it at time + `_behind`, and one that is not
   * touches nothing that the watermark has passed.
   */
  isLate(key: string, { timeUs, behindUs }: { timeUs: bigint; behindUs: bigint }): boolean {
    const beforeUs = timeUs + behindUs;
    if (behindUs > 0n && (this.#watermarkUs === null || beforeUs > this.#watermarkUs))
      this.#watermarkUs = beforeUs;
    let sessions = this.#sessions.get(key);
    if (sessions === undefined) {
      sessions = new ReferenceSessions(this.#gapUs, this.#allowedUs, false);
      this.#sessions.set(key, sessions);
    }
    if (this.#watermarkUs !== null) sessions.advance(this.#watermarkUs);
    return sessions.add(key, timeUs, null).kind === "late";
  }
}

/** Place, time, `_behind`, whether a late one counts after all, and keys of the next events, as texts. */
function eventsText(
  plan: ViewPlan,
  schema: EventSchema,
  page: { readonly after: bigint; readonly upTo: number | null },
): string {
  const time = quoteName(eventTimeName(schema));
  const render = {
    column: (ref: Parameters<typeof columnText>[0]) => columnText(ref, schema),
    guarded: true,
  };
  // 0 and -0 are one key, with one text.
  const keys = plan.keys.map(({ expr, type }) => {
    const text = renderExpr(expr, render);
    const isFloating = type.kind === "DOUBLE" || type.kind === "FLOAT";
    return `CAST(${isFloating ? `${text} + 0` : text} AS VARCHAR)`;
  });
  const holds = `_position <= ${RANGE}.raw_position AND ${time} >= ${RANGE}.window_from AND ${time} < ${RANGE}.window_to`;
  const isReconciled = `coalesce(len(list_filter(${reconciledOf(plan.name)}, lambda ${RANGE}: ${holds})) > 0, false)`;
  const items = [PLACE, `epoch_us(${time})`, "_behind", isReconciled].map(
    (item) => `CAST(${item} AS VARCHAR)`,
  );
  const conditions = [`_position > ${sinceText(plan.name)}`, `${PLACE} > ${page.after}`];
  if (page.upTo !== null) conditions.push(`_position <= ${page.upTo}`);
  return `SELECT ${[...items, ...keys].join(", ")} FROM ${quoteName(plan.stream)} WHERE ${conditions.join(" AND ")}
ORDER BY ${PLACE} LIMIT ${VERIFY_PAGE_ROWS}`;
}
