// Verb: records of the log up to a position -> log files of their own. Records are written anew, by the log's own writer: the newest file grows
// meanwhile, and a file of the log must never be opened by hand while SQLite has it.
import { join } from "node:path";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { SAVEPOINT_PIECE_BYTES } from "../limits.ts";
import { checkRecord } from "../log/codec.ts";
import {
  emptyLogFile,
  logFileName,
  LogFileReader,
  logNames,
  PREPARED_NAME,
} from "../log/log-file.ts";
import type { EncodedRecord, LogWriter } from "../log/log.ts";
import { openSqliteLogWriter } from "../log/sqlite-log.ts";
import { SavepointError } from "./manifest.ts";

/** What the log holds at one moment. */
export interface LogMoment {
  readonly folder: string;
  /** First positions of its files, ascending; they stay until the copy is done. */
  readonly firsts: readonly number[];
  /** Its first position and the last durable one; `last < first`: it is empty. */
  readonly first: number;
  readonly last: number;
}

/** The moment is now. */
export function logMoment(folder: string, files: Files): LogMoment {
  const { firsts } = logNames(files.list(folder));
  const newest = firsts.at(-1);
  if (newest === undefined) return { folder, firsts, first: 1, last: 0 };
  const reader = new LogFileReader(join(folder, logFileName(newest)), newest, null);
  try {
    return { folder, firsts, first: firsts[0] ?? 1, last: reader.last() ?? newest - 1 };
  } finally {
    reader.close();
  }
}

/** How the log files of a copy are made. */
export interface LogCopyOptions {
  readonly files: Files;
  readonly jobId: string;
  readonly fileSizeBytes: number;
}

/** A log that is being written anew, from `first` on, into the new folder `to`, synced. Throws SQLite and OS errors. */
export class LogCopy {
  readonly #to: string;
  readonly #files: Files;
  readonly #writer: LogWriter;

  constructor(to: string, first: number, { files, jobId, fileSizeBytes }: LogCopyOptions) {
    files.makeFolder(to);
    const path = join(to, logFileName(first));
    files.writeSynced(path, [emptyLogFile(jobId)], "savepoint.log.make");
    const options = { jobId, fileSizeBytes, sizeMaxBytes: Number.MAX_SAFE_INTEGER };
    this.#to = to;
    this.#files = files;
    this.#writer = openSqliteLogWriter(to, files, options);
  }

  append(records: readonly EncodedRecord[]): void {
    durably(this.#files, "savepoint.log.append", () => this.#writer.append(records));
  }

  /** After `close`: leaves the log's files alone in the folder. */
  tidy(): void {
    for (const name of this.#files.list(this.#to))
      if (name === PREPARED_NAME || name.endsWith("-shm"))
        this.#files.unlink(join(this.#to, name), "savepoint.log.unlink");
  }

  close(): void {
    this.#writer.close();
  }
}

/**
 * Writes all records of `moment` to the new folder `to`, synced, and yields the bytes of each piece. Throws SavepointError for a record that is
 * missing, CorruptRecordError for a damaged one, SQLite and OS errors.
 */
export function* copyLog(
  moment: LogMoment,
  to: string,
  options: LogCopyOptions,
): Generator<number> {
  const copy = new LogCopy(to, moment.first, options);
  try {
    for (const piece of recordPieces(moment, options.jobId)) {
      copy.append(piece);
      yield piece.reduce((sum, { header, payload }) => sum + header.length + payload.length, 0);
    }
  } finally {
    copy.close();
  }
  copy.tidy();
}

/** Records from `moment.first` to `moment.last` in order, some MB at a time. Throws as `copyLog` does. */
export function* recordPieces(moment: LogMoment, jobId: string): Generator<EncodedRecord[]> {
  let at = moment.first;
  for (const [index, first] of moment.firsts.entries()) {
    const end = moment.firsts[index + 1] ?? Infinity;
    if (end <= at) continue;
    const path = join(moment.folder, logFileName(first));
    const reader = new LogFileReader(path, first, jobId);
    try {
      const last = Math.min(moment.last, end - 1);
      while (at <= last) {
        const piece = nextPiece(reader, at, last);
        if (piece.length === 0)
          throw new SavepointError(
            `record ${at} of the log is missing in ${path}: nothing that begins before it can be copied. Stop Millrace and let millrace doctor look at the data folder`,
          );
        yield piece;
        at += piece.length;
      }
    } finally {
      reader.close();
    }
  }
}

function nextPiece(reader: LogFileReader, from: number, last: number): EncodedRecord[] {
  const records: EncodedRecord[] = [];
  let bytes = 0;
  for (let at = from; at <= last && bytes < SAVEPOINT_PIECE_BYTES; at++) {
    const [row] = reader.rows(at, at);
    if (row === undefined) break;
    // a copy of what is damaged would be found when the disk is gone
    const { receivedAtUs } = checkRecord(row);
    records.push({ ...row, receivedAtUs });
    bytes += row.header.length + row.payload.length;
  }
  return records;
}
