// The checkpoint store on disk: what was saved is loaded, whole, also after kill -9; damage and foreign files are refused.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { SqliteClosedParts } from "../../src/checkpoint/sqlite-closed.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import {
  CheckpointError,
  CheckpointFailedError,
  NO_CHANGE,
  type CheckpointStore,
} from "../../src/checkpoint/store.ts";
import { runUntilKilled } from "../base/killed-child.ts";
import { bytesOf, changeAt } from "./changes.ts";

// every commit is synced: a disk that others use too may take its time
setDefaultTimeout(60_000);

const root = mkdtempSync(join(tmpdir(), "millrace-state-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const files = new DiskFiles();
const newPath = (): string => join(mkdtempSync(join(root, "t-")), "state.db");
const open = (path: string): CheckpointStore => openCheckpointStore(path, files, "job");

/** Everything in the store. */
function contentOf(store: CheckpointStore) {
  const { readers, outputs, pages, segments } = store.load();
  return { readers, outputs, pages: [...pages], segments: [...segments] };
}

/** The store holds exactly what the first `n` changes of the series leave. */
function expectCheckpoint(store: CheckpointStore, n: number): void {
  const content = contentOf(store);
  const newest = changeAt(n);
  const kept = n === 1 ? [newest] : [changeAt(n - 1), newest];
  expect(content.readers).toEqual([...newest.readers]);
  expect(content.outputs).toEqual(kept.flatMap((change) => change.outputs));
  expect(content.segments).toEqual(kept.flatMap((change) => change.segments));
  const byPlace = (a: { space: string; page: number }, b: { space: string; page: number }) =>
    a.space.localeCompare(b.space) || a.page - b.page;
  expect(content.pages.toSorted(byPlace)).toEqual(newest.pages.toSorted(byPlace));
}

describe("checkpoint store", () => {
  test("a new one is empty", () => {
    const store = open(newPath());
    expect(contentOf(store)).toEqual({ readers: [], outputs: [], pages: [], segments: [] });
    store.save(NO_CHANGE);
    store.close();
  });

  test("keeps what changes leave, over reopening", () => {
    const path = newPath();
    for (let n = 1; n <= 5; n++) {
      const store = open(path);
      store.save(changeAt(n));
      expectCheckpoint(store, n);
      store.close();
    }
    const store = open(path);
    expectCheckpoint(store, 5);
    store.close();
  });

  test("a save is in the -wal, merging brings it into the file; a kill before either loses nothing", () => {
    const path = newPath();
    const store = open(path);
    store.merge();
    for (let n = 1; n <= 3; n++) {
      const before = readFileSync(path);
      store.save(changeAt(n));
      expect(readFileSync(path).equals(before)).toBe(true);
      const killed = newPath();
      for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, killed + suffix);
      const again = open(killed);
      expectCheckpoint(again, n);
      again.close();
      store.merge();
      // all that there is: without its -wal
      const merged = newPath();
      copyFileSync(path, merged);
      const alone = open(merged);
      expectCheckpoint(alone, n);
      alone.close();
    }
    // room in the -wal is used again
    const walBytes = statSync(`${path}-wal`).size;
    for (let n = 4; n <= 8; n++) {
      store.save(changeAt(n));
      store.merge();
    }
    expect(statSync(`${path}-wal`).size).toBeLessThan(2 * walBytes);
    store.close();
  });

  test("pages are replaced, freed, and come back by space and page", () => {
    const store = open(newPath());
    const page = (space: string, number: number, seed: number) => ({
      space,
      page: number,
      bytes: bytesOf(seed, 65_536),
    });
    store.save({
      ...NO_CHANGE,
      pages: [page("b", 2, 1), page("a", 0, 2), page("b", 0, 3), page("a", 4_294_967_295, 4)],
    });
    store.save({
      ...NO_CHANGE,
      pages: [page("b", 2, 5)],
      freedPages: [
        { space: "a", page: 0 },
        { space: "never", page: 1 },
      ],
    });
    expect(contentOf(store).pages).toEqual([
      page("b", 0, 3),
      page("b", 2, 5),
      page("a", 4_294_967_295, 4),
    ]);
    store.close();
  });

  test("groups of closed windows are replaced, dropped and read beside the writer", () => {
    const path = newPath();
    const store = open(path);
    const part = (view: string, startUs: bigint, number: number, seed: number) => ({
      view,
      startUs,
      endUs: startUs + 60n,
      bits: 3,
      part: number,
      bytes: bytesOf(seed, 5000),
    });
    const far = 2n ** 63n - 61n;
    const parts = [
      part("a", 0n, 7, 1),
      part("a", 60n, 0, 2),
      part("a", far, 1, 3),
      part("b", 0n, 7, 4),
    ];
    store.save({ ...NO_CHANGE, closedParts: parts });
    const reader = new SqliteClosedParts(path);
    const stored = (view: string, startUs: bigint, number: number): Uint8Array | null =>
      reader.closedPart(view, startUs, number);
    for (const { view, startUs, part: number, bytes } of parts)
      expect(stored(view, startUs, number)).toEqual(bytes);
    expect(stored("a", 60n, 1)).toBeNull();
    store.save({
      ...NO_CHANGE,
      closedParts: [part("a", 60n, 0, 5), part("b", 0n, 6, 6)],
      droppedParts: [
        { view: "a", endUs: 60n },
        { view: "b", endUs: null },
      ],
    });
    expect(stored("a", 0n, 7)).toBeNull();
    expect(stored("b", 0n, 7)).toBeNull();
    expect(stored("a", 60n, 0)).toEqual(bytesOf(5, 5000));
    const window = (view: string, startUs: bigint) => ({
      view,
      startUs,
      endUs: startUs + 60n,
      bits: 3,
    });
    expect(store.load().closedWindows).toEqual([
      window("a", 60n),
      window("a", far),
      window("b", 0n),
    ]);
    const damage = new Database(path);
    damage.run("UPDATE closed_parts SET part = 2 WHERE view = 'b'");
    damage.close();
    expect(() => stored("b", 0n, 2)).toThrow(CheckpointError);
    reader.close();
    store.close();
  });

  test("a reader goes away, and never back", () => {
    const store = open(newPath());
    const reader = (position: number) => ({
      name: "r",
      position,
      body: new Uint8Array([position]),
    });
    store.save({ ...NO_CHANGE, readers: [reader(5)] });
    store.save({ ...NO_CHANGE, readers: [reader(5)] });
    store.save({ ...NO_CHANGE, removedReaders: ["r"], readers: [reader(3)] });
    expect(store.load().readers).toEqual([reader(3)]);
    expect(store.readerNames()).toEqual(["r"]);
    expect(() => store.save({ ...NO_CHANGE, readers: [reader(2)] })).toThrow(
      "does not go back to 2",
    );
    store.close();
  });

  test("space of what is dropped is used again", () => {
    const path = newPath();
    const sizes = [30, 150].map((last) => {
      const store = open(path);
      const next = (store.load().readers[0]?.position ?? 0) / 10 + 1;
      for (let n = next; n <= last; n++) store.save(changeAt(n));
      expect(store.sizeBytes()).toBeGreaterThan(statSync(path).size);
      store.close();
      return statSync(path).size;
    });
    expect(sizes[1]).toBeLessThan((sizes[0] ?? 0) * 1.1);
  });
});

describe("kill -9", () => {
  const saverPath = join(import.meta.dir, "saver.ts");

  test("at any time: the last durable checkpoint or the one after it, whole", async () => {
    const path = newPath();
    let durable = 0;
    for (let round = 0; round < 6; round++) {
      durable = Math.max(durable, await runUntilKilled(saverPath, [path, ""], 2 + round));
      const store = open(path);
      const n = (store.load().readers[0]?.position ?? 0) / 10;
      expect(n - durable).toBeOneOf([0, 1]);
      if (n > 0) expectCheckpoint(store, n);
      durable = n;
      store.close();
    }
    expect(durable).toBeGreaterThan(5);
  });

  for (const [step, ahead] of [
    ["before", 0],
    ["inside", 0],
    ["after", 1],
  ] as const)
    test(`at checkpoint.save.${step}`, async () => {
      const path = newPath();
      const durable = await runUntilKilled(saverPath, [path, `checkpoint.save.${step}:4:kill`]);
      expect(durable).toBe(3);
      const store = open(path);
      expectCheckpoint(store, durable + ahead);
      store.save(changeAt(durable + ahead + 1));
      expectCheckpoint(store, durable + ahead + 1);
      store.close();
    });
});

describe("a store that is not as it was left", () => {
  const tables = ["pages", "readers", "outputs", "segments"] as const;
  for (const table of tables)
    test(`a changed byte in ${table} is refused, with what to do`, () => {
      const path = newPath();
      const store = open(path);
      store.save(changeAt(2));
      store.close();
      const database = new Database(path);
      const { id, bytes } = database
        .query<{ id: number; bytes: Uint8Array }, []>(
          `SELECT rowid AS id, bytes FROM ${table} LIMIT 1`,
        )
        .get() ?? { id: 0, bytes: new Uint8Array(1) };
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4;
      expect(
        database.run(`UPDATE ${table} SET bytes = ? WHERE rowid = ?`, [bytes, id]).changes,
      ).toBe(1);
      database.close();
      const again = open(path);
      expect(() => contentOf(again)).toThrow(CheckpointError);
      expect(() => contentOf(again)).toThrow(/the checksum of .* differs.*restore the folder/);
      again.close();
    });

  test("two pages exchanged are refused", () => {
    const path = newPath();
    const store = open(path);
    store.save(changeAt(2));
    store.close();
    const database = new Database(path);
    const places = database.query<{ place: number }, []>("SELECT place FROM pages LIMIT 2").all();
    const [one = 0, two = 0] = places.map((row) => row.place);
    for (const [from, to] of [
      [one, -1],
      [two, one],
      [-1, two],
    ] as const)
      database.run("UPDATE pages SET place = ? WHERE place = ?", [to, from]);
    database.close();
    const again = open(path);
    expect(() => [...again.load().pages]).toThrow(CheckpointError);
    again.close();
  });

  test("foreign, cut, newer and misplaced files are refused", () => {
    const path = newPath();
    writeFileSync(path, "not a database ".repeat(500));
    expect(() => open(path)).toThrow(/is damaged or not a checkpoint of Millrace/);

    const foreign = newPath();
    const database = new Database(foreign);
    database.run("CREATE TABLE pages (x)");
    database.close();
    expect(() => open(foreign)).toThrow("belongs to another program");

    const ours = newPath();
    const store = open(ours);
    store.save(changeAt(1));
    store.close();
    expect(() => openCheckpointStore(ours, files, "another")).toThrow(
      "belongs to another data folder (job job, not another)",
    );
    const newer = new Database(ours);
    newer.run("PRAGMA user_version = 5");
    newer.close();
    expect(() => open(ours)).toThrow(/state format 5, newer than 4/);
    const older = new Database(ours);
    older.run("PRAGMA user_version = 1");
    expect(() => open(ours)).toThrow("state format 1, from before the first release");
    older.run("PRAGMA user_version = 4");
    older.close();
    truncateSync(ours, 20_000);
    expect(() => contentOf(open(ours))).toThrow(CheckpointError);
  });
});

describe("a disk that fails", () => {
  for (const action of ["EIO", "ENOSPC"] as const)
    for (const step of ["before", "inside", "after"] as const)
      test(`${action} ${step} a save is latched; the start after it finds a whole checkpoint`, () => {
        const path = newPath();
        const name = `checkpoint.save.${step}` as const;
        const failing = new DiskFiles({ name, countdown: 3, action });
        const store = openCheckpointStore(path, failing, "job");
        store.save(changeAt(1));
        store.save(changeAt(2));
        expect(() => store.save(changeAt(3))).toThrow(CheckpointFailedError);
        expect(() => store.save(changeAt(3))).toThrow(/could not be saved.*start again/);
        store.close();
        const again = open(path);
        expectCheckpoint(again, step === "after" ? 3 : 2);
        again.close();
      });
});
