// Sessions alone: count and sum per user, a million sessions open, columns in memory, one core. The same rows and text in DuckDB, which
// sorts them, on one thread.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { FoldKernels } from "../kernels/fold.ts";
import { buildKernels } from "../kernels/build.ts";
import { instantiate } from "../kernels/host.ts";
import { DuckDb, duckText } from "../src/base/duckdb.ts";
import { buildImage, imageRows } from "../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS } from "../src/event/schema.ts";
import { WINDOW_MACROS } from "../src/view/macros.ts";
import { columnList } from "../src/view/parse.ts";
import type { ViewPlan } from "../src/view/plan.ts";
import { Windows } from "../src/window/windows.ts";
import { plainSchema, planOver } from "./rows.ts";
import type { BenchLine } from "./line.ts";
import { LongColumn } from "./long-column.ts";

const SQL = `SELECT window_start, window_end, user_id, count(*) AS n, sum(amount) AS total
FROM session(clicks, event_time, INTERVAL 30 MINUTE, user_id) GROUP BY ALL`;

const SCHEMA = plainSchema({
  event_time: { kind: "TIMESTAMPTZ" },
  user_id: { kind: "BIGINT" },
  amount: { kind: "BIGINT" },
});

const RECORD_ROWS = 4096;
const OUT_OF_ORDERNESS_US = 10_000_000;
/** The first events, whose sessions are older than any other. */
const START_US = 1_700_000_000_000_000;

/**
 * Visitors: `active` visits at a time of ten clicks on average, a minute apart, each by a user of its own; three times as many wait for
 * the gap to pass. Or regulars: `users` come back after 13 min on average, each at random, so a tenth of their clicks begin a session.
 */
type Load =
  | { readonly kind: "visitors"; readonly active: number; readonly stepUs: number }
  | { readonly kind: "regulars"; readonly users: number; readonly stepUs: number };

function visitors(active: number): Load {
  return { kind: "visitors", active, stepUs: Math.round(60_000_000 / active) };
}

function regulars(users: number): Load {
  return { kind: "regulars", users, stepUs: Math.round(780_000_000 / users) };
}

/** User of event i, whose random number is c. */
function userOf(load: Load, i: number, c: number): number {
  if (load.kind === "regulars") return c % load.users;
  const place = c % load.active;
  return Math.floor((i + place * 10) / (load.active * 10)) * load.active + place;
}

function userFormula(load: Load): string {
  if (load.kind === "regulars") return `c % ${load.users}`;
  const place = `(c % ${load.active})`;
  return `(i + ${place} * 10) // ${load.active * 10} * ${load.active} + ${place}`;
}

/** A permutation of 32 bits; the same in DuckDB below. */
function mix(i: number): number {
  const a = Math.imul(i ^ (i >>> 16), 73_244_475);
  const b = Math.imul(a ^ (a >>> 16), 73_244_475);
  return (b ^ (b >>> 16)) >>> 0;
}

const MIX = ["i", "a", "b"].map((name) => `xor(${name}, ${name} >> 16)`);

/** Rows of event i: up to 8 s behind or ahead. */
const FORMULAS = (load: Load): string =>
  `make_timestamptz(${START_US} + i * ${load.stepUs} + (c % 8000000)), ${userFormula(load)}, c % 1000, NULL, 0, make_timestamptz(0), 1, 0`;

interface FoldRun {
  readonly seconds: number;
  readonly count: number;
  /** Open at the end. */
  readonly open: number;
  readonly stateBytes: number;
  readonly sum: string;
}

/** What tells two results apart: rows, and a sum over all their values. */
class Sum {
  #rows = 0;
  #sum = 0n;

  add(plan: ViewPlan, image: Uint8Array): void {
    const columns = [
      ...plan.output,
      { name: "revision", type: { kind: "BIGINT" }, nullable: false } as const,
    ];
    for (const [start, end, user, n, total] of imageRows(image, columns)) {
      this.#rows++;
      this.#sum +=
        (start as bigint) * 31n +
        (end as bigint) * 17n +
        (user as bigint) * (n as bigint) +
        (total as bigint) * 7n;
    }
  }

  get text(): string {
    return `${this.#rows} ${this.#sum}`;
  }
}

/** Folds `warm` rows, then `count` more, whose time is measured: the columns are set outside of it. Outputs are read as they come. */
function foldRun(plan: ViewPlan, load: Load, warm: number, count: number): FoldRun {
  const wasm = readFileSync(join(import.meta.dir, "../build/fold.wasm"));
  const windows = new Windows(instantiate<FoldKernels>(wasm, 2 * 1024 * 1024 * 1024), 100_000);
  windows.addView(plan, SCHEMA, { since: 0 });
  const image = buildImage(
    [...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS],
    Array.from({ length: RECORD_ROWS }, () => [0n, 0n, 0n, null, 0n]),
  );
  const column = (ordinal: number): LongColumn => new LongColumn(image, ordinal, RECORD_ROWS);
  const [times, users, amounts] = [column(0), column(1), column(2)];
  const sum = new Sum();
  let spent = 0;
  let highest = 0;
  for (let first = 0, position = 1; first < warm + count; first += RECORD_ROWS, position++) {
    for (let row = 0; row < RECORD_ROWS; row++) {
      const i = first + row;
      const c = mix(i);
      const time = START_US + i * load.stepUs + (c % 8_000_000);
      highest = Math.max(highest, time);
      times.set(row, time);
      users.set(row, userOf(load, i, c));
      amounts.set(row, c % 1000);
    }
    const record = {
      kind: "events",
      stream: "clicks",
      partition: "",
      schemaId: 1,
      duplicateCount: 0,
      rejects: [],
      position,
      receivedAtUs: START_US,
      rowCount: RECORD_ROWS,
      watermarkUs: BigInt(highest - OUT_OF_ORDERNESS_US),
      image,
    } as const;
    const start = performance.now();
    const outputs = windows.fold(record);
    if (first >= warm) spent += performance.now() - start;
    for (const output of outputs) sum.add(plan, output.image);
    windows.covered(plan.name, "rows", position);
  }
  const open = windows.stats()[0]?.windows ?? 0;
  for (const picture of windows.openWindows(plan.name))
    for (const rows of picture.images) sum.add(plan, rows.image);
  return { seconds: spent / 1000, count, open, stateBytes: windows.stateBytes, sum: sum.text };
}

/** The same in DuckDB: seconds, and the same sum. */
async function duckRun(load: Load, count: number): Promise<{ seconds: number; sum: string }> {
  const db = await DuckDb.open({ threads: "1" });
  const connection = await db.connect();
  await connection.execute([
    ...WINDOW_MACROS,
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    `INSERT INTO clicks SELECT ${FORMULAS(load)} FROM (SELECT i, ${MIX[2]} AS c FROM (
       SELECT i, (${MIX[1]} * 73244475) & 4294967295 AS b FROM (
       SELECT i, (${MIX[0]} * 73244475) & 4294967295 AS a FROM range(${count}) t(i))))`,
  ]);
  const start = performance.now();
  await connection.execute([`CREATE TABLE result AS ${SQL}`]);
  const seconds = (performance.now() - start) / 1000;
  const { rows } = await connection.run(
    `SELECT count(*) || ' ' || sum(epoch_us(window_start)::HUGEINT * 31 + epoch_us(window_end)::HUGEINT * 17
       + user_id::HUGEINT * n + total::HUGEINT * 7) FROM result`,
  );
  connection.close();
  db.close();
  return { seconds, sum: duckText(rows[0]?.[0]) };
}

/** `small`: one second in all, for the tests. Throws when DuckDB's rows are others. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  await buildKernels(["fold"]);
  const plan = await planOver(SCHEMA, "user_sessions", SQL);
  const loads = options.small
    ? [visitors(2000), regulars(10_000)]
    : [visitors(250_000), regulars(1_110_000)];
  const lines: BenchLine[] = [];
  for (const load of loads) lines.push(...(await runLoad(plan, load, options)));
  return lines;
}

async function runLoad(
  plan: ViewPlan,
  load: Load,
  options: { readonly small: boolean },
): Promise<BenchLine[]> {
  // Until as many sessions close as open: 40 min of the first load, an hour of the second.
  const warm = RECORD_ROWS * (options.small ? 30 : 2600);
  const count = RECORD_ROWS * (options.small ? 20 : 2600);
  const fold = foldRun(plan, load, warm, count);
  const duck = await duckRun(load, warm + count);
  if (fold.sum !== duck.sum) throw new Error(`sessions: ${fold.sum}, DuckDB ${duck.sum}`);
  const rate = count / fold.seconds;
  const hash = new Bun.CryptoHasher("sha256").update(fold.sum).digest("hex").slice(0, 16);
  const stage = `sessions, ${(fold.open / 1e6).toFixed(2)} M open, ${load.kind}`;
  return [
    {
      stage,
      rate,
      unit: "events/s",
      ns_per_event: 1e9 / rate,
      ratio: rate / ((warm + count) / duck.seconds),
      ratio_to: "DuckDB, 1 thread",
      hash,
      wanted: { least: 10_000_000 },
    },
    { stage: `${stage}: state`, rate: fold.stateBytes / fold.open, unit: "bytes/session" },
  ];
}

if (import.meta.main) console.log(await run({ small: process.argv.includes("--small") }));
