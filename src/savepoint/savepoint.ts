// Verb: a running instance -> a savepoint: one consistent copy of its data folder while events go on being taken. See ARCHITECTURE.md.
//
// One moment: the export thread, which alone writes state, ledger and tables, rests while both databases are pinned and the numbers of the tables'
// metadata and the log's last position are read: milliseconds. From then on nothing is unlinked until all is copied, and what is written later has
// other names. The log's last durable position at that moment is the savepoint's.
import { join } from "node:path";
import type { Files } from "../base/files.ts";
import { SAVEPOINT_PIECE_BYTES } from "../limits.ts";
import { readCheckpointStore } from "../checkpoint/sqlite-store.ts";
import { GENERATIONS_READER } from "../checkpoint/sealer.ts";
import { decodeGenerations } from "../admit/seal-plan.ts";
import { ledgerPathOf, logFolderOf, statePathOf, warehouseFolderOf } from "../log/data-folder.ts";
import { LogFailedError } from "../log/log.ts";
import { Ledger } from "../table/ledger.ts";
import { HINT_NAME } from "../table/metadata-files.ts";
import { copyLog, logMoment, type LogMoment } from "./copy-log.ts";
import { SavepointFolder } from "./folder.ts";
import {
  CONFIGURATION_NAME,
  SavepointError,
  type Savepoint,
  type SavepointTable,
} from "./manifest.ts";
import { PinnedDatabase } from "./sqlite-copy.ts";
import { foreignTables, tablesAt, tableVersions, type TableVersions } from "./warehouse.ts";

/** What is to be saved, and where. Plain data: it is posted. */
export interface SavepointOrder {
  /** Absolute, on this machine. */
  readonly to: string;
  /** Absolute, links resolved. */
  readonly dataFolder: string;
  readonly jobId: string;
  /** 16 bytes. */
  readonly hashKey: Uint8Array;
  /** Configuration and schemas, normalised. */
  readonly configurationText: string;
  readonly logFileSizeBytes: number;
  readonly millrace: string;
  /** ISO 8601. */
  readonly madeAt: string;
}

/** What is being copied, and the bytes of all that was. */
export interface SavepointProgress {
  readonly step: "state" | "log" | "tables";
  readonly bytes: number;
}

export interface SavepointReport {
  /** Absolute, links resolved. */
  readonly folder: string;
  /** Every event acknowledged at or before this log position is in it. */
  readonly position: number;
  readonly files: number;
  readonly bytes: number;
  /** Of these, files that are hard links to those of the data folder. */
  readonly linkedFiles: number;
  readonly linkedBytes: number;
  /** Tables in the warehouse that are not Millrace's, and so not in it. */
  readonly foreignTables: readonly string[];
}

export interface SavepointPorts {
  readonly files: Files;
  /** Resolves when nothing writes state, ledger or tables until `thaw`, and nothing is unlinked before the end. */
  readonly freeze: () => Promise<void>;
  readonly thaw: () => void;
  /** Called between two pieces: lets other messages in. Rejects with SavepointError when the savepoint is to be given up. */
  readonly pause: () => Promise<void>;
  readonly tell: (progress: SavepointProgress) => void;
}

/** Where the files of one moment go, under the names that they have in the data folder. */
export interface SavepointPlace {
  pathOf(relative: string): string;
  /** Takes up a file that was written here by others, closed and synced. */
  list(relative: string): Generator<number>;
  /** Takes up a file of the data folder that never changes. */
  put(relative: string): Generator<number>;
  /** Writes a small file. */
  write(relative: string, bytes: Uint8Array): void;
  /** Throws SavepointError when there is no room for `bytes` more. */
  refuseFull(bytes: number): void;
}

/** What a place was filled with. */
export interface Filled {
  readonly savepoint: Omit<Savepoint, "files">;
  /** Tables in the warehouse that are not Millrace's, and so not in it. */
  readonly foreign: readonly string[];
}

interface Moment {
  readonly state: PinnedDatabase;
  readonly ledger: PinnedDatabase;
  readonly log: LogMoment;
  readonly versions: TableVersions;
}

/** Makes a savepoint. Rejects with SavepointError that says what to do; then what was written is removed again. */
export async function makeSavepoint(
  order: SavepointOrder,
  ports: SavepointPorts,
): Promise<SavepointReport> {
  const folder = SavepointFolder.make(order.to, order.dataFolder, ports.files);
  try {
    const { savepoint, foreign } = await new Filling(order, ports, folder).run(true);
    folder.finish(savepoint);
    const { path, fileCount, bytes, linked } = folder;
    return {
      folder: path,
      position: savepoint.log.last,
      files: fileCount,
      bytes,
      linkedFiles: linked.files,
      linkedBytes: linked.bytes,
      foreignTables: foreign,
    };
  } catch (error) {
    folder.abandon();
    throw failureOf(error, order.to);
  }
}

/** Fills `place` with all of one moment but the log's records. Rejects with SavepointError, OS and SQLite errors. */
export function fillWithoutLog(
  order: Omit<SavepointOrder, "to">,
  ports: SavepointPorts,
  place: SavepointPlace,
): Promise<Filled> {
  return new Filling(order, ports, place).run(false);
}

class Filling {
  readonly #order: Omit<SavepointOrder, "to">;
  readonly #ports: SavepointPorts;
  readonly #place: SavepointPlace;
  #bytes = 0;

  constructor(order: Omit<SavepointOrder, "to">, ports: SavepointPorts, place: SavepointPlace) {
    this.#order = order;
    this.#ports = ports;
    this.#place = place;
  }

  async run(withLog: boolean): Promise<Filled> {
    const { dataFolder, jobId, hashKey, millrace, madeAt, configurationText } = this.#order;
    this.#refuseUnlikely(withLog);
    await this.#ports.freeze();
    const moment = this.#take();
    await this.#copyDatabases(moment);
    if (withLog) await this.#copyLog(moment.log);
    const { tables, foreign } = await this.#copyTables(moment.versions);
    this.#place.write(CONFIGURATION_NAME, new TextEncoder().encode(`${configurationText}\n`));
    const { first, last } = moment.log;
    return {
      savepoint: {
        millrace,
        jobId,
        hashKey: Buffer.from(hashKey).toString("hex"),
        madeAt,
        dataFolder,
        log: { first, last },
        tables,
      },
      foreign,
    };
  }

  /** Before anything is held up: these are copied in any case. */
  #refuseUnlikely(withLog: boolean): void {
    const { files } = this.#ports;
    const { dataFolder } = this.#order;
    const log = logFolderOf(dataFolder);
    const records = withLog ? files.list(log).map((name) => join(log, name)) : [];
    const paths = [statePathOf(dataFolder), ledgerPathOf(dataFolder), ...records];
    this.#place.refuseFull(paths.reduce((sum, path) => sum + files.sizeBytes(path), 0));
  }

  #take(): Moment {
    const { dataFolder } = this.#order;
    const { files, thaw } = this.#ports;
    const pinned: PinnedDatabase[] = [];
    const pin = (path: string): PinnedDatabase => {
      const database = new PinnedDatabase(path);
      pinned.push(database);
      return database;
    };
    try {
      const state = pin(statePathOf(dataFolder));
      const ledger = pin(ledgerPathOf(dataFolder));
      const versions = tableVersions(warehouseFolderOf(dataFolder), files);
      return { state, ledger, versions, log: logMoment(logFolderOf(dataFolder), files) };
    } catch (error) {
      // who ships tries again for as long as the process lives: a moment that stays keeps the -wal
      for (const database of pinned) database.close();
      throw error;
    } finally {
      thaw();
    }
  }

  async #copyDatabases({ state, ledger }: Moment): Promise<void> {
    const { files } = this.#ports;
    const parts = [
      ["state.db", state],
      ["ledger.db", ledger],
    ] as const;
    try {
      for (const [name, database] of parts) {
        await this.#each("state", database.copyTo(this.#place.pathOf(name), files));
        await this.#each(null, this.#place.list(name));
      }
    } finally {
      for (const [, database] of parts) database.close();
    }
  }

  async #copyLog(moment: LogMoment): Promise<void> {
    const { files } = this.#ports;
    const { jobId, logFileSizeBytes: fileSizeBytes } = this.#order;
    const to = this.#place.pathOf("log");
    await this.#each("log", copyLog(moment, to, { files, jobId, fileSizeBytes }));
    for (const name of files.list(to)) await this.#each(null, this.#place.list(`log/${name}`));
  }

  async #copyTables(
    versions: TableVersions,
  ): Promise<{ readonly tables: readonly SavepointTable[]; readonly foreign: readonly string[] }> {
    const { files } = this.#ports;
    const { dataFolder, jobId } = this.#order;
    for (const name of this.#sealedIds())
      await this.#each("tables", this.#place.put(`ids/${name}`));
    const ledger = Ledger.read(this.#place.pathOf("ledger.db"), jobId, files);
    try {
      const tables = tablesAt({ versions, ledger }, warehouseFolderOf(dataFolder), files);
      for (const { folder, version, paths } of tables) {
        for (const path of paths)
          await this.#each("tables", this.#place.put(`warehouse/${folder}/${path}`));
        if (version > 0) this.#writeHint(folder, version);
      }
      return {
        tables: tables.map(({ name, version, epoch }) => ({ name, version, epoch })),
        foreign: foreignTables(versions, tables),
      };
    } finally {
      ledger?.close();
    }
  }

  /** Files of sealed ids that the checkpoint names. The copy of it is looked at whole, so that a damaged one is found now. */
  #sealedIds(): string[] {
    const { files } = this.#ports;
    const store = readCheckpointStore(this.#place.pathOf("state.db"), files, this.#order.jobId);
    if (store === null) return [];
    try {
      const list = decodeGenerations(store.reader(GENERATIONS_READER)?.body ?? null);
      return list.generations.map(({ file }) => file);
    } finally {
      store.close();
    }
  }

  #writeHint(folder: string, version: number): void {
    const path = `warehouse/${folder}/metadata/${HINT_NAME}`;
    this.#place.write(path, new TextEncoder().encode(String(version)));
  }

  /** Runs a step piece by piece. `name` null: it is not told, what it reads was counted. */
  async #each(name: SavepointProgress["step"] | null, pieces: Generator<number>): Promise<void> {
    for (const bytes of pieces) {
      if (name !== null) {
        this.#bytes += bytes;
        this.#ports.tell({ step: name, bytes: this.#bytes });
      }
      await this.#ports.pause();
      // others may have filled the disk meanwhile
      if (name !== null && name !== "tables") this.#place.refuseFull(SAVEPOINT_PIECE_BYTES);
    }
  }
}

/** Errors whose messages say what to do. */
const WITH_ADVICE: ReadonlySet<string> = new Set([
  "CheckpointError",
  "CorruptRecordError",
  "LedgerFailedError",
  "LedgerRefusedError",
  "LogFolderError",
  "TableRefusedError",
]);

/** What a disk or a damaged file did, as SavepointError; a broken invariant stays what it is. */
function failureOf(error: unknown, to: string): unknown {
  if (error instanceof SavepointError || !(error instanceof Error)) return error;
  const cause =
    error instanceof LogFailedError && error.cause instanceof Error ? error.cause : error;
  if (!("code" in cause) && !WITH_ADVICE.has(cause.name)) return error;
  return new SavepointError(
    `no savepoint was made in ${to}: ${cause.message}. What was written there was removed, events were taken as ever: mend that, then make it again`,
    { cause },
  );
}
