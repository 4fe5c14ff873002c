// The ledger: epochs and their files, by table, in ledger.db. From the moment that an epoch is recorded here queries may read its
// files; the Iceberg commit comes after. Owns every statement that touches the database, whose tables are in ledger-schema.ts.
import { Database } from "bun:sqlite";
import { assert, must } from "../base/assert.ts";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { ledgerError } from "./ledger-failure.ts";
import type { LedgerFailedError } from "./ledger-failure.ts";
import { checksumOfRows, LedgerRows } from "./ledger-rows.ts";
import {
  isEarlierFormat,
  LEDGER_APPLICATION_ID,
  LEDGER_DDL,
  LEDGER_FORMAT,
  readEarlierFormat,
  upgradeLedger,
} from "./ledger-schema.ts";
import { checkFormat, checkJob, formatOf, refuseDamaged, refuseForeign } from "./open-ledger.ts";
import type { FileDescriptor } from "./manifest.ts";

/** Files of one writer: those of a position interval, or some of them, with an empty interval, when the epochs after it have the rest. */
export interface Epoch {
  readonly epoch: number;
  readonly writer: string;
  /** Exclusive. */
  readonly positionFrom: number;
  /** Inclusive. */
  readonly position: number;
  readonly rowCount: number;
  readonly watermark: string;
}

/** A recorded epoch that is not in the Iceberg table yet. */
export interface PendingEpoch extends Epoch {
  readonly files: readonly FileDescriptor[];
  /** Files of earlier epochs whose place they take, relative to the table's folder. */
  readonly removed: readonly string[];
}

/** How far a writer's rows are out. */
export interface WriterPosition {
  readonly position: number;
  readonly epoch: number;
}

/** A writer of a table, configured or not. */
export interface LedgerWriter {
  /** `namespace.table`. */
  readonly table: string;
  readonly writer: string;
  readonly position: number;
}

/** A data file that queries may read. */
export interface LedgerFile {
  readonly epoch: number;
  readonly writer: string;
  /** Relative to the table's folder. */
  readonly path: string;
  /** Lowest and highest time of the column that parts the table, µs. */
  readonly times: { readonly low: bigint; readonly high: bigint } | null;
  /** The epoch whose files took its place: those that read up to an earlier one still read it. Null: all do. */
  readonly removedEpoch: number | null;
  /** Its length; null: not recorded. */
  readonly bytes: number | null;
}

/** What writes the ledger: a step each, `table.ledger.` and its name. */
type Operation = "open" | "register" | "raise" | "record" | "advance" | "mark" | "forget";

/** ledger.db, one writer. Every method throws LedgerFailedError, and from then on all do. */
export class Ledger {
  readonly #path: string;
  readonly #database: Database;
  readonly #files: Files;
  readonly #rows: LedgerRows;
  #failure: LedgerFailedError | null = null;
  /** Tables without a recorded epoch that is not committed: asked for far more often than there is one. */
  readonly #settled = new Set<string>();

  private constructor(path: string, database: Database, files: Files) {
    this.#path = path;
    this.#database = database;
    this.#files = files;
    this.#rows = new LedgerRows(database);
  }

  /**
   * Opens or makes the ledger of a job. What a killed process left is synced first, so that the log is not trimmed for an epoch that a
   * power cut could still take back. Throws LedgerRefusedError when it is of another job or format, or damaged; LedgerFailedError when it
   * cannot be opened.
   */
  static open(path: string, jobId: string, files: Files): Ledger {
    let database: Database | null = null;
    try {
      if (files.exists(`${path}-wal`)) files.sync(`${path}-wal`, "table.ledger.recover.sync");
      // for this user alone, as -wal and -shm are then too; SQLite's own would be open to all
      if (!files.exists(path)) files.writeSynced(path, [], "table.ledger.make");
      database = new Database(path, { readwrite: true, create: false, strict: true });
      refuseForeign(database, path);
      database.run("PRAGMA journal_mode = WAL");
      database.run("PRAGMA synchronous = FULL");
      refuseDamaged(database, path, "quick_check");
      const ledger = new Ledger(path, database, files);
      ledger.#transaction("open", () => ledger.#prepare(jobId));
      return ledger;
    } catch (cause) {
      database?.close();
      throw ledgerError(path, "open", cause);
    }
  }

  /**
   * Opens a ledger to read it, with each of its indexes checked, and changes nothing. Null: nothing was ever recorded. Throws as `open`; a
   * method that writes fails.
   */
  static read(path: string, jobId: string, files: Files): Ledger | null {
    if (files.sizeBytes(path) + files.sizeBytes(`${path}-wal`) === 0) return null;
    let database: Database | null = null;
    try {
      database = new Database(path, { readonly: true, strict: true });
      refuseForeign(database, path);
      refuseDamaged(database, path, "integrity_check");
      const format = formatOf(database);
      if (format === 0) {
        database.close();
        return null;
      }
      if (isEarlierFormat(format)) readEarlierFormat(database, format);
      else checkFormat(database, path);
      checkJob(database, path, jobId);
      return new Ledger(path, database, files);
    } catch (cause) {
      database?.close();
      throw ledgerError(path, "open", cause);
    }
  }

  #prepare(jobId: string): void {
    const format = formatOf(this.#database);
    if (format === 0) {
      this.#database.run(LEDGER_DDL);
      this.#database.run(`PRAGMA application_id = ${LEDGER_APPLICATION_ID}`);
      this.#database.run(`PRAGMA user_version = ${LEDGER_FORMAT}`);
      this.#database.query("INSERT INTO job (id) VALUES (?)").run(jobId);
      return;
    }
    if (isEarlierFormat(format)) {
      upgradeLedger(this.#database, format);
      this.#database.query("UPDATE job SET checksum = ?").run(checksumOfRows(this.#database));
      this.#database.run(`PRAGMA user_version = ${LEDGER_FORMAT}`);
    } else checkFormat(this.#database, this.#path);
    checkJob(this.#database, this.#path, jobId);
  }

  /** Makes the table known; returns the number of its next epoch. */
  register(table: string): number {
    return this.#transaction("register", () => {
      const known = this.#epochNext(table);
      if (known === null) this.#rows.insert("tables", { name: table, epoch_next: 1 });
      return known ?? 1;
    });
  }

  /** All tables that were ever registered. */
  tables(): { readonly name: string; readonly epochNext: number }[] {
    return this.#guard("read", () =>
      this.#database.query("SELECT name, epoch_next AS epochNext FROM tables ORDER BY name").all(),
    ) as { name: string; epochNext: number }[];
  }

  /** The log position of a recorded epoch; null = there is no such epoch. */
  epochPosition(table: string, epoch: number): number | null {
    const row = this.#guard("read", () =>
      this.#database
        .query("SELECT position FROM epochs WHERE table_name = ? AND epoch = ?")
        .get(table, epoch),
    ) as { position: number } | null;
    return row?.position ?? null;
  }

  /** Raises the number of the next epoch, past names that are on the disk already. */
  raiseEpoch(table: string, epochNext: number): void {
    this.#transaction("raise", () =>
      this.#rows.update("tables", { epoch_next: epochNext }, "name = ? AND epoch_next < ?", [
        table,
        epochNext,
      ]),
    );
  }

  epochNext(table: string): number {
    return this.#guard("read", () => this.#epochNext(table) ?? 1);
  }

  /** How far a writer's rows are out; position 0 when it has none. */
  writerPosition(table: string, writer: string): WriterPosition {
    const row = this.#guard("read", () =>
      this.#database
        .query("SELECT position, epoch FROM writers WHERE table_name = ? AND writer = ?")
        .get(table, writer),
    ) as WriterPosition | null;
    return row ?? { position: 0, epoch: 0 };
  }

  /** Everybody who ever wrote, or was moved on. */
  writers(): LedgerWriter[] {
    return this.#guard("read", () =>
      this.#database.query('SELECT table_name AS "table", writer, position FROM writers').all(),
    ) as LedgerWriter[];
  }

  /** Records what was cut, in one transaction: from now on it is the truth. The first epoch must be `epochNext`, the others follow. */
  record(table: string, epochs: readonly PendingEpoch[]): void {
    const last = must(epochs.at(-1), "an epoch to record");
    this.#transaction("record", () => {
      this.#rows.update("tables", { epoch_next: last.epoch + 1 }, "name = ?", [table]);
      for (const epoch of epochs) this.#insert(table, epoch);
      this.#settled.delete(table);
      this.#setWriter(table, last.writer, last);
    });
  }

  #insert(table: string, epoch: PendingEpoch): void {
    this.#rows.insert("epochs", {
      table_name: table,
      epoch: epoch.epoch,
      writer: epoch.writer,
      position_from: epoch.positionFrom,
      position: epoch.position,
      row_count: epoch.rowCount,
      watermark: epoch.watermark,
    });
    for (const file of epoch.files)
      this.#rows.insert("files", {
        table_name: table,
        epoch: epoch.epoch,
        path: file.path,
        descriptor: JSON.stringify(file),
        time_low: file.times?.low ?? null,
        time_high: file.times?.high ?? null,
        bytes: file.bytes,
      });
    for (const path of epoch.removed) {
      const where = "table_name = ? AND path = ? AND removed_epoch IS NULL";
      const set = { removed_epoch: epoch.epoch };
      const changes = this.#rows.update("files", set, where, [table, path]);
      assert(changes === 1, `file ${path} of ${table} is replaced once`);
    }
  }

  /** Moves a writer's position on where there were no rows: nothing to write, nothing to commit. */
  advance(table: string, writer: string, to: WriterPosition): void {
    this.#transaction("advance", () => this.#setWriter(table, writer, to));
  }

  /** Epochs that are not in the Iceberg table yet, in order: the first, and more as long as all have at most `filesMax` files. */
  pending(table: string, filesMax = Number.MAX_SAFE_INTEGER): PendingEpoch[] {
    return this.#guard("read", () => {
      if (this.#settled.has(table)) return [];
      const epochs = this.#database
        .query(
          `SELECT epoch, writer, position_from AS positionFrom, position, row_count AS rowCount, watermark,
             (SELECT count(*) FROM files WHERE files.table_name = epochs.table_name AND files.epoch = epochs.epoch) AS fileCount
           FROM epochs WHERE table_name = ? AND snapshot_id IS NULL ORDER BY epoch`,
        )
        .iterate(table) as Iterable<Epoch & { readonly fileCount: number }>;
      const taken: Epoch[] = [];
      let files = 0;
      for (const { fileCount, ...epoch } of epochs) {
        files += fileCount;
        if (taken.length > 0 && files > filesMax) break;
        taken.push(epoch);
      }
      if (taken.length === 0) this.#settled.add(table);
      return taken.map((epoch) => ({
        ...epoch,
        files: this.#descriptors(table, epoch.epoch),
        removed: this.#removed(table, epoch.epoch),
      }));
    });
  }

  #removed(table: string, epoch: number): string[] {
    const rows = this.#database
      .query("SELECT path FROM files WHERE table_name = ? AND removed_epoch = ? ORDER BY path")
      .all(table, epoch) as { path: string }[];
    return rows.map(({ path }) => path);
  }

  #descriptors(table: string, epoch: number): FileDescriptor[] {
    const rows = this.#database
      .query("SELECT descriptor FROM files WHERE table_name = ? AND epoch = ? ORDER BY path")
      .all(table, epoch) as { descriptor: string }[];
    return rows.map((row) => JSON.parse(row.descriptor) as FileDescriptor);
  }

  /** The last epoch recorded, and the last one known to be in the Iceberg table; 0 = none. */
  lastEpochs(table: string): { readonly recorded: number; readonly committed: number } {
    return this.#guard("read", () =>
      this.#database
        .query(
          `SELECT coalesce(max(epoch), 0) AS recorded,
             coalesce(max(epoch) FILTER (WHERE snapshot_id IS NOT NULL), 0) AS committed
           FROM epochs WHERE table_name = ?`,
        )
        .get(table),
    ) as { recorded: number; committed: number };
  }

  /** Marks all epochs up to `epoch` as being in the table. `snapshotId` 0 = found so at a start. */
  markCommitted(table: string, epoch: number, snapshotId: number): void {
    this.#transaction("mark", () => {
      const pending = "table_name = ? AND snapshot_id IS NULL AND epoch <= ?";
      const files = `table_name = ? AND epoch IN (SELECT epoch FROM epochs WHERE ${pending})`;
      this.#rows.update("files", { descriptor: null }, files, [table, table, epoch]);
      this.#rows.update("epochs", { snapshot_id: snapshotId }, pending, [table, epoch]);
    });
  }

  /** Every file of a table that is on the disk, in order of epochs. */
  files(table: string): LedgerFile[] {
    type Row = Pick<LedgerFile, "epoch" | "writer" | "path" | "removedEpoch" | "bytes"> & {
      readonly low: string | null;
      readonly high: string | null;
    };
    return this.#guard("read", () => {
      const rows = this.#database
        .query(
          `SELECT epoch, writer, path, time_low AS low, time_high AS high, removed_epoch AS removedEpoch, bytes
           FROM files JOIN epochs USING (table_name, epoch) WHERE table_name = ? ORDER BY epoch, path`,
        )
        .all(table) as Row[];
      return rows.map(({ low, high, ...file }) => ({
        ...file,
        times: low === null || high === null ? null : { low: BigInt(low), high: BigInt(high) },
      }));
    });
  }

  /** Forgets replaced files that nobody reads any more: they are unlinked next, or by the next start. */
  forget(table: string, paths: readonly string[]): void {
    this.#transaction("forget", () => {
      for (const path of paths)
        this.#rows.delete("files", "table_name = ? AND path = ?", [table, path]);
    });
  }

  close(): void {
    this.#database.close();
  }

  /** Null: the table is not known. */
  #epochNext(table: string): number | null {
    const row = this.#database
      .query("SELECT epoch_next AS epochNext FROM tables WHERE name = ?")
      .get(table) as { epochNext: number } | null;
    return row?.epochNext ?? null;
  }

  #setWriter(table: string, writer: string, to: WriterPosition): void {
    const { position, epoch } = to;
    const where = "table_name = ? AND writer = ?";
    if (this.#rows.update("writers", { position, epoch }, where, [table, writer]) === 0)
      this.#rows.insert("writers", { table_name: table, writer, position, epoch });
  }

  #transaction<T>(operation: Operation, run: () => T): T {
    const step = `table.ledger.${operation}` as const;
    return this.#guard(operation, () =>
      durably(this.#files, step, () =>
        this.#database
          .transaction(() => {
            const result = run();
            this.#rows.seal();
            this.#files.reach(`${step}.inside`);
            return result;
          })
          .immediate(),
      ),
    );
  }

  /** Latches the first failure: what the disk holds is not known after it. */
  #guard<T>(operation: string, run: () => T): T {
    if (this.#failure !== null) throw this.#failure;
    try {
      return run();
    } catch (cause) {
      this.#failure = ledgerError(this.#path, operation, cause);
      throw this.#failure;
    }
  }
}
