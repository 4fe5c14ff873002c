// Late policy `update`: the fold of count, sum and HyperLogLog per minute and key, 10,000 groups a window, 1 % of the events late by up to two
// hours, against the same fold without late events. Two hours of windows are kept: columns in memory, one core.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildKernels } from "../kernels/build.ts";
import type { FoldKernels } from "../kernels/fold.ts";
import { instantiate } from "../kernels/host.ts";
import { buildImage } from "../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS } from "../src/event/schema.ts";
import type { ViewPlan } from "../src/view/plan.ts";
import { Windows } from "../src/window/windows.ts";
import { plainSchema, planOver } from "./rows.ts";
import type { BenchLine } from "./line.ts";
import { LongColumn } from "./long-column.ts";

const SQL = `SELECT window_start, page, count(*) AS n, sum(price) AS total, approx_count_distinct(user_id) AS users
FROM tumble(clicks, event_time, INTERVAL 1 MINUTE) GROUP BY ALL`;

const SCHEMA = plainSchema({
  event_time: { kind: "TIMESTAMPTZ" },
  page: { kind: "BIGINT" },
  user_id: { kind: "BIGINT" },
  price: { kind: "DECIMAL", precision: 10, scale: 2 },
});
const BEHIND = SCHEMA.columns.length + 1;

const RECORD_ROWS = 4096;
const RECORDS = 64;
/** µs between two events: 100,000 a minute, ten in each group. */
const STEP_US = 600;
/** µs of received time between two records: 500,000 events/s. */
const RECORD_US = 8192;
const LATE_S = 7200;
/** One event of so many is late. */
const LATE_EVERY = 100;

function images(): Uint8Array[] {
  return Array.from({ length: RECORDS }, (_, record) => {
    const rows = Array.from({ length: RECORD_ROWS }, (__, row) => {
      const i = record * RECORD_ROWS + row;
      const mixed = Math.imul(i + 1, 0x9e3779b1) >>> 0;
      // the last column is not zero, so that the image has room for it
      return [
        0n,
        BigInt(mixed % 10_000),
        BigInt((mixed >>> 5) % 50_000),
        BigInt(i % 10_007),
        null,
        1n,
      ];
    });
    return buildImage([...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS], rows);
  });
}

/** Folds the same events with or without late ones among them. Times and `_behind` are set outside of the measured time. */
class LateRun {
  seconds = 0;
  corrections = 0;
  readonly #windows: Windows;
  readonly #plan: ViewPlan;
  readonly #late: boolean;

  constructor(plan: ViewPlan, late: boolean) {
    const wasm = readFileSync(join(import.meta.dir, "../build/fold.wasm"));
    this.#windows = new Windows(instantiate<FoldKernels>(wasm, 4_294_901_760), 200_000);
    this.#windows.addView(plan, SCHEMA, { since: 0 });
    this.#plan = plan;
    this.#late = late;
  }

  /** Folds the record that begins with event `first`. */
  fold(first: number, image: Uint8Array): void {
    const times = new LongColumn(image, 0, RECORD_ROWS);
    const behind = new LongColumn(image, BEHIND, RECORD_ROWS);
    for (let row = 0; row < RECORD_ROWS; row++) {
      const nowUs = (first + row) * STEP_US;
      const isLate = this.#late && (first + row) % LATE_EVERY === LATE_EVERY - 1;
      const backUs = isLate ? ((Math.imul(first + row, 0x9e3779b1) >>> 8) % LATE_S) * 1_000_000 : 0;
      times.set(row, Math.max(0, nowUs - backUs));
      behind.set(row, Math.min(backUs, nowUs));
    }
    const position = first / RECORD_ROWS + 1;
    const start = performance.now();
    const outputs = this.#windows.fold({
      kind: "events",
      stream: "clicks",
      partition: "",
      schemaId: 1,
      watermarkUs: BigInt((first + RECORD_ROWS - 1) * STEP_US),
      duplicateCount: 0,
      rejects: [],
      position,
      receivedAtUs: position * RECORD_US,
      rowCount: RECORD_ROWS,
      image,
    });
    this.#windows.covered(this.#plan.name, "rows", position);
    this.seconds += (performance.now() - start) / 1000;
    for (const { op, rowCount } of outputs) if (op === "upsert") this.corrections += rowCount;
  }

  /** Events in the result. */
  get counted(): number {
    const counts = this.#windows.stats()[0]?.counts;
    return (counts?.applied ?? 0) + (counts?.pending ?? 0);
  }
}

/** `small`: half a second in all, for the tests. Throws when an event is missing. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  await buildKernels(["fold"]);
  const cycles = options.small ? 2 : 96;
  const plan = await planOver(SCHEMA, "late", SQL);
  const batches = images();
  const update: ViewPlan = {
    ...plan,
    late: { policy: "update", allowedUs: LATE_S * 1_000_000 },
  };
  const without = new LateRun(plan, false);
  const corrected = new LateRun(update, true);
  // by turns, so that what else the machine does falls on both
  for (let cycle = 0; cycle < cycles; cycle++) {
    // the second half is measured: by then as many windows become final as close
    if (cycle === cycles / 2) without.seconds = corrected.seconds = 0;
    for (const fold of [without, corrected])
      batches.forEach((image, record) =>
        fold.fold((cycle * RECORDS + record) * RECORD_ROWS, image),
      );
  }
  const count = cycles * RECORDS * RECORD_ROWS;
  if (without.counted !== count || corrected.counted !== count)
    throw new Error(`late: ${without.counted} and ${corrected.counted} of ${count} events`);
  const rate = count / 2 / corrected.seconds;
  const ratio = without.seconds / corrected.seconds;
  return [
    {
      stage: "fold, 1 % late by up to 2 h under update",
      rate,
      unit: "events/s",
      ns_per_event: 1e9 / rate,
      ratio,
      ratio_to: "without late events",
      hash: String(corrected.corrections),
    },
    {
      stage: "fold under update, share of the rate without late events",
      rate: ratio,
      unit: "of 1",
      wanted: { least: 0.7 },
    },
  ];
}

if (import.meta.main) console.log(await run({ small: process.argv.includes("--small") }));
