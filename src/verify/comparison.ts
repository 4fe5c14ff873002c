// Verb (pure): a plan -> one question that computes the view anew from the raw events and compares it with the view's rows, value by
// value, inside DuckDB. One question sees one position, so stream and batch are of the same moment. Knows nothing of who is asked.
// Names with a blank are ours: those of streams and views are plain words (config/load.ts).
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { must } from "../base/assert.ts";
import { isoTime } from "../base/iso-time.ts";
import { batchText, PLACE, rollupStartsText } from "../view/batch.ts";
import { eventKeyTexts, rowKeyTexts } from "../view/key-texts.ts";
import { RANGE } from "../view/macros.ts";
import type { Aggregate, Expr, OutputColumn, ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import { isOfPart, type KeyPart } from "./key-parts.ts";

/** Windows that begin in [fromUs, toUs); null: all. */
export interface VerifyRange {
  readonly fromUs: bigint;
  readonly toUs: bigint;
}

/** A part of a view over sessions (late-sessions.ts). */
export interface SessionsOptions {
  readonly part: KeyPart;
  /** SQL of the places (PLACE in view/batch.ts) of its late events. */
  readonly latePlaces: string;
  /** Only rows that a watermark made final; absent: all. */
  readonly final?: FinalRows;
}

/** Rows whose `column`, of times, plus `addUs` is at or before the watermark; of none, while there is no watermark. */
export interface FinalRows {
  readonly column: string;
  readonly addUs: number;
  readonly watermarkUs: bigint | null;
}

export interface ComparisonOptions {
  readonly schema: EventSchema;
  /** For a rollup: the view at the bottom. */
  readonly bottom?: ViewPlan;
  readonly range: VerifyRange | null;
  /** Of sessions only those of a part of the keys are compared, and events that were late for them do not count. */
  readonly sessions?: SessionsOptions;
  /** The log position that the view's rows are of, where it is not the question's: of a view that is suspended. */
  readonly until?: number;
  /** Differing rows that the answer lists at most. */
  readonly rowsMax: number;
}

/**
 * The question, and how to read its answer: `compared`, `different`, then for each differing row copies, there, one column for each of
 * `keys`, and for each of `values` the stream's, the batch's and whether they are the same. At least one row; without a difference
 * `copies` is NULL in it.
 */
export interface Comparison {
  readonly sql: string;
  readonly keys: readonly string[];
  readonly values: readonly string[];
  /** Why rows that only the batch has are no difference, or null when they are. */
  readonly membership: string | null;
}

/** Six sigma of HyperLogLog with 4,096 registers (Flajolet et al. 2007: 1.04 / sqrt(m)). */
const HLL_SIX_SIGMA = (6 * 1.04) / 64;
/** Relative bound of an average of exact numbers: both sides round the sum and the quotient. */
const AVERAGE_BOUND = 2 ** -50;
const EPSILON = 2 ** -52;

const RAW = "verify raw";

type Closeness =
  | { readonly kind: "exact" | "sketch" | "average" }
  /** Ordinals of output columns of the widened plan: sums of what is above and below zero, and the number of values. */
  | {
      readonly kind: "doubles";
      readonly above: number;
      readonly below: number;
      readonly n: number;
      readonly isAverage: boolean;
    };

/**
 * The question for a plan. Windows of a rollup that hold events from before it began are left out: it has of them what was open below then.
 * Of sessions it compares a part of the keys.
 */
export function comparisonOf(plan: ViewPlan, options: ComparisonOptions): Comparison {
  const membership = approximateMembership(plan);
  const widened = new Widened(membership === null ? plan : { ...plan, having: null, topN: null });
  const columns = plan.output.map((column) => ({
    name: column.name,
    isKey: plan.window === null || column.source.kind !== "aggregate",
    closeness: widened.closenessOf(column),
  }));
  const keys = columns.filter(({ isKey }) => isKey);
  const values = columns.filter(({ isKey }) => !isKey);
  const events = {
    relation: RAW,
    schema: options.schema,
    reconciled: reconciledOf((options.bottom ?? plan).name),
    ...(options.bottom === undefined ? {} : { bottom: options.bottom }),
  };
  const batch = batchText(widened.plan, { ...events, exactDistinct: true });
  const partition = keys.map(({ name }) => quoteName(name)).join(", ");
  const windows = rangeText(options.range);
  if (options.sessions !== undefined) windows.push(...sessionsText(plan, options.sessions));
  if (options.bottom !== undefined)
    windows.push(
      `window_start NOT IN (${rollupStartsText(plan, events, `_position <= ${sinceText(plan.name)}`)})`,
    );
  const rows = (from: string): string =>
    `SELECT *, true AS "verify there", count(*) OVER (PARTITION BY ${partition}) AS "verify copies"
    FROM (${from})${whereText(windows)} QUALIFY row_number() OVER (PARTITION BY ${partition}) = 1`;
  const same = values.map(({ name, closeness }) =>
    sameText(quoteName(name), closeness, widened.plan),
  );
  const on = keys.map(
    ({ name }) => `s.${quoteName(name)} IS NOT DISTINCT FROM b.${quoteName(name)}`,
  );
  const both = 's."verify there" AND b."verify there" AND s."verify copies" = b."verify copies"';
  const isSame = [both, ...same].join(" AND ");
  const ignored = [membership === null ? "" : ` AND s."verify there"`, formerText(plan, options)];
  const text = (expression: string): string => `CAST(${expression} AS VARCHAR)`;
  const pairs = values.flatMap(({ name }, index) => [
    `s.${quoteName(name)} AS "verify s${index}"`,
    `b.${quoteName(name)} AS "verify b${index}"`,
    `coalesce(${same[index]}, false) AS "verify same${index}"`,
  ]);
  const shown = values.flatMap((_, index) => [
    text(`"verify s${index}"`),
    text(`"verify b${index}"`),
    `"verify same${index}"`,
  ]);
  const names = keys.map((_, index) => `"verify key${index}"`);
  const sql = `WITH ${quoteName(RAW)} AS (${rawText(plan, options)}),
  "verify batch" AS (${rows(batch)}),
  "verify stream" AS (${rows(`SELECT * FROM ${quoteName(plan.name)}`)}),
  "verify rows" AS MATERIALIZED (SELECT
    coalesce(s."verify copies", 0) AS "verify copies", b."verify copies" AS "verify wanted",
    coalesce(NOT (${isSame}), true)${ignored.join("")} AS "verify different",
    ${[...keys.map(({ name }, index) => `coalesce(s.${quoteName(name)}, b.${quoteName(name)}) AS "verify key${index}"`), ...pairs].join(",\n    ")}
    FROM "verify stream" s FULL OUTER JOIN "verify batch" b ON ${on.join(" AND ")})
SELECT (SELECT coalesce(sum("verify copies"), 0) FROM "verify rows"), (SELECT count(*) FROM "verify rows" WHERE "verify different"), d.*
FROM (SELECT 1) LEFT JOIN (SELECT "verify copies", coalesce("verify wanted", 0) AS "verify wanted",
  ${[...names.map(text), ...shown].join(", ")} FROM "verify rows"
  WHERE "verify different" ORDER BY ${[...names, '"verify copies"'].join(", ")} LIMIT ${options.rowsMax}) d ON true`;
  return {
    sql,
    keys: keys.map(({ name }) => name),
    values: values.map(({ name }) => name),
    membership,
  };
}

/**
 * A view that was removed and put back has rows from before, of events that it does not count now: rows of windows that begin at or before the
 * newest of these (as far as it was not ahead of its receipt).
 */
function formerText({ name, stream, window }: ViewPlan, { schema }: ComparisonOptions): string {
  if (window === null) return "";
  const time = quoteName(eventTimeName(schema));
  const newest = `(SELECT max(least(${time}, received_at)) FROM ${quoteName(stream)} WHERE _position <= ${sinceText(name)})`;
  return ` AND NOT coalesce(b."verify there" IS NULL AND s.window_start <= ${newest}, false)`;
}

/** The windows of a view whose late events count after all, as the window macros take them. */
export function reconciledOf(view: string): string {
  return `(SELECT list(${RANGE}) FROM millrace.reconciled AS ${RANGE} WHERE view = ${quoteText(view)})`;
}

/** HAVING and QUALIFY over a sketch or a sum of doubles may keep another row in batch, and be right. */
function approximateMembership({ having, topN, output, aggregates }: ViewPlan): string | null {
  const read = new Set(topN?.orderBy.map(({ ordinal }) => ordinal));
  if (having !== null) addOutputs(having, read);
  for (const ordinal of read) {
    const { name, source } = must(output[ordinal], "output column");
    if (source.kind === "aggregate" && !isExact(must(aggregates[source.index], "aggregate")))
      return `HAVING or QUALIFY reads ${name}, which is not exact: a row that only the batch has is no difference`;
  }
  return null;
}

function addOutputs(expr: Expr, ordinals: Set<number>): void {
  if (expr.op === "column" && expr.column.from === "output") ordinals.add(expr.column.ordinal);
  if (expr.op === "call") for (const arg of expr.args) addOutputs(arg, ordinals);
}

function isExact({ fn, type }: Aggregate): boolean {
  return (
    fn !== "approx_count_distinct" && !((fn === "sum" || fn === "avg") && type.kind === "DOUBLE")
  );
}

/** A plan that gains output columns for the bounds of its sums of doubles. */
class Widened {
  plan: ViewPlan;

  constructor(plan: ViewPlan) {
    this.plan = plan;
  }

  closenessOf({ source }: OutputColumn): Closeness {
    if (source.kind !== "aggregate") return { kind: "exact" };
    const aggregate = must(this.plan.aggregates[source.index], "aggregate");
    const { fn, arg } = aggregate;
    if (isExact(aggregate) || arg === null) return { kind: "exact" };
    if (fn === "approx_count_distinct") return { kind: "sketch" };
    if (arg.type.kind !== "FLOAT" && arg.type.kind !== "DOUBLE") return { kind: "average" };
    const side = (comparison: "gt" | "lt"): number => {
      const zero: Expr = { op: "constant", value: 0, type: arg.type };
      const type = { kind: "BOOLEAN" } as const;
      const part: Expr = { op: "call", fn: comparison, args: [arg, zero], type };
      const filter: Expr =
        aggregate.filter === null
          ? part
          : { op: "call", fn: "and", args: [aggregate.filter, part], type };
      return this.#add({ fn: "sum", arg, filter, type: { kind: "DOUBLE" } });
    };
    const n = this.#add({ ...aggregate, fn: "count", type: { kind: "BIGINT" } });
    return { kind: "doubles", above: side("gt"), below: side("lt"), n, isAverage: fn === "avg" };
  }

  #add(aggregate: Aggregate): number {
    const { aggregates, output } = this.plan;
    const column: OutputColumn = {
      name: `verify bound ${output.length}`,
      type: aggregate.type,
      nullable: true,
      fieldId: output.length + 1,
      source: { kind: "aggregate", index: aggregates.length },
    };
    this.plan = {
      ...this.plan,
      aggregates: [...aggregates, aggregate],
      output: [...output, column],
    };
    return output.length;
  }
}

/**
 * Whether the stream's and the batch's value are the same. Sums of n doubles: each side errs by at most n 2^-53 sum|x| (Higham, Accuracy
 * and Stability of Numerical Algorithms, 4.2), an average by that over n and a rounding.
 */
function sameText(name: string, closeness: Closeness, plan: ViewPlan): string {
  const [s, b] = [`s.${name}`, `b.${name}`];
  const equal = `${s} IS NOT DISTINCT FROM ${b}`;
  const near = (bound: string): string =>
    `(${equal} OR (NOT isnan(${s}) AND NOT isnan(${b}) AND abs(${s} - ${b}) <= ${bound}))`;
  switch (closeness.kind) {
    case "exact":
      return equal;
    case "sketch":
      return `abs(${s} - ${b}) <= greatest(1, ${b} * ${HLL_SIX_SIGMA})`;
    case "average":
      return near(`abs(${b}) * ${AVERAGE_BOUND}`);
    default: {
      const column = (ordinal: number): string =>
        `coalesce(b.${quoteName(must(plan.output[ordinal], "column").name)}, 0)`;
      const { above, below, n, isAverage } = closeness;
      const share = isAverage ? ` / greatest(${column(n)}, 1)` : "";
      const sum = `(${column(above)} - ${column(below)})`;
      return near(`((${column(n)} + 2) * ${EPSILON} * ${sum}${share})`);
    }
  }
}

function whereText(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
}

function rangeText(range: VerifyRange | null): string[] {
  if (range === null) return [];
  return [`window_start >= ${timeText(range.fromUs)}`, `window_start < ${timeText(range.toUs)}`];
}

/** Conditions on the rows of a part. */
function sessionsText(plan: ViewPlan, { part, final }: SessionsOptions): string[] {
  const ofPart = isOfPart(rowKeyTexts(plan), part);
  return final === undefined ? [ofPart] : [ofPart, isFinalText(final)];
}

function isFinalText({ column, addUs, watermarkUs }: FinalRows): string {
  if (watermarkUs === null) return "false";
  return `${quoteName(column)} <= ${timeText(watermarkUs - BigInt(addUs))}`;
}

function timeText(us: bigint): string {
  return `TIMESTAMPTZ ${quoteText(isoTime(us))}`;
}

/** The log position after which a view counts events. */
export function sinceText(view: string): string {
  return `(SELECT since FROM millrace.readers WHERE reader = ${quoteText(`view:${view}`)})`;
}

/** Raw events that the view counts, and of a range no more than its windows hold. For a rollup those of the view at the bottom. */
function rawText(plan: ViewPlan, options: ComparisonOptions): string {
  const { name, stream, window } = plan;
  const { schema, range, bottom, sessions } = options;
  const conditions = [`_position > ${sinceText(bottom?.name ?? name)}`];
  if (options.until !== undefined) conditions.push(`_position <= ${options.until}`);
  if (sessions !== undefined) {
    conditions.push(isOfPart(eventKeyTexts(plan, schema), sessions.part));
    conditions.push(`${PLACE} NOT IN (${sessions.latePlaces})`);
  }
  if (range !== null && (window?.kind === "tumble" || window?.kind === "hop")) {
    const time = quoteName(eventTimeName(schema));
    conditions.push(`${time} >= ${timeText(range.fromUs)}`);
    conditions.push(`${time} < ${timeText(range.toUs)} + to_microseconds(${window.sizeUs})`);
  }
  return `SELECT * FROM ${quoteName(stream)}${whereText(conditions)}`;
}
