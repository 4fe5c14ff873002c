// Verb: the clauses of a SELECT over a window -> keys, aggregates, output columns. Owns grouping; names are items.ts's, HAVING and QUALIFY
// group-filter.ts's, expressions lower.ts's.
import type { FromClause } from "./from.ts";
import { readHaving, readTopN } from "./group-filter.ts";
import { boundOf, identity, isNullable, readItems, readsColumn, type Item } from "./items.ts";
import type { Lowering } from "./lower.ts";
import type { Aggregate, Expr, OutputColumn, OutputSource, TopN } from "./plan.ts";
import { columnNames, keywordAt, listOf, nodeOf, type Node } from "./tree.ts";
import { BIGINT, outputType } from "./typing.ts";

/** What the SELECT says, before constants are folded. */
export interface SelectParts {
  readonly filter: Expr | null;
  readonly keys: readonly Expr[];
  readonly aggregates: readonly Aggregate[];
  readonly output: readonly OutputColumn[];
  readonly having: Expr | null;
  readonly topN: TopN | null;
}

/** What a SELECT groups into. */
type Groups = Pick<SelectParts, "keys" | "aggregates" | "output">;

/** An expression of GROUP BY. */
interface Group {
  readonly node: Node;
  readonly expr: Expr;
}

/** Lowers a SELECT over a window; null after a fault. `text` is the view's, for places that the tree does not have. */
export function readSelect(
  lowering: Lowering,
  from: FromClause,
  { root, text }: { readonly root: Node; readonly text: string },
): SelectParts | null {
  const { faults } = lowering;
  const items = readItems(lowering, root);
  const where = nodeOf(root, "where_clause");
  const filter = where && lowering.condition(where);
  if (items === null) return null;
  const groups = readGroups(lowering, root, items);
  if (groups === null) return null;
  const parts = assemble(lowering, items, groups);
  if (parts === null) return null;
  if (from.window?.kind === "session") checkSessionKeys(lowering, from, items);
  const scope = { lowering, items, text };
  const condition = nodeOf(root, "having");
  const having = condition && readHaving(scope, condition);
  const qualify = nodeOf(root, "qualify");
  const topN = qualify && readTopN(scope, { root, qualify, window: from.window });
  if (faults.count > 0) return null;
  return { filter, ...parts, having, topN };
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
  if (item === undefined) return lowering.item(node);
  if (item.expr !== null) return item.expr;
  return lowering.faults.add(node, "an aggregate cannot be grouped by", "name the columns");
}

/** Matches the SELECT list with the groups and numbers keys and aggregates. */
function assemble(
  lowering: Lowering,
  items: readonly Item[],
  groups: readonly Group[],
): Groups | null {
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

/** Events are one session when they are near and all that session(...) and GROUP BY name is equal: both name the same. */
function checkSessionKeys(lowering: Lowering, from: FromClause, items: readonly Item[]): void {
  const { faults } = lowering;
  const keys = items.filter(({ expr }) => expr !== null && boundOf(expr) === null);
  const grouped = new Set(keys.map(({ expr }) => identity(expr)));
  const told = new Set<string>();
  for (const node of from.sessionKeys) {
    const expr = lowering.value(node);
    if (expr === null) continue;
    told.add(identity(expr));
    if (!grouped.has(identity(expr)))
      faults.add(
        node,
        "session tells sessions apart by this, and the view does not show it",
        "add it to the SELECT list",
      );
  }
  for (const { node, name, expr } of keys)
    if (!told.has(identity(expr)))
      faults.add(
        node,
        `session does not tell sessions apart by "${name}"`,
        "add it to session(...), or aggregate it: first(...)",
      );
}

/** Index of an equal part, added when new. */
function placeIn<T extends Expr | Aggregate>(list: T[], part: T): number {
  const found = list.findIndex((known) => identity(known) === identity(part));
  return found >= 0 ? found : list.push(part) - 1;
}

function isCount(aggregate: Aggregate): boolean {
  return ["count_star", "count", "approx_count_distinct"].includes(aggregate.fn);
}

/** Clauses that views do not have, each at its keyword. */
export function refuseClauses(lowering: Lowering, root: Node, text: string): void {
  const refuse = (keyword: string, advice: string): null => {
    const which = keyword === "WITH" || keyword === "DISTINCT" ? "first" : "last";
    const at = keywordAt(text, keyword, which);
    return lowering.faults.add(at, `${keyword} is not in this release`, advice);
  };
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
