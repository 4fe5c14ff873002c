// Rows that change after they were put out: copy-on-write of the files that hold them. Whatever is cut together, and wherever the process
// is killed, the table has the last value of every row once; pyiceberg and DuckDB read the same.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { buildKernels } from "../../kernels/build.ts";
import { DuckDb } from "../../src/base/duckdb.ts";
import { isPythonMissing, NEEDS_PYTHON } from "../python/python.ts";
import {
  CHANGED_PLAN,
  CHANGES,
  expectedAfter,
  exportChanges,
  outputsAt,
  rowsIn,
} from "./changes-fixture.ts";
import { currentMetadata, open, pyiceberg } from "./tables-fixture.ts";

setDefaultTimeout(60_000);

let root: string;
beforeAll(async () => {
  await buildKernels(["export"]);
  root = mkdtempSync(join(tmpdir(), "millrace-changes-"));
});
afterAll(() => rmSync(root, { recursive: true }));

const newFolder = (): string => mkdtempSync(join(root, "data-"));

/** The table as pyiceberg reads it: rows in order, as text. */
function icebergRows(path: string): string[] {
  return pyiceberg(path)
    .rows.map((row) => JSON.stringify(row))
    .toSorted();
}

function expectedRows(last: number): string[] {
  return [...expectedAfter(last).values()]
    .map(([start, page, total, revision]) => {
      const text = total === null || total === undefined ? null : (Number(total) / 100).toFixed(2);
      return JSON.stringify([String(start), page, text, String(revision)]);
    })
    .toSorted();
}

describe("changed rows", () => {
  test("are there once, with their last value, whatever is cut together and however often it is opened", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.boolean(), fc.boolean()), {
          minLength: 1,
          maxLength: 12,
        }),
        (steps) => {
          const folder = newFolder();
          let tables = open(folder);
          let rows = tables.rows("shop", CHANGED_PLAN);
          let position = 0;
          for (const [count, commits, opensAgain] of steps) {
            const last = position + count;
            // a replay gives what is out already again
            for (position = Math.max(1, position - 3); position <= last; position++)
              for (const one of outputsAt(position))
                if (position > rows.export.position) rows.add(one);
            position = last;
            rows.export.cut(position);
            expect(rowsIn(tables.pinnedFiles(CHANGES).files)).toEqual(expectedAfter(position));
            if (commits) expect(tables.commitPending().failures).toEqual([]);
            if (!opensAgain) continue;
            tables.close();
            tables = open(folder);
            rows = tables.rows("shop", CHANGED_PLAN);
            expect(rowsIn(tables.pinnedFiles(CHANGES).files)).toEqual(expectedAfter(position));
          }
          tables.close();
          rmSync(folder, { recursive: true });
        },
      ),
      {
        numRuns: Number(process.env["RUNS"] ?? 15),
        // a cut that takes every row out of the last file: an epoch that removes and adds nothing
        examples: [[[1, 6, 1, 1].map((count) => [count, false, false])]],
      },
    );
  }, 60_000);

  test("an epoch before is still read as it was", () => {
    const tables = open(newFolder());
    const rows = tables.rows("shop", CHANGED_PLAN);
    const cuts = [30, 60, 90].map((last) => {
      for (let position = rows.export.position + 1; position <= last; position++)
        for (const one of outputsAt(position)) rows.add(one);
      return { last, epoch: rows.export.cut(last).epoch };
    });
    for (const { last, epoch } of cuts) {
      const { files } = tables.pinnedFiles(CHANGES, new Map([["per_minute", epoch]]));
      expect(rowsIn(files)).toEqual(expectedAfter(last));
    }
    tables.close();
  });

  test("DuckDB reads them from the files that questions read", async () => {
    const tables = open(newFolder());
    exportChanges(tables, 100);
    const list = tables.pinnedFiles(CHANGES).files.map((file) => `'${file}'`);
    const database = await DuckDb.open();
    const connection = await database.connect();
    const found = await connection.run(
      `SELECT epoch_us(window_start)::VARCHAR, page, total::VARCHAR, revision::VARCHAR FROM read_parquet([${list.join(", ")}], hive_partitioning=false)`,
    );
    database.close();
    expect(found.rows.map((row) => JSON.stringify(row)).toSorted()).toEqual(expectedRows(100));
    tables.close();
  });

  test.skipIf(isPythonMissing)(
    `pyiceberg reads them, and overwrite snapshots with what they add and take away ${NEEDS_PYTHON}`,
    () => {
      const tables = open(newFolder());
      exportChanges(tables, 100);
      const path = tables.metadataPath(CHANGES);
      expect(icebergRows(path)).toEqual(expectedRows(100));
      const { snapshots } = pyiceberg(path);
      const last = snapshots.at(-1)?.summary;
      expect(
        snapshots.filter(({ summary }) => summary["operation"] === "overwrite").length,
      ).toBeGreaterThan(3);
      expect(Number(last?.["total-records"])).toBe(expectedAfter(100).size);
      expect(Number(last?.["total-data-files"])).toBe(tables.pinnedFiles(CHANGES).files.length);
      tables.close();
    },
  );

  test("files that were replaced go once no snapshot has them", () => {
    const folder = newFolder();
    const tables = open(folder, { clock: fastClock() });
    exportChanges(tables, 500, 2);
    const data = join(folder, "warehouse/shop/per_minute/data");
    const onDisk = readdirSync(data).flatMap((day) => readdirSync(join(data, day)));
    const read = tables.pinnedFiles(CHANGES).files.length;
    // 100 snapshots are kept, each took away a handful of files
    expect(onDisk.length).toBeGreaterThan(read);
    expect(onDisk.length).toBeLessThan(read + 100 * 60);
    expect(rowsIn(tables.pinnedFiles(CHANGES).files)).toEqual(expectedAfter(500));
    const kept = new Set(onDisk);
    const metadata = JSON.stringify(currentMetadata(tables, CHANGES));
    expect(metadata.length).toBeGreaterThan(0);
    expect(kept.has("00000001-0.parquet")).toBe(false);
    tables.close();
  }, 60_000);
});

/** A clock on which an hour passes with every look. */
function fastClock() {
  let nowUs = 1_700_000_000_000_000;
  return {
    nowUs: () => (nowUs += 3_600_000_000),
    monotonicUs: () => (nowUs += 3_600_000_000),
  };
}

const STEPS = [
  ["table.data.write.before", 3],
  ["table.data.write.before", 9],
  ["table.data.write.before", 20],
  ["table.ledger.record.before", 2],
  ["table.ledger.record.after", 2],
  ["table.ledger.record.after", 3],
  ["table.reduced.write.before", 1],
  ["table.reduced.write.before", 3],
  ["table.manifest.write.before", 2],
  ["table.list.write.before", 2],
  ["table.metadata.link.before", 3],
  ["table.hint.write.before", 3],
  ["table.ledger.mark.before", 2],
  ["table.ledger.mark.after", 2],
] as const;

describe("killed at", () => {
  test.each(STEPS)(
    "%s, time %d: the next process has every row once",
    (failpoint, countdown) => {
      const folder = newFolder();
      expect(run(folder, 60, `${failpoint}:${countdown}:kill`)).toBe("SIGKILL");
      expect(run(folder, 80)).toBe(null);
      const tables = open(folder);
      tables.rows("shop", CHANGED_PLAN);
      expect(tables.commitPending().committed).toEqual([]);
      expect(rowsIn(tables.pinnedFiles(CHANGES).files)).toEqual(expectedAfter(80));
      if (!isPythonMissing)
        expect(icebergRows(tables.metadataPath(CHANGES))).toEqual(expectedRows(80));
      tables.close();
    },
    30_000,
  );
});

/** Runs the child; its signal when it was killed. */
function run(folder: string, last: number, plan?: string): NodeJS.Signals | number | null {
  const script = join(import.meta.dir, "changes-fixture.ts");
  const given = [folder, String(last), ...(plan === undefined ? [] : [plan])];
  const child = Bun.spawnSync([process.execPath, "--no-install", script, ...given]);
  if (child.exitCode !== 0 && child.signalCode === undefined)
    throw new Error(`child: ${child.stderr.toString()}`);
  return child.signalCode ?? null;
}
