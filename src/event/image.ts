// Noun: a batch image (kernels/abi.ts) as TypeScript sees it, plainly: columns of values out of bytes, and bytes out of rows of
// values. For tests, the query process, small outputs and cold paths. The hot paths are kernels; this file is how to know that they
// are right.
import {
  COLUMN_BYTES,
  COLUMN_DICT_COUNT_AT,
  COLUMN_DICT_OFFSETS_AT,
  COLUMN_ENCODING_AT,
  COLUMN_NULLS_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_TEXT_AT,
  COLUMN_TEXT_BYTES_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  ENCODING_DICTIONARY,
  ENCODING_PLAIN,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  IMAGE_MAGIC_AT,
  IMAGE_ROWS_AT,
  IMAGE_STORED_BYTES_AT,
  IMAGE_TOTAL_BYTES_AT,
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_F64,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { IMAGE_EXTRA_COLUMNS, physicalOf, type EventSchema, type SqlType } from "./schema.ts";

/**
 * A value of a column: boolean (BOOLEAN), number (INTEGER, DATE as days since the epoch, FLOAT, DOUBLE), bigint (BIGINT, TIMESTAMPTZ
 * as µs since the epoch, DECIMAL as the unscaled integer), string (VARCHAR), or null.
 */
export type Cell = bigint | number | string | boolean | null;

/** What a reader or writer of an image must know of a column. Schema columns, view columns and `IMAGE_EXTRA_COLUMNS` fit. */
export interface ImageColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
}

/** The bytes are not the image that they should be: corrupt, cut short, or of other columns. */
export class ImageError extends Error {
  override readonly name = "ImageError";
}

/** The columns of a stream's batch images, in order: the declared members, `attrs`, `_behind`. */
export function streamImageColumns(schema: EventSchema): ImageColumn[] {
  return [...schema.columns, ...IMAGE_EXTRA_COLUMNS];
}

/** The header of an image, checked against its length. `storedBytes` and `totalBytes` as in kernels/abi.ts. */
export interface ImageHeader {
  readonly rowCount: number;
  readonly columnCount: number;
  readonly storedBytes: number;
  readonly totalBytes: number;
}

/** A sanity bound for readers of corrupt bytes: columns whose values are all zero take no room. */
const ROWS_MAX = 2 ** 24;

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new ImageError(`batch image: ${what}`);
}

function viewOf(image: Uint8Array): DataView {
  return new DataView(image.buffer, image.byteOffset, image.byteLength);
}

/** Reads the header. The image may be cut to its stored bytes. Throws ImageError. */
export function readImageHeader(image: Uint8Array): ImageHeader {
  check(image.byteLength >= IMAGE_HEADER_BYTES, "shorter than its header");
  const view = viewOf(image);
  check(view.getUint32(IMAGE_MAGIC_AT, true) === IMAGE_MAGIC, "does not begin with MRB1");
  const header = {
    rowCount: view.getUint32(IMAGE_ROWS_AT, true),
    columnCount: view.getUint32(IMAGE_COLUMNS_AT, true),
    storedBytes: view.getUint32(IMAGE_STORED_BYTES_AT, true),
    totalBytes: view.getUint32(IMAGE_TOTAL_BYTES_AT, true),
  };
  check(header.rowCount <= ROWS_MAX, "says that it has more rows than any image");
  check(header.storedBytes <= image.byteLength, "shorter than it says");
  check(header.storedBytes <= header.totalBytes, "stored bytes exceed total bytes");
  check(
    IMAGE_HEADER_BYTES + header.columnCount * COLUMN_BYTES <= header.storedBytes,
    "descriptors lie outside",
  );
  return header;
}

/** The parts of one column, as ranges within the image that were checked against its bounds. */
export interface ColumnParts {
  readonly view: DataView;
  readonly rowCount: number;
  readonly physical: number;
  readonly encoding: number;
  readonly validityAt: number;
  readonly valuesAt: number;
  readonly textAt: number;
  readonly textBytes: number;
  readonly dictCount: number;
  readonly dictOffsetsAt: number;
  readonly storedBytes: number;
}

const FIXED_BYTES = new Map<number, number>([
  [PHYSICAL_I32, 4],
  [PHYSICAL_I64, 8],
  [PHYSICAL_F32, 4],
  [PHYSICAL_F64, 8],
  [PHYSICAL_I128, 16],
]);

/** Where the buffers of one column lie. Throws ImageError when one lies outside the image. */
export function columnParts(image: Uint8Array, ordinal: number): ColumnParts {
  const { rowCount, columnCount, storedBytes } = readImageHeader(image);
  check(ordinal >= 0 && ordinal < columnCount, `has no column ${ordinal}`);
  const view = viewOf(image);
  const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
  const parts = {
    view,
    rowCount,
    storedBytes,
    physical: view.getUint8(at + COLUMN_PHYSICAL_AT),
    encoding: view.getUint8(at + COLUMN_ENCODING_AT),
    validityAt: view.getUint32(at + COLUMN_VALIDITY_AT, true),
    valuesAt: view.getUint32(at + COLUMN_VALUES_AT, true),
    textAt: view.getUint32(at + COLUMN_TEXT_AT, true),
    textBytes: view.getUint32(at + COLUMN_TEXT_BYTES_AT, true),
    dictCount: view.getUint32(at + COLUMN_DICT_COUNT_AT, true),
    dictOffsetsAt: view.getUint32(at + COLUMN_DICT_OFFSETS_AT, true),
  };
  const within = (from: number, bytes: number, what: string): void =>
    check(from % 8 === 0 && from + bytes <= storedBytes, `column ${ordinal}: ${what} lie outside`);
  within(parts.validityAt, Math.ceil(rowCount / 8), "validity bits");
  if (parts.physical === PHYSICAL_UTF8) {
    check(parts.encoding <= ENCODING_DICTIONARY, `column ${ordinal}: unknown encoding`);
    const dictionary = parts.encoding === ENCODING_DICTIONARY;
    if (parts.valuesAt !== 0)
      within(parts.valuesAt, (rowCount + (dictionary ? 0 : 1)) * 4, "values");
    within(parts.textAt, parts.textBytes, "text");
    if (dictionary) within(parts.dictOffsetsAt, (parts.dictCount + 1) * 4, "dictionary offsets");
    return parts;
  }
  check(parts.encoding === ENCODING_PLAIN, `column ${ordinal}: unknown encoding`);
  const width = FIXED_BYTES.get(parts.physical);
  check(width !== undefined || parts.physical === PHYSICAL_BOOL, `column ${ordinal}: unknown type`);
  within(
    parts.valuesAt,
    width === undefined ? Math.ceil(rowCount / 8) : width * rowCount,
    "values",
  );
  return parts;
}

function bit(view: DataView, at: number, index: number): boolean {
  return ((view.getUint8(at + (index >> 3)) >> (index & 7)) & 1) === 1;
}

/** One stored value of a fixed-width or boolean column, as a Cell. */
function fixedValue(parts: ColumnParts, row: number): Cell {
  const { view, valuesAt } = parts;
  const zero = valuesAt === 0;
  switch (parts.physical) {
    case PHYSICAL_BOOL:
      return zero ? false : bit(view, valuesAt, row);
    case PHYSICAL_I32:
      return zero ? 0 : view.getInt32(valuesAt + row * 4, true);
    case PHYSICAL_F32:
      return zero ? 0 : view.getFloat32(valuesAt + row * 4, true);
    case PHYSICAL_F64:
      return zero ? 0 : view.getFloat64(valuesAt + row * 8, true);
    case PHYSICAL_I64:
      return zero ? 0n : view.getBigInt64(valuesAt + row * 8, true);
    default:
      if (zero) return 0n;
      return (
        (view.getBigInt64(valuesAt + row * 16 + 8, true) << 64n) |
        view.getBigUint64(valuesAt + row * 16, true)
      );
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The strings between consecutive int32 offsets: `count` of them. */
function texts(parts: ColumnParts, offsetsAt: number, count: number): string[] {
  const { view, textAt, textBytes } = parts;
  if (offsetsAt === 0) return Array.from({ length: count }, () => "");
  const bytes = new Uint8Array(view.buffer, view.byteOffset + textAt, textBytes).slice();
  return Array.from({ length: count }, (_, index) => {
    const from = view.getInt32(offsetsAt + index * 4, true);
    const to = view.getInt32(offsetsAt + index * 4 + 4, true);
    check(from >= 0 && from <= to && to <= textBytes, "text offsets are not in order");
    try {
      return UTF8.decode(bytes.subarray(from, to));
    } catch {
      throw new ImageError("batch image: text is not UTF-8");
    }
  });
}

function textValues(parts: ColumnParts): string[] {
  if (parts.encoding === ENCODING_PLAIN) return texts(parts, parts.valuesAt, parts.rowCount);
  const entries = texts(parts, parts.dictOffsetsAt, parts.dictCount);
  return Array.from({ length: parts.rowCount }, (_, row) => {
    const code = parts.valuesAt === 0 ? 0 : parts.view.getUint32(parts.valuesAt + row * 4, true);
    check(code < entries.length, "dictionary code without an entry");
    return must(entries[code], "dictionary entry");
  });
}

/**
 * All values of one column. The image may be cut to its stored bytes. Throws ImageError when the bytes are corrupt or the column
 * is not of `type`.
 */
export function readColumn(image: Uint8Array, ordinal: number, type: SqlType): Cell[] {
  const parts = columnParts(image, ordinal);
  check(parts.physical === physicalOf(type), `column ${ordinal} is not ${type.kind}`);
  const strings = parts.physical === PHYSICAL_UTF8 ? textValues(parts) : null;
  return Array.from({ length: parts.rowCount }, (_, row) => {
    if (parts.validityAt !== 0 && !bit(parts.view, parts.validityAt, row)) return null;
    return strings ? must(strings[row], "text") : fixedValue(parts, row);
  });
}

/** All columns of an image, each an array of values. Throws ImageError when it is corrupt or has other columns. */
export function imageColumns(image: Uint8Array, columns: readonly ImageColumn[]): Cell[][] {
  const { columnCount } = readImageHeader(image);
  check(columnCount === columns.length, `has ${columnCount} columns, not ${columns.length}`);
  return columns.map((column, ordinal) => readColumn(image, ordinal, column.type));
}

/** All rows of an image, each an array of values in column order. Throws ImageError. */
export function imageRows(image: Uint8Array, columns: readonly ImageColumn[]): Cell[][] {
  const values = imageColumns(image, columns);
  const { rowCount } = readImageHeader(image);
  return Array.from({ length: rowCount }, (_, row) => values.map((column) => column[row] ?? null));
}

/** A growing image: buffers are appended, each on a multiple of 8. */
class ImageWriter {
  readonly #parts: Uint8Array[] = [];
  #bytes: number;

  constructor(headBytes: number) {
    this.#bytes = headBytes;
  }
  /** Appends a buffer, padded with zeros. Returns its offset. */
  append(bytes: Uint8Array): number {
    const at = this.#bytes;
    const padded = new Uint8Array(Math.ceil(bytes.byteLength / 8) * 8);
    padded.set(bytes);
    this.#parts.push(padded);
    this.#bytes += padded.byteLength;
    return at;
  }
  finish(head: Uint8Array): Uint8Array {
    const image = new Uint8Array(this.#bytes);
    image.set(head);
    let at = head.byteLength;
    for (const part of this.#parts) {
      image.set(part, at);
      at += part.byteLength;
    }
    return image;
  }
}

/** The bytes of `count` elements of `width` bytes that `put` writes one by one. */
function packed(
  count: number,
  width: number,
  put: (view: DataView, at: number, index: number) => void,
): Uint8Array {
  const bytes = new Uint8Array(count * width);
  const view = viewOf(bytes);
  for (let index = 0; index < count; index++) put(view, index * width, index);
  return bytes;
}

function bitmap(bits: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8));
  bits.forEach((set, index) => {
    const at = index >> 3;
    if (set) bytes[at] = must(bytes[at], "byte") | (1 << (index & 7));
  });
  return bytes;
}

function fixedBytes(physical: number, values: readonly Cell[]): Uint8Array {
  const big = (index: number): bigint => BigInt(values[index] ?? 0);
  const small = (index: number): number => Number(values[index] ?? 0);
  const count = values.length;
  switch (physical) {
    case PHYSICAL_BOOL:
      return bitmap(values.map((value) => value === true));
    case PHYSICAL_I32:
      return packed(count, 4, (view, at, index) => view.setInt32(at, small(index), true));
    case PHYSICAL_F32:
      return packed(count, 4, (view, at, index) => view.setFloat32(at, small(index), true));
    case PHYSICAL_F64:
      return packed(count, 8, (view, at, index) => view.setFloat64(at, small(index), true));
    case PHYSICAL_I64:
      return packed(count, 8, (view, at, index) => view.setBigInt64(at, big(index), true));
    default:
      return packed(count, 16, (view, at, index) => {
        view.setBigUint64(at, BigInt.asUintN(64, big(index)), true);
        view.setBigInt64(at + 8, big(index) >> 64n, true);
      });
  }
}

/** int32 offsets and the bytes of strings laid end to end. */
function textBuffers(strings: readonly string[]): { offsets: Uint8Array; text: Uint8Array } {
  const encoded = strings.map((text) => Buffer.from(text, "utf8"));
  let end = 0;
  const ends = [0, ...encoded.map((bytes) => (end += bytes.byteLength))];
  const offsets = packed(ends.length, 4, (view, at, index) =>
    view.setInt32(at, must(ends[index], "offset"), true),
  );
  return { offsets, text: Buffer.concat(encoded) };
}

/** Appends the text buffers of a VARCHAR column and fills its descriptor at `at`. */
function writeText(
  writer: ImageWriter,
  head: DataView,
  at: number,
  column: { values: readonly Cell[]; dictionary: boolean },
): void {
  const strings = column.values.map((value) => (value === null ? "" : String(value)));
  let entries = strings;
  if (column.dictionary) {
    entries = [...new Set(strings.filter((_, row) => column.values[row] !== null))];
    if (entries.length === 0) entries = [""];
    const codes = new Map(entries.map((entry, code) => [entry, code]));
    head.setUint8(at + COLUMN_ENCODING_AT, ENCODING_DICTIONARY);
    const codeBytes = packed(strings.length, 4, (view, to, row) => {
      const code = column.values[row] === null ? 0 : codes.get(must(strings[row], "text"));
      view.setUint32(to, must(code, "code"), true);
    });
    head.setUint32(at + COLUMN_VALUES_AT, writer.append(codeBytes), true);
    head.setUint32(at + COLUMN_DICT_COUNT_AT, entries.length, true);
  }
  const { offsets, text } = textBuffers(entries);
  const offsetsAt = column.dictionary ? COLUMN_DICT_OFFSETS_AT : COLUMN_VALUES_AT;
  head.setUint32(at + offsetsAt, writer.append(offsets), true);
  head.setUint32(at + COLUMN_TEXT_AT, writer.append(text), true);
  head.setUint32(at + COLUMN_TEXT_BYTES_AT, text.byteLength, true);
}

/**
 * Writes an image from rows of values in column order. VARCHAR columns whose ordinals are in `dictionaries` become dictionaries, the
 * others plain. A value of the wrong type or a null in a column that is not nullable is a broken invariant.
 */
export function buildImage(
  columns: readonly ImageColumn[],
  rows: readonly (readonly Cell[])[],
  dictionaries: ReadonlySet<number> = new Set(),
): Uint8Array {
  const headBytes = IMAGE_HEADER_BYTES + columns.length * COLUMN_BYTES;
  const head = new Uint8Array(headBytes);
  const view = viewOf(head);
  const writer = new ImageWriter(headBytes);
  columns.forEach((column, ordinal) => {
    const values = rows.map((row) => {
      const value = row[ordinal];
      assert(value !== undefined, `row without a value of ${column.name}`);
      assert(value !== null || column.nullable, `null in ${column.name}`);
      return value;
    });
    const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    const physical = physicalOf(column.type);
    const nulls = values.filter((value) => value === null).length;
    view.setUint8(at + COLUMN_PHYSICAL_AT, physical);
    view.setUint32(at + COLUMN_NULLS_AT, nulls, true);
    if (nulls > 0) {
      const validity = writer.append(bitmap(values.map((value) => value !== null)));
      view.setUint32(at + COLUMN_VALIDITY_AT, validity, true);
    }
    if (physical === PHYSICAL_UTF8)
      writeText(writer, view, at, { values, dictionary: dictionaries.has(ordinal) });
    else view.setUint32(at + COLUMN_VALUES_AT, writer.append(fixedBytes(physical, values)), true);
  });
  view.setUint32(IMAGE_MAGIC_AT, IMAGE_MAGIC, true);
  view.setUint32(IMAGE_ROWS_AT, rows.length, true);
  view.setUint32(IMAGE_COLUMNS_AT, columns.length, true);
  const image = writer.finish(head);
  viewOf(image).setUint32(IMAGE_TOTAL_BYTES_AT, image.byteLength, true);
  viewOf(image).setUint32(IMAGE_STORED_BYTES_AT, image.byteLength, true);
  return image;
}
