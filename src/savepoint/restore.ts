// Verb: a savepoint -> a new data folder that a process can start from. Everything is checked while it is copied; the folder becomes a data folder
// by its last step, the rename of lock.db. Nothing is linked: the savepoint stays as it is.
//
// All work is in `.restoring` inside the new folder, not beside it: the folder may be a mount point, which cannot be renamed over.
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Files } from "../base/files.ts";
import { openDataFolder, RESTORING_NAME, SHIP_NAME } from "../log/data-folder.ts";
import { copyFile } from "./bytes.ts";
import { refuseFilled } from "./folder.ts";
import {
  CONFIGURATION_NAME,
  readManifest,
  SavepointError,
  type Savepoint,
  type SavepointFile,
} from "./manifest.ts";
import { moveTable } from "./relocate.ts";
import { folderOf } from "./warehouse.ts";

export interface RestoreReport {
  /** Absolute, links resolved. */
  readonly dataFolder: string;
  readonly savepoint: Savepoint;
  /** Tables whose metadata was written anew, since the data folder has another path now. */
  readonly movedTables: number;
}

export interface RestoreOrder {
  /** The savepoint's folder. */
  readonly from: string;
  /** The data folder to be: empty, or not there. Absolute. */
  readonly dataFolder: string;
  readonly files: Files;
  /** Bytes copied so far, of all. */
  readonly tell: (bytes: number, all: number) => void;
}

/** Names in the data folder, in the order in which they get their places; lock.db comes after them. */
const PARTS = ["log", "ids", "warehouse", "state.db", "ledger.db", SHIP_NAME] as const;
const IDENTITY = "lock.db";
const STEPS = {
  create: "restore.file.create",
  sync: "restore.file.sync",
  abandon: "restore.file.abandon",
} as const;

/** Restores a savepoint. Rejects with SavepointError; then the data folder is as it was before. */
export async function restoreSavepoint(order: RestoreOrder): Promise<RestoreReport> {
  const savepoint = readManifest(order.from, order.files);
  const restored = await restoreInto(order, savepoint, (place) => {
    copyAll(savepoint, place, order);
    return Promise.resolve();
  });
  return { ...restored, savepoint };
}

/**
 * Makes a data folder of what `fill` puts into the place that it is given: files under the names of a data folder, all but lock.db. Rejects with what
 * `fill` rejects with and SavepointError; then the data folder is as it was before.
 */
export async function restoreInto(
  order: Pick<RestoreOrder, "dataFolder" | "files">,
  savepoint: Omit<Savepoint, "files">,
  fill: (place: string) => Promise<void>,
): Promise<Omit<RestoreReport, "savepoint">> {
  const { files } = order;
  const wasThere = refuseTarget(order);
  const placed: string[] = [];
  try {
    files.makeFolder(order.dataFolder);
    const dataFolder = realpathSync(order.dataFolder);
    const place = join(dataFolder, RESTORING_NAME);
    makeIdentity(place, savepoint, files);
    await fill(place);
    const movedTables = moveTables(savepoint, { place, dataFolder }, files);
    settle({ place, dataFolder, placed }, files);
    return { dataFolder, movedTables };
  } catch (error) {
    abandon(order, { wasThere, placed });
    throw failureOf(error, order.dataFolder);
  }
}

/** Throws SavepointError when the data folder to be holds anything. Whether it is there. */
export function refuseTarget({
  dataFolder,
  files,
}: Pick<RestoreOrder, "dataFolder" | "files">): boolean {
  const isThere = files.exists(dataFolder);
  if (isThere) refuseFilled(dataFolder);
  return isThere;
}

/** The folders of a data folder, and lock.db with the job of the savepoint. */
function makeIdentity(
  place: string,
  { jobId, hashKey }: Pick<Savepoint, "jobId" | "hashKey">,
  files: Files,
): void {
  const identity = { jobId, hashKey: new Uint8Array(Buffer.from(hashKey, "hex")) };
  openDataFolder(place, files, () => identity).close();
}

function copyAll(savepoint: Savepoint, place: string, { from, files, tell }: RestoreOrder): void {
  const wanted = savepoint.files.filter(({ path }) => path !== CONFIGURATION_NAME);
  const all = wanted.reduce((sum, file) => sum + file.bytes, 0);
  let done = 0;
  for (const file of wanted) {
    const source = join(from, file.path);
    if (!files.exists(source)) throw new SavepointError(`${source} is missing: ${ANOTHER_COPY}`);
    const to = join(place, file.path);
    files.makeFolder(dirname(to));
    const pieces = copyFile(files, { from: source, to }, STEPS);
    let piece = pieces.next();
    for (; piece.done !== true; piece = pieces.next()) {
      done += piece.value;
      tell(done, all);
    }
    refuseChanged(source, file, piece.value);
  }
}

const ANOTHER_COPY =
  "the savepoint cannot be restored. Take another copy of it, or another savepoint";

function refuseChanged(
  path: string,
  wanted: SavepointFile,
  found: Pick<SavepointFile, "bytes" | "sha256">,
): void {
  if (found.bytes !== wanted.bytes)
    throw new SavepointError(
      `${path} has ${found.bytes} bytes, ${wanted.bytes} were written: ${ANOTHER_COPY}`,
    );
  if (found.sha256 !== wanted.sha256)
    throw new SavepointError(`${path} was changed (its SHA-256 does not fit): ${ANOTHER_COPY}`);
}

/** Tables name their files by absolute paths. Returns how many were written anew. */
function moveTables(
  savepoint: Omit<Savepoint, "files">,
  { place, dataFolder }: { readonly place: string; readonly dataFolder: string },
  files: Files,
): number {
  if (savepoint.dataFolder === dataFolder) return 0;
  const tables = savepoint.tables.filter(({ version }) => version > 0);
  for (const { name } of tables) {
    const folder = join("warehouse", folderOf(name));
    const locations = {
      from: `file://${join(savepoint.dataFolder, folder)}`,
      to: `file://${join(dataFolder, folder)}`,
    };
    moveTable({ name, folder: join(place, folder), locations }, files);
  }
  return tables.length;
}

interface Settling {
  readonly place: string;
  readonly dataFolder: string;
  /** Names that got, or may have got, their place. */
  readonly placed: string[];
}

/** Everything gets its place; without lock.db, which comes last, a start refuses the folder. Nothing that came there meanwhile is written over. */
function settle({ place, dataFolder, placed }: Settling, files: Files): void {
  refuseFilled(dataFolder, RESTORING_NAME);
  for (const name of PARTS) {
    if (!files.exists(join(place, name))) continue;
    placed.push(name);
    files.renameOver(join(place, name), join(dataFolder, name), "restore.place.rename");
  }
  files.removeTree(join(place, "tmp"), "restore.tmp.remove");
  placed.push(IDENTITY);
  files.renameOver(join(place, IDENTITY), join(dataFolder, IDENTITY), "restore.identity.rename");
  files.removeTree(place, "restore.place.remove");
}

/** Removes what the restore wrote, and nothing else. */
function abandon(
  { dataFolder, files }: Pick<RestoreOrder, "dataFolder" | "files">,
  { wasThere, placed }: { readonly wasThere: boolean; readonly placed: readonly string[] },
): void {
  for (const name of [RESTORING_NAME, ...placed])
    files.removeTree(join(dataFolder, name), "restore.abandon");
  if (!wasThere && files.exists(dataFolder) && files.list(dataFolder).length === 0)
    files.removeTree(dataFolder, "restore.abandon");
}

/** What a disk did, as SavepointError; a broken invariant stays what it is. */
function failureOf(error: unknown, dataFolder: string): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  return new SavepointError(
    `nothing was restored to ${dataFolder}: ${error.message}. What was written there was removed: mend that, then restore again`,
    { cause: error },
  );
}
