// Raw export switched off and on again: what was exported stays readable, what the log trimmed meanwhile is said.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { Exporter } from "../../src/table/exporter.ts";
import type { Tables } from "../../src/table/tables.ts";
import { duckRows, expectedRows, open, record, SCHEMA, START_US } from "./tables-fixture.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-raw-off-"));
beforeAll(() => buildKernels(["export"]));
afterAll(() => rmSync(root, { recursive: true }));

const RAW = "default.clicks_raw";

/** A log whose files hold one record each, and the tables of one folder, opened by one exporter after the other. */
class Folder {
  readonly path = mkdtempSync(join(root, "f-"));
  readonly #clock = new ManualClock(START_US);
  readonly #log = new MemoryLog({ fileSizeBytes: 1, sizeMaxBytes: 1 << 30 });
  readonly writer = this.#log.openWriter();
  tables: Tables = open(this.path);

  append(from: number, to: number): void {
    for (let at = from; at <= to; at++) this.writer.append([encodeRecord(record(at))]);
  }

  start(rawOn: boolean): { readonly exporter: Exporter; readonly notices: readonly string[] } {
    this.tables.close();
    this.tables = open(this.path);
    const exporter = new Exporter({
      tables: this.tables,
      log: this.#log.openReader(),
      clock: this.#clock,
      streams: [{ name: "clicks", schema: SCHEMA }],
      views: [],
      rawOn,
      rawEpoch: { ageUsMax: 1_000_000, rowsMax: 10 },
    });
    const notices = exporter.resume();
    while (exporter.readLog());
    exporter.cut(true);
    exporter.commit();
    return { exporter, notices };
  }
}

test("off: the files of before stay part of the stream, the log goes on where they end", () => {
  const folder = new Folder();
  folder.append(1, 3);
  expect(folder.start(true).notices).toEqual([]);
  folder.append(4, 5);
  const { exporter, notices } = folder.start(false);
  const { raw, coveredPosition } = exporter.pinnedStream("clicks");
  expect([raw.files.length > 0, coveredPosition]).toEqual([true, 3]);
  expect(notices).toEqual([expect.stringContaining("up to log position 3")]);
  expect(exporter.readers().map(({ reader }) => reader)).toEqual(["dead_letters"]);
  // the log may forget what the table has, and then more: what is in neither is not asked for
  folder.writer.trim(3);
  expect(exporter.pinnedStream("clicks").coveredPosition).toBe(3);
  folder.writer.trim(5);
  expect(exporter.pinnedStream("clicks").coveredPosition).toBe(4);
});

test("off, and nothing was ever exported: no table is made", () => {
  const folder = new Folder();
  folder.append(1, 2);
  const { exporter, notices } = folder.start(false);
  expect(exporter.pinnedStream("clicks")).toMatchObject({ raw: { files: [] }, coveredPosition: 0 });
  expect([notices, folder.tables.names()]).toEqual([[], ["millrace.dead_letters"]]);
});

test("off with a table that was removed: the log alone, and a line that says so", () => {
  const folder = new Folder();
  folder.append(1, 2);
  folder.start(true);
  rmSync(join(folder.path, "warehouse/default/clicks_raw"), { recursive: true });
  const { exporter, notices } = folder.start(false);
  expect(exporter.pinnedStream("clicks")).toMatchObject({ raw: { files: [] }, coveredPosition: 0 });
  expect(notices).toEqual([expect.stringContaining("was removed")]);
});

test("on again before anything was trimmed: every event once", async () => {
  const folder = new Folder();
  folder.append(1, 2);
  folder.start(true);
  folder.append(3, 4);
  folder.start(false);
  folder.append(5, 6);
  expect(folder.start(true).notices).toEqual([]);
  expect(await duckRows(folder.tables, RAW)).toEqual(expectedRows(6));
});

test("on again behind a gap: it is said once, and the table goes on where the log begins", async () => {
  const folder = new Folder();
  folder.append(1, 2);
  folder.start(true);
  folder.append(3, 6);
  folder.start(false);
  folder.writer.trim(5);
  expect(folder.start(false).notices).toEqual([
    expect.stringContaining("log positions 3 to 4 are in neither"),
  ]);
  const { exporter, notices } = folder.start(true);
  expect(notices).toEqual([expect.stringContaining("log positions 3 to 4 were trimmed")]);
  expect(exporter.pinnedStream("clicks").coveredPosition).toBe(6);
  const rows = expectedRows(6).filter((row) => !["3", "4"].includes(String(row[6])));
  expect(await duckRows(folder.tables, RAW)).toEqual(rows);
  expect(folder.start(true).notices).toEqual([]);
});
