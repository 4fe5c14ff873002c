// Verb: HAVING and QUALIFY -> a condition and a top-N over the view's output columns. Owns what in them names an output column.
import { aggregateOf } from "./aggregate.ts";
import { Faults } from "./fault.ts";
import { identity, type Item } from "./items.ts";
import { isAggregate } from "./lower-function.ts";
import { Lowering, type Operand } from "./lower.ts";
import type { Expr, TopN, WindowPlan } from "./plan.ts";
import { columnNames, keywordAt, listOf, nodeOf, textOf, type Node } from "./tree.ts";
import { outputType } from "./typing.ts";

/** What the clauses after GROUP BY can see. */
export interface GroupScope {
  readonly lowering: Lowering;
  readonly items: readonly Item[];
  /** The view's text. */
  readonly text: string;
}

/** A condition over output columns; null after a fault. */
export function readHaving(scope: GroupScope, condition: Node): Expr | null {
  return new OutputLowering(scope).condition(condition);
}

/** Lowers expressions whose columns are those of the view: keys, bounds, aggregates and names that AS gives. */
class OutputLowering extends Lowering {
  readonly #items: readonly Item[];

  constructor({ lowering, items }: GroupScope) {
    super(lowering.scope, lowering.faults, lowering.places);
    this.#items = items;
  }

  override operand(node: Node): Operand | null {
    const column = this.#column(node);
    if (column !== null) return column;
    if (isAggregate(node))
      return this.faults.add(
        node,
        "an aggregate that is not selected is not in this release",
        "add it to the SELECT list",
      );
    if (node.type === "COLUMN_REF")
      return this.faults.add(
        node,
        `"${columnNames(node).at(-1) ?? ""}" is no column of this view`,
        "HAVING and QUALIFY see what the SELECT list has",
      );
    return super.operand(node);
  }

  /** The output column that an expression is, if it is one; a column of the stream goes before an alias, as in DuckDB. */
  #column(node: Node): Operand | null {
    const quiet = new Lowering(this.scope, new Faults(""));
    let ordinal = -1;
    if (isAggregate(node)) {
      const aggregate = aggregateOf(quiet, node);
      if (aggregate !== null) ordinal = this.#find(identity(aggregate), "aggregate");
    } else if (this.#items.some((item) => item.expr !== null && isAlike(item.node, node))) {
      const expr = quiet.item(node);
      if (expr !== null) ordinal = this.#find(identity(expr), "expr");
    }
    const [name, qualifier] = node.type === "COLUMN_REF" ? columnNames(node).toReversed() : [];
    if (ordinal < 0 && name !== undefined && qualifier === undefined)
      ordinal = this.#items.findIndex((item) => item.name.toLowerCase() === name.toLowerCase());
    const item = this.#items[ordinal];
    const type = item?.aggregate?.type ?? item?.expr?.type;
    if (type === undefined) return null;
    const column = { from: "output", ordinal } as const;
    return { expr: { op: "column", column, type: outputType(type) }, literal: null, node };
  }

  #find(known: string, part: "aggregate" | "expr"): number {
    return this.#items.findIndex((item) => item[part] !== null && identity(item[part]) === known);
  }
}

/** Whether two nodes may be the same expression, by a look at them alone. */
function isAlike(a: Node, b: Node): boolean {
  return a.type === b.type && textOf(a, "function_name") === textOf(b, "function_name");
}

const FORM =
  "write QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY column DESC) <= 10";

/** Reads exactly FORM, with window_end beside window_start and several columns at will; null after a fault. */
export function readTopN(
  scope: GroupScope,
  view: { readonly root: Node; readonly qualify: Node; readonly window: WindowPlan | null },
): TopN | null {
  const { faults } = scope.lowering;
  const { root, qualify, window } = view;
  const at = keywordAt(scope.text, "QUALIFY", "last") ?? 0;
  if (window?.kind === "session")
    return faults.add(
      at,
      "QUALIFY over session: sessions have no windows in common, each would be the first of its own",
      "number the rows in the query over the view",
    );
  if (root["aggregate_handling"] === "FORCE_AGGREGATES")
    return faults.add(
      at,
      "DuckDB takes no QUALIFY together with GROUP BY ALL",
      "name the columns in GROUP BY",
    );
  const call = nodeOf(qualify, "left");
  const bound = nodeOf(qualify, "right");
  if (qualify.type !== "COMPARE_LESSTHANOREQUALTO" || call === null || bound === null)
    return faults.add(at, "this QUALIFY is not in this release", FORM);
  if (call.type !== "WINDOW_ROW_NUMBER" || !isPlainRowNumber(call))
    return faults.add(call, "this QUALIFY is not in this release", FORM);
  const limit = limitOf(bound);
  if (limit === null)
    return faults.add(bound, "row_number() is compared with a whole number above 0", FORM);
  const lowering = new OutputLowering(scope);
  const parts = listOf(call, "partitions").map((node) => columnNames(node).at(-1)?.toLowerCase());
  const isWindow = parts.every((name) => name === "window_start" || name === "window_end");
  if (!isWindow || !parts.includes("window_start"))
    return faults.add(call, "the rows are numbered in each window", FORM);
  const orderBy: TopN["orderBy"][number][] = [];
  for (const order of listOf(call, "orders")) {
    const node = nodeOf(order, "expression");
    const operand = node && lowering.operand(node);
    if (operand === null) return null;
    if (operand.expr.op !== "column" || operand.expr.column.from !== "output")
      return faults.add(node, "rows are ordered by columns of the SELECT list", "select it");
    const { ordinal } = operand.expr.column;
    const nullsFirst = textOf(order, "null_order") === "NULLS FIRST";
    orderBy.push({ ordinal, descending: order.type === "DESCENDING", nullsFirst });
  }
  if (orderBy.length === 0) return faults.add(call, "row_number() needs an ORDER BY", FORM);
  return { limit, orderBy };
}

/** Without arguments, FILTER, EXCLUDE and a frame of its own: none of them changes row numbers, and DuckDB may refuse them. */
function isPlainRowNumber(call: Node): boolean {
  return (
    listOf(call, "children").length === 0 &&
    listOf(call, "arg_orders").length === 0 &&
    nodeOf(call, "filter_expr") === null &&
    textOf(call, "start") === "UNBOUNDED_PRECEDING" &&
    textOf(call, "end") === "CURRENT_ROW_RANGE"
  );
}

/** A literal whole number above 0, or null. */
function limitOf(node: Node): number | null {
  const value = node.type === "VALUE_CONSTANT" ? nodeOf(node, "value") : null;
  const limit = value?.["value"];
  const isWhole = typeof limit === "number" && Number.isSafeInteger(limit) && limit > 0;
  const type = value && nodeOf(value, "type");
  return isWhole && ["INTEGER", "BIGINT"].includes(textOf(type ?? node, "id")) ? limit : null;
}
