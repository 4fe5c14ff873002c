// What the query tests ask about: a stream whose first records lie in Parquet files written by DuckDB, with a log tail behind, a view
// with files and images, late events, dead letters; and the expected rows in plain JavaScript.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { DuckDb } from "../../src/base/duckdb.ts";
import { buildImage, streamImageColumns, type Cell } from "../../src/event/image.ts";
import {
  sqlTypeText,
  type Column,
  type EventSchema,
  type SqlType,
} from "../../src/event/schema.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import type { Reject } from "../../src/event/reject.ts";
import type { LogRecord } from "../../src/log/record.ts";
import { openSqliteLogWriter, type SqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { deadLetterTable, lateTable, rawTable } from "../../src/table/shapes.ts";
import type { Pin, PinnedView } from "../../src/query/pin.ts";
import type { ChildOptions } from "../../src/query/wire.ts";
import {
  QueryService,
  type Answer,
  type PinProvider,
  type Question,
} from "../../src/query/service.ts";

const decimal = (precision: number, scale: number): SqlType => ({
  kind: "DECIMAL",
  precision,
  scale,
});

/** Every physical type, every DECIMAL width of DuckDB, short and long texts. */
export const SCHEMA: EventSchema = {
  id: 1,
  eventTime: 0,
  eventId: null,
  columns: [
    { name: "event_time", type: { kind: "TIMESTAMPTZ" }, nullable: false },
    { name: "page", type: { kind: "VARCHAR" }, nullable: true },
    { name: "id", type: { kind: "BIGINT" }, nullable: false },
    { name: "n", type: { kind: "INTEGER" }, nullable: true },
    { name: "ok", type: { kind: "BOOLEAN" }, nullable: true },
    { name: "score", type: { kind: "DOUBLE" }, nullable: true },
    { name: "ratio", type: { kind: "FLOAT" }, nullable: true },
    { name: "day", type: { kind: "DATE" }, nullable: true },
    { name: "d4", type: decimal(4, 1), nullable: true },
    { name: "d9", type: decimal(9, 2), nullable: true },
    { name: "d18", type: decimal(18, 3), nullable: true },
    { name: "d38", type: decimal(38, 4), nullable: true },
  ].map((column, index) => ({
    ...(column as Omit<Column, "fieldId">),
    fieldId: index + 1,
    decoding: { kind: "plain" as const },
  })),
};

export const RAW_COLUMNS: readonly Column[] = rawTable("default", "clicks", SCHEMA).columns;

const column = (
  name: string,
  kind: "VARCHAR" | "BIGINT" | "INTEGER" | "TIMESTAMPTZ",
  nullable = false,
) => ({
  name,
  type: { kind } as SqlType,
  nullable,
});
const numbered = (columns: readonly Omit<Column, "fieldId">[]): Column[] =>
  columns.map((each, index) => ({ ...each, fieldId: index + 1 }));

export const VIEW_COLUMNS = numbered([
  column("window_start", "TIMESTAMPTZ"),
  column("window_end", "TIMESTAMPTZ"),
  column("page", "VARCHAR", true),
  column("count", "BIGINT"),
  column("revision", "BIGINT"),
]);
export const LATE_COLUMNS: readonly Column[] = lateTable().columns;
export const LATE_IMAGE = LATE_COLUMNS.slice(1);
export const DEAD_COLUMNS: readonly Column[] = deadLetterTable().columns;

export const T0 = 1_569_888_000_000_000;
const MINUTE = 60_000_000;

/** The `index`-th event, as cells of the batch image. Every seventh value of a nullable column is null. */
export function eventRow(index: number): Cell[] {
  const nullable = (offset: number, value: Cell): Cell =>
    (index + offset) % 7 === 0 ? null : value;
  const big = BigInt(index) * 12_345_678_901_234_567_890n;
  return [
    BigInt(T0) + BigInt(index) * 1_000_001n,
    nullable(1, index % 3 === 0 ? `/p${index % 10}` : `/electronics/smartphone/ü${index % 50}`),
    BigInt(index) * 1_000_000_007n,
    nullable(2, ((index * 37) % 1000) - 500),
    nullable(3, index % 2 === 0),
    nullable(4, index / 3),
    nullable(5, Math.fround(index / 7)),
    nullable(6, 18_000 + index),
    nullable(7, BigInt((index % 19_999) - 9_999)),
    nullable(8, BigInt(index) * -1_003n),
    nullable(9, BigInt(index) * 1_000_000_007n),
    nullable(10, index % 2 === 0 ? big : -big),
    nullable(11, index % 5 === 0 ? '{"a":1}' : null),
    BigInt(index % 11 === 0 ? index : 0),
  ];
}

export interface Fixture {
  readonly folder: string;
  readonly warehouse: string;
  readonly log: SqliteLogWriter;
  readonly service: QueryService;
  append(records: readonly LogRecord[]): void;
  close(): Promise<void>;
}

export function eventsRecord(
  position: number,
  rows: readonly (readonly Cell[])[],
  rejects: readonly Reject[] = [],
): LogRecord {
  return {
    kind: "events",
    position,
    stream: "clicks",
    partition: "",
    schemaId: 1,
    receivedAtUs: T0 + position * 1000,
    watermarkUs: null,
    rowCount: rows.length,
    duplicateCount: 0,
    rejects,
    image: buildImage(
      streamImageColumns(SCHEMA),
      rows,
      position % 2 === 0 ? new Set([1]) : new Set(),
    ),
  };
}

export async function openFixture(more: Partial<ChildOptions> = {}): Promise<Fixture> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-query-"));
  const warehouse = join(folder, "warehouse");
  const temp = join(folder, "tmp");
  const logFolder = join(folder, "log");
  for (const path of [warehouse, temp, logFolder]) mkdirSync(path);
  const log = openSqliteLogWriter(logFolder, openDiskFiles(null), {
    jobId: "test",
    fileSizeBytes: 32 * 1024 * 1024,
    sizeMaxBytes: 4 * 1024 * 1024 * 1024,
  });
  const service = new QueryService({
    command: [
      process.execPath,
      "--no-install",
      join(import.meta.dir, "../../src/threads/query-child.ts"),
    ],
    socketPath: join(folder, "query.sock"),
    options: {
      warehouseFolder: warehouse,
      tempFolder: temp,
      memoryBytesMax: 1024 ** 3,
      threads: 2,
      ...more,
    },
    logLine: () => undefined,
  });
  await service.ready();
  return {
    folder,
    warehouse,
    log,
    service,
    append: (records) => log.append(records.map((record) => encodeRecord(record))),
    close: async () => {
      await service.close();
      log.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** A cell as text that DuckDB casts to its type. */
function cellText(cell: Cell, type: SqlType): string {
  if (cell === null) return "\\N";
  if (type.kind !== "DECIMAL") return `"${String(cell).replaceAll('"', '""')}"`;
  const digits = String(cell)
    .replace("-", "")
    .padStart(type.scale + 1, "0");
  const sign = String(cell).startsWith("-") ? "-" : "";
  return `${sign}${digits.slice(0, -type.scale)}.${digits.slice(-type.scale)}`;
}

function castSql({ name, type }: { name: string; type: SqlType }): string {
  const text = `"${name}"`;
  if (type.kind === "TIMESTAMPTZ") return `make_timestamptz(CAST(${text} AS BIGINT)) AS ${text}`;
  if (type.kind === "DATE")
    return `CAST(DATE '1970-01-01' + CAST(${text} AS INTEGER) AS DATE) AS ${text}`;
  return `CAST(${text} AS ${sqlTypeText(type)}) AS ${text}`;
}

let csvFiles = 0;

/** SQL of a relation with these rows: DuckDB's own reading of the same values, from a CSV file. */
export function rowsSql(
  folder: string,
  columns: readonly { name: string; type: SqlType }[],
  rows: readonly (readonly Cell[])[],
): string {
  const path = join(folder, `rows-${++csvFiles}.csv`);
  const lines = rows.map((row) =>
    columns.map(({ type }, index) => cellText(row[index] ?? null, type)).join(","),
  );
  writeFileSync(path, `${lines.join("\n")}\n`);
  const names = columns.map(({ name }) => `'${name}': 'VARCHAR'`).join(", ");
  return `SELECT ${columns.map(castSql).join(", ")} FROM read_csv('${path}', header = false, auto_detect = false, delim = ',', quote = '"', escape = '"', nullstr = '\\N', columns = {${names}})`;
}

/** Writes a Parquet file with field ids as Iceberg's tables have. */
export async function writeParquet(
  path: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
): Promise<string> {
  const db = await DuckDb.open();
  const connection = await db.connect();
  const ids = columns.map(({ name, fieldId }) => `"${name}": ${fieldId}`).join(", ");
  await connection.run(
    `COPY (${rowsSql(dirname(path), columns, rows)}) TO '${path}' (FORMAT parquet, FIELD_IDS {${ids}})`,
  );
  connection.close();
  db.close();
  return path;
}

export function writeImage(
  path: string,
  columns: readonly Omit<Column, "fieldId">[],
  rows: readonly (readonly Cell[])[],
): string {
  writeFileSync(path, buildImage(columns, rows, new Set()));
  return path;
}

export function viewRow(window: number, page: string | null, count: number): Cell[] {
  return [
    BigInt(T0 + window * MINUTE),
    BigInt(T0 + (window + 1) * MINUTE),
    page,
    BigInt(count),
    0n,
  ];
}

export function emptyPin(fixture: Fixture, position: number): Pin {
  return {
    position,
    logFolder: join(fixture.folder, "log"),
    streams: [{ stream: "clicks", raw: { columns: RAW_COLUMNS, files: [] }, coveredPosition: 0 }],
    views: [],
    lateEvents: { files: { columns: LATE_COLUMNS, files: [] }, images: [], reconciled: [] },
    viewErrors: [],
    deadLetters: { files: { columns: DEAD_COLUMNS, files: [] }, coveredPosition: 0 },
    inline: [
      {
        name: "millrace.watermarks",
        columns: [
          { name: "stream", type: "VARCHAR" },
          { name: "watermark", type: "TIMESTAMPTZ" },
          { name: "rows", type: "BIGINT" },
        ],
        rows: [
          ["clicks", String(T0), "9007199254740993"],
          ["other's", null, null],
        ],
      },
      { name: "millrace.readers", columns: [{ name: "reader", type: "VARCHAR" }], rows: [] },
    ],
  };
}

export function pageViews(
  files: readonly string[],
  images: readonly string[],
  watermarkUs: string | null,
): PinnedView {
  return {
    view: "page_views",
    rows: { columns: VIEW_COLUMNS, files },
    images,
    changes: [],
    keys: ["window_start", "window_end", "page"],
    watermarkUs,
    finality: { column: "window_end", addUs: 0 },
  };
}

/** A provider that always gives this pin and counts releases. */
export function provider(pin: Pin): {
  readonly pinFor: PinProvider;
  released: number;
  asked: (readonly string[])[];
} {
  const state = {
    released: 0,
    asked: [] as (readonly string[])[],
    pinFor: ((relations) => {
      state.asked.push(relations);
      return Promise.resolve({ kind: "pinned", pin, release: () => void state.released++ });
    }) as PinProvider,
  };
  return state;
}

export function question(sql: string, more: Partial<Question> = {}): Question {
  return {
    sql,
    params: [],
    format: "json",
    after: null,
    signal: new AbortController().signal,
    ...more,
  };
}

export function textOf(answer: Answer): string {
  if (answer.kind === "problem") throw new Error(JSON.stringify(answer.problem));
  return new TextDecoder().decode(answer.body);
}
