// Random sessions that are reconciled half-way and at the end: the view is DuckDB's batch over the events that the rule counts, whatever came
// meanwhile; what was told as skipped is what is left. Which events were late is the plain model's word.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { buildKernels } from "../../kernels/build.ts";
import { kernelModule } from "../../kernels/modules.ts";
import { ReferenceSessions } from "../../kernels/reference/session.ts";
import { must } from "../../src/base/assert.ts";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { imageRows } from "../../src/event/image.ts";
import { sqlTypeText } from "../../src/event/schema.ts";
import { reconcileControlOf, type ReconcileControl } from "../../src/log/reconcile-control.ts";
import { reconcile } from "../../src/reconcile/reconcile.ts";
import type { ReconcileReport } from "../../src/reconcile/tally.ts";
import { keyColumns, rowColumns } from "../../src/rehearsal/last-rows.ts";
import { cellText } from "../../src/rehearsal/relation.ts";
import { batchText } from "../../src/view/batch.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { quoteText } from "../../src/view/render.ts";
import { withRange, type ReconciledRange } from "../../src/window/reconciled.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

const GAP_S = 10;
const GAP_US = BigInt(GAP_S) * 1_000_000n;
const BEGIN_US = BigInt(Date.parse("2024-01-01")) * 1000n;

await buildKernels(["fold"]);
let plans: ViewPlan[];
let foldModule: Uint8Array;
let db: DuckDb;
let duckdb: DuckConnection;

beforeAll(async () => {
  foldModule = await kernelModule("fold");
  const parser = await ViewParser.open();
  const session = (keys: string): string =>
    `FROM session(clicks, event_time, INTERVAL ${GAP_S} SECONDS, ${keys})`;
  const texts = [
    `SELECT window_start, window_end, s, count(*) AS n, sum(i) AS total, first(i) AS entry, last(i) AS exit ${session("s")} GROUP BY ALL`,
    `SELECT window_start, s, count(*) AS n, max(i) AS most ${session("s")} WHERE i % 3 > 0 GROUP BY ALL`,
    `SELECT window_start, window_end, f, s, count(*) AS n ${session("f, s")} GROUP BY ALL HAVING n % 2 = 0`,
  ];
  plans = await Promise.all(texts.map((sql) => planOf(parser, sql)));
  parser.close();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    ...WINDOW_MACROS,
    "CREATE SCHEMA millrace",
    "CREATE TABLE millrace.readers (reader VARCHAR, since BIGINT, position BIGINT)",
    "CREATE TABLE millrace.accounting (kind VARCHAR, name VARCHAR, accepted BIGINT)",
    "CREATE TABLE millrace.watermarks (stream VARCHAR, watermark TIMESTAMPTZ)",
    "CREATE TABLE millrace.reconciled (view VARCHAR, window_from TIMESTAMPTZ, window_to TIMESTAMPTZ, raw_position BIGINT)",
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    "CREATE TABLE late (_position BIGINT)",
    `CREATE VIEW millrace.late_events AS SELECT 'v' AS view, event_time, _position, _index, EXISTS (FROM millrace.reconciled r
       WHERE _position <= raw_position AND event_time >= window_from AND event_time < window_to) AS reconciled FROM clicks SEMI JOIN late USING (_position)`,
  ]);
}, 180_000);
afterAll(() => {
  duckdb.close();
  db.close();
});

interface Given {
  readonly key: number;
  readonly stepUs: bigint;
  readonly backUs: bigint;
}

interface Run {
  readonly plan: number;
  readonly isUpdate: boolean;
  readonly events: readonly Given[];
  readonly cut: number;
  readonly outOfOrdernessUs: bigint;
  readonly fromUs: bigint;
  readonly since: number;
}

/** Seconds, as µs: few different ones, so that events often lie exactly the gap apart. */
const seconds = (...of: readonly number[]): fc.Arbitrary<bigint> =>
  fc.constantFrom(...of.map((second) => BigInt(second) * 1_000_000n));

const runArbitrary: fc.Arbitrary<Run> = fc.record({
  plan: fc.nat(2),
  isUpdate: fc.boolean(),
  events: fc.array(
    fc.record({
      key: fc.constantFrom(0, 0, 0, 1, 2, 3, 4),
      stepUs: seconds(0, 1, 2, 5, 9),
      backUs: seconds(0, 0, 0, 5, 11, 16, 20, 21, 25, 30, 31, 45, 60),
    }),
    { minLength: 30, maxLength: 70 },
  ),
  cut: fc.integer({ min: 10, max: 60 }),
  outOfOrdernessUs: seconds(0, 0, 5, 20),
  fromUs: seconds(0, 0, 100, 130),
  since: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(6)),
});

/** Float and text of a key: NULL, 0 and -0, texts that look alike, and what a text of SQL cannot hold. */
const KEYS: readonly (readonly [number | null, string | null])[] = [
  [0, "a"],
  [-0, "a"],
  [0.1, null],
  [null, "NULL"],
  [0.1, "a\0'"],
];

/** A stream with one event a record, its late events by the plain model, and the view of what is not late; all in DuckDB. */
class Stream {
  readonly #plan: ViewPlan;
  readonly #run: Run;
  readonly #model: ReferenceSessions<null>;
  #reconciled: readonly ReconciledRange[] = [];
  #position = 0;
  #newestUs = BEGIN_US;

  constructor(plan: ViewPlan, run: Run) {
    this.#plan = plan;
    this.#run = run;
    const allowedUs = plan.late.policy === "update" ? BigInt(plan.late.allowedUs) : null;
    this.#model = new ReferenceSessions(GAP_US, allowedUs, false);
  }

  get #watermarkUs(): bigint {
    return this.#newestUs - this.#run.outOfOrdernessUs;
  }

  async begin(): Promise<void> {
    const empty = this.#batch("clicks");
    await duckdb.execute([
      ...["clicks", "late", "millrace.reconciled"].map((table) => `TRUNCATE ${table}`),
      `CREATE OR REPLACE TABLE v AS ${empty}`,
      `CREATE OR REPLACE TABLE live AS ${empty}`,
    ]);
  }

  /** Events come in: rows of the view change as they do live, which knows nothing of a reconcile. */
  async take(events: readonly Given[]): Promise<void> {
    const rows = events.map((event) => this.#admit(event));
    await duckdb.execute([
      ...(rows.length === 0
        ? []
        : [
            "INSERT INTO clicks (event_time, page_url, f, s, i, b, _behind, received_at, _position, _index) VALUES " +
              rows.map(({ values }) => values).join(", "),
          ]),
      ...rows.flatMap(({ late }) => (late === null ? [] : [`INSERT INTO late VALUES (${late})`])),
      `CREATE OR REPLACE TABLE live_now AS ${this.#batch("(FROM clicks ANTI JOIN late USING (_position))")}`,
      "DELETE FROM v WHERE v IN (SELECT x FROM (FROM live EXCEPT FROM live_now) x)",
      "INSERT INTO v (FROM live_now EXCEPT FROM live)",
      "CREATE OR REPLACE TABLE live AS FROM live_now",
    ]);
  }

  #admit({ key, stepUs, backUs }: Given): {
    readonly values: string;
    readonly late: number | null;
  } {
    const position = ++this.#position;
    const watermarkUs = this.#watermarkUs;
    const timeUs = this.#newestUs + stepUs - backUs;
    const behindUs = watermarkUs < timeUs ? 0n : watermarkUs - timeUs;
    if (timeUs > this.#newestUs) this.#newestUs = timeUs;
    const [f, s] = must(KEYS[key], "a key");
    let kind = "before";
    if (position > this.#run.since) {
      this.#model.advance(watermarkUs);
      // 0 and -0 are one key
      const name = this.#plan.keys.length === 2 ? JSON.stringify([f, s]) : String(s);
      ({ kind } = this.#model.add(name, timeUs, null));
    }
    const values = [f === null ? null : `${Object.is(f, -0) ? "-0.0" : f}`, s].map((text) =>
      text === null ? "NULL" : quoteText(text),
    );
    const time = `make_timestamptz(${timeUs})`;
    const cells = [time, "'/'", ...values, position % 7, kind === "late" || kind === "corrected"];
    const row = [...cells, behindUs, time, position, 0].join(", ");
    return { values: `(${row})`, late: kind === "late" ? position : null };
  }

  /** The view over events of a relation; its revision is the number of those that came late. */
  #batch(from: string): string {
    const plan = this.#plan;
    const isLate = {
      op: "column",
      column: { from: "image", ordinal: 8 },
      type: { kind: "BOOLEAN" },
    } as const;
    const count = {
      fn: "count_star",
      arg: null,
      filter: isLate,
      type: { kind: "BIGINT" },
    } as const;
    const revision = must(rowColumns(plan).at(-1), "revision");
    const source = { kind: "aggregate", index: plan.aggregates.length } as const;
    const wide: ViewPlan = {
      ...plan,
      aggregates: [...plan.aggregates, count],
      output: [...plan.output, { ...revision, fieldId: plan.output.length + 1, source }],
    };
    return `WITH counted AS (SELECT * FROM ${from} WHERE _position > ${this.#run.since}) ${batchText(wide, { relation: "counted", schema: SCHEMA })}`;
  }

  async reconcile(fromUs: bigint): Promise<ReconcileReport> {
    const { since } = this.#run;
    await duckdb.execute([
      ...["readers", "accounting", "watermarks"].map((table) => `TRUNCATE millrace.${table}`),
      `INSERT INTO millrace.readers VALUES ('view:v', ${since}, NULL), ('admission', NULL, ${this.#position})`,
      `INSERT INTO millrace.accounting VALUES ('view', 'v', (SELECT count(*) FROM clicks WHERE _position > ${since}))`,
      `INSERT INTO millrace.watermarks VALUES ('clicks', make_timestamptz(${this.#watermarkUs}))`,
    ]);
    const range = { fromUs: BEGIN_US - 100_000_000n + fromUs, toUs: BEGIN_US + 10n ** 12n };
    const order = { plans: [this.#plan], schema: SCHEMA, ...range, isDry: false };
    return await reconcile(order, {
      foldModule,
      ask: async (sql) => {
        const { rows } = await duckdb.run(sql);
        return rows.map((row) => row.map((value) => (value === null ? null : String(value))));
      },
      publish: (control) => {
        const position = ++this.#position;
        const record = { kind: "control", position, receivedAtUs: 0, ...control } as const;
        return this.#apply(must(reconcileControlOf(record), "a reconcile record"));
      },
      tell: () => undefined,
    });
  }

  /** The rows of a record are the view's now, and its range is reconciled. */
  async #apply({ fromUs, toUs, rawPosition, rows }: ReconcileControl): Promise<number> {
    const columns = rowColumns(this.#plan);
    const range = { view: "v", fromUs, toUs, position: rawPosition };
    this.#reconciled = withRange(this.#reconciled, range);
    const changes = rows.flatMap(({ op, image }) =>
      imageRows(image, columns).flatMap((row) => {
        const values = row.map((cell, at) => {
          const { type } = must(columns[at], "a column");
          const text = cell === null ? "NULL" : quoteText(cellText(cell, type));
          return `CAST(${text} AS ${sqlTypeText(type)})`;
        });
        const same = keyColumns(this.#plan).map(
          (at) => `${columns[at]?.name} IS NOT DISTINCT FROM ${values[at]}`,
        );
        const gone = `DELETE FROM v WHERE ${same.join(" AND ")}`;
        return op === "delete" ? [gone] : [gone, `INSERT INTO v VALUES (${values.join(", ")})`];
      }),
    );
    await duckdb.execute([
      ...changes,
      "TRUNCATE millrace.reconciled",
      ...this.#reconciled.map(
        (one) =>
          `INSERT INTO millrace.reconciled VALUES ('v', make_timestamptz(${one.fromUs}), make_timestamptz(${one.toUs}), ${one.position})`,
      ),
    ]);
    return this.#position;
  }

  /** The view is the batch over what the rule counts: what is not late, and what was reconciled. */
  async check(): Promise<void> {
    const counted =
      "(FROM clicks ANTI JOIN (FROM millrace.late_events WHERE NOT reconciled) USING (_position))";
    // WHERE leaves events out of the batch that a session's revision counts
    const columns = this.#plan.filter === null ? "*" : "* EXCLUDE (revision)";
    await duckdb.execute([`CREATE OR REPLACE TEMP TABLE wanted AS ${this.#batch(counted)}`]);
    for (const [a, b] of [
      ["v", "wanted"],
      ["wanted", "v"],
    ])
      expect(
        (await duckdb.run(`SELECT ${columns} FROM ${a} EXCEPT ALL SELECT ${columns} FROM ${b}`))
          .rows,
      ).toEqual([]);
  }

  async lateLeft(): Promise<number> {
    const sql = "SELECT count(*) FROM millrace.late_events WHERE NOT reconciled";
    return Number((await duckdb.run(sql)).rows[0]?.[0]);
  }
}

async function check(run: Run): Promise<void> {
  const plan = must(plans[run.plan], "a plan");
  const late = run.isUpdate
    ? ({ policy: "update", allowedUs: Number(GAP_US) } as const)
    : ({ policy: "side", allowedUs: 0 } as const);
  const stream = new Stream({ ...plan, late }, run);
  await stream.begin();
  await stream.take(run.events.slice(0, run.cut));
  await stream.reconcile(run.fromUs);
  await stream.check();
  await stream.take(run.events.slice(run.cut));
  await stream.check();
  const before = await stream.lateLeft();
  const { lateEvents, skipped } = await stream.reconcile(0n);
  await stream.check();
  expect(await stream.lateLeft()).toBe(before - lateEvents);
  expect(skipped.reduce((sum, one) => sum + one.lateEvents, lateEvents)).toBe(before);
  // far beyond, nothing is held back but what may be of events from before
  await stream.take([{ key: 0, stepUs: 1_000_000_000n, backUs: 0n }]);
  const last = await stream.reconcile(0n);
  await stream.check();
  expect(last.skipped.every(({ why }) => why.includes("before v began"))).toBe(true);
  if (run.since === 0) expect(await stream.lateLeft()).toBe(0);
}

test("reconciled sessions are DuckDB's batch, whatever comes before and after", async () => {
  await fc.assert(fc.asyncProperty(runArbitrary, check), { numRuns: 20 });
}, 240_000);
