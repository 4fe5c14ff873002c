// Verb: Expr -> SQL text for DuckDB, every cast explicit. Used to fold constants, for the batch text, and to check plans against DuckDB.
import { sqlTypeText, type SqlType } from "../event/schema.ts";
import { unreachable } from "../base/assert.ts";
import type { ColumnRef, Expr, ScalarFn } from "./plan.ts";
import { arithmeticTyping, castCanFail, isInteger, sameType } from "./typing.ts";

export interface RenderOptions {
  /** The name, quoted where needed, of a column. */
  readonly column: (ref: ColumnRef) => string;
  /** Wrap each operation that can raise in TRY, as kernels do: it gives NULL by itself. */
  readonly guarded: boolean;
}

const INFIX: Partial<Record<ScalarFn, string>> = {
  eq: "=",
  ne: "<>",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  is_distinct: "IS DISTINCT FROM",
  is_not_distinct: "IS NOT DISTINCT FROM",
  and: "AND",
  or: "OR",
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  int_div: "//",
  mod: "%",
};

/** An identifier in double quotes. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text constant in single quotes. */
export function quoteText(text: string): string {
  const parts = text.split("\0").map((part) => `'${part.replaceAll("'", "''")}'`);
  return parts.length === 1 ? parts.join("") : `(${parts.join(" || chr(0) || ")})`;
}

/** The text of an expression. */
export function renderExpr(expr: Expr, options: RenderOptions): string {
  switch (expr.op) {
    case "column":
      return options.column(expr.column);
    case "constant":
      return renderConstant(expr.value, expr.type);
    case "call": {
      const text = renderCall(expr, options);
      return options.guarded && canRaise(expr) ? `TRY(${text})` : text;
    }
    default:
      return unreachable(expr);
  }
}

function renderCall(expr: Extract<Expr, { op: "call" }>, options: RenderOptions): string {
  const args = expr.args.map((arg) => renderExpr(arg, options));
  const [first = "", ...rest] = args;
  const infix = INFIX[expr.fn];
  if (infix !== undefined) {
    const text = `(${args.join(` ${infix} `)})`;
    return isWidened(expr) ? `CAST(${text} AS ${sqlTypeText(expr.type)})` : text;
  }
  switch (expr.fn) {
    case "not":
      return `(NOT ${first})`;
    case "neg":
      return `(- ${first})`;
    case "is_null":
      return `(${first} IS NULL)`;
    case "is_not_null":
      return `(${first} IS NOT NULL)`;
    case "in":
      return `(${first} IN (${rest.join(", ")}))`;
    case "date_trunc":
      return `date_trunc(${quoteText(expr.unit ?? "")}, ${first})`;
    case "cast":
      return `CAST(${first} AS ${sqlTypeText(expr.type)})`;
    case "coalesce":
      return `coalesce(${args.join(", ")})`;
    default:
      throw new Error(`broken invariant: ${expr.fn} has no text`);
  }
}

/** DuckDB adds digits to decimal operands that have been cast already: the result is cast back, and raises where it would have. */
function isWidened(expr: Extract<Expr, { op: "call" }>): boolean {
  const [left, right] = expr.args;
  if (expr.type.kind !== "DECIMAL" || left === undefined || right === undefined) return false;
  if (expr.fn !== "add" && expr.fn !== "sub" && expr.fn !== "mul") return false;
  const typed = arithmeticTyping(expr.fn, left.type, right.type);
  return typed === null || !sameType(typed.result, expr.type);
}

/**
 * Whether the operation itself can meet a value that it has no result for (DuckDB raises, kernels give NULL and count the event as
 * failed): overflow of whole numbers and decimals, casts that do not fit. Division by zero does not raise.
 */
export function canRaise(expr: Expr): boolean {
  if (expr.op !== "call") return false;
  const exact = isInteger(expr.type) || expr.type.kind === "DECIMAL";
  switch (expr.fn) {
    case "add":
    case "sub":
    case "mul":
      return exact;
    case "int_div":
    case "mod":
    case "neg":
      return isInteger(expr.type);
    case "cast": {
      const from = expr.args[0]?.type;
      return from !== undefined && castCanFail(from, expr.type);
    }
    default:
      return false;
  }
}

/** A constant of exactly this type. */
function renderConstant(value: string | number | boolean | null, type: SqlType): string {
  const name = sqlTypeText(type);
  if (value === null) return `CAST(NULL AS ${name})`;
  switch (type.kind) {
    case "DATE":
      return `(DATE '1970-01-01' + CAST(${value} AS INTEGER))`;
    case "TIMESTAMPTZ":
      return `make_timestamptz(CAST(${value} AS BIGINT))`;
    case "DECIMAL":
      return `CAST(${quoteText(decimalText(String(value), type.scale))} AS ${name})`;
    case "VARCHAR":
      return quoteText(String(value));
    case "BOOLEAN":
      return String(value);
    case "INTEGER":
    case "BIGINT":
    case "FLOAT":
    case "DOUBLE":
      return `CAST(${quoteText(String(value))} AS ${name})`;
    default:
      return unreachable(type);
  }
}

/** "-1250" with scale 2 -> "-12.50". */
export function decimalText(unscaled: string, scale: number): string {
  if (scale === 0) return unscaled;
  const negative = unscaled.startsWith("-");
  const digits = (negative ? unscaled.slice(1) : unscaled).padStart(scale + 1, "0");
  return `${negative ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
