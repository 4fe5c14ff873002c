// The end of the newest file's -wal: what a crash leaves is accepted, damage before synced records is refused by name.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { LogFolderError, type EncodedRecord } from "../../src/log/log.ts";
import { openSqliteLogWriter, type SqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { checkWalEnd } from "../../src/log/wal-check.ts";
import { eventsRecord } from "./records.ts";
import { FRAME_BYTES, walEnd } from "./wal.ts";

setDefaultTimeout(60_000);

const root = mkdtempSync(join(tmpdir(), "millrace-wal-check-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const MB = 1024 * 1024;
const NAME = "0000000000000001.db";
const TRANSACTIONS = 20;

function open(folder: string): SqliteLogWriter {
  const options = { jobId: "job", fileSizeBytes: 500 * MB, sizeMaxBytes: 1000 * MB };
  return openSqliteLogWriter(folder, new DiskFiles(), options);
}

/** Several frames a transaction: 20 KB that do not compress. */
function record(position: number): EncodedRecord {
  const image = new Uint8Array(20_000);
  let state = position;
  for (let at = 0; at < image.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    image[at] = state >>> 16;
  }
  return encodeRecord({ ...eventsRecord(position), image });
}

/** A log of 20 synced transactions, and where the frames of its -wal end after each. */
function written(): { readonly folder: string; readonly ends: readonly number[] } {
  const folder = join(mkdtempSync(join(root, "t-")), "log");
  const writer = open(folder);
  const ends: number[] = [];
  for (let position = 1; position <= TRANSACTIONS; position++) {
    writer.append([record(position)]);
    ends.push(walEnd(join(folder, `${NAME}-wal`)));
  }
  writer.close();
  return { folder, ends };
}

const { folder: original, ends } = written();

/** A copy of the log whose -wal `change` has changed. */
function changed(change: (wal: string) => void): string {
  const folder = join(mkdtempSync(join(root, "c-")), "log");
  new DiskFiles().makeFolder(folder);
  for (const side of ["", "-wal"])
    copyFileSync(join(original, `${NAME}${side}`), join(folder, `${NAME}${side}`));
  change(join(folder, `${NAME}-wal`));
  return folder;
}

function flip(wal: string, at: number): void {
  const bytes = readFileSync(wal);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(wal, bytes);
}

/** The last position of a log that opens, after it went on by one record and was opened again. */
function lastOf(folder: string): number {
  const writer = open(folder);
  const last = writer.lastPosition;
  writer.append([record(last + 1)]);
  writer.close();
  const again = open(folder);
  expect(again.lastPosition).toBe(last + 1);
  again.close();
  return last;
}

describe("one flipped bit with synced records behind it", () => {
  const end = (transaction: number): number => ends[transaction - 1] ?? 0;
  test.each([
    ["the header's magic", 3],
    ["the header's salt", 17],
    ["the first frame's page", 32 + 24 + 100],
    ["a frame's salt", 32 + 8],
    ["a page in the middle", end(10) + 24 + 5],
    ["a frame's checksum", end(10) + 17],
    ["a commit's page", end(10) - 7],
    ["a commit's salt", end(10) - FRAME_BYTES + 9],
    ["the last transaction but one", end(TRANSACTIONS - 1) - 100],
  ])("%s: refused by name", (_, at) => {
    const folder = changed((wal) => flip(wal, at));
    expect(() => open(folder)).toThrow(LogFolderError);
    expect(() => open(folder)).toThrow(
      /0000000000000001\.db-wal is damaged at frame \d+, .*restore the folder from a backup/,
    );
  });

  test("the frame is named", () => {
    const folder = changed((wal) => flip(wal, 32 + 12 * FRAME_BYTES + 24 + 8));
    expect(() => open(folder)).toThrow(/damaged at frame 13,/);
  });
});

describe("what a crash leaves", () => {
  test("nothing: all is there", () => {
    expect(lastOf(changed(() => undefined))).toBe(TRANSACTIONS);
  });

  test("the last transaction torn anywhere: all earlier records are there", () => {
    const [start = 0, end = 0] = ends.slice(-2);
    for (const at of [start, start + 10, start + 24 + 1, start + FRAME_BYTES, end - 1])
      expect(lastOf(changed((wal) => truncateSync(wal, at)))).toBe(TRANSACTIONS - 1);
    for (let at = start; at < end; at += FRAME_BYTES)
      expect(lastOf(changed((wal) => flip(wal, at + 24 + 77)))).toBe(TRANSACTIONS - 1);
  });

  test("zeros that were written ahead, all, some or none of them", () => {
    const [end = 0] = ends.slice(-1);
    for (const more of [0, 1, 24, FRAME_BYTES, 3 * FRAME_BYTES + 5])
      expect(lastOf(changed((wal) => truncateSync(wal, end + more)))).toBe(TRANSACTIONS);
  });

  test("garbage where the zeros were", () => {
    const [end = 0] = ends.slice(-1);
    const folder = changed((wal) => {
      truncateSync(wal, end);
      appendFileSync(wal, "garbage".repeat(9000));
    });
    expect(lastOf(folder)).toBe(TRANSACTIONS);
  });

  test("garbage behind the end", () => {
    const folder = changed((wal) => appendFileSync(wal, "garbage".repeat(9000)));
    expect(lastOf(folder)).toBe(TRANSACTIONS);
  });

  test("a torn transaction, partly written over, and torn again: its commit that is left is no damage", () => {
    const [start = 0] = ends.slice(-2);
    const folder = changed((wal) => {
      truncateSync(wal, walEnd(wal));
      const whole = readFileSync(wal);
      // a long transaction with the first frame broken, its other frames and commit in order
      flip(wal, start + 24 + 1);
      appendFileSync(wal, whole.subarray(start + FRAME_BYTES));
    });
    expect(lastOf(folder)).toBe(TRANSACTIONS - 1);
    const wal = join(folder, `${NAME}-wal`);
    flip(wal, start + 24 + 1);
    expect(() => checkWalEnd(wal)).not.toThrow();
  });

  test("only a header, an empty file, no file", () => {
    expect(lastOf(changed((wal) => truncateSync(wal, 32)))).toBe(0);
    expect(lastOf(changed((wal) => truncateSync(wal, 0)))).toBe(0);
    expect(lastOf(changed((wal) => rmSync(wal)))).toBe(0);
  });
});
