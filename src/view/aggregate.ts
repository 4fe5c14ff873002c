// Verb: an aggregate of the SELECT list -> Aggregate, with DuckDB's result type.
import { unreachable } from "../base/assert.ts";
import { sqlTypeText, type SqlType } from "../event/schema.ts";
import type { Lowering } from "./lower.ts";
import type { Aggregate, AggregateFn, Expr } from "./plan.ts";
import { listOf, nodeOf, textOf, type Node } from "./tree.ts";
import * as typing from "./typing.ts";

const NAMES: ReadonlyMap<string, AggregateFn> = new Map([
  ["count_star", "count_star"],
  ["count", "count"],
  ["sum", "sum"],
  ["avg", "avg"],
  ["mean", "avg"],
  ["min", "min"],
  ["max", "max"],
  ["approx_count_distinct", "approx_count_distinct"],
  ["first", "first"],
  ["last", "last"],
]);

/** Null after a fault. */
export function aggregateOf(lowering: Lowering, node: Node): Aggregate | null {
  const { faults } = lowering;
  const name = textOf(node, "function_name").toLowerCase();
  const fn = NAMES.get(name);
  if (fn === undefined) return faults.add(node, `${name} is not in this release`);
  if (textOf(node, "schema") !== "")
    return faults.add(node, "a function of a schema is not in this release");
  if (node["distinct"] === true)
    return faults.add(
      node,
      `${name}(DISTINCT ...) is not in this release`,
      fn === "count" ? "write approx_count_distinct(...)" : "",
    );
  const order = nodeOf(node, "order_bys");
  if (order !== null && listOf(order, "orders").length > 0)
    return faults.add(node, "ORDER BY in an aggregate is not in this release");
  const condition = nodeOf(node, "filter");
  const filter = condition && lowering.condition(condition);
  const argument = readArgument(lowering, node, fn);
  if (argument === null || (condition !== null && filter === null)) return null;
  return { ...argument, filter };
}

function readArgument(
  lowering: Lowering,
  node: Node,
  fn: AggregateFn,
): Omit<Aggregate, "filter"> | null {
  const { faults } = lowering;
  if (fn === "count_star") return { fn, arg: null, type: typing.BIGINT };
  const [child, more] = listOf(node, "children");
  if (child === undefined || more !== undefined)
    return faults.add(node, `${fn} takes one argument in this release`);
  const arg = lowering.value(child);
  if (arg === null) return null;
  if (arg.op === "constant" && fn === "count" && arg.value !== null)
    return { fn: "count_star", arg: null, type: typing.BIGINT };
  const typed = typedArgument(fn, arg);
  if (typed !== null) return { fn, ...typed };
  return faults.add(
    child,
    `${fn}(${sqlTypeText(arg.type)}) is not in this release`,
    fn === "sum" || fn === "avg" ? `${fn} takes numbers` : "",
  );
}

/** The argument as DuckDB's overload takes it, and the overload's result. HUGEINT is DECIMAL(38,0) here. */
function typedArgument(
  fn: Exclude<AggregateFn, "count_star">,
  arg: Expr,
): { arg: Expr; type: SqlType } | null {
  const cast = (type: SqlType): Expr =>
    typing.sameType(arg.type, type) ? arg : { op: "call", fn: "cast", args: [arg], type };
  switch (fn) {
    case "count":
    case "approx_count_distinct":
      return { arg, type: typing.BIGINT };
    case "min":
    case "max":
    case "first":
    case "last":
      return { arg, type: typing.outputType(arg.type) };
    case "sum":
      if (arg.type.kind === "BOOLEAN")
        return { arg: cast({ kind: "INTEGER" }), type: typing.decimal(38, 0) };
      if (typing.isFloating(arg.type)) return { arg: cast(typing.DOUBLE), type: typing.DOUBLE };
      if (!typing.isNumeric(arg.type)) return null;
      return { arg, type: typing.decimal(38, arg.type.kind === "DECIMAL" ? arg.type.scale : 0) };
    case "avg":
      if (!typing.isNumeric(arg.type)) return null;
      return {
        arg: typing.isFloating(arg.type) ? cast(typing.DOUBLE) : arg,
        type: typing.DOUBLE,
      };
    default:
      return unreachable(fn);
  }
}
