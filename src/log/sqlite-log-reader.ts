// Adapter of the log's reading side: follows the sequence of SQLite files from any thread or process. Owns the connections it reads
// through; it never writes, and finds the files by their names alone.
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import type { Files } from "../base/files.ts";
import { LOG_HEADS_PER_LOOK, LOG_READER_FILES_MAX } from "../limits.ts";
import { decodeHead, decodeRecord, type RecordHead } from "./codec.ts";
import { LogFolderError, LogTrimmedError, type LogReader } from "./log.ts";
import {
  isMissingFile,
  logFileError,
  logFileFirst,
  logFileName,
  LogFileReader,
} from "./log-file.ts";
import type { LogRecord } from "./record.ts";

/** Opens the log in `folder` for reading. Nothing is touched before the first call. */
export function openSqliteLogReader(folder: string, files: Files): LogReader {
  return new SqliteLogReader(folder, files);
}

class SqliteLogReader implements LogReader {
  readonly #folder: string;
  readonly #files: Files;
  /** First positions of the files as last listed, ascending. */
  #firsts: number[] = [];
  /** Open files, the one used last at the end: the one being read and the newest. An open file may be unlinked meanwhile. */
  #open: LogFileReader[] = [];
  /** Of the record that was read last, decoded. */
  #recordBytes = 0;

  constructor(folder: string, files: Files) {
    this.#folder = folder;
    this.#files = files;
  }

  read(position: number, bytesMax: number): LogRecord[] {
    const records: LogRecord[] = [];
    let leftBytes = bytesMax;
    for (let at = position; ;) {
      const file = this.#fileWith(at);
      if (file === null) return records;
      const heads = headsWithin(file, at, { bytesMax: leftBytes, recordBytes: this.#recordBytes });
      const last = heads.at(-1);
      if (last === undefined) return records;
      this.#recordBytes = last.decodedBytes;
      for (const row of file.rows(at, last.position)) records.push(decodeRecord(row));
      for (const head of heads) leftBytes -= head.decodedBytes;
      // more in this file than was taken: the next record does not fit
      if (leftBytes <= 0 || (file.last() ?? 0) > last.position) return records;
      at = last.position + 1;
    }
  }

  heads(position: number, countMax: number): RecordHead[] {
    const heads: RecordHead[] = [];
    let at = position;
    while (heads.length < countMax) {
      const file = this.#fileWith(at);
      if (file === null) break;
      for (const row of file.heads(at, countMax - heads.length))
        heads.push(decodeHead(row.position, row.header));
      at = (heads.at(-1)?.position ?? at - 1) + 1;
    }
    return heads;
  }

  bounds(): { readonly first: number; readonly last: number } {
    this.#list();
    const newest = this.#firsts.at(-1);
    const first = this.#firsts[0];
    if (newest === undefined || first === undefined) return { first: 1, last: 0 };
    const last = this.#fileAt(newest)?.last() ?? newest - 1;
    return { first, last };
  }

  close(): void {
    for (const file of this.#open) file.close();
    this.#open = [];
  }

  /** The open file that holds `position`; null when it is beyond the last record. */
  #fileWith(position: number): LogFileReader | null {
    assert(position >= 1, `positions begin at 1, not at ${position}`);
    for (let attempt = 0; attempt < 3; attempt++) {
      const first = this.#firsts.findLast((candidate) => candidate <= position);
      const file = first === undefined ? null : this.#fileAt(first);
      const last = file?.last() ?? null;
      if (last !== null && last >= position) return file;
      // who rested while files were rolled and trimmed must list them; who asks for the next record again and again need not
      const isNewest = file !== null && file.first === this.#firsts.at(-1);
      if (isNewest && (attempt > 0 || this.#isNext(position, file.first, last))) return null;
      this.#list();
      const oldest = this.#firsts[0];
      if (oldest === undefined) return null;
      if (position < oldest) throw new LogTrimmedError(position, oldest);
    }
    return this.#refuseGap(position);
  }

  #refuseGap(position: number): never {
    const before = this.#firsts.findLast((first) => first <= position) ?? position;
    const after = this.#firsts.find((first) => first > position) ?? position;
    throw new LogFolderError(
      `log record ${position} is missing between ${logFileName(before)} and ${logFileName(after)} in ${this.#folder}: a file, or its ` +
        "-wal, was removed or replaced. Restore the log folder from a backup",
    );
  }

  /** Whether `position` is the next record of the file that begins at `first` and ends with `last`, which was neither rolled nor trimmed. */
  #isNext(position: number, first: number, last: number | null): boolean {
    if (last === null) return position === first && this.#hasFile(first);
    return position === last + 1 && !this.#hasFile(position) && this.#hasFile(first);
  }

  /** Whether a file begins at `position`. */
  #hasFile(position: number): boolean {
    return this.#files.exists(join(this.#folder, logFileName(position)));
  }

  /** The file that begins at `first`; null when it is gone. */
  #fileAt(first: number): LogFileReader | null {
    const at = this.#open.findIndex((file) => file.first === first);
    const known = this.#open[at];
    if (known !== undefined) {
      this.#open.splice(at, 1);
      this.#open.push(known);
      return known;
    }
    const path = join(this.#folder, logFileName(first));
    // SQLite would make a -wal for a file that is being unlinked
    if (!this.#files.exists(path)) return null;
    try {
      const file = new LogFileReader(path, first, null);
      this.#open.push(file);
      if (this.#open.length > LOG_READER_FILES_MAX) this.#open.shift()?.close();
      return file;
    } catch (error) {
      if (isMissingFile(error)) return null;
      throw logFileError(error, path);
    }
  }

  #list(): void {
    const firsts: number[] = [];
    for (const name of this.#files.list(this.#folder)) {
      const first = logFileFirst(name);
      if (first !== null) firsts.push(first);
    }
    this.#firsts = firsts;
  }
}

/**
 * Heads from `position` on until their records, decoded, exceed `bytesMax`: at least one if there is one. `recordBytes`: how large a record was
 * lately, since a head that is looked at and not taken costs as much as one that is.
 */
function headsWithin(
  file: LogFileReader,
  position: number,
  { bytesMax, recordBytes }: { readonly bytesMax: number; readonly recordBytes: number },
): RecordHead[] {
  const heads: RecordHead[] = [];
  let bytes = 0;
  let likelyBytes = recordBytes;
  for (let at = position; ;) {
    const likely = Math.ceil((bytesMax - bytes) / Math.max(1, likelyBytes));
    const look = Math.min(LOG_HEADS_PER_LOOK, Math.max(1, likely));
    const rows = file.heads(at, look);
    for (const row of rows) {
      const head = decodeHead(row.position, row.header);
      likelyBytes = head.decodedBytes;
      bytes += likelyBytes;
      if (bytes > bytesMax && heads.length > 0) return heads;
      heads.push(head);
      at = row.position + 1;
    }
    if (rows.length < look || bytes >= bytesMax) return heads;
  }
}
