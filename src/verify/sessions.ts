// Verb: a view over sessions against the batch, in parts of its keys: which events of a part were late (late-sessions.ts), then the comparison
// without them. All parts are of one position. Memory is bounded by what a part holds.
import { must } from "../base/assert.ts";
import { ROWS_SHOWN_MAX, VERIFY_ATTEMPTS_MAX } from "../limits.ts";
import type { Client, Rows } from "../serve/client.ts";
import { PLACE } from "../view/batch.ts";
import { finalityOf, type ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import {
  comparisonOf,
  type Comparison,
  type ComparisonOptions,
  type FinalRows,
} from "./comparison.ts";
import { behindText, lateInSessions, momentOf, type Moment } from "./late-sessions.ts";

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
  /** Rows that were not final at the position are left out. */
  readonly isFinalOnly: boolean;
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
    isFinalOnly: false,
  };
}

/**
 * Compares all parts at one position, that of the first question: all sessions while no events come in, else those that were final there, which no
 * later event changes. A string is why that could not be. Rejects with ApplianceError.
 */
export async function compareSessions(
  client: Client,
  plan: ViewPlan,
  options: ComparisonOptions,
): Promise<Compared | string> {
  const finality = finalityOf(plan);
  for (let attempt = 0; attempt < VERIFY_ATTEMPTS_MAX; attempt++) {
    const moment = await momentOf(client, plan);
    const final =
      attempt === 0 || options.until !== undefined || finality === null || finality === "always"
        ? null
        : { ...finality, watermarkUs: moment.watermarkUs };
    const compared = await compareParts(client, plan, options, { moment, final });
    if (compared !== null) return compared;
  }
  return finality === null
    ? "events came in between its questions each time, and without window_end among its columns no row says whether it is final: verify it while the stream is quiet"
    : "late events were brought in (reconcile) between its questions each time: verify it when that has ended";
}

/** Null: the appliance went on in between, to where what is compared may be another. */
async function compareParts(
  client: Client,
  plan: ViewPlan,
  options: ComparisonOptions,
  { moment, final }: { readonly moment: Moment; readonly final: FinalRows | null },
): Promise<Compared | string | null> {
  const { position } = moment;
  const { until = final === null ? undefined : position } = options;
  const count = Math.max(1, Math.ceil(moment.behind / PART_BEHIND));
  const parts: Compared[] = [];
  for (let index = 0; index < count; index++) {
    const asked = { part: { index, count }, position };
    const late = await lateInSessions(client, plan, options.schema, asked);
    if (late.count > BEHIND_MAX)
      return `${late.count} events of some key came behind the watermark, more than the ${BEHIND_MAX} that one question may tell apart`;
    const places = `SELECT ${PLACE} AS place, row_number() OVER (ORDER BY ${PLACE}) - 1 AS nth
      FROM ${quoteName(plan.stream)} WHERE ${behindText(plan, options.schema, asked)}`;
    const isLate = `get_bit(CAST(from_base64(${quoteText(late.base64())}) AS BIT), CAST(nth AS INTEGER)) = 1`;
    const latePlaces = `SELECT place FROM (${places}) WHERE ${late.lateCount === 0 ? "false" : isLate}`;
    const comparison = comparisonOf(plan, {
      ...options,
      ...(until === undefined ? {} : { until }),
      sessions: { part: asked.part, latePlaces, ...(final === null ? {} : { final }) },
    });
    const compared = comparedOf(comparison, await client.ask(comparison.sql));
    if (until === undefined && compared.position !== position) return null;
    parts.push(compared);
  }
  const { reconciled } = await momentOf(client, plan);
  if (reconciled !== moment.reconciled) return null;
  return { ...together(parts), position, isFinalOnly: final !== null };
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
