// Noun: a part of a view's keys, those whose hash has one remainder. Rows of one key are in one part, of the stream and of the batch alike.
// Owns their SQL; not what is compared.
import { sqlTypeText, type EventSchema, type SqlType } from "../event/schema.ts";
import { must } from "../base/assert.ts";
import { columnText } from "../view/batch.ts";
import { keyOrdinals, type ViewPlan } from "../view/plan.ts";
import { quoteName, renderExpr } from "../view/render.ts";

/** The keys whose hash modulo `count` is `index`. */
export interface KeyPart {
  readonly index: number;
  readonly count: number;
}

/** The keys of a raw event, as texts. */
export function eventKeys(plan: ViewPlan, schema: EventSchema): string[] {
  const render = {
    column: (ref: Parameters<typeof columnText>[0]) => columnText(ref, schema),
    guarded: true,
  };
  return plan.keys.map(({ expr, type }) => keyText(renderExpr(expr, render), type));
}

/** The keys of a row of the view, with the texts that its events have. The view shows all of its keys. */
export function rowKeys(plan: ViewPlan): string[] {
  const ordinals = keyOrdinals(plan);
  return plan.keys.map(({ type }, index) =>
    keyText(quoteName(must(plan.output[ordinals[index] ?? -1], "a key that is shown").name), type),
  );
}

/** Whether the keys are of the part: SQL. */
export function isOfPart(keys: readonly string[], { index, count }: KeyPart): string {
  return count === 1 ? "true" : `${hashText(keys)} % ${count} = ${index}`;
}

export function hashText(keys: readonly string[]): string {
  return `hash(${keys.join(", ")})`;
}

/** 0 and -0 are one key, with one text. */
function keyText(text: string, type: SqlType): string {
  const value = `CAST(${text} AS ${sqlTypeText(type)})`;
  const isFloating = type.kind === "DOUBLE" || type.kind === "FLOAT";
  return `CAST(${isFloating ? `${value} + 0` : value} AS VARCHAR)`;
}
