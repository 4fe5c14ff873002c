// Verb: a call in the syntax tree -> Expr: operators of arithmetic and date_trunc. Aggregates are select.ts's.
import { sqlTypeText } from "../event/schema.ts";
import type { Lowering, Operand } from "./lower.ts";
import { listOf, nodeOf, textOf, type Node } from "./tree.ts";
import * as typing from "./typing.ts";

const ARITHMETIC: ReadonlyMap<string, typing.Arithmetic> = new Map([
  ["+", "add"],
  ["-", "sub"],
  ["*", "mul"],
  ["/", "div"],
  ["//", "int_div"],
  ["%", "mod"],
]);

/** DuckDB's names of the parts of a time that date_trunc cuts at (DatePartSpecifier), to the one in plans. */
const UNITS: ReadonlyMap<string, string> = new Map(
  (
    [
      ["microsecond", "microseconds us usec usecs usecond useconds"],
      ["millisecond", "milliseconds ms msec msecs msecond mseconds"],
      ["second", "seconds sec secs s"],
      ["minute", "minutes min mins m"],
      ["hour", "hours hr hrs h"],
      ["day", "days d"],
      ["week", "weeks w"],
      ["month", "months mon mons"],
      ["quarter", "quarters"],
      ["year", "years yr yrs y"],
    ] as const
  ).flatMap(([unit, others]) =>
    [unit, ...others.split(" ")].map((name): [string, string] => [name, unit]),
  ),
);

const AGGREGATES = new Set([
  "count_star",
  "count",
  "sum",
  "avg",
  "mean",
  "min",
  "max",
  "first",
  "last",
]);

/** Whether a FUNCTION node calls an aggregate that views have. */
export function isAggregate(node: Node): boolean {
  const name = textOf(node, "function_name").toLowerCase();
  return node.type === "FUNCTION" && (AGGREGATES.has(name) || name === "approx_count_distinct");
}

/** Lowers a FUNCTION node that is not an aggregate; null after a fault. */
export function calledFunction(lowering: Lowering, node: Node): Operand | null {
  const name = textOf(node, "function_name").toLowerCase();
  if (textOf(node, "schema") !== "" || textOf(node, "catalog") !== "")
    return lowering.faults.add(node, "a function of a schema is not in this release");
  if (isAggregate(node))
    return lowering.faults.add(
      node,
      "an aggregate stands alone in the SELECT list, never inside an expression, WHERE or GROUP BY",
      "compute with it in the query over the view",
    );
  const children = listOf(node, "children");
  const arithmetic = node["is_operator"] === true ? ARITHMETIC.get(name) : undefined;
  const [first, second] = children;
  if (arithmetic !== undefined && first !== undefined)
    return second === undefined
      ? unary(lowering, { node, name, child: first })
      : binary(lowering, { node, fn: arithmetic, name, children: [first, second] });
  if (name === "date_trunc" || name === "datetrunc") return dateTrunc(lowering, node);
  return lowering.faults.add(node, ...refusedFunction(name));
}

function unary(
  lowering: Lowering,
  call: { readonly node: Node; readonly name: string; readonly child: Node },
): Operand | null {
  const { node, name, child } = call;
  const operand = lowering.operand(child);
  if (operand === null) return null;
  const { type } = operand.expr;
  if (operand.literal !== null || !typing.isNumeric(type))
    return lowering.faults.add(node, `${name} takes a number`, "");
  if (name === "+") return operand;
  return lowering.call(node, { fn: "neg", args: [operand.expr], type });
}

function binary(
  lowering: Lowering,
  call: {
    readonly node: Node;
    readonly fn: typing.Arithmetic;
    readonly name: string;
    readonly children: readonly [Node, Node];
  },
): Operand | null {
  const { node, fn, name, children } = call;
  const left = lowering.operand(children[0]);
  const right = lowering.operand(children[1]);
  if (left === null || right === null) return null;
  for (const { literal, node: at } of [left, right])
    if (literal !== null)
      return lowering.faults.add(at, `${name} takes numbers`, "write a number without quotes");
  const [a, b] = [left.expr.type, right.expr.type];
  const typed = typing.arithmeticTyping(fn, a, b);
  if (typed === null || (fn === "int_div" && !typing.isInteger(typed.result)))
    return lowering.faults.add(
      node,
      `${sqlTypeText(a)} ${name} ${sqlTypeText(b)} is not in this release`,
      advice(fn),
    );
  const x = lowering.coerce(left, typed.left);
  const y = lowering.coerce(right, typed.right);
  return x && y && lowering.call(node, { fn, args: [x, y], type: typed.result });
}

/** What to write instead of an operation on types that views do not have. */
function advice(fn: typing.Arithmetic): string {
  if (fn === "int_div") return "// takes whole numbers; / divides others";
  return fn === "mod" ? "its result may need more than 38 digits: cast a side to DOUBLE" : "";
}

function dateTrunc(lowering: Lowering, node: Node): Operand | null {
  const [part, time] = listOf(node, "children");
  const value = part && nodeOf(part, "value");
  if (part === undefined || time === undefined || part.type !== "VALUE_CONSTANT" || !value)
    return lowering.faults.add(part ?? node, "date_trunc takes a unit in quotes and a time");
  const unit = UNITS.get(String(value["value"]).toLowerCase());
  if (unit === undefined)
    return lowering.faults.add(
      part,
      `date_trunc does not know the unit "${String(value["value"])}" in this release`,
      `write one of ${[...new Set(UNITS.values())].join(", ")}`,
    );
  const operand = lowering.operand(time);
  if (operand === null) return null;
  if (operand.literal !== null || operand.expr.type.kind !== "TIMESTAMPTZ")
    return lowering.faults.add(
      time,
      "date_trunc takes a TIMESTAMPTZ in this release",
      operand.expr.type.kind === "DATE" ? "write CAST(... AS TIMESTAMPTZ)" : "",
    );
  return lowering.call(node, {
    fn: "date_trunc",
    args: [operand.expr],
    type: operand.expr.type,
    unit,
  });
}

function refusedFunction(name: string): [string, string] {
  const operators: Record<string, string> = {
    "~~": "LIKE",
    "!~~": "NOT LIKE",
    "~~*": "ILIKE",
    "!~~*": "NOT ILIKE",
    date_part: "extract",
    timezone: "AT TIME ZONE",
  };
  return [
    `${operators[name] ?? name} is not in this release`,
    name === "time_bucket"
      ? "write date_trunc, or choose the size of tumble"
      : `views have ${[...AGGREGATES].filter((known) => known !== "count_star").join(", ")}, approx_count_distinct, coalesce, date_trunc, CAST and operators`,
  ];
}
