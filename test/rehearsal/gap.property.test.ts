// A view that stopped and goes on out of the raw table, the log and what comes meanwhile is the view that never stopped: rows, late events and counts. The
// raw table is DuckDB's. Watermarks move as they like between events (partitions, ticks, conditions), records are cut anywhere, the log is trimmed
// anywhere and further while the raw table is read, and the process ends in between.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { buildKernels } from "../../kernels/build.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import { kernelModule } from "../../kernels/modules.ts";
import { must } from "../../src/base/assert.ts";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { EngineLaggards, type PastWish } from "../../src/engine-laggards.ts";
import { buildImage, imageRows, streamImageColumns, type Cell } from "../../src/event/image.ts";
import { clockControl } from "../../src/log/clock-control.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { reconcileControl } from "../../src/log/reconcile-control.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import type { LogRecord } from "../../src/log/record.ts";
import { readGap, type GapBounds } from "../../src/rehearsal/gap.ts";
import { lastRows } from "../../src/rehearsal/last-rows.ts";
import { ViewParser, columnList } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { rollupPlans } from "../../src/view/rollup.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import { Windows } from "../../src/window/windows.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

await buildKernels(["fold"]);
const SECOND_US = 1_000_000n;
const COLUMNS = streamImageColumns(SCHEMA);
const [PAGE_URL, NUMBER, DOUBLE] = ["page_url", "l", "d"].map((name) =>
  SCHEMA.columns.findIndex((column) => column.name === name),
) as [number, number, number];
let foldModule: Uint8Array;
let db: DuckDb;
let duckdb: DuckConnection;
/** Views with the rollups over them, by the name of the case. */
const families = new Map<string, ViewPlan[]>();

const SELECT =
  "SELECT window_start, page_url, count(*) AS n, sum(d) AS total, first(l) AS one, last(l) AS other, max(l) AS most, approx_count_distinct(l) AS kinds FROM";
const TEXTS = {
  tumble: `${SELECT} tumble(clicks, event_time, INTERVAL 5 SECONDS) GROUP BY ALL`,
  filtered: `${SELECT} tumble(clicks, event_time, INTERVAL 7 SECONDS, INTERVAL 2 SECONDS) WHERE l > 2 GROUP BY ALL HAVING n > 1`,
  top: `${SELECT} tumble(clicks, event_time, INTERVAL 10 SECONDS) GROUP BY window_start, page_url QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY n DESC, page_url) <= 1`,
  hop: `${SELECT} hop(clicks, event_time, INTERVAL 2 SECONDS, INTERVAL 10 SECONDS) GROUP BY ALL`,
  session: `SELECT window_start, window_end, page_url, count(*) AS n, first(l) AS one, last(l) AS other FROM session(clicks, event_time, INTERVAL 3 SECONDS, page_url) GROUP BY ALL`,
  rollup: `SELECT window_start, page_url, count(*) AS n, sum(l) AS total, max(d) AS most FROM tumble(clicks, event_time, INTERVAL 5 SECONDS) GROUP BY ALL`,
};
const POLICIES = ["side", "drop", "update"] as const;

beforeAll(async () => {
  foldModule = await kernelModule("fold");
  const parser = await ViewParser.open();
  for (const [name, text] of Object.entries(TEXTS))
    for (const policy of POLICIES) {
      const plan = await planOf(parser, text);
      const allowedUs = policy === "update" ? 8_000_000 : 0;
      const late: ViewPlan = { ...plan, late: { policy, allowedUs } };
      const made = rollupPlans(
        late,
        name === "rollup" ? [{ everyUs: 20_000_000, timeZone: null }] : [],
      );
      if (made.kind === "fault") throw new Error(made.message);
      families.set(`${name} ${policy}`, [late, ...made.plans]);
    }
  parser.close();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    "CREATE SCHEMA millrace",
    "CREATE TABLE millrace.watermarks (stream VARCHAR, watermark TIMESTAMPTZ)",
  ]);
});
afterAll(() => {
  duckdb.close();
  db.close();
});

const stepArbitrary = fc.record({
  stepUs: fc.constantFrom(0n, 0n, 300_000n, 2_000_000n, 9_000_000n),
  behindUs: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(0n, 0n, 400_000n, 1_500_000n) },
    { weight: 1, arbitrary: fc.bigInt(0n, 25n * SECOND_US) },
  ),
  key: fc.constantFrom("/a", "/b"),
  number: fc.option(fc.bigInt(0n, 5n), { freq: 6 }),
  double: fc.constantFrom(0.1, 0.2, 1e6, -0.3),
  /** Where the watermark goes after it: nowhere, or so far behind now. */
  watermark: fc.constantFrom(null, null, 0n, 1_000_000n, 4_000_000n),
  /** What ends the record after it, and what follows the record. */
  cut: fc.constantFrom(false, true, true),
  next: fc.constantFrom("nothing", "nothing", "tick", "other stream", "configuration"),
});

const shareArbitrary = (most: number): fc.Arbitrary<number> =>
  fc.integer({ min: 0, max: 1000 }).map((share) => (share / 1000) * most);

const lifeArbitrary = fc.record({
  family: fc.constantFrom(
    ...Object.keys(TEXTS).flatMap((name) => POLICIES.map((policy) => `${name} ${policy}`)),
  ),
  steps: fc.array(stepArbitrary, { minLength: 12, maxLength: 60 }),
  /** Places in the log as shares of it. */
  stop: shareArbitrary(0.7),
  trim: shareArbitrary(1),
  goOn: shareArbitrary(1),
  killAfter: fc.option(fc.integer({ min: 0, max: 12 }), { freq: 2 }),
  pageRows: fc.constantFrom(25, 40, 1000),
  piecesMax: fc.constantFrom(1, 3, 1000),
});
type Life = typeof lifeArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** The log of the steps; what a record has of them is at most 20 events. */
function recordsOf(steps: Life["steps"]): LogRecord[] {
  const records: LogRecord[] = [];
  let nowUs = 1_700_000_000n * SECOND_US;
  let watermarkUs: bigint | null = null;
  let rows: Cell[][] = [];
  const at = () => ({ position: records.length + 1, receivedAtUs: Number(nowUs / 1000n) * 1000 });
  for (const [index, step] of steps.entries()) {
    nowUs += step.stepUs;
    const timeUs = nowUs - step.behindUs;
    const behind: bigint = watermarkUs !== null && watermarkUs > timeUs ? watermarkUs - timeUs : 0n;
    const row: Cell[] = COLUMNS.map(() => null);
    [row[0], row[PAGE_URL], row[NUMBER], row[DOUBLE]] = [
      timeUs,
      step.key,
      step.number,
      step.double,
    ];
    row[COLUMNS.length - 1] = behind;
    rows.push(row);
    // an event ahead of the watermark may take it along, and never beyond the clock
    const reached: bigint | null = step.watermark === null ? null : nowUs - step.watermark;
    if (reached !== null && (watermarkUs === null || reached > watermarkUs)) watermarkUs = reached;
    if (!step.cut && rows.length < 20 && index < steps.length - 1) continue;
    const common = {
      stream: "clicks",
      partition: "",
      schemaId: 1,
      watermarkUs,
      duplicateCount: 0,
      rejects: [],
    };
    records.push({
      kind: "events",
      ...at(),
      ...common,
      rowCount: rows.length,
      image: buildImage(COLUMNS, rows),
    });
    rows = [];
    if (step.next === "tick") {
      if (watermarkUs === null || nowUs > watermarkUs) watermarkUs = nowUs;
      const said = clockControl({ change: "tick", stream: "clicks", partitions: [], watermarkUs });
      records.push({ kind: "control", ...at(), ...said });
    } else if (step.next === "other stream")
      records.push({
        kind: "control",
        ...at(),
        ...clockControl({ change: "tick", stream: "others", partitions: [], watermarkUs: nowUs }),
      });
    else if (step.next === "configuration")
      records.push({
        kind: "control",
        ...at(),
        control: "configuration",
        stream: null,
        body: "{}",
      });
  }
  return records;
}

/** The raw relation as a question sees it that is asked when the views stand at `upTo`. */
async function publish(records: readonly LogRecord[], upTo: number): Promise<void> {
  const values: string[] = [];
  let watermarkUs: bigint | null = null;
  for (const record of records.slice(0, upTo)) {
    if (record.kind === "events") {
      ({ watermarkUs } = record);
      for (const [index, row] of imageRows(record.image, COLUMNS).entries()) {
        const [time, url, number, double] = [row[0], row[PAGE_URL], row[NUMBER], row[DOUBLE]];
        values.push(
          `(make_timestamptz(${time}), '${url}', ${number}, ${double}, ${row.at(-1)}, make_timestamptz(${record.receivedAtUs}), ${record.position}, ${index})`,
        );
      }
    } else if (record.stream === "clicks")
      watermarkUs = BigInt(JSON.parse(record.body).watermarkUs);
  }
  await duckdb.run("TRUNCATE clicks");
  await duckdb.run("TRUNCATE millrace.watermarks");
  await duckdb.run(
    `INSERT INTO millrace.watermarks VALUES ('clicks', ${watermarkUs === null ? "NULL" : `make_timestamptz(${watermarkUs})`})`,
  );
  if (values.length > 0)
    await duckdb.run(
      `INSERT INTO clicks (event_time, page_url, l, d, _behind, received_at, _position, _index) VALUES ${values.join(", ")}`,
    );
}

const ask = async (sql: string): Promise<unknown[][]> => {
  const { rows } = await duckdb.run(sql);
  return rows.map((row) => row.map((value) => (value === null ? null : String(value))));
};

/** A process's views, over pages and outputs that outlive them. */
class Lives {
  readonly #pages = new Map<number, SavedPage>();
  readonly #outputs: ViewOutput[] = [];
  readonly #plans: readonly ViewPlan[];
  windows: Windows;

  constructor(plans: readonly ViewPlan[]) {
    this.#plans = plans;
    this.windows = this.#begin(null, null);
  }

  /** A kill behind a checkpoint, and a start. */
  again(memoryMaxBytes: number | null): void {
    const checkpoint = this.windows.takeCheckpoint();
    for (const page of checkpoint.freed) this.#pages.delete(page);
    for (const page of checkpoint.pages) this.#pages.set(page.page, page);
    this.#outputs.push(...checkpoint.outputs);
    this.windows = this.#begin(checkpoint.body, memoryMaxBytes);
  }

  #begin(body: Uint8Array | null, memoryMaxBytes: number | null): Windows {
    const windows = new Windows(instantiate<FoldKernels>(foldModule, 1024 * 1024 * 1024), 40_000);
    if (body !== null) windows.restore(this.#pages.values(), body, this.#outputs);
    for (const plan of this.#plans) windows.addView(plan, SCHEMA, { since: 0, memoryMaxBytes });
    return windows;
  }

  /** What anybody can see of the views. */
  seen(): unknown {
    const text = (cells: readonly unknown[]): string => cells.map(String).join(" | ");
    return this.#plans.map((plan) => {
      const outputs = this.windows.pending(plan.name);
      const late = outputs
        .filter(({ kind }) => kind === "late")
        .map(({ image }) => Buffer.from(image).toString("base64"));
      return {
        rows: lastRows(plan, outputs, this.windows).map(text).toSorted(),
        late,
        counts: this.windows.stats().find(({ view }) => view === plan.name)?.counts,
      };
    });
  }
}

const met = { gaps: 0, pages: 0, killed: 0, closed: 0, stopped: 0, late: 0 };

/** Reads what is wished as the process's thread does; answers page by page. */
async function serve(
  laggards: EngineLaggards,
  wish: PastWish,
  life: GapBounds,
  plan: ViewPlan,
): Promise<void> {
  met.gaps++;
  for await (const records of readGap(ask, { plan, schema: SCHEMA }, wish.gap, life)) {
    met.pages++;
    for (const { watermarkUs } of records) if (watermarkUs !== null) met.closed++;
    laggards.take({ id: wish.id, kind: "page", records, isLast: false });
  }
  laggards.take({ id: wish.id, kind: "page", records: [], isLast: true });
}

async function check(life: Life): Promise<void> {
  const plans = must(families.get(life.family), "a family");
  const plan = must(plans[0], "a view");
  const records = recordsOf(life.steps);
  const whole = new Lives(plans);
  for (const record of records) whole.windows.foldRecord(record);
  const log = new MemoryLog({ fileSizeBytes: 1, sizeMaxBytes: 2 ** 32 });
  const lives = new Lives(plans);
  const at = (share: number, from: number): number =>
    from + Math.floor(share * (records.length - from));
  const stop = at(life.stop, 0);
  const goOn = at(life.goOn, stop);
  let folded = 0;
  const foldTo = (position: number): void => {
    for (; folded < position; folded++) {
      const record = must(records[folded], "a record");
      log.append([encodeRecord(record)]);
      lives.windows.foldRecord(record);
    }
  };
  foldTo(stop);
  lives.again(1);
  foldTo(goOn);
  if (lives.windows.suspended.size > 0) met.stopped++;
  log.trim(at(life.trim, stop));
  lives.again(null);
  let wish: PastWish | null = null;
  const begin = (): EngineLaggards =>
    new EngineLaggards(lives.windows, log.openReader(), {
      backlog: { isBehind: false, isPaused: false },
      wish: (wanted) => void (wish = wanted),
      more: () => undefined,
    });
  let laggards = begin();
  for (let turn = 0; lives.windows.laggards.first !== null; turn++) {
    laggards.step(() => true);
    const wanted = wish as PastWish | null;
    wish = null;
    // the others go on meanwhile, and the log forgets
    if (turn % 3 === 0 && folded < records.length) foldTo(folded + 1);
    if (turn % 5 === 0) log.trim(at(life.trim, folded));
    if (turn === life.killAfter) {
      met.killed++;
      lives.again(null);
      laggards = begin();
    } else if (wanted !== null) {
      await publish(records, folded);
      await serve(laggards, wanted, life, plan);
    }
  }
  foldTo(records.length);
  expect(lives.windows.suspended.size).toBe(0);
  expect(lives.seen()).toEqual(whole.seen());
  met.late += must(whole.windows.stats()[0], "the view").counts.late;
}

test("a view whose windows records reconciled of which the first is gone does not go on without it", async () => {
  const plans = must(families.get("tumble side"), "a family");
  const steps = Array.from({ length: 12 }, (): Life["steps"][number] => ({
    stepUs: 2_000_000n,
    behindUs: 0n,
    key: "/a",
    number: 1n,
    double: 0.1,
    watermark: 0n,
    cut: true,
    next: "nothing",
  }));
  const events = recordsOf(steps);
  const range = { view: "v", rawPosition: 5, rows: [] };
  const reconciles = new Map([
    [7, reconcileControl({ ...range, fromUs: 0n, toUs: 1n })],
    [9, reconcileControl({ ...range, fromUs: 3n, toUs: 4n })],
  ]);
  const records = events.map((event): LogRecord => {
    const { position, receivedAtUs } = event;
    const said = reconciles.get(position);
    return said === undefined ? event : { kind: "control", position, receivedAtUs, ...said };
  });
  for (const first of [7, 8]) {
    const lives = new Lives(plans);
    const log = new MemoryLog({ fileSizeBytes: 1, sizeMaxBytes: 2 ** 32 });
    for (const [at, record] of records.entries()) {
      if (at === 3) lives.again(1);
      log.append([encodeRecord(record)]);
      lives.windows.foldRecord(record);
    }
    log.trim(first);
    // it is known over a start that does not let the view go on
    lives.again(1);
    lives.again(null);
    let wish: PastWish | null = null;
    const laggards = new EngineLaggards(lives.windows, log.openReader(), {
      backlog: { isBehind: false, isPaused: false },
      wish: (wanted) => void (wish = wanted),
      more: () => undefined,
    });
    laggards.step(() => false);
    const [stopped, wanted] = [lives.windows.suspended.get("v"), wish as PastWish | null];
    if (first === 8) {
      expect(stopped?.reason).toContain("begins at position 8 and no longer has record 7");
      expect(wanted).toBeNull();
      continue;
    }
    await publish(
      events.filter(({ position }) => !reconciles.has(position)),
      10,
    );
    const bounds = { pageRows: 100, piecesMax: 1 };
    await serve(laggards, must(wanted, "a wish"), bounds, must(plans[0], "a view"));
    laggards.step(() => false);
    expect(lives.windows.suspended.size).toBe(0);
    expect(lives.windows.reconciled.ranges).toMatchObject([
      { view: "v", fromUs: 0n, toUs: 1n, position: 5 },
      { view: "v", fromUs: 3n, toUs: 4n, position: 5 },
    ]);
  }
}, 180_000);

test("a view that goes on out of the raw table is the one that never stopped", async () => {
  const numRuns = Number(process.env["RUNS"] ?? 60);
  await fc.assert(fc.asyncProperty(fc.noBias(lifeArbitrary), check), { numRuns });
  // otherwise little was tested
  for (const [what, count] of Object.entries(met))
    expect([what, count > numRuns / 20]).toEqual([what, true]);
}, 120_000);
