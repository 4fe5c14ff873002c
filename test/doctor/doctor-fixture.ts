// Data folders made by the real log, checkpoint store and tables, in this process, for tests of the doctor.
import { afterAll, beforeAll, beforeEach } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { NO_CHANGE } from "../../src/checkpoint/store.ts";
import { examine, type DoctorOptions } from "../../src/doctor/doctor.ts";
import { exitCodeOf, type Report } from "../../src/doctor/report.ts";
import { encodeGenerations } from "../../src/admit/seal-plan.ts";
import { GenerationWriter, type GenerationInfo } from "../../src/admit/generation.ts";
import { GENERATIONS_READER } from "../../src/checkpoint/sealer.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import {
  generationsFolderOf,
  logFolderOf,
  openDataFolder,
  statePathOf,
} from "../../src/log/data-folder.ts";
import { openSqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { exportAll, open, record, START_US } from "../table/tables-fixture.ts";

/** Records in the log; the tables hold all of them. */
export const RECORDS = 40;
/** Sealed ids. */
const IDS = 1000;

/** A data folder that was stopped in order: a log of several files, a checkpoint, two tables of several snapshots. */
function makeDataFolder(path: string): void {
  const files = new DiskFiles();
  const folder = openDataFolder(path, files);
  try {
    const { jobId } = folder;
    const log = openSqliteLogWriter(logFolderOf(path), files, {
      jobId,
      fileSizeBytes: 150_000,
      sizeMaxBytes: 1 << 30,
    });
    for (let position = 1; position <= RECORDS; position++)
      log.append([encodeRecord(record(position))]);
    log.close();
    rmSync(join(logFolderOf(path), "next.tmp"), { force: true });
    const tables = open(path, { jobId, clock: new ManualClock(START_US) });
    exportAll(tables, RECORDS, 4);
    tables.close();
    const store = openCheckpointStore(statePathOf(path), files, jobId);
    store.save({
      ...NO_CHANGE,
      readers: [
        { name: "windows", position: RECORDS, body: new Uint8Array([1, 2, 3]) },
        { name: "dead_letters", position: RECORDS, body: new Uint8Array(0) },
        {
          name: GENERATIONS_READER,
          position: 0,
          body: encodeGenerations({ next: 2, generations: [sealIds(path, files)] }),
        },
      ],
      closedParts: [
        {
          view: "v",
          startUs: 0n,
          endUs: 60n,
          bits: 1,
          part: 1,
          bytes: new Uint8Array(100).fill(9),
        },
      ],
      pages: [0, 1, 2].map((page) => ({
        space: "fold",
        page,
        bytes: new Uint8Array(65_536).fill(page + 1),
      })),
    });
    store.close();
  } finally {
    folder.close();
  }
}

/**
 * A data folder that every test of the file finds as it was made, in the same place: tables name their files by absolute paths. `folder` is it, `root` is
 * for what a test makes beside it; both go with the file's last test.
 */
export function folderPerTest(): { readonly root: string; readonly folder: string } {
  const root = mkdtempSync(join(tmpdir(), "millrace-doctor-"));
  const folder = join(root, "data");
  const copy = join(root, "copy");
  beforeAll(async () => {
    await buildKernels(["export"]);
    makeDataFolder(folder);
    cpSync(folder, copy, { recursive: true });
  });
  beforeEach(() => {
    rmSync(folder, { recursive: true });
    cpSync(copy, folder, { recursive: true });
  });
  afterAll(() => rmSync(root, { recursive: true }));
  return { root, folder };
}

/** A file of sealed ids. */
function sealIds(path: string, files: DiskFiles): GenerationInfo {
  const folder = generationsFolderOf(path);
  files.makeFolder(folder);
  const file = "000000000001.ids";
  const writer = new GenerationWriter(files.create(join(folder, file), "checkpoint.seal.create"), {
    file,
    stream: "clicks",
    ids: IDS,
    oldestMs: 1000,
    newestMs: 2000,
  });
  const words = Uint32Array.from({ length: IDS * 4 }, (_, at) => Math.imul(at + 1, 0x9e3779b1));
  writer.add(writer.buckets, words);
  return writer.finish("checkpoint.seal.sync").info;
}

/** What the doctor says of a folder, and what it did. */
export interface Visit {
  readonly report: Report;
  readonly code: number;
  readonly done: readonly string[];
}

export async function visit(
  path: string,
  options: Partial<Pick<DoctorOptions, "isDeep" | "isRepair" | "files">> = {},
): Promise<Visit> {
  const done: string[] = [];
  const report = await examine(path, {
    files: new DiskFiles(),
    isDeep: false,
    isRepair: false,
    nowUs: START_US,
    progress: () => {},
    repaired: (text) => done.push(text),
    ...options,
  });
  return { report, code: exitCodeOf(report), done };
}

/** Findings of all checks, each after the name of its check. */
export function findingsOf({ report }: Visit): string[] {
  return report.checks.flatMap(({ name, findings }) => findings.map((text) => `${name}: ${text}`));
}

export function notesOf({ report }: Visit): string[] {
  return report.checks.flatMap(({ name, notes }) => notes.map((text) => `${name}: ${text}`));
}
