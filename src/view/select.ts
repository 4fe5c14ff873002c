// Verb: the SELECT statement's clauses -> keys, aggregates, output columns. Owns grouping and names; expressions are lower.ts's.
import { aggregateOf } from "./aggregate.ts";
import { canRaise } from "./render.ts";
import { isAggregate } from "./lower-function.ts";
import type { Lowering } from "./lower.ts";
import type { Aggregate, Expr, OutputColumn, OutputSource } from "./plan.ts";
import { columnNames, keywordAt, listOf, nodeOf, textOf, type Node } from "./tree.ts";
import { BIGINT, outputType } from "./typing.ts";

/** What the SELECT says, before constants are folded. */
export interface SelectParts {
  readonly filter: Expr | null;
  readonly keys: readonly Expr[];
  readonly aggregates: readonly Aggregate[];
  readonly output: readonly OutputColumn[];
}

/** An item of the SELECT list. Exactly one of `aggregate` and `expr` is there. */
interface Item {
  readonly node: Node;
  readonly name: string;
  readonly aggregate: Aggregate | null;
  readonly expr: Expr | null;
}

/** An expression of GROUP BY. */
interface Group {
  readonly node: Node;
  readonly expr: Expr;
}

/** Lowers a SELECT over a known scope; null after a fault. */
export function readSelect(lowering: Lowering, root: Node): SelectParts | null {
  const { faults } = lowering;
  const items = listOf(root, "select_list").map((node) => readItem(lowering, node));
  const where = nodeOf(root, "where_clause");
  const filter = where && lowering.condition(where);
  const read = items.filter((item) => item !== null);
  if (read.length < items.length) return null;
  checkNames(lowering, read);
  const groups = readGroups(lowering, root, read);
  if (groups === null) return null;
  const parts = assemble(lowering, read, groups);
  if (parts === null || faults.count > 0) return null;
  return { filter, ...parts };
}

/** Names that AS gives, in lower case. */
export function aliasesOf(root: Node): Set<string> {
  const names = listOf(root, "select_list").map((node) => textOf(node, "alias").toLowerCase());
  return new Set(names.filter((name) => name !== ""));
}

function readItem(lowering: Lowering, node: Node): Item | null {
  const alias = textOf(node, "alias");
  const name = alias || (node.type === "COLUMN_REF" ? (columnNames(node).at(-1) ?? "") : "");
  const aggregate = isAggregate(node) ? aggregateOf(lowering, node) : null;
  const expr = isAggregate(node) ? null : lowering.value(node);
  if (aggregate === null && expr === null) return null;
  if (name === "")
    return lowering.faults.add(node, "this column has no name", "write AS and a name after it");
  return { node, name, aggregate, expr };
}

/** Names are columns of an Iceberg table and of SQL: plain, and different without regard to case. */
function checkNames(lowering: Lowering, items: readonly Item[]): void {
  const seen = new Set<string>();
  for (const { node, name, expr } of items) {
    const lower = name.toLowerCase();
    const bound = boundOf(expr);
    if (!/^[\p{L}_][\p{L}\p{N}_]{0,127}$/u.test(name))
      lowering.faults.add(
        node,
        `"${name}" is no name of a column here`,
        "use letters, digits and _, at most 128, not a digit first",
      );
    else if (seen.has(lower))
      lowering.faults.add(node, `there are two columns "${name}"`, "give one of them another name");
    else if (bound !== null ? bound !== lower : RESERVED.has(lower))
      lowering.faults.add(
        node,
        bound === null ? `the name ${name} is taken` : `${bound} keeps its name`,
        bound === null ? "choose another name" : `write ${bound} without AS`,
      );
    seen.add(lower);
  }
}

/** Names that the view's table and relation add by themselves, or that only the window's bounds have. */
const RESERVED = new Set(["is_final", "revision", "window_start", "window_end"]);

function boundOf(expr: Expr | null): "window_start" | "window_end" | null {
  if (expr?.op !== "column") return null;
  const { from } = expr.column;
  return from === "window_start" || from === "window_end" ? from : null;
}

/** The expressions of GROUP BY; ALL means every item that is no aggregate. Null after a fault. */
function readGroups(lowering: Lowering, root: Node, items: readonly Item[]): Group[] | null {
  const { faults } = lowering;
  if (root["aggregate_handling"] === "FORCE_AGGREGATES")
    return items.flatMap(({ node, expr }) => (expr === null ? [] : [{ node, expr }]));
  const nodes = listOf(root, "group_expressions");
  const sets = root["group_sets"];
  if (Array.isArray(sets) && sets.length > 1)
    return faults.add(nodes[0] ?? root, "grouping sets are not in this release", "group once");
  if (nodes.length === 0)
    return faults.add(root, "a view groups by its window", "write GROUP BY ALL at the end");
  const groups: Group[] = [];
  for (const node of nodes) {
    const expr = readGroup(lowering, node, items);
    if (expr === null) return null;
    groups.push({ node, expr });
  }
  return groups;
}

/** An ordinal, a column (before any alias, as in DuckDB), an alias, or an expression. */
function readGroup(lowering: Lowering, node: Node, items: readonly Item[]): Expr | null {
  const value = node.type === "VALUE_CONSTANT" ? nodeOf(node, "value") : null;
  const names = node.type === "COLUMN_REF" ? columnNames(node) : [];
  const alias = names.length === 1 ? (names[0] ?? "").toLowerCase() : "";
  let item: Item | undefined;
  if (value !== null) item = items[Number(value["value"]) - 1];
  else if (alias !== "" && !lowering.scope.columns.has(alias))
    item = items.find((known) => known.name.toLowerCase() === alias);
  if (value !== null && item === undefined)
    return lowering.faults.add(node, `there is no column ${String(value["value"])} to group by`);
  if (item === undefined) return lowering.value(node);
  if (item.expr !== null) return item.expr;
  return lowering.faults.add(node, "an aggregate cannot be grouped by", "name the columns");
}

/** Matches the SELECT list with the groups and numbers keys and aggregates. */
function assemble(
  lowering: Lowering,
  items: readonly Item[],
  groups: readonly Group[],
): Omit<SelectParts, "filter"> | null {
  const { faults } = lowering;
  const grouped = new Set(groups.map((group) => identity(group.expr)));
  const keys: Expr[] = [];
  const aggregates: Aggregate[] = [];
  const output: OutputColumn[] = [];
  for (const { node, name, aggregate, expr } of items) {
    let source: OutputSource;
    if (aggregate !== null) source = { kind: "aggregate", index: placeIn(aggregates, aggregate) };
    else if (expr !== null && !grouped.has(identity(expr)))
      return faults.add(
        node,
        `"${name}" is not grouped`,
        "add it to GROUP BY, write GROUP BY ALL, or aggregate it",
      );
    else {
      const bound = boundOf(expr);
      if (bound === null && expr !== null && !readsColumn(expr))
        return faults.add(node, "a constant column is not in this release", "leave it out");
      if (bound !== null) source = { kind: bound };
      else if (expr !== null) source = { kind: "key", index: placeIn(keys, expr) };
      else continue;
    }
    const type = aggregate?.type ?? outputType(expr?.type ?? BIGINT);
    const nullable = aggregate === null ? isNullable(lowering, expr) : !isCount(aggregate);
    output.push({ name, type, nullable, fieldId: output.length + 1, source });
  }
  const start = output.some((column) => column.source.kind === "window_start");
  if (!start)
    return faults.add(items[0]?.node ?? 0, "window_start is missing", "select window_start first");
  const selected = new Set([...keys, ...items.map((item) => item.expr)].map(identity));
  const missing = groups.find(
    ({ expr }) => boundOf(expr) === null && !selected.has(identity(expr)),
  );
  if (missing !== undefined)
    return faults.add(
      missing.node,
      "a group that is not selected is not in this release",
      "add it to the SELECT list: rows of a view are told apart by it",
    );
  return { keys, aggregates, output };
}

/** Structure without places: equal for equal meaning. */
function identity(part: Expr | Aggregate | null): string {
  return JSON.stringify(part);
}

/** Index of an equal part, added when new. */
function placeIn<T extends Expr | Aggregate>(list: T[], part: T): number {
  const found = list.findIndex((known) => identity(known) === identity(part));
  return found >= 0 ? found : list.push(part) - 1;
}

function readsColumn(expr: Expr): boolean {
  if (expr.op === "column") return true;
  return expr.op === "call" && expr.args.some(readsColumn);
}

function isCount(aggregate: Aggregate): boolean {
  return ["count_star", "count", "approx_count_distinct"].includes(aggregate.fn);
}

/** False only where NULL is impossible: required columns, bounds, IS NULL, and what is computed from those without raising. */
function isNullable(lowering: Lowering, expr: Expr | null): boolean {
  if (expr === null || expr.op === "constant") return expr === null || expr.value === null;
  if (expr.op === "call") {
    if (["is_null", "is_not_null", "is_distinct", "is_not_distinct"].includes(expr.fn))
      return false;
    const byZero = expr.fn === "int_div" || expr.fn === "mod";
    return byZero || canRaise(expr) || expr.args.some((arg) => isNullable(lowering, arg));
  }
  const { column } = expr;
  for (const known of lowering.scope.columns.values())
    if (identity({ ...expr, column: known.ref }) === identity({ ...expr, column }))
      return known.nullable;
  return true;
}

/** Clauses that views do not have, each at its keyword. */
export function refuseClauses(lowering: Lowering, root: Node, text: string): void {
  const refuse = (keyword: string, advice: string): null => {
    const which = keyword === "WITH" || keyword === "DISTINCT" ? "first" : "last";
    const at = keywordAt(text, keyword, which);
    return lowering.faults.add(at, `${keyword} is not in this release`, advice);
  };
  if (nodeOf(root, "having") !== null) refuse("HAVING", "write WHERE in the query over the view");
  if (nodeOf(root, "qualify") !== null) refuse("QUALIFY", "write it in the query over the view");
  if (nodeOf(root, "sample") !== null) refuse("SAMPLE", "");
  const entries = nodeOf(root, "cte_map");
  if (entries !== null && listOf(entries, "map").length > 0)
    refuse("WITH", "write the expression where it is used");
  const words: ReadonlyMap<string, string> = new Map([
    ["ORDER_MODIFIER", "ORDER"],
    ["LIMIT_MODIFIER", "LIMIT"],
    ["LIMIT_PERCENT_MODIFIER", "LIMIT"],
    ["DISTINCT_MODIFIER", "DISTINCT"],
  ]);
  for (const modifier of listOf(root, "modifiers")) {
    const word = words.get(modifier.type) ?? modifier.type;
    const isOffset = word === "LIMIT" && keywordAt(text, "LIMIT", "last") === null;
    refuse(isOffset ? "OFFSET" : word, "write it in the query over the view");
  }
}
