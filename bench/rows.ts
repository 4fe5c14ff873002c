// Rows that a benchmark folds from memory: their schema, and the plan of a view over them.
import type { EventSchema, SqlType } from "../src/event/schema.ts";
import { ViewParser } from "../src/view/parse.ts";
import type { ViewPlan } from "../src/view/plan.ts";

/** Columns without NULLs, by name; the first is the event's time, and there is no id. */
export function plainSchema(columns: Readonly<Record<string, SqlType>>): EventSchema {
  return {
    id: 1,
    columns: Object.entries(columns).map(([name, type], index) => ({
      name,
      type,
      nullable: false,
      fieldId: index + 1,
      decoding: { kind: "plain" },
    })),
    eventTime: 0,
    eventId: null,
  };
}

/** The plan of a view over the stream `clicks` of these rows. Rejects when the text is none. */
export async function planOver(schema: EventSchema, name: string, sql: string): Promise<ViewPlan> {
  const parser = await ViewParser.open();
  const result = await parser.parse({ name, sql, streams: [{ name: "clicks", schema }] });
  parser.close();
  if (result.kind !== "plan") throw new Error(JSON.stringify(result.faults));
  return result.plan;
}
