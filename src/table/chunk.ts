// One column chunk: pages of one column of one row group, compressed as they come and held until the file is written. Decides
// between dictionary and plain pages (both may be in a chunk), keeps bounds and counts. Format:
// https://parquet.apache.org/docs/file-format/ (data page version 1, RLE_DICTIONARY, PLAIN, ZSTD).
import { PHYSICAL_I64, PHYSICAL_UTF8 } from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { physicalOf, type Column } from "../event/schema.ts";
import { PAGE_BYTES_MAX } from "../limits.ts";
import { joinBounds, NO_BOUNDS, numberBounds, textBounds, type Bounds } from "./bounds.ts";
import {
  encodeFixed,
  encodeText,
  pageBounds,
  pageRows,
  textPageBytes,
  widthOf,
  type PageRows,
  type ValueSlice,
} from "./page.ts";
import type { Dictionary, ExportRoom } from "./room.ts";
import { pagesOf, type Constant, type Slice } from "./stage.ts";
import { ThriftWriter } from "./thrift.ts";

/** Where a column of a file comes from: the batch image, a value per segment, or the row's ordinal in its record. */
export type ColumnSource =
  | { readonly from: "image"; readonly ordinal: number }
  | { readonly from: "constant"; readonly index: number }
  | { readonly from: "index" };

export interface FileColumn extends Column {
  readonly source: ColumnSource;
}

/** A finished chunk: its bytes in order, and what the footer says of it. */
export interface FinishedChunk {
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
  readonly uncompressedBytes: number;
  /** Bytes of the dictionary page, which comes first; 0 = none. */
  readonly dictionaryBytes: number;
  readonly plainPages: boolean;
  /** Rows, nulls included. */
  readonly rowCount: number;
  readonly nullCount: number;
  readonly nanCount: number;
  readonly bounds: Bounds;
}

const PAGE_DATA = 0;
const PAGE_DICTIONARY = 2;
const ENCODING_PLAIN_PAGE = 0;
const ENCODING_RLE = 3;
const ENCODING_RLE_DICTIONARY = 8;
const ZSTD_LEVEL = 1;
/** Records of at least this many rows that come without a dictionary were judged by decode: none pays. Smaller ones are tried here. */
const JUDGED_ROWS = 256;
const CODE_WIDTHS = [1, 2, 4, 8, 16, 24];

/** Bits of a code page: widths that fill bytes evenly, which compress better than odd ones. */
function codeWidth(entries: number): number {
  return must(
    CODE_WIDTHS.find((width) => 2 ** width >= entries),
    "width of dictionary codes",
  );
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  bytes.push(left);
  return bytes;
}

/** The pages of one column, from the first row of a row group to its last. */
export class ColumnChunk {
  readonly #room: ExportRoom;
  readonly #column: FileColumn;
  readonly #physical: number;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #uncompressedBytes = 0;
  #plainPages = false;
  #rowCount = 0;
  #nullCount = 0;
  #nanCount = 0;
  #bounds: Bounds = NO_BOUNDS;
  #dictionary: Dictionary | null = null;
  /** Rows in dictionary pages. */
  #codedRows = 0;
  #dictionaryPays = true;
  /** Values of run pages (constants) with their codes. */
  readonly #runCodes = new Map<Constant, number>();

  constructor(room: ExportRoom, column: FileColumn) {
    this.#room = room;
    this.#column = column;
    this.#physical = physicalOf(column.type);
  }

  /** Compressed bytes held so far. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /** Adds the rows as one page (several when strings are long). */
  add(slices: readonly Slice[]): void {
    const { source } = this.#column;
    if (source.from === "constant")
      return this.#addRuns(
        slices.map(({ segment, count }) => ({
          value: must(segment.constants[source.index], "constant of a segment"),
          count,
        })),
      );
    if (source.from === "index") return this.#addIndex(slices);
    if (this.#physical === PHYSICAL_UTF8) return this.#addText(slices, source.ordinal);
    if (this.#physical === PHYSICAL_I64 && !this.#column.nullable)
      if (slices.every(({ segment }) => segment.columns[source.ordinal]?.values === 0))
        return this.#addRuns(slices.map(({ count }) => ({ value: 0n, count })));
    return this.#addFixed(slices, source.ordinal);
  }

  /** Ends the chunk and gives its dictionary's memory back. */
  finish(): FinishedChunk {
    const dictionary = this.#finishDictionary();
    if (dictionary !== null) this.#parts.unshift(...dictionary);
    return {
      parts: this.#parts,
      bytes: this.#bytes,
      uncompressedBytes: this.#uncompressedBytes,
      dictionaryBytes: (dictionary ?? []).reduce((sum, part) => sum + part.length, 0),
      plainPages: this.#plainPages,
      rowCount: this.#rowCount,
      nullCount: this.#nullCount,
      nanCount: this.#nanCount,
      bounds: this.#bounds,
    };
  }

  #addFixed(slices: readonly Slice[], ordinal: number): void {
    const { nullable } = this.#column;
    const page = pageRows(this.#room, slices, { ordinal, nullable });
    const valuesMax = page.valueCount * widthOf(this.#physical) + Math.ceil(page.valueCount / 8);
    const at = this.#begin(page.levels, valuesMax);
    const values = at + page.levels.length;
    const bytes = encodeFixed(this.#room, this.#physical, page, values);
    this.#measure(values, page.valueCount);
    this.#endPlain(page, at, page.levels.length + bytes);
  }

  #addIndex(slices: readonly Slice[]): void {
    const rowCount = slices.reduce((sum, slice) => sum + slice.count, 0);
    const at = this.#begin(null, rowCount * 4);
    let to = at;
    for (const { rows, from, count } of slices) {
      this.#room.kernels.fillIndex(rows, from, count, to);
      to += count * 4;
    }
    this.#measure(at, rowCount);
    this.#endPlain({ rowCount, valueCount: rowCount }, at, rowCount * 4);
  }

  #addText(slices: readonly Slice[], ordinal: number): void {
    const { nullable } = this.#column;
    const page = pageRows(this.#room, slices, { ordinal, nullable });
    if (this.#mayPay(page) && this.#codePage(page)) return;
    const textBytes = textPageBytes(this.#room, page.values);
    if (textBytes > PAGE_BYTES_MAX && page.rowCount > 1) {
      for (const half of pagesOf(slices, Math.ceil(page.rowCount / 2)))
        this.#addText(half, ordinal);
      return;
    }
    const at = this.#begin(page.levels, textBytes);
    const values = at + page.levels.length;
    const bytes = encodeText(this.#room, page.values, values);
    this.#measure(values, page.valueCount);
    this.#endPlain(page, at, page.levels.length + bytes);
  }

  #mayPay(page: PageRows): boolean {
    if (!this.#dictionaryPays || page.valueCount === 0) return false;
    return (
      page.values.some(({ column }) => column.dictionary) ||
      page.valueCount / page.values.length < JUDGED_ROWS
    );
  }

  /** Writes a dictionary page; false when the dictionary is full: the rest of the chunk is plain. */
  #codePage(page: PageRows): boolean {
    const codes = this.#room.codes.atLeast(page.valueCount * 4);
    let at = codes;
    for (const values of page.values) {
      if (!this.#codeSlice(values, at)) {
        this.#dictionaryPays = false;
        return false;
      }
      at += values.count * 4;
    }
    const entries = this.#room.dictionaryEntries(must(this.#dictionary, "dictionary"));
    const width = codeWidth(entries);
    const to = this.#begin(page.levels, Math.ceil(page.valueCount / 8) * width + 16);
    const { kernels } = this.#room;
    const bytes = kernels.packCodes(codes, page.valueCount, width, to + page.levels.length);
    this.#nullCount += page.rowCount - page.valueCount;
    this.#codedRows += page.valueCount;
    this.#dictionaryPays = entries * 2 <= this.#codedRows + JUDGED_ROWS;
    this.#end(page.rowCount, ENCODING_RLE_DICTIONARY, this.#view(to, page.levels.length + bytes));
    return true;
  }

  /** Adds the strings of one segment to the dictionary, growing it as needed, and writes their codes. False when it is full. */
  #codeSlice({ column, rows, from, count }: ValueSlice, codes: number): boolean {
    const { kernels } = this.#room;
    const first = column.values || this.#room.zeros.atLeast(0);
    const { dictionaryOffsets, dictionaryEntries, text } = column;
    if (!column.dictionary)
      return this.#grow((dictionary) =>
        kernels.dictionaryAddRows(dictionary, first, text, rows, from, count, codes),
      );
    const used = this.#room.entryUsed.atLeast(dictionaryEntries);
    const map = this.#room.entryMap.atLeast(dictionaryEntries * 4);
    kernels.markUsed(first, dictionaryEntries, rows, from, count, used);
    const merged = this.#grow((dictionary) =>
      kernels.dictionaryMerge(dictionary, dictionaryOffsets, text, dictionaryEntries, used, map),
    );
    if (merged) kernels.mapCodes(first, map, rows, from, count, codes);
    return merged;
  }

  #grow(merge: (dictionary: number) => number): boolean {
    this.#dictionary ??= this.#room.takeDictionary();
    while (this.#dictionary !== null) {
      if (merge(this.#dictionary.address) !== 0) return true;
      const larger = this.#room.growDictionary(this.#dictionary);
      if (larger === null) return false;
      this.#dictionary = larger;
    }
    return false;
  }

  /** A page of values that repeat: RLE runs over a dictionary of their own. */
  #addRuns(runs: readonly { readonly value: Constant; readonly count: number }[]): void {
    let rowCount = 0;
    for (const { value, count } of runs) {
      rowCount += count;
      if (this.#runCodes.has(value)) continue;
      this.#runCodes.set(value, this.#runCodes.size);
      this.#bounds = joinBounds(this.#bounds, constantBounds(value));
    }
    const width = codeWidth(this.#runCodes.size);
    const bytes = [width];
    for (const { value, count } of runs) {
      const code = must(this.#runCodes.get(value), "code of a run");
      bytes.push(...varint(count * 2));
      for (let shift = 0; shift < width; shift += 8) bytes.push((code >> shift) & 0xff);
    }
    const levels = this.#column.nullable ? [...levelRun(rowCount)] : [];
    this.#codedRows += rowCount;
    this.#end(rowCount, ENCODING_RLE_DICTIONARY, Uint8Array.from([...levels, ...bytes]));
  }

  #finishDictionary(): readonly Uint8Array[] | null {
    const dictionary = this.#dictionary;
    this.#dictionary = null;
    try {
      if (this.#codedRows === 0) return null;
      if (dictionary === null) {
        const values = [...this.#runCodes.keys()].map(plainConstant);
        return this.#compress(PAGE_DICTIONARY, values.length, Buffer.concat(values));
      }
      const entries = this.#room.dictionaryEntries(dictionary);
      const text = this.#room.dictionaryText(dictionary);
      this.#measure(text.address, entries);
      return this.#compress(PAGE_DICTIONARY, entries, this.#view(text.address, text.bytes));
    } finally {
      if (dictionary !== null) this.#room.giveDictionary(dictionary);
    }
  }

  /** Takes room for a page and writes its levels; returns the page's address. */
  #begin(levels: Uint8Array | null, valueBytesMax: number): number {
    const bytes = (levels?.length ?? 0) + valueBytesMax;
    const at = this.#room.page.atLeast(bytes);
    if (levels !== null) this.#view(at, levels.length).set(levels);
    return at;
  }

  #measure(values: number, count: number): void {
    const { bounds, nanCount } = pageBounds(this.#room, this.#physical, values, count);
    this.#bounds = joinBounds(this.#bounds, bounds);
    this.#nanCount += nanCount;
  }

  #endPlain(
    page: { readonly rowCount: number; readonly valueCount: number },
    at: number,
    bytes: number,
  ): void {
    this.#plainPages = true;
    this.#nullCount += page.rowCount - page.valueCount;
    this.#end(page.rowCount, ENCODING_PLAIN_PAGE, this.#view(at, bytes));
  }

  #end(rowCount: number, encoding: number, content: Uint8Array): void {
    assert(rowCount > 0, "a page has rows");
    this.#rowCount += rowCount;
    this.#parts.push(...this.#compress(PAGE_DATA, rowCount, content, encoding));
  }

  /** Header and compressed content of a page. */
  #compress(
    type: number,
    valueCount: number,
    content: Uint8Array,
    encoding = ENCODING_PLAIN_PAGE,
  ): readonly Uint8Array[] {
    const compressed = Bun.zstdCompressSync(content, {
      level: ZSTD_LEVEL,
    });
    const header = new ThriftWriter();
    header.open();
    header.i32(1, type);
    header.i32(2, content.length);
    header.i32(3, compressed.length);
    header.open(type === PAGE_DATA ? 5 : 7);
    header.i32(1, valueCount);
    header.i32(2, encoding);
    if (type === PAGE_DATA) {
      header.i32(3, ENCODING_RLE);
      header.i32(4, ENCODING_RLE);
    }
    header.close();
    header.close();
    const head = header.finish();
    this.#bytes += head.length + compressed.length;
    this.#uncompressedBytes += head.length + content.length;
    return [head, compressed];
  }

  #view(address: number, bytes: number): Uint8Array {
    return this.#room.bytes(address, bytes);
  }
}

/** Definition levels of rows that are all valid: u32 length, one run of 1. */
function levelRun(rowCount: number): number[] {
  const run = [...varint(rowCount * 2), 1];
  return [run.length, 0, 0, 0, ...run];
}

function constantBounds(value: Constant): Bounds {
  if (typeof value === "bigint") return numberBounds(value, value);
  const bytes = Buffer.from(value, "utf8");
  return textBounds(bytes, bytes);
}

function plainConstant(value: Constant): Uint8Array {
  if (typeof value === "bigint") {
    const out = new DataView(new ArrayBuffer(8));
    out.setBigInt64(0, value, true);
    return new Uint8Array(out.buffer);
  }
  const bytes = Buffer.from(value, "utf8");
  const out = new Uint8Array(4 + bytes.length);
  new DataView(out.buffer).setUint32(0, bytes.length, true);
  out.set(bytes, 4);
  return out;
}
