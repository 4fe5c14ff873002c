// Random expressions: a plan has DuckDB's types and, computed with its explicit casts, DuckDB's rows for the text as written.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { sqlTypeText } from "../../src/event/schema.ts";
import { batchText } from "../../src/view/batch.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import { parse, SCHEMA } from "./fixture.ts";

const FROM = "FROM tumble(clicks, event_time, INTERVAL 1 HOUR)";
/** INTEGER, BIGINT, FLOAT, DECIMAL(38,2), DATE and TIMESTAMPTZ. */
const EDGES: readonly (readonly [string, string, string, string, string])[] = [
  ["2147483647", "9223372036854775807", "3.4e38", "9".repeat(36), "9999-12-31"],
  ["-2147483648", "-9223372036854775808", "-3.4e38", `-${"9".repeat(36)}`, "0001-01-01"],
  ["-1", "-1", "nan", "-0.01", "1969-12-31 23:59:59.999999"],
  ["0", "0", "inf", "0", "1970-01-01"],
  ["1", "2147483648", "-0.0", "0.01", "2000-02-29 12:00:00"],
];
let parser: ViewParser;
let db: DuckDb;
let duckdb: DuckConnection;

beforeAll(async () => {
  parser = await ViewParser.open();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    // Rewritten, CAST(x AS INTEGER) = 7 becomes x = 7, which no longer raises where x is no INTEGER: whether a text raises must not
    // depend on what the optimizer sees.
    "SET disabled_optimizers = 'expression_rewriter'",
    ...WINDOW_MACROS,
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    // Times step by 7 minutes; every third row is behind the watermark, every ninth by more than its window.
    `INSERT INTO clicks SELECT TIMESTAMPTZ '2019-10-01 00:00:00+00' + to_minutes(7 * k), 'u' || k % 3, nullif(k % 7, 0), k - 5,
       nullif(3000000000 * (k - 10), 0), k / 4, CASE WHEN k % 5 > 0 THEN k * 1.25 END, nullif('s' || k % 4, 's3'), nullif(k % 3, 2)::BOOLEAN,
       DATE '2019-09-30' + (k % 4)::INTEGER, TIMESTAMPTZ '2019-09-30 22:30:00.5+00' + to_minutes(31 * k), k * 1.5, nullif(k * 2.0625, 0),
       k * 12345678901234567890.12, NULL, CASE k % 9 WHEN 0 THEN 3600000000 WHEN 3 THEN 60000000 ELSE 0 END, now(), 1, k
     FROM range(60) t(k)`,
    // Values at the ends of their types, each in a window of its own: whatever can raise there must be guarded.
    `CREATE TABLE edges (${columnList(SCHEMA)})`,
    ...EDGES.map(
      (
        [i, l, f, r, ts],
        hour,
      ) => `INSERT INTO edges SELECT TIMESTAMPTZ '2019-10-01 00:00:00+00' + to_hours(${hour}), '', ${l}, ${i}, ${l},
       '${f}'::FLOAT, '${f}'::DOUBLE * 2, '', ${i} > 0, '${ts}'::DATE, '${ts}', ${i} % 9999999.99, ${l} % 99999999999999.9999, ${r}, NULL, 0, now(), 1, 1`,
    ),
  ]);
});
afterAll(() => {
  parser.close();
  duckdb.close();
  db.close();
});

const pick = (...texts: string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);
interface Grammar {
  readonly number: string;
  readonly condition: string;
  readonly time: string;
  readonly text: string;
  readonly any: string;
}
/** Mostly well-typed expressions; `any` lets one kind stand where another belongs. */
const grammar = fc.letrec<Grammar>((tie) => {
  const part = (name: keyof Grammar): fc.Arbitrary<string> => tie(name) as fc.Arbitrary<string>;
  const [number, condition, time] = [part("number"), part("condition"), part("time")];
  const join = (parts: fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
    fc.tuple(...parts).map((all) => all.join(""));
  const infix = (a: fc.Arbitrary<string>, op: readonly string[]): fc.Arbitrary<string> =>
    join([fc.constant("("), a, pick(...op.map((each) => ` ${each} `)), a, fc.constant(")")]);
  const comparisons = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"];
  const numberType = pick("INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL(4,1)", "DECIMAL(30,3)");
  const rare = { weight: 1, arbitrary: part("any") };
  const kind = (options: fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
    fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      ...options.map((arbitrary) => ({ weight: 12, arbitrary })),
      rare,
    );
  return {
    number: kind([
      pick("i", "l", "f", "d", "p", "q", "r", "user_id"),
      pick("1", "0", "-7", "3000000000", "2.5", "-0.125", "1e3", "99999999.99", "2147483647"),
      infix(number, ["+", "-", "*", "/", "%"]),
      infix(pick("i", "l", "7", "-1", "0", "i * 2"), ["//", "%"]),
      number.map((x) => `(- ${x})`),
      fc.tuple(number, numberType).map(([x, type]) => `CAST(${x} AS ${type})`),
      condition.map((x) => `${x}::BIGINT`),
      fc.tuple(number, number).map(([x, y]) => `coalesce(${x}, ${y}, NULL)`),
    ]),
    condition: kind([
      pick("b", "true", "i = 1", "i::BOOLEAN"),
      infix(number, comparisons),
      infix(time, comparisons),
      infix(part("text"), comparisons),
      infix(condition, ["AND", "OR", "=", "IS DISTINCT FROM"]),
      condition.map((x) => `(NOT ${x})`),
      condition.map((x) => `(${x} IS NOT TRUE)`),
      part("any").map((x) => `(${x} IS NULL)`),
      number.map((x) => `(${x} NOT IN (1, 2.5, '3', NULL))`),
      fc.tuple(number, number, number).map(([x, y, z]) => `(${x} BETWEEN ${y} AND ${z})`),
      time.map((x) => `(${x} IN ('2019-10-01', DATE '2019-10-02'))`),
    ]),
    time: kind([
      pick("day", "ts", "event_time", "window_start", "window_end"),
      pick("DATE '2019-10-02'", "TIMESTAMPTZ '2019-10-01 03:00:00+02'", "'2019-10-01'"),
      time.map((x) => `CAST(${x} AS DATE)`),
      fc
        .tuple(pick("minute", "day", "week", "month", "quarter", "year"), time)
        .map(([unit, x]) => `date_trunc('${unit}', CAST(${x} AS TIMESTAMPTZ))`),
      fc.tuple(time, time).map(([x, y]) => `coalesce(${x}, ${y})`),
    ]),
    text: kind([pick("s", "page_url", "'s1'", "'u2'"), pick("coalesce(s, 'none')")]),
    any: fc.oneof(
      { depthSize: "small" },
      pick("attrs", "NULL", "received_at"),
      number,
      condition,
      time,
    ),
  };
});
const expression = fc.oneof(grammar.number, grammar.condition, grammar.time, grammar.any);
const aggregate = fc
  .tuple(
    fc.oneof(
      fc.tuple(pick("sum", "avg"), grammar.number),
      fc.tuple(pick("count", "min", "max", "first", "last", "approx_count_distinct"), expression),
    ),
    fc.option(grammar.condition),
  )
  .map(([[fn, x], where]) => `${fn}(${x})${where === null ? "" : ` FILTER (WHERE ${where})`}`);

/** DuckDB's type as views have it. */
const tableType = (type: string): string =>
  type
    .replace("HUGEINT", "DECIMAL(38,0)")
    .replace(/DECIMAL\((19|2\d|3\d),(\d+)\)/, (_all, _digits, scale) => `DECIMAL(38,${scale})`);

const text = (value: unknown): string =>
  typeof value === "number" ? value.toPrecision(6) : String(value);

let planned = 0;
let compared = 0;

async function check(sql: string): Promise<void> {
  const result = await parse(parser, sql);
  if (result.kind === "faults") {
    expect(result.faults.length).toBeGreaterThan(0);
    return;
  }
  planned++;
  const { plan } = result;
  const described = await duckdb.run(`DESCRIBE ${sql}`);
  expect(plan.output.map(({ name, type }) => [name, sqlTypeText(type)])).toEqual(
    described.rows.map(([name, type]) => [String(name), tableType(String(type))]),
  );
  const ours = await duckdb.run(batchText(plan, { relation: "clicks", schema: SCHEMA }));
  expect(ours.columns).toEqual(
    plan.output.map(({ name, type }) => ({ name, type: sqlTypeText(type) })),
  );
  await duckdb.run(batchText(plan, { relation: "edges", schema: SCHEMA }));
  const written = await duckdb.run(sql).catch(() => null);
  if (written === null) return;
  compared++;
  const sorted = (rows: readonly (readonly unknown[])[]): string[] =>
    rows.map((row) => row.map(text).join("|")).toSorted();
  expect(sorted(ours.rows)).toEqual(sorted(written.rows));
}

test("keys and aggregates", async () => {
  const view = fc
    .tuple(expression, aggregate, fc.option(grammar.condition))
    .map(
      ([key, value, where]) =>
        `SELECT window_start, ${key} AS k, ${value} AS x ${FROM} ${where === null ? "" : `WHERE ${where}`} GROUP BY ALL`,
    );
  await fc.assert(fc.asyncProperty(view, check), { numRuns: 150 });
}, 180_000);

test("one expression", async () => {
  const view = expression.map(
    (key) => `SELECT window_start, ${key} AS k, count(*) AS n ${FROM} GROUP BY ALL`,
  );
  await fc.assert(fc.asyncProperty(view, check), { numRuns: 350 });
  // The grammar must not lose itself in texts that are refused.
  expect(planned).toBeGreaterThan(200);
  expect(compared).toBeGreaterThan(200);
}, 180_000);

const GRIDS = [
  "tumble(clicks, event_time, INTERVAL 1 HOUR, INTERVAL 20 MINUTE)",
  "hop(clicks, event_time, INTERVAL 20 MINUTE, INTERVAL 1 HOUR)",
  "hop(clicks, event_time, INTERVAL 15 MINUTE, INTERVAL 50 MINUTE, INTERVAL 7 MINUTE)",
];

/** A FROM for a view whose only key is `key`, and whose aggregate is `value`. */
function window(key: string, value: string): fc.Arbitrary<string> {
  // As written DuckDB takes the first of a session in an order of its own.
  if (/^(first|last)\(/.test(value)) return pick(...GRIDS);
  const sessions = [7, 21].map(
    (minutes) => `session(clicks, event_time, INTERVAL ${minutes} MINUTE, ${key})`,
  );
  return pick(...GRIDS, ...sessions);
}

const KEYS = ["page_url", "s", "i + 1", "p", "d", "b", "day", "l % 3", "r", "f / 2", "ts", "p * q"];
/** Conditions over the columns of the view below, whose key and aggregate may be repeated. */
const having = (key: string, value: string): fc.Arbitrary<string> =>
  fc
    .array(
      pick(
        "n > 1",
        "n * 2 + 1 < 9",
        "count(*) <> 2",
        "n IN (1, 3)",
        "NOT (n = 1)",
        "k IS NOT NULL",
        `${key} IS NOT NULL`,
        "x IS NULL",
        `${value} IS NOT NULL`,
        `${value} IS DISTINCT FROM x`,
        "coalesce(k, NULL) = k",
        "window_start > '2019-10-01 02:00:00+00'",
        "window_end <= TIMESTAMPTZ '2019-10-01 04:30:00+00'",
      ),
      { minLength: 1, maxLength: 3 },
    )
    .map((parts) => `HAVING ${parts.join(" AND ")}`);

test("windows, HAVING, the top of each window", async () => {
  planned = compared = 0;
  const view = fc.tuple(pick(...KEYS, "coalesce(s, 'none')"), aggregate).chain(([key, value]) =>
    fc
      .tuple(
        window(key, value),
        fc.option(having(key, value)),
        fc.option(fc.integer({ min: 1, max: 3 })),
      )
      .map(([from, condition, top]) => {
        // As written DuckDB breaks ties by chance: the key is in the order here.
        const qualify = `QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY count(*) DESC, k DESC) <= ${top}`;
        return `SELECT window_start, window_end, ${key} AS k, ${value} AS x, count(*) AS n FROM ${from}
          GROUP BY 1, 2, 3 ${condition ?? ""} ${top === null ? "" : qualify}`;
      }),
  );
  await fc.assert(fc.asyncProperty(view, check), { numRuns: 250 });
  expect(planned).toBeGreaterThan(60);
  expect(compared).toBeGreaterThan(60);
}, 180_000);

test("projections", async () => {
  planned = compared = 0;
  const view = fc
    .tuple(fc.array(expression, { minLength: 1, maxLength: 3 }), fc.option(grammar.condition))
    .map(([values, where]) => {
      const columns = values.map((value, index) => `${value} AS x${index}`);
      return `SELECT event_time, ${columns.join(", ")} FROM clicks ${where === null ? "" : `WHERE ${where}`}`;
    });
  await fc.assert(fc.asyncProperty(view, check), { numRuns: 200 });
  expect(planned).toBeGreaterThan(20);
  expect(compared).toBeGreaterThan(20);
}, 180_000);

test("any text gives a plan or faults", async () => {
  const words = fc.constantFrom(
    "SELECT",
    "FROM",
    "tumble(",
    "clicks",
    ",",
    "(",
    ")",
    "event_time",
    "INTERVAL",
    "1",
    "MINUTE",
    "GROUP BY",

    "ALL",
    "'",
    '"',
    "é",
    "*",
    "count(",
    "AS",
    "x",
    "WHERE",
    "window_start",
    ";",
    "$1",
    "CASE",
    "--",
    "\n",
  );
  const garbage = fc.oneof(
    fc.array(words, { maxLength: 30 }).map((all) => all.join(" ")),
    fc.string(),
  );
  await fc.assert(fc.asyncProperty(garbage, check), { numRuns: 300 });
}, 180_000);
