// Parquet PLAIN encoding of fixed-width values, and the selection of one day's rows. Every kernel takes the rows
// `rows[from..from+count)`, or from..from+count itself when `rows` is 0. Twin: kernels/reference/parquet-values.ts.

const US_PER_DAY: i64 = 86400000000;

// @ts-ignore: decorator.
@inline
function rowAt(rows: usize, i: u32): usize {
  return rows == 0 ? <usize>i : <usize>load<u32>(rows + ((<usize>i) << 2));
}

// @ts-ignore: decorator.
@inline
function dayOf(us: i64): i64 {
  const day = us / US_PER_DAY;
  return us < day * US_PER_DAY ? day - 1 : day;
}

/** Writes the lowest and the highest day (since the epoch, i64 each, at `to` and `to + 8`) of `count` times in µs; count > 0. */
export function daySpan(times: usize, count: u32, to: usize): void {
  let low: i64 = i64.MAX_VALUE;
  let high: i64 = i64.MIN_VALUE;
  const end = times + ((<usize>count) << 3);
  for (let at = times; at < end; at += 8) {
    const us = load<i64>(at);
    low = us < low ? us : low;
    high = us > high ? us : high;
  }
  store<i64>(to, dayOf(low));
  store<i64>(to, dayOf(high), 8);
}

/**
 * Writes the ordinals of the rows whose time lies on `day` to `to` (u32 each). Returns their number. The next day above `day` that
 * occurs is written to `next` (i64.MAX_VALUE when there is none).
 */
export function selectDay(times: usize, count: u32, day: i64, to: usize, next: usize): u32 {
  const low = day * US_PER_DAY;
  const high = low + US_PER_DAY;
  let found: u32 = 0;
  let after: i64 = i64.MAX_VALUE;
  for (let i: u32 = 0; i < count; i++) {
    const us = load<i64>(times + ((<usize>i) << 3));
    store<u32>(to + ((<usize>found) << 2), i);
    found += u32(us >= low && us < high);
    if (us >= high && us < after) after = us;
  }
  store<i64>(next, after == i64.MAX_VALUE ? after : dayOf(after));
  return found;
}

/** Values of 4 bytes (INTEGER, DATE, FLOAT). */
export function copyFixed4(values: usize, rows: usize, from: u32, count: u32, to: usize): void {
  if (rows == 0) {
    memory.copy(to, values + ((<usize>from) << 2), (<usize>count) << 2);
    return;
  }
  for (let i: u32 = 0; i < count; i++)
    store<u32>(to + ((<usize>i) << 2), load<u32>(values + (rowAt(rows, from + i) << 2)));
}

/** Values of 8 bytes (BIGINT, TIMESTAMPTZ, DECIMAL up to 18 digits, DOUBLE). */
export function copyFixed8(values: usize, rows: usize, from: u32, count: u32, to: usize): void {
  if (rows == 0) {
    memory.copy(to, values + ((<usize>from) << 3), (<usize>count) << 3);
    return;
  }
  for (let i: u32 = 0; i < count; i++)
    store<u64>(to + ((<usize>i) << 3), load<u64>(values + (rowAt(rows, from + i) << 3)));
}

/** Values of 16 bytes, little-endian in the image, big-endian in Parquet (DECIMAL of more than 18 digits). */
export function copySwapped16(values: usize, rows: usize, from: u32, count: u32, to: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const at = values + (rowAt(rows, from + i) << 4);
    const out = to + ((<usize>i) << 4);
    store<u64>(out, bswap<u64>(load<u64>(at, 8)));
    store<u64>(out, bswap<u64>(load<u64>(at)), 8);
  }
}

/** Bits of a bitmap, appended at bit `toBit` of the bitmap `to`, whose bits from there on must be 0. */
export function copyBits(
  values: usize,
  rows: usize,
  from: u32,
  count: u32,
  to: usize,
  toBit: u32,
): void {
  for (let i: u32 = 0; i < count; i++) {
    const row = rowAt(rows, from + i);
    const bit: u32 = (<u32>load<u8>(values + (row >> 3)) >> (<u32>row & 7)) & 1;
    const byte = to + ((toBit + i) >> 3);
    store<u8>(byte, <u8>(<u32>load<u8>(byte) | (bit << ((toBit + i) & 7))));
  }
}

/** The ordinals of the rows themselves as INT32: the column `_index`. */
export function fillIndex(rows: usize, from: u32, count: u32, to: usize): void {
  for (let i: u32 = 0; i < count; i++)
    store<u32>(to + ((<usize>i) << 2), <u32>rowAt(rows, from + i));
}

/** Zeroes `bytes` bytes at `to`. */
export function fillZero(to: usize, bytes: u32): void {
  memory.fill(to, 0, bytes);
}
