// Verb: every view that is asked for against a recomputation by DuckDB from the raw events, over a running appliance -> verdicts, and
// their text. Exit codes: 0 all the same, 1 something differs, 2 a view could not be verified.
import type { EventSchema } from "../event/schema.ts";
import { must } from "../base/assert.ts";
import { ROWS_SHOWN_MAX } from "../limits.ts";
import { ApplianceError, type Client } from "../serve/client.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteText } from "../view/render.ts";
import {
  comparisonOf,
  type Comparison,
  type ComparisonOptions,
  type VerifyRange,
} from "./comparison.ts";
import { comparedOf, compareSessions, type Compared } from "./sessions.ts";

/** One value, or a whole row, that differs. `null` of a side: the value is NULL; rows are told by `what`. */
export interface Difference {
  /** `window_start=2019-10-01T00:00:00Z page_url=/a`. */
  readonly key: string;
  readonly what: string;
}

export type Verdict =
  | {
      readonly kind: "compared";
      readonly view: string;
      /** The log position of stream and batch. */
      readonly position: number;
      /** Rows that the stream has. */
      readonly rowCount: number;
      readonly differentCount: number;
      /** Of at most ROWS_SHOWN_MAX rows. */
      readonly differences: readonly Difference[];
      readonly shownCount: number;
      readonly note: string | null;
      /** The view is suspended after `position`, and not compared beyond it. */
      readonly isSuspended: boolean;
    }
  | { readonly kind: "failed"; readonly view: string; readonly why: string };

export interface VerifyOptions {
  /** All plans of the configuration: a rollup is computed by the view at its bottom. */
  readonly plans: readonly ViewPlan[];
  readonly schemas: ReadonlyMap<string, { readonly schema: EventSchema }>;
  readonly range: VerifyRange | null;
}

/** Compares one view. What the appliance refuses is a verdict too. */
export async function verifyView(
  client: Client,
  plan: ViewPlan,
  options: VerifyOptions,
): Promise<Verdict> {
  const { name } = plan;
  const why = cannotVerify(plan, options.range);
  if (why !== null) return { kind: "failed", view: name, why };
  const { schema } = must(options.schemas.get(plan.stream), `schema of ${plan.stream}`);
  const bottom = bottomOf(plan, options.plans);
  const base = {
    schema,
    range: options.range,
    rowsMax: ROWS_SHOWN_MAX,
    ...(bottom === plan ? {} : { bottom }),
  };
  try {
    const until = await standsAt(client, name);
    if (typeof until === "string") return { kind: "failed", view: name, why: until };
    const asking = until === null ? base : { ...base, until };
    const asked =
      plan.window?.kind === "session"
        ? await compareSessions(client, plan, asking)
        : await compare(client, plan, asking);
    if (typeof asked === "string") return { kind: "failed", view: name, why: asked };
    const { comparison, shown, rowCount, differentCount } = asked;
    return {
      kind: "compared",
      view: name,
      position: until ?? asked.position,
      isSuspended: until !== null,
      rowCount,
      differentCount,
      differences: shown.flatMap((row) => differencesOf(comparison, row)),
      shownCount: shown.length,
      note: notesOf(asked),
    };
  } catch (error) {
    if (!(error instanceof ApplianceError)) throw error;
    const advice = /took too long|stopped after|memory/i.test(error.message)
      ? `; give a range of time: millrace verify ${name} FROM TO`
      : "";
    return { kind: "failed", view: name, why: `${error.message}${advice}` };
  }
}

function notesOf({ comparison: { membership }, isFinalOnly }: Compared): string | null {
  const left = isFinalOnly
    ? "events came in between the questions: sessions that were not final at that position are left out"
    : null;
  const notes = [membership, left].filter((note) => note !== null);
  return notes.length === 0 ? null : notes.join("; ");
}

/** Where a view stands that is suspended; null: it runs, and is compared where the question is. A string: why it cannot be compared. */
async function standsAt(client: Client, view: string): Promise<number | string | null> {
  const reader = quoteText(`view:${view}`);
  const { rows } = await client.ask(
    `SELECT state, CAST(position AS VARCHAR) FROM millrace.readers WHERE reader = ${reader}`,
  );
  const [state, position] = must(rows[0], "the view's reader");
  if (state === "running") return null;
  if (state === "suspended") return Number(position);
  return state === "catching up"
    ? `it was suspended and catches up: it is at log position ${String(position)}. Verify it when millrace.readers says that it runs`
    : "it is suspended and gave its state back: what its open windows held is gone";
}

async function compare(
  client: Client,
  plan: ViewPlan,
  options: ComparisonOptions,
): Promise<Compared> {
  const comparison = comparisonOf(plan, options);
  return comparedOf(comparison, await client.ask(comparison.sql));
}

function cannotVerify({ window }: ViewPlan, range: VerifyRange | null): string | null {
  if (window === null && range !== null)
    return "a view without windows is verified as a whole: leave out the range";
  return null;
}

function bottomOf(plan: ViewPlan, plans: readonly ViewPlan[]): ViewPlan {
  if (plan.rollupOf === null) return plan;
  const lower = must(
    plans.find(({ name }) => name === plan.rollupOf),
    `view ${plan.rollupOf}`,
  );
  return bottomOf(lower, plans);
}

function shownValue(value: unknown): string {
  return typeof value === "string" ? value : "NULL";
}

function differencesOf({ keys, values }: Comparison, row: readonly unknown[]): Difference[] {
  const [, , streamCopies, batchCopies, ...cells] = row;
  const key = keys.map((name, index) => `${name}=${shownValue(cells[index])}`).join(" ");
  const copies = Number(streamCopies);
  const wanted = Number(batchCopies);
  if (copies === 0) return [{ key, what: "only the batch has this row" }];
  if (wanted === 0) return [{ key, what: "only the stream has this row" }];
  if (copies !== wanted)
    return [
      { key, what: `the row is there ${copies} times in the stream, ${wanted} in the batch` },
    ];
  return values.flatMap((name, index) => {
    const at = keys.length + index * 3;
    if (cells[at + 2] === true) return [];
    const [stream, batch] = [shownValue(cells[at]), shownValue(cells[at + 1])];
    return [{ key, what: `${name}: stream ${stream}, batch ${batch}` }];
  });
}

/** What an operator reads of a verdict; the differences below it. */
export function verdictText(verdict: Verdict): string {
  if (verdict.kind === "failed") return `${verdict.view}: NOT VERIFIED: ${verdict.why}`;
  const { view, position, rowCount, differentCount, differences, shownCount, note } = verdict;
  const stands = verdict.isSuspended ? ", where it is SUSPENDED: /health says why" : "";
  const rows = `${rowCount.toLocaleString("en-US")} rows at position ${position}${stands}`;
  const lines =
    differentCount === 0
      ? [`${view}: same: ${rows}`]
      : [
          `${view}: DIFFERENT: ${differentCount.toLocaleString("en-US")} rows differ; the stream has ${rows}`,
        ];
  lines.push(...differences.map(({ key, what }) => `  ${key}  ${what}`));
  const more = differentCount - shownCount;
  if (more > 0) lines.push(`  and ${more.toLocaleString("en-US")} more rows`);
  if (note !== null) lines.push(`  note: ${note}`);
  return lines.join("\n");
}

/** The exit code of several verdicts: one that could not be reached, or not beyond where a view stopped, counts before a difference. */
export function exitCodeOf(verdicts: readonly Verdict[]): 0 | 1 | 2 {
  if (verdicts.some((verdict) => verdict.kind === "failed" || verdict.isSuspended)) return 2;
  return verdicts.some((verdict) => verdict.kind === "compared" && verdict.differentCount > 0)
    ? 1
    : 0;
}
