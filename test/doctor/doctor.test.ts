// Damage of every kind to a data folder that the real log, store and tables made: the check that names it, and the exit code.
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { encodeRecord } from "../../src/log/codec.ts";
import { record, START_US } from "../table/tables-fixture.ts";
import { findingsOf, folderPerTest, notesOf, visit } from "./doctor-fixture.ts";
import {
  change,
  changeLedger,
  contents,
  filesBelow,
  flip,
  rewriteMetadata,
  saveAnew,
} from "./harm.ts";

// on a machine that others use too
setDefaultTimeout(60_000);

const { root, folder } = folderPerTest();

const TABLE = "warehouse/shop/clicks_raw";

const filesIn = (inside: string, pattern: RegExp): string[] => filesBelow(folder, inside, pattern);
const first = (paths: readonly string[]): string => paths[0] ?? "";
const last = (paths: readonly string[]): string => paths.at(-1) ?? "";
const dataFiles = (): string[] => filesIn(TABLE, /\.parquet$/);
const logFiles = (): string[] => filesIn("log", /\.db$/);

test("a sound folder is clean, also when every value is read, and stays as it was", async () => {
  const before = contents(folder);
  for (const isDeep of [false, true]) {
    const found = await visit(folder, { isDeep, isRepair: true });
    expect([findingsOf(found), found.code, found.done]).toEqual([[], 0, []]);
    expect(notesOf(found)).toEqual([]);
  }
  expect(contents(folder)).toEqual(before);
  expect(logFiles().length).toBeGreaterThan(2);
});

/** What is done to the folder, the finding that names it, and whether only a deep look sees it. */
const DAMAGES: readonly [string, () => void, RegExp, "deep"?][] = [
  [
    "a byte of a record's payload",
    () =>
      change(
        first(logFiles()),
        "UPDATE records SET payload = CAST(x'ff' || substr(payload, 2) AS BLOB) WHERE position = 3",
      ),
    /^log: .*record 3: the checksum of the payload differs/,
  ],
  [
    "a byte of a record's header",
    () =>
      change(
        first(logFiles()),
        "UPDATE records SET header = CAST(substr(header, 1, 16) || x'ff' || substr(header, 18) AS BLOB) WHERE position = 2",
      ),
    /^log: .*record 2: the checksum of the header differs/,
  ],
  [
    "a record of a later version",
    () =>
      change(
        first(logFiles()),
        "UPDATE records SET header = CAST(substr(header, 1, 4) || x'63' || substr(header, 6) AS BLOB) WHERE position = 2",
      ),
    /^log: .*record format version 99 is newer/,
  ],
  [
    "a byte in the middle of a -wal",
    () => flip(first(filesIn("log", /-wal$/)), 40_000),
    /^log: .*is damaged at frame/,
  ],
  [
    "a record that is gone",
    () => change(first(logFiles()), "DELETE FROM records WHERE position = 2"),
    /^log: log records 2 to 2 are missing in/,
  ],
  [
    "a log file that is gone",
    () => {
      for (const path of filesIn("log", new RegExp((logFiles()[1] ?? "").slice(-19)))) rmSync(path);
    },
    /^log: log records \d+ to \d+ are missing before .*Restore/,
  ],
  [
    "the end of the log is gone",
    () => {
      for (const path of filesIn("log", new RegExp(last(logFiles()).slice(-19)))) rmSync(path);
    },
    /^positions: .*is at record 40, but the log ends at/,
  ],
  [
    "a log file without its database",
    () => rmSync(last(logFiles())),
    /^log: .*-wal has no database: a start would remove it/,
  ],
  [
    "a log file of a later format",
    () => change(first(logFiles()), "PRAGMA user_version = 9"),
    /^log: .*has log format 9, newer than/,
  ],
  [
    "a log file of another folder",
    () => change(first(logFiles()), "UPDATE file SET job_id = 'another'"),
    /^log: .*belongs to another data folder/,
  ],
  [
    "a page of the state",
    () =>
      change(
        join(folder, "state.db"),
        "UPDATE pages SET bytes = zeroblob(65536) WHERE place % 4294967296 = 1",
      ),
    /^state: .*the checksum of page 1 of fold differs/,
  ],
  [
    "a part of a closed window",
    () => change(join(folder, "state.db"), "UPDATE closed_parts SET bytes = x'00'"),
    /^state: .*part 1 of the window from 0 of v/,
  ],
  [
    "a state of a later format",
    () => change(join(folder, "state.db"), "PRAGMA user_version = 99"),
    /^state: .*has state format 99, newer/,
  ],
  ["the head of the state", () => flip(join(folder, "state.db"), 0, 30), /^state: .*is damaged/],
  [
    "a reader behind what the log has",
    () => {
      for (const path of filesIn("log", new RegExp(first(logFiles()).slice(-19)))) rmSync(path);
      change(join(folder, "state.db"), "DELETE FROM readers WHERE name = 'windows'");
      change(join(folder, "state.db"), "DELETE FROM readers");
    },
    /^positions: the log begins at record \d+, but there is no checkpoint/,
  ],
  [
    "a checkpoint behind what the log has",
    () => {
      for (const path of filesIn("log", new RegExp(first(logFiles()).slice(-19)))) rmSync(path);
      saveAnew(folder, { windows: 5 });
    },
    /^positions: reader windows stands at record 5, but the log begins at \d+/,
  ],
  [
    "tables that are older than the checkpoint",
    () =>
      changeLedger(
        folder,
        "UPDATE writers SET position = 7 WHERE table_name = 'millrace.dead_letters'",
      ),
    /^positions: the tables of reader dead_letters hold the log up to record 7, but when/,
  ],
  [
    "a record that was received before the one before",
    () => {
      const { header, payload } = encodeRecord({ ...record(5), receivedAtUs: START_US - 1000 });
      const database = new Database(first(logFiles()), { readwrite: true, create: false });
      database.run("UPDATE records SET header = ?, payload = ? WHERE position = 5", [
        header,
        payload,
      ]);
      database.close();
    },
    /^log: .*record 5 was received before the one before it/,
  ],
  [
    "sealed ids that are gone",
    () => rmSync(first(filesIn("ids", /\.ids$/))),
    /^ids: .*000000000001.ids .*it is not there/,
  ],
  [
    "the index of sealed ids",
    () =>
      flip(
        first(filesIn("ids", /\.ids$/)),
        readFileSync(first(filesIn("ids", /\.ids$/))).length - 100,
      ),
    /^ids: .*its index has a wrong checksum/,
  ],
  [
    "an entry of sealed ids",
    () => flip(first(filesIn("ids", /\.ids$/)), 100),
    /^ids: .*bucket 0 has a wrong checksum/,
    "deep",
  ],
  ["the head of the ledger", () => flip(join(folder, "ledger.db"), 0, 30), /^ledger: .*is damaged/],
  [
    "an index of the ledger",
    () => change(join(folder, "ledger.db"), "PRAGMA user_version = 77"),
    /^ledger: .*has format 77/,
  ],
  [
    "a position in the ledger",
    () => change(join(folder, "ledger.db"), "UPDATE writers SET position = position + 1"),
    /^ledger: .*its rows have a wrong checksum/,
  ],
  [
    "a file's row of the ledger",
    () => changeLedger(folder, "DELETE FROM files WHERE epoch = 3"),
    /^table shop\.clicks_raw: .*is in the current snapshot, but the ledger does not know it.*Do not start/,
  ],
  [
    "a ledger that is older than the table",
    () => {
      for (const table of ["epochs", "files"])
        changeLedger(folder, `DELETE FROM ${table} WHERE epoch > 5`);
    },
    /^table shop\.clicks_raw: snapshot \d+ says epoch \d+ at log position \d+, which the ledger does not know/,
  ],
  [
    "a ledger that tells another history",
    () => changeLedger(folder, "UPDATE epochs SET position = position + 1"),
    /^table shop\.clicks_raw: snapshot \d+ says epoch \d+ at log position (\d+), the ledger says/,
  ],
  [
    "a table of another job",
    () =>
      rewriteMetadata(
        join(folder, TABLE),
        /"millrace\.job-id":"[^"]*"/g,
        '"millrace.job-id":"another"',
      ),
    /^table shop\.clicks_raw: .*was written by job another/,
  ],
  [
    "metadata that is cut, to which no hint is made to lead",
    () => {
      rewriteMetadata(join(folder, TABLE), /^\{/, "{{");
      writeFileSync(join(folder, TABLE, "metadata", "version-hint.text"), "2");
    },
    /^table shop\.clicks_raw: .*is not table metadata/,
  ],
  [
    "an old metadata file that is gone",
    () => rmSync(join(folder, TABLE, "metadata", "v2.metadata.json")),
    /^table shop\.clicks_raw: .*v2\.metadata\.json is missing/,
  ],
  [
    "all metadata gone",
    () => rmSync(join(folder, TABLE, "metadata"), { recursive: true }),
    /^table shop\.clicks_raw: .*has no metadata/,
  ],
  [
    "a table that the ledger forgot",
    () => {
      for (const [table, column] of [
        ["tables", "name"],
        ["writers", "table_name"],
      ])
        changeLedger(folder, `DELETE FROM ${table} WHERE ${column} = 'shop.clicks_raw'`);
    },
    /^warehouse: .*is a table of this data folder at epoch \d+, but the ledger does not know it/,
  ],
  [
    "a manifest that is gone",
    () => rmSync(first(filesIn(TABLE, /-manifest\.avro$/))),
    /^table shop\.clicks_raw: .*-manifest\.avro cannot be read/,
  ],
  [
    "a manifest list that is cut",
    () => truncateSync(last(filesIn(TABLE, /-list\.avro$/)), 100),
    /^table shop\.clicks_raw: .*-list\.avro cannot be read/,
  ],
  [
    "a data file that is gone",
    () => rmSync(first(dataFiles())),
    /^table shop\.clicks_raw: .*\.parquet is missing or empty/,
  ],
  [
    "a data file that is cut",
    () => truncateSync(last(dataFiles()), 500),
    /^table shop\.clicks_raw: .*has 500 bytes, \d+ were written/,
  ],
  [
    "bytes of a data file",
    () => flip(first(dataFiles()), 4, 200),
    /^table shop\.clicks_raw: .*\.parquet cannot be read/,
    "deep",
  ],
];

test.each(DAMAGES.map((damage) => [...damage]))("%s", async (...damage) => {
  const [, harm, named, needs] = damage as unknown as (typeof DAMAGES)[number];
  harm();
  const isDeep = needs === "deep";
  if (isDeep) expect(findingsOf(await visit(folder))).toEqual([]);
  const found = await visit(folder, { isDeep });
  expect(findingsOf(found)).toContainEqual(expect.stringMatching(named));
  expect(found.code).toBe(2);
  const after = await visit(folder, { isDeep, isRepair: true });
  expect([after.code, after.done]).toEqual([2, []]);
});

test("a file that was put in the place of another, of the same length, is not what its manifest says", async () => {
  const paths = dataFiles();
  const length = (path: string): number => statSync(path).size;
  const pairs = paths.flatMap((one, at) =>
    paths.slice(at + 1).flatMap((two) => (length(one) === length(two) ? [[one, two]] : [])),
  );
  const [one = "", two = ""] = pairs[0] ?? [];
  expect(two).not.toBe("");
  cpSync(two, one);
  expect(findingsOf(await visit(folder))).toEqual([]);
  const found = await visit(folder, { isDeep: true });
  expect(findingsOf(found)).toContainEqual(
    expect.stringMatching(/the manifest says from \d+ to \d+\. Put it back/),
  );
  expect(found.code).toBe(2);
});

test("a folder of an older format is read as the next start would read it", async () => {
  change(join(folder, "ledger.db"), "ALTER TABLE files DROP COLUMN bytes");
  change(join(folder, "ledger.db"), "ALTER TABLE job DROP COLUMN checksum");
  change(join(folder, "ledger.db"), "PRAGMA user_version = 2");
  change(join(folder, "state.db"), "DROP TABLE closed_parts");
  change(join(folder, "state.db"), "PRAGMA user_version = 2");
  expect(findingsOf(await visit(folder))).toEqual([]);
  truncateSync(first(dataFiles()), 500);
  expect(findingsOf(await visit(folder))).toContainEqual(expect.stringContaining("has 500 bytes"));
});

test("a folder that was moved is told where it belongs", async () => {
  const moved = join(root, "moved");
  cpSync(folder, moved, { recursive: true });
  const found = await visit(moved, { isDeep: true, isRepair: true });
  expect(findingsOf(found)).toContainEqual(
    expect.stringContaining(`was written as file://${folder}/warehouse/shop/clicks_raw`),
  );
  expect([found.code, found.done]).toEqual([2, []]);
});

test("what is not a data folder, or none yet", async () => {
  const empty = mkdtempSync(join(root, "empty-"));
  await expect(visit(empty)).rejects.toThrow("is not a data folder of Millrace");
  expect(readdirSync(empty)).toEqual([]);
  writeFileSync(join(empty, "lock.db"), "");
  expect((await visit(empty)).code).toBe(0);
  writeFileSync(join(empty, "notes.txt"), "");
  await expect(visit(empty)).rejects.toThrow("notes.txt");
  await expect(visit(join(root, "nowhere"))).rejects.toThrow("is not a data folder");
  await expect(visit(join(empty, "notes.txt"))).rejects.toThrow("is not a folder");
  flip(join(folder, "lock.db"), 0, 30);
  await expect(visit(folder)).rejects.toThrow("lock.db is not a database, or is damaged");
});
