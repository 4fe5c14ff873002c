// How the oracle reads what lies on the simulated disk: with the product's readers of the log, Parquet and Avro, which decide nothing.
import { Database } from "./sqlite.ts";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { imageRows, streamImageColumns } from "../../src/event/image.ts";
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
import type { SimDisk } from "./disk.ts";
import type { LogTools } from "./oracle-log.ts";
import type { DataFile, TableTools } from "./oracle-tables.ts";

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
  return {
    writers: () =>
      queried<{ table: string; writer: string; position: number; epoch: number }>(
        start,
        disk,
        'SELECT table_name AS "table", writer, position, epoch FROM writers ORDER BY 1, 2',
      ),
    files: (table) =>
      (
        queried<DataFile>(
          start,
          disk,
          "SELECT path, removed_epoch AS removedEpoch FROM files WHERE table_name = ? ORDER BY epoch, path",
          table,
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
      return imageRows(image, columns).map(
        (cells) => new Map(columns.map(({ name }, ordinal) => [name, cells[ordinal] ?? null])),
      );
    },
    snapshot: (table) => snapshotOf(disk, `${folderOf(table)}/metadata`, bytesOf),
  };
}

function queried<Row>(
  start: ThreadStart,
  disk: SimDisk,
  sql: string,
  ...values: string[]
): readonly Row[] | null {
  const path = ledgerPathOf(start.dataFolder);
  if ((disk.find(`${path}-wal`)?.sizeBytes ?? 0) === 0) return null;
  const database = new Database(path, { readonly: true });
  using statement = database.prepare<Row, string[]>(sql);
  return statement.all(...values);
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
