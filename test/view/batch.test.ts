import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DuckDb, DuckDecimal, type DuckConnection } from "../../src/base/duckdb.ts";
import { batchText } from "../../src/view/batch.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import { rollupPlans } from "../../src/view/rollup.ts";
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

describe("windows by a plain model", () => {
  const MINUTE_US = 60_000_000;

  /** Counts by window start: an event is in each window that holds it and whose end it is not behind by more than `allowedUs`. */
  function counted(window: {
    readonly slideUs: number;
    readonly sizeUs: number;
    readonly offsetUs: number;
    readonly allowedUs: number;
  }): string[] {
    const { slideUs, sizeUs, offsetUs, allowedUs } = window;
    const counts = new Map<number, number>();
    for (const [eventUs, behindUs] of EVENTS) {
      const last = Math.floor((eventUs - offsetUs) / slideUs) * slideUs + offsetUs;
      for (let start = last; start + sizeUs > eventUs; start -= slideUs)
        if (eventUs + behindUs < start + sizeUs + allowedUs)
          counts.set(start, (counts.get(start) ?? 0) + 1);
    }
    return [...counts].map(([start, count]) => `${start} ${start + sizeUs} ${count}`).toSorted();
  }

  test.each([
    ["tumble(clicks, event_time, INTERVAL 1 HOUR, INTERVAL 20 MINUTE)", 60, 60, 20],
    ["hop(clicks, event_time, INTERVAL 20 MINUTE, INTERVAL 1 HOUR)", 20, 60, 0],
    ["hop(clicks, event_time, INTERVAL 25 MINUTE, INTERVAL 1 HOUR, INTERVAL 7 MINUTE)", 25, 60, 7],
  ])("%s, and corrected for up to three hours", async (from, slide, size, offset) => {
    const window = {
      slideUs: slide * MINUTE_US,
      sizeUs: size * MINUTE_US,
      offsetUs: offset * MINUTE_US,
    };
    const sql = `SELECT window_start, window_end, count(*) AS n FROM ${from} GROUP BY ALL`;
    const plan = await planOf(parser, sql);
    const rows = async (text: string): Promise<string[]> => {
      const result = await duckdb.run(
        `SELECT epoch_us(window_start), epoch_us(window_end), n FROM (${text})`,
      );
      return result.rows.map((row) => row.join(" ")).toSorted();
    };
    expect(await rows(sql)).toEqual(counted({ ...window, allowedUs: 0 }));
    const corrected = counted({ ...window, allowedUs: 3 * HOUR_US });
    expect(corrected).not.toEqual(counted({ ...window, allowedUs: 0 }));
    for (const allowedUs of [0, 3 * HOUR_US]) {
      const late = { policy: "update", allowedUs } as const;
      const text = batchText({ ...plan, late }, { relation: "clicks", schema: SCHEMA });
      expect(await rows(text)).toEqual(counted({ ...window, allowedUs }));
    }
  });
});

test("a session begins with all events of its first moment", async () => {
  await duckdb.execute([
    `CREATE TABLE crowds AS SELECT to_timestamp(100 * (i % 3)) AS event_time, 'k' || hash(i) % 8 AS k FROM range(1000) e(i)`,
  ]);
  const { rows } = await duckdb.run(
    `SELECT epoch(window_start), epoch(window_end), count(DISTINCT k), sum(n)
     FROM (SELECT window_start, window_end, k, count(*) AS n FROM session(crowds, event_time, INTERVAL 30 SECONDS, k) GROUP BY ALL)
     GROUP BY ALL ORDER BY ALL`,
  );
  const moments = await duckdb.run(
    `SELECT epoch(event_time), epoch(event_time) + 30, count(DISTINCT k), count(*)::HUGEINT FROM crowds GROUP BY ALL ORDER BY ALL`,
  );
  expect(rows).toEqual(moments.rows);
  expect(rows.length).toBe(3);
});

test("a rollup has the events that the bottom view has, in its own windows", async () => {
  const sql = `SELECT window_start, window_end, count(*) AS n ${FROM} GROUP BY ALL`;
  const bottom = await planOf(parser, sql);
  const levels = [
    { everyUs: 24 * HOUR_US, timeZone: null },
    { everyUs: 24 * HOUR_US, timeZone: "Europe/Berlin" },
  ];
  for (const level of levels) {
    const result = rollupPlans(bottom, [level]);
    if (result.kind === "fault") throw new Error(result.message);
    const [plan = bottom] = result.plans;
    const zone = level.timeZone ?? "UTC";
    const { rows } = await duckdb.run(
      `FROM (${batchText(plan, { relation: "clicks", schema: SCHEMA, bottom })}) ORDER BY 1`,
    );
    const expected = await duckdb.run(
      `SELECT timezone('${zone}', date_trunc('day', timezone('${zone}', window_start))) AS s,
         timezone('${zone}', timezone('${zone}', s) + INTERVAL 1 DAY), sum(n)::BIGINT
       FROM (${sql}) GROUP BY ALL ORDER BY 1`,
    );
    expect(rows).toEqual(expected.rows);
    // The last hour of 1969 in London is the first of 1970 in Berlin.
    expect(rows.length).toBe(level.timeZone === null ? 3 : 2);
  }
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
