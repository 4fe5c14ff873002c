// avg of exact sums, bit for bit as DuckDB has it on x86-64: the sum and the count are `long double`s (64 bits of mantissa), divided
// once and then rounded to a double. Emulated with integers.
import { divideUnsigned, high, low, multiply64, negate, powerOfTen, restLow } from "./wide";

let mantissa: u64 = 0;
let exponent: i32 = 0;

/** (mantissa, exponent) of a positive number, rounded half to even to 64 bits with the highest one set. */
function normalise(l: u64, h: u64): void {
  if (h == 0) {
    const shift = <i32>clz(l);
    mantissa = l << shift;
    exponent = -shift;
    return;
  }
  const shift = 64 - <i32>clz(h);
  exponent = shift;
  if (shift == 64) {
    mantissa = h;
    round(l >> 63, l << 1);
    return;
  }
  mantissa = (h << (64 - shift)) | (l >> shift);
  round((l >> (shift - 1)) & 1, l & ((<u64>1 << (shift - 1)) - 1));
}

/** Rounds the mantissa half to even by the first bit below it and whether anything follows. */
function round(next: u64, rest: u64): void {
  if (next == 0 || (rest == 0 && (mantissa & 1) == 0)) return;
  mantissa++;
  if (mantissa != 0) return;
  mantissa = 0x8000000000000000;
  exponent++;
}

/** sum / (count * 10^scale) as a double. `count` is not zero. */
export function average(l: u64, h: i64, count: u64, scale: u32): f64 {
  const negative = h < 0;
  if (negative) {
    negate(l, h);
    l = low;
    h = high;
  }
  if ((l | <u64>h) == 0) return 0;
  normalise(l, <u64>h);
  const top = mantissa;
  let power = exponent;
  powerOfTen(scale);
  if (high == 0) multiply64(count, low);
  normalise(low, <u64>high);
  const divisor = mantissa;
  power -= exponent;
  divideUnsigned(0, top, divisor, 0);
  exponent = power - 64;
  if (high != 0) {
    // 65 bits: the lowest one decides the rounding.
    mantissa = 0x8000000000000000 | (low >> 1);
    exponent++;
    round(low & 1, restLow);
  } else {
    // 64 bits, the highest one set: the remainder decides.
    mantissa = low;
    const half = restLow > divisor - restLow ? 1 : i32(restLow == divisor - restLow) - 1;
    round(u64(half >= 0), u64(half > 0));
  }
  const value = <f64>mantissa * reinterpret<f64>(<u64>(exponent + 1023) << 52);
  return negative ? -value : value;
}
