// The tables of one data folder: the export thread's side of raw events, dead letters and views. Rows come in log order, are cut
// into epochs (files + ledger, durable, visible to queries), and are committed to Iceberg a little later. Everything is synchronous.
import { must } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Files } from "../base/files.ts";
import type { ExportKernels } from "../../kernels/export.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import type { Column, EventSchema } from "../event/schema.ts";
import type { ViewPlan } from "../view/plan.ts";
import { EPOCH_FILES_MAX } from "../limits.ts";
import { DeadLetterExport, OutputExport, RawExport } from "./exports.ts";
import { IcebergTable, type CommitResult } from "./iceberg-table.ts";
import type { Marker } from "./metadata.ts";
import { TableRefusedError } from "./metadata-files.ts";
import {
  Ledger,
  type LedgerFile,
  type LedgerWriter,
  type PendingEpoch,
  type WriterPosition,
} from "./ledger.ts";
import { damageOf, dataFilesOf } from "./data-files.ts";
import { otherWriter, type OnTableAhead } from "./recovery.ts";
import { settleTable } from "./settle.ts";
import { ExportRoom } from "./room.ts";
import {
  deadLetterTable,
  lateTable,
  rawTable,
  tableName,
  viewTable,
  type TableSpec,
} from "./shapes.ts";
import { TableExport, TableWriteError } from "./table-export.ts";

export interface TablesOptions {
  /** The warehouse: tables lie in `<folder>/<namespace>/<table>/`. Absolute. */
  readonly folder: string;
  readonly ledgerPath: string;
  /** Identity of the data folder, in every marker. */
  readonly jobId: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly onTableAhead: OnTableAhead;
  /** An instance of the export module for these tables alone. */
  readonly kernels: KernelInstance<ExportKernels>;
}

/** A table of the warehouse as recovery left it. */
interface OpenTable {
  readonly spec: TableSpec;
  readonly iceberg: IcebergTable;
  /** Absolute paths of all files that queries may read, in order of epochs. */
  readonly files: LedgerFile[];
  /** Data files named in this process. */
  names: number;
}

/** What an earlier raw export of a stream left: its table and the log position that it covers, or a ledger whose table is gone. */
export type FormerRaw =
  | { readonly kind: "none" }
  | { readonly kind: "removed"; readonly table: string }
  | { readonly kind: "kept"; readonly table: string; readonly position: number };

/** Files of a table at one moment, for a pin. */
export interface TableFiles {
  readonly columns: readonly Column[];
  /** Absolute paths. */
  readonly files: readonly string[];
}

/** What a round of commits did. A failed table keeps its epochs recorded and is tried again by the next round. */
export interface CommitRound {
  readonly committed: readonly {
    readonly table: string;
    readonly epoch: number;
    readonly rowCount: number;
  }[];
  readonly failures: readonly TableWriteError[];
  /** Whether recorded epochs are left that the next round may commit at once. */
  readonly more: boolean;
}

/** All tables of a data folder. One instance per process. */
export class Tables {
  readonly #options: TablesOptions;
  readonly #ledger: Ledger;
  readonly #room: ExportRoom;
  readonly #tables = new Map<string, OpenTable>();
  readonly #damages: string[] = [];
  readonly #rollbacks: string[] = [];
  #keepsReplaced = false;

  constructor(options: TablesOptions) {
    this.#options = options;
    options.files.makeFolder(options.folder);
    this.#ledger = Ledger.open(options.ledgerPath, options.jobId, options.files);
    this.#room = new ExportRoom(options.kernels);
  }

  /** Raw events of a stream. Creates and recovers its table. Throws TableRefusedError, LedgerFailedError, OS errors. */
  raw(namespace: string, stream: string, schema: EventSchema): RawExport {
    return new RawExport(this.#export(rawTable(namespace, stream, schema), stream, "raw"), stream);
  }

  /** Dead letters of all streams, read in log order by one reader. */
  deadLetters(): DeadLetterExport {
    return new DeadLetterExport(this.#export(deadLetterTable(), "events", "raw"));
  }

  /** Closed windows of a view. */
  rows(namespace: string, plan: ViewPlan): OutputExport {
    const table = this.#export(viewTable(namespace, plan), plan.name, "output");
    return new OutputExport(table, plan.name, "rows");
  }

  /** Late events of a view, in the table that all views share. */
  late(view: string): OutputExport {
    return new OutputExport(this.#export(lateTable(), view, "output"), view, "late");
  }

  /** Creates or opens a table, settles what a crash left behind, and makes it readable. No effect the second time. */
  define(spec: TableSpec): void {
    const name = tableName(spec);
    if (this.#tables.has(name)) return;
    const { folder, files, clock } = this.#options;
    const shape = { columns: spec.columns, dayColumn: spec.day?.name ?? null };
    const place = { folder: `${folder}/${spec.namespace}/${spec.name}`, files, clock };
    const iceberg = new IcebergTable(place, shape);
    iceberg.create();
    this.#ledger.register(name);
    const { jobId, onTableAhead } = this.#options;
    const table = { name, iceberg, ledger: this.#ledger, files, jobId, onTableAhead };
    const takenBack = settleTable(table);
    if (takenBack !== null) this.#rollbacks.push(takenBack);
    const readable = this.#ledger
      .files(name)
      .map((file) => ({ ...file, path: `${iceberg.folder}/${file.path}` }));
    const damage = damageOf(name, readable, files);
    if (damage !== null) this.#damages.push(damage);
    // a file that is not in its place may lie under another name: nothing is taken away then
    this.#passOrphans(name, iceberg, { recorded: readable, isKept: damage !== null });
    this.#tables.set(name, { spec, iceberg, files: readable, names: 0 });
  }

  /** While a savepoint copies them, files whose place others have taken stay; the commits after it remove them. */
  keepReplaced(isKept: boolean): void {
    this.#keepsReplaced = isKept;
  }

  /** Names of the open tables, `namespace.table`. */
  names(): string[] {
    return [...this.#tables.keys()];
  }

  /** What was found to be wrong with data files when their tables were opened, a sentence for each table. */
  get damages(): readonly string[] {
    return this.#damages;
  }

  /** Tables that were taken back when they were opened, a sentence each. */
  get rollbacks(): readonly string[] {
    return this.#rollbacks;
  }

  /** Recorded epochs that wait for their commit, over all tables. */
  pendingEpochs(): number {
    return this.names().reduce((sum, name) => sum + this.#ledger.pending(name).length, 0);
  }

  /** Commits recorded epochs, one snapshot per table with any, of a bounded number of files. Throws LedgerFailedError only. */
  commitPending(): CommitRound {
    const committed: { table: string; epoch: number; rowCount: number }[] = [];
    const failures: TableWriteError[] = [];
    let more = false;
    for (const [name, table] of this.#tables) {
      const pending = this.#ledger.pending(name, EPOCH_FILES_MAX);
      const last = pending.at(-1);
      if (last === undefined) continue;
      try {
        const result = this.#commit(name, table.iceberg, pending);
        // nothing to tell the table: these epochs go with the next ones
        if (result === null) continue;
        const epoch = result.kind === "found" ? this.#found(name, result.marker) : last.epoch;
        const snapshotId = result.kind === "found" ? 0 : result.snapshotId;
        this.#ledger.markCommitted(name, epoch, snapshotId);
        const rowCount = pending.reduce(
          (sum, one) => sum + (one.epoch <= epoch ? one.rowCount : 0),
          0,
        );
        committed.push({ table: name, epoch, rowCount });
        more ||= this.#ledger.lastEpochs(name).recorded > epoch;
        this.#removeReplaced(name, table);
      } catch (cause) {
        failures.push(TableWriteError.from(name, "commit", cause));
      }
    }
    return { committed, failures, more };
  }

  /** How far a writer's rows are in the ledger: position 0 when there is nothing. Writers: the stream, "events", the view. */
  ledgerPosition(table: string, writer: string): WriterPosition {
    return this.#ledger.writerPosition(table, writer);
  }

  /** All writers in the ledger, those too that are no longer configured. */
  writers(): LedgerWriter[] {
    return this.#ledger.writers();
  }

  /**
   * Files of a table that queries may read, and its columns. `through`: the last epoch to be read of each writer; writers that are
   * not in it are read whole.
   */
  pinnedFiles(table: string, through: ReadonlyMap<string, number> = new Map()): TableFiles {
    const { spec, files } = must(this.#tables.get(table), `table ${table}`);
    return {
      columns: plainColumns(spec),
      files: files
        .filter(({ epoch, writer, removedEpoch }) => {
          const last = through.get(writer) ?? Number.MAX_SAFE_INTEGER;
          return epoch <= last && (removedEpoch === null || removedEpoch > last);
        })
        .map((file) => file.path),
    };
  }

  /** Files of late events, up to an epoch of each view; views that are not named are read whole. */
  pinnedLate(epochs: ReadonlyMap<string, number>): TableFiles {
    const spec = lateTable();
    const name = tableName(spec);
    return this.#tables.has(name)
      ? this.pinnedFiles(name, epochs)
      : { columns: plainColumns(spec), files: [] };
  }

  /**
   * The raw table of a stream whose export is off: what was exported before stays readable, and what is recorded is committed. Nothing is
   * created. Throws as `raw` does.
   */
  formerRaw(namespace: string, stream: string, schema: EventSchema): FormerRaw {
    const spec = rawTable(namespace, stream, schema);
    const table = tableName(spec);
    const { position, epoch } = this.#ledger.writerPosition(table, stream);
    if (epoch === 0) return { kind: "none" };
    const { folder, files } = this.#options;
    if (!files.exists(`${folder}/${namespace}/${spec.name}/metadata`))
      return { kind: "removed", table };
    this.define(spec);
    return { kind: "kept", table, position };
  }

  /** The columns of a stream's raw table, and no files: for a stream that has none. */
  rawShape(
    namespace: string,
    stream: { readonly name: string; readonly schema: EventSchema },
  ): TableFiles {
    return { columns: plainColumns(rawTable(namespace, stream.name, stream.schema)), files: [] };
  }

  /** Path of a table's current metadata file, as pyiceberg and others open it. */
  metadataPath(table: string): string {
    return must(this.#tables.get(table), `table ${table}`).iceberg.metadataPath();
  }

  close(): void {
    this.#ledger.close();
  }

  #export(spec: TableSpec, writer: string, kind: "raw" | "output"): TableExport {
    this.define(spec);
    const table = must(this.#tables.get(tableName(spec)), "open table");
    return new TableExport(
      { spec, writer, kind, folder: table.iceberg.folder },
      {
        room: this.#room,
        ledger: this.#ledger,
        files: this.#options.files,
        clock: this.#options.clock,
        recorded: (file) => table.files.push(file),
        replaced: (paths, epoch) => replace(table.files, new Set(paths), epoch),
        stored: {
          files: () => table.files.filter(({ removedEpoch }) => removedEpoch === null),
          read: (path) => this.#options.files.read(path),
        },
        nameNext: () => table.names++,
      },
    );
  }

  #commit(
    name: string,
    iceberg: IcebergTable,
    pending: readonly PendingEpoch[],
  ): CommitResult | null {
    const last = must(pending.at(-1), "a pending epoch");
    const marker = {
      jobId: this.#options.jobId,
      epoch: last.epoch,
      position: last.position,
      watermark: last.watermark,
    };
    const removed = new Set(pending.flatMap((epoch) => epoch.removed));
    const files = pending.flatMap((epoch) => epoch.files);
    const own = new Set(files.map(({ path }) => path));
    const change = {
      added: files.filter(({ path }) => !removed.has(path)),
      // what came and went in these epochs was never in the table
      removed: [...removed].filter((path) => !own.has(path)),
    };
    if (change.added.length + change.removed.length === 0) return null;
    return iceberg.commit(change, marker, this.#ledger.lastEpochs(name).committed);
  }

  /** An epoch that the table has and the ledger did not know to be in it: ours, of a commit that failed after it was done; else refused. */
  #found(name: string, marker: Marker): number {
    const position = this.#ledger.epochPosition(name, marker.epoch);
    if (position === marker.position) return marker.epoch;
    throw new TableRefusedError(`table ${name}: ${otherWriter(marker, position)}`);
  }

  /** Unlinks files whose place others have taken, once no snapshot has them: these are kept for an hour at least, longer than any question. */
  #removeReplaced(name: string, { iceberg, files }: OpenTable): void {
    if (this.#keepsReplaced || files.every(({ removedEpoch }) => removedEpoch === null)) return;
    const oldest = iceberg.oldestEpoch();
    const gone = files.filter(
      ({ removedEpoch }) => removedEpoch !== null && removedEpoch <= oldest,
    );
    if (gone.length === 0) return;
    this.#ledger.forget(
      name,
      gone.map(({ path }) => path.slice(iceberg.folder.length + 1)),
    );
    for (const file of gone) {
      files.splice(files.indexOf(file), 1);
      this.#options.files.unlink(file.path, "table.replaced.unlink");
    }
  }

  /** Unlinks data files of ours that the ledger does not know: a crash came before it did. Files of other writers are left alone. */
  #passOrphans(
    name: string,
    { folder: table }: IcebergTable,
    { recorded, isKept }: { readonly recorded: readonly LedgerFile[]; readonly isKept: boolean },
  ): void {
    const { files } = this.#options;
    const known = new Set(recorded.map((file) => file.path));
    const orphans = dataFilesOf(table, files).filter(
      ({ path, epoch }) => epoch > 0 && !known.has(path),
    );
    if (orphans.length === 0) return;
    // first past their names, then away with them: a name is never used twice
    this.#ledger.raiseEpoch(name, Math.max(...orphans.map((orphan) => orphan.epoch)) + 1);
    if (isKept) return;
    for (const orphan of orphans) files.unlink(orphan.path, "table.orphan.unlink");
  }
}

function replace(files: LedgerFile[], paths: ReadonlySet<string>, removedEpoch: number): void {
  for (const [index, file] of files.entries())
    if (paths.has(file.path)) files[index] = { ...file, removedEpoch };
}

function plainColumns(spec: TableSpec): readonly Column[] {
  return spec.columns.map(({ name, type, nullable, fieldId }) => ({
    name,
    type,
    nullable,
    fieldId,
  }));
}

/** Opens the ledger and prepares the export of a data folder. Throws LedgerFailedError, OS errors. */
export function openTables(options: TablesOptions): Tables {
  return new Tables(options);
}
