// Verb: records of the log up to a position -> log files of their own. Records are written anew, by the log's own writer: the newest file grows
// meanwhile, and a file of the log must never be opened by hand while SQLite has it.
import { join } from "node:path";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { SAVEPOINT_PIECE_BYTES } from "../limits.ts";
import { decodeHead } from "../log/codec.ts";
import {
  emptyLogFile,
  logFileName,
  LogFileReader,
  logNames,
  PREPARED_NAME,
} from "../log/log-file.ts";
import type { EncodedRecord } from "../log/log.ts";
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

/**
 * Writes all records of `moment` to the new folder `to`, synced, and yields the bytes of each piece. Throws SavepointError for a record that is
 * missing, CorruptRecordError for a damaged head, SQLite and OS errors.
 */
export function* copyLog(
  moment: LogMoment,
  to: string,
  { files, jobId, fileSizeBytes }: { files: Files; jobId: string; fileSizeBytes: number },
): Generator<number> {
  files.makeFolder(to);
  const first = join(to, logFileName(moment.first));
  files.writeSynced(first, [emptyLogFile(jobId)], "savepoint.log.make");
  const options = { jobId, fileSizeBytes, sizeMaxBytes: Number.MAX_SAFE_INTEGER };
  const writer = openSqliteLogWriter(to, files, options);
  try {
    for (const piece of readPieces(moment, jobId)) {
      durably(files, "savepoint.log.append", () => writer.append(piece));
      yield piece.reduce((sum, { header, payload }) => sum + header.length + payload.length, 0);
    }
  } finally {
    writer.close();
  }
  for (const name of files.list(to))
    if (name === PREPARED_NAME || name.endsWith("-shm"))
      files.unlink(join(to, name), "savepoint.log.unlink");
}

/** Records in order, some MB at a time. */
function* readPieces(moment: LogMoment, jobId: string): Generator<EncodedRecord[]> {
  let at = moment.first;
  for (const [index, first] of moment.firsts.entries()) {
    const path = join(moment.folder, logFileName(first));
    const reader = new LogFileReader(path, first, jobId);
    try {
      const last = Math.min(moment.last, (moment.firsts[index + 1] ?? Infinity) - 1);
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
    const { receivedAtUs } = decodeHead(row.position, row.header);
    records.push({ ...row, receivedAtUs });
    bytes += row.header.length + row.payload.length;
  }
  return records;
}
