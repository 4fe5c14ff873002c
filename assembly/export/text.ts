// Parquet PLAIN encoding of strings: u32 length, then the bytes. Rows as in values.ts. Copies go 16 bytes at a time and may write
// up to 15 bytes past the end: buffers carry that much padding. Twin: kernels/reference/parquet-text.ts.

// @ts-ignore: decorator.
@inline
function rowAt(rows: usize, i: u32): usize {
  return rows == 0 ? <usize>i : <usize>load<u32>(rows + ((<usize>i) << 2));
}

/** Writes a length-prefixed copy of `bytes` bytes at `from` to `to`; returns the address after it. */
export function storeText(from: usize, bytes: u32, to: usize): usize {
  store<u32>(to, bytes);
  to += 4;
  if (bytes <= 128) {
    for (let k: u32 = 0; k < bytes; k += 16) v128.store(to + k, v128.load(from + k));
  } else memory.copy(to, from, bytes);
  return to + bytes;
}

/** Bytes that `copyPlain` will write. */
export function plainBytes(offsets: usize, rows: usize, from: u32, count: u32): f64 {
  let bytes: u64 = (<u64>count) << 2;
  for (let i: u32 = 0; i < count; i++) {
    const at = offsets + (rowAt(rows, from + i) << 2);
    bytes += load<u32>(at, 4) - load<u32>(at);
  }
  return <f64>bytes;
}

/** Bytes that `copyCoded` will write. */
export function codedBytes(codes: usize, offsets: usize, rows: usize, from: u32, count: u32): f64 {
  let bytes: u64 = (<u64>count) << 2;
  for (let i: u32 = 0; i < count; i++) {
    const at = offsets + ((<usize>load<u32>(codes + (rowAt(rows, from + i) << 2))) << 2);
    bytes += load<u32>(at, 4) - load<u32>(at);
  }
  return <f64>bytes;
}

/** Strings of a plain column; returns the bytes written at `to`. */
export function copyPlain(
  offsets: usize,
  text: usize,
  rows: usize,
  from: u32,
  count: u32,
  to: usize,
): u32 {
  let out = to;
  for (let i: u32 = 0; i < count; i++) {
    const at = offsets + (rowAt(rows, from + i) << 2);
    const start = load<u32>(at);
    out = storeText(text + start, load<u32>(at, 4) - start, out);
  }
  return <u32>(out - to);
}

/** Strings of a dictionary column, expanded; returns the bytes written at `to`. */
export function copyCoded(
  codes: usize,
  offsets: usize,
  text: usize,
  rows: usize,
  from: u32,
  count: u32,
  to: usize,
): u32 {
  let out = to;
  for (let i: u32 = 0; i < count; i++) {
    const at = offsets + ((<usize>load<u32>(codes + (rowAt(rows, from + i) << 2))) << 2);
    const start = load<u32>(at);
    out = storeText(text + start, load<u32>(at, 4) - start, out);
  }
  return <u32>(out - to);
}
