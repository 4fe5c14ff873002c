// A stream with a column of every type, for the tests of this folder.
import type { EventColumn, EventSchema, SqlType } from "../../src/event/schema.ts";
import { ViewParser, type ViewResult } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";

const COLUMNS: readonly (readonly [string, SqlType, boolean])[] = [
  ["event_time", { kind: "TIMESTAMPTZ" }, false],
  ["page_url", { kind: "VARCHAR" }, false],
  ["user_id", { kind: "BIGINT" }, true],
  ["i", { kind: "INTEGER" }, true],
  ["l", { kind: "BIGINT" }, true],
  ["f", { kind: "FLOAT" }, true],
  ["d", { kind: "DOUBLE" }, true],
  ["s", { kind: "VARCHAR" }, true],
  ["b", { kind: "BOOLEAN" }, true],
  ["day", { kind: "DATE" }, true],
  ["ts", { kind: "TIMESTAMPTZ" }, true],
  ["p", { kind: "DECIMAL", precision: 9, scale: 2 }, true],
  ["q", { kind: "DECIMAL", precision: 18, scale: 4 }, true],
  ["r", { kind: "DECIMAL", precision: 38, scale: 2 }, true],
];

export const SCHEMA: EventSchema = {
  id: 1,
  columns: COLUMNS.map(([name, type, nullable], index): EventColumn => ({
    name,
    type,
    nullable,
    fieldId: index + 1,
    decoding: { kind: "plain" },
  })),
  eventTime: 0,
  eventId: null,
};

export function parse(parser: ViewParser, sql: string): Promise<ViewResult> {
  return parser.parse({ name: "v", sql, streams: [{ name: "clicks", schema: SCHEMA }] });
}

/** The plan; throws with the faults when there is none. */
export async function planOf(parser: ViewParser, sql: string): Promise<ViewPlan> {
  const result = await parse(parser, sql);
  if (result.kind === "plan") return result.plan;
  throw new Error(`${sql}\n${JSON.stringify(result.faults)}`);
}

/** `line:column message | advice` of each fault; empty for a good text. */
export async function faultsOf(parser: ViewParser, sql: string): Promise<string[]> {
  const result = await parse(parser, sql);
  if (result.kind === "plan") return [];
  return result.faults.map(
    ({ line, column, message, advice }) => `${line}:${column} ${message} | ${advice}`,
  );
}
