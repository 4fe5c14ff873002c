// Result formats: every value digit for digit as DuckDB itself prints it, and bodies that other readers parse.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { encoderFor, type ResultFormat } from "../../src/query/format.ts";

let db: DuckDb;
let connection: DuckConnection;
let folder: string;
beforeAll(async () => {
  db = await DuckDb.open();
  connection = await db.connect();
  folder = mkdtempSync(join(tmpdir(), "millrace-format-"));
});
afterAll(() => {
  connection.close();
  db.close();
  rmSync(folder, { recursive: true });
});

async function encoded(sql: string, format: ResultFormat): Promise<string> {
  const encoder = encoderFor(format);
  const stream = await connection.stream(sql);
  let text = encoder.head(stream.columns);
  for (let rows = await stream.next(); rows !== null; rows = await stream.next())
    text += encoder.rows(rows);
  return text + encoder.tail(7);
}
async function jsonValue(expression: string): Promise<string> {
  const text = await encoded(`SELECT ${expression} AS x`, "json");
  return /"rows":\[\[(.*)\]\],"row_count":1,"position":7\}\n$/s.exec(text)?.[1] ?? text;
}

test.each([
  ["9223372036854775807::BIGINT", "9223372036854775807"],
  ["(-9223372036854775808)::BIGINT", "-9223372036854775808"],
  ["18446744073709551615::UBIGINT", "18446744073709551615"],
  ["170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"],
  [
    "99999999999999999999999999999999999.999::DECIMAL(38,3)",
    "99999999999999999999999999999999999.999",
  ],
  ["-0.10::DECIMAL(4,2)", "-0.10"],
  ["0.1::DOUBLE", "0.1"],
  ["0.1::FLOAT", "0.1"],
  ["16777216::FLOAT", "16777216"],
  ["3.4028235e38::FLOAT", "3.4028235e+38"],
  ["1e308::DOUBLE", "1e+308"],
  ["'-0'::DOUBLE", "-0.0"],
  ["'nan'::DOUBLE", '"NaN"'],
  ["'inf'::FLOAT", '"Infinity"'],
  ["'-inf'::DOUBLE", '"-Infinity"'],
  ["NULL", "null"],
  ["true", "true"],
  ["TIMESTAMPTZ '2019-10-01 00:00:00+00'", '"2019-10-01T00:00:00Z"'],
  ["TIMESTAMPTZ '2019-10-01 00:00:00.000001+00'", '"2019-10-01T00:00:00.000001Z"'],
  ["TIMESTAMPTZ '1969-12-31 23:59:59.9+00'", '"1969-12-31T23:59:59.9Z"'],
  ["TIMESTAMP '2019-10-01 01:02:03.120'", '"2019-10-01T01:02:03.12"'],
  ["TIMESTAMPTZ 'infinity'", '"infinity"'],
  ["DATE '2019-02-28'", '"2019-02-28"'],
  ["TIME '01:02:03.5'", '"01:02:03.5"'],
  ["INTERVAL '1 day 2 hours'", '"1 day 02:00:00"'],
  ["'\\xAA\\x00a'::BLOB", '"\\\\xAA\\\\x00a"'],
  ["'a\"\\b' || chr(10) || 'ü😀' || chr(1)", '"a\\"\\\\b\\nü😀\\u0001"'],
  ["[1.50::DECIMAL(3,2), NULL]", "[1.50,null]"],
  ["[0.1::FLOAT]", "[0.1]"],
  ["{'a': 1, 'b c': [true]}", '{"a":1,"b c":[true]}'],
  ["MAP {'k': 9007199254740993}", '[{"key":"k","value":9007199254740993}]'],
  ["'2f2a5b62-5d3c-4d9a-9d5b-0d1c2b3a4f5e'::UUID", '"2f2a5b62-5d3c-4d9a-9d5b-0d1c2b3a4f5e"'],
])("JSON of %s", async (expression, json) => {
  expect(await jsonValue(expression)).toBe(json);
});

/** The text of a number, the sign of zero included. */
function signed(value: number): string {
  return Object.is(value, -0) ? "-0.0" : String(value);
}

test("DOUBLE and FLOAT keep their value, HUGEINT and times DuckDB's text", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.bigInt(-(10n ** 38n) + 1n, 10n ** 38n - 1n),
      fc.bigInt(-(2n ** 55n), 2n ** 57n),
      async (double, unscaled, us) => {
        expect(Number(await jsonValue(`'${signed(double)}'::DOUBLE`))).toBe(double);
        const float = Math.fround(double);
        if (Number.isFinite(float))
          expect(Math.fround(Number(await jsonValue(`'${signed(float)}'::FLOAT`)))).toBe(float);
        const wide = (await connection.run(`SELECT (${unscaled}::HUGEINT)::VARCHAR`)).rows[0]?.[0];
        expect(await jsonValue(`${unscaled}::HUGEINT`)).toBe(String(wide));
        const time = `make_timestamptz(${us})`;
        const text = String((await connection.run(`SELECT ${time}::VARCHAR`)).rows[0]?.[0]);
        const iso =
          /^\d/.test(text) && !text.includes("BC")
            ? text.replace(" ", "T").replace("+00", "Z")
            : null;
        if (iso !== null) expect(await jsonValue(time)).toBe(`"${iso}"`);
      },
    ),
    { numRuns: 60 },
  );
});

test("JSON and NDJSON are what JSON.parse reads; equal names stay apart in NDJSON", async () => {
  const sql = 'SELECT range AS a, \'x\' AS a, NULL AS "b""c" FROM range(3000)';
  const json = JSON.parse(await encoded(sql, "json"));
  expect(json.columns.map(({ name }: { name: string }) => name)).toEqual(["a", "a", 'b"c']);
  expect(json.rows.length).toBe(3000);
  expect([json.row_count, json.position]).toEqual([3000, 7]);
  const lines = (await encoded(sql, "ndjson")).trimEnd().split("\n");
  expect(lines.length).toBe(3000);
  expect(JSON.parse(lines[2999] ?? "")).toEqual({ a: 2999, a_1: "x", 'b"c': null });
});

test("an empty result is whole in every format", async () => {
  const sql = "SELECT 1 AS a WHERE false";
  expect(await encoded(sql, "json")).toBe(
    '{"columns":[{"name":"a","type":"INTEGER"}],"rows":[],"row_count":0,"position":7}\n',
  );
  expect(await encoded(sql, "ndjson")).toBe("");
  expect(await encoded(sql, "csv")).toBe("a\r\n");
});

test("CSV: DuckDB reads back what it held, NULL and empty text apart", async () => {
  const sql = `SELECT * FROM (VALUES (1, 'a,b', 1.50::DECIMAL(4,2), TIMESTAMPTZ '2019-10-01 00:00:00.5+00'),
    (2, 'say "hi"' || chr(13) || chr(10) || 'ü', NULL, NULL), (3, '', 0.00, NULL), (4, NULL, -1, NULL)) t("n", "text, quoted", d, t)`;
  const path = join(folder, "a.csv");
  writeFileSync(path, await encoded(sql, "csv"));
  const types =
    "{'n': 'INTEGER', 'text, quoted': 'VARCHAR', 'd': 'DECIMAL(4,2)', 't': 'TIMESTAMPTZ'}";
  const read = `SELECT * FROM read_csv('${path}', header = true, columns = ${types}, quote = '"', escape = '"', auto_detect = false, delim = ',', allow_quoted_nulls = false, new_line = '\\r\\n')`;
  const different = await connection.run(
    `(${sql} EXCEPT ALL ${read}) UNION ALL (${read} EXCEPT ALL ${sql})`,
  );
  expect(different.rows).toEqual([]);
  expect(
    (await encoded(sql, "csv")).startsWith(
      'n,"text, quoted",d,t\r\n1,"a,b",1.50,2019-10-01T00:00:00.5Z\r\n',
    ),
  ).toBe(true);
});
