// One data page of one column: definition levels and values encoded into export memory by the kernels. Knows the layouts of images
// and of Parquet's PLAIN encoding; compression, headers and dictionaries are chunk.ts's.
import {
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_F64,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { joinBounds, NO_BOUNDS, numberBounds, textBounds, type Bounds } from "./bounds.ts";
import type { ExportRoom } from "./room.ts";
import type { Slice, StagedColumn } from "./stage.ts";

/** Values (not null) of one column in one segment, as kernels take them. */
export interface ValueSlice {
  readonly column: StagedColumn;
  readonly rows: number;
  readonly from: number;
  readonly count: number;
}

/** A page's rows without nulls, and its encoded definition levels (empty when the column is not nullable). */
export interface PageRows {
  readonly rowCount: number;
  readonly valueCount: number;
  readonly values: readonly ValueSlice[];
  readonly levels: Uint8Array;
}

const NO_LEVELS = new Uint8Array(0);

/** Levels of `rows` rows take at most this many bytes (levels.ts). */
function levelBytesMax(rows: number): number {
  return 9 + Math.ceil(rows / 8);
}

/** Finds the values of an image column in a page and encodes its levels. Overwrites the page buffer. */
export function pageRows(
  room: ExportRoom,
  slices: readonly Slice[],
  column: { readonly ordinal: number; readonly nullable: boolean },
): PageRows {
  const rowCount = slices.reduce((sum, slice) => sum + slice.count, 0);
  const sources = slices.map((slice) => ({
    column: must(slice.segment.columns[column.ordinal], "column of a batch image"),
    rows: slice.rows,
    from: slice.from,
    count: slice.count,
  }));
  if (!column.nullable)
    return { rowCount, valueCount: rowCount, values: sources, levels: NO_LEVELS };
  const page = room.page.atLeast(levelBytesMax(rowCount));
  if (sources.every((source) => source.column.validity === 0)) {
    const bytes = room.kernels.encodeLevels(0, rowCount, rowCount, page);
    const encoded = room.bytes(page, bytes).slice();
    return { rowCount, valueCount: rowCount, values: sources, levels: encoded };
  }
  const levels = room.levels.atLeast(Math.ceil(rowCount / 8) + 8);
  let picked = room.picked.atLeast(rowCount * 4 + 8);
  const values: ValueSlice[] = [];
  let at = 0;
  let valueCount = 0;
  for (const source of sources) {
    const { validity } = source.column;
    if (validity === 0) {
      room.kernels.setLevels(levels, at, source.count);
      values.push(source);
      valueCount += source.count;
    } else {
      const { rows, from, count } = source;
      const valid = room.kernels.pickValid(validity, rows, from, count, levels, at, picked);
      if (valid > 0) values.push({ column: source.column, rows: picked, from: 0, count: valid });
      valueCount += valid;
      picked += valid * 4;
    }
    at += source.count;
  }
  const bytes = room.kernels.encodeLevels(levels, rowCount, valueCount, page);
  return { rowCount, valueCount, values, levels: room.bytes(page, bytes).slice() };
}

/** Bytes of a page's strings in PLAIN encoding. */
export function textPageBytes(room: ExportRoom, values: readonly ValueSlice[]): number {
  const zeros = room.zeros.atLeast(0);
  let bytes = 0;
  for (const { column, rows, from, count } of values) {
    const first = column.values || zeros;
    bytes += column.dictionary
      ? room.kernels.codedBytes(first, column.dictionaryOffsets, rows, from, count)
      : room.kernels.plainBytes(first, rows, from, count);
  }
  return bytes;
}

/** Encodes strings at `to`; returns the bytes written. */
export function encodeText(room: ExportRoom, values: readonly ValueSlice[], to: number): number {
  const zeros = room.zeros.atLeast(0);
  let at = to;
  for (const { column, rows, from, count } of values) {
    const first = column.values || zeros;
    const { dictionaryOffsets, text } = column;
    at += column.dictionary
      ? room.kernels.copyCoded(first, dictionaryOffsets, text, rows, from, count, at)
      : room.kernels.copyPlain(first, text, rows, from, count, at);
  }
  return at - to;
}

/** Bytes of one fixed-width value in Parquet; 0 for BOOLEAN, which takes a bit, and for strings. */
export function widthOf(physical: number): number {
  switch (physical) {
    case PHYSICAL_I32:
    case PHYSICAL_F32:
      return 4;
    case PHYSICAL_I64:
    case PHYSICAL_F64:
      return 8;
    case PHYSICAL_I128:
      return 16;
    default:
      return 0;
  }
}

/** Encodes fixed-width values and booleans at `to`; returns the bytes written. */
export function encodeFixed(
  room: ExportRoom,
  physical: number,
  page: PageRows,
  to: number,
): number {
  const { kernels } = room;
  const zeros = room.zeros.atLeast(0);
  const width = widthOf(physical);
  if (physical === PHYSICAL_BOOL) kernels.fillZero(to, Math.ceil(page.valueCount / 8));
  let done = 0;
  for (const { column, rows, from, count } of page.values) {
    const first = column.values || zeros;
    if (width === 4) kernels.copyFixed4(first, rows, from, count, to + done * 4);
    else if (width === 8) kernels.copyFixed8(first, rows, from, count, to + done * 8);
    else if (width === 16) kernels.copySwapped16(first, rows, from, count, to + done * 16);
    else kernels.copyBits(first, rows, from, count, to, done);
    done += count;
  }
  return physical === PHYSICAL_BOOL ? Math.ceil(done / 8) : done * width;
}

/** Bounds of an encoded page and its number of NaN. */
export function pageBounds(
  room: ExportRoom,
  physical: number,
  page: number,
  count: number,
): { readonly bounds: Bounds; readonly nanCount: number } {
  const { kernels, results } = room;
  const view = room.view(results, 16);
  let bounds: Bounds = NO_BOUNDS;
  let nanCount = 0;
  if (count === 0) return { bounds, nanCount };
  switch (physical) {
    case PHYSICAL_BOOL:
      kernels.boundsBits(page, count, results);
      if (view.getUint8(0) === 1) bounds = numberBounds(0n, 0n);
      if (view.getUint8(1) === 1) bounds = joinBounds(bounds, numberBounds(1n, 1n));
      break;
    case PHYSICAL_I32:
      kernels.boundsI32(page, count, results);
      bounds = numberBounds(BigInt(view.getInt32(0, true)), BigInt(view.getInt32(4, true)));
      break;
    case PHYSICAL_I64:
      kernels.boundsI64(page, count, results);
      bounds = numberBounds(view.getBigInt64(0, true), view.getBigInt64(8, true));
      break;
    case PHYSICAL_F32:
    case PHYSICAL_F64: {
      nanCount =
        physical === PHYSICAL_F32
          ? kernels.boundsF32(page, count, results)
          : kernels.boundsF64(page, count, results);
      if (nanCount < count)
        bounds = numberBounds(view.getFloat64(0, true), view.getFloat64(8, true));
      break;
    }
    case PHYSICAL_I128:
      kernels.boundsI128(page, count, results);
      bounds = numberBounds(
        bigEndian128(room, view.getUint32(0, true)),
        bigEndian128(room, view.getUint32(4, true)),
      );
      break;
    case PHYSICAL_UTF8: {
      kernels.boundsText(page, count, results);
      bounds = textBounds(
        lengthPrefixed(room, view.getUint32(0, true)),
        lengthPrefixed(room, view.getUint32(4, true)),
      );
      break;
    }
    default:
      throw new Error(`broken invariant: unknown physical type ${physical}`);
  }
  return { bounds, nanCount };
}

function bigEndian128(room: ExportRoom, address: number): bigint {
  const view = room.view(address, 16);
  return (view.getBigInt64(0, false) << 64n) | view.getBigUint64(8, false);
}

function lengthPrefixed(room: ExportRoom, address: number): Uint8Array {
  return room.bytes(address + 4, room.view(address, 4).getUint32(0, true));
}
