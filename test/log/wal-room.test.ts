// Room ahead in the -wal: small commits do not make the file longer, large ones do it themselves, and a short disk is no fault.
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { WAL_AHEAD_BYTES } from "../../src/limits.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { openSqliteLogWriter, type SqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { eventsRecord } from "./records.ts";
import { walEnd } from "./wal.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-wal-room-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const MB = 1024 * 1024;

function open(folder: string, fileSizeBytes: number): SqliteLogWriter {
  const options = { jobId: "job", fileSizeBytes, sizeMaxBytes: 1000 * MB };
  return openSqliteLogWriter(folder, new DiskFiles(), options);
}

/** Appends records and gives how often the -wal became longer. */
function growths(folder: string, writer: SqliteLogWriter, count: number): number {
  const wal = join(folder, "0000000000000001.db-wal");
  let bytes = 0;
  let grown = 0;
  for (let n = 0; n < count; n++) {
    writer.append([encodeRecord(eventsRecord(writer.lastPosition + 1))]);
    const now = statSync(wal).size;
    if (now > bytes) grown++;
    bytes = now;
  }
  return grown;
}

test("200 small commits: a handful make the file longer, and its size is known", () => {
  const folder = join(root, "small");
  const writer = open(folder, 128 * MB);
  expect(growths(folder, writer, 200)).toBeLessThan(8);
  const wal = join(folder, "0000000000000001.db-wal");
  const files = ["", "-wal", "-shm"].map(
    (side) => statSync(join(folder, `0000000000000001.db${side}`)).size,
  );
  expect(writer.sizeBytes()).toBe(files.reduce((sum, bytes) => sum + bytes));
  expect(statSync(wal).size - walEnd(wal)).toBeLessThanOrEqual(WAL_AHEAD_BYTES);
  writer.close();
});

test("after a start the zeros that are there are used first", () => {
  const folder = join(root, "again");
  const first = open(folder, 128 * MB);
  growths(folder, first, 3);
  first.close();
  const wal = join(folder, "0000000000000001.db-wal");
  const bytes = statSync(wal).size;
  const second = open(folder, 128 * MB);
  expect(second.lastPosition).toBe(3);
  growths(folder, second, 3);
  expect(statSync(wal).size).toBe(bytes);
  second.close();
});

test("a small file is full when its records are, not when its zeros are", () => {
  const folder = join(root, "tiny");
  const writer = open(folder, MB);
  do writer.append([encodeRecord(eventsRecord(writer.lastPosition + 1))]);
  while (writer.lastPosition === 1 || !existsSync(join(folder, nameOf(writer.lastPosition))));
  expect(walEnd(join(folder, "0000000000000001.db-wal"))).toBeGreaterThan(0.9 * MB);
  writer.close();
});

function nameOf(first: number): string {
  return `${String(first).padStart(16, "0")}.db`;
}
