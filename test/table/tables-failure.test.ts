// What tables meet in the long run: failing disks, foreign commits, restored folders, and histories that must stay bounded.
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Failpoint } from "../../src/base/failpoints.ts";
import { MANIFESTS_MAX } from "../../src/limits.ts";
import { readAvro, type AvroRecord } from "../../src/table/avro.ts";
import { TableRefusedError } from "../../src/table/metadata-files.ts";
import { LedgerFailedError } from "../../src/table/ledger-failure.ts";
import { plainText, printJson, type JsonObject } from "../../src/table/lossless-json.ts";
import { TableWriteError } from "../../src/table/table-export.ts";
import { isPythonMissing } from "../python/python.ts";
import {
  byPosition,
  currentMetadata,
  duckRows,
  exportAll,
  expectedRows,
  open,
  pyiceberg,
  RAW,
  record,
  RECORD_ROWS,
  SCHEMA,
  START_US,
} from "./tables-fixture.ts";

let folder: string;
beforeAll(() => buildKernels(["export"]));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-tables-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("what goes wrong", () => {
  /** A disk that fails at one step until it is repaired. */
  class FailingFiles extends DiskFiles {
    failing: Failpoint | null = null;
    override reach(failpoint: Failpoint): void {
      if (failpoint !== this.failing) return super.reach(failpoint);
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    }
  }

  test("damaged metadata is refused by the name of its file", () => {
    const tables = open(folder);
    tables.raw("shop", "clicks", SCHEMA);
    const path = tables.metadataPath(RAW);
    tables.close();
    writeFileSync(path, "{ half");
    const again = open(folder);
    expect(() => again.raw("shop", "clicks", SCHEMA)).toThrow(TableRefusedError);
    expect(() => again.raw("shop", "clicks", SCHEMA)).toThrow(basename(path));
    again.close();
  });

  test("a data file that cannot be written is written again by the next cut", async () => {
    const files = new FailingFiles();
    const tables = open(folder, { files });
    const raw = tables.raw("shop", "clicks", SCHEMA);
    raw.add(record(1));
    files.failing = "table.data.write.before";
    expect(() => raw.export.cut(1)).toThrow(TableWriteError);
    expect(() => raw.export.cut(1)).toThrow("ENOSPC");
    raw.add(record(2));
    expect([raw.export.rows, raw.export.due()]).toEqual([20, "retry"]);
    files.failing = null;
    expect(raw.export.cut(2)).toMatchObject({ epoch: 1, position: 1, rowCount: 10 });
    expect(raw.export.cut(2)).toMatchObject({ epoch: 2, position: 2, rowCount: 10 });
    expect(await duckRows(tables)).toEqual(expectedRows(2));
    tables.close();
  });

  test.each([
    "table.manifest.write.before",
    "table.list.write.before",
    "table.metadata.write.before",
    "table.metadata.link.before",
  ])("a commit that fails at %s is tried again, and leaves nothing behind", async (failpoint) => {
    const files = new FailingFiles();
    const tables = open(folder, { files });
    const raw = tables.raw("shop", "clicks", SCHEMA);
    raw.add(record(1));
    raw.export.cut(1);
    files.failing = failpoint;
    const before = readdirSync(join(folder, "warehouse/shop/clicks_raw/metadata"));
    const round = tables.commitPending();
    expect(round.committed).toEqual([]);
    expect(round.failures.map((failure) => failure.table)).toEqual([RAW]);
    expect(readdirSync(join(folder, "warehouse/shop/clicks_raw/metadata"))).toEqual(before);
    expect(await duckRows(tables)).toEqual(expectedRows(1));
    files.failing = null;
    expect(tables.commitPending().committed.length).toBe(1);
    tables.close();
  });

  test.each([false, true])(
    "a commit that was linked and failed counts once its name is synced (after a start: %p)",
    (isStart) => {
      const met: Failpoint[] = [];
      class TracedFiles extends FailingFiles {
        override reach(failpoint: Failpoint): void {
          met.push(failpoint);
          super.reach(failpoint);
        }
      }
      const files = new TracedFiles();
      const tables = open(folder, { files });
      const raw = tables.raw("shop", "clicks", SCHEMA);
      raw.add(record(1));
      raw.export.cut(1);
      files.failing = "table.metadata.link.after";
      expect(tables.commitPending().failures.length).toBe(1);
      files.failing = null;
      met.length = 0;
      if (isStart) tables.close();
      const next = isStart ? open(folder, { files }) : tables;
      next.raw("shop", "clicks", SCHEMA);
      expect(next.commitPending().failures).toEqual([]);
      const steps = ["table.recover.sync.after", "table.ledger.mark.before"];
      expect(met.filter((failpoint) => steps.includes(failpoint))).toEqual(steps as Failpoint[]);
      next.close();
    },
  );

  test("a failed ledger is latched", () => {
    const files = new FailingFiles();
    const tables = open(folder, { files });
    const raw = tables.raw("shop", "clicks", SCHEMA);
    tables.close();
    raw.add(record(1));
    expect(() => raw.export.cut(1)).toThrow(LedgerFailedError);
    expect(() => tables.ledgerPosition(RAW, "clicks")).toThrow(LedgerFailedError);
  });

  test("a foreign commit in between: ours goes on top, its 63-bit ids are kept, its members too", async () => {
    const tables = open(folder);
    const raw = tables.raw("shop", "clicks", SCHEMA);
    raw.add(record(1));
    raw.export.cut(1);
    tables.commitPending();
    // another writer changes the table: a snapshot with the same files and a large id
    const metadata = currentMetadata(tables);
    const [snapshot] = metadata["snapshots"] as JsonObject[];
    const id = 9_007_199_254_740_993_123n % 2n ** 63n;
    const foreign = {
      ...metadata,
      "last-sequence-number": 2,
      "current-snapshot-id": id,
      "x-foreign": { kept: true },
      refs: { main: { "snapshot-id": id, type: "branch" } },
      snapshots: [
        snapshot ?? {},
        {
          ...snapshot,
          "snapshot-id": id,
          "sequence-number": 2,
          "parent-snapshot-id": snapshot?.["snapshot-id"] ?? null,
          summary: { operation: "replace", "total-records": "10", "total-data-files": "2" },
        },
      ],
    };
    const path = tables.metadataPath(RAW).replace("v2.", "v3.");
    writeFileSync(path, printJson(foreign), { flag: "wx" });
    raw.add(record(2));
    raw.export.cut(2);
    expect(tables.commitPending().failures).toEqual([]);
    const text = readFileSync(tables.metadataPath(RAW), "utf8");
    expect(text).toContain(`"snapshot-id":${id}`);
    expect(text).toContain(`"parent-snapshot-id":${id}`);
    expect(currentMetadata(tables)["x-foreign"]).toEqual({ kept: true });
    expect(await duckRows(tables)).toEqual(expectedRows(2));
    if (!isPythonMissing)
      expect(byPosition(pyiceberg(tables.metadataPath(RAW)).rows)).toEqual(expectedRows(2));
    tables.close();
  });

  test("two writers at the same time: the loser of the link commits on top of the winner", () => {
    const other: { commit: (() => void) | null } = { commit: null };
    class RacingFiles extends DiskFiles {
      override reach(failpoint: Failpoint): void {
        super.reach(failpoint);
        if (failpoint !== "table.metadata.link.before" || other.commit === null) return;
        const commit = other.commit;
        other.commit = null;
        commit();
      }
    }
    const tables = open(folder, { files: new RacingFiles() });
    const raw = tables.raw("shop", "clicks", SCHEMA);
    raw.add(record(1));
    raw.export.cut(1);
    other.commit = () => {
      const foreign = { ...currentMetadata(tables), "x-winner": true };
      writeFileSync(tables.metadataPath(RAW).replace("v1.", "v2."), printJson(foreign));
    };
    expect(tables.commitPending().committed.length).toBe(1);
    expect(tables.metadataPath(RAW)).toEndWith("/v3.metadata.json");
    expect(currentMetadata(tables)["x-winner"]).toBe(true);
    const names = readdirSync(join(folder, "warehouse/shop/clicks_raw/metadata"));
    expect(names.filter((name) => name.startsWith("millrace-2-"))).toEqual([]);
    expect(names.filter((name) => name.endsWith(".tmp"))).toEqual([]);
    tables.close();
  });

  test("an older data folder, an older table, another job, other columns: refused with what to do", () => {
    const tables = open(folder);
    exportAll(tables, 2);
    tables.close();
    cpSync(folder, `${folder}-old`, { recursive: true });
    const more = open(folder);
    exportAll(more, 4);
    more.close();
    const restoredLedger = mkdtempSync(join(tmpdir(), "millrace-tables-"));
    try {
      const refused = (ledgerFolder: string, warehouse: string, jobId = "job-1"): string => {
        cpSync(join(ledgerFolder, "ledger.db"), join(folder, "ledger.db"));
        for (const kind of ["-wal", "-shm"])
          rmSync(join(folder, `ledger.db${kind}`), { force: true });
        if (warehouse !== folder) {
          rmSync(join(folder, "warehouse"), { recursive: true });
          cpSync(join(warehouse, "warehouse"), join(folder, "warehouse"), { recursive: true });
        }
        try {
          const opened = open(folder, { jobId });
          try {
            opened.raw("shop", "clicks", SCHEMA);
          } finally {
            opened.close();
          }
        } catch (error) {
          return String(error);
        }
        return "accepted";
      };
      cpSync(join(folder, "ledger.db"), join(restoredLedger, "ledger.db"));
      expect(refused(`${folder}-old`, folder)).toContain("the data folder is older than the table");
      expect(refused(restoredLedger, `${folder}-old`)).toContain(
        "the table is older than the data folder",
      );
      expect(refused(restoredLedger, folder, "job-2")).toContain(
        "is of job job-1, this is job job-2",
      );
    } finally {
      rmSync(`${folder}-old`, { recursive: true });
      rmSync(restoredLedger, { recursive: true });
    }
  });

  test("with a data file missing, files that the ledger does not know are kept, and their names are passed", () => {
    const tables = open(folder);
    exportAll(tables, 1);
    const [path = ""] = tables.pinnedFiles(RAW).files;
    expect(tables.damages).toEqual([]);
    tables.close();
    const unknown = path.replace(/\/[^/]+$/, "/00000007-0.parquet");
    renameSync(path, unknown);
    const damaged = open(folder);
    const raw = damaged.raw("shop", "clicks", SCHEMA);
    expect(damaged.damages.length).toBe(1);
    expect(damaged.damages[0]).toContain(`${path} is missing or empty`);
    raw.add(record(2));
    raw.export.cut(2);
    expect(damaged.pinnedFiles(RAW).files.at(-1)).toContain("/00000008-");
    damaged.close();
    renameSync(unknown, path);
    writeFileSync(unknown, "from a crash");
    const mended = open(folder);
    mended.raw("shop", "clicks", SCHEMA);
    expect(mended.damages).toEqual([]);
    expect(existsSync(unknown)).toBe(false);
    mended.close();
  });

  test("other columns under the same name are refused", () => {
    const tables = open(folder);
    tables.raw("shop", "clicks", SCHEMA);
    tables.close();
    const again = open(folder);
    const [at, page] = SCHEMA.columns;
    const columns =
      at === undefined || page === undefined ? [] : [at, { ...page, nullable: false }];
    expect(() => again.raw("shop", "clicks", { ...SCHEMA, columns })).toThrow(TableRefusedError);
    again.close();
  });
});

function textAt(line: AvroRecord, field: string): string {
  const value = line[field];
  return typeof value === "string" ? value : "";
}

describe("metadata stays bounded", () => {
  test("manifests are merged, snapshots and metadata files expire, all rows stay", async () => {
    const clock = new ManualClock(START_US);
    const tables = open(folder, { clock });
    const raw = tables.raw("shop", "clicks", SCHEMA);
    const commits = 140;
    for (let position = 1; position <= commits; position++) {
      raw.add(record(position));
      raw.export.cut(position);
      expect(tables.commitPending().failures).toEqual([]);
      clock.advance(60_000_000);
    }
    const metadata = currentMetadata(tables);
    const snapshots = metadata["snapshots"] as JsonObject[];
    expect(snapshots.length).toBe(100);
    expect((metadata["snapshot-log"] as JsonObject[]).length).toBe(100);
    expect((metadata["metadata-log"] as JsonObject[]).length).toBe(100);
    // what is on the disk is what the snapshots name
    const listed = snapshots.map((one) => basename(plainText(one["manifest-list"])));
    const metadataFolder = join(folder, "warehouse/shop/clicks_raw/metadata");
    const named = new Set(
      listed.flatMap((list) => [
        list,
        ...readAvro(readFileSync(join(metadataFolder, list))).records.map((line) =>
          basename(textAt(line, "manifest_path")),
        ),
      ]),
    );
    const avro = readdirSync(metadataFolder).filter((name) => name.endsWith(".avro"));
    expect(avro.toSorted()).toEqual([...named].toSorted());
    const lines = readAvro(
      readFileSync(plainText(snapshots.at(-1)?.["manifest-list"]).replace("file://", "")),
    ).records;
    expect(lines.length).toBeLessThanOrEqual(MANIFESTS_MAX);
    const live = lines.reduce(
      (sum, line) => sum + Number(line["added_files_count"]) + Number(line["existing_files_count"]),
      0,
    );
    expect(live).toBe(commits * 2);
    expect(await duckRows(tables)).toEqual(expectedRows(commits));
    const versions = readdirSync(join(folder, "warehouse/shop/clicks_raw/metadata")).filter(
      (name) => name.endsWith(".metadata.json"),
    );
    expect(versions.length).toBe(101);
    if (!isPythonMissing) {
      const found = pyiceberg(tables.metadataPath(RAW));
      expect(found.rows.length).toBe(commits * RECORD_ROWS);
      expect(byPosition(found.rows)).toEqual(expectedRows(commits));
    }
    tables.close();
  }, 60_000);
});
