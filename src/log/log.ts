// The log's port: append durably, read in order, trim whole files. Adapters: sqlite-log.ts (real), memory-log.ts (tests and
// simulator); one contract test runs both (test/log/log.contract.ts).
import type { RecordHead } from "./codec.ts";
import type { LogRecord } from "./record.ts";

/** Thrown by `append` at the first failure and ever after: the process must end (a failed write or sync is never survived). */
export class LogFailedError extends Error {
  override readonly name = "LogFailedError";
}

/** Operating error: log files are missing, foreign, damaged, or of a newer format. The message says what to do. */
export class LogFolderError extends Error {
  override readonly name = "LogFolderError";
}

/** Operating error of a reader: records before `firstHeld` were trimmed. Continue from the raw table, or from `firstHeld`. */
export class LogTrimmedError extends Error {
  override readonly name = "LogTrimmedError";
  readonly firstHeld: number;
  constructor(position: number, firstHeld: number) {
    super(`log record ${position} is no longer held: the log begins at ${firstHeld}`);
    this.firstHeld = firstHeld;
  }
}

/** A record as stored: header and payload bytes made by codec.ts, so that encoding can be done off the writer. */
export interface EncodedRecord {
  readonly position: number;
  readonly receivedAtUs: number;
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

/** The writing side: one per data folder. */
export interface LogWriter {
  /** The last durable position; 0 when the log is empty. */
  readonly lastPosition: number;
  /** The first position still held; `lastPosition + 1` when the log is empty. */
  readonly firstPosition: number;
  /** `received_at` of the last record in µs; 0 when the log is empty. */
  readonly lastReceivedAtUs: number;
  /**
   * Appends all records in one transaction and syncs: durable when it returns. Positions must continue without gaps. Throws
   * LogFailedError when the disk fails.
   */
  append(records: readonly EncodedRecord[]): void;
  /** Forgets records below `position`, whole files only, and none that a hold needs. */
  trim(position: number): void;
  /** From now on `trim` keeps records from `position` on, until `release` of the number that this returns. */
  hold(position: number): number;
  /** Ends a hold. Files that only it kept go at the next `trim`. */
  release(hold: number): void;
  /** Bytes on disk of all files. */
  sizeBytes(): number;
  /** Whether `payloadBytes` more may be appended: ask before admission, refuse producers when not. */
  hasRoom(payloadBytes: number): boolean;
  close(): void;
}

/** A reading side: any number, in any thread or process. Sees only durable records. */
export interface LogReader {
  /**
   * Durable records from `position` on, in order, at most about `bytesMax` when decoded (at least one if there is one). Empty when
   * `position` is beyond the last. Throws LogTrimmedError when it is before the first, CorruptRecordError.
   */
  read(position: number, bytesMax: number): LogRecord[];
  /** The heads of records from `position` on, at most `countMax`: streams and counts without reading payloads. Throws as `read`. */
  heads(position: number, countMax: number): RecordHead[];
  /** First position held and last durable one. */
  bounds(): { readonly first: number; readonly last: number };
  close(): void;
}
