// One question on one connection: its parameters, and a client that is gone before it begins.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { runQuestion, type RunOrder } from "../../src/query/run.ts";

let duck: DuckDb;
let connection: DuckConnection;
beforeAll(async () => {
  duck = await DuckDb.open({ threads: "1" });
  connection = await duck.connect();
});
afterAll(() => {
  connection.close();
  duck.close();
});

function order(sql: string, params: RunOrder["params"] = []): RunOrder {
  const bounds = { timeoutMs: 5000, rowsMax: 100, bytesMax: 10_000 };
  return { sql, params, format: "json", position: 1, ...bounds };
}
async function answerOf(asked: RunOrder, signal = new AbortController().signal): Promise<string> {
  const answer = await runQuestion(connection, asked, signal);
  return answer.kind === "answer" ? answer.body.text() : answer.problem.code;
}

test("a question whose client hung up before does not run", async () => {
  const endless = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range % 7 = 8";
  expect(await answerOf(order(endless), AbortSignal.abort())).toBe("hung_up");
  expect(await answerOf(order("SELECT 1"))).toContain("[[1]]");
});

test.each([
  ["9007199254740993", "BIGINT"],
  ["-9223372036854775808", "BIGINT"],
  ["9223372036854775808", "HUGEINT"],
  ["-170141183460469231731687303715884105727", "HUGEINT"],
])("the parameter %s is a %s, digit for digit", async (digits, type) => {
  const text = await answerOf(order("SELECT $1::VARCHAR, typeof($1)", [{ integer: digits }]));
  expect(text).toContain(`["${digits}","${type}"]`);
});

test.each([
  [1, "1.0"],
  [1e20, "1e+20"],
  [0.1, "0.1"],
])("the parameter { double: %p } is a DOUBLE", async (double, shown) => {
  const text = await answerOf(order("SELECT $1::VARCHAR, typeof($1)", [{ double }]));
  expect(text).toContain(`["${shown}","DOUBLE"]`);
});
