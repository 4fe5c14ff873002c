// Adapter of the log's writing side: a sequence of SQLite files, each named by its first position. Owns the folder `log/` of the
// data folder: which file is appended to, when the next begins, what is unlinked. One file's schema is log-file.ts; reading is
// sqlite-log-reader.ts.
//
// Life of a file: its bytes are prepared under another name, synced, and renamed to their final name when the file before is full, so
// that a name is either absent or whole. Records go to its -wal and stay there: nothing is checkpointed, no byte written twice, and
// after a crash SQLite's scan of the -wal finds the whole transactions. A full file is closed while a read-only connection is open,
// since the last close would checkpoint. A name is never used twice: the newest file is never unlinked, and positions only grow.
import { dirname, join } from "node:path";
import { assert, must } from "../base/assert.ts";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { DISK_FREE_BYTES_MIN, LOG_FILE_AGE_US_MAX, LOG_ROOM_BYTES } from "../limits.ts";
import { decodeHead } from "./codec.ts";
import { LogFailedError, LogFolderError, type EncodedRecord, type LogWriter } from "./log.ts";
import {
  emptyLogFile,
  logFileError,
  logFileName,
  LogFileWriter,
  logNames,
  PREPARED_NAME,
} from "./log-file.ts";
import { checkWalEnd } from "./wal-check.ts";

/** What the writer must be told. */
export interface SqliteLogOptions {
  /** Identity of the data folder (data-folder.ts): files of another one are refused. */
  readonly jobId: string;
  /** Size at which the next file begins; one transaction may exceed it. */
  readonly fileSizeBytes: number;
  /** `hasRoom` refuses beyond this many bytes on disk. */
  readonly sizeMaxBytes: number;
  /**
   * Unlinks trimmed files, given by their first positions: some 10 ms per 32 MB, so a caller may hand them to another thread that
   * calls `unlinkLogFiles`. By default they go at once. After a crash in between they are simply held again.
   */
  readonly discard?: (firsts: readonly number[]) => void;
}

/** A file that is full: read, then trimmed, never written. */
interface SealedFile {
  readonly first: number;
  readonly bytes: number;
}

/**
 * Opens the log for writing, and recovers it: what a crash left is scanned, and synced before anything is built on it. Throws
 * LogFolderError with advice when the folder holds what is not a log, and OS or SQLite errors.
 */
export function openSqliteLogWriter(
  folder: string,
  files: Files,
  options: SqliteLogOptions,
): SqliteLogWriter {
  return new SqliteLogWriter(folder, files, options);
}

/** The writing side on disk: one per data folder, which data-folder.ts locks. */
export class SqliteLogWriter implements LogWriter {
  readonly #folder: string;
  readonly #files: Files;
  readonly #options: SqliteLogOptions;
  readonly #emptyFile: Uint8Array;
  readonly #sealed: SealedFile[] = [];
  #sealedBytes = 0;
  #currentFirst: number;
  #current: LogFileWriter;
  /** Of the current file: what does not grow with commits. */
  #fixedBytes = 0;
  /** `received_at` of the current file's first record, or null when it is empty. */
  #currentSinceUs: number | null;
  #isNextPrepared = false;
  #lastPosition: number;
  #lastReceivedAtUs: number;
  #failure: LogFailedError | null = null;
  readonly #holds = new Map<number, number>();
  #nextHold = 1;
  #freeBytes: number;

  constructor(folder: string, files: Files, options: SqliteLogOptions) {
    this.#folder = folder;
    this.#files = files;
    this.#options = options;
    this.#emptyFile = emptyLogFile(options.jobId);
    files.makeFolder(folder);
    const firsts = cleanFolder(folder, files);
    for (const first of firsts.slice(0, -1)) {
      const bytes = this.#bytesOf(first);
      this.#sealed.push({ first, bytes });
      this.#sealedBytes += bytes;
    }
    this.#currentFirst = firsts.at(-1) ?? 1;
    if (firsts.length === 0) this.#publishNext(1);
    checkWalEnd(join(folder, `${logFileName(this.#currentFirst)}-wal`));
    this.#current = this.#openFile(this.#currentFirst);
    this.#measureFixed();
    this.#syncRecovered();
    const { reader } = this.#current;
    this.#lastPosition = reader.last() ?? this.#currentFirst - 1;
    this.#currentSinceUs = this.#receivedAt(this.#currentFirst);
    this.#lastReceivedAtUs = this.#receivedAt(this.#lastPosition) ?? this.#sealedReceivedAt();
    this.#freeBytes = files.freeBytes(folder);
  }

  get lastPosition(): number {
    return this.#lastPosition;
  }

  get firstPosition(): number {
    return this.#sealed[0]?.first ?? this.#currentFirst;
  }

  get lastReceivedAtUs(): number {
    return this.#lastReceivedAtUs;
  }

  append(records: readonly EncodedRecord[]): void {
    if (this.#failure !== null) throw this.#failure;
    const last = records.at(-1);
    if (last === undefined) return;
    this.#checkOrder(records);
    try {
      if (this.#isFull(last.receivedAtUs)) durably(this.#files, "log.roll", () => this.#roll());
      const before = this.#currentBytes;
      durably(this.#files, "log.append", () =>
        this.#current.append(records, () => this.#files.reach("log.append.inside")),
      );
      this.#freeBytes -= this.#currentBytes - before;
    } catch (error) {
      throw this.#latch(error);
    }
    this.#lastPosition = last.position;
    this.#lastReceivedAtUs = last.receivedAtUs;
    this.#currentSinceUs ??= must(records[0], "first record").receivedAtUs;
    if (!this.#isNextPrepared && this.#usedBytes * 2 > this.#options.fileSizeBytes)
      this.#prepareNext();
  }

  trim(position: number): void {
    const keptFrom = Math.min(position, this.#lastPosition, ...this.#holds.values());
    const firsts: number[] = [];
    for (;;) {
      const [oldest, next] = this.#sealed;
      if (oldest === undefined || (next?.first ?? this.#currentFirst) > keptFrom) break;
      this.#sealed.shift();
      this.#sealedBytes -= oldest.bytes;
      firsts.push(oldest.first);
    }
    if (firsts.length === 0) return;
    const { discard } = this.#options;
    if (discard === undefined) unlinkLogFiles(this.#folder, this.#files, firsts);
    else discard(firsts);
  }

  hold(position: number): number {
    const hold = this.#nextHold++;
    this.#holds.set(hold, position);
    return hold;
  }

  release(hold: number): void {
    assert(this.#holds.delete(hold), `hold ${hold} of the log exists`);
  }

  sizeBytes(): number {
    return this.#sealedBytes + this.#currentBytes;
  }

  hasRoom(payloadBytes: number): boolean {
    const wantedBytes = payloadBytes + LOG_ROOM_BYTES;
    // when the disk is short nothing is appended: only asking again can find room
    if (this.#freeBytes - wantedBytes < DISK_FREE_BYTES_MIN)
      this.#freeBytes = this.#files.freeBytes(this.#folder);
    const fits = this.sizeBytes() + wantedBytes <= this.#options.sizeMaxBytes;
    return (fits || this.#isOnlyFileFull()) && this.#freeBytes - wantedBytes >= DISK_FREE_BYTES_MIN;
  }

  /** Looks again how much room the disk has: others write to it and free it too. Call it now and then while nothing is appended. */
  measureDisk(): void {
    this.#freeBytes = this.#files.freeBytes(this.#folder);
  }

  close(): void {
    this.#current.close();
  }

  #checkOrder(records: readonly EncodedRecord[]): void {
    let position = this.#lastPosition;
    let receivedAtUs = this.#lastReceivedAtUs;
    for (const record of records) {
      assert(record.position === position + 1, `record ${record.position} follows ${position}`);
      assert(record.receivedAtUs >= receivedAtUs, `received_at of record ${record.position} grows`);
      position = record.position;
      receivedAtUs = record.receivedAtUs;
    }
  }

  #latch(cause: unknown): LogFailedError {
    this.#failure = new LogFailedError(
      `the log could not store record ${this.#lastPosition + 1} in ${this.#folder}: ${String(cause)}. Nothing more is acknowledged. ` +
        "Check the disk and its free room, then start again: all that was acknowledged is kept",
      { cause },
    );
    return this.#failure;
  }

  /**
   * Whether trimming has done all that it can before the next append: the only file with records is full (`size_max` or `file_size`
   * became smaller, or one transaction was large), and the last record is never trimmed. The next append goes to a new file, then the
   * full one can go: a log that refused it would refuse for good.
   */
  #isOnlyFileFull(): boolean {
    if (this.#currentSinceUs === null) return this.#sealed.length === 1;
    return this.#sealed.length === 0 && this.#usedBytes >= this.#options.fileSizeBytes;
  }

  #isFull(nowUs: number): boolean {
    if (this.#currentSinceUs === null) return false;
    return (
      this.#usedBytes >= this.#options.fileSizeBytes ||
      nowUs - this.#currentSinceUs >= LOG_FILE_AGE_US_MAX
    );
  }

  #roll(): void {
    const first = this.#lastPosition + 1;
    this.#publishNext(first);
    const next = this.#openFile(first);
    this.#current.close();
    this.#sealed.push({ first: this.#currentFirst, bytes: this.#currentBytes });
    this.#sealedBytes += this.#currentBytes;
    this.#current = next;
    this.#currentFirst = first;
    this.#currentSinceUs = null;
    this.#measureFixed();
    // others write to the same disk: once per file is often enough, given the reserve
    this.#freeBytes = this.#files.freeBytes(this.#folder);
  }

  #prepareNext(): void {
    try {
      const path = join(this.#folder, PREPARED_NAME);
      this.#files.writeSynced(path, [this.#emptyFile], "log.file.prepare");
    } catch (error) {
      throw this.#latch(error);
    }
    this.#isNextPrepared = true;
  }

  #publishNext(first: number): void {
    if (!this.#isNextPrepared) this.#prepareNext();
    const path = join(this.#folder, logFileName(first));
    assert(!this.#files.exists(path), `${path} is a new name`);
    this.#files.renameOver(join(this.#folder, PREPARED_NAME), path, "log.file.publish");
    this.#isNextPrepared = false;
  }

  #openFile(first: number): LogFileWriter {
    const path = join(this.#folder, logFileName(first));
    try {
      return new LogFileWriter(path, first, {
        jobId: this.#options.jobId,
        sizeBytes: this.#options.fileSizeBytes,
      });
    } catch (error) {
      throw logFileError(error, path);
    }
  }

  /**
   * A killed process may have written what it did not sync: SQLite shows it again, from the page cache. It must be on disk before a
   * position is built on it.
   */
  #syncRecovered(): void {
    const wal = join(this.#folder, `${logFileName(this.#currentFirst)}-wal`);
    if (this.#files.exists(wal)) this.#files.sync(wal, "log.recover.sync");
    this.#files.sync(this.#folder, "log.recover.sync");
  }

  #receivedAt(position: number): number | null {
    const row = this.#current.reader.heads(position, 1)[0];
    return row === undefined ? null : decodeHead(row.position, row.header).receivedAtUs;
  }

  /** `received_at` of the last record when the current file is still empty: a crash came right after a roll. */
  #sealedReceivedAt(): number {
    const sealed = this.#sealed.at(-1);
    if (sealed === undefined) return 0;
    const file = this.#openFile(sealed.first);
    try {
      const row = file.reader.heads(this.#lastPosition, 1)[0];
      if (row === undefined)
        throw new LogFolderError(
          `${join(this.#folder, logFileName(sealed.first))} lacks record ${this.#lastPosition}, which the next file continues: it or ` +
            "its -wal was replaced. Restore the log folder from a backup",
        );
      return decodeHead(row.position, row.header).receivedAtUs;
    } finally {
      file.close();
    }
  }

  #measureFixed(): void {
    this.#fixedBytes = this.#bytesOf(this.#currentFirst) - this.#current.wal.sizeBytes;
  }

  /** Bytes of the current file on disk. */
  get #currentBytes(): number {
    return this.#fixedBytes + this.#current.wal.sizeBytes;
  }

  /** Of these in use: the -wal is longer than what was written. */
  get #usedBytes(): number {
    return this.#fixedBytes + this.#current.wal.usedBytes;
  }

  #bytesOf(first: number): number {
    const path = join(this.#folder, logFileName(first));
    return (
      this.#files.sizeBytes(path) +
      this.#files.sizeBytes(`${path}-wal`) +
      this.#files.sizeBytes(`${path}-shm`)
    );
  }
}

/**
 * Unlinks trimmed files, oldest first: the database, then (synced) what belongs to it. A crash in between leaves a -wal without its
 * database, which the next start removes.
 */
export function unlinkLogFiles(folder: string, files: Files, firsts: readonly number[]): void {
  const paths = firsts.map((first) => join(folder, logFileName(first)));
  for (const path of paths) files.unlink(path, "log.trim.db");
  files.sync(folder, "log.trim.sync");
  for (const path of paths) {
    files.unlink(`${path}-wal`, "log.trim.wal");
    files.unlink(`${path}-shm`, "log.trim.wal");
  }
}

/** Removes what crashes leave behind and gives the first positions of the files, ascending. Refuses what is not ours. */
function cleanFolder(folder: string, files: Files): readonly number[] {
  const { firsts, leftovers, foreign } = logNames(files.list(folder));
  for (const name of foreign)
    throw new LogFolderError(
      `${join(folder, name)} is not a log file of Millrace. Move it elsewhere: ${dirname(folder)} is Millrace's own`,
    );
  for (const name of leftovers) files.unlink(join(folder, name), "log.trim.wal");
  return firsts;
}
