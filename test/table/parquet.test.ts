// Parquet files of random images with every type, read back by DuckDB and pyarrow: equal values, types, field ids, statistics.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { COLUMN_BYTES, COLUMN_VALUES_AT, IMAGE_HEADER_BYTES } from "../../kernels/abi.ts";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { buildImage, type Cell } from "../../src/event/image.ts";
import { sqlTypeText, type Column } from "../../src/event/schema.ts";
import type { FileColumn } from "../../src/table/chunk.ts";
import { DayFiles, type FinishedDay } from "../../src/table/day-files.ts";
import type { ExportRoom } from "../../src/table/room.ts";
import { isPythonMissing, NEEDS_PYTHON, readBack } from "../python/python.ts";
import { ALL_COLUMNS, DAY_US, decimalText, exportRoom, printed, rowsOf } from "./fixture.ts";

let room: ExportRoom;
let database: DuckDb;
let connection: DuckConnection;
const folder = mkdtempSync(join(tmpdir(), "millrace-parquet-"));
beforeAll(async () => {
  room = await exportRoom();
  database = await DuckDb.open();
  connection = await database.connect();
});
afterAll(() => {
  database.close();
  rmSync(folder, { recursive: true });
});

let fileNext = 0;
const US_PER_DAY = 86_400_000_000n;
const FILE_COLUMNS: readonly FileColumn[] = [
  ...ALL_COLUMNS.map((column, ordinal): FileColumn => ({
    ...column,
    source: { from: "image", ordinal },
  })),
  {
    name: "received_at",
    type: { kind: "TIMESTAMPTZ" },
    nullable: false,
    fieldId: 101,
    source: { from: "constant", index: 0 },
  },
  {
    name: "stream",
    type: { kind: "VARCHAR" },
    nullable: false,
    fieldId: 102,
    source: { from: "constant", index: 1 },
  },
  {
    name: "_index",
    type: { kind: "INTEGER" },
    nullable: false,
    fieldId: 103,
    source: { from: "index" },
  },
];
const TEXT_ORDINALS = ALL_COLUMNS.flatMap((column, i) =>
  column.type.kind === "VARCHAR" ? [i] : [],
);

interface Batch {
  readonly rows: Cell[][];
  readonly dictionaries: number[];
}
const batches = (rowsMax: number) =>
  fc.array(
    fc.record({ rows: rowsOf(ALL_COLUMNS, rowsMax), dictionaries: fc.subarray(TEXT_ORDINALS) }),
    { minLength: 1, maxLength: 4 },
  );

/** All files of what was added. */
function allFiles(files: DayFiles): FinishedDay[] {
  const epoch = files.finish();
  const finished: FinishedDay[] = [];
  for (let next = epoch.next(3); next !== undefined; next = epoch.next(3)) {
    finished.push(next);
    epoch.written();
  }
  return finished;
}

/** Writes batches to files by day; the rows that each file should hold, in order. */
function write(all: readonly Batch[], name: string): { path: string; rows: Cell[][] }[] {
  const files = new DayFiles(room, FILE_COLUMNS, 0);
  const expected = new Map<number, Cell[][]>();
  for (const [position, { rows, dictionaries }] of all.entries()) {
    const receivedAt = DAY_US + BigInt(position);
    const stream = `stream ${position % 2}`;
    files.add(buildImage(ALL_COLUMNS, rows, new Set(dictionaries)), rows.length, [
      receivedAt,
      stream,
    ]);
    for (const [index, row] of rows.entries()) {
      const day = Number(BigInt(row[0] ?? 0) / US_PER_DAY);
      expected.set(day, [...(expected.get(day) ?? []), [...row, receivedAt, stream, index]]);
    }
  }
  return allFiles(files).map(({ day, file }) => {
    // a new name each time: DuckDB caches files by name, as it may (ours are never reused)
    const path = join(folder, `${name}-${day}-${fileNext++}.parquet`);
    writeFileSync(path, Buffer.concat(file.parts));
    const rows = expected.get(day ?? 0) ?? [];
    expected.delete(day ?? 0);
    expect(file.rowCount).toBe(rows.length);
    return { path, rows };
  });
}

/** SQL that gives a value as text, exactly. */
function exact(column: Column): string {
  const name = `"${column.name}"`;
  if (column.type.kind === "TIMESTAMPTZ") return `epoch_us(${name})::VARCHAR`;
  if (column.type.kind === "DATE") return `(${name} - DATE '1970-01-01')::VARCHAR`;
  return column.type.kind === "VARCHAR" ? name : `${name}::VARCHAR`;
}

/** The same text of a value of ours; floats go through DuckDB's own printing. */
function exactText(column: Column, value: Cell): string | null {
  if (value === null) return null;
  if (column.type.kind === "DECIMAL") return decimalText(BigInt(value), column.type.scale);
  return String(value);
}

function sameFloat(column: Column, text: unknown, value: Cell): boolean {
  const wanted = column.type.kind === "FLOAT" ? Math.fround(Number(value)) : Number(value);
  const found = column.type.kind === "FLOAT" ? Math.fround(floatOf(text)) : floatOf(text);
  return Object.is(found, wanted);
}
function floatOf(text: unknown): number {
  return Number(String(text).replace("inf", "Infinity"));
}

async function expectSame(path: string, rows: readonly Cell[][]): Promise<void> {
  const select = FILE_COLUMNS.map(exact).join(", ");
  const found = await connection.run(
    `SELECT ${select} FROM read_parquet('${path}', hive_partitioning=false)`,
  );
  expect(found.rows.length).toBe(rows.length);
  const wrong: unknown[] = [];
  for (const [i, row] of rows.entries())
    for (const [c, column] of FILE_COLUMNS.entries()) {
      const [text, value] = [found.rows[i]?.[c] ?? null, row[c] ?? null];
      const isFloat = column.type.kind === "FLOAT" || column.type.kind === "DOUBLE";
      const isSame =
        isFloat && value !== null && text !== null
          ? sameFloat(column, text, value)
          : text === exactText(column, value);
      if (!isSame) wrong.push({ row: i, column: column.name, found: text, wrote: value });
    }
  expect(wrong).toEqual([]);
}

describe("parquet", () => {
  test("DuckDB reads the same values", async () => {
    await fc.assert(
      fc.asyncProperty(batches(40), async (all) => {
        for (const { path, rows } of write(all, "duck")) await expectSame(path, rows);
      }),
      { numRuns: 25, endOnFailure: true },
    );
  }, 60_000);

  test("types and field ids are what was declared", async () => {
    const [file] = write(
      [{ rows: fc.sample(rowsOf(ALL_COLUMNS, 5), 1)[0] ?? [], dictionaries: [] }],
      "types",
    );
    const found = await connection.run(`DESCRIBE FROM read_parquet('${file?.path}')`);
    expect(found.rows.map((row) => row[1])).toEqual(
      FILE_COLUMNS.map((column) => sqlTypeText(column.type)),
    );
    const ids = await connection.run(
      `SELECT field_id FROM parquet_schema('${file?.path}') WHERE name <> 'table'`,
    );
    expect(ids.rows.map((row) => Number(row[0]))).toEqual(
      FILE_COLUMNS.map((column) => column.fieldId),
    );
  });

  test("pages and row groups: many rows, growing dictionaries, long strings, a large image", async () => {
    const columns: readonly Column[] = [
      { name: "at", type: { kind: "TIMESTAMPTZ" }, nullable: false, fieldId: 1 },
      { name: "few", type: { kind: "VARCHAR" }, nullable: true, fieldId: 2 },
      { name: "many", type: { kind: "VARCHAR" }, nullable: false, fieldId: 3 },
      { name: "long", type: { kind: "VARCHAR" }, nullable: true, fieldId: 4 },
      { name: "zero", type: { kind: "BIGINT" }, nullable: false, fieldId: 5 },
    ];
    const files = new DayFiles(
      room,
      columns.map((column, ordinal) => ({ ...column, source: { from: "image", ordinal } })),
      0,
    );
    let next = 0;
    const rowOf = (): Cell[] => {
      const i = next++;
      const long = i % 5_000 === 0 ? "long ".repeat(200_000) + String(i) : `${i % 7}`;
      const many = i % 3 === 0 ? `value ${i}` : `value ${i % 90}`;
      return [
        DAY_US + BigInt(i),
        i % 4 === 0 ? null : `few ${i % 3}`,
        many,
        i % 2 === 0 ? null : long,
        0n,
      ];
    };
    for (const count of [1, 7, 90_000, ...Array<number>(60).fill(1_000), 30_000]) {
      const rows = Array.from({ length: count }, rowOf);
      const dictionaries = count < 2_000 ? [1, 2] : [1];
      const image = buildImage(columns, rows, new Set(dictionaries));
      // as decode writes a column of zeros: without values
      if (count === 1_000)
        new DataView(image.buffer).setUint32(
          IMAGE_HEADER_BYTES + 4 * COLUMN_BYTES + COLUMN_VALUES_AT,
          0,
          true,
        );
      files.add(image, count, []);
    }
    const [day] = allFiles(files);
    const path = join(folder, "large.parquet");
    writeFileSync(path, Buffer.concat(day?.file.parts ?? []));
    const found = await connection.run(`
      WITH expected AS (
        SELECT i, CASE WHEN i % 4 <> 0 THEN 'few ' || i % 3 END AS few,
          'value ' || CASE WHEN i % 3 = 0 THEN i ELSE i % 90 END AS many,
          CASE WHEN i % 2 = 0 THEN NULL WHEN i % 5000 = 0 THEN repeat('long ', 200000) || i ELSE (i % 7)::VARCHAR END AS long
        FROM range(${next}) t(i))
      SELECT count(*), count(*) FILTER (WHERE f.few IS NOT DISTINCT FROM e.few AND f.many = e.many
        AND f.long IS NOT DISTINCT FROM e.long AND f.zero = 0)
      FROM (SELECT *, epoch_us("at") - ${DAY_US} AS i FROM '${path}') f JOIN expected e USING (i)`);
    expect(found.rows[0]).toEqual([BigInt(next), BigInt(next)]);
    const encodings = await connection.run(
      `SELECT DISTINCT path_in_schema, encodings FROM parquet_metadata('${path}') ORDER BY 1`,
    );
    expect(Object.fromEntries(encodings.rows as [string, string][])).toMatchObject({
      few: "PLAIN, RLE, RLE_DICTIONARY",
      zero: "PLAIN, RLE, RLE_DICTIONARY",
    });
  }, 60_000);

  test.skipIf(isPythonMissing)(
    `pyarrow reads the same values, and bounds that hold ${NEEDS_PYTHON}`,
    () => {
      const all = fc.sample(batches(60), { numRuns: 3, seed: 7 }).flat();
      for (const { path, rows } of write(all, "arrow")) {
        const found = readBack("parquet", path) as {
          rows: unknown[][];
          ids: number[];
          nullable: boolean[];
          stats: { nulls: number; min: unknown; max: unknown }[];
        };
        expect(found.ids).toEqual(FILE_COLUMNS.map((column) => column.fieldId));
        expect(found.nullable).toEqual(FILE_COLUMNS.map((column) => column.nullable));
        const expected = rows.map((row) =>
          row.map((value, c) => printed(FILE_COLUMNS[c] as Column, value)),
        );
        // -0 is printed as 0 by JSON: compare as text
        expect(JSON.stringify(found.rows)).toBe(JSON.stringify(expected));
        for (const [c, column] of FILE_COLUMNS.entries()) {
          expect(found.stats[c]?.nulls).toBe(rows.filter((row) => row[c] === null).length);
          if (!["INTEGER", "BIGINT"].includes(column.type.kind)) continue;
          const values = rows.flatMap((row) => (row[c] === null ? [] : [BigInt(row[c] ?? 0)]));
          const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
          expect([found.stats[c]?.min, found.stats[c]?.max].map(String)).toEqual(
            [sorted[0], sorted.at(-1)].map((value) => String(value ?? null)),
          );
        }
      }
    },
    60_000,
  );

  test("statistics bound every value", async () => {
    const all = fc.sample(batches(60), { numRuns: 4, seed: 3 }).flat();
    let bounded = 0;
    for (const { path, rows } of write(all, "stats")) {
      // a table, so that no filter is answered from the statistics themselves
      await connection.run(`CREATE OR REPLACE TABLE held AS FROM '${path}'`);
      for (const [c, column] of FILE_COLUMNS.entries()) {
        const stats = await connection.run(
          `SELECT stats_min_value, stats_max_value, stats_null_count FROM parquet_metadata('${path}') WHERE path_in_schema = '${column.name}'`,
        );
        const [low = null, high = null, nulls] = stats.rows[0] ?? [];
        expect(Number(nulls)).toBe(rows.filter((row) => row[c] === null).length);
        const type = sqlTypeText(column.type);
        for (const [end, sign] of [
          [low, "<"],
          [high, ">"],
        ] as const) {
          if (typeof end !== "string") continue;
          bounded++;
          const outside = await connection.run(
            `SELECT count(*) FROM held WHERE "${column.name}" ${sign} CAST($1 AS ${type})`,
            [end],
          );
          expect([column.name, sign, end, Number(outside.rows[0]?.[0])]).toEqual([
            column.name,
            sign,
            end,
            0,
          ]);
        }
      }
    }
    expect(bounded).toBeGreaterThan(100);
  }, 60_000);
});
