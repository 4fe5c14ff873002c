// Lowest and highest values of a column: noun and pure verbs. Parquet statistics and Iceberg bounds are written from them. Strings are
// cut: a bound need not be a value, it must only bound. Does not look at pages (chunk.ts does).
import { unreachable } from "../base/assert.ts";
import type { SqlType } from "../event/schema.ts";

/**
 * A bound: bigint (BOOLEAN as 0 and 1, INTEGER, DATE, BIGINT, TIMESTAMPTZ, DECIMAL unscaled), number (FLOAT, DOUBLE), UTF-8 bytes
 * (VARCHAR, at most TEXT_BOUND_BYTES_MAX).
 */
export type BoundValue = bigint | number | Uint8Array;

/** One end. `exact`: the value occurs. */
export interface Bound {
  readonly value: BoundValue;
  readonly exact: boolean;
}

/** Both ends; null = no value yet, or (high) none that could be written. */
export interface Bounds {
  readonly low: Bound | null;
  readonly high: Bound | null;
  /** A string that cannot be cut upwards was met: there is no upper bound, ever. */
  readonly unbounded: boolean;
}

export const NO_BOUNDS: Bounds = { low: null, high: null, unbounded: false };

/** Bytes of a string bound in Parquet statistics; room for 16 code points of 4 bytes, which Iceberg's bounds keep. */
const TEXT_BOUND_BYTES_MAX = 64;
const ICEBERG_CODE_POINTS_MAX = 16;

function compareValues(a: BoundValue, b: BoundValue): number {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

function pick(a: Bound | null, b: Bound | null, sign: 1 | -1): Bound | null {
  if (a === null || b === null) return a ?? b;
  const order = compareValues(a.value, b.value) * sign;
  if (order === 0) return a.exact ? a : b;
  return order < 0 ? a : b;
}

/** Bounds of both. */
export function joinBounds(a: Bounds, b: Bounds): Bounds {
  const unbounded = a.unbounded || b.unbounded;
  return {
    low: pick(a.low, b.low, 1),
    high: unbounded ? null : pick(a.high, b.high, -1),
    unbounded,
  };
}

/** Exact bounds of numbers. Zeros are widened, as Parquet's format asks: low -0, high +0. */
export function numberBounds(low: bigint | number, high: bigint | number): Bounds {
  return {
    low: { value: low === 0 ? -0 : low, exact: true },
    high: { value: high === 0 ? 0 : high, exact: true },
    unbounded: false,
  };
}

/** Bounds of strings, cut to TEXT_BOUND_BYTES_MAX bytes at a code point. The bytes are copied. */
export function textBounds(low: Uint8Array, high: Uint8Array): Bounds {
  const cutHigh = high.length <= TEXT_BOUND_BYTES_MAX ? high.slice() : raise(prefix(high));
  return {
    low: { value: prefix(low), exact: low.length <= TEXT_BOUND_BYTES_MAX },
    high: cutHigh === null ? null : { value: cutHigh, exact: high.length <= TEXT_BOUND_BYTES_MAX },
    unbounded: cutHigh === null,
  };
}

/** At most TEXT_BOUND_BYTES_MAX bytes from the front, whole code points. */
function prefix(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= TEXT_BOUND_BYTES_MAX) return bytes.slice();
  let end = TEXT_BOUND_BYTES_MAX;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.slice(0, end);
}

/** The shortest string above all strings that begin with this one: its last code point plus one; null when there is none. */
function raise(bytes: Uint8Array): Uint8Array | null {
  const points = Array.from(Buffer.from(bytes).toString("utf8"));
  for (let last = points.length - 1; last >= 0; last--) {
    const point = (points[last]?.codePointAt(0) ?? 0) + 1;
    if (point > 0x10ffff) continue;
    const next = String.fromCodePoint(point >= 0xd800 && point <= 0xdfff ? 0xe000 : point);
    return Buffer.from(points.slice(0, last).join("") + next, "utf8");
  }
  return null;
}

function littleEndian(value: bigint, bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) out[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return out;
}

/** Big-endian two's complement of 16 bytes. */
function bigEndian16(value: bigint): Uint8Array {
  return littleEndian(value, 16).toReversed();
}

/** Big-endian two's complement in as few bytes as hold the value: Iceberg's single-value form of a decimal. */
function bigEndianShort(value: bigint): Uint8Array {
  const bytes = bigEndian16(value);
  let from = 0;
  while (from < 15) {
    const first = bytes[from] ?? 0;
    const negative = ((bytes[from + 1] ?? 0) & 0x80) !== 0;
    if (first !== (negative ? 0xff : 0)) break;
    from++;
  }
  return bytes.slice(from);
}

function floatBytes(value: number, bytes: 4 | 8): Uint8Array {
  const out = new DataView(new ArrayBuffer(bytes));
  if (bytes === 4) out.setFloat32(0, value, true);
  else out.setFloat64(0, value, true);
  return new Uint8Array(out.buffer);
}

/** A bound as Parquet's PLAIN encoding of the column (strings without a length). */
export function parquetBound(type: SqlType, value: BoundValue): Uint8Array {
  if (value instanceof Uint8Array) return value;
  switch (type.kind) {
    case "BOOLEAN":
      return littleEndian(BigInt(value), 1);
    case "INTEGER":
    case "DATE":
      return littleEndian(BigInt(value), 4);
    case "BIGINT":
    case "TIMESTAMPTZ":
      return littleEndian(BigInt(value), 8);
    case "FLOAT":
      return floatBytes(Number(value), 4);
    case "DOUBLE":
      return floatBytes(Number(value), 8);
    case "DECIMAL":
      return type.precision <= 18 ? littleEndian(BigInt(value), 8) : bigEndian16(BigInt(value));
    case "VARCHAR":
      throw new Error("broken invariant: a VARCHAR bound is bytes");
    default:
      return unreachable(type);
  }
}

/** A bound in Iceberg's single-value serialization (spec, appendix D); strings cut to 16 code points. Null: there is none. */
export function icebergBound(type: SqlType, end: "low" | "high", bound: Bound): Uint8Array | null {
  const { value } = bound;
  if (value instanceof Uint8Array) {
    const points = Array.from(Buffer.from(value).toString("utf8"));
    if (points.length <= ICEBERG_CODE_POINTS_MAX) return value;
    const cut = Buffer.from(points.slice(0, ICEBERG_CODE_POINTS_MAX).join(""), "utf8");
    return end === "low" ? cut : raise(cut);
  }
  return type.kind === "DECIMAL" ? bigEndianShort(BigInt(value)) : parquetBound(type, value);
}
