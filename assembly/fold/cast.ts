// Casts between classes with DuckDB's rounding: decimals half away from zero, doubles to integers half to even, doubles to decimals
// half away from zero after the multiplication. What does not fit is an error of the row.
import {
  CAST_DATE_TO_TIME,
  CAST_DOWN,
  CAST_D_TO_B,
  CAST_D_TO_DECIMAL_H,
  CAST_D_TO_DECIMAL_I,
  CAST_D_TO_F32,
  CAST_D_TO_I,
  CAST_H_RESCALE,
  CAST_H_TO_B,
  CAST_H_TO_D,
  CAST_H_TO_I,
  CAST_I_RESCALE,
  CAST_I_TO_B,
  CAST_I_TO_D,
  CAST_I_TO_H,
  CAST_TIME_TO_DATE,
  RANGE_F32,
  RANGE_I32,
  RANGE_I64,
} from "../../kernels/abi";
import { clear, outside, setRange } from "./arithmetic";
import { DAY_US, floorDivide } from "./calendar";
import { copyValid, own, step, values } from "./vector";
import { divideUnsigned, fits, high, low, multiply, negate, powerOfTen, restHigh, restLow, set, toDouble, fromDouble } from "./wide";

/** 10^n as DuckDB's table of doubles has it. */
function power(n: u32): f64 {
  let r: f64 = 1;
  for (let i: u32 = 0; i < min(n, 22); i++) r *= 10;
  if (n > 22) {
    powerOfTen(n);
    r = <f64>low + <f64>high * 18446744073709551616.0;
  }
  return r;
}

/** |value| rounded half away from zero. */
function roundAway(value: f64): f64 {
  const whole = Math.trunc(value);
  return Math.abs(value - whole) >= 0.5 ? whole + (value < 0 ? -1 : 1) : whole;
}

let scaleLow: u64 = 0;
let scaleHigh: i64 = 0;

/** (low, high) rescaled by the power of ten set in scaleLow and scaleHigh. True when it does not fit into 128 bits. */
function rescale(l: u64, h: i64, down: bool): bool {
  if (!down) return multiply(l, h, scaleLow, scaleHigh);
  const negative = h < 0;
  if (negative) {
    negate(l, h);
    l = low;
    h = high;
  }
  divideUnsigned(l, <u64>h, scaleLow, <u64>scaleHigh);
  const qLow = low;
  const qHigh = high;
  // Twice the remainder reaches the divisor: up. The divisor is below 2^127.
  const twiceHigh = (restHigh << 1) | (restLow >> 63);
  const twiceLow = restLow << 1;
  const up = twiceHigh > <u64>scaleHigh || (twiceHigh == <u64>scaleHigh && twiceLow >= scaleLow);
  const rLow = qLow + u64(up);
  set(rLow, qHigh + i64(up && rLow == 0));
  if (negative) negate(low, high);
  return false;
}

/** The double nearest to an unscaled decimal, in DuckDB's two steps. `bits`: mantissa of the result. */
function decimalToDouble(l: u64, h: i64, scale: u32, single: bool): f64 {
  const exact: i64 = single ? 16777216 : 9007199254740992;
  const small = h == <i64>l >> 63 && <i64>l <= exact && <i64>l >= -exact;
  const divisor = power(scale);
  if (small || scale == 0) {
    const whole = toDouble(l, h);
    if (single) return <f64>(<f32>whole / <f32>divisor);
    return whole / divisor;
  }
  const negative = h < 0;
  if (negative) {
    negate(l, h);
    l = low;
    h = high;
  }
  powerOfTen(scale);
  divideUnsigned(l, <u64>h, low, <u64>high);
  const whole = toDouble(low, high);
  const rest = toDouble(restLow, <i64>restHigh);
  let r: f64 = 0;
  if (single) r = <f64>(<f32>whole + <f32>rest / <f32>divisor);
  else r = whole + rest / divisor;
  return negative ? -r : r;
}

function storeWide(dst: u32, to: u32, i: u32, n: u32, over: bool, range: i64): void {
  const l = low;
  const h = high;
  store<u64>(to + (i << 4), l);
  store<i64>(to + (i << 4), h, 8);
  if (over || !fits(l, h, <u32>range)) clear(dst, i, n, true);
}

/** Casts whose source is an integer of 64 or 128 bits. `wide`: the source has 16 bytes. */
function fromInteger(dst: u32, a: u32, kind: u32, y: u32, range: i64, n: u32): void {
  const wide = kind == CAST_H_RESCALE || kind == CAST_H_TO_I || kind == CAST_H_TO_D;
  const toWide = kind == CAST_H_RESCALE || kind == CAST_I_TO_H;
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, toWide ? 16 : 8);
  copyValid(dst, a, n);
  const down = (y & CAST_DOWN) != 0;
  powerOfTen(y & ~CAST_DOWN);
  scaleLow = low;
  scaleHigh = high;
  if (!toWide && kind != CAST_I_TO_D && kind != CAST_H_TO_D) setRange(range);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    const l = load<u64>(at);
    const h = wide ? load<i64>(at, 8) : <i64>l >> 63;
    if (kind == CAST_I_TO_D || kind == CAST_H_TO_D) {
      let r: f64 = 0;
      if (!wide && y == 0) r = range == RANGE_F32 ? <f64>(<f32>(<i64>l)) : <f64>(<i64>l);
      else r = decimalToDouble(l, h, y, range == RANGE_F32);
      store<f64>(to + (i << 3), r);
      continue;
    }
    const over = rescale(l, h, down);
    if (toWide) {
      storeWide(dst, to, i, n, over, range);
      continue;
    }
    const r = <i64>low;
    store<i64>(to + (i << 3), r);
    if (over || high != r >> 63 || outside(r)) clear(dst, i, n, true);
  }
}

/** Casts whose source is a double. */
function fromDoubles(dst: u32, a: u32, kind: u32, y: u32, range: i64, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const toWide = kind == CAST_D_TO_DECIMAL_H;
  const to = own(dst, toWide ? 16 : 8);
  copyValid(dst, a, n);
  const factor = power(y & ~CAST_DOWN);
  const single = (y & CAST_DOWN) != 0;
  const bound = kind == CAST_D_TO_I ? (range == RANGE_I32 ? 2147483648.0 : 9223372036854775808.0) : power(<u32>range);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    const x = load<f64>(at);
    if (kind == CAST_D_TO_F32) {
      const r = <f32>x;
      store<f64>(to + (i << 3), <f64>r);
      if (isFinite(x) && !isFinite<f32>(r)) clear(dst, i, n, true);
      continue;
    }
    let whole = kind == CAST_D_TO_I ? nearest(x) : roundAway(x * factor);
    const bad =
      kind == CAST_D_TO_I
        ? !(whole >= -bound && whole < bound)
        : !(whole > -bound && whole < bound);
    // DuckDB brings the rounded product of a FLOAT back to FLOAT.
    if (single) whole = <f64>(<f32>whole);
    if (toWide) {
      if (bad) set(0, 0);
      else fromDouble(whole);
      store<u64>(to + (i << 4), low);
      store<i64>(to + (i << 4), high, 8);
    } else store<i64>(to + (i << 3), bad ? 0 : <i64>whole);
    if (bad) clear(dst, i, n, true);
  }
}

function toBoolean(dst: u32, a: u32, kind: u32, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 1);
  copyValid(dst, a, n);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    if (kind == CAST_D_TO_B) store<u8>(to + i, u8(load<f64>(at) != 0));
    else if (kind == CAST_I_TO_B) store<u8>(to + i, u8(load<i64>(at) != 0));
    else store<u8>(to + i, u8((load<u64>(at) | load<u64>(at, 8)) != 0));
  }
}

function times(dst: u32, a: u32, kind: u32, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  copyValid(dst, a, n);
  setRange(RANGE_I32);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    const x = load<i64>(at);
    if (kind == CAST_TIME_TO_DATE) {
      const days = floorDivide(x, DAY_US);
      store<i64>(to + (i << 3), days);
      continue;
    }
    store<i64>(to + (i << 3), x * DAY_US);
    if (x > i64.MAX_VALUE / DAY_US || x < i64.MIN_VALUE / DAY_US) clear(dst, i, n, true);
  }
}

/** dst = cast of a, `kind` one of CAST_*. */
export function cast(dst: u32, a: u32, kind: u32, y: u32, range: i64, n: u32): void {
  if (kind == CAST_D_TO_B || kind == CAST_I_TO_B || kind == CAST_H_TO_B) toBoolean(dst, a, kind, n);
  else if (kind == CAST_TIME_TO_DATE || kind == CAST_DATE_TO_TIME) times(dst, a, kind, n);
  else if (kind == CAST_I_RESCALE || kind == CAST_H_RESCALE || kind <= <u32>CAST_H_TO_D)
    fromInteger(dst, a, kind, y, range, n);
  else fromDoubles(dst, a, kind, y, range, n);
}
