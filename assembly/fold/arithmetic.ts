// Arithmetic over registers with DuckDB's results: overflow is an error of the row (NULL, counted); integer division by zero is NULL;
// doubles follow IEEE (x / 0 is infinite, x % 0 is NaN), except `//` of doubles: plain division, NULL by zero. FLOAT is computed in
// double and rounded once, which gives the same bits for + - * /.
import {
  ARITHMETIC_ADD,
  ARITHMETIC_DIV,
  ARITHMETIC_INT_DIV,
  ARITHMETIC_MOD,
  ARITHMETIC_MUL,
  ARITHMETIC_SUB,
  CLASS_D,
  CLASS_H,
  RANGE_F32,
  RANGE_I32,
  RANGE_I64,
} from "../../kernels/abi";
import { fail, isValid, mergeValid, copyValid, own, step, values, writableValid } from "./vector";
import { add, divideUnsigned, fits, high, low, multiply, negate, restHigh, restLow, set } from "./wide";

/** Row i of dst becomes NULL; with `raised` also an error. Rows that are NULL already stay as they are. */
export function clear(dst: u32, i: u32, n: u32, raised: bool): void {
  if (!isValid(dst, i)) return;
  if (raised) fail(i);
  store<u8>(writableValid(dst, n) + i, 0);
}

let limit: u64 = 0;
let checked: bool = false;

/** Prepares `outside` for a range. Decimals of 19 digits and more do not fit this class. */
export function setRange(range: i64): void {
  checked = range != RANGE_I64;
  limit = 1;
  if (range == RANGE_I32) limit = 2147483648;
  else if (checked) for (let i: i64 = 0; i < range; i++) limit *= 10;
  exclusive = range != RANGE_I32;
}
let exclusive: bool = false;

/** True when an integer is outside the range set. */
export function outside(value: i64): bool {
  if (!checked) return false;
  if (exclusive) return value >= <i64>limit || value <= -<i64>limit;
  return value >= <i64>limit || value < -<i64>limit;
}

function integers(dst: u32, a: u32, b: u32, op: u32, range: i64, n: u32): void {
  setRange(range);
  let atA = values(a);
  let atB = values(b);
  const stepA = step(a);
  const stepB = step(b);
  const to = own(dst, 8);
  mergeValid(dst, a, b, n);
  for (let i: u32 = 0; i < n; i++, atA += stepA, atB += stepB) {
    const x = load<i64>(atA);
    const y = load<i64>(atB);
    let r: i64 = 0;
    let over = false;
    if (op == ARITHMETIC_ADD) {
      r = x + y;
      over = ((x ^ r) & (y ^ r)) < 0;
    } else if (op == ARITHMETIC_SUB) {
      r = x - y;
      over = ((x ^ y) & (x ^ r)) < 0;
    } else if (op == ARITHMETIC_MUL) {
      r = x * y;
      if ((x | y) >> 31 != 0 && (<u64>(x + 2147483648) | <u64>(y + 2147483648)) > 4294967295) {
        over = multiply(<u64>x, x >> 63, <u64>y, y >> 63) || high != r >> 63;
      }
    } else if (y == 0) {
      store<i64>(to + (i << 3), 0);
      clear(dst, i, n, false);
      continue;
    } else if (y == -1) {
      over = range == RANGE_I32 ? x == -2147483648 : x == i64.MIN_VALUE;
      r = op == ARITHMETIC_MOD ? 0 : -x;
    } else {
      r = op == ARITHMETIC_MOD ? x % y : x / y;
    }
    store<i64>(to + (i << 3), r);
    if (over || outside(r)) clear(dst, i, n, true);
  }
}

function doubles(dst: u32, a: u32, b: u32, op: u32, range: i64, n: u32): void {
  let atA = values(a);
  let atB = values(b);
  const stepA = step(a);
  const stepB = step(b);
  const to = own(dst, 8);
  mergeValid(dst, a, b, n);
  for (let i: u32 = 0; i < n; i++, atA += stepA, atB += stepB) {
    const x = load<f64>(atA);
    const y = load<f64>(atB);
    let r: f64 = 0;
    if (op == ARITHMETIC_ADD) r = x + y;
    else if (op == ARITHMETIC_SUB) r = x - y;
    else if (op == ARITHMETIC_MUL) r = x * y;
    else if (op == ARITHMETIC_MOD) r = x % y;
    else r = x / y;
    if (range == RANGE_F32) r = <f64>(<f32>r);
    store<f64>(to + (i << 3), r);
    if (op == ARITHMETIC_INT_DIV && y == 0) clear(dst, i, n, false);
  }
}

/** (low, high) = |a| op |b| for division and remainder with the signs of truncation. */
function divideWide(al: u64, ah: i64, bl: u64, bh: i64, remainder: bool): void {
  const negative = remainder ? ah < 0 : (ah ^ bh) < 0;
  if (ah < 0) {
    negate(al, ah);
    al = low;
    ah = high;
  }
  if (bh < 0) {
    negate(bl, bh);
    bl = low;
    bh = high;
  }
  divideUnsigned(al, <u64>ah, bl, <u64>bh);
  if (remainder) set(restLow, <i64>restHigh);
  if (negative) negate(low, high);
}

function wides(dst: u32, a: u32, b: u32, op: u32, range: i64, n: u32): void {
  let atA = values(a);
  let atB = values(b);
  const stepA = step(a);
  const stepB = step(b);
  const to = own(dst, 16);
  mergeValid(dst, a, b, n);
  for (let i: u32 = 0; i < n; i++, atA += stepA, atB += stepB) {
    const al = load<u64>(atA);
    const ah = load<i64>(atA, 8);
    let bl = load<u64>(atB);
    let bh = load<i64>(atB, 8);
    let over = false;
    if (op == ARITHMETIC_MUL) over = multiply(al, ah, bl, bh);
    else if (op == ARITHMETIC_ADD) over = add(al, ah, bl, bh);
    else if (op == ARITHMETIC_SUB) {
      negate(bl, bh);
      bl = low;
      bh = high;
      over = add(al, ah, bl, bh);
    } else if ((bl | <u64>bh) == 0) {
      store<u64>(to + (i << 4), 0);
      store<u64>(to + (i << 4), 0, 8);
      clear(dst, i, n, false);
      continue;
    } else divideWide(al, ah, bl, bh, op == ARITHMETIC_MOD);
    const l = low;
    const h = high;
    store<u64>(to + (i << 4), l);
    store<i64>(to + (i << 4), h, 8);
    if (over || !fits(l, h, <u32>range)) clear(dst, i, n, true);
  }
}

/** dst = a op b in class `kind`; the result must lie in `range`. */
export function arithmetic(dst: u32, a: u32, b: u32, kind: u32, op: u32, range: i64, n: u32): void {
  if (kind == CLASS_D) doubles(dst, a, b, op, range, n);
  else if (kind == CLASS_H) wides(dst, a, b, op, range, n);
  else integers(dst, a, b, op, range, n);
}

/** dst = -a */
export function negation(dst: u32, a: u32, kind: u32, range: i64, n: u32): void {
  let atA = values(a);
  const stepA = step(a);
  const to = own(dst, kind == CLASS_H ? 16 : 8);
  copyValid(dst, a, n);
  for (let i: u32 = 0; i < n; i++, atA += stepA) {
    if (kind == CLASS_D) {
      store<f64>(to + (i << 3), -load<f64>(atA));
    } else if (kind == CLASS_H) {
      negate(load<u64>(atA), load<i64>(atA, 8));
      store<u64>(to + (i << 4), low);
      store<i64>(to + (i << 4), high, 8);
    } else {
      const x = load<i64>(atA);
      store<i64>(to + (i << 3), -x);
      if (x == (range == RANGE_I32 ? -2147483648 : i64.MIN_VALUE)) clear(dst, i, n, true);
    }
  }
}
