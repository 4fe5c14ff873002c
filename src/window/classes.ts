// Pure: which vectors and states the kernels keep for a SQL type.
import {
  CLASS_B,
  CLASS_D,
  CLASS_H,
  CLASS_I,
  CLASS_S,
  RANGE_F32,
  RANGE_F64,
  RANGE_I32,
  RANGE_I64,
} from "../../kernels/abi.ts";
import { unreachable } from "../base/assert.ts";
import type { SqlType } from "../event/schema.ts";

/** The class of vectors (CLASS_*) of a type. */
export function classOf(type: SqlType): number {
  switch (type.kind) {
    case "BOOLEAN":
      return CLASS_B;
    case "INTEGER":
    case "BIGINT":
    case "DATE":
    case "TIMESTAMPTZ":
      return CLASS_I;
    case "FLOAT":
    case "DOUBLE":
      return CLASS_D;
    case "VARCHAR":
      return CLASS_S;
    case "DECIMAL":
      return type.precision <= 18 ? CLASS_I : CLASS_H;
    default:
      return unreachable(type);
  }
}

/** Bytes of a value of a class. */
export function widthOf(kind: number): number {
  if (kind === CLASS_B) return 1;
  return kind === CLASS_H ? 16 : 8;
}

/** What values of a type may be (RANGE_*, or the digits of a decimal). */
export function rangeOf(type: SqlType): number {
  switch (type.kind) {
    case "BOOLEAN":
    case "INTEGER":
    case "DATE":
      return RANGE_I32;
    case "FLOAT":
      return RANGE_F32;
    case "DOUBLE":
      return RANGE_F64;
    case "DECIMAL":
      return type.precision;
    default:
      return RANGE_I64;
  }
}

/** Digits after the point. */
export function scaleOf(type: SqlType): number {
  return type.kind === "DECIMAL" ? type.scale : 0;
}

/** Text of an expression (or of parts of one) as a key: equal texts are equal expressions, also with NaN and -0.0 as constants. */
export function textKey(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "number" && (!Number.isFinite(part) || Object.is(part, -0))
      ? { double: Object.is(part, -0) ? "-0" : String(part) }
      : part,
  );
}
