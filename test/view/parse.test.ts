import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { sqlTypeText } from "../../src/event/schema.ts";
import { explainPlan, planHash } from "../../src/view/explain.ts";
import { ViewParser } from "../../src/view/parse.ts";
import { windowSizeUs } from "../../src/view/plan.ts";
import { faultsOf, planOf, SCHEMA } from "./fixture.ts";

const FROM = "FROM tumble(clicks, event_time, INTERVAL 1 MINUTE)";
let parser: ViewParser;

beforeAll(async () => {
  parser = await ViewParser.open();
});
afterAll(() => parser.close());

/** A view with one key, `x`. */
const keyed = (expression: string): string =>
  `SELECT window_start, ${expression} AS x, count(*) AS n ${FROM} GROUP BY ALL`;
/** A view with one aggregate, `x`. */
const aggregated = (expression: string): string =>
  `SELECT window_start, ${expression} AS x ${FROM} GROUP BY ALL`;

const KEY_TYPES: readonly (readonly [string, string])[] = [
  ["page_url", "VARCHAR"],
  ["PAGE_URL", "VARCHAR"],
  ["attrs", "VARCHAR"],
  ["received_at", "TIMESTAMP WITH TIME ZONE"],
  ["i + 1", "INTEGER"],
  ["i + 3000000000", "BIGINT"],
  ["i * l", "BIGINT"],
  ["i / 2", "DOUBLE"],
  ["f / 2", "FLOAT"],
  ["f + p", "FLOAT"],
  ["i // 2", "INTEGER"],
  ["l % 7", "BIGINT"],
  ["-p", "DECIMAL(9,2)"],
  ["p + 1", "DECIMAL(13,2)"],
  ["p + q", "DECIMAL(18,4)"],
  ["p * q", "DECIMAL(18,6)"],
  ["p * l", "DECIMAL(38,2)"],
  ["p % 2.5", "DECIMAL(9,2)"],
  ["r * 2", "DECIMAL(38,2)"],
  ["coalesce(p, 0)", "DECIMAL(12,2)"],
  ["coalesce(i, l, 1)", "BIGINT"],
  ["ifnull(s, 'none')", "VARCHAR"],
  ["coalesce(day, '2019-10-01')", "DATE"],
  ["coalesce(ts, day)", "TIMESTAMP WITH TIME ZONE"],
  ["s IS NULL", "BOOLEAN"],
  ["s = 'a' OR NOT b AND i IN (1, 2, NULL)", "BOOLEAN"],
  ["i IS DISTINCT FROM 1.5", "BOOLEAN"],
  ["b IS TRUE", "BOOLEAN"],
  ["ts BETWEEN '2019-10-01' AND day", "BOOLEAN"],
  ["date_trunc('HOUR', ts)", "TIMESTAMP WITH TIME ZONE"],
  ["CAST(ts AS DATE)", "DATE"],
  ["day::TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"],
  ["CAST(d AS DECIMAL(10, 3))", "DECIMAL(10,3)"],
  ["CAST(d AS DECIMAL(25, 3))", "DECIMAL(38,3)"],
  ["CAST(b AS INTEGER) + 60 * 60", "INTEGER"],
];

const AGGREGATE_TYPES: readonly (readonly [string, string])[] = [
  ["count(*)", "BIGINT"],
  ["count()", "BIGINT"],
  ["count(1)", "BIGINT"],
  ["count(s) FILTER (WHERE i > 1)", "BIGINT"],
  ["sum(i)", "DECIMAL(38,0)"],
  ["sum(l)", "DECIMAL(38,0)"],
  ["sum(b)", "DECIMAL(38,0)"],
  ["sum(p)", "DECIMAL(38,2)"],
  ["sum(r)", "DECIMAL(38,2)"],
  ["sum(f)", "DOUBLE"],
  ["sum(d / i)", "DOUBLE"],
  ["avg(i)", "DOUBLE"],
  ["mean(p)", "DOUBLE"],
  ["min(s)", "VARCHAR"],
  ["max(day)", "DATE"],
  ["min(ts)", "TIMESTAMP WITH TIME ZONE"],
  ["max(p * l)", "DECIMAL(38,2)"],
  ["min(b)", "BOOLEAN"],
  ["max(f)", "FLOAT"],
  ["approx_count_distinct(p)", "BIGINT"],
  ["first(s)", "VARCHAR"],
  ["last(r) FILTER (WHERE b)", "DECIMAL(38,2)"],
];

describe("types", () => {
  test.each(KEY_TYPES)("key %s is %s", async (expression, type) => {
    const plan = await planOf(parser, keyed(expression));
    expect(sqlTypeText(plan.output[1]?.type ?? { kind: "BOOLEAN" })).toBe(type);
    expect(plan.output[1]?.source).toEqual({ kind: "key", index: 0 });
  });

  test.each(AGGREGATE_TYPES)("aggregate %s is %s", async (expression, type) => {
    const plan = await planOf(parser, aggregated(expression));
    expect(sqlTypeText(plan.output[1]?.type ?? { kind: "BOOLEAN" })).toBe(type);
    expect(plan.output[1]?.source).toEqual({ kind: "aggregate", index: 0 });
  });
});

describe("plans", () => {
  test("the design's example", async () => {
    const plan = await planOf(
      parser,
      `SELECT window_start, window_end, page_url, count(*) AS view_count, approx_count_distinct(user_id) AS unique_users
       ${FROM} WHERE s = 'view' GROUP BY ALL`,
    );
    expect(explainPlan(plan, SCHEMA)).toBe(`view v
  reads   clicks in windows of 60 s
  where   ("s" = 'view')
  key     "page_url"  VARCHAR
  folds   count(*)  BIGINT
  folds   approx_count_distinct("user_id")  BIGINT
  column  window_start  TIMESTAMP WITH TIME ZONE NOT NULL  from window_start
  column  window_end  TIMESTAMP WITH TIME ZONE NOT NULL  from window_end
  column  page_url  VARCHAR NOT NULL  from key 1
  column  view_count  BIGINT NOT NULL  from aggregate 1
  column  unique_users  BIGINT NOT NULL  from aggregate 2
  late    into the late table
`);
    expect(plan.output.map((column) => column.fieldId)).toEqual([1, 2, 3, 4, 5]);
  });

  test("constants are folded, exactly", async () => {
    const plan = await planOf(
      parser,
      `SELECT window_start, count(*) AS n ${FROM}
       WHERE l = 9007199254740993 AND p > '1.555' AND day = '1970-01-02' AND ts > '1970-01-01 00:00:00.000001+00'
         AND i < 60 * 60 AND d > 1 AND r <> 12345678901234567890.12 GROUP BY window_start`,
    );
    const constants: unknown[] = [];
    JSON.stringify(plan.filter, (_key, value: { op?: string; value?: unknown }) => {
      if (value?.op === "constant") constants.push(value.value);
      return value;
    });
    const expected = ["9007199254740993", "156", "1", "1", "3600", 1, "1234567890123456789012"];
    expect(constants).toEqual(expected);
  });

  test("groups by ordinal, alias, expression and column are the same plan", async () => {
    const texts = ["1, 2", "window_start, x", "window_start, i+1", "ALL"].map(
      (groups) => `SELECT window_start, i + 1 AS x, sum(l) AS n ${FROM} GROUP BY ${groups}`,
    );
    const hashes = await Promise.all(texts.map(async (sql) => planHash(await planOf(parser, sql))));
    expect(new Set(hashes).size).toBe(1);
  });

  test("a column goes before an alias of the same name", async () => {
    const faults = await faultsOf(
      parser,
      `SELECT window_start, i AS l, count(*) AS n ${FROM} GROUP BY window_start, l`,
    );
    expect(faults).toEqual([
      '1:22 "l" is not grouped | add it to GROUP BY, write GROUP BY ALL, or aggregate it',
    ]);
  });

  test("an alias of FROM qualifies columns", async () => {
    const sql = `SELECT w.window_start, W.page_url, count(w.i) AS n ${FROM} AS w WHERE w.b GROUP BY ALL`;
    const plan = await planOf(parser, sql);
    expect(plan.output.map((column) => column.name)).toEqual(["window_start", "page_url", "n"]);
  });

  test("equal aggregates and keys are computed once", async () => {
    const plan = await planOf(
      parser,
      `SELECT window_start, s AS a, S AS b, sum(i) AS c, SUM(i) AS d ${FROM} GROUP BY ALL`,
    );
    expect([plan.keys.length, plan.aggregates.length]).toEqual([1, 1]);
  });

  test("the hash knows meaning, not writing", async () => {
    const hash = async (sql: string): Promise<string> => planHash(await planOf(parser, sql));
    const written = await hash(keyed("i + 1"));
    expect(await hash(keyed("I\n  +  /* one */ 1"))).toBe(written);
    expect(await hash(keyed("i + 2"))).not.toBe(written);
    expect(await hash(keyed("l + 1"))).not.toBe(written);
  });

  test("a hop with HAVING and the top of each window", async () => {
    const plan = await planOf(
      parser,
      `SELECT window_start, page_url, first(i) AS entry, sum(i) AS total
       FROM hop(clicks, event_time, INTERVAL 1 MINUTE, INTERVAL 10 MINUTE, INTERVAL 30 SECOND)
       GROUP BY window_start, window_end, page_url HAVING sum(i) > 2 AND page_url <> 'x'
       QUALIFY row_number() OVER (PARTITION BY window_start, window_end ORDER BY total DESC, first(i) NULLS FIRST) <= 5`,
    );
    expect(explainPlan(plan, SCHEMA)).toBe(`view v
  reads   clicks in windows of 600 s every 60 s from 30 s
  where   every event
  key     "page_url"  VARCHAR
  folds   first("i")  INTEGER
  folds   sum("i")  DECIMAL(38,0)
  having  (("total" > CAST('2' AS DECIMAL(38,0))) AND ("page_url" <> 'x'))
  top     5 of each window by "total" DESC, "entry" NULLS FIRST, then by the keys
  column  window_start  TIMESTAMP WITH TIME ZONE NOT NULL  from window_start
  column  page_url  VARCHAR NOT NULL  from key 1
  column  entry  INTEGER  from aggregate 1
  column  total  DECIMAL(38,0)  from aggregate 2
  late    into the late table
`);
    expect(plan.window).toEqual({
      kind: "hop",
      slideUs: 60_000_000,
      sizeUs: 600_000_000,
      offsetUs: 30_000_000,
    });
  });

  test("a session and its keys", async () => {
    const plan = await planOf(
      parser,
      `SELECT window_start, window_end, user_id, i + 1 AS x, count(*) AS n, last(page_url) AS exit
       FROM session(clicks, event_time, INTERVAL 30 MINUTE, I + 1, user_id) AS s GROUP BY ALL HAVING x > 3`,
    );
    expect(plan.window).toEqual({ kind: "session", gapUs: 1_800_000_000 });
    expect(plan.keys.length).toBe(2);
    expect(explainPlan(plan, SCHEMA)).toContain(
      "reads   clicks in sessions that end after 1800 s without an event\n",
    );
  });

  test("a projection", async () => {
    const plan = await planOf(
      parser,
      "SELECT c.event_time, p * 2 AS x, attrs FROM clicks AS c WHERE c.b",
    );
    expect(explainPlan(plan, SCHEMA)).toBe(`view v
  reads   clicks event by event
  where   "b"
  column  event_time  TIMESTAMP WITH TIME ZONE NOT NULL  from "event_time"
  column  x  DECIMAL(18,2)  from (CAST("p" AS DECIMAL(18,2)) * CAST('2' AS DECIMAL(18,0)))
  column  attrs  VARCHAR  from "attrs"
`);
  });

  test("in HAVING a grouped column goes before an alias, and an alias before any other column", async () => {
    const having = async (sql: string): Promise<unknown> => {
      const { having: condition } = await planOf(parser, sql);
      return condition?.op === "call" ? condition.args[0] : condition;
    };
    const output = (ordinal: number): unknown =>
      expect.objectContaining({ column: { from: "output", ordinal } });
    expect(
      await having(`SELECT window_start, i, max(l) AS n ${FROM} GROUP BY ALL HAVING i > 1`),
    ).toEqual(output(1));
    expect(
      await having(`SELECT window_start, i AS l, max(l) AS i ${FROM} GROUP BY ALL HAVING i > 1`),
    ).toEqual(output(1));
    expect(
      await having(`SELECT window_start, i AS l, max(f) AS n ${FROM} GROUP BY ALL HAVING l > 1`),
    ).toEqual(output(1));
    expect(
      await having(
        `SELECT window_start, i + 1 AS x, max(f) AS n ${FROM} GROUP BY ALL HAVING i + 1 > 1`,
      ),
    ).toEqual(output(1));
  });

  test("the hash knows HAVING, the top and the offset", async () => {
    const hash = async (sql: string): Promise<string> => planHash(await planOf(parser, sql));
    const plain = `SELECT window_start, s, count(*) AS n ${FROM} GROUP BY window_start, s`;
    const top = (n: number): string =>
      `${plain} QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY n) <= ${n}`;
    const texts = [
      plain,
      `${plain} HAVING n > 1`,
      top(1),
      top(2),
      plain.replace("1 MINUTE)", "1 MINUTE, INTERVAL 1 SECOND)"),
    ];
    expect(new Set(await Promise.all(texts.map(hash))).size).toBe(texts.length);
  });

  test.each([
    ["INTERVAL 250 MILLISECONDS", 250_000],
    ["INTERVAL '5' MINUTE", 300_000_000],
    ["INTERVAL 2 WEEK", 1_209_600_000_000],
    ["INTERVAL (7) DAYS", 604_800_000_000],
  ])("%s is a window", async (size, sizeUs) => {
    const sql = `SELECT window_start, count(*) AS n FROM tumble(clicks, event_time, ${size}) GROUP BY ALL`;
    expect(windowSizeUs(await planOf(parser, sql))).toBe(sizeUs);
  });
});
