// A table that is ahead of its ledger, as after an older data folder was put back: refused, or taken back to the ledger's moment when that is asked
// for, never skipped. And a second copy of the same job that writes the same table. pyiceberg and DuckDB read what is left.
import {
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Step } from "../../src/base/failpoints.ts";
import { printJson, type JsonObject } from "../../src/table/lossless-json.ts";
import type { OnTableAhead } from "../../src/table/recovery.ts";
import type { Tables } from "../../src/table/tables.ts";
import { isPythonMissing } from "../python/python.ts";
import {
  byPosition,
  currentMetadata,
  duckRows,
  expectedRows,
  exportAll,
  open,
  pyiceberg,
  RAW,
  record,
  SCHEMA,
} from "./tables-fixture.ts";

setDefaultTimeout(60_000);

let folder: string;
beforeAll(() => buildKernels(["export"]));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-rollback-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const LEDGER = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];

/** Keeps the ledger as it is now; what is returned puts it back. */
function keepLedger(): () => void {
  const kept = mkdtempSync(join(folder, "kept-"));
  for (const name of readdirSync(folder))
    if (LEDGER.includes(name)) cpSync(join(folder, name), join(kept, name));
  return () => {
    for (const name of LEDGER) rmSync(join(folder, name), { force: true });
    for (const name of readdirSync(kept)) cpSync(join(kept, name), join(folder, name));
  };
}

function exported(last: number, onTableAhead: OnTableAhead = "refuse"): void {
  const tables = open(folder, { onTableAhead });
  exportAll(tables, last);
  tables.close();
}

/** Opens the raw table, or says why that is refused. */
function refusal(onTableAhead: OnTableAhead): string {
  const tables = open(folder, { onTableAhead });
  try {
    tables.raw("shop", "clicks", SCHEMA);
    return "accepted";
  } catch (error) {
    return String(error);
  } finally {
    tables.close();
  }
}

/** Replaces the newest metadata by a version of another program. */
function commitForeign(change: (metadata: JsonObject) => JsonObject): void {
  const tables = open(folder);
  tables.raw("shop", "clicks", SCHEMA);
  const path = tables.metadataPath(RAW);
  const metadata = change(currentMetadata(tables));
  tables.close();
  const next = path.replace(/v(\d+)\./, (_, version: string) => `v${Number(version) + 1}.`);
  writeFileSync(next, printJson(metadata));
}

/** A snapshot on top of the current one, with its files. */
function foreignSnapshot(metadata: JsonObject, operation: string, id = 77): JsonObject {
  const snapshots = metadata["snapshots"] as readonly JsonObject[];
  const { "snapshot-id": parent, ...rest } = snapshots.at(-1) as JsonObject;
  const snapshot = {
    ...rest,
    "snapshot-id": id,
    "parent-snapshot-id": parent ?? null,
    summary: { operation },
  };
  return {
    ...metadata,
    "current-snapshot-id": id,
    refs: { main: { "snapshot-id": id, type: "branch" } },
    snapshots: [...snapshots, snapshot],
  };
}

async function expectRows(tables: Tables, last: number): Promise<void> {
  expect(await duckRows(tables)).toEqual(expectedRows(last));
  if (isPythonMissing) return;
  expect(byPosition(pyiceberg(tables.metadataPath(RAW)).rows)).toEqual(expectedRows(last));
}

describe("a table that is ahead of its ledger", () => {
  test.each([2, 4, 7])(
    "of position %d is taken back, and has every row once after that",
    async (kept) => {
      exported(kept);
      const putBack = keepLedger();
      exported(12);
      putBack();
      const advice = refusal("refuse");
      expect(advice).toContain("the data folder is older than the table");
      expect(advice).toContain("--on-table-ahead=rollback");

      const tables = open(folder, { onTableAhead: "rollback" });
      tables.raw("shop", "clicks", SCHEMA);
      expect(tables.rollbacks).toEqual([
        expect.stringMatching(
          /^table shop\.clicks_raw was ahead .* \(log position 12\) to epoch \d+ /,
        ),
      ]);
      await expectRows(tables, kept);
      const metadata = currentMetadata(tables);
      expect(JSON.stringify(metadata["snapshots"])).not.toContain('"millrace.position":"12"');
      tables.close();
      // what only the dropped snapshots named is gone
      const names = readdirSync(join(folder, "warehouse/shop/clicks_raw/metadata"));
      const lists = (metadata["snapshots"] as readonly JsonObject[]).length;
      expect(names.filter((name) => name.endsWith("-list.avro")).length).toBe(lists);
      expect(refusal("refuse")).toBe("accepted");
      exported(9, "rollback");
      const again = open(folder);
      again.raw("shop", "clicks", SCHEMA);
      await expectRows(again, 9);
      again.close();
    },
  );

  test("of nothing, when the ledger had nothing yet, is emptied", async () => {
    const tables = open(folder);
    tables.raw("shop", "clicks", SCHEMA);
    tables.close();
    const putBack = keepLedger();
    exported(6);
    putBack();
    expect(refusal("rollback")).toBe("accepted");
    const empty = open(folder);
    empty.raw("shop", "clicks", SCHEMA);
    expect(currentMetadata(empty)["current-snapshot-id"]).toBeUndefined();
    empty.close();
    exported(3, "rollback");
    const again = open(folder);
    again.raw("shop", "clicks", SCHEMA);
    await expectRows(again, 3);
    again.close();
  });

  test("keeps what another program compacted before, gives up what it compacted after", async () => {
    exported(4);
    commitForeign((metadata) => foreignSnapshot(metadata, "append"));
    const putBack = keepLedger();
    exported(8);
    commitForeign((metadata) => foreignSnapshot(metadata, "replace", 78));
    putBack();
    expect(refusal("rollback")).toBe("accepted");
    const tables = open(folder);
    tables.raw("shop", "clicks", SCHEMA);
    expect(currentMetadata(tables)["current-snapshot-id"]).toBe(77);
    await expectRows(tables, 4);
    tables.close();
  });

  test("is refused when it cannot be taken back: a snapshot that expired, changes of another program, a tag", () => {
    exported(4);
    const putBack = keepLedger();
    exported(8);
    const kept = mkdtempSync(join(folder, "warehouse-"));
    cpSync(join(folder, "warehouse"), kept, { recursive: true });
    const refusedAfter = (change: (metadata: JsonObject) => JsonObject): string => {
      const reset = keepLedger();
      commitForeign(change);
      putBack();
      const said = refusal("rollback");
      reset();
      rmSync(join(folder, "warehouse"), { recursive: true });
      cpSync(kept, join(folder, "warehouse"), { recursive: true });
      return said;
    };
    const newestOnly = refusedAfter((metadata) => ({
      ...metadata,
      snapshots: (metadata["snapshots"] as readonly JsonObject[]).slice(-1),
    }));
    expect(newestOnly).toContain("is not kept any more");
    expect(refusedAfter((metadata) => foreignSnapshot(metadata, "delete"))).toContain(
      "another program has changed it since (snapshot 77)",
    );
    const tagged = refusedAfter((metadata) => ({
      ...metadata,
      refs: {
        ...(metadata["refs"] as JsonObject),
        audit: { "snapshot-id": metadata["current-snapshot-id"] ?? 0, type: "tag" },
      },
    }));
    expect(tagged).toContain('its branch or tag "audit" names a snapshot that would go');
  });
});

test("a table whose files of then are gone is not taken back", () => {
  exported(4);
  const putBack = keepLedger();
  exported(8);
  putBack();
  const data = join(folder, "warehouse/shop/clicks_raw/data");
  const [day = ""] = readdirSync(data);
  const [file = ""] = readdirSync(join(data, day)).toSorted();
  rmSync(join(data, day, file));
  expect(refusal("rollback")).toContain(`${file} is missing or empty. Put them back from the sav`);
  expect(refusal("refuse")).toContain("the data folder is older than the table");
});

describe("an epoch in the table that the ledger does not know to be there", () => {
  test("is of another copy of the job: refused at the next commit, at the start too", () => {
    exported(2);
    // both copies write one warehouse
    const putBack = keepLedger();
    const first = open(folder);
    const raw = first.raw("shop", "clicks", SCHEMA);
    raw.add(record(3));
    raw.export.cut(3);
    const ours = keepLedger();
    putBack();
    const second = open(folder);
    const theirs = second.raw("shop", "clicks", SCHEMA);
    theirs.add(record(3));
    theirs.add(record(4));
    theirs.export.cut(4);
    expect(second.commitPending().failures).toEqual([]);
    second.close();
    const [failure] = first.commitPending().failures;
    expect(failure?.message).toContain("another instance of job job-1");
    first.close();
    ours();
    expect(refusal("refuse")).toContain("when no other instance of this job writes the table");
  });

  test("is our own, of a commit that failed after it was done: its rows are there once", async () => {
    const disk: { fails: boolean } = { fails: false };
    class FailingFiles extends DiskFiles {
      override linkExclusive(from: string, to: string, step: Step): boolean {
        const isLinked = super.linkExclusive(from, to, step);
        if (disk.fails) throw Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO" });
        return isLinked;
      }
    }
    const tables = open(folder, { files: new FailingFiles() });
    const raw = tables.raw("shop", "clicks", SCHEMA);
    const cut = (position: number): void => {
      raw.add(record(position));
      raw.export.cut(position);
    };
    cut(1);
    expect(tables.commitPending().failures).toEqual([]);
    cut(2);
    disk.fails = true;
    expect(tables.commitPending().failures.length).toBe(1);
    disk.fails = false;
    cut(3);
    const round = tables.commitPending();
    expect([round.failures, round.more]).toEqual([[], true]);
    expect(round.committed.map(({ epoch, rowCount }) => [epoch, rowCount])).toEqual([[2, 10]]);
    expect(tables.commitPending()).toMatchObject({ failures: [], more: false });
    await expectRows(tables, 3);
    tables.close();
  });
});
