// Tables end to end: raw events, dead letters, closed rows and late events into Iceberg, read by DuckDB from the ledger's files and
// by pyiceberg from the metadata.
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { buildImage, type Cell } from "../../src/event/image.ts";
import { lateTable, tableName } from "../../src/table/shapes.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { isPythonMissing, NEEDS_PYTHON } from "../python/python.ts";
import {
  byPosition,
  currentMetadata,
  duckRows,
  exportAll,
  expectedRows,
  open,
  pyiceberg,
  RAW,
  RAW_NAMES,
  record,
  SCHEMA,
  START_US,
  US_PER_DAY,
} from "./tables-fixture.ts";

let folder: string;
beforeAll(() => buildKernels(["export"]));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-tables-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("raw events", () => {
  test("are readable from the ledger before the commit, and replays change nothing", async () => {
    const tables = open(folder);
    const raw = tables.raw("shop", "clicks", SCHEMA);
    for (let position = 1; position <= 4; position++) raw.add(record(position));
    expect(raw.export.rows).toBe(40);
    expect(raw.export.cut(5)).toEqual({ epoch: 1, position: 5, rowCount: 40 });
    expect(await duckRows(tables)).toEqual(expectedRows(4));
    expect(currentMetadata(tables)["snapshots"]).toEqual([]);
    for (let position = 1; position <= 5; position++) raw.add(record(position));
    expect(raw.export.rows).toBe(0);
    expect(raw.export.cut(9)).toEqual({ epoch: 0, position: 9, rowCount: 0 });
    tables.close();
    const again = open(folder);
    const reopened = again.raw("shop", "clicks", SCHEMA);
    expect(reopened.export.position).toBe(9);
    reopened.add(record(9));
    expect(reopened.export.rows).toBe(0);
    expect(await duckRows(again)).toEqual(expectedRows(4));
    expect(again.commitPending().committed).toEqual([{ table: RAW, epoch: 1, rowCount: 40 }]);
    expect(again.commitPending().committed).toEqual([]);
    again.close();
  });

  test("queries may read up to an epoch of a writer", () => {
    const tables = open(folder);
    exportAll(tables, 6);
    const all = tables.pinnedFiles(RAW);
    expect(all.files.length).toBe(6);
    expect(all.columns.map((column) => column.name)).toEqual(RAW_NAMES);
    expect(tables.pinnedFiles(RAW, new Map([["clicks", 2]])).files).toEqual(all.files.slice(0, 4));
    expect(tables.pinnedFiles(RAW, new Map([["other", 0]])).files).toEqual(all.files);
    tables.close();
  });

  test.skipIf(isPythonMissing)(
    `pyiceberg reads rows, types, partitions, bounds, summaries ${NEEDS_PYTHON}`,
    () => {
      const tables = open(folder);
      exportAll(tables, 8);
      const found = pyiceberg(tables.metadataPath(RAW));
      expect(byPosition(found.rows)).toEqual(expectedRows(8));
      expect(found.schema).toEqual([
        [1, "at", "timestamptz", true],
        [2, "page", "string", false],
        [3, "price", "decimal(18, 2)", true],
        [10_001, "attrs", "string", false],
        [10_002, "_behind", "long", true],
        [10_003, "received_at", "timestamptz", true],
        [10_004, "_position", "long", true],
        [10_005, "_index", "int", true],
      ]);
      expect(found.partition).toEqual([["at_day", "day"]]);
      const day = START_US / US_PER_DAY;
      expect(
        found.files
          .map((file) => file.partition[0])
          .map(String)
          .toSorted(),
      ).toEqual([...Array<string>(4).fill(String(day)), ...Array<string>(4).fill(String(day + 1))]);
      for (const file of found.files) {
        const rows = expectedRows(8).filter(
          (row) =>
            file.path.includes(`at_day=2019-10-0${Number(file.partition[0]) - day + 1}/`) &&
            Math.floor(Number(row[0]) / US_PER_DAY) === Number(file.partition[0]) &&
            Number(row[6]) >= Buffer.from(file.lower["10004"] ?? "", "base64").readBigInt64LE() &&
            Number(row[6]) <= Buffer.from(file.upper["10004"] ?? "", "base64").readBigInt64LE(),
        );
        expect(file.records).toBe(rows.length);
        expect(file.nulls["2"]).toBe(rows.filter((row) => row[1] === null).length);
        const prices = rows.map((row) => Math.round(Number(row[2]) * 100));
        const low = BigInt.asIntN(
          64,
          BigInt(`0x${Buffer.from(file.lower["3"] ?? "", "base64").toString("hex")}`),
        );
        expect(Number(low)).toBe(Math.min(...prices));
      }
      const marker = {
        "millrace.job-id": "job-1",
        "millrace.position": "8",
        "millrace.epoch": "4",
      };
      expect(found.properties).toMatchObject(marker);
      expect(found.snapshots.length).toBe(2);
      expect(found.snapshots[1]?.summary).toMatchObject({
        ...marker,
        operation: "append",
        "added-records": "40",
        "total-records": "80",
        "total-data-files": "8",
        "millrace.watermark": String(START_US),
      });
      tables.close();
    },
  );

  test.skipIf(isPythonMissing)(`dead letters keep bytes that are not UTF-8 ${NEEDS_PYTHON}`, () => {
    const tables = open(folder);
    exportAll(tables, 6);
    const found = pyiceberg(tables.metadataPath("millrace.dead_letters"));
    expect(found.rows.toSorted((a, b) => Number(a[1]) - Number(b[1]))).toEqual([
      [
        "clicks",
        "3",
        0,
        String(START_US + 3000),
        3,
        "bad_json",
        null,
        "it ends early",
        '{"bad":3',
        null,
      ],
      [
        "clicks",
        "6",
        0,
        String(START_US + 6000),
        6,
        "bad_json",
        null,
        "it ends early",
        null,
        "/0E=",
      ],
    ]);
    tables.close();
  });
});

describe("outputs of views", () => {
  const plan: ViewPlan = {
    name: "per_minute",
    stream: "clicks",
    sql: "",
    window: { kind: "tumble", sizeUs: 60_000_000, offsetUs: 0 },
    rollupOf: null,
    filter: null,
    keys: [],
    aggregates: [],
    output: [
      {
        name: "window_start",
        type: { kind: "TIMESTAMPTZ" },
        nullable: true,
        fieldId: 1,
        source: { kind: "window_start" },
      },
      {
        name: "total",
        type: { kind: "DECIMAL", precision: 38, scale: 2 },
        nullable: true,
        fieldId: 2,
        source: { kind: "aggregate", index: 0 },
      },
    ],
    having: null,
    topN: null,
    late: { policy: "side", allowedUs: 0 },
  };

  test.skipIf(isPythonMissing)(
    `rows by the day of their window; late events of several views ${NEEDS_PYTHON}`,
    () => {
      const tables = open(folder);
      const rows = tables.rows("shop", plan);
      const columns = [
        ...plan.output,
        { name: "revision", type: { kind: "BIGINT" as const }, nullable: false },
      ];
      const total = -(10n ** 37n);
      const image = buildImage(columns, [
        [BigInt(START_US), total, 0n],
        [BigInt(START_US + US_PER_DAY), null, 0n],
      ]);
      rows.add({ view: "per_minute", kind: "rows", position: 3, rowCount: 2, image });
      rows.export.cut(3);
      const lateColumns = lateTable()
        .columns.filter((column) => column.source.from === "image")
        .map(({ name, type, nullable }) => ({ name, type, nullable }));
      const lateRow: Cell[] = [BigInt(START_US), 1n, 2n, 3n, 7n, 1, 5n];
      for (const view of ["per_minute", "other"]) {
        const late = tables.late(view);
        const lateImage = buildImage(lateColumns, [lateRow]);
        late.add({ view, kind: "late", position: 7, rowCount: 1, image: lateImage });
        late.export.cut(7);
      }
      expect(tables.commitPending().failures).toEqual([]);
      const found = pyiceberg(tables.metadataPath("shop.per_minute"));
      expect(found.rows.toSorted((a, b) => Number(a[0]) - Number(b[0]))).toEqual([
        [String(START_US), "-100000000000000000000000000000000000.00", "0"],
        [String(START_US + US_PER_DAY), null, "0"],
      ]);
      expect(found.partition).toEqual([["window_start_day", "day"]]);
      const name = tableName(lateTable());
      const late = pyiceberg(tables.metadataPath(name));
      expect(late.rows.map((row) => String(row[0])).toSorted()).toEqual(["other", "per_minute"]);
      expect(tables.pinnedLate(new Map([["other", 0]])).files.length).toBe(1);
      expect(tables.ledgerPosition(name, "other")).toEqual({ position: 7, epoch: 2 });
      tables.close();
    },
  );
});
