// One file of the log: a SQLite database in WAL mode that is never checkpointed, so that each byte is written once and an append
// costs one sync of the -wal. Owns the schema, the only statements that touch it, and how such a file is made, opened and closed
// without a checkpoint. The sequence of files is sqlite-log.ts (writing) and sqlite-log-reader.ts (reading).
import { Database, SQLiteError, type Statement } from "bun:sqlite";
import { must } from "../base/assert.ts";
import { LOG_PAGE_BYTES } from "../limits.ts";
import { LogFolderError, type EncodedRecord } from "./log.ts";
import { WalRoom } from "./wal-room.ts";

/** "MRLG": SQLite's application_id of a log file, shown by `file`. */
const APPLICATION_ID = 0x4d524c47;
/** The schema's version, SQLite's user_version. Records have a version of their own (codec.ts). */
const FORMAT_VERSION = 1;

const DDL = `
CREATE TABLE file (
  job_id TEXT NOT NULL          -- identity of the data folder that this file belongs to (lock.db)
) STRICT;
CREATE TABLE records (
  position INTEGER PRIMARY KEY, -- position in the log, from 1, without gaps; the lowest is the file's name
  header BLOB NOT NULL,         -- codec.ts: kind, stream, counts, times, checksums; read alone by scans
  payload BLOB NOT NULL         -- codec.ts: batch image or control body, then rejects; zstd where it pays
) STRICT;
`;

/** Places in SQLite's file header that say "WAL" when 2 (https://www.sqlite.org/fileformat.html#file_format_version_numbers). */
const WRITE_VERSION_AT = 18;
const READ_VERSION_AT = 19;

const FILE_NAME = /^(\d{16})\.db$/;
const NAME_DIGITS = 16;

/** Name of the file whose first record is at `first`; names sort as positions do. */
export function logFileName(first: number): string {
  return `${String(first).padStart(NAME_DIGITS, "0")}.db`;
}

/** First position by name, or null for a name that is not a log file's. */
export function logFileFirst(name: string): number | null {
  const digits = FILE_NAME.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** The next file before it has a position. */
export const PREPARED_NAME = "next.tmp";

/** What the names in a log folder are. */
export interface LogNames {
  /** First positions of the log's files, ascending. */
  readonly firsts: readonly number[];
  /** What a crash leaves: the next file, a -wal without its database. Worthless. */
  readonly leftovers: readonly string[];
  /** Names that are not a log's. */
  readonly foreign: readonly string[];
}

/** Sorts the names in a log folder; `names` are sorted. */
export function logNames(names: readonly string[]): LogNames {
  const firsts: number[] = [];
  const leftovers: string[] = [];
  const foreign: string[] = [];
  for (const name of names) {
    const database = name.replace(/-(wal|shm)$/, "");
    const first = logFileFirst(database);
    if (first === null && name === PREPARED_NAME) leftovers.push(name);
    else if (first === null && !name.startsWith(".")) foreign.push(name);
    else if (first !== null && name === database) firsts.push(first);
    else if (first !== null && !names.includes(database)) leftovers.push(name);
  }
  return { firsts, leftovers, foreign };
}

/** The bytes of an empty log file, in WAL mode: made once in memory, written through the Files port. */
export function emptyLogFile(jobId: string): Uint8Array {
  const database = new Database(":memory:");
  try {
    database.run(`PRAGMA page_size = ${LOG_PAGE_BYTES}`);
    database.run("PRAGMA auto_vacuum = NONE");
    database.run(`PRAGMA application_id = ${APPLICATION_ID}`);
    database.run(`PRAGMA user_version = ${FORMAT_VERSION}`);
    database.run(DDL);
    database.run("INSERT INTO file VALUES (?)", [jobId]);
    const bytes = new Uint8Array(database.serialize());
    bytes[WRITE_VERSION_AT] = 2;
    bytes[READ_VERSION_AT] = 2;
    return bytes;
  } finally {
    database.close();
  }
}

/** A record as it lies in a file. */
interface Row {
  readonly position: number;
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

/** Reads one log file. Other connections may append meanwhile. Closing it never checkpoints: the connection is read-only. */
export class LogFileReader {
  readonly first: number;
  readonly #path: string;
  readonly #database: Database;
  readonly #heads: Statement<Pick<Row, "position" | "header">, [number, number]>;
  readonly #rows: Statement<Row, [number, number]>;
  readonly #last: Statement<{ last: number | null }, []>;

  /**
   * Opens an existing file; the first connection after a crash scans the -wal (about 1 ms per MB). Throws LogFolderError when it is
   * not a log file, of a newer format, or of another data folder (`jobId`; null skips that check); SQLiteError when it is not there.
   */
  constructor(path: string, first: number, jobId: string | null) {
    this.first = first;
    this.#path = path;
    this.#database = new Database(path, { readonly: true });
    try {
      this.#database.run("PRAGMA busy_timeout = 5000");
      checkFile(this.#database, path, jobId);
      this.#heads = this.#database.prepare(
        "SELECT position, header FROM records WHERE position >= ? ORDER BY position LIMIT ?",
      );
      this.#rows = this.#database.prepare(
        "SELECT position, header, payload FROM records WHERE position BETWEEN ? AND ? ORDER BY position",
      );
      this.#last = this.#database.prepare("SELECT max(position) AS last FROM records");
      const lowest = this.heads(0, 1)[0];
      if (lowest !== undefined && lowest.position !== first)
        throw new LogFolderError(
          `${path} begins with record ${lowest.position}, not with ${first} as its name says: it was renamed or overwritten. ` +
            "Restore the log folder from a backup",
        );
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** The last position, or null when the file is empty. */
  last(): number | null {
    return this.#guard(() => must(this.#last.get(), "row of max()").last);
  }

  heads(from: number, countMax: number): Pick<Row, "position" | "header">[] {
    return this.#guard(() => this.#heads.all(from, countMax));
  }

  /** Records from `from` to `to`, both included. */
  rows(from: number, to: number): Row[] {
    return this.#guard(() => this.#rows.all(from, to));
  }

  #guard<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw logFileError(error, this.#path);
    }
  }

  close(): void {
    this.#heads.finalize();
    this.#rows.finalize();
    this.#last.finalize();
    this.#database.close(true);
  }
}

/** Appends to one log file. Throws SQLiteError when the disk fails; the caller latches it. */
export class LogFileWriter {
  /** Held for as long as the writing connection, so that closing that one is not the last close, which would checkpoint. */
  readonly reader: LogFileReader;
  readonly #database: Database;
  readonly #begin: Statement;
  readonly #insert: Statement<unknown, [number, Uint8Array, Uint8Array]>;
  readonly #commit: Statement;
  /** How long the -wal is. */
  readonly wal: WalRoom;

  /** Opens an existing file, which is to grow to about `sizeBytes`. Throws as LogFileReader does. */
  constructor(path: string, first: number, options: { jobId: string; sizeBytes: number }) {
    this.wal = new WalRoom(`${path}-wal`, options.sizeBytes);
    this.reader = new LogFileReader(path, first, options.jobId);
    this.#database = new Database(path, { readwrite: true, create: false });
    this.#database.run("PRAGMA busy_timeout = 5000");
    this.#database.run("PRAGMA synchronous = FULL");
    this.#database.run("PRAGMA wal_autocheckpoint = 0");
    this.#begin = this.#database.prepare("BEGIN IMMEDIATE");
    this.#insert = this.#database.prepare("INSERT INTO records VALUES (?, ?, ?)");
    this.#commit = this.#database.prepare("COMMIT");
  }

  /** All records in one transaction, synced. `written` is called just before it is committed. */
  append(records: readonly EncodedRecord[], written: () => void): void {
    this.#begin.run();
    let payloadBytes = 0;
    for (const { position, header, payload } of records) {
      this.#insert.run(position, header, payload);
      payloadBytes += payload.length;
    }
    written();
    this.#commit.run();
    this.wal.committed(payloadBytes);
  }

  close(): void {
    for (const statement of [this.#begin, this.#insert, this.#commit]) statement.finalize();
    this.#database.close(true);
    this.reader.close();
    this.wal.close();
  }
}

/** Whether SQLite could not open the file at all, as when it was trimmed meanwhile. */
export function isMissingFile(error: unknown): boolean {
  return error instanceof SQLiteError && error.code === "SQLITE_CANTOPEN";
}

/** Turns SQLite's words for damage into ours; gives other errors back. */
export function logFileError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  if (error.code !== "SQLITE_NOTADB" && !(error.code ?? "").startsWith("SQLITE_CORRUPT"))
    return error;
  return new LogFolderError(
    `${path} is not a log file of Millrace, or is damaged (${error.message}). If it is not Millrace's, move it elsewhere; if it is, ` +
      "copy the data folder aside, check the disk, and restore the folder from a backup",
  );
}

function checkFile(database: Database, path: string, jobId: string | null): void {
  let applicationId: number;
  let version: number;
  try {
    applicationId = readOne<number>(database, "PRAGMA application_id");
    version = readOne<number>(database, "PRAGMA user_version");
  } catch (error) {
    throw logFileError(error, path);
  }
  if (applicationId !== APPLICATION_ID)
    throw new LogFolderError(
      `${path} is not a log file of Millrace: it is empty or belongs to another program. Move it elsewhere`,
    );
  if (version > FORMAT_VERSION)
    throw new LogFolderError(
      `${path} has log format ${version}, newer than ${FORMAT_VERSION}, the newest known here. Start the Millrace version that wrote it`,
    );
  const owner = readOne<string>(database, "SELECT job_id FROM file");
  if (jobId !== null && owner !== jobId)
    throw new LogFolderError(
      `${path} belongs to another data folder (job ${owner}, not ${jobId}). Move it back to where it came from`,
    );
}

/** The only value of the only row. A statement that is not finalized would keep the connection beyond `close`. */
function readOne<T>(database: Database, sql: string): T {
  using select = database.prepare<Record<string, T>, []>(sql);
  return must(Object.values(must(select.get(), sql))[0], sql);
}
