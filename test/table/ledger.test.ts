// What a killed process left in the ledger is on disk before anything is built on it.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { Ledger, LedgerFailedError, LedgerRefusedError } from "../../src/table/ledger.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-ledger-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The disk, telling which files were synced. */
class WatchedFiles extends DiskFiles {
  readonly synced: string[] = [];
  override sync(path: string, failpoint: string): void {
    super.sync(path, failpoint);
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
    const name = "table.ledger.recover.sync";
    const files = new DiskFiles({ name, countdown: 1, action: "EIO" });
    expect(() => Ledger.open(killedLedger(), "job", files)).toThrow(LedgerFailedError);
  });
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
