import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DuckDb, DuckDecimal, type DuckConnection } from "../../src/base/duckdb.ts";
import { batchText } from "../../src/view/batch.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import { planOf, SCHEMA } from "./fixture.ts";

const HOUR_US = 3_600_000_000;
const FROM = "FROM tumble(clicks, event_time, INTERVAL 1 HOUR)";
let parser: ViewParser;
let db: DuckDb;
let duckdb: DuckConnection;

/** Event time and `_behind`, µs; some in 1969, some on the edge of being late. */
const EVENTS: readonly (readonly [number, number])[] = [
  [0, 0],
  [HOUR_US - 1, 0],
  [HOUR_US, 0],
  [HOUR_US - 10, 9],
  [HOUR_US - 10, 10],
  [HOUR_US + 5, 2 * HOUR_US],
  [-1, 0],
  [-1, 1],
  [-HOUR_US, HOUR_US - 1],
  [1_569_888_000_000_000, 0],
];

beforeAll(async () => {
  parser = await ViewParser.open();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([...WINDOW_MACROS, `CREATE TABLE clicks (${columnList(SCHEMA)})`]);
  for (const [eventUs, behindUs] of EVENTS)
    await duckdb.run(
      "INSERT INTO clicks BY NAME SELECT make_timestamptz($1) AS event_time, 'x' AS page_url, $2 AS _behind",
      [BigInt(eventUs), BigInt(behindUs)],
    );
});
afterAll(() => {
  parser.close();
  duckdb.close();
  db.close();
});

async function rowsOf(sql: string): Promise<unknown[][]> {
  const plan = await planOf(parser, sql);
  const { rows } = await duckdb.run(batchText(plan, { relation: "clicks", schema: SCHEMA }));
  return rows.map((row) => [...row]).toSorted((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
}

describe("the window macro", () => {
  test("cuts at the epoch and leaves out exactly the late events", async () => {
    const counts = new Map<number, number>();
    for (const [eventUs, behindUs] of EVENTS) {
      const start = Math.floor(eventUs / HOUR_US) * HOUR_US;
      if (eventUs + behindUs >= start + HOUR_US) continue;
      counts.set(start, (counts.get(start) ?? 0) + 1);
    }
    const expected = [...counts]
      .toSorted(([a], [b]) => a - b)
      .map(([start, count]) => [
        new Date(start / 1000).toISOString().replace(".000", ""),
        new Date((start + HOUR_US) / 1000).toISOString().replace(".000", ""),
        BigInt(count),
      ]);
    const sql = `SELECT window_start, window_end, count(*) AS n ${FROM} GROUP BY ALL`;
    expect(await rowsOf(sql)).toEqual(expected);
    const { rows } = await duckdb.run(`${sql} ORDER BY 1`);
    expect(rows).toEqual(expected);
    expect(expected.length).toBe(4);
  });
});

describe("operations that raise", () => {
  test("give NULL each by itself, and the event counts", async () => {
    const sql = `SELECT window_start, count(*) AS n, count(i) AS raised, sum(CAST(l AS INTEGER)) AS x
      FROM tumble(numbers, event_time, INTERVAL 1 DAY) WHERE i + 1 IS NULL OR l > 0 GROUP BY ALL`;
    await duckdb.execute([
      `CREATE TABLE numbers (${columnList(SCHEMA)})`,
      `INSERT INTO numbers BY NAME SELECT make_timestamptz(k) AS event_time, 'x' AS page_url, 0 AS _behind,
         2147483647 - (k % 2)::INTEGER AS i, CASE k WHEN 0 THEN 3000000000 ELSE k END AS l FROM range(10) t(k)`,
    ]);
    const streams = [{ name: "numbers", schema: SCHEMA }];
    const result = await parser.parse({ name: "v", sql, streams });
    if (result.kind === "faults") throw new Error(JSON.stringify(result.faults));
    const text = batchText(result.plan, { relation: "numbers", schema: SCHEMA });
    await expect(duckdb.run(sql)).rejects.toThrow("out of range");
    const { rows } = await duckdb.run(text);
    expect(rows).toEqual([["1970-01-01T00:00:00Z", 10n, 10n, new DuckDecimal("45")]]);
  });
});

test("distinct counts can be exact", async () => {
  const plan = await planOf(
    parser,
    `SELECT window_start, approx_count_distinct(event_time) AS n ${FROM} GROUP BY ALL`,
  );
  const options = { relation: "clicks", schema: SCHEMA, exactDistinct: true };
  const { rows } = await duckdb.run(`FROM (${batchText(plan, options)}) ORDER BY 1`);
  expect(rows.map((row) => row[1])).toEqual([2n, 3n, 1n, 1n]);
});
