// The names of a text are a superset of what the guard finds in it, however they are written.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { guardQuestion } from "../../src/query/guard.ts";
import { namesIn } from "../../src/query/names.ts";

let db: DuckDb;
let parser: DuckConnection;
beforeAll(async () => {
  db = await DuckDb.open();
  parser = await db.connect();
});
afterAll(() => {
  parser.close();
  db.close();
});

test.each([
  ["SELECT 1", []],
  ["FROM Clicks", ["clicks"]],
  ['SELECT * FROM"CLICKS"', ["clicks"]],
  ["SELECT * FROM main/* c */.clicks c", ["clicks"]],
  [
    'FROM millrace . /* c */ "Late_Events", millrace.readers',
    ["millrace.late_events", "millrace.readers"],
  ],
  ["FROM tumble(Per_Minute2, t, INTERVAL 1 HOUR)", ["per_minute2"]],
  ["FROM tumble(_raw, t, INTERVAL 1 HOUR)", ["_raw"]],
  ["SELECT ü.*,(FROM a),[x FOR x IN (FROM b)]FROM/**/clicks ü", ["a", "b", "clicks"]],
  ["WITH a AS(FROM b)FROM a,(WITH c AS(FROM d)FROM c)", ["b", "d"]],
] as const)("%s", async (sql, expected) => {
  const guarded = await guardQuestion(parser, sql);
  if (guarded.kind === "refused") throw new Error(guarded.problem.detail);
  const read = guarded.relations.map(({ name }) => name);
  expect(read.toSorted()).toEqual([...expected]);
  expect(namesIn(sql)).toEqual(expect.arrayContaining(read));
});

test("what a text does not say is not asked for", () => {
  expect(namesIn("SELECT 'clicks_per_minute' FROM a")).not.toContain("clicks");
  expect(namesIn("SELECT readers FROM a")).not.toContain("millrace.readers");
});
