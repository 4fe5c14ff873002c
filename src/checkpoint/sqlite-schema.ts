// The tables of state.db: their schema, its versions, and whose file it is. Their statements are in sqlite-store.ts,
// sqlite-closed.ts and sqlite-answers.ts.
import type { Database } from "bun:sqlite";
import { must } from "../base/assert.ts";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { ANSWERS_DDL } from "./sqlite-answers.ts";
import { CLOSED_DDL } from "./sqlite-closed.ts";
import { CheckpointError } from "./store.ts";

/** "MRST": SQLite's application_id of state.db. */
const APPLICATION_ID = 0x4d525354;
/** The schema's version, SQLite's user_version. */
const FORMAT_VERSION = 4;
/** Versions before it, whose files are read and get the tables that they lack: without groups of closed windows, without kept answers. */
const BEFORE_CLOSED_PARTS = 2;
const BEFORE_ANSWERS = 3;

/**
 * In every table `hash` is xxHash3 of `bytes`, exclusive-or xxHash3 of the row's key as text, 8 bytes little-endian: it finds changed
 * bytes and exchanged rows. Nothing is compressed: zstd-1 made state 2.5 times smaller, but a save took 3 times the processor time
 * (3.3 against 1.2 ms per MB) and a load 4 times (1.6 against 0.4), and both compete with ingest and with the time to come back.
 */
const DDL = `
CREATE TABLE file (
  job_id TEXT NOT NULL              -- identity of the data folder that this file belongs to (lock.db)
) STRICT;
CREATE TABLE readers (
  name TEXT PRIMARY KEY,            -- reader of the log: "admission", "view:" and its name, ...
  position INTEGER NOT NULL,        -- the state below contains the log up to here
  hash BLOB NOT NULL,
  bytes BLOB NOT NULL               -- the reader's own format
) STRICT;
CREATE TABLE spaces (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE         -- name of a state memory
) STRICT;
CREATE TABLE pages (
  place INTEGER PRIMARY KEY,        -- spaces.id * 2^32 + page number
  hash BLOB NOT NULL,
  bytes BLOB NOT NULL               -- one page of state memory
) STRICT;
CREATE TABLE outputs (
  id INTEGER PRIMARY KEY,           -- order of saving
  view TEXT NOT NULL,
  kind TEXT NOT NULL,               -- rows or late
  op TEXT,                          -- upsert or delete; NULL: rows that were not there before
  position INTEGER NOT NULL,        -- log position that made the output; dropped when the table's ledger covers it
  row_count INTEGER NOT NULL,
  hash BLOB NOT NULL,
  bytes BLOB NOT NULL               -- batch image (kernels/abi.ts)
) STRICT;
CREATE INDEX outputs_covered ON outputs (view, kind, position);
CREATE TABLE segments (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- order of saving; never used twice, since a seal names those that went into it by the last
  stream TEXT NOT NULL,
  newest_received_at INTEGER NOT NULL, -- microseconds; dropped when no id in it can be asked for any more
  hash BLOB NOT NULL,
  bytes BLOB NOT NULL               -- admission's own format
) STRICT;
CREATE INDEX segments_expired ON segments (stream, newest_received_at);
${CLOSED_DDL}${ANSWERS_DDL.join("")}`;

/** What a file of an older version lacks. */
function missingTables(version: number): readonly string[] {
  return [
    ...(version <= BEFORE_CLOSED_PARTS ? [CLOSED_DDL] : []),
    ...(version <= BEFORE_ANSWERS ? ANSWERS_DDL : []),
  ];
}

/** Makes the tables of a new file, and what a file of an older format lacks. Throws CheckpointError for a file that is not ours. */
export function prepareSchema(
  database: Database,
  { path, files }: { readonly path: string; readonly files: Pick<Files, "reach"> },
  jobId: string,
): void {
  // one transaction: a start that is killed here finds no tables and begins again
  const change = (run: () => void): void =>
    durably(files, "checkpoint.schema", () => {
      database.run("BEGIN IMMEDIATE");
      run();
      database.run(`PRAGMA user_version = ${FORMAT_VERSION}`);
      files.reach("checkpoint.schema.inside");
      database.run("COMMIT");
    });
  if (readValue<number>(database, "SELECT count(*) FROM sqlite_schema") === 0)
    change(() => {
      database.run(`PRAGMA application_id = ${APPLICATION_ID}`);
      database.run(DDL);
      database.run("INSERT INTO file VALUES (?)", [jobId]);
    });
  const missing = missingTables(refuseForeign(database, path, jobId));
  if (missing.length > 0)
    change(() => {
      for (const sql of missing) database.run(sql);
    });
}

/** Makes a file of an older format, which is only read, look like one of this: what it lacks is empty. */
export function presentNewer(database: Database): void {
  const version = readValue<number>(database, "PRAGMA user_version");
  for (const sql of missingTables(version))
    if (sql.includes("CREATE TABLE")) database.run(sql.replace("TABLE", "TEMP TABLE"));
}

/**
 * The format of a file with tables: the newest, or an older one that is read. Throws CheckpointError for others, for files of other programs and of other
 * data folders.
 */
export function refuseForeign(database: Database, path: string, jobId: string): number {
  if (readValue<number>(database, "PRAGMA application_id") !== APPLICATION_ID)
    throw new CheckpointError(`${path} belongs to another program. Move it elsewhere`);
  const version = readValue<number>(database, "PRAGMA user_version");
  if (version > FORMAT_VERSION)
    throw new CheckpointError(
      `${path} has state format ${version}, newer than ${FORMAT_VERSION}, the newest known here. Start the Millrace version that wrote it`,
    );
  if (version < BEFORE_CLOSED_PARTS)
    throw new CheckpointError(
      `${path} has state format ${version}, from before the first release: this one knows ${FORMAT_VERSION}. Begin a new data folder`,
    );
  const owner = readValue<string>(database, "SELECT job_id FROM file");
  if (owner !== jobId)
    throw new CheckpointError(
      `${path} belongs to another data folder (job ${owner}, not ${jobId}). Move it back to where it came from`,
    );
  return version;
}

/** The only value of the only row. */
export function readValue<T>(database: Database, sql: string): T {
  using statement = database.prepare<Record<string, T>, []>(sql);
  return must(Object.values(must(statement.get(), sql))[0], sql);
}
