// Expression programs: a list of instructions, each of which fills one register with a vector. Made by src/window/lower.ts.
// Twin: kernels/reference/expression.ts.
import {
  INSTRUCTION_BYTES,
  OP_AND,
  OP_ARITHMETIC,
  OP_CAST,
  OP_COALESCE,
  OP_COMPARE,
  OP_COUPON,
  OP_DATE_TRUNC,
  OP_GATHER,
  OP_IS_NULL,
  OP_KEY_DOUBLE,
  OP_KEY_HASH,
  OP_KEY_TEXT,
  OP_LOAD,
  OP_LOAD_ENTRIES,
  OP_NEGATE,
  OP_NOT,
  OP_OR,
  OP_SHARED,
  OP_WIDEN,
  OP_WINDOW,
} from "../../kernels/abi";
import { arithmetic, negation } from "./arithmetic";
import { dateTrunc } from "./calendar";
import { cast } from "./cast";
import { coalesce, compare, isNull, logic, not } from "./compare";
import { coupons, doubleForms, keyHashes, textForms } from "./hash";
import { gather, loadColumn, loadEntries, loadShared } from "./load";
import { begin, copyValid, errorCount, own, step, values } from "./vector";
import { windowBounds } from "./window";

/** dst = booleans of a as integers. */
function widen(dst: u32, a: u32, n: u32): void {
  const at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  for (let i: u32 = 0; i < n; i++) store<i64>(to + (i << 3), <i64>load<u8>(at + i * stepA));
  copyValid(dst, a, n);
}

/** Runs the instruction at `at`. */
function execute(at: u32, from: u32, n: u32): void {
  const dst = load<u32>(at, 4);
  const a = load<u32>(at, 8);
  const b = load<u32>(at, 12);
  const x = load<u32>(at, 16);
  const y = load<u32>(at, 20);
  const imm = load<i64>(at, 24);
  switch (load<u32>(at)) {
    case OP_LOAD:
      loadColumn(dst, x, from, n);
      break;
    case OP_LOAD_ENTRIES:
      loadEntries(dst, x, n);
      break;
    case OP_GATHER:
      gather(dst, a, b, x, y, n);
      break;
    case OP_WIDEN:
      widen(dst, a, n);
      break;
    case OP_WINDOW:
      windowBounds(dst, a, x != 0, imm, <i64>((<u64>b << 32) | y), n);
      break;
    case OP_COMPARE:
      compare(dst, a, b, x, y, imm != 0, n);
      break;
    case OP_AND:
    case OP_OR:
      logic(dst, a, b, load<u32>(at) == OP_OR ? 1 : 0, n);
      break;
    case OP_NOT:
      not(dst, a, n);
      break;
    case OP_IS_NULL:
      isNull(dst, a, <u8>x, n);
      break;
    case OP_COALESCE:
      coalesce(dst, a, b, x, n);
      break;
    case OP_ARITHMETIC:
      arithmetic(dst, a, b, x, y, imm, n);
      break;
    case OP_NEGATE:
      negation(dst, a, x, imm, n);
      break;
    case OP_DATE_TRUNC:
      dateTrunc(dst, a, x, n);
      break;
    case OP_CAST:
      cast(dst, a, x, y, imm, n);
      break;
    case OP_COUPON:
      coupons(dst, a, x, y, n);
      break;
    case OP_KEY_TEXT:
      textForms(dst, a, n);
      break;
    case OP_KEY_DOUBLE:
      doubleForms(dst, a, n);
      break;
    case OP_KEY_HASH:
      keyHashes(dst, a, x, y, n);
      break;
    case OP_SHARED:
      loadShared(dst, x, from);
      break;
    default:
      abort("unknown operation");
  }
}

/**
 * Runs `count` instructions over `n` rows from row `from` of the batch on (for a dictionary's program: over its entries and a null).
 * `errorsAt` holds a zeroed byte per row. Returns the number of errors.
 */
export function runProgram(at: u32, count: u32, registers: u32, errorsAt: u32, from: u32, n: u32): u32 {
  begin(registers, errorsAt);
  const end = at + count * INSTRUCTION_BYTES;
  for (; at < end; at += INSTRUCTION_BYTES) execute(at, from, n);
  return errorCount;
}
