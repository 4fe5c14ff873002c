// Stage "export": batch images to Parquet bytes with our own writer, beside DuckDB's COPY of the same rows on one thread, and a whole
// epoch with files, ledger and Iceberg commit. Clicks are generated from a seed.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../kernels/build.ts";
import { instantiateExport } from "../kernels/export.ts";
import { systemClock } from "../src/base/clock.ts";
import { DiskFiles } from "../src/base/disk-files.ts";
import { DuckDb, duckText } from "../src/base/duckdb.ts";
import { buildImage, streamImageColumns, type Cell } from "../src/event/image.ts";
import type { EventColumn, EventSchema, SqlType } from "../src/event/schema.ts";
import { EXPORT_MEMORY_BYTES_MAX } from "../src/limits.ts";
import { openTables, type Tables } from "../src/table/tables.ts";
import type { BenchLine } from "./line.ts";

const RECORD_ROWS = 1000;
const EVENT_TIME_US = 1_569_888_000_000_000;

function column(name: string, type: SqlType["kind"], fieldId: number): EventColumn {
  const sql: SqlType =
    type === "DECIMAL" ? { kind: "DECIMAL", precision: 18, scale: 2 } : { kind: type };
  return { name, type: sql, nullable: false, fieldId, decoding: { kind: "plain" } };
}

const SCHEMA: EventSchema = {
  id: 1,
  columns: [
    column("event_id", "VARCHAR", 1),
    column("event_time", "TIMESTAMPTZ", 2),
    column("event_type", "VARCHAR", 3),
    column("user_id", "VARCHAR", 4),
    column("session_id", "VARCHAR", 5),
    column("page_url", "VARCHAR", 6),
    column("category", "VARCHAR", 7),
    column("brand", "VARCHAR", 8),
    column("price", "DOUBLE", 9),
    column("country", "VARCHAR", 10),
  ],
  eventTime: 1,
  eventId: 0,
};
/** Columns that decode keeps as dictionaries in records of 1,000 rows. */
const DICTIONARIES = new Set([2, 5, 6, 7, 9]);

/** A generator of 32-bit numbers (xorshift, Marsaglia 2003). */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** `count` different records; the bench adds them again and again at other positions. */
function images(count: number): Uint8Array[] {
  const random = randomOf(2463534242);
  const columns = streamImageColumns(SCHEMA);
  const hex = (digits: number): string =>
    Array.from({ length: digits }, () => random(16).toString(16)).join("");
  const types = ["view", "view", "view", "view", "cart", "purchase"];
  return Array.from({ length: count }, (_, record) =>
    buildImage(
      columns,
      Array.from({ length: RECORD_ROWS }, (__, row): Cell[] => [
        `${hex(8)}-${hex(4)}-${hex(4)}-${hex(12)}`,
        BigInt(EVENT_TIME_US + (record * RECORD_ROWS + row) * 700 + random(1000)),
        types[random(types.length)] ?? "view",
        `user-${random(100_000)}`,
        `${hex(8)}-${hex(4)}-${hex(12)}`,
        `/category-${random(40)}/product-${random(random(20_000) + 1)}`,
        `category.${random(40)}.sub`,
        `brand-${random(120)}`,
        random(100_000) / 100,
        ["DE", "FR", "US", "GB", "NL"][random(5)] ?? "DE",
        null,
        0n,
      ]),
      DICTIONARIES,
    ),
  );
}

function open(folder: string): Tables {
  const wasm = readFileSync(join(import.meta.dir, "..", "build", "export.wasm"));
  return openTables({
    folder: join(folder, "warehouse"),
    ledgerPath: join(folder, "ledger.db"),
    jobId: "bench",
    onTableAhead: "refuse",
    files: new DiskFiles(),
    clock: systemClock(),
    kernels: instantiateExport(wasm, EXPORT_MEMORY_BYTES_MAX),
  });
}

/** Adds `records` records and cuts one epoch; returns the seconds of adding, of the cut, and of the commit. */
function exportOnce(
  tables: Tables,
  batches: readonly Uint8Array[],
  records: number,
): { add: number; cut: number; commit: number } {
  const raw = tables.raw("bench", "clicks", SCHEMA);
  const first = raw.export.position + 1;
  const started = performance.now();
  for (let i = 0; i < records; i++)
    raw.add({
      kind: "events",
      position: first + i,
      stream: "clicks",
      partition: "",
      schemaId: 1,
      watermarkUs: null,
      receivedAtUs: EVENT_TIME_US + (first + i) * 1000,
      rowCount: RECORD_ROWS,
      duplicateCount: 0,
      rejects: [],
      image: batches[i % batches.length] ?? new Uint8Array(0),
    });
  const added = performance.now();
  raw.export.cut(first + records - 1);
  const cut = performance.now();
  tables.commitPending();
  const seconds = (from: number, to: number): number => (to - from) / 1000;
  return {
    add: seconds(started, added),
    cut: seconds(added, cut),
    commit: seconds(cut, performance.now()),
  };
}

/** Our writer against DuckDB's COPY, ns per row and as a ratio. */
export async function run(options: { small: boolean }): Promise<BenchLine[]> {
  await buildKernels(["export"]);
  const records = options.small ? 20 : 1000;
  const batches = images(Math.min(records, 200));
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-export-"));
  mkdirSync(folder, { recursive: true });
  try {
    const tables = open(folder);
    exportOnce(tables, batches, Math.min(records, 100));
    const seconds = exportOnce(tables, batches, records);
    const { files } = tables.pinnedFiles("bench.clicks_raw");
    tables.close();
    const rows = records * RECORD_ROWS;
    const duck = await duckCopy(files.slice(1), join(folder, "copy.parquet"));
    const line = (stage: string, taken: number): BenchLine => ({
      stage,
      rate: rows / taken,
      unit: "rows/s",
      ns_per_event: (taken * 1e9) / rows,
    });
    const ours = line("export.parquet 15 columns", seconds.add + seconds.cut);
    return [
      {
        ...ours,
        ratio: duck.seconds / (seconds.add + seconds.cut),
        ratio_to: "DuckDB COPY",
        hash: duck.hash,
      },
      line("export.parquet in memory", seconds.add),
      line("export.cut: write, sync, ledger", seconds.cut),
      line("export.commit", seconds.commit),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** DuckDB's time for the same rows from a table in memory to one zstd Parquet file, on one thread; and its hash of those rows. */
async function duckCopy(
  files: readonly string[],
  to: string,
): Promise<{ seconds: number; hash: string }> {
  const database = await DuckDb.open({ threads: "1" });
  try {
    const connection = await database.connect();
    const list = files.map((file) => `'${file}'`).join(", ");
    await connection.run(
      `CREATE TABLE clicks AS FROM read_parquet([${list}], hive_partitioning=false)`,
    );
    const started = performance.now();
    await connection.run(
      `COPY clicks TO '${to}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)`,
    );
    const seconds = (performance.now() - started) / 1000;
    const { rows } = await connection.run("SELECT hex(bit_xor(hash(clicks))) FROM clicks");
    return { seconds, hash: duckText(rows[0]?.[0]).toLowerCase() };
  } finally {
    database.close();
  }
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
