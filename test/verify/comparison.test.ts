// The question of verify over tables that we spoil: each kind of difference is found, and what may differ is let pass.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { comparisonOf } from "../../src/verify/comparison.ts";
import { exactDistinct } from "../e2e/oracle.ts";
import { rollupPlans } from "../../src/view/rollup.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

let db: DuckDb;
let duckdb: DuckConnection;
let parser: ViewParser;

beforeAll(async () => {
  parser = await ViewParser.open();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    ...WINDOW_MACROS,
    "CREATE SCHEMA millrace",
    "CREATE TABLE millrace.readers AS SELECT 'view:v' AS reader, 3::BIGINT AS since UNION ALL SELECT 'view:v_10m', 10",
    "CREATE TABLE millrace.reconciled (view VARCHAR, window_from TIMESTAMPTZ, window_to TIMESTAMPTZ, raw_position BIGINT)",
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    // every seventh row is late for its window; rows up to position 3 are from before the view
    `INSERT INTO clicks SELECT TIMESTAMPTZ '2019-10-01 00:00:00+00' + to_seconds(k), 'u' || k % 3, k, k, k, sin(k), sin(k) * 1e9,
       CASE WHEN k % 4 > 0 THEN 's' || k % 4 END, true, NULL, NULL, 1, 2, 3, NULL, CASE k % 7 WHEN 0 THEN 3600000000 ELSE 0 END, now(), k // 100, k % 100
     FROM range(2000) t(k)`,
  ]);
});
afterAll(() => {
  parser.close();
  duckdb.close();
  db.close();
});

const GROUPED = `SELECT window_start, s, count(*) AS n, sum(d) AS total, avg(f) AS mean, avg(i) AS level, approx_count_distinct(user_id) AS users
  FROM tumble(clicks, event_time, INTERVAL 5 MINUTES) GROUP BY ALL`;
const COUNTED = "(SELECT * FROM clicks WHERE _position > 3)";

/** What the stream would hold: DuckDB's answer to the text over the rows that the view counts, without the late ones. */
async function fill(sql: string): Promise<void> {
  const text = exactDistinct(sql.replace("clicks", "counted"));
  await duckdb.execute([
    "CREATE OR REPLACE TABLE counted AS FROM " + COUNTED,
    `CREATE OR REPLACE TABLE v AS SELECT *, false AS is_final, 0 AS revision FROM (${text})`,
  ]);
}

/** compared, different, then [copies in the stream, in the batch, names of values that differ] of each row. */
async function compare(
  plan: ViewPlan,
  bottom: ViewPlan | null = null,
): Promise<{ counts: number[]; rows: string[] }> {
  const below = bottom === null ? {} : { bottom };
  const comparison = comparisonOf(plan, { schema: SCHEMA, range: null, rowsMax: 10, ...below });
  const { rows } = await duckdb.run(comparison.sql);
  const counts = [Number(rows[0]?.[0]), Number(rows[0]?.[1])];
  if (counts[1] === 0) return { counts, rows: [] };
  return {
    counts,
    rows: rows.map(([, , copies, wanted, ...cells]) => {
      const at = comparison.keys.length;
      const names = comparison.values.filter((_, index) => cells[at + index * 3 + 2] !== true);
      return `${String(copies)}/${String(wanted)} ${copies === wanted ? names.join(" ") : ""}`.trim();
    }),
  };
}

const spoilt: readonly (readonly [string, string, readonly string[]])[] = [
  ["nothing", "SELECT 1", []],
  [
    "a count",
    "UPDATE v SET n = n + 1 WHERE s = 's1' AND window_start = '2019-10-01 00:10:00Z'",
    ["1/1 n"],
  ],
  [
    "NULL for a value",
    "UPDATE v SET n = NULL WHERE s = 's1' AND window_start = '2019-10-01 00:10:00Z'",
    ["1/1 n"],
  ],
  [
    "a row that is gone",
    "DELETE FROM v WHERE s IS NULL AND window_start = '2019-10-01 00:10:00Z'",
    ["0/1"],
  ],
  [
    "a row of no event",
    "INSERT INTO v SELECT * REPLACE (window_start + INTERVAL 1 DAY AS window_start) FROM v LIMIT 1",
    ["1/0"],
  ],
  [
    "a row twice",
    "INSERT INTO v SELECT * FROM v WHERE s = 's2' AND window_start = '2019-10-01 00:10:00Z'",
    ["2/1"],
  ],
  [
    "doubles added in another order",
    "UPDATE v SET total = total * (1 + 1e-16), mean = mean + 1e-17, level = level * (1 + 3e-16)",
    [],
  ],
  [
    "a sum that lost an event",
    "UPDATE v SET total = total - 1 WHERE s = 's3' AND window_start = '2019-10-01 00:10:00Z'",
    ["1/1 total"],
  ],
  [
    "a mean",
    "UPDATE v SET mean = mean + 1e-9 WHERE s = 's3' AND window_start = '2019-10-01 00:10:00Z'",
    ["1/1 mean"],
  ],
  [
    "NaN",
    "UPDATE v SET mean = 'nan' WHERE s = 's3' AND window_start = '2019-10-01 00:10:00Z'",
    ["1/1 mean"],
  ],
  ["a sketch within six sigma", "UPDATE v SET users = users + 2 WHERE users > 40", []],
  [
    "a sketch beyond",
    "UPDATE v SET users = users * 2 WHERE s = 's3' AND window_start = '2019-10-01 00:10:00Z'",
    ["1/1 users"],
  ],
];

for (const [what, statement, expected] of spoilt)
  test(`finds it: ${what}`, async () => {
    const plan = await planOf(parser, GROUPED);
    await fill(GROUPED);
    await duckdb.run(statement);
    const { counts, rows } = await compare(plan);
    expect(rows).toEqual([...expected]);
    expect(counts[0]).toBeGreaterThan(20);
    expect(counts[1]).toBe(expected.length);
  });

test("late events of reconciled windows count, up to the position of it", async () => {
  await fill(GROUPED);
  const plan = await planOf(parser, GROUPED);
  await duckdb.run(
    "INSERT INTO millrace.reconciled VALUES ('v', '2019-10-01 00:10:00Z', '2019-10-01 00:20:00Z', 8), ('w', '2019-10-01 00:20:00Z', '2019-10-01 00:30:00Z', 99)",
  );
  try {
    // windows at 10 and 15 minutes, positions 6 to 11: those up to 8 are in the first
    expect(new Set((await compare(plan)).rows.map((row) => row.slice(0, 5)))).toEqual(
      new Set(["1/1 n"]),
    );
    await duckdb.execute([
      `CREATE OR REPLACE TABLE counted AS SELECT * REPLACE (CASE WHEN _position <= 8 AND event_time >= '2019-10-01 00:10:00Z'
         AND event_time < '2019-10-01 00:20:00Z' THEN 0 ELSE _behind END AS _behind) FROM ${COUNTED}`,
      `CREATE OR REPLACE TABLE v AS SELECT *, false AS is_final, 0 AS revision FROM (${exactDistinct(GROUPED.replace("clicks", "counted"))})`,
    ]);
    expect((await compare(plan)).rows).toEqual([]);
  } finally {
    await duckdb.run("TRUNCATE millrace.reconciled");
  }
});

test("a rollup that came later: its windows that begin behind that are compared, whatever the others lack", async () => {
  const plan = await planOf(parser, GROUPED);
  const made = rollupPlans(plan, [{ everyUs: 600_000_000, timeZone: null }]);
  const [rollup] = made.kind === "plans" ? made.plans : [];
  if (rollup === undefined) throw new Error("no rollup");
  await fill(GROUPED.replace("5 MINUTES", "10 MINUTES"));
  // it began after position 10, at 18 minutes and 20 s, when a window of the view was open: its row of 10 minutes has a part of the events
  await duckdb.execute([
    `CREATE OR REPLACE TABLE v_10m AS SELECT * REPLACE (CASE WHEN window_start = '2019-10-01 00:10:00Z' THEN 7 ELSE n END AS n) FROM v
     WHERE window_start >= '2019-10-01 00:10:00Z'`,
  ]);
  expect(await compare(rollup, plan)).toEqual({ counts: [8, 0], rows: [] });
  await duckdb.run(
    "UPDATE v_10m SET n = n + 1 WHERE s = 's1' AND window_start = '2019-10-01 00:20:00Z'",
  );
  expect((await compare(rollup, plan)).rows).toEqual(["1/1 n"]);
}, 60_000);

test("rows of a view that was put back are no difference where it does not know the events", async () => {
  const plan = await planOf(parser, GROUPED);
  await fill(GROUPED);
  // events up to position 3, 6 minutes and 39 s, are from before
  const old = "SELECT * REPLACE ('former' AS s) FROM v WHERE s = 's1'";
  await duckdb.run(`INSERT INTO v ${old} AND window_start <= '2019-10-01 00:05:00Z'`);
  expect((await compare(plan)).rows).toEqual([]);
  await duckdb.run(`INSERT INTO v ${old} AND window_start = '2019-10-01 00:10:00Z'`);
  expect((await compare(plan)).rows).toEqual(["1/0"]);
}, 60_000);

test("HAVING over a sum of doubles: a row that only the batch has may be right, any other difference is one", async () => {
  const sql = `SELECT window_start, s, sum(d) AS total FROM tumble(clicks, event_time, INTERVAL 5 MINUTES) GROUP BY ALL HAVING total > 0`;
  const plan = await planOf(parser, sql);
  await fill(sql);
  await duckdb.run("DELETE FROM v WHERE s = 's1'");
  const comparison = comparisonOf(plan, { schema: SCHEMA, range: null, rowsMax: 10 });
  expect(comparison.membership).toMatch(/HAVING or QUALIFY reads total/);
  expect((await compare(plan)).rows).toEqual([]);
  await duckdb.run("UPDATE v SET total = 0 WHERE s = 's2'");
  expect(new Set((await compare(plan)).rows)).toEqual(new Set(["1/1 total"]));
});

test("HAVING over a count is compared with its rows; so are rows of a view without a window", async () => {
  const sql = `SELECT window_start, s, count(*) AS n FROM tumble(clicks, event_time, INTERVAL 5 MINUTES) GROUP BY ALL HAVING n > 50`;
  await fill(sql);
  await duckdb.run("DELETE FROM v WHERE s = 's1' AND window_start = '2019-10-01 00:10:00Z'");
  expect((await compare(await planOf(parser, sql))).rows).toEqual(["0/1"]);
  const plain = "SELECT event_time, page_url, i % 2 AS odd FROM clicks WHERE s = 's1'";
  await fill(plain);
  const plan = await planOf(parser, plain);
  expect((await compare(plan)).rows).toEqual([]);
  await duckdb.run("INSERT INTO v SELECT * FROM v LIMIT 1");
  expect((await compare(plan)).rows).toEqual(["2/1"]);
});
