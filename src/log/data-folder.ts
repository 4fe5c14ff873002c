// The data folder: its layout, its owner for as long as a process lives, and its identity. Owns `lock.db`; what lies in the other
// files is their rooms' business.
//
//   lock.db       identity, and the exclusive lock     log/         the log (sqlite-log.ts)
//   state.db      checkpoints                           warehouse/   Iceberg tables
//   ledger.db     epochs of the tables                  ids/         sealed event ids (checkpoint/sealer.ts)
//   tmp/          emptied at every start                ship.json    the prefix that it is shipped to (ship/claim.ts)
import { randomBytes, randomUUID } from "node:crypto";
import { closeSync, openSync, readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Database, SQLiteError } from "bun:sqlite";
import { must } from "../base/assert.ts";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { CLOCK_BEHIND_US_MAX } from "../limits.ts";

/** "MRDF": SQLite's application_id of lock.db. */
const APPLICATION_ID = 0x4d524446;
/** Version of the whole data folder: raised when a program that knows only the older one could not start on it. */
const FORMAT_VERSION = 1;

const DDL = `
CREATE TABLE identity (
  id INTEGER PRIMARY KEY CHECK (id = 1), -- one row
  job_id TEXT NOT NULL,                  -- uuid: in every log file, and in the marker of every table snapshot
  hash_key BLOB NOT NULL                 -- 16 random bytes: SipHash key of event ids, so that senders cannot make collisions
) STRICT;
`;
const HASH_KEY_BYTES = 16;

/** Operating error: the folder cannot be used. The message says why and what to do. */
export class DataFolderError extends Error {
  override readonly name = "DataFolderError";
}

/** Another process has the folder: it may be asked instead. */
export class FolderInUseError extends DataFolderError {}

export const logFolderOf = (dataFolder: string): string => join(dataFolder, "log");
export const statePathOf = (dataFolder: string): string => join(dataFolder, "state.db");
export const ledgerPathOf = (dataFolder: string): string => join(dataFolder, "ledger.db");
export const warehouseFolderOf = (dataFolder: string): string => join(dataFolder, "warehouse");
export const generationsFolderOf = (dataFolder: string): string => join(dataFolder, "ids");
export const tmpFolderOf = (dataFolder: string): string => join(dataFolder, "tmp");

/** Which prefix of an object store the folder is shipped to (src/ship/claim.ts). */
export const SHIP_NAME = "ship.json";

/** Where a savepoint is restored inside the folder that becomes a data folder: gone when that is done. */
export const RESTORING_NAME = ".restoring";

/** What makes a data folder itself: made once, never changed. */
export interface Identity {
  readonly jobId: string;
  /** 16 bytes. */
  readonly hashKey: Uint8Array;
}

/** A data folder that this process owns until `close`, or until it ends. */
export interface DataFolder extends Identity {
  readonly path: string;
  /** True when this start made the folder's content. */
  readonly isNew: boolean;
  close(): void;
}

/** A new identity from the system's random numbers. */
export function randomIdentity(): Identity {
  return { jobId: randomUUID(), hashKey: new Uint8Array(randomBytes(HASH_KEY_BYTES)) };
}

/**
 * Opens or makes the data folder at the absolute path `given`, links resolved (tables name their files by absolute paths), and locks it.
 * Throws DataFolderError when another process has it, when it is not
 * a folder, cannot be written, holds something else, or is of a newer format.
 */
export function openDataFolder(
  given: string,
  files: Files,
  makeIdentity: () => Identity = randomIdentity,
): DataFolder {
  makeWritable(given, files);
  const path = realpathSync(given);
  const lockPath = join(path, "lock.db");
  const isKnown = files.sizeBytes(lockPath) > 0;
  if (!isKnown) {
    refuseForeign(path, files);
    durably(files, "log.lock.make", () => makePrivate(lockPath));
  }
  const lock = openLock(lockPath);
  try {
    const { identity, isNew } = claim(lock, { path, files, makeIdentity });
    const made = [logFolderOf, warehouseFolderOf, generationsFolderOf, tmpFolderOf];
    for (const folderOf of made) files.makeFolder(folderOf(path));
    emptyTmp(tmpFolderOf(path));
    return { path, isNew, ...identity, close: () => lock.close(true) };
  } catch (error) {
    lock.close();
    throw lockError(error, path);
  }
}

/**
 * Locks the data folder that is at `given`, links resolved, and changes nothing in it. Null: a first start was killed before the folder had
 * an identity, so it holds nothing. Throws DataFolderError as `openDataFolder` does, and where there is no data folder.
 */
export function lockDataFolder(given: string, files: Files): DataFolder | null {
  refuseFile(given, files);
  if (!files.exists(join(given, "lock.db"))) {
    if (files.list(given).length > 0) refuseForeign(given, files);
    throw new DataFolderError(`${given} is not a data folder of Millrace: name one with --data`);
  }
  const path = realpathSync(given);
  if (files.sizeBytes(join(path, "lock.db")) === 0) {
    refuseForeign(path, files);
    return null;
  }
  const lock = openLock(join(path, "lock.db"));
  try {
    lock.run("BEGIN EXCLUSIVE");
    const tables = readNumber(lock, "SELECT count(*) AS value FROM sqlite_schema");
    const identity = tables === 0 ? null : (checkVersion(lock, path), readIdentity(lock, path));
    lock.run("COMMIT");
    if (identity !== null)
      return { path, isNew: false, ...identity, close: () => lock.close(true) };
    lock.close(true);
    return null;
  } catch (error) {
    lock.close();
    throw lockError(error, path);
  }
}

/**
 * Why a start at `nowUs` is refused when the log's last record was received at `lastReceivedAtUs` (0: the log is empty), or null. Times
 * in the log never go back, so events would be stamped with the last record's time until the clock catches up.
 */
export function clockRefusal(nowUs: number, lastReceivedAtUs: number): string | null {
  const behindUs = lastReceivedAtUs - nowUs;
  if (behindUs <= CLOCK_BEHIND_US_MAX) return null;
  const iso = (us: number): string => new Date(us / 1000).toISOString();
  return (
    `the clock says ${iso(nowUs)}, ${Math.round(behindUs / 1e6)} s before the log's last record (${iso(lastReceivedAtUs)}). ` +
    "Set the clock right and start again; if the last record's time is wrong, wait until then or start with another data folder"
  );
}

function refuseFile(path: string, files: Files): void {
  if (files.exists(path) && !statSync(path).isDirectory())
    throw new DataFolderError(`${path} is not a folder. Name another one with --data`);
}

function makeWritable(path: string, files: Files): void {
  refuseFile(path, files);
  const probe = join(path, `.write-probe-${process.pid}`);
  try {
    files.makeFolder(path);
    files.unlink(probe, "log.probe.unlink");
    files.writeSynced(probe, [], "log.probe.write");
    files.unlink(probe, "log.probe.unlink");
  } catch (error) {
    throw new DataFolderError(
      `${path} cannot be written (${String(error)}). Give this user the right to write there, free room on its disk, or name another ` +
        "folder with --data",
      { cause: error },
    );
  }
}

/** A folder without lock.db must be empty, but for what a first start that was killed leaves. */
function refuseForeign(path: string, files: Files): void {
  const foreign = files
    .list(path)
    .filter((name) => !/^lock\.db(-journal)?$/.test(name) && name !== "lost+found");
  if (foreign.length === 0) return;
  if (foreign.includes(RESTORING_NAME))
    throw new DataFolderError(
      `${path} holds a restore that was not finished. Remove the folder and run millrace restore again`,
    );
  if (foreign.some((name) => name.startsWith("savepoint.")))
    throw new DataFolderError(
      `${path} is a savepoint: it is never served itself. Write millrace restore ${path} --data NEW_FOLDER, then serve that`,
    );
  const isOurs = foreign.includes("log") && foreign.includes("warehouse");
  throw new DataFolderError(
    isOurs
      ? `${path} has a log but no lock.db, which holds its identity. Restore lock.db from a backup`
      : `${path} is not a data folder of Millrace: it holds ${foreign.slice(0, 3).join(", ")}. Name an empty folder with --data`,
  );
}

/** Makes an empty file for this user alone: it will hold the hash key. SQLite's own would be open to all; its journal follows it. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    // Another process made it meanwhile: the lock decides between us.
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}

function openLock(lockPath: string): Database {
  const lock = new Database(lockPath, { readwrite: true, create: true });
  // With EXCLUSIVE locking the lock of the first transaction is kept until the connection closes or the process ends
  // (https://www.sqlite.org/pragma.html#pragma_locking_mode).
  lock.run("PRAGMA locking_mode = EXCLUSIVE");
  return lock;
}

function claim(
  lock: Database,
  make: { readonly path: string; readonly files: Files; readonly makeIdentity: () => Identity },
): { readonly identity: Identity; readonly isNew: boolean } {
  const { files } = make;
  lock.run("PRAGMA synchronous = FULL");
  lock.run("BEGIN EXCLUSIVE");
  const tables = readNumber(lock, "SELECT count(*) AS value FROM sqlite_schema");
  const isNew = tables === 0;
  if (isNew) {
    const identity = make.makeIdentity();
    files.reach("log.identity.before");
    lock.run(`PRAGMA application_id = ${APPLICATION_ID}`);
    lock.run(`PRAGMA user_version = ${FORMAT_VERSION}`);
    lock.run(DDL);
    lock.run("INSERT INTO identity VALUES (1, ?, ?)", [identity.jobId, identity.hashKey]);
  } else checkVersion(lock, make.path);
  if (isNew) files.reach("log.identity.inside");
  lock.run("COMMIT");
  if (isNew) files.reach("log.identity.after");
  return { identity: readIdentity(lock, make.path), isNew };
}

function checkVersion(lock: Database, path: string): void {
  if (
    readNumber(lock, "SELECT application_id AS value FROM pragma_application_id") !== APPLICATION_ID
  )
    throw new DataFolderError(
      `${path} is not a data folder of Millrace: its lock.db belongs to another program. Name an empty folder with --data`,
    );
  const version = readNumber(lock, "SELECT user_version AS value FROM pragma_user_version");
  if (version > FORMAT_VERSION)
    throw new DataFolderError(
      `${path} has data format ${version}, newer than ${FORMAT_VERSION}, the newest known here. Start the Millrace version that wrote it`,
    );
}

function readIdentity(lock: Database, path: string): Identity {
  using select = lock.prepare<{ job_id: string; hash_key: Uint8Array }, []>(
    "SELECT job_id, hash_key FROM identity",
  );
  const row = select.get();
  // a file that was cut gives rows of nothing, in spite of the schema
  if (typeof row?.job_id !== "string" || row.hash_key.length !== HASH_KEY_BYTES)
    throw new DataFolderError(damaged(path, "the identity is not readable"));
  return { jobId: row.job_id, hashKey: new Uint8Array(row.hash_key) };
}

/** A statement that is not finalized would keep the connection, and the lock, beyond `close`. */
function readNumber(lock: Database, sql: string): number {
  using select = lock.prepare<{ value: number }, []>(sql);
  return must(select.get(), sql).value;
}

/** Query results and images of a former life: worthless, never needed for recovery, and so not the Files port's business. */
function emptyTmp(folder: string): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
}

function lockError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  if (error.code === "SQLITE_BUSY")
    return new FolderInUseError(
      `${path} is in use by another millrace process. Stop that one, or name another folder with --data`,
    );
  if (error.code === "SQLITE_NOTADB" || (error.code ?? "").startsWith("SQLITE_CORRUPT"))
    return new DataFolderError(damaged(path, error.message));
  return error;
}

function damaged(path: string, what: string): string {
  return (
    `${join(path, "lock.db")} is not a database, or is damaged (${what}). If this folder is Millrace's, restore lock.db from a ` +
    "backup; if not, name another one with --data"
  );
}
