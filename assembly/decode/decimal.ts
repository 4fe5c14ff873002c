// Decimals, exactly: text to the unscaled 128-bit integer. A fraction that does not fit is out of range unless it is zeros.
import {
  FIELD_DECIMAL_MAX,
  FIELD_NONE,
  FIELD_SCALE,
  REASON_OUT_OF_RANGE,
  REASON_WRONG_TYPE,
} from "../../kernels/abi";
import { exponentOf } from "./double";
import { digits8, digits16, nonDigits } from "./number";
import { numberEnd } from "./skip";
import * as S from "./state";

/** The value that the last successful `parseDecimal` found. */
export let decimalLow: u64 = 0;
export let decimalHigh: u64 = 0;

const POWERS = memory.data<u64>([
  1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000,
]);

/** (decimalHigh, decimalLow) = 10 x itself + digit. Never called beyond 38 digits, so nothing is lost. */
function push(digit: u32): void {
  const low = (decimalLow & 0xffffffff) * 10 + digit;
  const high = (decimalLow >> 32) * 10 + (low >> 32);
  decimalLow = (high << 32) | (low & 0xffffffff);
  decimalHigh = decimalHigh * 10 + (high >> 32);
}

function negate(): void {
  decimalLow = 0 - decimalLow;
  decimalHigh = ~decimalHigh + <u64>(decimalLow == 0);
}

/** The byte after the number at `p`, its unscaled value in (decimalHigh, decimalLow); 0 with a reason otherwise. */
export function parseDecimal(p: usize, field: usize): usize {
  const negative = load<u8>(p) == 45;
  const first = p + <usize>negative;
  const mask = nonDigits(first);
  const whole = <u32>ctz(mask);
  const scale = <u32>load<u8>(field, FIELD_SCALE);
  // Nearly all are like 35.79: up to 8 digits before the point, up to 8 after it.
  if (whole - 1 <= 7 && (whole == 1 || load<u8>(first) != 48)) {
    let end = first + whole;
    let value = digits8(first, whole);
    let fraction: u32 = 0;
    if (load<u8>(end) == 46) {
      const rest = nonDigits(end + 1);
      fraction = <u32>ctz(rest);
      if (fraction - 1 <= 7) {
        value = value * load<u64>(POWERS + (fraction << 3)) + digits8(end + 1, fraction);
        end += fraction + 1;
      } else fraction = 99;
    }
    if (fraction <= scale && scale - fraction <= 8 && (load<u8>(end) | 32) != 101) {
      // At most 16 digits, and 8 zeros: below 2^64 only while whole + scale <= 19.
      if (whole + scale <= 19) {
        value *= load<u64>(POWERS + ((scale - fraction) << 3));
        if (load<u64>(field, FIELD_DECIMAL_MAX + 8) == 0 && value > load<u64>(field, FIELD_DECIMAL_MAX))
          return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
        decimalLow = negative ? 0 - value : value;
        decimalHigh = negative && value != 0 ? <u64>-1 : 0;
        return end;
      }
    }
  }
  return parseDecimalSlow(p, field);
}

/** Any number: signs, exponents, zeros in front and behind. */
function parseDecimalSlow(p: usize, field: usize): usize {
  const end = numberEnd(p);
  if (end == 0) return S.fail(REASON_WRONG_TYPE, FIELD_NONE);
  const negative = load<u8>(p) == 45;
  if (negative) p++;
  // Where the digits end, and the exponent that moves the point.
  let stop = p;
  let fraction: i32 = 0;
  let point = false;
  for (; stop < end; stop++) {
    const c = <u32>load<u8>(stop);
    if (c == 46) point = true;
    else if (c - 48 > 9) break;
    else if (point) fraction++;
  }
  let exponent: i64 = <i64>load<u8>(field, FIELD_SCALE) - fraction;
  if (stop < end) exponent += exponentOf(stop + 1, end);
  decimalLow = 0;
  decimalHigh = 0;
  let kept: i64 = 0;
  // Digits from here on stand behind the last that the scale has room for.
  let left: i64 = exponent;
  for (let at = p; at < stop; at++) if (load<u8>(at) != 46) left++;
  for (; p < stop; p++) {
    const c = <u32>load<u8>(p) - 48;
    if (c > 9) continue;
    left--;
    if (left < 0) {
      if (c != 0) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
      continue;
    }
    if (kept == 0 && c == 0) continue;
    if (++kept > 38) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
    push(c);
  }
  if (kept > 0) {
    if (kept + max<i64>(left, 0) > 38) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
    for (; left > 0; left--) push(0);
  }
  const maxHigh = load<u64>(field, FIELD_DECIMAL_MAX + 8);
  if (
    decimalHigh > maxHigh ||
    (decimalHigh == maxHigh && decimalLow > load<u64>(field, FIELD_DECIMAL_MAX))
  )
    return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
  if (negative) negate();
  return end;
}
