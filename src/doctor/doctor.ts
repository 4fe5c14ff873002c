// Verb: a data folder that nobody uses -> a report on it, and what is found mended. Locks the folder for as long as it looks, and leaves it as it
// was: SQLite's files for readers go again. What is checked lies in the other files, which know nothing of each other.
import { join } from "node:path";
import type { Files } from "../base/files.ts";
import { lockDataFolder, logFolderOf } from "../log/data-folder.ts";
import { checkFolder } from "./folder-check.ts";
import { checkLedger, checkPositions } from "./ledger-check.ts";
import { checkLog } from "./log-check.ts";
import type { Place } from "./place.ts";
import { repairAll } from "./repair.ts";
import { repairsOf, type Check, type Report } from "./report.ts";
import { checkIds, checkState } from "./state-check.ts";
import { checkTables } from "./tables-check.ts";

export interface DoctorOptions {
  readonly files: Files;
  readonly isDeep: boolean;
  readonly isRepair: boolean;
  readonly nowUs: number;
  /** Says how far a long step is. */
  readonly progress: (text: string) => void;
  /** Says what was repaired. */
  readonly repaired: (text: string) => void;
}

/**
 * Looks at the data folder at `given`; with `isRepair` mends it and looks again, so that the report is of what is left. Throws
 * DataFolderError when it is in use, foreign, or its identity is not readable.
 */
export async function examine(given: string, options: DoctorOptions): Promise<Report> {
  const { files, isDeep, isRepair, nowUs, progress, repaired } = options;
  const locked = lockDataFolder(given, files);
  if (locked === null) return { folder: given, jobId: null, checks: [NEVER_USED] };
  try {
    const { path: folder, jobId } = locked;
    const place: Place = { folder, jobId, files, isDeep, progress };
    const found = await lookAt(place);
    const repairs = repairsOf(found);
    if (!isRepair || repairs.length === 0) return found;
    repairAll(repairs, { folder, files, nowUs }, repaired);
    return await lookAt(place);
  } finally {
    locked.close();
  }
}

const NEVER_USED: Check = {
  name: "folder",
  verdict: "ok",
  said: "it holds nothing yet: a first start was killed before it had an identity; the next start begins it",
  findings: [],
  notes: [],
  repairs: [],
};

async function lookAt(place: Place): Promise<Report> {
  const { folder, jobId, files } = place;
  const before = traces(folder, files);
  try {
    const checks = [checkFolder(place)];
    const log = checkLog(place);
    checks.push(log.check);
    const state = checkState(place);
    checks.push(state.check);
    const generations = state.facts?.generations ?? null;
    if (generations !== null) checks.push(checkIds(place, generations));
    const opened = checkLedger(place);
    checks.push(opened.check);
    const { ledger } = opened;
    if (ledger === "unreadable") return { folder, jobId, checks };
    try {
      const writers = ledger === "none" ? [] : ledger.writers();
      if (state.facts !== null) {
        const { positions: checkpoint, running } = state.facts;
        checks.push(checkPositions({ log: log.bounds, checkpoint, running, writers }));
      }
      checks.push(...(await checkTables(place, ledger === "none" ? null : ledger)));
    } finally {
      if (ledger !== "none") ledger.close();
    }
    return { folder, jobId, checks };
  } finally {
    const made = traces(folder, files).filter((path) => !before.includes(path));
    for (const path of made) files.unlink(path, "doctor.traces");
  }
}

/** What SQLite makes beside a database to read it. */
function traces(folder: string, files: Files): string[] {
  return [folder, logFolderOf(folder)].flatMap((inside) =>
    files
      .list(inside)
      .filter((name) => /-(wal|shm)$/.test(name))
      .map((name) => join(inside, name)),
  );
}
