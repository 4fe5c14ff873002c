// Verb: the FROM clause -> stream and window. Owns the window functions' arguments.
import type { EventSchema } from "../event/schema.ts";
import { VIEW_WINDOW_US_MAX } from "../limits.ts";
import { similar } from "../base/similar.ts";
import type { Faults } from "./fault.ts";
import { columnNames, listOf, nodeOf, textOf, type Node } from "./tree.ts";

/** A stream that views may read. */
export interface ViewStream {
  readonly name: string;
  readonly schema: EventSchema;
}

export interface FromClause {
  readonly stream: ViewStream;
  readonly sizeUs: number;
  /** The name that may qualify columns: the alias; empty without one. */
  readonly qualifier: string;
}

/** Microseconds of the units that have a fixed length in UTC, by DuckDB's function for `INTERVAL n unit`. */
const UNIT_US: ReadonlyMap<string, number> = new Map([
  ["to_microseconds", 1],
  ["to_milliseconds", 1_000],
  ["to_seconds", 1_000_000],
  ["to_minutes", 60_000_000],
  ["to_hours", 3_600_000_000],
  ["to_days", 86_400_000_000],
  ["to_weeks", 604_800_000_000],
]);

const FORM = "FROM tumble(stream, event_time, INTERVAL 1 MINUTE)";

/** Null after a fault. */
export function readFrom(
  from: Node | null,
  streams: readonly ViewStream[],
  faults: Faults,
): FromClause | null {
  const call = from && nodeOf(from, "function");
  if (from === null || from.type !== "TABLE_FUNCTION" || call === null)
    return faults.add(from, `${refusedRelation(from)} is not in this release`, `write ${FORM}`);
  const name = textOf(call, "function_name").toLowerCase();
  if (textOf(call, "schema") !== "" || name !== "tumble")
    return faults.add(from, `${name} is not in this release`, `write ${FORM}`);
  if (from["with_ordinality"] === "WITH_ORDINALITY")
    return faults.add(from, "WITH ORDINALITY is not in this release");
  if (Array.isArray(from["column_name_alias"]) && from["column_name_alias"].length > 0)
    return faults.add(from, "columns cannot be renamed in FROM", "use AS in the SELECT list");
  if (from["sample"] !== null && from["sample"] !== undefined)
    return faults.add(from, "a sample is not in this release");
  const [stream, time, size, more] = listOf(call, "children");
  if (stream === undefined || time === undefined || size === undefined || more !== undefined)
    return faults.add(from, "tumble takes three arguments", `write ${FORM}`);
  const found = readStream(stream, streams, faults);
  if (found !== null) readTime(time, found, faults);
  const sizeUs = readSize(size, faults);
  if (found === null || sizeUs === null) return null;
  return { stream: found, sizeUs, qualifier: textOf(from, "alias") };
}

function readStream(node: Node, streams: readonly ViewStream[], faults: Faults): ViewStream | null {
  const names = columnNames(node);
  const [name = ""] = names;
  if (node.type !== "COLUMN_REF" || names.length !== 1 || textOf(node, "alias") !== "")
    return faults.add(node, "tumble takes the name of a stream", "write it without quotes or dots");
  const found = streams.find((known) => known.name.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found;
  const known = streams.map((stream) => stream.name);
  const meant = similar(name, known);
  const advice = meant === null ? `streams are ${known.join(", ")}` : `did you mean ${meant}?`;
  return faults.add(node, `there is no stream "${name}"`, advice);
}

/** Windows are cut by the event time alone: watermark and lateness are about it. */
function readTime(node: Node, stream: ViewStream, faults: Faults): void {
  const time = stream.schema.columns[stream.schema.eventTime]?.name ?? "";
  const names = columnNames(node);
  if (node.type === "COLUMN_REF" && names.length === 1 && textOf(node, "alias") === "")
    if (names[0]?.toLowerCase() === time.toLowerCase()) return;
  faults.add(node, `windows of ${stream.name} are cut by its event time`, `write ${time}`);
}

/** `INTERVAL n unit` is to_<unit>s(CAST(trunc(CAST(n AS DOUBLE)) AS BIGINT)) in the tree. */
function readSize(node: Node, faults: Faults): number | null {
  const name = textOf(node, "function_name").toLowerCase();
  const advice = "write a whole number of units of fixed length: INTERVAL 5 MINUTE";
  if (node.type !== "FUNCTION" || !name.startsWith("to_") || textOf(node, "alias") !== "")
    return faults.add(node, "tumble takes an interval as its size", advice);
  const unitUs = UNIT_US.get(name);
  if (unitUs === undefined)
    return faults.add(
      node,
      `${name.slice("to_".length)} have no fixed length`,
      "use days or weeks",
    );
  let inner: Node | undefined = listOf(node, "children")[0];
  while (inner !== undefined && inner.type !== "VALUE_CONSTANT")
    inner = nodeOf(inner, "child") ?? listOf(inner, "children")[0];
  const value = inner && nodeOf(inner, "value");
  const count = Number(value?.["value"] ?? Number.NaN);
  const isPlain = value !== null && ["number", "string"].includes(typeof value?.["value"]);
  if (!isPlain || !Number.isInteger(count) || count <= 0)
    return faults.add(node, "the size of tumble is no whole number above 0", advice);
  if (count * unitUs > VIEW_WINDOW_US_MAX)
    return faults.add(node, "a window is at most 366 days long", advice);
  return count * unitUs;
}

function refusedRelation(from: Node | null): string {
  switch (from?.type) {
    case "JOIN":
      return "a join";
    case "SUBQUERY":
      return "a subquery";
    case "BASE_TABLE":
      return `a view over ${textOf(from, "table_name")} without a window`;
    default:
      return "a view without FROM tumble(...)";
  }
}
