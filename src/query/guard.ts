// Verb: a question's text -> the relations that it reads, or why it is refused. One of three layers (DESIGN section 7): this one reads the
// syntax tree, the sandbox locks DuckDB down, and the statement runs in a read-only transaction. Owns what a question may name.
import type { DuckConnection } from "../base/duckdb.ts";
import {
  columnNames,
  listOf,
  locationOf,
  nodeOf,
  parseText,
  placeOf,
  textOf,
  type Node,
} from "../view/tree.ts";
import { constantText, needlesOfSelect, type Needle } from "./needles.ts";
import type { Problem } from "./problem.ts";
import { SYSTEM_SCHEMA } from "./relations.ts";
import { BOUNDED_FUNCTIONS, CONSTANT_ARGUMENTS, constantFault } from "./bounded-functions.ts";

/** A relation that a question reads: "clicks", "millrace.late_events", in lower case. `at`: byte offset in the text, or null. */
export interface UsedRelation {
  readonly name: string;
  readonly at: number | null;
}

export type GuardAnswer =
  | {
      readonly kind: "allowed";
      readonly relations: readonly UsedRelation[];
      readonly needles: readonly Needle[];
    }
  | { readonly kind: "refused"; readonly problem: Problem };

/** Table functions of DuckDB that compute from their arguments alone. */
const TABLE_FUNCTIONS: ReadonlySet<string> = new Set(["range", "generate_series", "unnest"]);

/** The window functions (view/macros.ts): their first argument names a stream, or a common table expression with its columns. */
const WINDOW_FUNCTIONS: ReadonlySet<string> = new Set([
  "tumble",
  "hop",
  "session",
  "tumble_corrected",
  "hop_corrected",
]);

/** Functions that look outside of the data, run other texts, or hold a thread. */
const REFUSED_FUNCTIONS: ReadonlySet<string> = new Set([
  "current_setting",
  "getenv",
  "getvariable",
  "json_deserialize_sql",
  "json_execute_serialized_sql",
  "json_serialize_plan",
  "json_serialize_sql",
  "log_message",
  "nextval",
  "currval",
  "sleep_ms",
  "write_log",
]);

/** Schemas in which DuckDB keeps its own functions. */
const OWN_SCHEMAS: ReadonlySet<string> = new Set(["main", "pg_catalog", "information_schema"]);

/** The first reason against a question. */
class Refusal extends Error {
  readonly at: number | null;
  constructor(at: number | null, message: string) {
    super(message);
    this.at = at;
  }
}

/** Names of common table expressions that can be seen from a place. */
type Scope = ReadonlySet<string>;

/** The relation that a table's name means, in lower case; null when it is a common table expression. */
function relationOf(table: Node, scope: Scope): string | null {
  const schema = textOf(table, "schema_name").toLowerCase();
  const name = textOf(table, "table_name").toLowerCase();
  if (schema === "" && scope.has(name)) return null;
  return schema === SYSTEM_SCHEMA ? `${schema}.${name}` : name;
}

class TreeGuard {
  readonly relations: UsedRelation[] = [];
  readonly #needles: Needle[] = [];

  /** Needles of relations that are read in one place only: another would count other rows. */
  needles(): Needle[] {
    return this.#needles.filter(
      ({ relation }) => this.relations.filter(({ name }) => name === relation).length === 1,
    );
  }

  /** Looks at a node and everything below it. Throws Refusal. */
  visit(value: unknown, scope: Scope): void {
    if (Array.isArray(value)) {
      for (const item of value) this.visit(item, scope);
      return;
    }
    if (typeof value !== "object" || value === null) return;
    const node = value as Node;
    const inner = this.#visitWith(node, scope);
    switch (node.type) {
      case "SELECT_NODE":
        this.#visitSelect(node, inner);
        break;
      case "BASE_TABLE":
        this.#visitTable(node, inner);
        break;
      case "TABLE_FUNCTION":
        this.#visitTableFunction(node, inner);
        break;
      case "SHOW_REF":
        if (nodeOf(node, "query") === null)
          throw new Refusal(locationOf(node), "SHOW is not available: use DESCRIBE with a name");
        break;
      case "FUNCTION":
      case "WINDOW_AGGREGATE":
        this.#visitFunction(node);
        break;
      default:
        break;
    }
    for (const [member, child] of Object.entries(node))
      if (member !== "cte_map") this.visit(child, inner);
  }

  /** WITH: each expression sees those before it, and itself when it is recursive. The scope of the statement below. */
  #visitWith(node: Node, scope: Scope): Scope {
    const map = nodeOf(node, "cte_map");
    let inner = scope;
    for (const entry of map === null ? [] : listOf(map, "map")) {
      const name = textOf(entry, "key").toLowerCase();
      const value = nodeOf(entry, "value");
      const query = value === null ? null : nodeOf(value, "query");
      const body = query === null ? null : (nodeOf(query, "node") ?? query);
      const withItself = new Set([...inner, name]);
      this.visit(value, body?.type === "RECURSIVE_CTE_NODE" ? withItself : inner);
      inner = withItself;
    }
    return inner;
  }

  #visitSelect(node: Node, scope: Scope): void {
    const table = nodeOf(node, "from_table");
    const relation = table?.type === "BASE_TABLE" ? relationOf(table, scope) : null;
    if (relation !== null) this.#needles.push(...needlesOfSelect(node, relation));
  }

  #visitTable(node: Node, scope: Scope): void {
    const at = locationOf(node);
    const schema = textOf(node, "schema_name").toLowerCase();
    if (textOf(node, "catalog_name") !== "" || !["", "main", SYSTEM_SCHEMA].includes(schema))
      throw new Refusal(at, "questions read streams, views and millrace.* relations only");
    if (nodeOf(node, "at_clause") !== null)
      throw new Refusal(at, "AT is not available: a question reads one position, see `after`");
    const name = relationOf(node, scope);
    if (name !== null) this.relations.push({ name, at });
  }

  #visitTableFunction(node: Node, scope: Scope): void {
    const call = nodeOf(node, "function");
    const name = call === null ? "" : textOf(call, "function_name").toLowerCase();
    const at = locationOf(node);
    const schema = call === null ? "" : textOf(call, "schema");
    if (call === null || schema !== "" || textOf(call, "catalog") !== "")
      throw new Refusal(at, `${name}: table functions are called without a schema`);
    if (TABLE_FUNCTIONS.has(name)) return;
    if (!WINDOW_FUNCTIONS.has(name))
      throw new Refusal(at, `the table function ${name} is not available to questions`);
    const [stream] = listOf(call, "children");
    const names = stream === undefined ? [] : columnNames(stream);
    if (names.length !== 1)
      throw new Refusal(at, `the first argument of ${name} is the name of a stream`);
    const relation = String(names[0]).toLowerCase();
    if (!scope.has(relation)) this.relations.push({ name: relation, at });
  }

  #visitFunction(node: Node): void {
    const name = textOf(node, "function_name").toLowerCase();
    if (REFUSED_FUNCTIONS.has(name))
      throw new Refusal(locationOf(node), `the function ${name} is not available to questions`);
    const own = OWN_SCHEMAS.has(textOf(node, "schema").toLowerCase());
    if (BOUNDED_FUNCTIONS.has(name) && (own || textOf(node, "catalog") !== ""))
      throw new Refusal(locationOf(node), `${name} is called without a schema`);
    const constant = CONSTANT_ARGUMENTS.get(name);
    if (constant === undefined) return;
    const argument = listOf(node, "children")[constant];
    const fault = argument === undefined ? null : constantFault(name, constantText(argument));
    if (fault !== null) throw new Refusal(locationOf(node), fault);
  }
}

function refused(sql: string, at: number | null, detail: string): GuardAnswer {
  const place = at === null ? {} : placeOf(sql, at);
  return {
    kind: "refused",
    problem: { status: 400, code: "refused_sql", title: "Question refused", detail, ...place },
  };
}

/** EXPLAIN in front, with blanks in its place so that positions stay; null when there is none. */
function withoutExplain(sql: string): string | null {
  const match = /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*explain(\s+analyze)?\b/i.exec(sql);
  if (match === null) return null;
  return match[0].replaceAll(/[^\s]/g, " ") + sql.slice(match[0].length);
}

/**
 * Checks a question: exactly one SELECT (or FROM, VALUES, WITH, DESCRIBE, SUMMARIZE; EXPLAIN of one), of streams, views and system relations.
 * Runs nothing of it. Whether the relations exist is the caller's to see.
 */
export async function guardQuestion(connection: DuckConnection, sql: string): Promise<GuardAnswer> {
  if (sql.includes("\0")) return refused(sql, null, "the text has a NUL character");
  const text = withoutExplain(sql) ?? sql;
  const parsed = await parseText(connection, text);
  if (parsed.kind === "fault") {
    if (parsed.message.startsWith("Only SELECT"))
      return refused(sql, 0, "questions only read: write one SELECT");
    if (parsed.message.startsWith("there is")) return refused(sql, parsed.at, parsed.message);
    const problem: Problem = {
      status: 400,
      code: "bad_sql",
      title: "Parser error",
      detail: parsed.message,
      ...placeOf(sql, parsed.at),
    };
    return { kind: "refused", problem };
  }
  const guard = new TreeGuard();
  try {
    guard.visit(parsed.root, new Set());
  } catch (error) {
    if (error instanceof Refusal) return refused(sql, error.at, error.message);
    throw error;
  }
  return { kind: "allowed", relations: guard.relations, needles: guard.needles() };
}
