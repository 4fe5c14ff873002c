// The exporter over a log in memory and real tables: what it reads, holds and tells while a table cannot be written.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Failpoint } from "../../src/base/files.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { Exporter } from "../../src/table/exporter.ts";
import { open, record, RECORD_ROWS, SCHEMA, START_US } from "./tables-fixture.ts";

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

function setUp(): {
  files: FullDisk;
  clock: ManualClock;
  exporter: Exporter;
  append: (position: number) => void;
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
    rawEpoch: { ageUsMax: 1_000_000, rowsMax: RECORD_ROWS },
  });
  return { files, clock, exporter, append: (at) => writer.append([encodeRecord(record(at))]) };
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
