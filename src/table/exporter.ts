// The export as one step: reads durable records from the log for raw events and dead letters, takes outputs of views, cuts epochs when
// they are due, commits them, and says what the ledger covers. Synchronous, one thread. The clock is only asked how old rows are.
import { must } from "../base/assert.ts";
import type { EventSchema } from "../event/schema.ts";
import {
  CHANGES_EPOCH_INTERVALS,
  EXPORT_FILES_PER_TURN,
  EXPORT_READ_BYTES,
  EXPORT_IDLE_ADVANCE_US,
  LOG_HEADS_PER_LOOK,
} from "../limits.ts";
import type { Clock } from "../base/clock.ts";
import type { LogReader } from "../log/log.ts";
import type { EventsRecord } from "../log/record.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { ViewOutput } from "../window/output.ts";
import { Backoff } from "./backoff.ts";
import type { DeadLetterExport, OutputExport, RawExport } from "./exports.ts";
import type { LedgerWriter } from "./ledger.ts";
import { rawNotice } from "./recovery.ts";
import { deadLetterTable, rawTableName, tableName } from "./shapes.ts";
import { TableWriteError, type TableExport } from "./table-export.ts";
import type { FormerRaw, TableFiles, Tables } from "./tables.ts";

/** Namespace of the tables of streams and views. */
export const USER_NAMESPACE = "default";

/** Which outputs of a view are in its table's ledger: positions up to `position`, the last of them in `epoch`. */
export interface Coverage {
  readonly view: string;
  readonly output: ViewOutput["kind"];
  readonly position: number;
  readonly epoch: number;
}

/** A reader of the log: `position` is what it has taken in, `durable` what its ledger covers. */
export interface ExportReader {
  readonly reader: string;
  readonly position: number;
  readonly durable: number;
}

/** The table of one of a view's outputs. */
interface OutputTable {
  readonly view: string;
  readonly output: ViewOutput["kind"];
  readonly table: TableExport;
}

/** Readers of raw events are named by their stream: `raw:clicks`. */
const RAW_READER = "raw:";
const DEAD_LETTERS_READER = "dead_letters";

/** The reader of the log that a table's writer is; null for a view, whose outputs come from the engine. */
export function logReaderOf({ table, writer }: LedgerWriter): string | null {
  if (table === tableName(deadLetterTable())) return DEAD_LETTERS_READER;
  return table === `${USER_NAMESPACE}.${rawTableName(writer)}` ? RAW_READER + writer : null;
}

/** Whether a reader of a checkpoint is one of those, whose state is their table. */
export function isLogReader(name: string): boolean {
  return name === DEAD_LETTERS_READER || name.startsWith(RAW_READER);
}

/** The stream of a reader's name; "" for dead letters, which are of all streams. */
function streamOf(reader: string): string {
  return reader.startsWith(RAW_READER) ? reader.slice(RAW_READER.length) : "";
}

export interface ExporterOptions {
  readonly tables: Tables;
  readonly log: LogReader;
  readonly clock: Clock;
  readonly streams: readonly { readonly name: string; readonly schema: EventSchema }[];
  readonly views: readonly ViewPlan[];
  /** Whether raw events are exported; dead letters are in any case. */
  readonly rawOn: boolean;
  readonly rawEpoch: { readonly ageUsMax: number; readonly rowsMax: number };
}

export class Exporter {
  readonly #options: ExporterOptions;
  readonly #raws = new Map<string, RawExport>();
  /** Streams whose raw export is off, and what it left when it was on. */
  readonly #formerRaws = new Map<string, FormerRaw>();
  readonly #deadLetters: DeadLetterExport;
  readonly #rows = new Map<string, OutputExport>();
  readonly #late = new Map<string, OutputExport>();
  /** The same by reader, and by view. */
  readonly #logExports: readonly (readonly [string, TableExport])[];
  readonly #outputExports: readonly OutputTable[];
  /** The log up to here was read. */
  #position: number;
  /** All outputs of positions up to here were given, of views that stopped those up to where they did. */
  #folded = 0;
  #stopped: ReadonlyMap<string, number> = new Map();
  #watermarks: ReadonlyMap<string, string> = new Map();
  #advancedUs = 0;
  #hasMoreToCommit = false;
  #failures: readonly TableWriteError[] = [];
  readonly #backoff: Backoff;

  /** Opens and recovers all tables. Throws TableRefusedError, LedgerFailedError, OS errors. */
  constructor(options: ExporterOptions) {
    const { tables, streams, views, log, rawOn } = options;
    this.#options = options;
    this.#backoff = new Backoff(options.clock);
    for (const { name, schema } of streams)
      if (rawOn) this.#raws.set(name, tables.raw(USER_NAMESPACE, name, schema));
      else this.#formerRaws.set(name, tables.formerRaw(USER_NAMESPACE, name, schema));
    this.#deadLetters = tables.deadLetters();
    for (const plan of views) {
      this.#rows.set(plan.name, tables.rows(USER_NAMESPACE, plan));
      this.#late.set(plan.name, tables.late(plan.name));
    }
    this.#logExports = [
      ...[...this.#raws].map(([stream, raw]) => [RAW_READER + stream, raw.export] as const),
      [DEAD_LETTERS_READER, this.#deadLetters.export] as const,
    ];
    const of = (exports: ReadonlyMap<string, OutputExport>, output: ViewOutput["kind"]) =>
      [...exports].map(([view, { export: table }]) => ({ view, output, table }));
    this.#outputExports = [...of(this.#rows, "rows"), ...of(this.#late, "late")];
    const { first } = log.bounds();
    this.#position = Math.max(
      first - 1,
      Math.min(...this.#logExports.map(([, table]) => table.position)),
    );
  }

  /**
   * Settles where raw tables end before the log begins, which it does when the raw export was off: they go on behind the gap. Gives
   * lines for the operator. Called once, when the start is known to be good and before the log is read.
   */
  resume(): string[] {
    const trimmed = this.#options.log.bounds().first - 1;
    const notices: (string | null)[] = [];
    for (const [stream, raw] of this.#raws) {
      const { position: exported } = raw.export;
      notices.push(rawNotice({ stream, isOn: true, table: "kept", exported, trimmed }));
      // a checkpoint tells this position: the ledger has it before
      raw.export.cut(trimmed);
    }
    for (const [stream, former] of this.#formerRaws) {
      const exported = former.kind === "kept" ? former.position : 0;
      notices.push(rawNotice({ stream, isOn: false, table: former.kind, exported, trimmed }));
    }
    return notices.filter((notice) => notice !== null);
  }

  /** Whether an epoch of many files is not written whole: `cut` goes on with it. */
  get isWriting(): boolean {
    const isWriting = (table: TableExport): boolean => table.isWriting && !table.isFailed;
    return (
      this.#logExports.some(([, table]) => isWriting(table)) ||
      this.#outputExports.some(({ table }) => isWriting(table))
    );
  }

  /** Takes a bounded number of records in; true when there may be more. While a table cannot be written nothing is: the log keeps it. */
  readLog(): boolean {
    if (this.#failures.length > 0 || this.isWriting) return false;
    return this.#raws.size > 0 ? this.#readRecords() : this.#readRejects();
  }

  /** With the raw export off only rejects are wanted: heads tell which records have any. */
  #readRejects(): boolean {
    const heads = this.#options.log.heads(this.#position + 1, LOG_HEADS_PER_LOOK);
    for (const { position, rejectCount } of heads) {
      const [record] = rejectCount > 0 ? this.#options.log.read(position, 1) : [];
      if (record?.kind === "events") this.#addRecord(record);
      this.#position = position;
    }
    return heads.length > 0;
  }

  /** A table whose memory bounds ask for an end of its epoch takes no more: one record is the most that goes beyond them. */
  #readRecords(): boolean {
    const records = this.#options.log.read(this.#position + 1, EXPORT_READ_BYTES);
    for (const record of records) {
      if (record.kind === "events") this.#addRecord(record);
      this.#position = record.position;
      if (record.kind === "events" && this.#raws.get(record.stream)?.export.due() === "memory")
        break;
    }
    return records.length > 0;
  }

  addOutputs(outputs: readonly ViewOutput[]): void {
    for (const output of outputs) {
      const exports = output.kind === "rows" ? this.#rows : this.#late;
      must(exports.get(output.view), `export of ${output.view}`).add(output);
    }
  }

  /**
   * All outputs of positions up to `position` were given; of views that stopped, which may go on from there, up to where they did.
   * `watermarks`: µs as decimal text, by stream, for the tables' markers.
   */
  folded(
    position: number,
    watermarks: ReadonlyMap<string, string>,
    stopped: ReadonlyMap<string, number> = new Map(),
  ): void {
    this.#folded = position;
    this.#watermarks = watermarks;
    this.#stopped = stopped;
  }

  /**
   * Cuts every epoch that is due (all of them when `force`); returns what is covered anew. What a table failed to write is kept, and tried
   * again after a wait that grows, or at once when `force`.
   */
  cut(force: boolean): Coverage[] {
    const mayRetry = force || this.#backoff.isOver();
    const failures = mayRetry ? [] : [...this.#failures];
    for (const [reader, table] of this.#logExports)
      if (this.#isDue(table, force) && (mayRetry || !table.isFailed))
        this.#try(failures, () =>
          this.#cutTable(table, {
            upTo: this.#position,
            watermark: this.#watermarkOf(streamOf(reader)),
            force,
          }),
        );
    const covered: Coverage[] = [];
    for (const { view, output, table } of this.#outputExports) {
      if (!(force || this.#isOutputDue(table)) || table.rows === 0) continue;
      if (!mayRetry && table.isFailed) continue;
      const watermark = this.#watermarkOf(this.#streamOfView(view));
      const upTo = Math.min(this.#folded, this.#stopped.get(view) ?? this.#folded);
      this.#try(failures, () => this.#cutTable(table, { upTo, watermark, force }));
      covered.push({ view, output, position: table.position, epoch: table.epoch });
    }
    this.#advanceIdle();
    if (failures.length === 0) this.#backoff.reset();
    else if (mayRetry) this.#backoff.failed();
    this.#failures = failures;
    return covered;
  }

  /** Commits recorded epochs to Iceberg, a snapshot a table. Returns the failures, which the next round tries again. */
  commit(): readonly TableWriteError[] {
    const { failures, more } = this.#options.tables.commitPending();
    this.#hasMoreToCommit = more;
    return [...this.#failures, ...failures];
  }

  /** Whether the last `commit` left epochs that could be committed at once. */
  get hasMoreToCommit(): boolean {
    return this.#hasMoreToCommit;
  }

  /** What every view's ledger covers. */
  coverage(): Coverage[] {
    return this.#outputExports.map(({ view, output, table }) => ({
      view,
      output,
      position: table.position,
      epoch: table.epoch,
    }));
  }

  readers(): ExportReader[] {
    return this.#logExports.map(([reader, table]) => ({
      reader,
      position: this.#position,
      durable: table.position,
    }));
  }

  /**
   * Raw files of a stream and the log position that they cover. With the raw export off those of an earlier one; what the log has trimmed
   * beyond them is nowhere.
   */
  pinnedStream(stream: string): { readonly raw: TableFiles; readonly coveredPosition: number } {
    const { tables, log } = this.#options;
    const raw = this.#raws.get(stream);
    if (raw !== undefined)
      return { raw: tables.pinnedFiles(raw.export.table), coveredPosition: raw.export.position };
    const trimmed = log.bounds().first - 1;
    const former = this.#formerRaws.get(stream);
    if (former?.kind !== "kept")
      return {
        raw: tables.rawShape(USER_NAMESPACE, this.#schema(stream)),
        coveredPosition: trimmed,
      };
    return {
      raw: tables.pinnedFiles(former.table),
      coveredPosition: Math.max(former.position, trimmed),
    };
  }

  /** Files of a view's rows up to an epoch. */
  pinnedRows(view: string, epoch: number): TableFiles {
    const { table } = must(this.#rows.get(view), `export of ${view}`).export;
    return this.#options.tables.pinnedFiles(table, new Map([[view, epoch]]));
  }

  /** Files of late events, up to an epoch for each view; views that are not named are read whole. */
  pinnedLate(epochs: ReadonlyMap<string, number>): TableFiles {
    return this.#options.tables.pinnedLate(epochs);
  }

  pinnedDeadLetters(): { readonly files: TableFiles; readonly coveredPosition: number } {
    const { table, position } = this.#deadLetters.export;
    return { files: this.#options.tables.pinnedFiles(table), coveredPosition: position };
  }

  #addRecord(record: EventsRecord): void {
    this.#deadLetters.add(record);
    if (record.rowCount > 0) this.#raws.get(record.stream)?.add(record);
  }

  #schema(stream: string): { readonly name: string; readonly schema: EventSchema } {
    return must(
      this.#options.streams.find(({ name }) => name === stream),
      `stream ${stream}`,
    );
  }

  #watermarkOf(stream: string): string {
    return this.#watermarks.get(stream) ?? "";
  }

  #streamOfView(view: string): string {
    return this.#options.views.find(({ name }) => name === view)?.stream ?? "";
  }

  #isDue(table: TableExport, force: boolean): boolean {
    const { rawEpoch } = this.#options;
    if (table.rows === 0) return false;
    return (
      force ||
      table.rows >= rawEpoch.rowsMax ||
      table.ageUs >= rawEpoch.ageUsMax ||
      table.due() !== "wait"
    );
  }

  #isOutputDue(table: TableExport): boolean {
    const gatherUs = this.#options.rawEpoch.ageUsMax * CHANGES_EPOCH_INTERVALS;
    return table.due() !== "wait" || (table.hasChanges && table.ageUs >= gatherUs);
  }

  /** Moves the ledgers of readers without rows on, so that the log can be trimmed: seldom, each is a transaction. */
  #advanceIdle(): void {
    const nowUs = this.#options.clock.monotonicUs();
    if (nowUs - this.#advancedUs < EXPORT_IDLE_ADVANCE_US) return;
    this.#advancedUs = nowUs;
    for (const [, table] of this.#logExports)
      if (table.rows === 0 && table.position < this.#position) table.cut(this.#position);
  }

  /** A bounded number of files, unless all is to be out: then what was under way, and what came after it. */
  #cutTable(
    table: TableExport,
    how: { readonly upTo: number; readonly watermark: string; readonly force: boolean },
  ): void {
    const { upTo, watermark, force } = how;
    table.cut(upTo, watermark, force ? Number.MAX_SAFE_INTEGER : EXPORT_FILES_PER_TURN);
    if (force && table.rows > 0) table.cut(upTo, watermark);
  }

  #try(failures: TableWriteError[], cut: () => void): void {
    try {
      cut();
    } catch (error) {
      if (!(error instanceof TableWriteError)) throw error;
      failures.push(error);
    }
  }
}
