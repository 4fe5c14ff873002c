// Records of a small stream and the tables over them, for tests in this process and in children that are killed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EXPORT_MEMORY_BYTES_MAX } from "../../src/limits.ts";
import { instantiateExport } from "../../kernels/export.ts";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { DuckDb } from "../../src/base/duckdb.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { FailpointPlan } from "../../src/base/failpoints.ts";
import type { Files } from "../../src/base/files.ts";
import { buildImage, streamImageColumns, type Cell } from "../../src/event/image.ts";
import type { EventSchema } from "../../src/event/schema.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import { parseJson, type JsonObject } from "../../src/table/lossless-json.ts";
import type { OnTableAhead } from "../../src/table/recovery.ts";
import { openTables, type Tables } from "../../src/table/tables.ts";
import { readBack } from "../python/python.ts";

/** Microseconds of 2019-10-01 and of a day. */
export const START_US = 1_569_888_000_000_000;
export const US_PER_DAY = 86_400_000_000;
/** Events of each record; the last of them lies on the next day. */
export const RECORD_ROWS = 10;

export const SCHEMA: EventSchema = {
  id: 1,
  columns: [
    {
      name: "at",
      type: { kind: "TIMESTAMPTZ" },
      nullable: false,
      fieldId: 1,
      decoding: { kind: "epoch_us" },
    },
    {
      name: "page",
      type: { kind: "VARCHAR" },
      nullable: true,
      fieldId: 2,
      decoding: { kind: "plain" },
    },
    {
      name: "price",
      type: { kind: "DECIMAL", precision: 18, scale: 2 },
      nullable: false,
      fieldId: 3,
      decoding: { kind: "plain" },
    },
  ],
  eventTime: 0,
  eventId: null,
};

/** Columns of the raw table in order. */
export const RAW_NAMES = [
  "at",
  "page",
  "price",
  "attrs",
  "_behind",
  "received_at",
  "_position",
  "_index",
];

export function eventRow(position: number, index: number): Cell[] {
  const day = index === RECORD_ROWS - 1 ? 1 : 0;
  return [
    BigInt(START_US + day * US_PER_DAY + position * 1000 + index),
    index % 3 === 0 ? null : `/page/${index % 4}`,
    BigInt(position * 100 + index),
    index === 5 ? `{"position":${position}}` : null,
    index === 7 ? 42n : 0n,
  ];
}

/** A record of the stream "clicks"; one of three has a reject, whose bytes are not UTF-8 in every sixth. */
export function record(position: number): EventsRecord {
  const rows = Array.from({ length: RECORD_ROWS }, (_, index) => eventRow(position, index));
  const raw = Buffer.from(position % 6 === 0 ? [0xff, 0x41] : Buffer.from(`{"bad":${position}`));
  return {
    kind: "events",
    position,
    stream: "clicks",
    partition: "",
    schemaId: 1,
    receivedAtUs: START_US + position * 1000,
    watermarkUs: null,
    rowCount: rows.length,
    duplicateCount: 0,
    rejects:
      position % 3 === 0
        ? [{ index: position, reason: "bad_json", field: null, message: "it ends early", raw }]
        : [],
    image: buildImage(streamImageColumns(SCHEMA), rows, new Set([1])),
  };
}

/** Every row of the raw table for positions 1 to `last`, as read_table.py prints it, in order of position and index. */
export function expectedRows(last: number): unknown[][] {
  return Array.from({ length: last * RECORD_ROWS }, (_, i) => {
    const position = Math.floor(i / RECORD_ROWS) + 1;
    const index = i % RECORD_ROWS;
    const [at, page, price, attrs, behind] = eventRow(position, index);
    return [
      String(at),
      page,
      (Number(price) / 100).toFixed(2),
      attrs,
      String(behind),
      String(START_US + position * 1000),
      String(position),
      index,
    ];
  });
}

/** Opens the tables of a folder. The kernels must be built. */
export function open(
  folder: string,
  options: {
    plans?: readonly FailpointPlan[];
    files?: Files;
    jobId?: string;
    clock?: Clock;
    onTableAhead?: OnTableAhead;
  } = {},
): Tables {
  const wasm = readFileSync(join(import.meta.dir, "..", "..", "build", "export.wasm"));
  return openTables({
    folder: join(folder, "warehouse"),
    ledgerPath: join(folder, "ledger.db"),
    jobId: options.jobId ?? "job-1",
    files: options.files ?? new DiskFiles(...(options.plans ?? [])),
    clock: options.clock ?? systemClock(),
    onTableAhead: options.onTableAhead ?? "refuse",
    kernels: instantiateExport(wasm, EXPORT_MEMORY_BYTES_MAX),
  });
}

/** Exports records up to `last` from where the ledger stands, an epoch for each `step` positions and a commit for each two epochs. */
export function exportAll(tables: Tables, last: number, step = 2): void {
  const raw = tables.raw("shop", "clicks", SCHEMA);
  const dead = tables.deadLetters();
  const from = Math.min(raw.export.position, dead.export.position);
  let epochs = 0;
  // what a crash left recorded is committed first
  tables.commitPending();
  for (let position = from + 1; position <= last; position++) {
    raw.add(record(position));
    dead.add(record(position));
    if (position % step !== 0 && position !== last) continue;
    raw.export.cut(position, String(START_US));
    dead.export.cut(position, String(START_US));
    epochs++;
    if (epochs % 2 === 0 || position === last) tables.commitPending();
  }
}

/** The raw table. */
export const RAW = "shop.clicks_raw";

/** What read_table.py says of an Iceberg table. */
export interface IcebergRead {
  readonly schema: unknown[];
  readonly partition: unknown[];
  readonly properties: Record<string, string>;
  readonly snapshots: { id: string; summary: Record<string, string> }[];
  readonly files: {
    path: string;
    partition: unknown[];
    records: number;
    nulls: Record<string, number>;
    lower: Record<string, string>;
    upper: Record<string, string>;
  }[];
  readonly rows: unknown[][];
}

/** A table as pyiceberg reads it from its metadata file. */
export function pyiceberg(path: string): IcebergRead {
  return readBack("iceberg", path) as IcebergRead;
}

/** Rows of the raw table in order of position and index. */
export function byPosition(rows: readonly (readonly unknown[])[]): unknown[][] {
  return rows
    .map((row) => [...row])
    .toSorted((a, b) => Number(a[6]) - Number(b[6]) || Number(a[7]) - Number(b[7]));
}

/** Rows of the raw table as DuckDB reads the files that queries would read. */
export async function duckRows(tables: Tables, table = RAW): Promise<unknown[][]> {
  const { files } = tables.pinnedFiles(table);
  if (files.length === 0) return [];
  const database = await DuckDb.open();
  try {
    const connection = await database.connect();
    const list = files.map((file) => `'${file}'`).join(", ");
    const found = await connection.run(
      `SELECT epoch_us("at")::VARCHAR, page, price::VARCHAR, attrs, _behind::VARCHAR, epoch_us(received_at)::VARCHAR,
         _position::VARCHAR, _index FROM read_parquet([${list}], hive_partitioning=false) ORDER BY _position, _index`,
    );
    return found.rows.map((row) => [...row]);
  } finally {
    database.close();
  }
}

/** The current metadata of a table. */
export function currentMetadata(tables: Tables, table = RAW): JsonObject {
  return parseJson(readFileSync(tables.metadataPath(table), "utf8")) as JsonObject;
}
