// What --repair does to a data folder that the real log, store and tables made: it is clean afterwards, nothing is lost, and a kill between two
// steps leaves it to the next run.
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { openDataFolder } from "../../src/log/data-folder.ts";
import { isPythonMissing, NEEDS_PYTHON } from "../python/python.ts";
import {
  byPosition,
  duckRows,
  expectedRows,
  exportAll,
  open,
  pyiceberg,
} from "../table/tables-fixture.ts";
import { findingsOf, folderPerTest, notesOf, RECORDS, visit } from "./doctor-fixture.ts";

// Python starts on a machine that others use too
setDefaultTimeout(60_000);

const { folder } = folderPerTest();

const table = (path: string): string => join(folder, "warehouse", "shop", "clicks_raw", path);
const day = (name: string): string => table(join("data", "at_day=2019-10-01", name));
const hint = (): string => readFileSync(table("metadata/version-hint.text"), "utf8");

/** The tables go on after the repair, and have the rows that they had. */
async function goesOn(): Promise<void> {
  const data = openDataFolder(folder, new DiskFiles());
  const tables = open(folder, { jobId: data.jobId });
  try {
    exportAll(tables, RECORDS + 2);
    expect(await duckRows(tables)).toEqual(expectedRows(RECORDS + 2));
  } finally {
    tables.close();
    data.close();
  }
}

/** Files below the doctor's folder, without the time. */
function aside(): string[] {
  const at = join(folder, "doctor");
  if (!existsSync(at)) return [];
  return readdirSync(at, { recursive: true, encoding: "utf8", withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(at.length + 1)
        .replace(/^[^/]+\//, ""),
    )
    .toSorted();
}

/** What is done to the folder, the finding, what is moved aside. */
const REPAIRABLE: readonly (readonly [string, () => void, RegExp, readonly string[]])[] = [
  [
    "orphan data files",
    (): void => {
      writeFileSync(day("00000002-777.parquet"), "0123456789");
      writeFileSync(day("00000003-778.parquet"), "0123456789");
    },
    /^table shop\.clicks_raw: orphan data files, .*: 2 files, 20 bytes$/,
    [],
  ],
  [
    "a file of nobody in the data folder",
    (): void => writeFileSync(table("data/notes.txt"), "mine"),
    /not Millrace's and in no snapshot: 1 file, 4 bytes$/,
    ["warehouse/shop/clicks_raw/data/notes.txt"],
  ],
  [
    "a hint to a version that is not there",
    (): void => writeFileSync(table("metadata/version-hint.text"), "999"),
    /version-hint\.text does not lead to v\d+, the newest/,
    [],
  ],
  [
    "a hint that is no number",
    (): void => writeFileSync(table("metadata/version-hint.text"), "x"),
    /version-hint\.text does not lead to v\d+, the newest/,
    [],
  ],
  [
    "a foreign file in the log",
    (): void => writeFileSync(join(folder, "log", "readme.md"), "hello"),
    /^log: .*readme\.md is not a log file: a start is refused/,
    ["log/readme.md"],
  ],
];

test.each(REPAIRABLE)(
  `%s: found, repaired, then clean ${isPythonMissing ? NEEDS_PYTHON : ""}`,
  async (name, harm, named, moved) => {
    const newest = hint();
    harm();
    // by the table's folder: it goes where the hint leads
    const isOfHint = name.includes("hint") && !isPythonMissing;
    if (isOfHint) expect(() => pyiceberg(table(""))).toThrow();
    const found = await visit(folder);
    expect(findingsOf(found)).toEqual([expect.stringMatching(named)]);
    expect(found.code).toBe(1);
    const mended = await visit(folder, { isRepair: true });
    expect([findingsOf(mended), mended.code]).toEqual([[], 0]);
    expect(mended.done.length).toBeGreaterThan(0);
    expect(aside()).toEqual([...moved]);
    expect(hint()).toBe(newest);
    if (isOfHint) expect(byPosition(pyiceberg(table("")).rows)).toEqual(expectedRows(RECORDS));
    const again = await visit(folder, { isRepair: true, isDeep: true });
    expect([findingsOf(again), notesOf(again), again.done]).toEqual([[], [], []]);
    await goesOn();
  },
);

test("what interrupted runs leave is no finding: the next start settles it, and so does a repair", async () => {
  const newest = Number(hint());
  writeFileSync(table("metadata/version-hint.text"), String(newest - 1));
  writeFileSync(table("metadata/6e0f.tmp"), "{");
  writeFileSync(table(`metadata/millrace-${newest + 1}-12345-manifest.avro`), "");
  writeFileSync(join(folder, "log", "next.tmp"), "");
  writeFileSync(join(folder, "ids", "000000000009.ids"), "half");
  writeFileSync(day("00000099-1.parquet"), "half");
  mkdirSync(join(folder, "tmp"), { recursive: true });
  const found = await visit(folder);
  expect([findingsOf(found), found.code]).toEqual([[], 0]);
  expect(notesOf(found).length).toBe(5);
  const mended = await visit(folder, { isRepair: true });
  expect([findingsOf(mended), mended.code]).toEqual([[], 0]);
  expect(notesOf(mended)).toEqual([
    expect.stringContaining("an interrupted run left 1 file, 4 bytes: the next start removes them"),
  ]);
  expect(mended.done.length).toBe(5);
  expect(hint()).toBe(String(newest));
  await goesOn();
  expect(existsSync(day("00000099-1.parquet"))).toBe(false);
});

test("while anything is damaged nothing is removed or moved", async () => {
  writeFileSync(day("00000002-777.parquet"), "0123456789");
  writeFileSync(table("data/notes.txt"), "mine");
  writeFileSync(table("metadata/version-hint.text"), "x");
  const database = new Database(join(folder, "state.db"), { readwrite: true, create: false });
  database.run("UPDATE pages SET bytes = x'00'");
  database.close();
  const { code, done } = await visit(folder, { isRepair: true });
  expect(code).toBe(2);
  expect(done).toEqual([expect.stringContaining("rewrite the hint")]);
  expect([existsSync(day("00000002-777.parquet")), aside()]).toEqual([true, []]);
});

test("a repair that fails between two steps is finished by the next", async () => {
  for (const epoch of [2, 3, 4]) writeFileSync(day(`0000000${epoch}-777.parquet`), "x");
  writeFileSync(table("data/notes.txt"), "mine");
  for (const [name, left] of [
    ["doctor.remove.before", 3],
    ["doctor.move.before", 0],
  ] as const) {
    const files = new DiskFiles({ name, countdown: 1, action: "EIO" });
    await expect(visit(folder, { isRepair: true, files })).rejects.toThrow("EIO");
    const orphans = readdirSync(day("")).filter((file) => file.includes("-777"));
    expect([orphans.length, aside()]).toEqual([left, []]);
  }
  const mended = await visit(folder, { isRepair: true });
  expect([findingsOf(mended), mended.code, mended.done.length]).toEqual([[], 0, 1]);
  expect(aside()).toEqual(["warehouse/shop/clicks_raw/data/notes.txt"]);
  await goesOn();
});

test("a folder that another process has is refused, and free again after a look", async () => {
  const running = openDataFolder(folder, new DiskFiles());
  try {
    await expect(visit(folder)).rejects.toThrow(
      "in use by another millrace process. Stop that one",
    );
  } finally {
    running.close();
  }
  expect((await visit(folder)).code).toBe(0);
  openDataFolder(folder, new DiskFiles()).close();
});
