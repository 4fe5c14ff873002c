// Verb (pure): plan -> SQL that says of an event of the view's stream whether the view counts it as failed, and what failed: what
// `millrace.view_errors` lists. Owns the condition; where events come from is decided elsewhere.
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { assert } from "../base/assert.ts";
import { columnText } from "./batch.ts";
import { windowSizeUs, windowSlideUs, type Expr, type ViewPlan } from "./plan.ts";
import { canRaise, quoteName, quoteText, renderExpr, type RenderOptions } from "./render.ts";

type Call = Extract<Expr, { op: "call" }>;

export interface FailureTexts {
  /** VARCHAR: the first operation that had no result, as it is written in SQL; NULL where all had one. */
  readonly operation: string;
  /** BOOLEAN: the event is one of those that the view looks at: it passes the filter and is not late. Sessions: late ones are to be left out elsewhere. */
  readonly isCounted: string;
}

/** Of a view over a stream. Null: no operation of it can fail. */
export function failureTexts(plan: ViewPlan, schema: EventSchema): FailureTexts | null {
  assert(plan.rollupOf === null, "a rollup evaluates nothing: its events failed below");
  const column: RenderOptions["column"] = (ref) => columnText(ref, schema);
  const guarded: RenderOptions = { column, guarded: true };
  const cases = raisingCalls(plan).map((call) => {
    const text = renderExpr(call, { column, guarded: false });
    return `WHEN ${failedText(call, guarded)} THEN ${quoteText(text)}`;
  });
  if (cases.length === 0) return null;
  const passes =
    plan.filter === null ? [] : [`coalesce(${renderExpr(plan.filter, guarded)}, false)`];
  const counted = [...passes, ...inTimeText(plan, schema)];
  return {
    operation: `CASE ${cases.join(" ")} END`,
    isCounted: counted.length === 0 ? "true" : counted.join(" AND "),
  };
}

/** Operations on the values of an event that can fail, those inside of others first, each once. */
function raisingCalls({ filter, keys, aggregates, output }: ViewPlan): Call[] {
  const found = new Map<string, Call>();
  const visit = (expr: Expr | null): void => {
    if (expr?.op !== "call") return;
    expr.args.forEach(visit);
    if (canRaise(expr)) found.set(JSON.stringify(expr), expr);
  };
  visit(filter);
  for (const { expr } of keys) visit(expr);
  for (const { arg, filter: condition } of aggregates) [arg, condition].forEach(visit);
  for (const { source } of output) if (source.kind === "expression") visit(source.expr);
  return [...found.values()];
}

/** All of these operations are NULL where an operand is, and otherwise only where they fail; but whole numbers divided by zero are NULL. */
function failedText(call: Call, guarded: RenderOptions): string {
  const args = call.args.map((arg) => renderExpr(arg, guarded));
  const given = args.map((arg) => `${arg} IS NOT NULL`);
  const divided = call.fn === "int_div" || call.fn === "mod" ? [`${args[1]} <> 0`] : [];
  return [`${renderExpr(call, guarded)} IS NULL`, ...given, ...divided].join(" AND ");
}

/** An event is late once a window that it is in is: design section 3. */
function inTimeText(plan: ViewPlan, schema: EventSchema): string[] {
  const { window } = plan;
  if (window === null || window.kind === "session") return [];
  assert(window.kind !== "calendar_day", "calendar days are the windows of a rollup");
  const time = quoteName(eventTimeName(schema));
  const slideUs = windowSlideUs(plan);
  const firstEndUs = (window.offsetUs + windowSizeUs(plan)) % slideUs;
  const origin = `TIMESTAMPTZ '1970-01-01 00:00:00+00' + to_microseconds(${firstEndUs})`;
  const before = `epoch_us(time_bucket(to_microseconds(${slideUs}), ${time}, ${origin}))`;
  return [
    `(_behind <= 0 OR epoch_us(${time}) + _behind - ${plan.late.allowedUs} < ${before} + ${slideUs})`,
  ];
}
