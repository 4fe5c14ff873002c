// Which log files are open, as the system says: that of a position and the one after it, and no other once the reader has passed.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { LogFilesAhead } from "../../src/log/files-ahead.ts";
import { openSqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { eventsRecord } from "./records.ts";

// every commit is synced: a disk that others use too may take its time
setDefaultTimeout(60_000);

/** Names of the databases in `folder` that this process has open, ascending. */
function openFiles(folder: string): string[] {
  const paths = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // that of the listing itself
      return [];
    }
  });
  const names = paths
    .filter((path) => dirname(path) === folder && path.endsWith(".db"))
    .map((path) => basename(path));
  return [...new Set(names)].toSorted();
}

test("the file of a position and the next one are open", () => {
  const root = mkdtempSync(join(tmpdir(), "millrace-ahead-"));
  try {
    const folder = join(root, "log");
    const files = new DiskFiles();
    const options = { jobId: "job", fileSizeBytes: 20_000, sizeMaxBytes: 10_000_000 };
    const writer = openSqliteLogWriter(folder, files, options);
    for (let position = 1; position <= 60; position++)
      writer.append([encodeRecord(eventsRecord(position, 2000))]);
    writer.close();
    const names = files.list(folder).filter((name) => name.endsWith(".db"));
    expect(names.length).toBeGreaterThan(4);
    const firstOf = (file: number): number => Number.parseInt(names[file] ?? "", 10);

    const ahead = new LogFilesAhead(folder, files);
    expect(openFiles(folder)).toEqual([]);
    ahead.keep(1);
    expect(openFiles(folder)).toEqual(names.slice(0, 2));
    ahead.keep(firstOf(1) - 1);
    expect(openFiles(folder)).toEqual(names.slice(0, 2));
    ahead.keep(firstOf(1));
    expect(openFiles(folder)).toEqual(names.slice(1, 3));
    ahead.keep(61);
    expect(openFiles(folder)).toEqual(names.slice(-1));
    ahead.close();
    expect(openFiles(folder)).toEqual([]);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
