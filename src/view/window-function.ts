// Verb: the arguments of tumble, hop and session -> a window. Owns their grammar; which stream they read is from.ts's.
import { HOP_PANES_MAX, SESSION_KEYS_MAX, VIEW_WINDOW_US_MAX } from "../limits.ts";
import type { Faults } from "./fault.ts";
import type { WindowPlan } from "./plan.ts";
import { listOf, nodeOf, textOf, type Node } from "./tree.ts";

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

/** How each window function is written. */
export const WINDOW_FORMS: ReadonlyMap<string, string> = new Map([
  ["tumble", "FROM tumble(stream, event_time, INTERVAL 1 MINUTE)"],
  ["hop", "FROM hop(stream, event_time, INTERVAL 1 MINUTE, INTERVAL 10 MINUTE)"],
  ["session", "FROM session(stream, event_time, INTERVAL 30 MINUTE, user_id)"],
]);

/** What a window function's arguments say. */
export interface WindowClause {
  readonly window: WindowPlan;
  /** What session tells sessions apart by; empty for the others. */
  readonly sessionKeys: readonly Node[];
}

interface Call {
  /** tumble, hop or session. */
  readonly name: string;
  readonly node: Node;
  /** The arguments after the stream and its time. */
  readonly rest: readonly Node[];
}

/** Null after a fault. */
export function readWindow(call: Call, faults: Faults): WindowClause | null {
  switch (call.name) {
    case "hop":
      return readHop(call, faults);
    case "session":
      return readSession(call, faults);
    default:
      return readTumble(call, faults);
  }
}

function arity(call: Call, faults: Faults, counts: string): null {
  const form = WINDOW_FORMS.get(call.name) ?? "";
  return faults.add(call.node, `${call.name} takes ${counts} arguments`, `write ${form}`);
}

function readTumble(call: Call, faults: Faults): WindowClause | null {
  const [size, offset, more] = call.rest;
  if (size === undefined || more !== undefined) return arity(call, faults, "three or four");
  const sizeUs = readInterval(call, { node: size, what: "size" }, faults);
  const offsetUs = readOffset(call, { node: offset, withinUs: sizeUs, within: "size" }, faults);
  if (sizeUs === null || offsetUs === null) return null;
  return { window: { kind: "tumble", sizeUs, offsetUs }, sessionKeys: [] };
}

function readHop(call: Call, faults: Faults): WindowClause | null {
  const [slide, size, offset, more] = call.rest;
  if (slide === undefined || size === undefined || more !== undefined)
    return arity(call, faults, "four or five");
  const slideUs = readInterval(call, { node: slide, what: "slide" }, faults);
  const sizeUs = readInterval(call, { node: size, what: "size" }, faults);
  const offsetUs = readOffset(call, { node: offset, withinUs: slideUs, within: "slide" }, faults);
  if (slideUs === null || sizeUs === null || offsetUs === null) return null;
  if (slideUs > sizeUs)
    return faults.add(
      slide,
      "hop's slide is longer than its size: events between windows would be in none",
      "the slide comes first, then the size",
    );
  const paneUs = divisor(slideUs, sizeUs);
  if (sizeUs / paneUs > HOP_PANES_MAX)
    return faults.add(
      slide,
      `a window has ${sizeUs / paneUs} panes of ${paneUs / 1_000_000} s, at most ${HOP_PANES_MAX}`,
      "choose a longer slide that divides the size",
    );
  return { window: { kind: "hop", slideUs, sizeUs, offsetUs }, sessionKeys: [] };
}

function readSession(call: Call, faults: Faults): WindowClause | null {
  const [gap, ...sessionKeys] = call.rest;
  const [first] = sessionKeys;
  if (gap === undefined || first === undefined || sessionKeys.length > SESSION_KEYS_MAX)
    return arity(call, faults, `four to ${SESSION_KEYS_MAX + 3}`);
  const named = sessionKeys.find((key) => textOf(key, "alias") !== "");
  if (named !== undefined) return faults.add(named, "session's keys have no names");
  const gapUs = readInterval(call, { node: gap, what: "gap" }, faults);
  return gapUs === null ? null : { window: { kind: "session", gapUs }, sessionKeys };
}

/** Greatest common divisor. */
export function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** The last argument: 0 when it is left out, else below what it shifts. */
function readOffset(
  call: Call,
  part: {
    readonly node: Node | undefined;
    readonly withinUs: number | null;
    readonly within: string;
  },
  faults: Faults,
): number | null {
  const { node, withinUs, within } = part;
  if (node === undefined) return 0;
  const offsetUs = readInterval(call, { node, what: "offset" }, faults);
  if (offsetUs === null || withinUs === null || offsetUs < withinUs) return offsetUs;
  return faults.add(
    node,
    `${call.name}'s offset is not below its ${within}`,
    "write what is left after whole ones",
  );
}

/** `INTERVAL n unit` is to_<unit>s(CAST(trunc(CAST(n AS DOUBLE)) AS BIGINT)) in the tree. */
function readInterval(
  call: Call,
  { node, what }: { readonly node: Node; readonly what: string },
  faults: Faults,
): number | null {
  const name = textOf(node, "function_name").toLowerCase();
  const advice = "write a whole number of units of fixed length: INTERVAL 5 MINUTE";
  if (node.type !== "FUNCTION" || !name.startsWith("to_") || textOf(node, "alias") !== "")
    return faults.add(node, `${call.name} takes an interval as its ${what}`, advice);
  const unitUs = UNIT_US.get(name);
  if (unitUs === undefined)
    return faults.add(
      node,
      `${name.slice("to_".length)} have no fixed length`,
      "use days or weeks",
    );
  const count = constantOf(listOf(node, "children")[0]);
  const least = what === "offset" ? 0 : 1;
  if (!Number.isInteger(count) || count < least)
    return faults.add(
      node,
      `the ${what} of ${call.name} is no whole number ${least === 0 ? "from 0 on" : "above 0"}`,
      advice,
    );
  if (count * unitUs > VIEW_WINDOW_US_MAX)
    return faults.add(node, `the ${what} of ${call.name} is at most 366 days`, advice);
  return count * unitUs;
}

/** Types that a whole number may be written in, and that the parser casts it to. */
const WHOLE_TYPES: readonly string[] = ["INTEGER", "BIGINT", "VARCHAR"];
const CAST_TYPES: readonly string[] = ["DOUBLE", "INTEGER", "BIGINT"];

/** The constant that an interval's number is, below the casts that the parser puts around it; NaN for what would have to be computed. */
function constantOf(node: Node | undefined): number {
  if (node?.type === "OPERATOR_CAST" && CAST_TYPES.includes(typeOf(node, "cast_type")))
    return constantOf(nodeOf(node, "child") ?? undefined);
  if (node?.type === "FUNCTION" && textOf(node, "function_name") === "trunc")
    return constantOf(listOf(node, "children")[0]);
  const value = node?.type === "VALUE_CONSTANT" ? nodeOf(node, "value") : null;
  if (value === null || !WHOLE_TYPES.includes(typeOf(value, "type"))) return Number.NaN;
  return Number(value["value"] ?? Number.NaN);
}

function typeOf(node: Node, member: string): string {
  const type = nodeOf(node, member);
  return type === null ? "" : textOf(type, "id");
}
