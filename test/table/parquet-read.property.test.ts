// Files that we write, read back by our own reader for copy-on-write: random images of every type give the same rows, through images too. The
// files themselves are held against DuckDB and pyarrow in parquet.test.ts.
import { beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { buildImage, imageRows, type Cell } from "../../src/event/image.ts";
import type { FileColumn } from "../../src/table/chunk.ts";
import { DayFiles } from "../../src/table/day-files.ts";
import { ParquetError, readParquet } from "../../src/table/parquet-read.ts";
import type { ExportRoom } from "../../src/table/room.ts";
import {
  columnsOfImage,
  imageOfRows,
  keyOf,
  type RowColumns,
} from "../../src/table/row-columns.ts";
import { ALL_COLUMNS, exportRoom, rowsOf } from "./fixture.ts";

let room: ExportRoom;
beforeAll(async () => {
  room = await exportRoom();
});

const FILE_COLUMNS = ALL_COLUMNS.map((column, ordinal): FileColumn => ({
  ...column,
  source: { from: "image", ordinal },
}));
const TYPES = ALL_COLUMNS.map(({ type }) => type);
const TEXTS = ALL_COLUMNS.flatMap(({ type }, ordinal) =>
  type.kind === "VARCHAR" ? [ordinal] : [],
);

/** The bytes of one file with the rows of the images, one after the other. */
function fileOf(images: readonly { image: Uint8Array; rows: number }[]): Uint8Array {
  const files = new DayFiles(room, FILE_COLUMNS, null);
  for (const { image, rows } of images) files.add(image, rows, []);
  const next = files.finish().next(1);
  return Buffer.concat(next?.file.parts ?? []);
}

function cellsOf(columns: RowColumns): Cell[][] {
  const rows = Array.from({ length: columns.rowCount }, (_, row) => ({ of: columns, row }));
  return imageRows(imageOfRows(rows, TYPES), ALL_COLUMNS);
}

const batches = fc.array(
  fc.record({ rows: rowsOf(ALL_COLUMNS, 300), dictionaries: fc.subarray(TEXTS) }),
  { minLength: 1, maxLength: 4 },
);

test("what was written is read, whatever its encodings", () => {
  fc.assert(
    fc.property(batches, (all) => {
      const images = all.map(({ rows, dictionaries }) => ({
        image: buildImage(ALL_COLUMNS, rows, new Set(dictionaries)),
        rows: rows.length,
      }));
      for (const [index, { image }] of images.entries())
        expect(cellsOf(columnsOfImage(image))).toEqual(all[index]?.rows ?? []);
      const rows = all.flatMap((batch) => batch.rows);
      if (rows.length === 0) return;
      expect(cellsOf(readParquet(fileOf(images), ALL_COLUMNS))).toEqual(rows);
    }),
    { numRuns: Number(process.env["RUNS"] ?? 60) },
  );
}, 180_000);

test("a key tells NULL from the empty text, and where one value ends", () => {
  const columns = [
    { name: "a", type: { kind: "VARCHAR" }, nullable: true },
    { name: "b", type: { kind: "VARCHAR" }, nullable: true },
  ] as const;
  const rows = [
    ["", ""],
    [null, ""],
    ["", null],
    ["ab", "c"],
    ["a", "bc"],
    ["1:a;", ""],
  ];
  const of = columnsOfImage(buildImage(columns, rows));
  expect(new Set(rows.map((_, row) => keyOf({ of, row }, [0, 1]))).size).toBe(rows.length);
});

test("a file that is cut is refused", () => {
  const rows = fc.sample(rowsOf(ALL_COLUMNS, 20), 5).find((some) => some.length > 0) ?? [];
  const file = fileOf([{ image: buildImage(ALL_COLUMNS, rows), rows: rows.length }]);
  expect(() => readParquet(file.subarray(0, file.length - 9), ALL_COLUMNS)).toThrow(ParquetError);
  expect(() => readParquet(new Uint8Array(4), ALL_COLUMNS)).toThrow(ParquetError);
});
