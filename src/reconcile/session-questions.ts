// Verbs (pure): what a run over sessions asks of the appliance, as SQL, and what the answers mean. Every value comes as text or NULL.
import { must } from "../base/assert.ts";
import { eventTimeName } from "../event/schema.ts";
import type { Cell, ImageColumn } from "../event/image.ts";
import { rowColumns } from "../rehearsal/last-rows.ts";
import { askedCell, askedText } from "../rehearsal/relation.ts";
import { PLACE } from "../view/batch.ts";
import { eventKeys, eventKeyTexts, keyOutputs, rowKeyTexts } from "../view/key-texts.ts";
import { inRangeText } from "../view/macros.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import type { ReconciledRange } from "../window/reconciled.ts";
import type { LateEvent, SessionEvent } from "./islands.ts";
import { positionText, rangesText, type RawScope } from "./questions.ts";
import type { TimeRange } from "./tally.ts";

type Row = readonly unknown[];

/** How many late events of a range count for no session. */
export function lateCountText(plan: ViewPlan, range: TimeRange, scope: RawScope): string {
  return `SELECT CAST(count(*) AS VARCHAR) ${lackingFrom(plan, range, scope)}`;
}

/** The first late events of a range that count for no session, in the order of time: place, time. */
export function latePageText(
  plan: ViewPlan,
  range: TimeRange,
  scope: RawScope & { readonly limit: number },
): string {
  return `SELECT CAST(${PLACE} AS VARCHAR), CAST(epoch_us(event_time) AS VARCHAR) ${lackingFrom(plan, range, scope)}
ORDER BY event_time, _position, _index LIMIT ${scope.limit}`;
}

export function lateEventsOf(rows: readonly Row[]): LateEvent[] {
  return rows.map(([place, timeUs]) => ({
    place: BigInt(String(place)),
    timeUs: BigInt(String(timeUs)),
  }));
}

function lackingFrom({ name }: ViewPlan, range: TimeRange, { standing }: RawScope): string {
  return `FROM millrace.late_events WHERE view = ${quoteText(name)} AND ${positionText(standing)} AND ${withinText("event_time", range)} AND NOT reconciled`;
}

function withinText(time: string, { fromUs, toUs }: TimeRange): string {
  return `${time} >= make_timestamptz(${fromUs}) AND ${time} < make_timestamptz(${toUs})`;
}

/** One text for all of these. */
function together(texts: readonly string[]): string {
  return `CAST([${texts.join(", ")}] AS VARCHAR)`;
}

/** The texts of the keys of late events, each once. */
export function lateKeysText(plan: ViewPlan, late: readonly LateEvent[], scope: RawScope): string {
  const [first, last] = [must(late[0], "a late event"), must(late.at(-1), "a late event")];
  const within = withinText(quoteName(eventTimeName(scope.schema)), {
    fromUs: first.timeUs,
    toUs: last.timeUs + 1n,
  });
  return `SELECT DISTINCT ${together(eventKeyTexts(plan, scope.schema))} FROM ${quoteName(plan.stream)}
WHERE ${positionText(scope.standing)} AND ${within} AND ${PLACE} IN (${late.map(({ place }) => place).join(", ")})`;
}

/** Events of some keys in a range of time. */
export interface KeyedScope extends RawScope {
  readonly keys: readonly string[];
  readonly range: TimeRange;
  /** Ranges of time whose late events count. */
  readonly reconciled: readonly ReconciledRange[];
}

/** Conditions on raw events: those of the scope that count for the view's sessions. */
export function countingConditions(plan: ViewPlan, scope: KeyedScope): string[] {
  const { schema, standing, range, keys, reconciled } = scope;
  const counts = inRangeText(rangesText(reconciled), "event_time");
  const late = `SELECT ${PLACE} FROM millrace.late_events WHERE view = ${quoteText(plan.name)} AND ${positionText(standing)}
  AND ${withinText("event_time", range)} AND NOT ${counts}`;
  return [
    positionText(standing),
    withinText(quoteName(eventTimeName(schema)), range),
    `${together(eventKeyTexts(plan, scope.schema))} IN (${keys.map(quoteText).join(", ")})`,
    `${PLACE} NOT IN (${late})`,
  ];
}

/** Those events, in no order: place, time, `_behind`, keys. */
export function sessionEventsText(plan: ViewPlan, scope: KeyedScope, limit: number): string {
  const time = quoteName(eventTimeName(scope.schema));
  const own = [PLACE, `epoch_us(${time})`, "_behind"].map((item) => `CAST(${item} AS VARCHAR)`);
  const names = keyOutputs(plan).map((column, index) => ({ ...column, name: `key ${index}` }));
  const keys = eventKeys(plan, scope.schema).map((key, index) => `${key} AS "key ${index}"`);
  return `SELECT ${[...own, ...names.map(askedText)].join(", ")} FROM (SELECT ${["*", ...keys].join(", ")} FROM ${quoteName(plan.stream)}
WHERE ${countingConditions(plan, scope).join(" AND ")}) LIMIT ${limit}`;
}

export function sessionEventsOf(plan: ViewPlan, rows: readonly Row[]): SessionEvent[] {
  const columns = keyOutputs(plan);
  return rows.map(([place, timeUs, behindUs, ...keys]) => ({
    place: BigInt(String(place)),
    timeUs: BigInt(String(timeUs)),
    behindUs: BigInt(String(behindUs)),
    keys: keys.map((key, index) => keyCell(key, must(columns[index], "a key"))),
  }));
}

/** FLOAT is told by its shortest digits. */
function keyCell(value: unknown, column: ImageColumn): Cell {
  const cell = askedCell(value, column);
  return column.type.kind === "FLOAT" && typeof cell === "number" ? Math.fround(cell) : cell;
}

/** Rows of the view of some keys whose sessions begin in a range of time. */
export function sessionRowsText(
  plan: ViewPlan,
  { keys, range }: Pick<KeyedScope, "keys" | "range">,
): string {
  const items = rowColumns(plan).map(askedText).join(", ");
  const key = together(rowKeyTexts(plan));
  return `SELECT ${items} FROM ${quoteName(plan.name)} WHERE ${withinText("window_start", range)} AND ${key} IN (${keys.map(quoteText).join(", ")})`;
}
