// A copy of a database has what was there at its moment, whatever is written to it while it is copied. SQLite's own check and a model judge.
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { PinnedDatabase } from "../../src/savepoint/sqlite-copy.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "millrace-copy-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Large enough that a copy has several pieces. */
const BLOB_BYTES = 1024 * 1024;
const ROWS = 20;

const QUERIES = [
  "SELECT id, kind, length(bytes) AS n, hex(substr(bytes, 1, 4)) AS head FROM pages ORDER BY id",
  "SELECT * FROM parts ORDER BY name, part",
  "SELECT * FROM sqlite_sequence ORDER BY name",
  "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name",
  "PRAGMA application_id",
  "PRAGMA user_version",
  "PRAGMA page_size",
];

const contentOf = (database: Database): unknown =>
  QUERIES.map((sql) => {
    using statement = database.prepare(sql);
    return statement.all();
  });

function make(path: string): Database {
  const database = new Database(path, { safeIntegers: true });
  database.run("PRAGMA page_size = 8192");
  database.run("PRAGMA journal_mode = WAL");
  database.run("PRAGMA application_id = 1297238868");
  database.run("PRAGMA user_version = 7");
  database.run(
    "CREATE TABLE pages (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, bytes BLOB NOT NULL) STRICT",
  );
  database.run("CREATE TABLE parts (name TEXT, part INTEGER, PRIMARY KEY (name, part)) STRICT");
  database.run("CREATE INDEX pages_kind ON pages (kind) WHERE kind IS NOT NULL");
  for (let row = 0; row < ROWS; row++) {
    const bytes = new Uint8Array(BLOB_BYTES).fill(row);
    database.run("INSERT INTO pages (kind, bytes) VALUES (?, ?)", [
      row % 3 ? `k${row}` : null,
      bytes,
    ]);
    database.run("INSERT INTO parts VALUES (?, ?)", [`p${row % 4}`, 2n ** 62n + BigInt(row)]);
  }
  // numbers of rows that are gone are not used again
  database.run("DELETE FROM pages WHERE id > 15");
  return database;
}

test("a copy is of one moment, while others write", () => {
  const source = make(join(root, "source.db"));
  const before = contentOf(source);
  const pinned = new PinnedDatabase(join(root, "source.db"));
  const copying = pinned.copyTo(join(root, "copy.db"), new DiskFiles());
  let pieces = 0;
  for (let piece = copying.next(); piece.done !== true; piece = copying.next()) {
    pieces++;
    source.run("DELETE FROM pages WHERE id = (SELECT max(id) FROM pages)");
    source.run("INSERT INTO parts VALUES ('new', ?)", [pieces]);
    source.run("PRAGMA wal_checkpoint(PASSIVE)");
  }
  pinned.close();
  expect(pieces).toBeGreaterThan(3);
  expect(contentOf(source)).not.toEqual(before);
  source.close();

  expect(readdirSync(root).filter((name) => name.startsWith("copy"))).toEqual(["copy.db"]);
  const copy = new Database(join(root, "copy.db"), { readonly: true, safeIntegers: true });
  expect(contentOf(copy)).toEqual(before);
  using check = copy.prepare("PRAGMA integrity_check");
  expect(check.all()).toEqual([{ integrity_check: "ok" }]);
  copy.close();
});

test("a database without tables, as before the first checkpoint", () => {
  new DiskFiles().writeSynced(join(root, "empty.db"), [], "savepoint.begin");
  const pinned = new PinnedDatabase(join(root, "empty.db"));
  const pieces = [...pinned.copyTo(join(root, "empty-copy.db"), new DiskFiles())];
  pinned.close();
  expect(pieces).toEqual([]);
  const copy = new Database(join(root, "empty-copy.db"), { readonly: true });
  using check = copy.prepare("SELECT count(*) AS n FROM sqlite_schema");
  expect(check.all()).toEqual([{ n: 0 }]);
  copy.close();
});
