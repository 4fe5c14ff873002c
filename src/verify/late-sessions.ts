// Verb: which events were late for the sessions of a view, by the plain model of the session rule (kernels/reference/session.ts) over what
// the raw relation says of them: time, keys, `_behind`. Only an event that came behind the watermark can be late, so the answer is a bit for
// each of those, and only their keys are read.
import { ReferenceSessions } from "../../kernels/reference/session.ts";
import { must } from "../base/assert.ts";
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { VERIFY_PAGE_ROWS } from "../limits.ts";
import type { Client } from "../serve/client.ts";
import { PLACE, RECORD_PLACES } from "../view/batch.ts";
import { eventKeyTexts } from "../view/key-texts.ts";
import { inRangeText } from "../view/macros.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import { reconciledOf, sinceText } from "./comparison.ts";
import { hashText, isOfPart, type KeyPart } from "./key-parts.ts";

/** Which events of a part are asked for: those that the view counts, up to a position of the log. */
export interface AskedEvents {
  readonly part: KeyPart;
  readonly position: number;
}

/** Of the events that came behind the watermark, in the log's order: a bit each, the first one in the highest bit of the first byte. */
export class LateBits {
  #bytes = new Uint8Array(1024);
  count = 0;
  lateCount = 0;

  push(isLate: boolean): void {
    const at = this.count >> 3;
    if (at === this.#bytes.length) {
      const more = new Uint8Array(2 * at);
      more.set(this.#bytes);
      this.#bytes = more;
    }
    if (isLate) {
      this.#bytes[at] = (this.#bytes[at] ?? 0) | (128 >> (this.count & 7));
      this.lateCount++;
    }
    this.count++;
  }

  base64(): string {
    return this.#bytes.subarray(0, (this.count + 7) >> 3).toBase64();
  }
}

/** What is known of a stream and a view at one log position. */
export interface Moment {
  readonly position: number;
  /** How many events came behind the watermark of those that the view counts. */
  readonly behind: number;
  /** The stream's; null: there is none yet. */
  readonly watermarkUs: bigint | null;
  /** What of the view is reconciled: the same text as long as nothing is added. */
  readonly reconciled: string;
}

/** The moment of the question. Rejects with ApplianceError. */
export async function momentOf(client: Client, { name, stream }: ViewPlan): Promise<Moment> {
  const watermark = `SELECT CAST(epoch_us(any_value(watermark)) AS VARCHAR) FROM millrace.watermarks WHERE stream = ${quoteText(stream)}`;
  const { rows, position } = await client.ask(
    `SELECT CAST(count(*) AS VARCHAR), (${watermark}), CAST(${reconciledOf(name)} AS VARCHAR)
FROM ${quoteName(stream)} WHERE _behind > 0 AND _position > ${sinceText(name)}`,
  );
  const [behind, watermarkUs, reconciled] = must(rows[0], "the counts");
  return {
    position,
    behind: Number(behind),
    watermarkUs: typeof watermarkUs === "string" ? BigInt(watermarkUs) : null,
    reconciled: String(reconciled),
  };
}

/**
 * Reads the part's events page by page: each page may be of a later position than those that are asked for. Events that were late and count after
 * all, for they are reconciled, are not late here. Rejects with ApplianceError.
 */
export async function lateInSessions(
  client: Client,
  plan: ViewPlan,
  schema: EventSchema,
  asked: AskedEvents,
): Promise<LateBits> {
  const model = new SessionModel(plan);
  const bits = new LateBits();
  for (let after = -1n; ;) {
    const answer = await client.ask(eventsText(plan, schema, asked, after));
    for (const [place, timeUs, behind, isReconciled, ...keys] of answer.rows) {
      after = BigInt(String(place));
      const behindUs = BigInt(String(behind));
      const at = { timeUs: BigInt(String(timeUs)), behindUs };
      const isLate = model.isLate(JSON.stringify(keys), at);
      if (behindUs > 0n) bits.push(isLate && isReconciled !== "true");
    }
    if (answer.rows.length < VERIFY_PAGE_ROWS) return bits;
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

/** Events of the part that came behind the watermark, as a WHERE over the stream. */
export function behindText(plan: ViewPlan, schema: EventSchema, asked: AskedEvents): string {
  const { part, position } = asked;
  return `_behind > 0 AND _position > ${sinceText(plan.name)} AND _position <= ${position} AND ${isOfPart(eventKeyTexts(plan, schema), part)}`;
}

/** Place, time, `_behind`, whether a late one counts after all, and keys of the next events, as texts: of keys of which one was behind. */
function eventsText(
  plan: ViewPlan,
  schema: EventSchema,
  asked: AskedEvents,
  after: bigint,
): string {
  const time = quoteName(eventTimeName(schema));
  const stream = quoteName(plan.stream);
  const keys = eventKeyTexts(plan, schema);
  const isReconciled = `coalesce(${inRangeText(reconciledOf(plan.name), time)}, false)`;
  const items = [PLACE, `epoch_us(${time})`, "_behind", isReconciled].map(
    (item) => `CAST(${item} AS VARCHAR)`,
  );
  const conditions = [
    `_position > ${sinceText(plan.name)}`,
    // files that are behind the page are passed over by their positions
    `_position >= ${after / RECORD_PLACES} AND ${PLACE} > ${after}`,
    `_position <= ${asked.position}`,
    `${hashText(keys)} IN (SELECT ${hashText(keys)} FROM ${stream} WHERE ${behindText(plan, schema, asked)})`,
  ];
  return `SELECT ${[...items, ...keys].join(", ")} FROM ${stream} WHERE ${conditions.join(" AND ")}
ORDER BY ${PLACE} LIMIT ${VERIFY_PAGE_ROWS}`;
}
