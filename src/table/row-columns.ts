// Nouns and pure verbs: rows of a table as columns in plain memory, for copy-on-write: from a batch image, into one, and the key of a row.
// Files become such columns in parquet-read.ts.
import {
  COLUMN_BYTES,
  COLUMN_DICT_OFFSETS_AT,
  COLUMN_ENCODING_AT,
  COLUMN_NULLS_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_TEXT_AT,
  COLUMN_TEXT_BYTES_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  ENCODING_DICTIONARY,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  IMAGE_MAGIC_AT,
  IMAGE_ROWS_AT,
  IMAGE_STORED_BYTES_AT,
  IMAGE_TOTAL_BYTES_AT,
  PHYSICAL_BOOL,
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { physicalOf, type SqlType } from "../event/schema.ts";
import { widthOf } from "./page.ts";

/** One column: a byte per row that is 1 where the value is valid (null: all are), and the values. */
export interface RowColumn {
  readonly physical: number;
  readonly valid: Uint8Array | null;
  /** Fixed width: values as in an image, BOOLEAN a byte per row. Empty for text. */
  readonly fixed: Uint8Array;
  /** Text: where each value begins in `text`, and its bytes. Empty for others. */
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  readonly text: Uint8Array;
}

export interface RowColumns {
  readonly rowCount: number;
  readonly columns: readonly RowColumn[];
}

const NO_BYTES = new Uint8Array(0);
const NO_NUMBERS = new Uint32Array(0);

/** Bytes of one value in `fixed`. */
export function fixedBytes(physical: number): number {
  return physical === PHYSICAL_BOOL ? 1 : widthOf(physical);
}

export function fixedColumn(
  physical: number,
  valid: Uint8Array | null,
  fixed: Uint8Array,
): RowColumn {
  return { physical, valid, fixed, starts: NO_NUMBERS, lengths: NO_NUMBERS, text: NO_BYTES };
}

export function textColumn(
  valid: Uint8Array | null,
  values: {
    readonly starts: Uint32Array;
    readonly lengths: Uint32Array;
    readonly text: Uint8Array;
  },
): RowColumn {
  return { physical: PHYSICAL_UTF8, valid, fixed: NO_BYTES, ...values };
}

function bitsOf(bytes: Uint8Array, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, row) => ((bytes[row >> 3] ?? 0) >> (row & 7)) & 1);
}

function textOf(view: DataView, image: Uint8Array, at: number, rowCount: number) {
  const base = view.getUint32(at + COLUMN_TEXT_AT, true);
  const values = view.getUint32(at + COLUMN_VALUES_AT, true);
  const entries = view.getUint32(at + COLUMN_DICT_OFFSETS_AT, true);
  const isCoded = view.getUint8(at + COLUMN_ENCODING_AT) === ENCODING_DICTIONARY;
  const offsets = isCoded ? entries : values;
  const starts = new Uint32Array(rowCount);
  const lengths = new Uint32Array(rowCount);
  for (let row = 0; row < rowCount; row++) {
    const code = isCoded && values > 0 ? view.getUint32(values + row * 4, true) : isCoded ? 0 : row;
    if (offsets === 0) continue;
    starts[row] = view.getInt32(offsets + code * 4, true);
    lengths[row] = view.getInt32(offsets + code * 4 + 4, true) - must(starts[row], "start");
  }
  const text = image.subarray(base, base + view.getUint32(at + COLUMN_TEXT_BYTES_AT, true));
  return { starts, lengths, text };
}

/** The rows of a batch image. */
export function columnsOfImage(image: Uint8Array): RowColumns {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const rowCount = view.getUint32(IMAGE_ROWS_AT, true);
  const columns = Array.from({ length: view.getUint32(IMAGE_COLUMNS_AT, true) }, (_, ordinal) => {
    const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    const physical = view.getUint8(at + COLUMN_PHYSICAL_AT);
    const validity = view.getUint32(at + COLUMN_VALIDITY_AT, true);
    const valid = validity === 0 ? null : bitsOf(image.subarray(validity), rowCount);
    if (physical === PHYSICAL_UTF8) return textColumn(valid, textOf(view, image, at, rowCount));
    const values = view.getUint32(at + COLUMN_VALUES_AT, true);
    const bytes = rowCount * fixedBytes(physical);
    if (values === 0) return fixedColumn(physical, valid, new Uint8Array(bytes));
    if (physical === PHYSICAL_BOOL)
      return fixedColumn(physical, valid, bitsOf(image.subarray(values), rowCount));
    return fixedColumn(physical, valid, image.subarray(values, values + bytes));
  });
  return { rowCount, columns };
}

/** A row of some columns. */
export interface RowAt {
  readonly of: RowColumns;
  readonly row: number;
}

/** Rows of equal columns (types: those of the table) as one batch image, in the order given. */
export function imageOfRows(rows: readonly RowAt[], types: readonly SqlType[]): Uint8Array {
  const head = IMAGE_HEADER_BYTES + types.length * COLUMN_BYTES;
  const descriptors = new DataView(new ArrayBuffer(head));
  const buffers: Uint8Array[] = [];
  let end = head;
  const put = (field: number, bytes: Uint8Array): void => {
    descriptors.setUint32(field, end, true);
    buffers.push(bytes);
    end += Math.ceil(bytes.length / 8) * 8;
  };
  types.forEach((type, ordinal) => {
    const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    const physical = physicalOf(type);
    descriptors.setUint8(at + COLUMN_PHYSICAL_AT, physical);
    const bits = new Uint8Array(Math.ceil(rows.length / 8));
    let nulls = 0;
    rows.forEach(({ of, row }, index) => {
      if (of.columns[ordinal]?.valid?.[row] === 0) nulls++;
      else bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
    });
    descriptors.setUint32(at + COLUMN_NULLS_AT, nulls, true);
    if (nulls > 0) put(at + COLUMN_VALIDITY_AT, bits);
    if (physical !== PHYSICAL_UTF8)
      return put(at + COLUMN_VALUES_AT, fixedValues(rows, ordinal, physical));
    const { offsets, text } = textValues(rows, ordinal);
    put(at + COLUMN_VALUES_AT, offsets);
    put(at + COLUMN_TEXT_AT, text);
    descriptors.setUint32(at + COLUMN_TEXT_BYTES_AT, text.length, true);
  });
  for (const [field, value] of [
    [IMAGE_MAGIC_AT, IMAGE_MAGIC],
    [IMAGE_ROWS_AT, rows.length],
    [IMAGE_COLUMNS_AT, types.length],
    [IMAGE_TOTAL_BYTES_AT, end],
    [IMAGE_STORED_BYTES_AT, end],
  ] as const)
    descriptors.setUint32(field, value, true);
  const image = new Uint8Array(end);
  image.set(new Uint8Array(descriptors.buffer));
  let at = head;
  for (const buffer of buffers) {
    image.set(buffer, at);
    at += Math.ceil(buffer.length / 8) * 8;
  }
  return image;
}

function fixedValues(rows: readonly RowAt[], ordinal: number, physical: number): Uint8Array {
  if (physical === PHYSICAL_BOOL) {
    const bits = new Uint8Array(Math.ceil(rows.length / 8));
    rows.forEach(({ of, row }, index) => {
      if (of.columns[ordinal]?.fixed[row] === 1)
        bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
    });
    return bits;
  }
  const width = widthOf(physical);
  const values = new Uint8Array(rows.length * width);
  rows.forEach(({ of, row }, index) => {
    const { fixed } = must(of.columns[ordinal], "column");
    for (let byte = 0; byte < width; byte++)
      values[index * width + byte] = fixed[row * width + byte] ?? 0;
  });
  return values;
}

function textValues(rows: readonly RowAt[], ordinal: number) {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach(({ of, row }, index) => {
    offsets[index + 1] = (offsets[index] ?? 0) + (of.columns[ordinal]?.lengths[row] ?? 0);
  });
  const text = new Uint8Array(offsets[rows.length] ?? 0);
  rows.forEach(({ of, row }, index) => {
    const column = must(of.columns[ordinal], "column");
    const start = column.starts[row] ?? 0;
    text.set(column.text.subarray(start, start + (column.lengths[row] ?? 0)), offsets[index]);
  });
  return { offsets: new Uint8Array(offsets.buffer), text };
}

/** What tells a row from others: the bytes of its key columns (ordinals), NULL apart from every value. */
export function keyOf({ of, row }: RowAt, keys: readonly number[]): string {
  let key = "";
  for (const ordinal of keys) {
    const column = must(of.columns[ordinal], "key column");
    if (column.valid?.[row] === 0) {
      key += "-;";
      continue;
    }
    const width = fixedBytes(column.physical);
    const isText = column.physical === PHYSICAL_UTF8;
    const from = isText ? (column.starts[row] ?? 0) : row * width;
    const bytes = isText
      ? column.text.subarray(from, from + (column.lengths[row] ?? 0))
      : column.fixed.subarray(from, from + width);
    key += `${bytes.length}:${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")};`;
  }
  return key;
}

/** The 64-bit value of a row in a column of times. */
export function timeOf({ of, row }: RowAt, ordinal: number): bigint {
  const { fixed } = must(of.columns[ordinal], "time column");
  return new DataView(fixed.buffer, fixed.byteOffset + row * 8, 8).getBigInt64(0, true);
}
