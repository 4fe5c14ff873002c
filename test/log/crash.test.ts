// What a crash, a bad disk and a foreign hand do to the log on disk: nothing acknowledged is lost, and nothing odd is read on.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { FailpointPlan } from "../../src/base/failpoints.ts";
import { CorruptRecordError, encodeRecord } from "../../src/log/codec.ts";
import { LogFailedError, LogFolderError } from "../../src/log/log.ts";
import { openSqliteLogReader } from "../../src/log/sqlite-log-reader.ts";
import {
  openSqliteLogWriter,
  unlinkLogFiles,
  type SqliteLogWriter,
} from "../../src/log/sqlite-log.ts";
import { runUntilKilled } from "../base/killed-child.ts";
import { recordAt } from "./records.ts";
import { walEnd } from "./wal.ts";

// every commit is synced: a disk that others use too may take its time
setDefaultTimeout(60_000);

const root = mkdtempSync(join(tmpdir(), "millrace-log-crash-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const MB = 1024 * 1024;
const newFolder = (): string => join(mkdtempSync(join(root, "t-")), "log");

function open(
  folder: string,
  plan: FailpointPlan | null = null,
  discard?: (firsts: readonly number[]) => void,
): SqliteLogWriter {
  return openSqliteLogWriter(folder, new DiskFiles(...(plan === null ? [] : [plan])), {
    jobId: "job",
    fileSizeBytes: 200_000,
    sizeMaxBytes: 1000 * MB,
    ...(discard === undefined ? {} : { discard }),
  });
}

function fill(writer: SqliteLogWriter, last: number): void {
  for (let at = writer.lastPosition + 1; at <= last; at++)
    writer.append([encodeRecord(recordAt(at))]);
}

/** Every record from `first` on is what was appended. Returns the last position. */
function checkAll(folder: string, first = 1): number {
  const reader = openSqliteLogReader(folder, new DiskFiles());
  let next = first;
  for (;;) {
    const records = reader.read(next, MB);
    for (const record of records) expect(record).toEqual(recordAt(next++));
    if (records.length === 0) break;
  }
  reader.close();
  return next - 1;
}

const appenderPath = join(import.meta.dir, "appender.ts");

describe("kill -9", () => {
  test("at any time: every acknowledged position is there, and the log goes on", async () => {
    const folder = newFolder();
    let acknowledged = 0;
    for (let round = 0; round < 6; round++) {
      const seen = await runUntilKilled(appenderPath, [folder, ""], 20 + round * 13);
      acknowledged = Math.max(acknowledged, seen);
      const writer = open(folder);
      expect(writer.lastPosition).toBeGreaterThanOrEqual(acknowledged);
      expect(writer.lastReceivedAtUs).toBe(recordAt(writer.lastPosition).receivedAtUs);
      const held = writer.lastPosition;
      writer.close();
      expect(checkAll(folder, firstOf(folder))).toBe(held);
    }
    expect(acknowledged).toBeGreaterThan(100);
  });

  for (const name of [
    "log.file.prepare.before",
    "log.file.publish.before",
    "log.append.before",
    "log.append.after",
    "log.roll.before",
    "log.roll.after",
    "log.trim.db.before",
    "log.trim.sync.before",
    "log.trim.wal.before",
  ])
    test(`at ${name}`, async () => {
      const folder = newFolder();
      const acknowledged = await runUntilKilled(appenderPath, [folder, `${name}:3:kill`]);
      const writer = open(folder);
      expect(writer.lastPosition - acknowledged).toBeOneOf([0, 1]);
      fill(writer, writer.lastPosition + 20);
      const held = writer.lastPosition;
      const first = writer.firstPosition;
      writer.close();
      expect(checkAll(folder, first)).toBe(held);
      const names = readdirSync(folder);
      for (const side of names.filter((file) => /-(wal|shm)$/.test(file)))
        expect(names).toContain(side.replace(/-(wal|shm)$/, ""));
    });
});

function firstOf(folder: string): number {
  return openSqliteLogReader(folder, new DiskFiles()).bounds().first;
}

describe("a torn or damaged file", () => {
  test("the tail of the -wal is torn: whole transactions before it are kept", () => {
    const folder = newFolder();
    const writer = open(folder);
    fill(writer, 3);
    const wal = join(folder, "0000000000000001.db-wal");
    const keptBytes = walEnd(wal);
    fill(writer, 4);
    // copied while open, as a crash would leave it; a copy has no -shm
    const torn = newFolder();
    new DiskFiles().makeFolder(torn);
    for (const cutBytes of [0, 1, 4000, walEnd(wal) - keptBytes]) {
      for (const file of ["0000000000000001.db", "0000000000000001.db-wal"])
        copyFileSync(join(folder, file), join(torn, file));
      const lengthBytes = walEnd(wal) - cutBytes;
      truncateSync(join(torn, "0000000000000001.db-wal"), lengthBytes);
      if (cutBytes === 1)
        appendFileSync(join(torn, "0000000000000001.db-wal"), "garbage".repeat(2000));
      rmSync(join(torn, "0000000000000001.db-shm"), { force: true });
      const recovered = open(torn);
      expect(recovered.lastPosition).toBe(cutBytes === 0 ? 4 : 3);
      fill(recovered, 8);
      recovered.close();
      expect(checkAll(torn)).toBe(8);
    }
    writer.close();
  });

  test("a flipped byte inside a record is refused when it is read, by position", () => {
    const folder = newFolder();
    const writer = open(folder);
    fill(writer, 3);
    writer.close();
    const database = new Database(join(folder, "0000000000000001.db"));
    database.run("UPDATE records SET payload = zeroblob(length(payload)) WHERE position = 2");
    database.close();
    const reader = openSqliteLogReader(folder, new DiskFiles());
    expect(reader.read(1, 1).length).toBe(1);
    expect(() => reader.read(2, MB)).toThrow(CorruptRecordError);
    expect(() => reader.read(2, MB)).toThrow(/^log record 2: .*restore the folder from a backup/);
    reader.close();
  });

  test("a byte of a full file's -wal has changed: what SQLite then drops is missed, not skipped", () => {
    const folder = newFolder();
    const writer = open(folder);
    fill(writer, 60);
    writer.close();
    const wal = join(folder, "0000000000000001.db-wal");
    const bytes = readFileSync(wal);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(wal, bytes);
    const reader = openSqliteLogReader(folder, new DiskFiles());
    expect(reader.read(1, 1)[0]).toEqual(recordAt(1));
    expect(() => {
      for (let next = 1; ;) next += reader.read(next, 1).length;
    }).toThrow(/log record \d+ is missing between 0000000000000001\.db and/);
    reader.close();
  });

  test("another program may have checkpointed a file: it is read all the same", () => {
    const folder = newFolder();
    const writer = open(folder);
    fill(writer, 30);
    writer.close();
    const database = new Database(join(folder, "0000000000000001.db"));
    database.query("SELECT count(*) FROM records").get();
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    database.close();
    expect(checkAll(folder)).toBe(30);
  });
});

describe("a folder that is not as it was left", () => {
  test("a file between others is missing: refused where the gap is", () => {
    const folder = newFolder();
    const writer = open(folder);
    fill(writer, 60);
    writer.close();
    const second = readdirSync(folder)
      .filter((name) => name.endsWith(".db"))
      .toSorted()[1];
    for (const side of ["", "-wal", "-shm"])
      rmSync(join(folder, `${second}${side}`), { force: true });
    const reader = openSqliteLogReader(folder, new DiskFiles());
    expect(() => {
      for (let next = 1; ;) next = (reader.read(next, 1)[0]?.position ?? next) + 1;
    }).toThrow(/log record \d+ is missing between 0000000000000001\.db and .*Restore/);
    reader.close();
  });

  test("a -wal is missing: refused", () => {
    const folder = newFolder();
    const writer = open(folder);
    fill(writer, 60);
    writer.close();
    rmSync(join(folder, "0000000000000001.db-wal"));
    const reader = openSqliteLogReader(folder, new DiskFiles());
    expect(() => reader.read(1, MB)).toThrow(/log record 1 is missing/);
    reader.close();
  });

  test("a file under another's name (an overlap) is refused", () => {
    const folder = newFolder();
    const writer = open(folder);
    fill(writer, 3);
    writer.close();
    for (const side of ["", "-wal", "-shm"])
      renameSync(
        join(folder, `0000000000000001.db${side}`),
        join(folder, `0000000000000009.db${side}`),
      );
    expect(() => open(folder)).toThrow(/begins with record 1, not with 9/);
  });

  test("foreign files are refused, untouched, with what to do", () => {
    const strange = newFolder();
    open(strange).close();
    writeFileSync(join(strange, "notes.txt"), "x");
    expect(() => open(strange)).toThrow(
      /notes\.txt is not a log file of Millrace\. Move it elsewhere/,
    );

    const garbage = newFolder();
    new DiskFiles().makeFolder(garbage);
    const path = join(garbage, "0000000000000001.db");
    writeFileSync(path, "not a database".repeat(1000));
    expect(() => open(garbage)).toThrow(LogFolderError);
    expect(() => open(garbage)).toThrow(/is not a log file of Millrace, or is damaged/);
    expect(statSync(path).size).toBe(14_000);
    const reader = openSqliteLogReader(garbage, new DiskFiles());
    expect(() => reader.read(1, 1)).toThrow(LogFolderError);

    writeFileSync(path, "");
    expect(() => open(garbage)).toThrow(/is empty or belongs to another program/);

    rmSync(path);
    const database = new Database(path);
    database.run("CREATE TABLE records (x)");
    database.close();
    expect(() => open(garbage)).toThrow(/is empty or belongs to another program/);
  });

  test("a newer format and another folder's file are refused", () => {
    const folder = newFolder();
    open(folder).close();
    const path = join(folder, "0000000000000001.db");
    expect(() =>
      openSqliteLogWriter(folder, new DiskFiles(), {
        jobId: "other",
        fileSizeBytes: MB,
        sizeMaxBytes: MB,
      }),
    ).toThrow(/belongs to another data folder \(job job, not other\)/);
    const database = new Database(path);
    database.run("PRAGMA user_version = 4");
    database.close();
    expect(() => open(folder)).toThrow(/log format 4, newer than 1/);
  });
});

describe("a disk that fails", () => {
  for (const action of ["EIO", "ENOSPC"] as const)
    for (const name of [
      "log.append.before",
      "log.append.after",
      "log.file.prepare.before",
      "log.file.publish.before",
    ] as const)
      test(`${action} at ${name} is latched: every later append fails too`, () => {
        const folder = newFolder();
        const writer = open(folder, { name, countdown: 3, action });
        let acknowledged = 0;
        expect(() => {
          for (let at = 1; ; at++) {
            writer.append([encodeRecord(recordAt(at))]);
            acknowledged = at;
          }
        }).toThrow(LogFailedError);
        expect(() => writer.append([encodeRecord(recordAt(acknowledged + 1))])).toThrow(
          /could not store record \d+ .*Check the disk and its free room, then start again/,
        );
        writer.close();
        const again = open(folder);
        expect(again.lastPosition - acknowledged).toBeOneOf([0, 1]);
        again.close();
        expect(checkAll(folder)).toBe(again.lastPosition);
      });

  test("a short disk refuses room before it is full, and gives it again", () => {
    const files = new DiskFiles();
    let freeBytes = 10_000 * MB;
    files.freeBytes = () => freeBytes;
    const folder = newFolder();
    const writer = openSqliteLogWriter(folder, files, {
      jobId: "job",
      fileSizeBytes: 200_000,
      sizeMaxBytes: 1000 * MB,
    });
    expect(writer.hasRoom(MB)).toBe(true);
    freeBytes = 513 * MB;
    fill(writer, 30);
    expect(writer.hasRoom(MB)).toBe(false);
    freeBytes = 600 * MB;
    expect(writer.hasRoom(MB)).toBe(true);
    // others fill the disk while nothing is appended
    freeBytes = 400 * MB;
    expect(writer.hasRoom(MB)).toBe(true);
    writer.measureDisk();
    expect(writer.hasRoom(MB)).toBe(false);
    writer.close();
  });
});

describe("a log that became larger than its bounds", () => {
  const small = { jobId: "job", fileSizeBytes: 200_000, sizeMaxBytes: 3 * MB };

  test("goes on once its only file is read: one append, then that file is trimmed", () => {
    const folder = newFolder();
    const large = openSqliteLogWriter(folder, new DiskFiles(), { ...small, fileSizeBytes: 9 * MB });
    fill(large, 400);
    expect(large.sizeBytes()).toBeGreaterThan(small.sizeMaxBytes);
    large.close();
    const writer = openSqliteLogWriter(folder, new DiskFiles(), small);
    writer.trim(401);
    expect(writer.firstPosition).toBe(1);
    expect(writer.hasRoom(0)).toBe(true);
    fill(writer, 401);
    // until the readers have that record nothing more is taken
    expect(writer.hasRoom(0)).toBe(false);
    writer.trim(402);
    expect(writer.firstPosition).toBe(401);
    expect(writer.hasRoom(0)).toBe(true);
    writer.close();
  });

  test("and after a crash between the next file's beginning and its first record", () => {
    const folder = newFolder();
    const large = openSqliteLogWriter(folder, new DiskFiles(), { ...small, fileSizeBytes: 9 * MB });
    fill(large, 400);
    large.close();
    const plan = { name: "log.roll.after", countdown: 1, action: "EIO" } as const;
    const crashing = openSqliteLogWriter(folder, new DiskFiles(plan), small);
    expect(() => fill(crashing, 401)).toThrow(LogFailedError);
    crashing.close();
    const writer = openSqliteLogWriter(folder, new DiskFiles(), small);
    expect(writer.lastPosition).toBe(400);
    expect(writer.lastReceivedAtUs).toBe(recordAt(400).receivedAtUs);
    expect(writer.hasRoom(0)).toBe(true);
    fill(writer, 401);
    writer.trim(402);
    expect(writer.firstPosition).toBe(401);
    writer.close();
  });
});

describe("trimming", () => {
  test("an open reader keeps what it reads; another thread may unlink", () => {
    const folder = newFolder();
    const discarded: number[] = [];
    const writer = open(folder, null, (firsts) => discarded.push(...firsts));
    fill(writer, 60);
    const reader = openSqliteLogReader(folder, new DiskFiles());
    expect(reader.read(2, 1)[0]).toEqual(recordAt(2));
    writer.trim(50);
    expect(discarded.length).toBeGreaterThan(1);
    expect(existsSync(join(folder, "0000000000000001.db"))).toBe(true);
    unlinkLogFiles(folder, new DiskFiles(), discarded);
    expect(readdirSync(folder).filter((name) => name.endsWith(".db")).length).toBe(
      readdirSync(folder).filter((name) => name.endsWith(".db-wal")).length,
    );
    expect(reader.read(3, 1)[0]).toEqual(recordAt(3));
    expect(firstOf(folder)).toBe(writer.firstPosition);
    reader.close();
    writer.close();
  });
});
