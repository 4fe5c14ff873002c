// 128-bit integers as two 64-bit halves: what DECIMAL(38) and exact sums need. Results of two halves are left in the globals `low`
// and `high`. Division is the long one, bit by bit: it runs for DECIMAL(38) and at the close of windows only.

/** Halves of the last result. */
export let low: u64 = 0;
export let high: i64 = 0;

export function set(l: u64, h: i64): void {
  low = l;
  high = h;
}

export function compare(al: u64, ah: i64, bl: u64, bh: i64): i32 {
  if (ah != bh) return ah < bh ? -1 : 1;
  return al < bl ? -1 : i32(al > bl);
}

/** (low, high) = a + b. True when the sum does not fit into 128 bits. */
export function add(al: u64, ah: i64, bl: u64, bh: i64): bool {
  low = al + bl;
  high = ah + bh + i64(low < al);
  return ((ah ^ high) & (bh ^ high)) < 0;
}

/** (low, high) = -a */
export function negate(al: u64, ah: i64): void {
  low = ~al + 1;
  high = ~ah + i64(low == 0);
}

/** (low, high) = a * b without sign, 64 x 64 bits. */
export function multiply64(a: u64, b: u64): void {
  const a0 = a & 0xffffffff;
  const a1 = a >> 32;
  const b0 = b & 0xffffffff;
  const b1 = b >> 32;
  const t0 = a0 * b0;
  const t1 = a1 * b0 + (t0 >> 32);
  const t2 = a0 * b1 + (t1 & 0xffffffff);
  low = (t2 << 32) | (t0 & 0xffffffff);
  high = <i64>(a1 * b1 + (t1 >> 32) + (t2 >> 32));
}

/** (low, high) = a * b. True when the product does not fit into 127 bits and a sign. */
export function multiply(al: u64, ah: i64, bl: u64, bh: i64): bool {
  const negative = (ah ^ bh) < 0;
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
  if (ah != 0 && bh != 0) return true;
  let over = ah < 0 || bh < 0;
  multiply64(al, bl);
  const l = low;
  let h = <u64>high;
  const cross = ah != 0 ? <u64>ah : <u64>bh;
  if (cross != 0) {
    multiply64(cross, ah != 0 ? bl : al);
    over = over || high != 0;
    h += low;
    over = over || h < low;
  }
  over = over || <i64>h < 0;
  if (negative) negate(l, <i64>h);
  else set(l, <i64>h);
  return over;
}

/** Remainder of the last division. */
export let restLow: u64 = 0;
export let restHigh: u64 = 0;

/** (low, high) = a / b without sign, the remainder in restLow and restHigh. b is not zero. */
export function divideUnsigned(al: u64, ah: u64, bl: u64, bh: u64): void {
  if (ah == 0 && bh == 0) {
    set(al / bl, 0);
    restLow = al % bl;
    restHigh = 0;
    return;
  }
  let rl: u64 = 0;
  let rh: u64 = 0;
  for (let i = 0; i < 128; i++) {
    const top = rh >> 63;
    rh = (rh << 1) | (rl >> 63);
    rl = (rl << 1) | (ah >> 63);
    ah = (ah << 1) | (al >> 63);
    al <<= 1;
    if (top != 0 || rh > bh || (rh == bh && rl >= bl)) {
      rh -= bh + u64(rl < bl);
      rl -= bl;
      al |= 1;
    }
  }
  set(al, <i64>ah);
  restLow = rl;
  restHigh = rh;
}

/** (low, high) = 10^exponent, 0 to 38. */
export function powerOfTen(exponent: u32): void {
  let l: u64 = 1;
  let h: i64 = 0;
  for (let i: u32 = 0; i < exponent; i++) {
    multiply(l, h, 10, 0);
    l = low;
    h = high;
  }
  set(l, h);
}

/** True when |a| < 10^digits. */
export function fits(al: u64, ah: i64, digits: u32): bool {
  if (ah < 0) {
    negate(al, ah);
    al = low;
    ah = high;
    if (ah < 0) return false;
  }
  powerOfTen(digits);
  return compare(al, ah, low, high) < 0;
}

/** The nearest double as DuckDB converts a HUGEINT (Hugeint::Cast). */
export function toDouble(l: u64, h: i64): f64 {
  if (h == -1) return -(<f64>(~l)) - 1;
  return <f64>l + <f64>h * 18446744073709551616.0;
}

/** (low, high) = a double that is an integer below 2^127 in size. */
export function fromDouble(value: f64): void {
  const size = Math.abs(value);
  const h = <u64>(size / 18446744073709551616.0);
  const l = <u64>(size - <f64>h * 18446744073709551616.0);
  if (value < 0) negate(l, <i64>h);
  else set(l, <i64>h);
}
