// The exporter over a log in memory and real tables: what it reads, holds and tells while a table cannot be written.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Failpoint } from "../../src/base/files.ts";
import { buildImage, streamImageColumns, type Cell } from "../../src/event/image.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import { EXPORT_FILES_PER_TURN } from "../../src/limits.ts";
import { Exporter } from "../../src/table/exporter.ts";
import {
  eventRow,
  open,
  record,
  RECORD_ROWS,
  SCHEMA,
  START_US,
  US_PER_DAY,
} from "./tables-fixture.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-exporter-"));
beforeAll(() => buildKernels(["export"]));
afterAll(() => rmSync(root, { recursive: true }));

/** A disk that is full until it is repaired, and how often it was tried. */
class FullDisk extends DiskFiles {
  isFull = false;
  tries = 0;
  override reach(failpoint: Failpoint): void {
    if (failpoint !== "table.data.write") return super.reach(failpoint);
    this.tries++;
    if (this.isFull)
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  }
}

function setUp(rowsMax = RECORD_ROWS): {
  files: FullDisk;
  clock: ManualClock;
  exporter: Exporter;
  append: (position: number, made?: EventsRecord) => void;
} {
  const files = new FullDisk(null);
  const clock = new ManualClock(START_US);
  const log = new MemoryLog({ fileSizeBytes: 1 << 20, sizeMaxBytes: 1 << 30 });
  const writer = log.openWriter();
  const exporter = new Exporter({
    tables: open(mkdtempSync(join(root, "t-")), { files, clock }),
    log: log.openReader(),
    clock,
    streams: [{ name: "clicks", schema: SCHEMA }],
    views: [],
    rawOn: true,
    rawEpoch: { ageUsMax: 1_000_000, rowsMax },
  });
  return {
    files,
    clock,
    exporter,
    append: (at, made = record(at)) => writer.append([encodeRecord(made)]),
  };
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

test("a record of events on many days is written in turns of bounded work, and recorded once it is whole", () => {
  const { files, exporter, append } = setUp();
  const days = 3 * EXPORT_FILES_PER_TURN + 1;
  const [, ...cells] = eventRow(1, 1);
  const rows = Array.from({ length: days }, (_, day): Cell[] => [
    BigInt(START_US + day * US_PER_DAY),
    ...cells,
  ]);
  const image = buildImage(streamImageColumns(SCHEMA), rows, new Set([1]));
  append(1, { ...record(1), rejects: [], rowCount: days, image });
  append(2);
  exporter.readLog();
  const seen: number[][] = [];
  do {
    exporter.cut(false);
    const { raw, coveredPosition } = exporter.pinnedStream("clicks");
    seen.push([files.tries, raw.files.length, coveredPosition]);
    if (exporter.isWriting) expect(exporter.readLog()).toBe(false);
  } while (exporter.isWriting);
  // the second record came with the first and lies on two days that are among the others
  expect(seen).toEqual([
    [64, 0, 0],
    [128, 0, 0],
    [192, 0, 0],
    [193, 193, 2],
  ]);
});
