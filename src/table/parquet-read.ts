// Reads the Parquet files that chunk.ts and parquet-file.ts write, whole, into columns in memory: what copy-on-write keeps of a file. Not a
// general reader: one column per leaf, data pages version 1, ZSTD, PLAIN and RLE_DICTIONARY, as those files have them.
import { PHYSICAL_BOOL, PHYSICAL_I128, PHYSICAL_UTF8 } from "../../kernels/abi.ts";
import { physicalOf, type Column } from "../event/schema.ts";
import { widthOf } from "./page.ts";
import {
  fixedBytes,
  fixedColumn,
  textColumn,
  type RowColumn,
  type RowColumns,
} from "./row-columns.ts";
import {
  numberIn,
  structIn,
  structsIn,
  ThriftError,
  ThriftReader,
  type ThriftStruct,
} from "./thrift-reader.ts";

/** The file is not one of ours, or damaged. */
export class ParquetError extends Error {
  override readonly name = "ParquetError";
}

const TAIL_BYTES = 8;
const PAGE_DICTIONARY = 2;
const ENCODING_PLAIN = 0;

function footerOf(file: Uint8Array): ThriftStruct {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = file.length < TAIL_BYTES ? -1 : view.getUint32(file.length - TAIL_BYTES, true);
  if (length < 0 || length > file.length - TAIL_BYTES)
    throw new ParquetError("the footer is not whole");
  return new ThriftReader(file, file.length - TAIL_BYTES - length).struct();
}

/** The rows of a file; `columns` are the table's, in the order in which the file has them. Throws ParquetError. */
export function readParquet(file: Uint8Array, columns: readonly Column[]): RowColumns {
  try {
    const footer = footerOf(file);
    const groups = structsIn(footer, 4);
    const rowCount = numberIn(footer, 3);
    return {
      rowCount,
      columns: columns.map((column, ordinal) => {
        const read = new ColumnReader(file, column, rowCount);
        for (const group of groups) {
          const chunk = structsIn(group, 1)[ordinal];
          if (chunk === undefined) throw new ParquetError(`column ${column.name} is not there`);
          read.chunk(structIn(chunk, 3));
        }
        return read.finish();
      }),
    };
  } catch (cause) {
    if (cause instanceof ThriftError) throw new ParquetError(cause.message, { cause });
    throw cause;
  }
}

/** Values as they lie in a decompressed page. */
interface Page {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** One column of a file, chunk by chunk, into buffers of as many rows as the file has. */
class ColumnReader {
  readonly #file: Uint8Array;
  readonly #name: string;
  readonly #nullable: boolean;
  readonly #physical: number;
  readonly #width: number;
  readonly #rows: number;
  #done = 0;
  #nulls = 0;
  readonly #valid: Uint8Array;
  readonly #fixed: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #lengths: Uint32Array;
  /** Text of pages, one behind the other. */
  readonly #texts: Uint8Array[] = [];
  #textBytes = 0;

  constructor(file: Uint8Array, column: Column, rows: number) {
    this.#file = file;
    this.#name = column.name;
    this.#nullable = column.nullable;
    this.#physical = physicalOf(column.type);
    this.#width = fixedBytes(this.#physical);
    this.#rows = rows;
    const isText = this.#physical === PHYSICAL_UTF8;
    this.#valid = new Uint8Array(rows).fill(1);
    this.#fixed = new Uint8Array(isText ? 0 : rows * this.#width);
    this.#starts = new Uint32Array(isText ? rows : 0);
    this.#lengths = new Uint32Array(isText ? rows : 0);
  }

  finish(): RowColumn {
    if (this.#done !== this.#rows)
      throw new ParquetError(`column ${this.#name} has ${this.#done} rows, not ${this.#rows}`);
    const valid = this.#nulls === 0 ? null : this.#valid;
    if (this.#physical !== PHYSICAL_UTF8) return fixedColumn(this.#physical, valid, this.#fixed);
    const text = new Uint8Array(this.#textBytes);
    let at = 0;
    for (const part of this.#texts) {
      text.set(part, at);
      at += part.length;
    }
    return textColumn(valid, { starts: this.#starts, lengths: this.#lengths, text });
  }

  /** The pages of one chunk, by its metadata. */
  chunk(metadata: ThriftStruct): void {
    const end = this.#done + numberIn(metadata, 5);
    let at = metadata.has(11) ? numberIn(metadata, 11) : numberIn(metadata, 9);
    let dictionary: Values | null = null;
    while (this.#done < end) {
      const reader = new ThriftReader(this.#file, at);
      const header = reader.struct();
      const body = reader.position;
      at = body + numberIn(header, 3);
      const page = { bytes: Bun.zstdDecompressSync(this.#file.subarray(body, at)), at: 0 };
      if (numberIn(header, 1) === PAGE_DICTIONARY)
        dictionary = this.#plain(page, numberIn(structIn(header, 7), 1));
      else this.#data(page, structIn(header, 5), dictionary);
    }
  }

  #data(page: Page, header: ThriftStruct, dictionary: Values | null): void {
    const rows = numberIn(header, 1);
    let { at } = page;
    let valid: Uint32Array | null = null;
    if (this.#nullable) {
      const levelBytes = new DataView(page.bytes.buffer, page.bytes.byteOffset).getUint32(0, true);
      valid = runs(page.bytes.subarray(4, 4 + levelBytes), 1, rows);
      at = 4 + levelBytes;
    }
    let count = 0;
    for (let row = 0; row < rows; row++) count += valid === null ? 1 : (valid[row] ?? 0);
    if (numberIn(header, 2) === ENCODING_PLAIN) {
      const values = this.#plain({ bytes: page.bytes, at }, count);
      this.#put(rows, valid, (value) => this.#copy(values, value));
      return;
    }
    if (dictionary === null) throw new ParquetError(`column ${this.#name} has no dictionary`);
    const codes = runs(page.bytes.subarray(at + 1), page.bytes[at] ?? 0, count);
    this.#put(rows, valid, (value) => this.#copy(dictionary, codes[value] ?? 0));
  }

  /** Calls `take` with the number of each value that is not null; it puts it in the row at hand. */
  #put(rows: number, valid: Uint32Array | null, take: (value: number) => void): void {
    let value = 0;
    for (let row = 0; row < rows; row++) {
      if (valid?.[row] === 0) {
        this.#valid[this.#done] = 0;
        this.#nulls++;
      } else take(value++);
      this.#done++;
    }
  }

  #copy(values: Values, index: number): void {
    const row = this.#done;
    if (this.#physical === PHYSICAL_UTF8) {
      this.#starts[row] = values.starts[index] ?? 0;
      this.#lengths[row] = values.lengths[index] ?? 0;
      return;
    }
    const width = this.#width;
    for (let byte = 0; byte < width; byte++)
      this.#fixed[row * width + byte] = values.fixed[index * width + byte] ?? 0;
  }

  /** `count` values in PLAIN encoding. */
  #plain({ bytes, at }: Page, count: number): Values {
    if (this.#physical === PHYSICAL_UTF8) return this.#plainText(bytes, at, count);
    const fixed = new Uint8Array(count * this.#width);
    const width = widthOf(this.#physical);
    if (this.#physical === PHYSICAL_BOOL)
      for (let value = 0; value < count; value++)
        fixed[value] = ((bytes[at + (value >> 3)] ?? 0) >> (value & 7)) & 1;
    else if (this.#physical === PHYSICAL_I128)
      for (let value = 0; value < count; value++)
        fixed.set(bytes.subarray(at + value * 16, at + value * 16 + 16).toReversed(), value * 16);
    else fixed.set(bytes.subarray(at, at + count * width));
    return { ...NO_TEXT, fixed };
  }

  #plainText(bytes: Uint8Array, from: number, count: number): Values {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const starts = new Uint32Array(count);
    const lengths = new Uint32Array(count);
    let at = from;
    for (let value = 0; value < count; value++) {
      const length = view.getUint32(at, true);
      starts[value] = this.#textBytes + at + 4;
      lengths[value] = length;
      at += 4 + length;
    }
    this.#texts.push(bytes.subarray(0, at));
    this.#textBytes += at;
    return { fixed: new Uint8Array(0), starts, lengths };
  }
}

interface Values {
  readonly fixed: Uint8Array;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
}

const NO_TEXT = { starts: new Uint32Array(0), lengths: new Uint32Array(0) };

/** `count` numbers of `width` bits in Parquet's hybrid of runs and packed bits. */
function runs(bytes: Uint8Array, width: number, count: number): Uint32Array {
  const values = new Uint32Array(count);
  const valueBytes = Math.ceil(width / 8);
  let at = 0;
  let done = 0;
  while (done < count) {
    let head = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new ParquetError("runs end before their values");
      head += (byte & 127) * scale;
      if (byte < 128) break;
    }
    if (head % 2 === 0) {
      let value = 0;
      for (let byte = valueBytes - 1; byte >= 0; byte--)
        value = value * 256 + (bytes[at + byte] ?? 0);
      at += valueBytes;
      const end = Math.min(count, done + head / 2);
      values.fill(value, done, end);
      done = end;
      continue;
    }
    const packed = Math.min(count - done, Math.floor(head / 2) * 8);
    for (let index = 0; index < packed; index++)
      values[done + index] = packedAt(bytes, at, index * width, width);
    at += Math.floor(head / 2) * width;
    done += packed;
  }
  return values;
}

/** The number of `width` bits that begins `bit` bits behind byte `at`, lowest bits first. */
function packedAt(bytes: Uint8Array, at: number, bit: number, width: number): number {
  let value = 0;
  for (let taken = 0; taken < width;) {
    const from = bit + taken;
    const here = Math.min(8 - (from & 7), width - taken);
    const part = ((bytes[at + (from >> 3)] ?? 0) >> (from & 7)) & ((1 << here) - 1);
    value += part * 2 ** taken;
    taken += here;
  }
  return value;
}
