// How the oracle reads what lies on the simulated disk: with the product's readers of the log, Parquet and Avro, which decide nothing.
import { Database } from "./sqlite.ts";
import { must } from "../../src/base/assert.ts";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { imageRows, streamImageColumns, type Cell } from "../../src/event/image.ts";
import type { EventSchema } from "../../src/event/schema.ts";
import { ledgerPathOf, logFolderOf, warehouseFolderOf } from "../../src/log/data-folder.ts";
import { openSqliteLogReader } from "../../src/log/sqlite-log-reader.ts";
import { readAvro } from "../../src/table/avro.ts";
import { readParquet } from "../../src/table/parquet-read.ts";
import { imageOfRows } from "../../src/table/row-columns.ts";
import {
  deadLetterTable,
  lateTable,
  rawTable,
  tableName,
  viewTable,
  type TableSpec,
} from "../../src/table/shapes.ts";
import type { ThreadStart } from "../../src/threads/messages.ts";
import type { Attached, SimDisk } from "./disk.ts";
import type { LogTools } from "./oracle-log.ts";
import type { PinTools } from "./oracle-pins.ts";
import type { DataFile, DataRow, TableTools } from "./oracle-tables.ts";

const READ_BYTES = 1 << 20;

export function logTools(start: ThreadStart, schema: EventSchema): LogTools {
  return {
    openReader: () => openSqliteLogReader(logFolderOf(start.dataFolder), openDiskFiles(null)),
    rows: imageRows,
    columns: streamImageColumns(schema),
  };
}

export function tableTools(start: ThreadStart, disk: SimDisk, schema: EventSchema): TableTools {
  const specs = new Map<string, TableSpec>(
    [
      rawTable("default", "hits", schema),
      deadLetterTable(),
      lateTable(),
      ...start.views.map((plan) => viewTable("default", plan)),
    ].map((spec) => [tableName(spec), spec]),
  );
  const specOf = (table: string): TableSpec => {
    const spec = specs.get(table);
    if (spec === undefined) throw new Error(`no table ${table}`);
    return spec;
  };
  const folderOf = (table: string): string => {
    const { namespace, name } = specOf(table);
    return `${warehouseFolderOf(start.dataFolder)}/${namespace}/${name}`;
  };
  const bytesOf = (uri: string): Uint8Array => disk.mustFind(uri.replace(/^file:\/*/, "/")).bytes;
  const ledger = new LedgerRows(ledgerPathOf(start.dataFolder), disk);
  return {
    writers: () =>
      ledger.rows<{ table: string; writer: string; position: number; epoch: number }>(
        'SELECT table_name AS "table", writer, position, epoch FROM writers ORDER BY 1, 2',
      ),
    files: (table, since) =>
      (
        ledger.rows<DataFile>(
          "SELECT path, epoch, removed_epoch AS removedEpoch FROM files WHERE table_name = ? AND epoch >= ? ORDER BY epoch, path",
          table,
          since,
        ) ?? []
      ).map((file) => ({ ...file, path: `${folderOf(table)}/${file.path}` })),
    rows: (table, path) => {
      const { columns } = specOf(table);
      const read = readParquet(bytesOf(path), columns);
      const rows = Array.from({ length: read.rowCount }, (_, row) => ({ of: read, row }));
      const image = imageOfRows(
        rows,
        columns.map(({ type }) => type),
      );
      return imageRows(image, columns).map((cells) => rowOf(columns, cells));
    },
    snapshot: (table) => snapshotOf(disk, `${folderOf(table)}/metadata`, bytesOf),
  };
}

/** How the pins' oracle reads what a pin names. */
export function pinTools(start: ThreadStart, tables: TableTools, disk: SimDisk): PinTools {
  const columns = new Map(
    start.views.map((plan) => [plan.name, viewTable("default", plan).columns] as const),
  );
  const rows = new Map<string, readonly DataRow[]>();
  return {
    rows: (table, path) => {
      // it is there still, whether its rows are known or not
      disk.mustFind(path);
      const known = rows.get(path) ?? tables.rows(table, path);
      rows.set(path, known);
      return known;
    },
    imageRows: (view, path) => {
      const of = must(columns.get(view), `view ${view}`);
      return imageRows(disk.mustFind(path).bytes, of).map((cells) => rowOf(of, cells));
    },
    tailEvents: (from, to) => {
      const reader = openSqliteLogReader(logFolderOf(start.dataFolder), openDiskFiles(null));
      let count = 0;
      for (let at = from; at <= to;) {
        const records = reader.read(at, READ_BYTES);
        if (records.length === 0) break;
        for (const record of records)
          if (record.kind === "events" && record.position <= to) count += record.rowCount;
        at += records.length;
      }
      reader.close();
      return count;
    },
  };
}

function rowOf(columns: readonly { readonly name: string }[], cells: readonly Cell[]): DataRow {
  return new Map(columns.map(({ name }, ordinal) => [name, cells[ordinal] ?? null]));
}

/** What stands in the ledger. */
class LedgerRows {
  readonly #path: string;
  readonly #disk: SimDisk;
  /** A connection, and the file that it is of. */
  #open: { readonly database: Database; readonly of: Attached | null } | null = null;

  constructor(path: string, disk: SimDisk) {
    this.#path = path;
    this.#disk = disk;
  }

  /** Null: there is no ledger. */
  rows<Row>(sql: string, ...values: (string | number)[]): readonly Row[] | null {
    if ((this.#disk.find(`${this.#path}-wal`)?.sizeBytes ?? 0) === 0) return null;
    const of = this.#disk.mustFind(this.#path).attached;
    if (this.#open === null || this.#open.of !== of) {
      const database = new Database(this.#path, { readonly: true });
      this.#open = { database, of: this.#disk.mustFind(this.#path).attached };
    }
    return this.#open.database.query<Row, (string | number)[]>(sql).all(...values);
  }
}

function snapshotOf(
  disk: SimDisk,
  folder: string,
  bytesOf: (uri: string) => Uint8Array,
): { path: string; rowCount: number }[] | null {
  if (!disk.isFolder(folder)) return null;
  const versions = disk
    .list(folder)
    .map((name) => Number(/^v(\d+)\.metadata\.json$/.exec(name)?.[1] ?? 0));
  const newest = Math.max(0, ...versions);
  if (newest === 0) return null;
  type Metadata = {
    "current-snapshot-id": number;
    snapshots: { "snapshot-id": number; "manifest-list": string }[];
  };
  const text = new TextDecoder().decode(bytesOf(`${folder}/v${newest}.metadata.json`));
  const metadata = JSON.parse(text) as Metadata;
  const snapshot = metadata.snapshots.find(
    (one) => one["snapshot-id"] === metadata["current-snapshot-id"],
  );
  if (snapshot === undefined) return [];
  return readAvro(bytesOf(snapshot["manifest-list"])).records.flatMap((line) =>
    readAvro(bytesOf(String(line["manifest_path"]))).records.flatMap((entry) => {
      // 2 = deleted
      if (Number(entry["status"]) === 2) return [];
      const file = entry["data_file"] as Readonly<Record<string, unknown>>;
      const path = String(file["file_path"]).replace(/^file:\/*/, "/");
      return [{ path, rowCount: Number(file["record_count"]) }];
    }),
  );
}
