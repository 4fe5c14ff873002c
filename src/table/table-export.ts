// One writer of one table: rows in log order -> files of an epoch -> ledger. Drops what the ledger covers already, so that a replay
// changes nothing. A failed write leaves the rows in memory: `cut` again.
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Files } from "../base/files.ts";
import { EPOCH_FILES_MAX, EXPORT_FILES_PER_TURN } from "../limits.ts";
import { AvroError } from "./avro.ts";
import { CommitConflictError } from "./iceberg-table.ts";
import { TableRefusedError } from "./metadata-files.ts";
import { LedgerFailedError } from "./ledger-failure.ts";
import type { Ledger, LedgerFile, PendingEpoch } from "./ledger.ts";
import { ChangedRows, type FilesToWrite, type HeldRows, type StoredRows } from "./changed-rows.ts";
import { DayFiles, type FinishedDay } from "./day-files.ts";
import { describeFile, type FileDescriptor } from "./manifest.ts";
import { partitionName } from "./metadata.ts";
import { ParquetError } from "./parquet-read.ts";
import { decideEpoch, type EpochDecision } from "./recovery.ts";
import type { ExportRoom } from "./room.ts";
import { tableName, type TableSpec } from "./shapes.ts";
import type { Constant } from "./stage.ts";

/** Operating error: a table could not be written; nothing is lost, the same call may be made again. */
export class TableWriteError extends Error {
  override readonly name = "TableWriteError";
  readonly table: string;

  constructor(table: string, operation: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`table ${table}: ${operation} failed, it will be tried again: ${why}`, { cause });
    this.table = table;
  }

  /** Wraps what can be tried again; throws what cannot: a failed ledger, a broken invariant. */
  static from(table: string, operation: string, cause: unknown): TableWriteError {
    if (cause instanceof LedgerFailedError) throw cause;
    const isOperating =
      cause instanceof CommitConflictError ||
      cause instanceof TableRefusedError ||
      // a file that corrections change is damaged
      cause instanceof ParquetError ||
      // what another writer left in the table cannot be read
      cause instanceof AvroError ||
      cause instanceof SyntaxError ||
      (cause instanceof Error && "code" in cause);
    if (!isOperating) throw cause;
    return new TableWriteError(table, operation, cause);
  }
}

/** An epoch that is in the ledger. `epoch` 0 and `rowCount` 0: there was nothing to write. */
export interface CutEpoch {
  readonly epoch: number;
  /** The ledger position now: rows at or below it are out. */
  readonly position: number;
  readonly rowCount: number;
}

/** What an export needs of its surroundings. */
export interface ExportContext {
  readonly room: ExportRoom;
  readonly ledger: Ledger;
  readonly files: Files;
  readonly clock: Clock;
  /** Told of each file (absolute path) once the ledger has it. */
  readonly recorded: (file: LedgerFile) => void;
  /** Told of the files (absolute paths) whose place an epoch's files took. */
  readonly replaced: (paths: readonly string[], epoch: number) => void;
  readonly stored: StoredRows;
  /** A number that no file of the table got in this process. */
  readonly nameNext: () => number;
}

/** Which table, who writes, where. */
export interface ExportTarget {
  readonly spec: TableSpec;
  readonly writer: string;
  readonly kind: "raw" | "output";
  /** The table's folder, absolute. */
  readonly folder: string;
}

/** An ended epoch that is not recorded. */
interface Unwritten {
  /** Files on disk already. */
  readonly files: FileDescriptor[];
  hasFailed: boolean;
  /** Files that are not. */
  readonly days: FilesToWrite;
  readonly position: number;
  readonly rowCount: number;
  readonly watermark: string;
}

const US_PER_DAY = 86_400_000_000;

/** Days since the epoch that a Date can hold, either way. */
const DATE_DAYS_MAX = 100_000_000;

/** `2019-10-01` of a day since the epoch; years beyond 9999 as ISO-8601 writes them, days beyond that as numbers. */
function dayText(day: number): string {
  if (Math.abs(day) > DATE_DAYS_MAX) return String(day);
  const iso = new Date((day * US_PER_DAY) / 1000).toISOString();
  return iso.slice(0, iso.indexOf("T"));
}

export class TableExport {
  readonly #target: ExportTarget;
  readonly #context: ExportContext;
  readonly #table: string;
  /** ChangedRows where the table's rows may change. */
  readonly #rows: DayFiles | ChangedRows;
  /** The ledger's position: what is at or below it is out. */
  #position: number;
  #epoch: number;
  /** The highest position added. */
  #added: number;
  #oldestUs: number | null = null;
  #unwritten: Unwritten | null = null;

  constructor(target: ExportTarget, context: ExportContext) {
    this.#target = target;
    this.#context = context;
    this.#table = tableName(target.spec);
    const { columns, day, keys } = target.spec;
    this.#rows =
      keys === null
        ? new DayFiles(context.room, columns, day?.ordinal ?? null)
        : new ChangedRows(context.room, target.spec, context.stored);
    const covered = context.ledger.writerPosition(this.#table, target.writer);
    this.#position = covered.position;
    this.#added = covered.position;
    this.#epoch = covered.epoch;
  }

  get table(): string {
    return this.#table;
  }

  /** The ledger position: rows at or below it are out. */
  get position(): number {
    return this.#position;
  }

  /** The last epoch with rows of this writer; 0 = none. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Rows that are not in the ledger. */
  get rows(): number {
    return this.#rows.rowCount + (this.#unwritten?.rowCount ?? 0);
  }

  /** Whether the last cut failed: its rows wait in memory for the next. */
  get isFailed(): boolean {
    return this.#unwritten?.hasFailed === true;
  }

  /** Whether an epoch is not written whole: the next cut goes on with it. */
  get isWriting(): boolean {
    return this.#unwritten !== null;
  }

  /** Age of the oldest of them, µs. */
  get ageUs(): number {
    return this.#oldestUs === null ? 0 : this.#context.clock.monotonicUs() - this.#oldestUs;
  }

  /** Whether an epoch should be cut now, and why. */
  due(): EpochDecision {
    return decideEpoch({
      kind: this.hasChanges ? "changes" : this.#target.kind,
      rowCount: this.#rows.rowCount,
      ageUs: this.ageUs,
      isFull: this.#rows.isFull,
      isFailed: this.#unwritten !== null,
    });
  }

  /** Whether rows that wait change some that may be in the table. */
  get hasChanges(): boolean {
    return this.#rows instanceof ChangedRows && this.#rows.hasChanges;
  }

  /** Whether rows of this position are out already, or were added: they are dropped. */
  covers(position: number): boolean {
    return position <= this.#position;
  }

  /**
   * Adds the rows of an image, which must not change until they are cut. Positions never go back; all images of one position are
   * added before the next cut.
   */
  add(position: number, image: Uint8Array, rowCount: number, constants: readonly Constant[]): void {
    if (this.covers(position) || rowCount === 0) return;
    if (this.#rows instanceof DayFiles) this.#rows.add(image, rowCount, constants);
    else this.#rows.add({ image, rowCount });
    this.#has(position);
  }

  /** Adds rows that change those with the same keys, as `add` does: they may be in the table, or not. For tables with keys only. */
  change(position: number, rows: HeldRows): void {
    if (this.covers(position) || rows.rowCount === 0) return;
    assert(this.#rows instanceof ChangedRows, `rows of ${this.#table} do not change`);
    this.#rows.add(rows);
    this.#has(position);
  }

  #has(position: number): void {
    this.#added = Math.max(this.#added, position);
    this.#oldestUs ??= this.#context.clock.monotonicUs();
  }

  /**
   * Writes all rows added as one cut (an epoch, or several when it has many files) that covers positions up to `upTo` (at least the highest added): files, synced, then the ledger.
   * `watermark`: the stream's there, µs as decimal text. After an error the same epoch is written first by the next call, which
   * returns it, and rows added since wait for the call after. At most `filesMax` files are written; when there are more, nothing is
   * recorded (epoch 0), and the next call goes on. Throws TableWriteError, LedgerFailedError.
   */
  cut(upTo: number, watermark = "", filesMax = Number.MAX_SAFE_INTEGER): CutEpoch {
    const position = Math.max(upTo, this.#added);
    if (this.#unwritten === null) {
      const rowCount = this.#rows.rowCount;
      if (rowCount === 0) return this.#advance(position);
      const days = this.#rows.finish();
      this.#unwritten = { files: [], hasFailed: false, days, position, rowCount, watermark };
    }
    const unwritten = this.#unwritten;
    const { ledger } = this.#context;
    const epoch = ledger.epochNext(this.#table);
    this.#write(epoch, unwritten, filesMax);
    const { rowCount, days } = unwritten;
    if (days.left > 0) return { epoch: 0, position: this.#position, rowCount: 0 };
    const epochs = this.#epochsOf(epoch, unwritten);
    ledger.record(this.#table, epochs);
    for (const { epoch: recorded, writer, files } of epochs)
      for (const { path, times, bytes } of files)
        this.#context.recorded({
          epoch: recorded,
          writer,
          path: `${this.#target.folder}/${path}`,
          times: times === null ? null : { low: BigInt(times.low), high: BigInt(times.high) },
          removedEpoch: null,
          bytes,
        });
    this.#context.replaced(days.removed, epoch);
    this.#unwritten = null;
    this.#oldestUs = this.#rows.rowCount === 0 ? null : this.#context.clock.monotonicUs();
    this.#position = unwritten.position;
    this.#epoch = epoch + epochs.length - 1;
    return { epoch: this.#epoch, position: this.#position, rowCount };
  }

  /** The whole cut as epochs of a bounded number of files: the position moves with the last. */
  #epochsOf(first: number, { files, days, position, watermark }: Unwritten): PendingEpoch[] {
    const { folder } = this.#target;
    const removed = days.removed.map((path) => path.slice(folder.length + 1));
    // a file and those that take its place are of one epoch, and so of one snapshot
    const isOne = removed.length > 0 || files.length === 0;
    const filesMax = isOne ? files.length : EPOCH_FILES_MAX;
    const count = isOne ? 1 : Math.ceil(files.length / filesMax);
    return Array.from({ length: count }, (_, index) => {
      const part = files.slice(index * filesMax, (index + 1) * filesMax);
      return {
        epoch: first + index,
        writer: this.#target.writer,
        positionFrom: this.#position,
        position: index === count - 1 ? position : this.#position,
        rowCount: part.reduce((sum, file) => sum + file.rowCount, 0),
        watermark,
        files: part,
        removed,
      };
    });
  }

  #advance(position: number): CutEpoch {
    if (position > this.#position) {
      const { ledger } = this.#context;
      ledger.advance(this.#table, this.#target.writer, { position, epoch: this.#epoch });
      this.#position = position;
    }
    return { epoch: 0, position: this.#position, rowCount: 0 };
  }

  /**
   * The next files of the epoch, synced, at most `filesMax`; a failure leaves those that are written. Another writer of the table may record
   * an epoch before all are: a file's name tells the lowest epoch that it can be of.
   */
  #write(epoch: number, unwritten: Unwritten, filesMax: number): void {
    const { files, nameNext } = this.#context;
    const { days } = unwritten;
    for (let count = 0; count < filesMax; count++) {
      const next = this.#next(unwritten, Math.min(filesMax - count, EXPORT_FILES_PER_TURN));
      if (next === undefined) break;
      const folder = this.#dayFolder(next.day);
      const path = `${folder}/${String(epoch).padStart(8, "0")}-${nameNext()}.parquet`;
      try {
        files.makeFolder(`${this.#target.folder}/${folder}`);
        const target = `${this.#target.folder}/${path}`;
        const bytes = files.writeSynced(target, next.file.parts, "table.data.write");
        unwritten.files.push(
          describeFile(next.file, { path, day: next.day, bytes }, this.#timeField),
        );
      } catch (cause) {
        this.#tryUnlink(`${this.#target.folder}/${path}`);
        unwritten.hasFailed = true;
        throw TableWriteError.from(this.#table, `writing epoch ${epoch}`, cause);
      }
      days.written();
    }
    unwritten.hasFailed = false;
  }

  /** The next file; to make it others may be read. */
  #next(unwritten: Unwritten, ahead: number): FinishedDay | undefined {
    try {
      return unwritten.days.next(ahead);
    } catch (cause) {
      unwritten.hasFailed = true;
      throw TableWriteError.from(this.#table, "reading what it changes", cause);
    }
  }

  get #timeField(): number | null {
    const { day, columns } = this.#target.spec;
    return columns.find(({ name }) => name === day?.name)?.fieldId ?? null;
  }

  #dayFolder(day: number | null): string {
    const column = this.#target.spec.day?.name;
    if (day === null || column === undefined) return "data";
    return `data/${partitionName(column)}=${dayText(day)}`;
  }

  /** A failure leaves the file to the next start, which removes files of epochs that are not in the ledger. */
  #tryUnlink(path: string): void {
    try {
      this.#context.files.unlink(path, "table.data.unlink");
    } catch {
      // see above
    }
  }
}
