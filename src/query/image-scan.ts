// Verb: batch images -> DuckDB vectors, without making a JavaScript value of any cell. Owns the layouts of both sides; where images
// come from is the caller's.
import { ENCODING_PLAIN, PHYSICAL_BOOL, PHYSICAL_UTF8 } from "../../kernels/abi.ts";
import { addressOf } from "../base/address.ts";
import { must } from "../base/assert.ts";
import type { RawReader, RawScan, RawVectors } from "../base/duckdb.ts";
import { ImageError, type ColumnParts } from "../event/image.ts";
import { sqlTypeText, type SqlType } from "../event/schema.ts";
import type { BatchImage } from "./batch-image.ts";
import type { KnownNeedle } from "./needles.ts";

/** An image and what its rows have in common. */
export interface ImageBatch {
  readonly image: BatchImage;
  /** Values of `fixed` columns: bigint for BIGINT and TIMESTAMPTZ, text for VARCHAR. */
  readonly fixed: readonly (bigint | string)[];
}

/** Where a column of the scan comes from: the image, a value of the whole batch, or the row's ordinal in it (INTEGER). */
export type ImageColumnSource =
  | { readonly from: "image"; readonly ordinal: number }
  | { readonly from: "fixed"; readonly index: number }
  | { readonly from: "ordinal" };

export interface ImageScanColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly source: ImageColumnSource;
}

/** Vector layout of DuckDB's VARCHAR: u32 length, then 12 bytes of text, or 4 bytes of it and a 64-bit address. */
const HEADER_BYTES = 16;
const INLINE_BYTES_MAX = 12;
const CHUNK_ROWS_MAX = 2048;

/** A run of rows of one batch and where they go in the chunk. */
interface Segment {
  readonly cursor: BatchCursor;
  readonly from: number;
  readonly count: number;
  readonly at: number;
}

/** Bytes of one value in DuckDB's vector. */
function widthOf(type: SqlType): number {
  switch (type.kind) {
    case "BOOLEAN":
      return 1;
    case "INTEGER":
    case "DATE":
    case "FLOAT":
      return 4;
    case "VARCHAR":
      return HEADER_BYTES;
    case "DECIMAL":
      if (type.precision <= 4) return 2;
      if (type.precision <= 9) return 4;
      return type.precision <= 18 ? 8 : 16;
    default:
      return 8;
  }
}

/** The batch being read: its dictionaries and common texts as string headers. */
class BatchCursor {
  readonly batch: ImageBatch;
  readonly image: BatchImage;
  readonly #entries = new Map<number, Uint32Array>();
  readonly #common = new Map<
    string,
    { readonly bytes: Uint8Array; readonly header: Uint32Array }
  >();

  constructor(batch: ImageBatch) {
    this.batch = batch;
    this.image = batch.image;
  }

  /** String header of a text that all rows share. */
  commonHeader(text: string): Uint32Array {
    const known = this.#common.get(text);
    if (known !== undefined) return known.header;
    const encoded = new TextEncoder().encode(text);
    // A buffer of its own: small views of Node's pool would share one that others write to.
    const bytes = new Uint8Array(new ArrayBuffer(encoded.byteLength));
    bytes.set(encoded);
    const header = new Uint32Array(4);
    writeHeader(bytes, 0, {
      length: bytes.byteLength,
      address: addressOf(bytes),
      to: header,
      header: 0,
    });
    this.#common.set(text, { bytes, header });
    return header;
  }

  /** String headers of a dictionary's entries. */
  entries(ordinal: number, parts: ColumnParts): Uint32Array {
    const known = this.#entries.get(ordinal);
    if (known !== undefined) return known;
    const headers = new Uint32Array(parts.dictCount * 4);
    writeHeaders(this, parts, {
      offsetsAt: parts.dictOffsetsAt,
      from: 0,
      count: parts.dictCount,
      to: headers,
      at: 0,
    });
    this.#entries.set(ordinal, headers);
    return headers;
  }
}

/** String headers of `count` texts from the `from`-th of consecutive int32 offsets, to the `at`-th header of `to`. */
function writeHeaders(
  cursor: BatchCursor,
  parts: ColumnParts,
  run: { offsetsAt: number; from: number; count: number; to: Uint32Array; at: number },
): void {
  const { view, textAt, textBytes } = parts;
  const base = cursor.image.address() + textAt;
  const { offsetsAt, to } = run;
  for (let index = 0; index < run.count; index++) {
    const offset = offsetsAt + (run.from + index) * 4;
    const begin = view.getInt32(offset, true);
    const length = view.getInt32(offset + 4, true) - begin;
    if (begin < 0 || length < 0 || begin + length > textBytes)
      throw new ImageError("batch image: text offsets are not in order");
    const target = { length, address: base + begin, to, header: (run.at + index) * 4 };
    writeHeader(cursor.image.bytes, textAt + begin, target);
  }
}

/** The header of the text at `from`, whose address in memory is `address`: up to 12 bytes of it inline with zeros behind. */
function writeHeader(
  bytes: Uint8Array,
  from: number,
  target: { length: number; address: number; to: Uint32Array; header: number },
): void {
  const { length, address, to, header } = target;
  to[header] = length;
  const inline = length <= INLINE_BYTES_MAX;
  for (let word = 0; word < (inline ? 3 : 1); word++) {
    let value = 0;
    for (let byte = 0; byte < 4; byte++) {
      const index = word * 4 + byte;
      if (index < length) value |= (bytes[from + index] ?? 0) << (byte * 8);
    }
    to[header + 1 + word] = value;
  }
  if (inline) return;
  to[header + 2] = address >>> 0;
  to[header + 3] = Math.floor(address / 2 ** 32);
}

/** Scratch for one chunk of one column, read by DuckDB right after it is written. */
class Scratch {
  readonly buffer = new ArrayBuffer(CHUNK_ROWS_MAX * HEADER_BYTES);
  readonly u8 = new Uint8Array(this.buffer);
  readonly i16 = new Int16Array(this.buffer);
  readonly u32 = new Uint32Array(this.buffer);
  readonly i64 = new BigInt64Array(this.buffer);
  readonly validity = new ArrayBuffer(CHUNK_ROWS_MAX / 8);
  readonly validityBits = new Uint8Array(this.validity);
}

/** Dictionary codes or plain texts of a segment as string headers. */
function writeTexts(ordinal: number, parts: ColumnParts, segment: Segment, scratch: Scratch): void {
  const { cursor, from, count, at } = segment;
  const { view, valuesAt } = parts;
  if (parts.encoding === ENCODING_PLAIN) {
    if (valuesAt === 0) scratch.u32.fill(0, at * 4, (at + count) * 4);
    else writeHeaders(cursor, parts, { offsetsAt: valuesAt, from, count, to: scratch.u32, at });
    return;
  }
  const entries = cursor.entries(ordinal, parts);
  const { u32 } = scratch;
  for (let row = 0; row < count; row++) {
    const code = valuesAt === 0 ? 0 : view.getUint32(valuesAt + (from + row) * 4, true);
    if (code >= parts.dictCount) throw new ImageError("batch image: code without an entry");
    const source = code * 4;
    const target = (at + row) * 4;
    u32[target] = entries[source] ?? 0;
    u32[target + 1] = entries[source + 1] ?? 0;
    u32[target + 2] = entries[source + 2] ?? 0;
    u32[target + 3] = entries[source + 3] ?? 0;
  }
}

/** DECIMALs up to 9 digits are narrower in DuckDB than in an image: their low words. */
function writeNarrow(parts: ColumnParts, width: number, segment: Segment, scratch: Scratch): void {
  const { view, valuesAt } = parts;
  for (let row = 0; row < segment.count; row++) {
    const value = view.getInt32(valuesAt + (segment.from + row) * 8, true);
    if (width === 2) scratch.i16[segment.at + row] = value;
    else scratch.u32[segment.at + row] = value;
  }
}

function writeValues(
  column: ImageScanColumn,
  ordinal: number,
  segment: Segment,
  scratch: Scratch,
): void {
  const { cursor, from, count, at } = segment;
  const parts = cursor.image.parts(ordinal, column.type);
  if (parts.physical === PHYSICAL_UTF8) return writeTexts(ordinal, parts, segment, scratch);
  const width = widthOf(column.type);
  const { valuesAt, view } = parts;
  if (valuesAt === 0) {
    scratch.u8.fill(0, at * width, (at + count) * width);
    return undefined;
  }
  if (parts.physical === PHYSICAL_BOOL) {
    for (let row = from; row < from + count; row++)
      scratch.u8[at + row - from] = (view.getUint8(valuesAt + (row >> 3)) >> (row & 7)) & 1;
    return undefined;
  }
  if (column.type.kind === "DECIMAL" && width < 8)
    return writeNarrow(parts, width, segment, scratch);
  const begin = valuesAt + from * width;
  scratch.u8.set(cursor.image.bytes.subarray(begin, begin + count * width), at * width);
  return undefined;
}

/** Validity bits of a segment. False when all of it is valid (and nothing was written). */
function writeValidity(parts: ColumnParts, segment: Segment, bits: Uint8Array): boolean {
  if (parts.validityAt === 0) return false;
  for (let row = 0; row < segment.count; row++) {
    const from = segment.from + row;
    if (((parts.view.getUint8(parts.validityAt + (from >> 3)) >> (from & 7)) & 1) === 1) continue;
    const to = segment.at + row;
    bits[to >> 3] = (bits[to >> 3] ?? 0) & ~(1 << (to & 7));
  }
  return true;
}

/** A pass over batches: each row once, whichever reader asks. */
class ImagePass {
  readonly #batches: Iterator<ImageBatch>;
  #cursor: BatchCursor | null = null;
  #row = 0;

  constructor(batches: Iterator<ImageBatch>) {
    this.#batches = batches;
  }

  /** The next rows, from as many batches as fill a chunk: single-event records would otherwise make chunks of one row. */
  segments(rowsMax: number): Segment[] {
    const segments: Segment[] = [];
    let at = 0;
    while (at < rowsMax) {
      if (this.#cursor === null || this.#row === this.#cursor.image.rowCount) {
        const { value, done } = this.#batches.next();
        if (done === true) break;
        this.#cursor = new BatchCursor(value);
        this.#row = 0;
        continue;
      }
      const count = Math.min(rowsMax - at, this.#cursor.image.rowCount - this.#row);
      segments.push({ cursor: this.#cursor, from: this.#row, count, at });
      this.#row += count;
      at += count;
    }
    return segments;
  }
}

class ImageReader implements RawReader {
  readonly #columns: readonly ImageScanColumn[];
  readonly #pass: ImagePass;
  readonly #scratch = new Scratch();
  /** What DuckDB's strings point into: of the chunk being worked on, and of the one before. */
  #held: readonly (readonly Segment[])[] = [];

  constructor(columns: readonly ImageScanColumn[], pass: ImagePass) {
    this.#columns = columns;
    this.#pass = pass;
  }

  next(vectors: RawVectors, rowsMax: number): number {
    const segments = this.#pass.segments(Math.min(rowsMax, CHUNK_ROWS_MAX));
    this.#held = [...this.#held.slice(-1), segments];
    const last = segments.at(-1);
    if (last === undefined) return 0;
    const rowCount = last.at + last.count;
    for (const [index, column] of this.#columns.entries()) {
      const { source } = column;
      if (source.from === "image")
        this.#writeImageColumn(vectors, { index, ordinal: source.ordinal, rowCount }, segments);
      else {
        for (const segment of segments) this.#writeCommon(column, segment);
        vectors.values(index, this.#scratch.buffer, rowCount * widthOf(column.type));
      }
    }
    return rowCount;
  }

  #writeImageColumn(
    vectors: RawVectors,
    target: { index: number; ordinal: number; rowCount: number },
    segments: readonly Segment[],
  ): void {
    const column = must(this.#columns[target.index], "column");
    const { validity, validityBits, buffer } = this.#scratch;
    validityBits.fill(0xff);
    let hasNulls = false;
    for (const segment of segments) {
      writeValues(column, target.ordinal, segment, this.#scratch);
      const parts = segment.cursor.image.parts(target.ordinal, column.type);
      if (writeValidity(parts, segment, validityBits)) hasNulls = true;
    }
    vectors.values(target.index, buffer, target.rowCount * widthOf(column.type));
    if (hasNulls) vectors.validity(target.index, validity, Math.ceil(target.rowCount / 64) * 8);
  }

  /** A value of the whole batch, or the rows' ordinals. */
  #writeCommon(column: ImageScanColumn, segment: Segment): void {
    const { source } = column;
    const { from, count, at } = segment;
    if (source.from === "ordinal") {
      for (let row = 0; row < count; row++) this.#scratch.u32[at + row] = from + row;
      return;
    }
    const value = source.from === "fixed" ? segment.cursor.batch.fixed[source.index] : undefined;
    if (typeof value === "bigint") {
      this.#scratch.i64.fill(value, at, at + count);
      return;
    }
    const header = at * 4;
    this.#scratch.u32.set(segment.cursor.commonHeader(must(value, "value of the batch")), header);
    for (let row = 1; row < count; row++)
      this.#scratch.u32.copyWithin(header + row * 4, header, header + 4);
  }
}

/** Which batches a scan is over. */
export interface ImageBatches {
  /** About how many rows there are, for the planner. */
  readonly rowCount: number;
  /** Only rows that have these texts count: batches without one of them are passed over. */
  readonly needles: readonly KnownNeedle[];
  /** Begins a new pass each time. */
  readonly batches: () => Iterable<ImageBatch>;
}

/** Batches that may hold all needles. */
function* withNeedles(
  columns: readonly ImageScanColumn[],
  { batches, needles }: ImageBatches,
): Generator<ImageBatch> {
  const wanted = needles.flatMap(({ column: name, text }) => {
    const column = columns.find((each) => each.name.toLowerCase() === name);
    return column?.source.from === "image"
      ? [{ ordinal: column.source.ordinal, type: column.type, text }]
      : [];
  });
  for (const batch of batches())
    if (wanted.every(({ ordinal, type, text }) => batch.image.mayHold(ordinal, type, text)))
      yield batch;
}

/** A scan over images. */
export function imageScan(columns: readonly ImageScanColumn[], of: ImageBatches): RawScan {
  return {
    columns: columns.map(({ name, type }) => ({ name, type: sqlTypeText(type) })),
    rowCount: of.rowCount,
    start: (ordinals) => {
      const pass = new ImagePass(withNeedles(columns, of));
      const asked = ordinals.map((ordinal) => must(columns[ordinal], "column"));
      return () => new ImageReader(asked, pass);
    },
  };
}
