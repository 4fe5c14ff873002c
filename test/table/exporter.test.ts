// The exporter over a log in memory and real tables: what it reads, holds and tells while a table cannot be written.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Failpoint } from "../../src/base/failpoints.ts";
import { buildImage, streamImageColumns, type Cell } from "../../src/event/image.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import { EXPORT_FILES_PER_TURN } from "../../src/limits.ts";
import { Exporter } from "../../src/table/exporter.ts";
import type { Tables } from "../../src/table/tables.ts";
import {
  duckRows,
  eventRow,
  expectedRows,
  open,
  record,
  RECORD_ROWS,
  SCHEMA,
  START_US,
  US_PER_DAY,
} from "./tables-fixture.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-exporter-"));
beforeAll(() => buildKernels(["export"]));
// thousands of files, on a disk that may be busy
afterAll(() => rmSync(root, { recursive: true }), 60_000);

/** A disk that is full until it is repaired, and how often it was tried. */
class FullDisk extends DiskFiles {
  isFull = false;
  tries = 0;
  override reach(failpoint: Failpoint): void {
    if (failpoint !== "table.data.write.before") return super.reach(failpoint);
    this.tries++;
    if (this.isFull)
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  }
}

const TABLE = "default.clicks_raw";

interface SetUp {
  readonly files: FullDisk;
  readonly clock: ManualClock;
  readonly tables: Tables;
  readonly exporter: Exporter;
  readonly append: (position: number, made?: EventsRecord) => void;
  /** The same folder and log, as the next process opens them. */
  readonly reopen: () => SetUp;
}

function setUp(rowsMax = RECORD_ROWS): SetUp {
  const files = new FullDisk();
  const clock = new ManualClock(START_US);
  const log = new MemoryLog({ fileSizeBytes: 1 << 20, sizeMaxBytes: 1 << 30 });
  const writer = log.openWriter();
  const folder = mkdtempSync(join(root, "t-"));
  const start = (): SetUp => {
    const tables = open(folder, { files, clock });
    const exporter = new Exporter({
      tables,
      log: log.openReader(),
      clock,
      streams: [{ name: "clicks", schema: SCHEMA }],
      views: [],
      rawOn: true,
      rawEpoch: { ageUsMax: 1_000_000, rowsMax },
    });
    const append = (at: number, made = record(at)): void => writer.append([encodeRecord(made)]);
    const reopen = (): SetUp => {
      tables.close();
      return start();
    };
    return { files, clock, tables, exporter, append, reopen };
  };
  return start();
}

test("while a table cannot be written nothing is read, and it is tried less and less often", () => {
  const { files, clock, exporter, append } = setUp();
  append(1);
  files.isFull = true;
  exporter.readLog();
  exporter.cut(false);
  append(2);
  expect(exporter.readLog()).toBe(false);
  expect(exporter.readers()[0]).toMatchObject({ reader: "raw:clicks", position: 1, durable: 0 });
  expect(exporter.commit().map(({ message }) => message)).toEqual([
    expect.stringContaining("ENOSPC"),
  ]);
  for (let turn = 0; turn < 70 * 20; turn++) {
    clock.advance(50_000);
    exporter.cut(false);
  }
  // at 0, 1, 3, 7, 15, 31 and 61 s
  expect(files.tries).toBe(7);
  files.isFull = false;
  clock.advance(30_000_000);
  exporter.cut(false);
  expect(exporter.readLog()).toBe(true);
  exporter.cut(false);
  expect(exporter.readers()[0]).toMatchObject({ position: 2, durable: 2 });
  expect(exporter.commit()).toEqual([]);
});

/** A record of an event on each of `days` days around the start. */
function manyDays(position: number, days: number): EventsRecord {
  const [, ...cells] = eventRow(1, 1);
  const rows = Array.from({ length: days }, (_, day): Cell[] => [
    BigInt(START_US + (day - Math.floor(days / 2)) * US_PER_DAY),
    ...cells,
  ]);
  const image = buildImage(streamImageColumns(SCHEMA), rows, new Set([1]));
  return { ...record(position), rejects: [], rowCount: days, image };
}

test("a record of events on many days is written in turns of bounded work, and recorded once it is whole", async () => {
  const { files, exporter, append, tables } = setUp();
  const days = 3 * EXPORT_FILES_PER_TURN + 1;
  append(1, manyDays(1, days));
  append(2);
  // the second record is not read: an epoch of too many days takes no more
  exporter.readLog();
  const seen: number[][] = [];
  do {
    exporter.cut(false);
    const { raw, coveredPosition } = exporter.pinnedStream("clicks");
    seen.push([files.tries, raw.files.length, coveredPosition]);
    if (exporter.isWriting) expect(exporter.readLog()).toBe(false);
  } while (exporter.isWriting);
  expect(seen).toEqual([
    [64, 0, 0],
    [128, 0, 0],
    [192, 0, 0],
    [193, 193, 1],
  ]);
  expect(exporter.readLog()).toBe(true);
  exporter.cut(false);
  expect(exporter.pinnedStream("clicks").coveredPosition).toBe(2);
  const found = await duckRows(tables, TABLE);
  const first = START_US - Math.floor(days / 2) * US_PER_DAY;
  const times = Array.from({ length: days }, (_, day) => String(first + day * US_PER_DAY));
  expect(found.slice(0, days).map(([at]) => at)).toEqual(times);
  expect(found.slice(days)).toEqual(expectedRows(2).slice(RECORD_ROWS));
});

test("events on 5,000 days: a full disk in between keeps what is written; epochs and snapshots have a bounded number of files", async () => {
  const { files, clock, exporter, append, tables, reopen } = setUp();
  append(1, manyDays(1, 5000));
  exporter.readLog();
  for (let turn = 0; turn < 10; turn++) exporter.cut(false);
  files.isFull = true;
  exporter.cut(false);
  expect([exporter.isWriting, files.tries]).toEqual([false, 641]);
  files.isFull = false;
  clock.advance(1_000_000);
  do exporter.cut(false);
  while (exporter.isWriting);
  // each file once, and once more the one that failed
  expect(files.tries).toBe(5001);
  const { raw, coveredPosition } = exporter.pinnedStream("clicks");
  expect([raw.files.length, coveredPosition]).toEqual([5000, 1]);
  expect(tables.ledgerPosition(TABLE, "clicks")).toEqual({ position: 1, epoch: 5 });
  // a process that ends between the snapshots of one cut: the next goes on behind the last
  for (let round = 0; round < 2; round++) expect(exporter.commit()).toEqual([]);
  expect(exporter.hasMoreToCommit).toBe(true);
  const again = reopen();
  do expect(again.exporter.commit()).toEqual([]);
  while (again.exporter.hasMoreToCommit);
  const metadata = JSON.parse(readFileSync(again.tables.metadataPath(TABLE), "utf8")) as {
    snapshots: { summary: Record<string, string> }[];
  };
  const added = metadata.snapshots.map(({ summary }) => Number(summary["added-data-files"]));
  expect(added).toEqual([1024, 1024, 1024, 1024, 904]);
  expect(metadata.snapshots.at(-1)?.summary).toMatchObject({
    "total-records": "5000",
    "millrace.position": "1",
  });
  expect(again.exporter.pinnedStream("clicks").raw.files.length).toBe(5000);
}, 60_000);
