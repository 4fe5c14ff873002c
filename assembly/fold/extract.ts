// Rows of groups as columns of a batch image: values in Arrow layout, validity bitmaps, texts. What a NULL is, and the final value of
// each aggregate, is decided here. Output buffers are zeroed by the host, so null slots are zero.
import {
  CAST_DOWN,
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_F64,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  PICKED_VALUE,
  ROW_NULLS_AT,
  SOURCE_AVG_D,
  SOURCE_AVG_H,
  SOURCE_AVG_I,
  SOURCE_COUNT,
  SOURCE_DISTINCT,
  SOURCE_EXTREME_16,
  SOURCE_EXTREME_8,
  SOURCE_EXTREME_TEXT,
  SOURCE_KEY_16,
  SOURCE_KEY_8,
  SOURCE_KEY_TEXT,
  SOURCE_PICKED_16,
  SOURCE_PICKED_8,
  SOURCE_PICKED_TEXT,
  SOURCE_SUM_D,
  SOURCE_SUM_H,
  SOURCE_SUM_I,
  TEXT_INLINE_BYTES,
  WINDOW_SEGMENT_AT,
} from "../../kernels/abi";
import { average } from "./average";
import { estimate } from "./hll";
import { fits, powerOfTen, low, toDouble } from "./wide";

/** Writes the addresses of all rows of a window, oldest first, as u32; returns how many. */
export function listRows(header: u32, rowBytes: u32, to: u32): u32 {
  let n: u32 = 0;
  for (let segment = header + WINDOW_SEGMENT_AT; segment != 0; segment = load<u32>(segment)) {
    const end = segment + 8 + load<u32>(segment, 4) * rowBytes;
    for (let row = segment + 8; row < end; row += rowBytes, n++) store<u32>(to + (n << 2), row);
  }
  return n;
}

function isPickedSource(source: u32): bool {
  return source == SOURCE_PICKED_8 || source == SOURCE_PICKED_16 || source == SOURCE_PICKED_TEXT;
}

function hasValue(row: u32, source: u32, offset: u32, x: u32): bool {
  if (source == SOURCE_KEY_8 || source == SOURCE_KEY_16 || source == SOURCE_KEY_TEXT)
    return ((load<u32>(row, ROW_NULLS_AT) >> x) & 1) == 0;
  if (source == SOURCE_COUNT || source == SOURCE_DISTINCT) return true;
  if (source == SOURCE_EXTREME_TEXT) return load<u32>(row + offset) != 0;
  if (isPickedSource(source)) return load<u32>(row + offset) == PICKED_VALUE;
  if (load<u64>(row + offset) == 0) return false;
  if (source != SOURCE_SUM_H && source != SOURCE_AVG_H) return true;
  // An average needs a sum of 128 bits, as in DuckDB; a sum needs 38 digits.
  const h = load<i64>(row + offset, 16);
  if (load<i64>(row + offset, 24) != h >> 63) return false;
  return source == SOURCE_AVG_H || fits(load<u64>(row + offset, 8), h, 38);
}

function averageOf(at: u32, source: u32, x: u32): f64 {
  const count = load<u64>(at);
  if (source == SOURCE_AVG_D) return load<f64>(at, 8) / <f64>count;
  if ((x & CAST_DOWN) == 0) return average(load<u64>(at, 8), load<i64>(at, 16), count, x);
  powerOfTen(x & ~CAST_DOWN);
  return toDouble(load<u64>(at, 8), load<i64>(at, 16)) / (<f64>count * <f64>low);
}

/** Stores a value of 8 or 16 bytes as element i of a column. */
export function storeValue(to: u32, i: u32, physical: u32, from: u32): void {
  if (physical == PHYSICAL_I64 || physical == PHYSICAL_F64) store<u64>(to + (i << 3), load<u64>(from));
  else if (physical == PHYSICAL_I32) store<u32>(to + (i << 2), load<u32>(from));
  else if (physical == PHYSICAL_F32) store<f32>(to + (i << 2), <f32>load<f64>(from));
  else if (physical == PHYSICAL_I128) v128.store(to + (i << 4), v128.load(from));
  else if (physical == PHYSICAL_BOOL) {
    const at = to + (i >> 3);
    store<u8>(at, load<u8>(at) | (<u8>(load<u64>(from) != 0) << <u8>(i & 7)));
  }
}

/** Values of a column that has no nulls: the words at `offset` of the rows. */
function extractWords(rows: u32, n: u32, offset: u32, to: u32): void {
  for (let i: u32 = 0; i < n; i++) store<u64>(to + (i << 3), load<u64>(load<u32>(rows + (i << 2)) + offset));
}

/**
 * Values of one output column: `n` rows whose addresses are at `rows`, from a source (SOURCE_*) at `offset` of the row. Returns the
 * number of nulls, whose bits in `bits` stay 0; without nulls the bits say nothing.
 */
export function extract(rows: u32, n: u32, source: u32, offset: u32, x: u32, physical: u32, to: u32, bits: u32): u32 {
  let nulls: u32 = 0;
  if (source == SOURCE_COUNT && physical == PHYSICAL_I64) {
    extractWords(rows, n, offset, to);
    return 0;
  }
  for (let i: u32 = 0; i < n; i++) {
    const row = load<u32>(rows + (i << 2));
    if (!hasValue(row, source, offset, x)) {
      nulls++;
      continue;
    }
    store<u8>(bits + (i >> 3), load<u8>(bits + (i >> 3)) | (<u8>1 << <u8>(i & 7)));
    const at = row + offset;
    if (source == SOURCE_AVG_I || source == SOURCE_AVG_H || source == SOURCE_AVG_D)
      store<f64>(to + (i << 3), averageOf(at, source, x));
    else if (source == SOURCE_DISTINCT) store<i64>(to + (i << 3), estimate(at));
    else if (source == SOURCE_SUM_I || source == SOURCE_SUM_H || source == SOURCE_SUM_D || source == SOURCE_EXTREME_8 || source == SOURCE_EXTREME_16)
      storeValue(to, i, physical, at + 8);
    else if (isPickedSource(source)) storeValue(to, i, physical, at + 16);
    else storeValue(to, i, physical, at);
  }
  return nulls;
}

function textBytesOf(row: u32, source: u32, offset: u32): u32 {
  if (source == SOURCE_PICKED_TEXT) return load<u32>(row + offset, 16);
  return source == SOURCE_KEY_TEXT ? load<u32>(row + offset) : load<u32>(row + offset, 4);
}

/** Bytes of all texts of an output column. */
export function textBytes(rows: u32, n: u32, source: u32, offset: u32, x: u32): u64 {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const row = load<u32>(rows + (i << 2));
    if (hasValue(row, source, offset, x)) sum += textBytesOf(row, source, offset);
  }
  return sum;
}

/** Texts of an output column: n + 1 offsets to `to`, bytes to `text`. Returns the number of nulls. */
export function extractText(rows: u32, n: u32, source: u32, offset: u32, x: u32, to: u32, text: u32, bits: u32): u32 {
  let nulls: u32 = 0;
  let end: u32 = 0;
  store<u32>(to, 0);
  for (let i: u32 = 0; i < n; i++) {
    const row = load<u32>(rows + (i << 2));
    if (hasValue(row, source, offset, x)) {
      const at = row + offset;
      const bytes = textBytesOf(row, source, offset);
      let from = at + 4;
      if (source == SOURCE_EXTREME_TEXT) from = load<u32>(at, 12);
      else if (source == SOURCE_PICKED_TEXT) from = load<u32>(at, 24);
      else if (bytes > <u32>TEXT_INLINE_BYTES) from = load<u32>(at, 8);
      memory.copy(text + end, from, bytes);
      end += bytes;
      store<u8>(bits + (i >> 3), load<u8>(bits + (i >> 3)) | (<u8>1 << <u8>(i & 7)));
    } else nulls++;
    store<u32>(to + (i << 2), end, 4);
  }
  return nulls;
}
