// Pure: the instruction of a cast between two types, with DuckDB's rounding and range.
import * as abi from "../../kernels/abi.ts";
import type { SqlType } from "../event/schema.ts";
import { classOf, rangeOf, scaleOf } from "./classes.ts";
import type { Instruction } from "./program.ts";

/** The cast of register `a` (BOOLEAN as an integer), or null when the values stay as they are. Throws when kernels do not know it. */
export function lowerCast(from: SqlType, to: SqlType, a: number): Instruction | null {
  const source = from.kind === "BOOLEAN" ? abi.CLASS_I : classOf(from);
  const target = classOf(to);
  const imm = BigInt(rangeOf(to));
  if (from.kind === to.kind && from.kind !== "DECIMAL") return null;
  const isTime = (type: SqlType): boolean => type.kind === "DATE" || type.kind === "TIMESTAMPTZ";
  if (isTime(from) && isTime(to)) {
    const x = to.kind === "DATE" ? abi.CAST_TIME_TO_DATE : abi.CAST_DATE_TO_TIME;
    return { op: abi.OP_CAST, a, x };
  }
  if (isTime(from) || isTime(to) || source === abi.CLASS_S || target === abi.CLASS_S)
    throw new Error(`kernels do not cast ${from.kind} to ${to.kind}`);
  if (target === abi.CLASS_B) {
    const narrow = source === abi.CLASS_D ? abi.CAST_D_TO_B : abi.CAST_I_TO_B;
    return { op: abi.OP_CAST, a, x: source === abi.CLASS_H ? abi.CAST_H_TO_B : narrow };
  }
  if (source === abi.CLASS_D) return fromDouble(from, to, a);
  if (target === abi.CLASS_D) {
    const x = source === abi.CLASS_H ? abi.CAST_H_TO_D : abi.CAST_I_TO_D;
    return { op: abi.OP_CAST, a, x, y: scaleOf(from), imm };
  }
  const shift = scaleOf(to) - scaleOf(from);
  const y = shift >= 0 ? shift : -shift + abi.CAST_DOWN;
  if (source === abi.CLASS_I) {
    if (target === abi.CLASS_I && shift === 0 && widens(from, to)) return null;
    const x = target === abi.CLASS_I ? abi.CAST_I_RESCALE : abi.CAST_I_TO_H;
    return { op: abi.OP_CAST, a, x, y, imm };
  }
  const x = target === abi.CLASS_I ? abi.CAST_H_TO_I : abi.CAST_H_RESCALE;
  return { op: abi.OP_CAST, a, x, y, imm };
}

/** Whether every integer of one type, same scale, is one of the other. */
function widens(from: SqlType, to: SqlType): boolean {
  if (to.kind === "BIGINT") return true;
  if (from.kind === "BOOLEAN") return to.kind === "INTEGER";
  return from.kind === "DECIMAL" && to.kind === "DECIMAL" && from.precision <= to.precision;
}

function fromDouble(from: SqlType, to: SqlType, a: number): Instruction | null {
  const imm = BigInt(rangeOf(to));
  if (to.kind === "DOUBLE") return null;
  if (to.kind === "FLOAT") return { op: abi.OP_CAST, a, x: abi.CAST_D_TO_F32, imm };
  if (to.kind !== "DECIMAL") return { op: abi.OP_CAST, a, x: abi.CAST_D_TO_I, imm };
  const x = classOf(to) === abi.CLASS_H ? abi.CAST_D_TO_DECIMAL_H : abi.CAST_D_TO_DECIMAL_I;
  const y = scaleOf(to) + (from.kind === "FLOAT" ? abi.CAST_DOWN : 0);
  return { op: abi.OP_CAST, a, x, y, imm };
}
