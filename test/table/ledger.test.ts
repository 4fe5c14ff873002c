// What a killed process left in the ledger is on disk before anything is built on it.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Step } from "../../src/base/failpoints.ts";
import { Ledger } from "../../src/table/ledger.ts";
import { LedgerFailedError, LedgerRefusedError } from "../../src/table/ledger-failure.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-ledger-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The disk, telling which files were synced. */
class WatchedFiles extends DiskFiles {
  readonly synced: string[] = [];
  override sync(path: string, step: Step): void {
    super.sync(path, step);
    this.synced.push(path);
  }
}

/** The files as a killed process leaves them: copied while a ledger is open, before anything is checkpointed. */
function killedLedger(): string {
  const folder = mkdtempSync(join(root, "t-"));
  const live = join(folder, "live.db");
  const ledger = Ledger.open(live, "job", new DiskFiles());
  ledger.register("ns.clicks");
  ledger.advance("ns.clicks", "clicks", { position: 7, epoch: 0 });
  const path = join(folder, "ledger.db");
  for (const suffix of ["", "-wal"]) copyFileSync(live + suffix, path + suffix);
  ledger.close();
  return path;
}

describe("a ledger that a killed process left", () => {
  test("is synced at the start, and whole", () => {
    const path = killedLedger();
    const files = new WatchedFiles();
    const ledger = Ledger.open(path, "job", files);
    expect(files.synced).toEqual([`${path}-wal`]);
    expect(ledger.writerPosition("ns.clicks", "clicks").position).toBe(7);
    ledger.close();
  });

  test("is refused when the disk cannot sync it", () => {
    const name = "table.ledger.recover.sync.before";
    const files = new DiskFiles({ name, countdown: 1, action: "EIO" });
    expect(() => Ledger.open(killedLedger(), "job", files)).toThrow(LedgerFailedError);
  });
});

/** A ledger of many pages, closed as a stop does. */
function fullLedger(): string {
  const path = join(mkdtempSync(join(root, "t-")), "ledger.db");
  const ledger = Ledger.open(path, "job", new DiskFiles());
  ledger.register("ns.clicks");
  const file = { day: null, rowCount: 1, bytes: 1, times: null, splitOffsets: [], columns: [] };
  const epochs = Array.from({ length: 200 }, (_, index) => ({
    epoch: index + 1,
    writer: "clicks",
    positionFrom: index,
    position: index + 1,
    rowCount: 1,
    watermark: "",
    files: [{ ...file, path: `data/${String(index + 1).padStart(8, "0")}-0.parquet` }],
    removed: [],
  }));
  ledger.record("ns.clicks", epochs);
  ledger.close();
  return path;
}

/** Where a part of the file lies, of its length. */
const PLACES = { head: 0, "second page": 0.05, middle: 0.5, end: 0.98 };

describe.each(Object.entries(PLACES))("a ledger damaged at its %s", (_, place) => {
  test.each(["zeroes", "noise"])("by %s is refused with what to do, and left alone", (kind) => {
    const path = fullLedger();
    const bytes = readFileSync(path);
    const from = Math.floor((bytes.length * place) / 4096) * 4096;
    for (let at = from; at < from + 200; at++) bytes[at] = kind === "zeroes" ? 0 : (at * 37) % 251;
    writeFileSync(path, bytes);
    const open = (): void => Ledger.open(path, "job", new DiskFiles()).close();
    expect(open).toThrow(LedgerRefusedError);
    expect(open).toThrow(/ledger\.db is .*restore the whole data folder from one backup$/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });
});

test("a ledger of format 2 becomes one of this release: files without a length", () => {
  const path = fullLedger();
  const made = new Database(path);
  made.run("ALTER TABLE files DROP COLUMN bytes");
  made.run("ALTER TABLE job DROP COLUMN checksum");
  made.run("PRAGMA user_version = 2");
  made.close();
  for (const _ of ["first", "second"]) {
    const ledger = Ledger.open(path, "job", new DiskFiles());
    const listed = ledger.files("ns.clicks");
    expect(listed.length).toBe(200);
    expect(listed.every(({ bytes }) => bytes === null)).toBe(true);
    ledger.close();
  }
});

// A byte of each kind of value, where no page's structure shows it: only the checksum of the rows does.
test.each([
  ["a writer's position", "UPDATE writers SET position = position + 1"],
  ["the number of the next epoch", "UPDATE tables SET epoch_next = 7"],
  ["an epoch's end", "UPDATE epochs SET position = position + 1 WHERE epoch = 150"],
  ["a path", "UPDATE files SET path = replace(path, '0-0', '1-0') WHERE epoch = 50"],
  ["a file's row that is gone", "DELETE FROM files WHERE epoch = 3"],
  ["row counts of two epochs", "UPDATE epochs SET row_count = epoch % 2 WHERE epoch < 3"],
  ["the checksum", "UPDATE job SET checksum = '0123456789abcdef'"],
])("%s that was changed is refused, to read too", (_, sql) => {
  const path = fullLedger();
  const made = new Database(path);
  made.run(sql);
  made.close();
  const wrong = /its rows have a wrong checksum.*restore the whole data folder/;
  expect(() => Ledger.open(path, "job", new DiskFiles())).toThrow(wrong);
  expect(() => Ledger.read(path, "job", new DiskFiles())).toThrow(wrong);
});

test("a new ledger has nothing to sync", () => {
  const files = new WatchedFiles();
  Ledger.open(join(mkdtempSync(join(root, "t-")), "ledger.db"), "job", files).close();
  expect(files.synced).toEqual([]);
});

test.each([0, 1])(
  "another program's database of version %d is refused and left alone",
  (version) => {
    const path = join(mkdtempSync(join(root, "t-")), "ledger.db");
    const made = new Database(path);
    made.run("CREATE TABLE theirs (a INTEGER)");
    made.run(`PRAGMA user_version = ${version}`);
    made.close();
    const before = readFileSync(path);
    expect(() => Ledger.open(path, "job", new DiskFiles())).toThrow(LedgerRefusedError);
    expect(readFileSync(path).equals(before)).toBe(true);
  },
);
