// Verb: the FROM clause -> stream and window. Owns which relations a view may read; a window's arguments are window-function.ts's.
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { similar } from "../base/similar.ts";
import type { Faults } from "./fault.ts";
import type { WindowPlan } from "./plan.ts";
import { columnNames, listOf, nodeOf, textOf, type Node } from "./tree.ts";
import { readWindow, WINDOW_FORMS } from "./window-function.ts";

/** A stream that views may read. */
export interface ViewStream {
  readonly name: string;
  readonly schema: EventSchema;
}

export interface FromClause {
  readonly stream: ViewStream;
  /** Null: the stream itself, a projection. */
  readonly window: WindowPlan | null;
  /** What session(...) tells sessions apart by; empty for other windows. */
  readonly sessionKeys: readonly Node[];
  /** The name that may qualify columns: the alias, or the name of a plain stream; empty for a window without an alias. */
  readonly qualifier: string;
}

const FORM = WINDOW_FORMS.get("tumble") ?? "";

/** Null after a fault. */
export function readFrom(
  from: Node | null,
  streams: readonly ViewStream[],
  faults: Faults,
): FromClause | null {
  if (from !== null && from.type === "BASE_TABLE") return readPlain(from, streams, faults);
  const call = from && nodeOf(from, "function");
  if (from === null || from.type !== "TABLE_FUNCTION" || call === null)
    return faults.add(from, `${refusedRelation(from)} is not in this release`, `write ${FORM}`);
  const name = textOf(call, "function_name").toLowerCase();
  const form = WINDOW_FORMS.get(name);
  if (textOf(call, "schema") !== "" || form === undefined)
    return faults.add(from, `${name} is not in this release`, `write ${form ?? FORM}`);
  if (from["with_ordinality"] === "WITH_ORDINALITY")
    return faults.add(from, "WITH ORDINALITY is not in this release");
  if (!isWhole(from, faults)) return null;
  const [stream, time, ...rest] = listOf(call, "children");
  const found = stream && readStream(stream, { name, streams }, faults);
  if (time !== undefined && found) readTime(time, found, faults);
  const clause = readWindow({ name, node: from, rest }, faults);
  if (!found || clause === null) return null;
  return { stream: found, ...clause, qualifier: textOf(from, "alias") };
}

/** `FROM stream`: every event by itself. */
function readPlain(from: Node, streams: readonly ViewStream[], faults: Faults): FromClause | null {
  const name = textOf(from, "table_name");
  if (textOf(from, "schema_name") !== "" || textOf(from, "catalog_name") !== "")
    return faults.add(from, "a view reads a stream", "write its name without dots");
  if (nodeOf(from, "at_clause") !== null)
    return faults.add(from, "AT is not in this release", "leave it out");
  if (!isWhole(from, faults)) return null;
  const stream = findStream(from, { name, streams }, faults);
  if (stream === null) return null;
  const qualifier = textOf(from, "alias") || name;
  return { stream, window: null, sessionKeys: [], qualifier };
}

/** Whether a relation is read as it is: with its own columns and all of its rows. */
function isWhole(from: Node, faults: Faults): boolean {
  if (Array.isArray(from["column_name_alias"]) && from["column_name_alias"].length > 0)
    faults.add(from, "columns cannot be renamed in FROM", "use AS in the SELECT list");
  else if (from["sample"] !== null && from["sample"] !== undefined)
    faults.add(from, "a sample is not in this release");
  else return true;
  return false;
}

interface StreamNames {
  /** The function that reads it. */
  readonly name: string;
  readonly streams: readonly ViewStream[];
}

function readStream(
  node: Node,
  { name: fn, streams }: StreamNames,
  faults: Faults,
): ViewStream | null {
  const names = columnNames(node);
  const [name = ""] = names;
  if (node.type !== "COLUMN_REF" || names.length !== 1 || textOf(node, "alias") !== "")
    return faults.add(node, `${fn} takes the name of a stream`, "write it without quotes or dots");
  return findStream(node, { name, streams }, faults);
}

function findStream(node: Node, { name, streams }: StreamNames, faults: Faults): ViewStream | null {
  const found = streams.find((known) => known.name.toLowerCase() === name.toLowerCase());
  if (found !== undefined) return found;
  const known = streams.map((stream) => stream.name);
  const meant = similar(name, known);
  const advice = meant === null ? `streams are ${known.join(", ")}` : `did you mean ${meant}?`;
  return faults.add(node, `there is no stream "${name}"`, advice);
}

/** Windows are cut by the event time alone: watermark and lateness are about it. */
function readTime(node: Node, stream: ViewStream, faults: Faults): void {
  const time = eventTimeName(stream.schema);
  const names = columnNames(node);
  if (node.type === "COLUMN_REF" && names.length === 1 && textOf(node, "alias") === "")
    if (names[0]?.toLowerCase() === time.toLowerCase()) return;
  faults.add(node, `windows of ${stream.name} are cut by its event time`, `write ${time}`);
}

function refusedRelation(from: Node | null): string {
  switch (from?.type) {
    case "JOIN":
      return "a join";
    case "SUBQUERY":
      return "a subquery";
    default:
      return "a view that reads no stream";
  }
}
