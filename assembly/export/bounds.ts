// Lowest and highest value of an encoded page, for statistics. Twin: kernels/reference/parquet-bounds.ts.

/** INT32: lowest at `to`, highest at `to + 4`; count > 0. */
export function boundsI32(page: usize, count: u32, to: usize): void {
  let low = load<i32>(page);
  let high = low;
  const end = page + ((<usize>count) << 2);
  for (let at = page; at < end; at += 4) {
    const value = load<i32>(at);
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  store<i32>(to, low);
  store<i32>(to, high, 4);
}

/** INT64: lowest at `to`, highest at `to + 8`; count > 0. */
export function boundsI64(page: usize, count: u32, to: usize): void {
  let low = load<i64>(page);
  let high = low;
  const end = page + ((<usize>count) << 3);
  for (let at = page; at < end; at += 8) {
    const value = load<i64>(at);
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  store<i64>(to, low);
  store<i64>(to, high, 8);
}

/** FLOAT, NaN left out: lowest (f64) at `to`, highest at `to + 8`. Returns the number of NaN; when all are NaN nothing is written. */
export function boundsF32(page: usize, count: u32, to: usize): u32 {
  let low = f64.POSITIVE_INFINITY;
  let high = f64.NEGATIVE_INFINITY;
  let nans: u32 = 0;
  const end = page + ((<usize>count) << 2);
  for (let at = page; at < end; at += 4) {
    const value = <f64>load<f32>(at);
    nans += u32(value != value);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (nans < count) {
    store<f64>(to, low);
    store<f64>(to, high, 8);
  }
  return nans;
}

/** DOUBLE, NaN left out: as `boundsF32`. */
export function boundsF64(page: usize, count: u32, to: usize): u32 {
  let low = f64.POSITIVE_INFINITY;
  let high = f64.NEGATIVE_INFINITY;
  let nans: u32 = 0;
  const end = page + ((<usize>count) << 3);
  for (let at = page; at < end; at += 8) {
    const value = load<f64>(at);
    nans += u32(value != value);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (nans < count) {
    store<f64>(to, low);
    store<f64>(to, high, 8);
  }
  return nans;
}

/** Big-endian two's complement of 16 bytes: addresses of the lowest and the highest value at `to` and `to + 4` (u32); count > 0. */
export function boundsI128(page: usize, count: u32, to: usize): void {
  let low = page;
  let high = page;
  const end = page + ((<usize>count) << 4);
  for (let at = page + 16; at < end; at += 16) {
    if (less128(at, low)) low = at;
    if (less128(high, at)) high = at;
  }
  store<u32>(to, <u32>low);
  store<u32>(to, <u32>high, 4);
}

function less128(a: usize, b: usize): bool {
  const upperA = <i64>bswap<u64>(load<u64>(a));
  const upperB = <i64>bswap<u64>(load<u64>(b));
  if (upperA != upperB) return upperA < upperB;
  return bswap<u64>(load<u64>(a, 8)) < bswap<u64>(load<u64>(b, 8));
}

/** Bits: 1 at `to` if any is 0, 1 at `to + 1` if any is 1 (u8 each). */
export function boundsBits(page: usize, count: u32, to: usize): void {
  let zero: u32 = 0;
  let one: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const bit: u32 = (<u32>load<u8>(page + (i >> 3)) >> (i & 7)) & 1;
    one |= bit;
    zero |= bit ^ 1;
  }
  store<u8>(to, zero);
  store<u8>(to, one, 1);
}

// @ts-ignore: decorator.
@inline
function prefixOf(at: usize, bytes: u32): u64 {
  const word = bswap<u64>(load<u64>(at));
  return bytes >= 8 ? word : bytes == 0 ? 0 : word & ~(u64.MAX_VALUE >> (bytes << 3));
}

/** Whether the string at `a` (u32 length before it) sorts below that at `b`, byte by byte, the first 8 bytes known to be equal. */
function lessText(a: usize, b: usize): bool {
  const bytesA = load<u32>(a - 4);
  const bytesB = load<u32>(b - 4);
  const common = min(bytesA, bytesB);
  for (let k: u32 = 0; k < common; k += 8) {
    const left = common - k;
    const wordA = prefixOf(a + k, left);
    const wordB = prefixOf(b + k, left);
    if (wordA != wordB) return wordA < wordB;
  }
  return bytesA < bytesB;
}

/** PLAIN strings: addresses of the length of the lowest and the highest one at `to` and `to + 4` (u32); count > 0. */
export function boundsText(page: usize, count: u32, to: usize): void {
  let low = page + 4;
  let lowPrefix = prefixOf(low, load<u32>(page));
  let high = low;
  let highPrefix = lowPrefix;
  let at = page;
  for (let i: u32 = 0; i < count; i++) {
    const bytes = load<u32>(at);
    at += 4;
    const prefix = prefixOf(at, bytes);
    if (prefix < lowPrefix || (prefix == lowPrefix && lessText(at, low))) {
      low = at;
      lowPrefix = prefix;
    }
    if (prefix > highPrefix || (prefix == highPrefix && lessText(high, at))) {
      high = at;
      highPrefix = prefix;
    }
    at += bytes;
  }
  store<u32>(to, <u32>(low - 4));
  store<u32>(to, <u32>(high - 4), 4);
}
