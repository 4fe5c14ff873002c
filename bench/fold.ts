// The fold alone: count, sum and HyperLogLog per minute and two text keys, 10,000 groups a window, columns in memory, one core. The same
// rows and text in DuckDB on one thread, and in Map code as people write it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FoldKernels } from "../kernels/fold.ts";
import { buildKernels } from "../kernels/build.ts";
import { instantiate } from "../kernels/host.ts";
import { DuckDb, duckText } from "../src/base/duckdb.ts";
import { must } from "../src/base/assert.ts";
import { buildImage, imageRows, type Cell } from "../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS } from "../src/event/schema.ts";
import { WINDOW_MACROS } from "../src/view/macros.ts";
import { columnList } from "../src/view/parse.ts";
import type { ViewPlan } from "../src/view/plan.ts";
import { Windows } from "../src/window/windows.ts";
import { plainSchema, planOver } from "./rows.ts";
import { shapeLines } from "./fold-shapes.ts";
import type { BenchLine } from "./line.ts";
import { LongColumn } from "./long-column.ts";

const SQL = `SELECT window_start, category, country, count(*) AS n, sum(price) AS total, approx_count_distinct(user_id) AS users
FROM tumble(clicks, event_time, INTERVAL 1 MINUTE) GROUP BY ALL`;

const SCHEMA = plainSchema({
  event_time: { kind: "TIMESTAMPTZ" },
  category: { kind: "VARCHAR" },
  country: { kind: "VARCHAR" },
  user_id: { kind: "BIGINT" },
  price: { kind: "DECIMAL", precision: 10, scale: 2 },
});

/** Rows of one record, and records before the values repeat at later times. */
const RECORD_ROWS = 4096;
const RECORDS = 128;
const CYCLE_ROWS = RECORD_ROWS * RECORDS;

/** Values of row i, the same formulas as in DuckDB below. */
function cells(i: number): Cell[] {
  const a = (i * 48_271 + 11) % 2_147_483_647;
  const b = (i * 69_621 + 7) % 2_147_483_647;
  return [
    0n,
    `category ${a % 100}`,
    `c${Math.floor(a / 100) % 100}`,
    BigInt(b % 50_000),
    BigInt(b % 10_007),
    null,
    0n,
  ];
}

const FORMULAS = `'category ' || (a % 100), 'c' || ((a // 100) % 100), b % 50000, ((b % 10007) / 100.0)::DECIMAL(10,2), NULL, 0`;

function images(): Uint8Array[] {
  return Array.from({ length: RECORDS }, (_, record) => {
    const rows = Array.from({ length: RECORD_ROWS }, (__, row) =>
      cells(record * RECORD_ROWS + row),
    );
    return buildImage([...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS], rows, new Set([1, 2]));
  });
}

/** The event times of an image. */
function timesOf(image: Uint8Array): LongColumn {
  return new LongColumn(image, must(SCHEMA.eventTime, "a column"), RECORD_ROWS);
}

/** µs between two events: two million a minute. */
const STEP_US = 30;

interface FoldRun {
  readonly seconds: number;
  readonly rows: readonly Cell[][];
}

/** Folds `count` rows and gives all windows, closed and open. Times are set outside of the measured time. */
function foldRun(plan: ViewPlan, count: number, batches: readonly Uint8Array[]): FoldRun {
  const wasm = readFileSync(join(import.meta.dir, "../build/fold.wasm"));
  const windows = new Windows(instantiate<FoldKernels>(wasm, 1024 * 1024 * 1024), 40_000);
  windows.addView(plan, SCHEMA, { since: 0 });
  const times = batches.map(timesOf);
  const found: Uint8Array[] = [];
  let spent = 0;
  for (let first = 0, position = 1; first < count; first += RECORD_ROWS, position++) {
    const index = (first / RECORD_ROWS) % RECORDS;
    const column = times[index];
    const image = batches[index];
    if (column === undefined || image === undefined) continue;
    for (let row = 0; row < RECORD_ROWS; row++) column.set(row, (first + row) * STEP_US);
    const head = {
      kind: "events",
      stream: "clicks",
      partition: "",
      schemaId: 1,
      watermarkUs: BigInt((first + RECORD_ROWS - 1) * STEP_US),
      duplicateCount: 0,
      rejects: [],
    } as const;
    const receivedAtUs = 10_000_000_000;
    const start = performance.now();
    const outputs = windows.fold({ ...head, position, receivedAtUs, rowCount: RECORD_ROWS, image });
    spent += performance.now() - start;
    found.push(...outputs.map((output) => output.image));
  }
  const open = windows
    .openWindows(plan.name)
    .flatMap((window) => window.images.map(({ image }) => image));
  const columns = [
    ...plan.output,
    { name: "revision", type: { kind: "BIGINT" }, nullable: false } as const,
  ];
  return {
    seconds: spent / 1000,
    rows: [...found, ...open].flatMap((image) => imageRows(image, columns)),
  };
}

/** The same in DuckDB: seconds, and the text of all rows without the estimates, in order. */
async function duckRun(count: number): Promise<{ seconds: number; text: string }> {
  const db = await DuckDb.open({ threads: "1" });
  const connection = await db.connect();
  await connection.execute([
    ...WINDOW_MACROS,
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    `INSERT INTO clicks SELECT make_timestamptz(i * ${STEP_US}), ${FORMULAS}, make_timestamptz(0), 1, 0 FROM (
       SELECT i, ((i % ${CYCLE_ROWS}) * 48271 + 11) % 2147483647 AS a, ((i % ${CYCLE_ROWS}) * 69621 + 7) % 2147483647 AS b FROM range(${count}) t(i))`,
  ]);
  const start = performance.now();
  await connection.execute([`CREATE TABLE result AS ${SQL}`]);
  const seconds = (performance.now() - start) / 1000;
  const { rows } = await connection.run(
    `SELECT string_agg(epoch_us(window_start) || ' ' || category || ' ' || country || ' ' || n || ' ' || replace(total::VARCHAR, '.', ''), chr(10)
       ORDER BY window_start, category, country) FROM result`,
  );
  connection.close();
  db.close();
  return { seconds, text: duckText(rows[0]?.[0]) };
}

/** Map code as people write it: seconds for `count` rows that are objects already. */
function mapRun(count: number): number {
  const events = Array.from({ length: count }, (_, i) => {
    const [, category, country, user, price] = cells(i % CYCLE_ROWS);
    return {
      time: (i * STEP_US) / 1000,
      category,
      country,
      user: Number(user),
      price: Number(price) / 100,
    };
  });
  const groups = new Map<string, { n: number; total: number; users: Set<number> }>();
  const start = performance.now();
  for (const event of events) {
    const key = `${Math.floor(event.time / 60_000)}|${event.category}|${event.country}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { n: 0, total: 0, users: new Set() }));
    group.n++;
    group.total += event.price;
    group.users.add(event.user);
  }
  return (performance.now() - start) / 1000;
}

/** Rows without their estimates, in the order that DuckDB gives them. */
function rowsText(rows: readonly Cell[][]): string {
  const lines = rows.map((row) => ({ at: row.slice(0, 3), text: row.slice(0, 5).join(" ") }));
  const order = (a: Cell | undefined, b: Cell | undefined): number =>
    Number(String(a) > String(b)) - Number(String(a) < String(b));
  return lines
    .toSorted(
      (a, b) =>
        Number((a.at[0] as bigint) - (b.at[0] as bigint)) ||
        order(a.at[1], b.at[1]) ||
        order(a.at[2], b.at[2]),
    )
    .map(({ text }) => text)
    .join("\n");
}

/** `small`: one second in all, for the tests. Throws when DuckDB's rows are others. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  await buildKernels(["fold"]);
  const count = options.small ? CYCLE_ROWS : CYCLE_ROWS * 12;
  const plan = await planOver(SCHEMA, "clicks_minute", SQL);
  const batches = images();
  foldRun(plan, CYCLE_ROWS / 4, batches);
  const fold = foldRun(plan, count, batches);
  const duck = await duckRun(count);
  const text = rowsText(fold.rows);
  if (text !== duck.text) throw new Error("fold: DuckDB has other rows");
  const estimates = fold.rows.map((row) => row[5]).join(" ");
  const hash = new Bun.CryptoHasher("sha256")
    .update(text)
    .update(estimates)
    .digest("hex")
    .slice(0, 16);
  const mapCount = Math.min(count, CYCLE_ROWS * 2);
  const mapSeconds = mapRun(mapCount);
  const rate = count / fold.seconds;
  const stage = "fold count + sum + HLL, 10,000 groups a minute";
  const line = { stage, rate, unit: "events/s", ns_per_event: 1e9 / rate };
  return [
    {
      ...line,
      ratio: rate / (count / duck.seconds),
      ratio_to: "DuckDB, 1 thread",
      hash,
      wanted: { least: 15_000_000 },
    },
    { ...line, ratio: rate / (mapCount / mapSeconds), ratio_to: "Map code", hash },
    ...(await shapeLines(options)),
  ];
}

if (import.meta.main) console.log(await run({ small: process.argv.includes("--small") }));
