// Runs the log's contract over both adapters.
import { afterAll, setDefaultTimeout } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { openSqliteLogReader } from "../../src/log/sqlite-log-reader.ts";
import { openSqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { logContract } from "./log.contract.ts";

// every commit is synced: a disk that others use too may take its time
setDefaultTimeout(60_000);

const root = mkdtempSync(join(tmpdir(), "millrace-log-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

logContract("memory", (options) => new MemoryLog(options));
logContract("sqlite", (options) => {
  const folder = join(mkdtempSync(join(root, "t-")), "log");
  const files = new DiskFiles();
  return {
    openWriter: () => openSqliteLogWriter(folder, files, { jobId: "job", ...options }),
    openReader: () => openSqliteLogReader(folder, files),
  };
});
