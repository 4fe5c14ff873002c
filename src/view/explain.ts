// Verb: plan -> a text for people, and its hash for change detection.
import { createHash } from "node:crypto";
import { sqlTypeText, type EventSchema } from "../event/schema.ts";
import { must } from "../base/assert.ts";
import { columnText } from "./batch.ts";
import { windowSizeUs, type Aggregate, type ViewPlan } from "./plan.ts";
import { renderExpr, type RenderOptions } from "./render.ts";

/**
 * What the view computes, independent of white space, comments and letter case in its text: stream, window, filter, keys,
 * aggregates, columns, late policy. 64 hexadecimal digits. The view's own name is not in it.
 */
export function planHash(plan: ViewPlan): string {
  const { stream, window, filter, keys, aggregates, output, late } = plan;
  const meaning = JSON.stringify([stream, window, filter, keys, aggregates, output, late], sorted);
  return createHash("sha256").update(meaning).digest("hex");
}

/** A JSON replacer that orders members by name. */
function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** One line per step: what is read, kept, grouped, aggregated, and the columns that come out. */
export function explainPlan(plan: ViewPlan, schema: EventSchema): string {
  const options: RenderOptions = { column: (ref) => columnText(ref, schema), guarded: false };
  const lines = [
    `view ${plan.name}`,
    `  reads   ${plan.stream} in windows of ${windowSizeUs(plan) / 1_000_000} s`,
    `  where   ${plan.filter === null ? "every event" : renderExpr(plan.filter, options)}`,
    ...plan.keys.map(
      (key) => `  key     ${renderExpr(key.expr, options)}  ${sqlTypeText(key.type)}`,
    ),
    ...plan.aggregates.map((aggregate) => `  folds   ${aggregateText(aggregate, options)}`),
    ...plan.output.map((column) => {
      const type = `${sqlTypeText(column.type)}${column.nullable ? "" : " NOT NULL"}`;
      const { source } = column;
      const index =
        source.kind === "key" || source.kind === "aggregate" ? ` ${source.index + 1}` : "";
      return `  column  ${column.name}  ${type}  from ${source.kind}${index}`;
    }),
    `  late    into the late table`,
  ];
  return `${lines.join("\n")}\n`;
}

function aggregateText(aggregate: Aggregate, options: RenderOptions): string {
  const { fn, arg, filter, type } = aggregate;
  const argument = fn === "count_star" ? "*" : renderExpr(must(arg, "argument"), options);
  const name = fn === "count_star" ? "count" : fn;
  const where = filter === null ? "" : ` where ${renderExpr(filter, options)}`;
  return `${name}(${argument})${where}  ${sqlTypeText(type)}`;
}
