// One Parquet file being built in memory: row groups of column chunks, then the footer. Knows Parquet's footer and nothing of disks,
// days or epochs. Format: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
import { unreachable } from "../base/assert.ts";
import type { SqlType } from "../event/schema.ts";
import { PAGE_ROWS_MAX, ROW_GROUP_ROWS } from "../limits.ts";
import { joinBounds, NO_BOUNDS, parquetBound, type Bounds } from "./bounds.ts";
import { ColumnChunk, type FileColumn, type FinishedChunk } from "./chunk.ts";
import type { ExportRoom } from "./room.ts";
import { pagesOf, type Slice } from "./stage.ts";
import { THRIFT_BINARY, THRIFT_I32, THRIFT_STRUCT, ThriftWriter } from "./thrift.ts";

/** What Iceberg's manifest says of one column of a file. */
export interface ColumnSummary {
  readonly fieldId: number;
  readonly type: SqlType;
  readonly bytes: number;
  readonly valueCount: number;
  readonly nullCount: number;
  readonly nanCount: number;
  readonly bounds: Bounds;
}

/** A finished file: its bytes in order. */
export interface FinishedFile {
  readonly parts: readonly Uint8Array[];
  readonly rowCount: number;
  readonly columns: readonly ColumnSummary[];
  /** Offsets at which row groups begin. */
  readonly splitOffsets: readonly number[];
}

interface RowGroup {
  readonly rowCount: number;
  readonly offset: number;
  readonly chunks: readonly { readonly chunk: FinishedChunk; readonly offset: number }[];
}

const MAGIC = Buffer.from("PAR1");
const CREATED_BY = "millrace version 1";
/** parquet.thrift: enum Type */
const TYPES: Readonly<Record<SqlType["kind"], number>> = {
  BOOLEAN: 0,
  INTEGER: 1,
  DATE: 1,
  BIGINT: 2,
  TIMESTAMPTZ: 2,
  FLOAT: 4,
  DOUBLE: 5,
  VARCHAR: 6,
  DECIMAL: 2,
};
const TYPE_FIXED = 7;
const CODEC_ZSTD = 6;

function parquetType(type: SqlType): number {
  return type.kind === "DECIMAL" && type.precision > 18 ? TYPE_FIXED : TYPES[type.kind];
}

/** A Parquet file. Rows come in slices of staged segments; pages are compressed at once and held until `finish`. */
export class ParquetFile {
  readonly #room: ExportRoom;
  readonly #columns: readonly FileColumn[];
  #chunks: ColumnChunk[];
  #groupRows = 0;
  readonly #groups: RowGroup[] = [];
  readonly #parts: Uint8Array[] = [MAGIC];
  #offset = MAGIC.length;
  #rowCount = 0;

  constructor(room: ExportRoom, columns: readonly FileColumn[]) {
    this.#room = room;
    this.#columns = columns;
    this.#chunks = this.#newChunks();
  }

  /** Compressed bytes held. */
  get heldBytes(): number {
    return this.#offset + this.#chunks.reduce((sum, chunk) => sum + chunk.heldBytes, 0);
  }

  /** Adds rows as pages to every column. */
  add(slices: readonly Slice[]): void {
    for (const page of pagesOf(slices, PAGE_ROWS_MAX)) {
      for (const chunk of this.#chunks) chunk.add(page);
      const rows = page.reduce((sum, slice) => sum + slice.count, 0);
      this.#groupRows += rows;
      this.#rowCount += rows;
      if (this.#groupRows >= ROW_GROUP_ROWS) this.#endGroup();
    }
  }

  /** Ends the file. It takes no more rows. */
  finish(): FinishedFile {
    if (this.#groupRows > 0) this.#endGroup();
    const footer = this.#footer();
    const tail = new Uint8Array(8);
    new DataView(tail.buffer).setUint32(0, footer.length, true);
    tail.set(MAGIC, 4);
    return {
      parts: [...this.#parts, footer, tail],
      rowCount: this.#rowCount,
      columns: this.#columns.map((column, index) => this.#summary(column, index)),
      splitOffsets: this.#groups.map((group) => group.offset),
    };
  }

  #newChunks(): ColumnChunk[] {
    return this.#columns.map((column) => new ColumnChunk(this.#room, column));
  }

  #endGroup(): void {
    const offset = this.#offset;
    const chunks = this.#chunks.map((open) => {
      const chunk = open.finish();
      const start = this.#offset;
      for (const part of chunk.parts) this.#parts.push(part);
      this.#offset += chunk.bytes;
      return { chunk, offset: start };
    });
    this.#groups.push({ rowCount: this.#groupRows, offset, chunks });
    this.#groupRows = 0;
    this.#chunks = this.#newChunks();
  }

  #summary(column: FileColumn, index: number): ColumnSummary {
    let bounds: Bounds = NO_BOUNDS;
    let [bytes, valueCount, nullCount, nanCount] = [0, 0, 0, 0];
    for (const group of this.#groups) {
      const chunk = group.chunks[index]?.chunk;
      if (chunk === undefined) continue;
      bounds = joinBounds(bounds, chunk.bounds);
      bytes += chunk.bytes;
      valueCount += chunk.rowCount;
      nullCount += chunk.nullCount;
      nanCount += chunk.nanCount;
    }
    const { fieldId, type } = column;
    return { fieldId, type, bytes, valueCount, nullCount, nanCount, bounds };
  }

  #footer(): Uint8Array {
    const out = new ThriftWriter();
    out.open();
    out.i32(1, 2);
    out.list(2, THRIFT_STRUCT, this.#columns.length + 1);
    out.open();
    out.binary(4, "table");
    out.i32(5, this.#columns.length);
    out.close();
    for (const column of this.#columns) writeSchemaElement(out, column);
    out.i64(3, this.#rowCount);
    out.list(4, THRIFT_STRUCT, this.#groups.length);
    for (const [index, group] of this.#groups.entries()) this.#writeGroup(out, group, index);
    out.binary(6, CREATED_BY);
    // column orders: TypeDefinedOrder for every column, without which min_value and max_value are ignored
    out.list(7, THRIFT_STRUCT, this.#columns.length);
    for (let i = 0; i < this.#columns.length; i++) {
      out.open();
      out.open(1);
      out.close();
      out.close();
    }
    out.close();
    return out.finish();
  }

  #writeGroup(out: ThriftWriter, group: RowGroup, ordinal: number): void {
    let [uncompressed, compressed] = [0, 0];
    out.open();
    out.list(1, THRIFT_STRUCT, group.chunks.length);
    for (const [index, { chunk, offset }] of group.chunks.entries()) {
      const column = this.#columns[index];
      if (column === undefined) continue;
      uncompressed += chunk.uncompressedBytes;
      compressed += chunk.bytes;
      out.open();
      out.i64(2, 0);
      writeChunkMetadata(out, column, { chunk, offset });
      out.close();
    }
    out.i64(2, uncompressed);
    out.i64(3, group.rowCount);
    out.i64(5, group.offset);
    out.i64(6, compressed);
    out.i16(7, ordinal);
    out.close();
  }
}

function writeChunkMetadata(
  out: ThriftWriter,
  column: FileColumn,
  { chunk, offset }: { readonly chunk: FinishedChunk; readonly offset: number },
): void {
  const encodings = [
    ...(chunk.plainPages || chunk.dictionaryBytes > 0 ? [0] : []),
    3,
    ...(chunk.dictionaryBytes > 0 ? [8] : []),
  ];
  out.open(3);
  out.i32(1, parquetType(column.type));
  out.list(2, THRIFT_I32, encodings.length);
  for (const encoding of encodings) out.i32Element(encoding);
  out.list(3, THRIFT_BINARY, 1);
  out.binaryElement(column.name);
  out.i32(4, CODEC_ZSTD);
  out.i64(5, chunk.rowCount);
  out.i64(6, chunk.uncompressedBytes);
  out.i64(7, chunk.bytes);
  out.i64(9, offset + chunk.dictionaryBytes);
  if (chunk.dictionaryBytes > 0) out.i64(11, offset);
  const { low, high } = chunk.bounds;
  out.open(12);
  out.i64(3, chunk.nullCount);
  if (chunk.nanCount === 0) {
    if (high !== null) out.binary(5, parquetBound(column.type, high.value));
    if (low !== null) out.binary(6, parquetBound(column.type, low.value));
    if (high !== null) out.bool(7, high.exact);
    if (low !== null) out.bool(8, low.exact);
  }
  out.close();
  out.close();
}

/** A leaf of the schema: repetition, name, field id, logical type (and the converted type of older readers). */
function writeSchemaElement(out: ThriftWriter, column: FileColumn): void {
  const { type } = column;
  out.open();
  out.i32(1, parquetType(type));
  if (parquetType(type) === TYPE_FIXED) out.i32(2, 16);
  out.i32(3, column.nullable ? 1 : 0);
  out.binary(4, column.name);
  const converted = convertedType(type);
  if (converted !== null) out.i32(6, converted);
  if (type.kind === "DECIMAL") {
    out.i32(7, type.scale);
    out.i32(8, type.precision);
  }
  out.i32(9, column.fieldId);
  if (converted !== null) {
    out.open(10);
    writeLogicalType(out, type);
    out.close();
  }
  out.close();
}

/** parquet.thrift: enum ConvertedType; null = the physical type says it all. */
function convertedType(type: SqlType): number | null {
  switch (type.kind) {
    case "VARCHAR":
      return 0;
    case "DECIMAL":
      return 5;
    case "DATE":
      return 6;
    case "TIMESTAMPTZ":
      return 10;
    case "BOOLEAN":
    case "INTEGER":
    case "BIGINT":
    case "FLOAT":
    case "DOUBLE":
      return null;
    default:
      return unreachable(type);
  }
}

function writeLogicalType(out: ThriftWriter, type: SqlType): void {
  if (type.kind === "VARCHAR") out.open(1);
  else if (type.kind === "DATE") out.open(6);
  else if (type.kind === "DECIMAL") {
    out.open(5);
    out.i32(1, type.scale);
    out.i32(2, type.precision);
  } else {
    out.open(8);
    out.bool(1, true);
    out.open(2);
    out.open(2);
    out.close();
    out.close();
  }
  out.close();
}
