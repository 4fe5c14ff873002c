// The fold alone by the shape of its load: hops of ten and of 600 slides, keys of which one has half of all events, 20 views on one stream.
// Columns in memory, one core; the same texts over the same rows in DuckDB on one thread.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FoldKernels } from "../kernels/fold.ts";
import { instantiate } from "../kernels/host.ts";
import { must } from "../src/base/assert.ts";
import { DuckDb } from "../src/base/duckdb.ts";
import { buildImage, type Cell } from "../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS } from "../src/event/schema.ts";
import { WINDOW_MACROS } from "../src/view/macros.ts";
import { columnList, ViewParser } from "../src/view/parse.ts";
import type { ViewPlan } from "../src/view/plan.ts";
import { Windows } from "../src/window/windows.ts";
import { plainSchema } from "./rows.ts";
import type { BenchLine } from "./line.ts";
import { LongColumn } from "./long-column.ts";

const SCHEMA = plainSchema({
  event_time: { kind: "TIMESTAMPTZ" },
  page: { kind: "VARCHAR" },
  user_id: { kind: "BIGINT" },
  price: { kind: "DECIMAL", precision: 10, scale: 2 },
});

const RECORD_ROWS = 4096;
/** Records before the values repeat at later times. */
const RECORDS = 64;
const CYCLE_ROWS = RECORD_ROWS * RECORDS;

/** What the events are: pages, whether every second event is of the first one, µs between two events. */
interface Load {
  readonly pages: number;
  readonly skewed: boolean;
  readonly stepUs: number;
}

/** Page and other number of row i; `duckRows` has the same formulas. */
function numbers(i: number, { pages, skewed }: Load): { page: number; other: number } {
  const a = (i * 48_271 + 11) % 2_147_483_647;
  const other = (i * 69_621 + 7) % 2_147_483_647;
  return { page: skewed && i % 2 === 0 ? 0 : a % pages, other };
}

function images(load: Load): Uint8Array[] {
  return Array.from({ length: RECORDS }, (_, record) => {
    const rows = Array.from({ length: RECORD_ROWS }, (__, row): Cell[] => {
      const { page, other } = numbers(record * RECORD_ROWS + row, load);
      return [0n, `/page/${page}`, BigInt(other % 50_000), BigInt(other % 10_007), null, 0n];
    });
    return buildImage([...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS], rows, new Set([1]));
  });
}

function duckRows(load: Load, rows: number): string {
  const a = `(((i % ${CYCLE_ROWS}) * 48271 + 11) % 2147483647)`;
  const other = `(((i % ${CYCLE_ROWS}) * 69621 + 7) % 2147483647)`;
  const page = load.skewed
    ? `CASE WHEN i % 2 = 0 THEN 0 ELSE ${a} % ${load.pages} END`
    : `${a} % ${load.pages}`;
  return `SELECT make_timestamptz(i * ${load.stepUs}), '/page/' || (${page}), ${other} % 50000,
    ((${other} % 10007) / 100.0)::DECIMAL(10,2), NULL, 0, make_timestamptz(0), 1, 0 FROM range(${rows}) t(i)`;
}

/** The event times of an image. */
function timesOf(image: Uint8Array): LongColumn {
  return new LongColumn(image, must(SCHEMA.eventTime, "a column"), RECORD_ROWS);
}

/** Events a second, measured from row `from` on to row `to`, and how many rows came out in all. */
function foldRate(
  plans: readonly ViewPlan[],
  load: Load,
  { from, to }: { readonly from: number; readonly to: number },
): { readonly rate: number; readonly rowCount: number } {
  const wasm = readFileSync(join(import.meta.dir, "../build/fold.wasm"));
  const windows = new Windows(instantiate<FoldKernels>(wasm, 3 * 1024 * 1024 * 1024), 160_000);
  for (const plan of plans) windows.addView(plan, SCHEMA, { since: 0 });
  const batches = images(load);
  const times = batches.map(timesOf);
  let spentMs = 0;
  let rowCount = 0;
  for (let first = 0, position = 1; first < to; first += RECORD_ROWS, position++) {
    const index = (first / RECORD_ROWS) % RECORDS;
    const [column, image] = [times[index], batches[index]];
    if (column === undefined || image === undefined) continue;
    for (let row = 0; row < RECORD_ROWS; row++) column.set(row, (first + row) * load.stepUs);
    const last = BigInt((first + RECORD_ROWS - 1) * load.stepUs);
    const start = performance.now();
    const outputs = windows.fold({
      kind: "events",
      stream: "clicks",
      partition: "",
      schemaId: 1,
      duplicateCount: 0,
      rejects: [],
      position,
      receivedAtUs: 10 ** 15,
      watermarkUs: last,
      rowCount: RECORD_ROWS,
      image,
    });
    if (first >= from) spentMs += performance.now() - start;
    for (const output of outputs) rowCount += output.rowCount;
    for (const plan of plans) windows.covered(plan.name, "rows", position);
  }
  return { rate: ((to - from) / spentMs) * 1000, rowCount };
}

/** Rows a second of all texts, one after the other, over `rows` rows in DuckDB. */
async function duckRate(texts: readonly string[], load: Load, rows: number): Promise<number> {
  const db = await DuckDb.open({ threads: "1" });
  const connection = await db.connect();
  await connection.execute([
    ...WINDOW_MACROS,
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    `INSERT INTO clicks ${duckRows(load, rows)}`,
  ]);
  const start = performance.now();
  for (const [index, text] of texts.entries())
    await connection.execute([`CREATE TABLE result_${index} AS ${text}`]);
  const seconds = (performance.now() - start) / 1000;
  connection.close();
  db.close();
  return rows / seconds;
}

/** One load and its views. Rates are of the rows behind the first `warmRows`. */
interface Case {
  readonly stage: string;
  readonly texts: readonly string[];
  readonly load: Load;
  readonly warmRows: number;
  readonly rows: number;
  readonly duckRows: number;
  /** The least rate wanted, events/s; `rates`: of the cases before it. */
  readonly least?: (rates: ReadonlyMap<string, number>) => number;
}

/** `share` of the rate of another case. */
function shareOf(stage: string, share: number): NonNullable<Case["least"]> {
  return (rates) => must(rates.get(stage), stage) * share;
}

const HOP_STAGE = "fold hop 10 min / 1 min, count per key";
const UNIFORM_STAGE = "fold count + sum + HLL, 10,000 uniform keys a minute";

const HOP_LOAD: Load = { pages: 1000, skewed: false, stepUs: 6000 };
const TUMBLE_LOAD: Load = { pages: 10_000, skewed: false, stepUs: 30 };

function hopText(size: string): string {
  return `SELECT window_start, page, count(*) AS n FROM hop(clicks, event_time, INTERVAL 1 MINUTE, INTERVAL ${size}) GROUP BY ALL`;
}

const TUMBLE_TEXT = `SELECT window_start, page, count(*) AS n, sum(price) AS total, approx_count_distinct(user_id) AS users
FROM tumble(clicks, event_time, INTERVAL 1 MINUTE) GROUP BY ALL`;

/** 20 different views over the columns of the stream: three sets of keys, five windows, a filter in each fourth. */
const TWENTY_TEXTS = Array.from({ length: 20 }, (_, index) => {
  const sums = ["sum(price)", "min(price)", "max(user_id)", "avg(price)"];
  const keys = ["page", "user_id % 100 AS shard", "user_id", "page"];
  return `SELECT window_start, ${keys[index % 4]}, count(*) AS n, ${sums[index % 4]} AS x
FROM tumble(clicks, event_time, INTERVAL ${1 + Math.floor(index / 4)} MINUTE)
${index % 4 === 3 ? "WHERE price > 50" : ""} GROUP BY ALL`;
});

/** Rows are cut to a 400th in the tests. */
function cases(small: boolean): Case[] {
  const part = small ? 400 : 1;
  const rows = (count: number): number => Math.ceil(count / part / RECORD_ROWS) * RECORD_ROWS;
  // 10,000 events a slide: 600 slides are open after six million events.
  const hop = { load: HOP_LOAD, warmRows: rows(6_400_000), rows: rows(10_400_000) };
  const tumble = {
    texts: [TUMBLE_TEXT],
    warmRows: rows(400_000),
    rows: rows(6_400_000),
    duckRows: rows(6_400_000),
  };
  const twenty = {
    load: TUMBLE_LOAD,
    warmRows: rows(200_000),
    rows: rows(2_200_000),
    duckRows: rows(2_200_000),
  };
  return [
    {
      ...hop,
      stage: HOP_STAGE,
      least: () => 15_000_000,
      texts: [hopText("10 MINUTE")],
      duckRows: rows(2_000_000),
    },
    {
      ...hop,
      stage: "fold hop 600 min / 1 min, count per key",
      least: shareOf(HOP_STAGE, 1 / 1.5),
      texts: [hopText("600 MINUTE")],
      duckRows: rows(100_000),
    },
    { ...tumble, stage: UNIFORM_STAGE, load: TUMBLE_LOAD },
    {
      ...tumble,
      stage: "fold count + sum + HLL, half of the events on one of 10,000 keys",
      least: shareOf(UNIFORM_STAGE, 1),
      load: { ...TUMBLE_LOAD, skewed: true },
    },
    { ...twenty, stage: "fold one view, count + sum per key", texts: TWENTY_TEXTS.slice(0, 1) },
    {
      ...twenty,
      stage: "fold 20 views on one stream, count + one aggregate per key",
      texts: TWENTY_TEXTS,
    },
  ];
}

/** Lines of all loads, each with its ratio to DuckDB; `small`: a second in all, for the tests. */
export async function shapeLines(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const parser = await ViewParser.open();
  const lines: BenchLine[] = [];
  const rates = new Map<string, number>();
  for (const { stage, texts, load, least, ...counts } of cases(options.small)) {
    const plans: ViewPlan[] = [];
    for (const [index, sql] of texts.entries()) {
      const streams = [{ name: "clicks", schema: SCHEMA }];
      const result = await parser.parse({ name: `view_${index}`, sql, streams });
      if (result.kind !== "plan") throw new Error(JSON.stringify(result.faults));
      plans.push(result.plan);
    }
    const { rate, rowCount } = foldRate(plans, load, { from: counts.warmRows, to: counts.rows });
    if (rowCount === 0 && !options.small) throw new Error(`${stage}: no window closed`);
    const wanted = least === undefined ? {} : { wanted: { least: least(rates) } };
    rates.set(stage, rate);
    const duck = await duckRate(texts, load, counts.duckRows);
    const ratio = rate / duck;
    lines.push({
      stage,
      rate,
      unit: "events/s",
      ns_per_event: 1e9 / rate,
      ratio,
      ratio_to: "DuckDB, 1 thread",
      ...wanted,
    });
  }
  parser.close();
  return lines;
}
