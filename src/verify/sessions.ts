// Verb: a view over sessions against the batch, in parts of its keys: which events of a part were late (late-sessions.ts), then the comparison
// without them. All questions are of one position. Memory is bounded by what a part holds.
import { must } from "../base/assert.ts";
import { ROWS_SHOWN_MAX, VERIFY_ATTEMPTS_MAX } from "../limits.ts";
import type { Client, Rows } from "../serve/client.ts";
import { PLACE } from "../view/batch.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import { comparisonOf, type Comparison, type ComparisonOptions } from "./comparison.ts";
import { behindText, countBehind, lateInSessions } from "./late-sessions.ts";

/** Events behind the watermark in a part of the keys, by the average: as many keys at most, at 500 bytes (100 MB). */
const PART_BEHIND = 200_000;
/** What one key may have of them: a bit each in base64 (667 KB), of the 1 MB that a question may have. */
const BEHIND_MAX = 4_000_000;

/** What a comparison found. */
export interface Compared {
  readonly comparison: Comparison;
  /** Rows that the stream has. */
  readonly rowCount: number;
  readonly differentCount: number;
  /** Rows of the answer that differ, at most ROWS_SHOWN_MAX. */
  readonly shown: readonly (readonly unknown[])[];
  readonly position: number;
}

/** Reads the answer to a comparison. */
export function comparedOf(comparison: Comparison, { rows, position }: Rows): Compared {
  const [rowCount, differentCount] = must(rows[0], "the counts");
  const isSame = Number(differentCount) === 0;
  return {
    comparison,
    rowCount: Number(rowCount),
    differentCount: Number(differentCount),
    shown: isSame ? [] : rows,
    position,
  };
}

/** Compares all parts at one position. A string is why that could not be. Rejects with ApplianceError. */
export async function compareSessions(
  client: Client,
  plan: ViewPlan,
  options: ComparisonOptions,
): Promise<Compared | string> {
  for (let attempt = 0; attempt < VERIFY_ATTEMPTS_MAX; attempt++) {
    const compared = await compareParts(client, plan, options);
    if (compared !== null) return compared;
  }
  return "events came in between its questions each time: verify sessions while the stream is quiet, or over a stopped appliance";
}

/** Null: the appliance went on in between. */
async function compareParts(
  client: Client,
  plan: ViewPlan,
  options: ComparisonOptions,
): Promise<Compared | string | null> {
  const { count: behind, position } = await countBehind(client, plan);
  const count = Math.max(1, Math.ceil(behind / PART_BEHIND));
  const parts: Compared[] = [];
  for (let index = 0; index < count; index++) {
    const asked = { part: { index, count }, position };
    const late = await lateInSessions(client, plan, options.schema, asked);
    if (late === null) return null;
    if (late.count > BEHIND_MAX)
      return `${late.count} events of some key came behind the watermark, more than the ${BEHIND_MAX} that one question may tell apart`;
    const places = `SELECT ${PLACE} AS place, row_number() OVER (ORDER BY ${PLACE}) - 1 AS nth
      FROM ${quoteName(plan.stream)} WHERE ${behindText(plan, options.schema, asked)}`;
    const isLate = `get_bit(CAST(from_base64(${quoteText(late.base64())}) AS BIT), CAST(nth AS INTEGER)) = 1`;
    const latePlaces = `SELECT place FROM (${places}) WHERE ${late.lateCount === 0 ? "false" : isLate}`;
    const comparison = comparisonOf(plan, {
      ...options,
      sessions: { part: asked.part, latePlaces },
    });
    const compared = comparedOf(comparison, await client.ask(comparison.sql));
    if (compared.position !== position) return null;
    parts.push(compared);
  }
  return together(parts);
}

function together(parts: readonly Compared[]): Compared {
  const sum = (of: (part: Compared) => number): number =>
    parts.reduce((total, part) => total + of(part), 0);
  return {
    ...must(parts[0], "a part"),
    rowCount: sum(({ rowCount }) => rowCount),
    differentCount: sum(({ differentCount }) => differentCount),
    shown: parts.flatMap(({ shown }) => shown).slice(0, ROWS_SHOWN_MAX),
  };
}
