// SQL of a view's keys, of a raw event and of a row: as values, and as texts that are the same for equal keys and for no others.
import { must } from "../base/assert.ts";
import { sqlTypeText, type EventSchema, type SqlType } from "../event/schema.ts";
import { columnText } from "./batch.ts";
import { keyOrdinals, type OutputColumn, type ViewPlan } from "./plan.ts";
import { quoteName, renderExpr } from "./render.ts";

/** Output columns of the keys, in the order of the keys. The view shows all of them. */
export function keyOutputs(plan: ViewPlan): OutputColumn[] {
  return keyOrdinals(plan).map((ordinal) => must(plan.output[ordinal], "a key that is shown"));
}

/** The keys of a raw event, with the types that they have in the view. */
export function eventKeys(plan: ViewPlan, schema: EventSchema): string[] {
  const render = {
    column: (ref: Parameters<typeof columnText>[0]) => columnText(ref, schema),
    guarded: true,
  };
  return plan.keys.map(
    ({ expr, type }) => `CAST(${renderExpr(expr, render)} AS ${sqlTypeText(type)})`,
  );
}

/** A text for each of these. */
export function eventKeyTexts(plan: ViewPlan, schema: EventSchema): string[] {
  return textsOf(plan, eventKeys(plan, schema));
}

/** The keys of a row of the view, with the texts that its events have. */
export function rowKeyTexts(plan: ViewPlan): string[] {
  return textsOf(
    plan,
    keyOutputs(plan).map(({ name, type }) => `CAST(${quoteName(name)} AS ${sqlTypeText(type)})`),
  );
}

function textsOf({ keys }: ViewPlan, values: readonly string[]): string[] {
  return keys.map(({ type }, index) => textOf(must(values[index], "a key"), type));
}

/** 0 and -0 are one key, with one text. */
function textOf(value: string, type: SqlType): string {
  const isFloating = type.kind === "DOUBLE" || type.kind === "FLOAT";
  return `CAST(${isFloating ? `${value} + 0` : value} AS VARCHAR)`;
}
