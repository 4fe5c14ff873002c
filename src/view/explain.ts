// Verb: plan -> a text for people, and its hash for change detection.
import { createHash } from "node:crypto";
import { sqlTypeText, type EventSchema } from "../event/schema.ts";
import { must, unreachable } from "../base/assert.ts";
import { columnText } from "./batch.ts";
import type { Aggregate, LatePlan, OutputColumn, TopN, ViewPlan, WindowPlan } from "./plan.ts";
import { quoteName, renderExpr, type RenderOptions } from "./render.ts";

/**
 * What the view computes, independent of white space, comments and letter case in its text: everything of the plan but its text and
 * name. 64 hexadecimal digits.
 */
export function planHash(plan: ViewPlan): string {
  const { name: _name, sql: _sql, ...rest } = plan;
  const meaning = JSON.stringify(rest, sorted);
  return createHash("sha256").update(meaning).digest("hex");
}

/** A JSON replacer that orders members by name. */
function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** One line per step: what is read, kept, grouped, aggregated, put out, and what becomes of late events. */
export function explainPlan(plan: ViewPlan, schema: EventSchema): string {
  const options: RenderOptions = { column: (ref) => columnText(ref, schema), guarded: false };
  const output: RenderOptions = {
    column: (ref) => (ref.from === "output" ? nameOf(plan, ref.ordinal) : columnText(ref, schema)),
    guarded: false,
  };
  const lines = [
    `view ${plan.name}`,
    plan.rollupOf === null
      ? `  reads   ${plan.stream} ${windowText(plan.window)}`
      : `  merges  ${plan.rollupOf} ${windowText(plan.window)}`,
    `  where   ${plan.filter === null ? "every event" : renderExpr(plan.filter, options)}`,
    ...plan.keys.map(
      (key) => `  key     ${renderExpr(key.expr, options)}  ${sqlTypeText(key.type)}`,
    ),
    ...plan.aggregates.map((aggregate) => `  folds   ${aggregateText(aggregate, options)}`),
    ...(plan.having === null ? [] : [`  having  ${renderExpr(plan.having, output)}`]),
    ...(plan.topN === null ? [] : [`  top     ${topText(plan, plan.topN)}`]),
    ...plan.output.map((column) => {
      const type = `${sqlTypeText(column.type)}${column.nullable ? "" : " NOT NULL"}`;
      return `  column  ${column.name}  ${type}  from ${sourceText(column, options)}`;
    }),
    ...(plan.window === null ? [] : [`  late    ${lateText(plan.late)}`]),
  ];
  return `${lines.join("\n")}\n`;
}

function nameOf(plan: ViewPlan, ordinal: number): string {
  return quoteName(must(plan.output[ordinal], "column").name);
}

function windowText(window: WindowPlan | null): string {
  const seconds = (us: number): string => `${us / 1_000_000} s`;
  const from = (offsetUs: number): string => (offsetUs === 0 ? "" : ` from ${seconds(offsetUs)}`);
  switch (window?.kind) {
    case undefined:
      return "event by event";
    case "tumble":
      return `in windows of ${seconds(window.sizeUs)}${from(window.offsetUs)}`;
    case "hop":
      return `in windows of ${seconds(window.sizeUs)} every ${seconds(window.slideUs)}${from(window.offsetUs)}`;
    case "session":
      return `in sessions that end after ${seconds(window.gapUs)} without an event`;
    case "calendar_day":
      return `in days of ${window.timeZone}`;
    default:
      return unreachable(window);
  }
}

function sourceText({ source }: OutputColumn, options: RenderOptions): string {
  if (source.kind === "expression") return renderExpr(source.expr, options);
  return source.kind === "key" || source.kind === "aggregate"
    ? `${source.kind} ${source.index + 1}`
    : source.kind;
}

function topText(plan: ViewPlan, { limit, orderBy }: TopN): string {
  const orders = orderBy.map(
    ({ ordinal, descending, nullsFirst }) =>
      `${nameOf(plan, ordinal)}${descending ? " DESC" : ""}${nullsFirst ? " NULLS FIRST" : ""}`,
  );
  return `${limit} of each window by ${orders.join(", ")}, then by the keys`;
}

function lateText({ policy, allowedUs }: LatePlan): string {
  if (policy === "drop") return "counted only";
  if (policy === "side") return "into the late table";
  return `corrects windows for ${allowedUs / 1_000_000} s after their end, then into the late table`;
}

function aggregateText(aggregate: Aggregate, options: RenderOptions): string {
  const { fn, arg, filter, type } = aggregate;
  const argument = fn === "count_star" ? "*" : renderExpr(must(arg, "argument"), options);
  const name = fn === "count_star" ? "count" : fn;
  const where = filter === null ? "" : ` where ${renderExpr(filter, options)}`;
  return `${name}(${argument})${where}  ${sqlTypeText(type)}`;
}
