// Decimal text to the nearest double: Clinger's exact cases, then Eisel-Lemire (Lemire, "Number parsing at a gigabyte per second",
// 2021, https://arxiv.org/abs/2101.11408). What more than 19 digits leave open is asked of the host, whose `Number()` is
// exact: the event is parsed to its end with zeros instead, and once more with the answers.
import {
  DOUBLE_BYTES,
  DOUBLE_VALUE,
  FIELD_NONE,
  REASON_OUT_OF_RANGE,
  SCRATCH_DOUBLES,
} from "../../kernels/abi";
import { numberEnd } from "./skip";
import * as S from "./state";

/** The value that the last successful `parseDouble` found. */
export let double: f64 = 0;
const POWERS_OF_TEN = memory.data<f64>([
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
  1e18, 1e19, 1e20, 1e21, 1e22,
]);

/** Numbers in the list, and how many of them the host has answered. */
let listed: u32 = 0;
let answered: u32 = 0;

/** Forgets the list: the event is done. */
export function forgetDoubles(): void {
  listed = 0;
  answered = 0;
}

/** Takes the values that the host has written. */
export function answerDoubles(): void {
  answered = listed;
}

/** Numbers that wait for the host: the event that was just parsed holds zeros in their place. */
export function waitingDoubles(): u32 {
  return listed - answered;
}

/** All numbers in the list, answered ones too. */
export function listedDoubles(): u32 {
  return listed;
}

let productHigh: u64 = 0;
let productLow: u64 = 0;

function multiply(a: u64, b: u64): void {
  const al = a & 0xffffffff;
  const ah = a >> 32;
  const bl = b & 0xffffffff;
  const bh = b >> 32;
  const low = al * bl;
  const mid = ah * bl + (low >> 32);
  const mid2 = al * bh + (mid & 0xffffffff);
  productHigh = ah * bh + (mid >> 32) + (mid2 >> 32);
  productLow = (mid2 << 32) | (low & 0xffffffff);
}

/** Bits of the double nearest to `w` x 10^`q` (positive, `w` exact). */
function eiselLemire(w: u64, q: i32): u64 {
  if (w == 0 || q < -342) return 0;
  if (q > 308) return 0x7ff0000000000000;
  const zeros = clz(w);
  w <<= zeros;
  const power = S.powersAt + (<u32>(q + 342) << 4);
  multiply(w, load<u64>(power));
  if ((productHigh & 0x1ff) == 0x1ff) {
    const high = productHigh;
    const low = productLow;
    multiply(w, load<u64>(power, 8));
    const second = productHigh;
    productLow = low + second;
    productHigh = high + <u64>(second > productLow);
  }
  const upper = productHigh >> 63;
  const shift = upper + 9;
  let mantissa = productHigh >> shift;
  let exponent = <i64>(((152170 + 65536) * q) >> 16) + 63 + <i64>upper - <i64>zeros + 1023;
  if (exponent <= 0) {
    if (1 - exponent >= 64) return 0;
    mantissa >>= <u64>(1 - exponent);
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    return mantissa;
  }
  if (productLow <= 1 && q >= -4 && q <= 23 && (mantissa & 3) == 1 && mantissa << shift == productHigh)
    mantissa &= ~1;
  mantissa = (mantissa + (mantissa & 1)) >> 1;
  if (mantissa >= <u64>1 << 53) {
    mantissa = <u64>1 << 52;
    exponent++;
  }
  if (exponent >= 0x7ff) return 0x7ff0000000000000;
  return (mantissa & 0xfffffffffffff) | ((<u64>exponent) << 52);
}

/** The host's answer for the number [start, end), or 0 after asking for one. The list has room for each declared member once. */
function resolved(start: usize, end: usize): f64 {
  let entry = S.scratchAt + SCRATCH_DOUBLES;
  for (let i: u32 = 0; i < listed; i++, entry += DOUBLE_BYTES)
    if (load<u32>(entry) == <u32>start) return i < answered ? load<f64>(entry, DOUBLE_VALUE) : 0;
  store<u32>(entry, <u32>start);
  store<u32>(entry, <u32>(end - start), 4);
  store<f64>(entry, 0, DOUBLE_VALUE);
  listed++;
  return 0;
}

/**
 * The byte after the number at `p`, its value in `double`; 0 when it is no number or beyond the largest double (the reason is noted,
 * without a field).
 */
export function parseDouble(p: usize, wrong: u32): usize {
  const start = p;
  const end = numberEnd(p);
  if (end == 0) return S.fail(wrong, FIELD_NONE);
  const negative = load<u8>(p) == 45;
  if (negative) p++;
  let mantissa: u64 = 0;
  let count: u32 = 0;
  let exponent: i32 = 0;
  let point = false;
  let more = false;
  while (p < end) {
    const c = <u32>load<u8>(p) - 48;
    if (c <= 9) {
      if (count < 19) {
        mantissa = mantissa * 10 + c;
        if (mantissa != 0) count++;
        if (point) exponent--;
      } else {
        more = more || c != 0;
        if (!point) exponent++;
      }
    } else if (load<u8>(p) == 46) {
      point = true;
    } else {
      exponent += exponentOf(p + 1, end);
      break;
    }
    p++;
  }
  let value: f64;
  if (!more && mantissa <= 0x20000000000000 && exponent >= -22 && exponent <= 22) {
    const scale = load<f64>(POWERS_OF_TEN + (<u32>abs(exponent) << 3));
    value = exponent < 0 ? <f64>mantissa / scale : <f64>mantissa * scale;
  } else {
    const bits = eiselLemire(mantissa, exponent);
    if (more && bits != eiselLemire(mantissa + 1, exponent)) {
      value = abs(resolved(start, end));
    } else value = reinterpret<f64>(bits);
  }
  if (value == Infinity) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
  double = negative ? -value : value;
  return end;
}

/** The exponent written at `p` (sign and digits), cut to what no number needs. */
export function exponentOf(p: usize, end: usize): i32 {
  const negative = load<u8>(p) == 45;
  if (negative || load<u8>(p) == 43) p++;
  let value: i32 = 0;
  for (; p < end; p++) if (value < 100000000) value = value * 10 + (load<u8>(p) - 48);
  return negative ? -value : value;
}
