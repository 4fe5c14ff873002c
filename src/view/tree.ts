// DuckDB's syntax tree of a view's text (json_serialize_sql), as read by lower.ts and select.ts, and places in the text. Owns the
// traps of that format: 64-bit integers, byte offsets, nodes without a position. Knows no types and no meaning.
import { duckText, type DuckConnection } from "../base/duckdb.ts";

/** A node: DuckDB's members as they are. Integers beyond 2^53 are bigint. */
export interface Node {
  readonly type: string;
  readonly [member: string]: unknown;
}

/** A place in a text, from 1. Columns count characters (code points), not bytes. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** A text that is one SELECT, or why it is not. `at` is a byte offset. */
export type ParsedText =
  | {
      readonly kind: "tree";
      readonly root: Node;
      /** Names of its parameters: "1" for `$1` and for the first `?`. */
      readonly parameters: readonly string[];
    }
  | {
      readonly kind: "fault";
      readonly cause: "syntax" | "no_select" | "empty" | "several";
      readonly at: number;
      readonly message: string;
    };

/** Parses with DuckDB. Rejects only when DuckDB itself fails. */
export async function parseText(connection: DuckConnection, text: string): Promise<ParsedText> {
  const { rows } = await connection.run("SELECT json_serialize_sql($1::VARCHAR)", [text]);
  const answer = parseJson(duckText(rows[0]?.[0]));
  if (answer["error"] === true) {
    const characters = Number(answer["position"] ?? 0);
    const at = Buffer.byteLength([...text].slice(0, characters).join(""));
    const cause = answer["error_type"] === "parser" ? "syntax" : "no_select";
    return { kind: "fault", cause, at, message: String(answer["error_message"]) };
  }
  const [first, second] = listOf(answer, "statements");
  if (first === undefined)
    return { kind: "fault", cause: "empty", at: 0, message: "there is no statement" };
  if (second !== undefined) {
    const at = locationOf(nodeOf(second, "node")) ?? 0;
    return { kind: "fault", cause: "several", at, message: "there is more than one statement" };
  }
  const parameters = listOf(first, "named_param_map").map((each) => textOf(each, "key"));
  return { kind: "tree", root: nodeOf(first, "node") ?? first, parameters };
}

/** JSON whose integers beyond 2^53 become bigint. */
export function parseJson(json: string): Node {
  const exact = (_key: string, value: unknown, context?: { readonly source?: string }): unknown => {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    const source = context?.source ?? "";
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  };
  return JSON.parse(json, exact) as Node;
}

/** The member as a node, or null when it is absent. */
export function nodeOf(node: Node, member: string): Node | null {
  const value = node[member];
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Node)
    : null;
}

/** The member as a list of nodes; empty when it is absent. */
export function listOf(node: Node, member: string): readonly Node[] {
  const value = node[member];
  return Array.isArray(value) ? (value as Node[]) : [];
}

/** The member as text; empty when it is absent. */
export function textOf(node: Node, member: string): string {
  const value = node[member];
  return typeof value === "string" ? value : "";
}

/** Names of a COLUMN_REF, outermost first. */
export function columnNames(node: Node): readonly string[] {
  const names = node["column_names"];
  return Array.isArray(names) ? names.map(String) : [];
}

/** Byte offset of a node in the text: its own, or that of its first child that has one. Null when none has. */
export function locationOf(node: Node | null): number | null {
  if (node === null) return null;
  const own = node["query_location"];
  if (typeof own === "number") return own;
  for (const value of Object.values(node)) {
    const children = Array.isArray(value) ? value : [value];
    for (const child of children) {
      if (typeof child !== "object" || child === null) continue;
      const location = locationOf(child as Node);
      if (location !== null) return location;
    }
  }
  return null;
}

/** Line and column of a byte offset. */
export function placeOf(text: string, at: number): Place {
  const before = Buffer.from(text).subarray(0, at).toString().split("\n");
  return { line: before.length, column: [...(before.at(-1) ?? "")].length + 1 };
}

/**
 * Byte offset of a keyword (or `$1`, `?`) outside of quotes and comments, its first or last; null when it is not there. For what the
 * tree gives no position for.
 */
export function keywordAt(text: string, keyword: string, which: "first" | "last"): number | null {
  const token =
    /'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$|--[^\n]*|\/\*[\s\S]*?\*\/|\$?[\p{L}\p{N}_]+|\?/gu;
  let found: number | null = null;
  for (const match of text.matchAll(token)) {
    if (match[0].toUpperCase() !== keyword.toUpperCase()) continue;
    found = Buffer.byteLength(text.slice(0, match.index));
    if (which === "first") break;
  }
  return found;
}
