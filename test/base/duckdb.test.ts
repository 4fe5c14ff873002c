import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { DuckDb, DuckDecimal, type DuckConnection } from "../../src/base/duckdb.ts";

let db: DuckDb;
let connection: DuckConnection;

beforeAll(async () => {
  db = await DuckDb.open({ threads: "2", memory_limit: "200MB" });
  connection = await db.connect();
});
afterAll(() => {
  connection.close();
  db.close();
});

describe("results", () => {
  test("values keep every digit and times are UTC", async () => {
    const result = await connection.run(
      `SELECT true AS b, 7::INTEGER AS i, 9223372036854775807 AS l, 1.50::DECIMAL(18,2) AS d, 'x' AS s,
        TIMESTAMPTZ '2019-10-01 00:00:00.5+02' AS tz, TIMESTAMP '2019-10-01 00:00:00' AS ts, DATE '2019-10-01' AS day,
        'infinity'::TIMESTAMPTZ AS never, 'nan'::DOUBLE AS nan, NULL AS n, [1, NULL] AS list, {'a': 2::BIGINT} AS s2, MAP {'k': 1.5} AS m`,
    );
    expect(result.columns.map((column) => column.type)).toEqual([
      "BOOLEAN",
      "INTEGER",
      "BIGINT",
      "DECIMAL(18,2)",
      "VARCHAR",
      "TIMESTAMP WITH TIME ZONE",
      "TIMESTAMP",
      "DATE",
      "TIMESTAMP WITH TIME ZONE",
      "DOUBLE",
      "INTEGER",
      "INTEGER[]",
      'STRUCT("a" BIGINT)',
      "MAP(VARCHAR, DECIMAL(2,1))",
    ]);
    expect(result.rows).toEqual([
      [
        true,
        7,
        9223372036854775807n,
        new DuckDecimal("1.50"),
        "x",
        "2019-09-30T22:00:00.5Z",
        "2019-10-01T00:00:00",
        "2019-10-01",
        "infinity",
        NaN,
        null,
        [1, null],
        { a: 2n },
        [{ key: "k", value: new DuckDecimal("1.5") }],
      ],
    ]);
  });

  test("parameters are bound, large ones too", async () => {
    const { rows } = await connection.run("SELECT $1::VARCHAR, $2 + 1, $3::HUGEINT, $4 IS NULL", [
      "it's",
      1,
      2n ** 100n,
      null,
    ]);
    expect(rows).toEqual([["it's", 2, 2n ** 100n, true]]);
    const types = await connection.run("SELECT typeof($1), typeof($2), typeof($3), typeof($4)", [
      7,
      3_000_000_000,
      7n,
      0.5,
    ]);
    expect(types.rows).toEqual([["INTEGER", "BIGINT", "BIGINT", "DOUBLE"]]);
  });

  test("an error is thrown with DuckDB's message", async () => {
    await expect(connection.run("SELECT no_such FROM range(3)")).rejects.toThrow(
      'Referenced column "no_such" not found',
    );
  });
});

describe("statements", () => {
  test("are counted and typed, and not run", async () => {
    const statements = await connection.statements(
      "SELECT $1::INTEGER; CREATE TABLE t (a INTEGER)",
    );
    expect(statements).toEqual([
      { type: "SELECT", parameterCount: 1 },
      { type: "CREATE", parameterCount: 0 },
    ]);
    await expect(connection.run("FROM t")).rejects.toThrow("t does not exist");
    expect(await connection.statementCount("SELECT 1; SELECT 2;")).toBe(2);
  });

  test("interrupt ends a long one", async () => {
    const running = connection.run(
      "SELECT count(*) FROM range(1e6::BIGINT) a, range(1e6::BIGINT) b",
    );
    setTimeout(() => connection.interrupt(), 20);
    await expect(running).rejects.toThrow("Interrupted");
    expect((await connection.run("SELECT 1")).rows).toEqual([[1]]);
  });
});

describe("memory tables", () => {
  test("are read by columns, in chunks", async () => {
    const asked = new Set<number>();
    connection.registerTable({
      name: "numbers",
      columns: [
        { name: "n", type: "BIGINT" },
        { name: "t", type: "TIMESTAMP WITH TIME ZONE" },
        { name: "d", type: "DECIMAL(38,2)" },
        { name: "s", type: "VARCHAR" },
        { name: "day", type: "DATE" },
        { name: "b", type: "BOOLEAN" },
      ],
      rowCount: () => 5000,
      fill: (column, from, count) => {
        asked.add(column);
        return Array.from({ length: count }, (_, index) => {
          const row = from + index;
          if (row === 4999) return null;
          return [BigInt(row), BigInt(row) * 1_000_000n, BigInt(row), `s${row}`, row, row > 1][
            column
          ] as bigint | string | number | boolean;
        });
      },
    });
    expect((await connection.run("SELECT count(*) FROM numbers()")).rows).toEqual([[5000n]]);
    const sums = await connection.run("SELECT count(n), sum(n), max(t) FROM numbers()");
    expect(sums.rows).toEqual([[4999n, (4998n * 4999n) / 2n, "1970-01-01T01:23:18Z"]]);
    expect([...asked].toSorted((a, b) => a - b)).toEqual([0, 1]);
    const one = await connection.run("SELECT d, s, day, b FROM numbers() WHERE n = 3 OR n IS NULL");
    expect(one.rows).toEqual([
      [new DuckDecimal("0.03"), "s3", "1970-01-04", true],
      [null, null, null, null],
    ]);
  });
});
