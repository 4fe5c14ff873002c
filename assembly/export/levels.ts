// Definition levels of a nullable column (maximum level 1): which rows are null, and the list of rows that are not. Parquet keeps
// no slot for a null, so the value kernels take that list. Format: https://parquet.apache.org/docs/file-format/data-pages/encodings/
// (RLE / bit-packing hybrid). Twin: kernels/reference/parquet-levels.ts.

/** Writes `value` as an unsigned LEB128 number at `to`; returns the address after it. */
export function storeVarint(to: usize, value: u32): usize {
  while (value >= 128) {
    store<u8>(to++, (value & 127) | 128);
    value >>= 7;
  }
  store<u8>(to++, value);
  return to;
}

/**
 * Appends `count` levels at bit `levelAt` of the bitmap `levels` and writes the ordinals of the valid rows to `picked` (u32 each).
 * Rows are `rows[from..from+count)`, or from..from+count itself when `rows` is 0. Returns the number of valid rows.
 */
export function pickValid(
  validity: usize,
  rows: usize,
  from: u32,
  count: u32,
  levels: usize,
  levelAt: u32,
  picked: usize,
): u32 {
  let valid: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const row = rows == 0 ? from + i : load<u32>(rows + ((<usize>(from + i)) << 2));
    const bit: u32 = (<u32>load<u8>(validity + (row >> 3)) >> (row & 7)) & 1;
    const at = levelAt + i;
    const byte = levels + (at >> 3);
    store<u8>(byte, <u8>((<u32>load<u8>(byte) & ~((<u32>1) << (at & 7))) | (bit << (at & 7))));
    store<u32>(picked + ((<usize>valid) << 2), row);
    valid += bit;
  }
  return valid;
}

/** Appends `count` levels of 1 at bit `levelAt` of the bitmap `levels`. */
export function setLevels(levels: usize, levelAt: u32, count: u32): void {
  let at = levelAt;
  const end = levelAt + count;
  for (; at < end && (at & 7) != 0; at++) {
    const byte = levels + (at >> 3);
    store<u8>(byte, <u8>(<u32>load<u8>(byte) | ((<u32>1) << (at & 7))));
  }
  const whole = (end - at) >> 3;
  memory.fill(levels + (at >> 3), 0xff, whole);
  at += whole << 3;
  if (at < end) store<u8>(levels + (at >> 3), <u8>(((<u32>1) << (end - at)) - 1));
}

/**
 * Encodes `rows` levels, of which `valid` are 1, as a data page (version 1) begins: u32 length, then one RLE run when all levels
 * are equal, else one bit-packed run. Returns the bytes written at `to`: at most 9 + rows / 8.
 */
export function encodeLevels(levels: usize, rows: u32, valid: u32, to: usize): u32 {
  let at = to + 4;
  if (valid == rows || valid == 0) {
    at = storeVarint(at, rows << 1);
    store<u8>(at++, valid == 0 ? 0 : 1);
  } else {
    const groups = (rows + 7) >> 3;
    at = storeVarint(at, (groups << 1) | 1);
    memory.copy(at, levels, groups);
    at += groups;
    const rest = rows & 7;
    if (rest != 0) store<u8>(at - 1, <u8>(<u32>load<u8>(at - 1) & (((<u32>1) << rest) - 1)));
  }
  store<u32>(to, <u32>(at - to - 4));
  return <u32>(at - to);
}
