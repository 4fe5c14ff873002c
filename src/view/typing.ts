// Types of expressions as DuckDB's binder gives them, for the subset that kernels evaluate. Pure functions over types; every rule is
// checked against DuckDB's own DESCRIBE by typing tests and once more for each view (parse.ts).
import type { SqlType } from "../event/schema.ts";

/** Digits of a DECIMAL that kernels hold in 64 bits, and at all (DuckDB: Decimal::MAX_WIDTH_INT64, MAX_WIDTH_INT128). */
const DIGITS_INT64 = 18;
const DIGITS_MAX = 38;

export type DecimalType = Extract<SqlType, { kind: "DECIMAL" }>;

export const BOOLEAN: SqlType = { kind: "BOOLEAN" };
export const BIGINT: SqlType = { kind: "BIGINT" };
export const DOUBLE: SqlType = { kind: "DOUBLE" };
export const VARCHAR: SqlType = { kind: "VARCHAR" };

export function decimal(precision: number, scale: number): DecimalType {
  return { kind: "DECIMAL", precision, scale };
}

export function sameType(a: SqlType, b: SqlType): boolean {
  if (a.kind === "DECIMAL" && b.kind === "DECIMAL")
    return a.precision === b.precision && a.scale === b.scale;
  return a.kind === b.kind;
}

export function isInteger(type: SqlType): boolean {
  return type.kind === "INTEGER" || type.kind === "BIGINT";
}

export function isFloating(type: SqlType): boolean {
  return type.kind === "FLOAT" || type.kind === "DOUBLE";
}

export function isNumeric(type: SqlType): boolean {
  return isInteger(type) || isFloating(type) || type.kind === "DECIMAL";
}

/** The DECIMAL that holds every value of an integer or decimal type: INTEGER (10,0), BIGINT (19,0). */
export function asDecimal(type: SqlType): DecimalType {
  if (type.kind === "DECIMAL") return type;
  return type.kind === "INTEGER" ? decimal(10, 0) : decimal(19, 0);
}

/**
 * The type that two operands of a comparison, IN or BETWEEN are cast to (DuckDB: BoundComparisonExpression::TryBindComparison), or of
 * coalesce (LogicalType::MaxLogicalType), or null when kernels have none (text with another type, BOOLEAN with a number).
 */
export function commonType(a: SqlType, b: SqlType, use: "compare" | "coalesce"): SqlType | null {
  if (sameType(a, b)) return a;
  if (isNumeric(a) && isNumeric(b)) {
    if (a.kind === "DOUBLE" || b.kind === "DOUBLE") return DOUBLE;
    if (a.kind === "FLOAT" || b.kind === "FLOAT") return { kind: "FLOAT" };
    if (a.kind === "DECIMAL" || b.kind === "DECIMAL") return commonDecimal(a, b, use);
    return BIGINT;
  }
  const times = new Set([a.kind, b.kind]);
  if (times.has("DATE") && times.has("TIMESTAMPTZ")) return { kind: "TIMESTAMPTZ" };
  return null;
}

/** Beyond 38 digits a comparison keeps the digits after the point, coalesce of two decimals those before it. */
function commonDecimal(a: SqlType, b: SqlType, use: "compare" | "coalesce"): DecimalType {
  const left = asDecimal(a);
  const right = asDecimal(b);
  const scale = Math.max(left.scale, right.scale);
  const whole = Math.max(left.precision - left.scale, right.precision - right.scale);
  if (whole + scale <= DIGITS_MAX) return decimal(whole + scale, scale);
  const keepsWhole = use === "coalesce" && !isInteger(a) && !isInteger(b);
  return decimal(DIGITS_MAX, keepsWhole ? DIGITS_MAX - whole : scale);
}

export type Arithmetic = "add" | "sub" | "mul" | "div" | "int_div" | "mod";

/** The types that arithmetic casts its operands to, and its result's. Null: DuckDB refuses, or kernels have no such operation. */
export interface ArithmeticTyping {
  readonly left: SqlType;
  readonly right: SqlType;
  readonly result: SqlType;
}

/** DuckDB's overloads of + - * / // % for numbers. */
export function arithmeticTyping(fn: Arithmetic, a: SqlType, b: SqlType): ArithmeticTyping | null {
  if (!isNumeric(a) || !isNumeric(b)) return null;
  if (a.kind === "DOUBLE" || b.kind === "DOUBLE") return alike(DOUBLE);
  if (a.kind === "FLOAT" || b.kind === "FLOAT") return alike({ kind: "FLOAT" });
  if (fn === "div") return alike(DOUBLE);
  if (a.kind === "DECIMAL" || b.kind === "DECIMAL") {
    if (fn === "int_div") return alike(DOUBLE);
    return fn === "mul" ? decimalProduct(asDecimal(a), asDecimal(b)) : decimalSum(fn, a, b);
  }
  return alike(a.kind === "INTEGER" && b.kind === "INTEGER" ? a : BIGINT);
}

function alike(type: SqlType): ArithmeticTyping {
  return { left: type, right: type, result: type };
}

/**
 * + and - need a digit more than their operands; their result is never widened from 64 to 128 bits (DuckDB: BindDecimalArithmetic),
 * that of % is (BindDecimalModulo). Null where that would need more than 38 digits: DuckDB goes on with DOUBLEs there whose remainder by
 * zero is NULL, unlike that of any others.
 */
function decimalSum(fn: "add" | "sub" | "mod", a: SqlType, b: SqlType): ArithmeticTyping | null {
  const left = asDecimal(a);
  const right = asDecimal(b);
  const scale = Math.max(left.scale, right.scale);
  const whole = Math.max(left.precision - left.scale, right.precision - right.scale);
  const digits = whole + scale + (fn === "mod" ? 0 : 1);
  if (fn === "mod" && digits > DIGITS_MAX) return null;
  const widest = Math.max(left.precision, right.precision);
  const bound = fn !== "mod" && widest <= DIGITS_INT64 ? DIGITS_INT64 : DIGITS_MAX;
  return alike(decimal(Math.min(digits, bound), scale));
}

/** * adds precisions and scales under the same bound; operands keep their scales. Null when the scale does not fit. */
function decimalProduct(a: DecimalType, b: DecimalType): ArithmeticTyping | null {
  const scale = a.scale + b.scale;
  if (scale > DIGITS_MAX) return null;
  const widest = Math.max(a.precision, b.precision);
  const bound = widest <= DIGITS_INT64 && scale < DIGITS_INT64 ? DIGITS_INT64 : DIGITS_MAX;
  const precision = Math.min(a.precision + b.precision, bound);
  return {
    left: decimal(precision, a.scale),
    right: decimal(precision, b.scale),
    result: decimal(precision, scale),
  };
}

/** Whether kernels cast a column of one type to another. Numbers among each other, BOOLEAN and integers, DATE and TIMESTAMPTZ. */
export function castable(from: SqlType, to: SqlType): boolean {
  if (sameType(from, to)) return true;
  if (isNumeric(from) && isNumeric(to)) return true;
  if (from.kind === "BOOLEAN") return isInteger(to);
  if (to.kind === "BOOLEAN") return isInteger(from);
  return (
    (from.kind === "DATE" && to.kind === "TIMESTAMPTZ") ||
    (from.kind === "TIMESTAMPTZ" && to.kind === "DATE")
  );
}

/** Whether a cast can meet a value that the target does not hold: DuckDB raises then, kernels give NULL and count the event as failed. */
export function castCanFail(from: SqlType, to: SqlType): boolean {
  if (sameType(from, to) || to.kind === "BOOLEAN" || from.kind === "BOOLEAN") return false;
  if (!isNumeric(from)) return from.kind === "DATE";
  if (to.kind === "DOUBLE") return false;
  if (to.kind === "FLOAT") return from.kind === "DOUBLE";
  if (isFloating(from)) return true;
  const source = asDecimal(from);
  const whole = source.precision - source.scale;
  if (to.kind === "DECIMAL")
    return whole + roundsUp(source.scale, to.scale) > to.precision - to.scale;
  if (from.kind === "INTEGER" || sameType(from, to)) return false;
  return whole + roundsUp(source.scale, 0) > (to.kind === "INTEGER" ? 9 : 18);
}

/** 99.9 rounds to 100: fewer digits after the point may need one more before it. */
function roundsUp(fromScale: number, toScale: number): number {
  return fromScale > toScale ? 1 : 0;
}

/** The type of an output column: what DuckDB gives, except that numbers beyond 18 digits have 38 (kernels and Parquet know no others). */
export function outputType(type: SqlType): SqlType {
  return type.kind === "DECIMAL" && type.precision > DIGITS_INT64
    ? decimal(DIGITS_MAX, type.scale)
    : type;
}
