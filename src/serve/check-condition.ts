// Verb: `watermark.punctuated` of each stream -> a plan whose filter it is, or faults. The condition is checked as an item of a SELECT over the
// stream, by what checks views.
import { must } from "../base/assert.ts";
import type { Fault } from "../config/fault.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { StreamConfig } from "../config.ts";
import { sqlTypeText, type EventSchema } from "../event/schema.ts";
import type { Expr, ViewPlan } from "../view/plan.ts";
import type { CheckTools, Finding, Schemas } from "./check.ts";

/** A finding with its place in the condition, if it has one. */
type ConditionFinding = Finding & { readonly at: { line: number; column: number } | null };

/** The conditions of all streams that have one, by stream. */
export async function checkConditions(
  loaded: LoadedConfig,
  given: { readonly schemas: Schemas; readonly tools: CheckTools },
  faults: Fault[],
): Promise<ReadonlyMap<string, ViewPlan>> {
  const plans = new Map<string, ViewPlan>();
  for (const stream of loaded.config.streams) {
    const { name, watermarkPunctuated: text }: Partial<StreamConfig> = stream;
    const checked = given.schemas.get(name);
    if (typeof text !== "string" || checked === undefined) continue;
    const found = await checkCondition(text, { name, schema: checked.schema }, given.tools);
    if ("plan" in found) plans.set(name, found.plan);
    else
      for (const { message, advice, at } of found.faults) {
        const key = `streams.${name}.watermark.punctuated`;
        const place =
          at === null ? loaded.placeOf(key) : loaded.placeWithin(key, at.line, at.column);
        faults.push({ place, key, problem: message, instead: advice === "" ? null : advice });
      }
  }
  return plans;
}

async function checkCondition(
  text: string,
  stream: { readonly name: string; readonly schema: EventSchema },
  tools: CheckTools,
): Promise<{ readonly plan: ViewPlan } | { readonly faults: readonly ConditionFinding[] }> {
  const result = await tools.parseView({
    name: stream.name,
    sql: `SELECT (\n${text}\n) AS condition FROM "${stream.name}"`,
    streams: [stream],
  });
  if (result.kind === "faults") {
    const lines = text.split("\n").length;
    return {
      faults: result.faults.map(({ line, column, message, advice }) => ({
        // What the words around it make of an unfinished condition is a fault of its end.
        at: line > 1 && line <= lines + 1 ? { line: line - 1, column } : null,
        message: message.includes("aggregate") ? "a condition is about one event" : message,
        advice: message.includes("aggregate") ? "write it without aggregates" : advice,
      })),
    };
  }
  const { plan } = result;
  const [column, ...more] = plan.output;
  const { source } = must(column, "the item of the SELECT");
  if (more.length > 0 || plan.filter !== null || source.kind !== "expression")
    return refused("this is not one condition", "write it as after WHERE, joined by AND or OR");
  const { expr } = source;
  if (expr.type.kind !== "BOOLEAN")
    return refused(
      `this is ${sqlTypeText(expr.type)}, not a condition`,
      "write a comparison, for example event_type = 'end_of_batch'",
    );
  // declared columns, attrs, then `_behind`
  if (reads(expr, stream.schema.columns.length + 1))
    return refused("_behind is not known before the watermark is", "use other columns");
  return { plan: { ...plan, filter: expr, output: [] } };
}

function refused(
  message: string,
  advice: string,
): { readonly faults: readonly ConditionFinding[] } {
  return { faults: [{ message, advice, at: null }] };
}

/** Whether an expression reads a column of the stream's images. */
function reads(expr: Expr, ordinal: number): boolean {
  if (expr.op === "call") return expr.args.some((arg) => reads(arg, ordinal));
  return expr.op === "column" && expr.column.from === "image" && expr.column.ordinal === ordinal;
}
