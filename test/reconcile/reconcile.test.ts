// A run of reconcile over relations that DuckDB holds: what it publishes is DuckDB's word on the windows with their late events; what there
// is no room for is skipped, never half computed; what it tells as done is durable.
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { buildKernels } from "../../kernels/build.ts";
import { kernelModule } from "../../kernels/modules.ts";
import { must } from "../../src/base/assert.ts";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { imageRows, type Cell } from "../../src/event/image.ts";
import {
  reconcileControlOf,
  type reconcileControl,
  type ReconcileControl,
} from "../../src/log/reconcile-control.ts";
import { reconcile } from "../../src/reconcile/reconcile.ts";
import type { ReconcileReport } from "../../src/reconcile/tally.ts";
import { rowColumns } from "../../src/rehearsal/last-rows.ts";
import { batchText } from "../../src/view/batch.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { rollupPlans } from "../../src/view/rollup.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

const DAYS = 2;
/** The hour of the second one reaches beyond the day of the rollup, which ends at 18:30. */
const LATE_AT = ["05:05", "18:12"];
const us = (time: string): bigint => BigInt(Date.parse(time)) * 1000n;

await buildKernels(["fold"]);
let plans: ViewPlan[];
let foldModule: Uint8Array;
let db: DuckDb;
let connection: DuckConnection;

beforeAll(async () => {
  foldModule = await kernelModule("fold");
  const parser = await ViewParser.open();
  const sql =
    "SELECT window_start, page_url, count(*) AS n, sum(i) AS total FROM tumble(clicks, event_time, INTERVAL 10 MINUTES) GROUP BY ALL";
  const plan = await planOf(parser, sql);
  parser.close();
  const made = rollupPlans(plan, [
    { everyUs: 3_600_000_000, timeZone: null },
    { everyUs: 86_400_000_000, timeZone: "Asia/Kolkata" },
  ]);
  if (made.kind === "fault") throw new Error(made.message);
  plans = [plan, ...made.plans];
  db = await DuckDb.open({ threads: "1" });
  connection = await db.connect();
  // an event in each window, then late ones in two windows of each day, of a page of their own and of one that is there
  const late = LATE_AT.map((time) => `INTERVAL '${time}'`).join(", ");
  await connection.execute([
    ...WINDOW_MACROS,
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    `INSERT INTO clicks (event_time, page_url, i, _behind, received_at, _position, _index)
     SELECT TIMESTAMPTZ '2024-01-01' + INTERVAL 10 MINUTES * n, '/a', n, 0, TIMESTAMPTZ '2024-02-01', n + 1, 0 FROM range(${DAYS * 144}) e(n)
     UNION ALL SELECT TIMESTAMPTZ '2024-01-01' + INTERVAL 1 DAY * d + late_at, page, 1000, 864000000000, TIMESTAMPTZ '2024-02-01', 1000 + d, row_number() OVER () - 1
     FROM range(${DAYS}) e(d), unnest([${late}]) f(late_at), (VALUES ('/a'), ('/new')) g(page)`,
    "CREATE SCHEMA millrace",
    "CREATE TABLE millrace.readers AS SELECT 'view:v' AS reader, 0 AS since, NULL AS position UNION ALL SELECT 'admission', NULL, 2000",
    "CREATE TABLE millrace.accounting AS SELECT 'view' AS kind, 'v' AS name, count(*) AS accepted FROM clicks",
    "CREATE TABLE millrace.watermarks AS SELECT 'clicks' AS stream, TIMESTAMPTZ '2024-01-20' AS watermark",
    "CREATE TABLE millrace.reconciled (view VARCHAR, window_from TIMESTAMPTZ, window_to TIMESTAMPTZ, raw_position BIGINT)",
    ...plans.map(
      (one) => `CREATE TABLE ${one.name} AS SELECT *, 0::BIGINT AS revision FROM (${batchOf(one)})`,
    ),
  ]);
}, 60_000);
afterAll(() => {
  connection.close();
  db.close();
});

function batchOf(plan: ViewPlan, reconciled?: string): string {
  const [bottom] = plans as [ViewPlan];
  return batchText(plan, {
    relation: "clicks",
    schema: SCHEMA,
    ...(plan === bottom ? {} : { bottom }),
    ...(reconciled === undefined ? {} : { reconciled }),
  });
}

let published: ReconcileControl[] = [];
/** What happened, in order: `publish 3000`, `ask 3000`, `tell 2`. */
let steps: string[] = [];
let asked: string[] = [];
beforeEach(() => {
  asked = [];
  published = [];
  steps = [];
});

function run(pagesMax?: number): Promise<ReconcileReport> {
  const range = { fromUs: us("2024-01-01"), toUs: us("2024-01-10") };
  const order = { plans, schema: SCHEMA, ...range, isDry: false };
  return reconcile(order, {
    foldModule,
    ...(pagesMax === undefined ? {} : { pagesMax }),
    ask: async (sql, after) => {
      steps.push(`ask ${after}`);
      asked.push(sql);
      const { rows } = await connection.run(sql);
      return rows.map((row) => row.map((value) => (value === null ? null : String(value))));
    },
    publish: (control: ReturnType<typeof reconcileControl>) => {
      const position = 3000 + published.length;
      const record = { kind: "control", position, receivedAtUs: 0, ...control } as const;
      published.push(must(reconcileControlOf(record), "a reconcile record"));
      steps.push(`publish ${position}`);
      return Promise.resolve(position);
    },
    tell: ({ lateEventsDone }) => void steps.push(`tell ${lateEventsDone}`),
  });
}

test("what changes is DuckDB's batch with the late events; it is durable before it is told", async () => {
  const report = await run();
  expect(report).toMatchObject({ windows: 4, lateEvents: 8, skipped: [] });
  const ranges =
    "[{window_from: TIMESTAMPTZ '2024-01-01', window_to: TIMESTAMPTZ '2024-01-10', raw_position: 2000}]";
  for (const plan of plans) {
    const changed = published
      .flatMap(({ rows }) => rows)
      .filter(({ view, op }) => view === plan.name && op === "upsert")
      .flatMap(({ image }) => imageRows(image, rowColumns(plan)));
    const { rows } = await connection.run(
      `SELECT epoch_us(window_start), page_url, n, CAST(total AS VARCHAR) FROM (${batchOf(plan, ranges)} EXCEPT SELECT * EXCLUDE (revision) FROM ${plan.name})`,
    );
    const text = (row: readonly (Cell | undefined)[]): string =>
      row.slice(0, 4).map(String).join(" ");
    expect(changed.map(text).toSorted()).toEqual(
      rows.map((row) => row.map((value) => String(value)).join(" ")).toSorted(),
    );
    expect(changed.length).toBe(plan.window?.kind === "calendar_day" ? 4 : 8);
  }
  // of the raw events no more is read than the view needs
  const pages = asked.filter((sql) => sql.includes("ORDER BY _position"));
  expect(pages.length).toBeGreaterThan(0);
  for (const page of pages) expect(page).not.toMatch(/"attrs"|"user_id"|"s"/);
  const done = steps.findIndex((step) => step.startsWith("tell ") && step !== "tell 0");
  expect(steps.slice(0, done).at(-1)).toBe("ask 3000");
}, 60_000);

test("what there is no room for is skipped and told; nothing is published of it", async () => {
  // 1,024 pages are kept free for a record: some 30 windows of two pages fit, a day has 144
  const report = await run(1_100);
  expect(published).toEqual([]);
  expect(report).toMatchObject({ windows: 0, lateEvents: 0, rows: [] });
  expect(report.skipped).toEqual(
    Array.from({ length: DAYS }, () => ({
      windows: 2,
      lateEvents: 4,
      why: expect.stringMatching(/^view v cannot hold these events: .* no more room/),
    })),
  );
}, 60_000);

test("windows that may hold events from before the view began are left as they are", async () => {
  const begin = (since: number): Promise<void> =>
    connection.execute([
      `UPDATE millrace.readers SET since = ${since} WHERE reader = 'view:v'`,
      `UPDATE millrace.accounting SET accepted = (SELECT count(*) FROM clicks WHERE _position > ${since})`,
    ]);
  // ten hours of the first day are from before
  await begin(60);
  try {
    const report = await run();
    expect(report).toMatchObject({
      windows: 2,
      lateEvents: 4,
      skipped: [{ windows: 2, lateEvents: 4, why: "they may hold events from before v began" }],
    });
    const [first] = published;
    expect(first?.fromUs).toBe(us("2024-01-01T18:10:00Z") + 1n);
    const starts = published
      .flatMap(({ rows }) => rows)
      .flatMap(({ view, image }) =>
        imageRows(
          image,
          rowColumns(
            must(
              plans.find(({ name }) => name === view),
              view,
            ),
          ),
        ),
      )
      .map(([start]) => start as bigint);
    expect(starts.every((start) => start >= us("2024-01-01T18:30:00Z"))).toBe(true);
  } finally {
    await begin(0);
  }
}, 60_000);
