// Verb: the SELECT list -> items: names, and expressions or aggregates. What they become is select.ts's (windows) and projection.ts's.
import { aggregateOf } from "./aggregate.ts";
import { isAggregate } from "./lower-function.ts";
import type { Lowering } from "./lower.ts";
import type { Aggregate, Expr } from "./plan.ts";
import { canRaise } from "./render.ts";
import { columnNames, listOf, textOf, type Node } from "./tree.ts";

/** An item of the SELECT list. Exactly one of `aggregate` and `expr` is there. */
export interface Item {
  readonly node: Node;
  readonly name: string;
  readonly aggregate: Aggregate | null;
  readonly expr: Expr | null;
}

/** All items; null after a fault that leaves one unread. Faulty names are told and kept. */
export function readItems(lowering: Lowering, root: Node): Item[] | null {
  const items = listOf(root, "select_list").map((node) => readItem(lowering, node));
  const read = items.filter((item) => item !== null);
  if (read.length < items.length) return null;
  checkNames(lowering, read);
  return read;
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
  const expr = isAggregate(node) ? null : lowering.item(node);
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

/** The bound of the window that an expression is, or null. */
export function boundOf(expr: Expr | null): "window_start" | "window_end" | null {
  if (expr?.op !== "column") return null;
  const { from } = expr.column;
  return from === "window_start" || from === "window_end" ? from : null;
}

/** Structure without places: equal for equal meaning. */
export function identity(part: Expr | Aggregate | null): string {
  return JSON.stringify(part);
}

/** Whether an expression reads any column. */
export function readsColumn(expr: Expr): boolean {
  if (expr.op === "column") return true;
  return expr.op === "call" && expr.args.some(readsColumn);
}

/** False only where NULL is impossible: required columns, bounds, IS NULL, and what is computed from those without raising. */
export function isNullable(lowering: Lowering, expr: Expr | null): boolean {
  if (expr === null || expr.op === "constant") return expr === null || expr.value === null;
  if (expr.op === "call") {
    if (["is_null", "is_not_null", "is_distinct", "is_not_distinct"].includes(expr.fn))
      return false;
    const byZero = expr.fn === "int_div" || expr.fn === "mod";
    return byZero || canRaise(expr) || expr.args.some((arg) => isNullable(lowering, arg));
  }
  const { columns, bounds } = lowering.scope;
  for (const known of [...columns.values(), ...bounds.values()])
    if (identity({ ...expr, column: known.ref }) === identity(expr)) return known.nullable;
  return true;
}
