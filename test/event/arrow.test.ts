// The buffers of a batch image are Arrow's: Apache Arrow's own library, given the very bytes that the decode kernel wrote (nothing copied,
// nothing converted), reads the values that were sent; pyarrow finds no fault in them.
import { expect, test } from "bun:test";
import {
  Bool,
  type DataType,
  DateDay,
  Decimal,
  Dictionary,
  Field,
  Float32,
  Float64,
  Int32,
  Int64,
  makeData,
  makeVector,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableToIPC,
  TimestampMicrosecond,
  Uint32,
  Utf8,
  type Data,
} from "apache-arrow";
import {
  COLUMN_BYTES,
  COLUMN_NULLS_AT,
  ENCODING_DICTIONARY,
  IMAGE_HEADER_BYTES,
  VERDICT_ACCEPTED,
  VERDICT_DUPLICATE,
} from "../../kernels/abi.ts";
import { unreachable } from "../../src/base/assert.ts";
import {
  columnParts,
  readImageHeader,
  streamImageColumns,
  type Cell,
} from "../../src/event/image.ts";
import type { SqlType } from "../../src/event/schema.ts";
import { isPythonMissing, NEEDS_PYTHON, PYTHON } from "../python/python.ts";
import { Bench, EVERYTHING } from "./harness.ts";

const COLUMNS = streamImageColumns(EVERYTHING);
const EVENTS = 1000;
const T0 = 1_569_888_000_000_000n;

/** An event as it is sent, and the row that it should be: null every few rows, each column on rows of its own. */
function event(i: number): { readonly json: string; readonly row: Cell[] } {
  const at = BigInt(i);
  const cents = BigInt((i * 7919) % 100_000_000) - 50_000_000n;
  const wide = (at - 500n) * 10n ** 30n + at;
  const fixed = (unscaled: bigint, scale: number): string => {
    const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, "0");
    return `${unscaled < 0n ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  };
  const kind = ["view", "cart", "purchase"][i % 3] ?? "view";
  const members: readonly (readonly [name: string, json: string, value: Cell])[] = [
    ["t", String(T0 + at), T0 + at],
    ["id", `"event ${i}"`, `event ${i}`],
    ["flag", String(i % 2 === 0), i % 2 === 0],
    ["count", String(i - 500), i - 500],
    ["big_number", String(at * -(10n ** 12n)), at * -(10n ** 12n)],
    ["ratio", String(i / 7), i / 7],
    ["small", String(i / 8), i / 8],
    ["price", fixed(cents, 2), cents],
    ["wide", fixed(wide, 4), wide],
    ["day", String(i - 300), i - 300],
    ["at_ms", String(1_569_888_000_000 + i), T0 + at * 1000n],
    ["kind", JSON.stringify(kind), kind],
    ["a_member_with_a_rather_long_name_that_exceeds_all", `"x${i % 10}"`, `x${i % 10}`],
    ["note", JSON.stringify(`né ${"○".repeat(i % 40)}`), `né ${"○".repeat(i % 40)}`],
  ];
  const nullable = EVERYTHING.columns.map((column) => column.nullable);
  const isNull = members.map((_, ordinal) => nullable[ordinal] === true && i % (ordinal + 3) === 0);
  const json = members.map(([name, text], ordinal) => `"${name}":${isNull[ordinal] ? null : text}`);
  const attrs = i % 4 === 0 ? `{"more":[${i}]}` : null;
  if (attrs !== null) json.push(`"more":[${i}]`);
  const row: Cell[] = members.map(([, , value], ordinal) => (isNull[ordinal] ? null : value));
  return { json: `{${json.join(",")}}`, row: [...row, attrs, i % 5 === 0 ? at * 1000n : 0n] };
}

/** Arrow's type for a SQL type; DECIMAL of up to 18 digits is its unscaled 64-bit integer. */
function arrowType(type: SqlType): DataType {
  switch (type.kind) {
    case "BOOLEAN":
      return new Bool();
    case "INTEGER":
      return new Int32();
    case "BIGINT":
      return new Int64();
    case "FLOAT":
      return new Float32();
    case "DOUBLE":
      return new Float64();
    case "VARCHAR":
      return new Utf8();
    case "DATE":
      return new DateDay();
    case "TIMESTAMPTZ":
      return new TimestampMicrosecond("UTC");
    case "DECIMAL":
      return type.precision <= 18 ? new Int64() : new Decimal(type.scale, type.precision, 128);
    default:
      return unreachable(type);
  }
}

/** A view of `count` elements at an offset of the image. */
function elements<T>(
  of: { new (buffer: ArrayBufferLike, from: number, count: number): T },
  image: Uint8Array,
  offset: number,
  count: number,
): T {
  return new of(image.buffer, image.byteOffset + offset, count);
}

/** A column of the image as Arrow sees it: its buffers are views into the image. */
function arrowColumn(image: Uint8Array, ordinal: number, type: SqlType): Data {
  const parts = columnParts(image, ordinal);
  const { rowCount: length, valuesAt } = parts;
  const descriptor = image.byteOffset + IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
  const nullCount = new DataView(image.buffer).getUint32(descriptor + COLUMN_NULLS_AT, true);
  const nullBitmap =
    parts.validityAt === 0
      ? undefined
      : elements(Uint8Array, image, parts.validityAt, Math.ceil(length / 8));
  const text = elements(Uint8Array, image, parts.textAt, parts.textBytes);
  const common = { length, nullCount, ...(nullBitmap ? { nullBitmap } : {}) };
  if (type.kind === "VARCHAR" && parts.encoding === ENCODING_DICTIONARY) {
    const valueOffsets = elements(Int32Array, image, parts.dictOffsetsAt, parts.dictCount + 1);
    const entries = { type: new Utf8(), length: parts.dictCount, valueOffsets, data: text };
    return makeData({
      ...common,
      type: new Dictionary(new Utf8(), new Uint32(), ordinal),
      dictionary: makeVector(makeData(entries)),
      data: elements(Uint32Array, image, valuesAt, length),
    });
  }
  if (type.kind === "VARCHAR") {
    const valueOffsets = elements(Int32Array, image, valuesAt, length + 1);
    return makeData({ ...common, type: new Utf8(), valueOffsets, data: text });
  }
  const arrow = arrowType(type);
  const ArrayType = arrow.ArrayType as typeof BigInt64Array;
  const words = type.kind === "DECIMAL" && type.precision > 18 ? 4 : 1;
  const count = type.kind === "BOOLEAN" ? Math.ceil(length / 8) : length * words;
  return makeData({
    ...common,
    type: arrow,
    data: elements(ArrayType, image, valuesAt, count),
  } as Parameters<typeof makeData>[0]);
}

function tableOf(image: Uint8Array): Table {
  const data = COLUMNS.map(({ type }, ordinal) => arrowColumn(image, ordinal, type));
  const fields = COLUMNS.map(
    ({ name, nullable }, ordinal) => new Field(name, data[ordinal]?.type as DataType, nullable),
  );
  const { rowCount: length } = readImageHeader(image);
  const struct = makeData({ type: new Struct(fields), length, nullCount: 0, children: data });
  return new Table([new RecordBatch(new Schema(fields), struct)]);
}

/** A value that Arrow's getter gives, as a Cell. Its getter of times is in ms: those are read as the integers that they are. */
function cellOf(table: Table, ordinal: number, row: number): Cell {
  const type = COLUMNS[ordinal]?.type;
  const column = table.getChildAt(ordinal);
  const value: unknown = column?.get(row);
  if (value === null) return null;
  if (type?.kind === "TIMESTAMPTZ")
    return (column?.toArray() as BigInt64Array | undefined)?.[row] ?? null;
  if (type?.kind === "DATE") return Number(value) / 86_400_000;
  if (value instanceof Uint32Array) {
    const unsigned = [...value].reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n);
    return BigInt.asIntN(128, unsigned);
  }
  return value as Cell;
}

/** The image of all events but every 23rd (a duplicate), and the rows it should have. */
function decoded(): { readonly image: Uint8Array; readonly rows: Cell[][] } {
  const bench = new Bench(EVERYTHING, { rowsMax: 4096, imageBytesMax: 4 * 1024 * 1024 });
  const events = Array.from({ length: EVENTS }, (_, i) => event(i));
  const body = Buffer.from(events.map(({ json }) => json).join("\n"));
  bench.put(body);
  bench.decoder.begin("s");
  const part = bench.decoder.add({ address: bench.bodyAt, bytes: body.length, format: "ndjson" });
  expect(part.rejects).toEqual([]);
  expect(part.rowCount).toBe(EVENTS);
  const isKept = events.map((_, i) => i % 23 !== 0);
  const verdicts = Uint8Array.from(isKept, (kept) => (kept ? VERDICT_ACCEPTED : VERDICT_DUPLICATE));
  const behind = BigInt64Array.from(events, ({ row }) => row.at(-1) as bigint);
  const { storedBytes } = bench.decoder.seal(verdicts, behind, bench.targetAt);
  const image = new Uint8Array(bench.instance.memory.buffer, bench.targetAt, storedBytes);
  return { image, rows: events.flatMap(({ row }, i) => (isKept[i] === true ? [row] : [])) };
}

const { image, rows } = decoded();

test("Arrow reads the image's own buffers as the values that were sent", () => {
  const table = tableOf(image);
  expect(table.numRows).toBe(rows.length);
  const encodings = COLUMNS.flatMap(({ type }, ordinal) =>
    type.kind === "VARCHAR" ? [columnParts(image, ordinal).encoding] : [],
  );
  expect(new Set(encodings).size).toBe(2);
  for (const [ordinal, { name }] of COLUMNS.entries()) {
    const expected = rows.map((row) => row[ordinal] ?? null);
    expect([name, rows.map((_, row) => cellOf(table, ordinal, row))]).toEqual([name, expected]);
    expect([name, table.getChildAt(ordinal)?.nullCount]).toEqual([
      name,
      expected.filter((value) => value === null).length,
    ]);
  }
  expect(
    COLUMNS.filter((_, ordinal) => (table.getChildAt(ordinal)?.nullCount ?? 0) > 0),
  ).toHaveLength(EVERYTHING.columns.filter(({ nullable }) => nullable).length + 1);
});

test.skipIf(isPythonMissing)(`pyarrow finds the buffers valid ${NEEDS_PYTHON}`, () => {
  const program = `import sys, pyarrow as pa, pyarrow.compute
table = pa.ipc.open_stream(sys.stdin.buffer).read_all()
table.validate(full=True)
print(table.num_rows, pa.compute.sum(table["big_number"]), len(table["kind"].combine_chunks().dictionary))`;
  const { stdout, stderr, exitCode } = Bun.spawnSync([PYTHON, "-c", program], {
    stdin: tableToIPC(tableOf(image), "stream"),
  });
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  const ordinal = COLUMNS.findIndex(({ name }) => name === "big_number");
  const sum = rows.reduce((total, row) => total + ((row[ordinal] as bigint | null) ?? 0n), 0n);
  expect(stdout.toString().trim()).toBe(`${rows.length} ${sum} 3`);
});
