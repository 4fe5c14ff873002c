// The log's port: append durably, read in order, trim whole files. Adapters: sqlite-log.ts (real), memory-log.ts (tests and
// simulator); one contract test runs both (test/log/log.contract.ts).
import type { LogRecord } from "./record.ts";

/** Thrown by `append` and `sync` once: the process must end (a failed write or sync is never survived). */
export class LogFailedError extends Error {
  override readonly name = "LogFailedError";
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
  /** The first position still held. */
  readonly firstPosition: number;
  /** Appends all records in one transaction and syncs: durable when it returns. Positions must continue without gaps. */
  append(records: readonly EncodedRecord[]): void;
  /** Forgets records below `position`, whole files only. */
  trim(position: number): void;
  /** Bytes on disk of all files. */
  sizeBytes(): number;
  close(): void;
}

/** A reading side: any number, in any thread or process. Sees only durable records. */
export interface LogReader {
  /** Durable records from `position` on, in order, at most about `bytesMax` of payload (at least one if there is one). */
  read(position: number, bytesMax: number): LogRecord[];
  /** First position held and last durable one. */
  bounds(): { readonly first: number; readonly last: number };
  close(): void;
}
