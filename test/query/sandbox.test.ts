// What questions may not do: every attack is refused with a place or a clear reason, and the child answers on.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/base/assert.ts";
import type { Problem } from "../../src/query/problem.ts";
import { Sandbox } from "../../src/query/sandbox.ts";
import {
  emptyPin,
  eventRow,
  eventsRecord,
  openFixture,
  provider,
  question,
  textOf,
  type Fixture,
} from "./fixture.ts";

let fixture: Fixture;
beforeAll(async () => {
  fixture = await openFixture();
  fixture.append([eventsRecord(1, [eventRow(0)])]);
  writeFileSync(join(fixture.warehouse, "other.csv"), "secret\n1\n");
});
afterAll(() => fixture.close());

async function problemOf(sql: string, params: readonly string[] = []): Promise<Problem> {
  const answer = await fixture.service.ask(
    question(sql, { params }),
    provider(emptyPin(fixture, 1)).pinFor,
  );
  if (answer.kind === "answer") throw new Error(`answered: ${textOf(answer)}`);
  return answer.problem;
}

const WRITES = [
  "INSERT INTO clicks VALUES (1)",
  "CREATE TABLE t AS SELECT 1",
  "CREATE TEMP TABLE t AS SELECT 1",
  "DROP VIEW clicks",
  "UPDATE clicks SET id = 1",
  "DELETE FROM clicks",
  "COPY clicks TO 'WAREHOUSE/x.csv'",
  "COPY (SELECT 1) TO '/tmp/x.csv'",
  "EXPORT DATABASE 'WAREHOUSE/x'",
  "ATTACH 'WAREHOUSE/x.db'",
  "USE millrace",
  "SET threads = 8",
  "SET VARIABLE a = 1",
  "RESET memory_limit",
  "PRAGMA database_list",
  "CALL pragma_version()",
  "INSTALL httpfs",
  "LOAD httpfs",
  "CREATE SECRET s (TYPE s3)",
  "PREPARE p AS SELECT 1",
  "EXECUTE p",
  "BEGIN TRANSACTION",
  "CHECKPOINT",
  "VACUUM",
  "EXPLAIN COPY clicks TO 'WAREHOUSE/x.csv'",
  "EXPLAIN EXPLAIN SELECT 1",
  "PIVOT clicks ON page USING count(*)",
  "SELECT 1; SELECT 2",
  "SELECT 1; DROP VIEW clicks",
  "",
  "-- nothing",
];

const READS = [
  "SELECT * FROM 'WAREHOUSE/other.csv'",
  "SELECT * FROM 'WAREHOUSE/*.parquet'",
  "SELECT * FROM read_csv('WAREHOUSE/other.csv')",
  "SELECT * FROM read_text('/etc/passwd')",
  "SELECT * FROM read_blob('/etc/passwd')",
  "SELECT * FROM '/etc/passwd'",
  "SELECT * FROM read_parquet('https://example.com/a.parquet')",
  "SELECT * FROM 'https://example.com/a.csv'",
  "SELECT * FROM glob('/*')",
  "SELECT * FROM sniff_csv('/etc/passwd')",
  "SELECT * FROM parquet_metadata('WAREHOUSE/x.parquet')",
  "SELECT * FROM duckdb_settings()",
  "SELECT * FROM duckdb_settings",
  "SELECT * FROM duckdb_secrets()",
  "SELECT * FROM information_schema.tables",
  "SELECT * FROM pg_catalog.pg_tables",
  "SELECT * FROM system.main.duckdb_views",
  "SELECT * FROM sqlite_master",
  "SELECT * FROM query('SELECT 1')",
  "SELECT * FROM query_table('duckdb_views')",
  "SELECT * FROM json_execute_serialized_sql('{}')",
  "SELECT * FROM enable_logging()",
  "SELECT * FROM checkpoint()",
  "FROM pragma_user_agent()",
  "SELECT * FROM millrace_scan(0)",
  "SELECT * FROM tumble('duckdb_views', event_time, INTERVAL 1 MINUTE)",
  "SELECT * FROM tumble(duckdb_views, view_oid, INTERVAL 1 MINUTE)",
  "SELECT * FROM main.tumble(clicks, event_time, INTERVAL 1 MINUTE)",
  "SELECT current_setting('temp_directory')",
  "SELECT CURRENT_SETTING('temp_directory')",
  "SELECT getvariable('a')",
  "SELECT getenv('HOME')",
  "SELECT json_serialize_plan('SELECT 1')",
  "SELECT write_log('x')",
  "SELECT sleep_ms(100000)",
  "SHOW TABLES",
  "SHOW ALL TABLES",
  "SELECT (SELECT count(*) FROM duckdb_views)",
  "SELECT 1 WHERE EXISTS (FROM duckdb_views)",
  "SELECT list_transform([1], x -> (SELECT max(path) FROM duckdb_databases))",
  "WITH duckdb_views AS (SELECT * FROM duckdb_views) SELECT * FROM duckdb_views",
  "SELECT * FROM (WITH duckdb_views AS (SELECT 1) SELECT * FROM duckdb_views), duckdb_views",
  "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
  "SELECT * FROM clicks AT (VERSION => 1)",
];

test.each([...WRITES, ...READS])("refused: %s", async (sql) => {
  const before = readdirSync(fixture.warehouse);
  const problem = await problemOf(sql.replaceAll("WAREHOUSE", fixture.warehouse));
  expect(problem.status).toBe(400);
  expect(problem.detail.length).toBeGreaterThan(10);
  expect(readdirSync(fixture.warehouse)).toEqual(before);
  expect(problem.detail).not.toContain(fixture.folder + "/tmp");
});

test.each([
  "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r WHERE a < 3) SELECT sum(a) FROM r",
  "WITH a AS (SELECT id FROM clicks), b AS (SELECT * FROM a) SELECT count(*) FROM b",
  "SELECT count(*) FROM clicks c JOIN range(3) t(i) ON true, LATERAL (SELECT i)",
  "FROM (VALUES (1), (2)) t(a) SELECT sum(a)",
  "SELECT page.upper() FROM main.clicks",
  "SUMMARIZE clicks",
  "EXPLAIN ANALYZE SELECT * FROM clicks",
  "SELECT len(range(5)), repeat('ab', 3), lpad('a', 5, '-'), levenshtein('a', 'b')",
  "SELECT range(TIMESTAMPTZ '2020-01-01', TIMESTAMPTZ '2020-01-03', INTERVAL 1 DAY)",
  "SELECT * FROM clicks PIVOT (count(*) FOR ok IN (true, false))",
  "SELECT format('{:>10} {} {{1234567}}', 1, page), printf('%05d 12345678 %% %s', 1, page) FROM clicks",
  "SELECT regexp_replace(page, '(e)', '<\\1>'), regexp_replace(page, 'e', '', 'g') FROM clicks",
])("answered: %s", async (sql) => {
  const answer = await fixture.service.ask(question(sql), provider(emptyPin(fixture, 1)).pinFor);
  expect(textOf(answer)).toContain('"columns"');
});

test.each([
  ["SELECT *\nFROM clickz", 2, 6],
  ["SELECT 'ü',\n nope FROM clicks", 2, 2],
  ["SELECT 'üüü' FROM read_csv('x')", 1, 19],
  ["SELECT 'ü' FRM clicks x y", 1, 16],
  ["EXPLAIN SELECT *\nFROM clickz", 2, 6],
])("the place of an error: %s", async (sql, line, column) => {
  const problem = await problemOf(sql);
  expect({ line: problem.line, column: problem.column }).toEqual({ line, column });
});

test.each([
  "SELECT length(repeat('a', 2000000000))",
  "SELECT len(range(100000000))",
  "SELECT len(generate_series(0, 100000000, 1))",
  "SELECT length(lpad('a', 1000000000, 'b'))",
  "SELECT len(list_resize([1], 1000000000))",
  "SELECT repeat(repeat('a', 90000), 90000)",
  "SELECT length('a'.repeat(2000000000))".replace("'a'.", "page."),
  "SELECT length(format('{:100001}', 1))",
  "SELECT length(format('{{}} {0:>60000} {1:.50000f}', 1, 1.5))",
  "SELECT ('{:100000000}').format(1)",
  "SELECT printf('%.100000000f', 1.5)",
  "SELECT printf('%%%-99999d%2d', 1, 2)",
  `SELECT length(regexp_replace(repeat('a', 100000), '', '${"x".repeat(1001)}', 'g'))`,
])("one call is bounded: %s", async (sql) => {
  const from = sql.includes("page.") ? `${sql} FROM clicks` : sql;
  const problem = await problemOf(from);
  expect(problem.detail).toContain("too much in one call");
});

test.each([
  "SELECT format('{:{}}', 1, 1000000000)",
  "SELECT format('{:.{}f}', 1.5, 1000000000)",
  "SELECT printf('%*d', 1000000000, 1)",
  "SELECT printf('%.*f', 1000000000, 1.5)",
  "SELECT format(page, 1) FROM clicks",
  "SELECT regexp_replace(page, '', repeat('x', 100000), 'g') FROM clicks",
  "SELECT system.main.format($1, 1)",
])("what says how long a text gets is part of the question: %s", async (sql) => {
  const problem = await problemOf(sql);
  expect(problem.code).toBe("refused_sql");
  expect(problem.detail).toMatch(
    /is a text, written in the question|a width is written as a number/,
  );
  expect(problem).toMatchObject({ line: 1, column: 8 });
});

const DEEP = 10_000;
test.each([
  ["parentheses", `SELECT ${"(".repeat(DEEP)}1${")".repeat(DEEP)}`],
  ["operators", `SELECT 1${"+1".repeat(DEEP)}`],
  ["NOT", `SELECT ${"NOT ".repeat(DEEP)} true`],
  ["lists", `SELECT ${"[".repeat(DEEP)}1${"]".repeat(DEEP)}`],
  ["sub-queries", `SELECT * FROM ${"(SELECT * FROM ".repeat(DEEP)}clicks${")".repeat(DEEP)}`],
  ["CASE", `SELECT ${"CASE WHEN true THEN ".repeat(DEEP)}1${" END".repeat(DEEP)}`],
  ["functions", `SELECT ${"abs(".repeat(DEEP)}1${")".repeat(DEEP)}`],
  ["casts", `SELECT 1${"::INT".repeat(DEEP)}`],
])("a text nested 10,000 deep is refused, the child lives: %s", async (_, sql) => {
  const pid = fixture.service.childPid();
  expect(await problemOf(sql)).toMatchObject({ status: 400, code: "bad_sql" });
  expect(fixture.service.childPid()).toBe(pid);
});

test.each([
  "SELECT system.main.repeat('a', 3)",
  "SELECT main.repeat('a', 3)",
  "SELECT pg_catalog.range(3)",
])("the bounded functions are not reached by schema: %s", async (sql) => {
  expect((await problemOf(sql)).code).toBe("refused_sql");
});

test("parameters are values, never text of the question", async () => {
  const ask = question("SELECT $1, $2, $3, $4, ?::VARCHAR".replace(", ?::VARCHAR", ""), {
    params: ["'; DROP VIEW clicks; --", 12, 1.5, null],
  });
  const answer = await fixture.service.ask(ask, provider(emptyPin(fixture, 1)).pinFor);
  expect(JSON.parse(textOf(answer)).rows).toEqual([["'; DROP VIEW clicks; --", 12, 1.5, null]]);
  expect((await problemOf("SELECT $1, $2", ["a"])).status).toBe(400);
});

test("even without the guard the sandbox keeps files, settings and writes out", async () => {
  const sandbox = await Sandbox.open(
    {
      warehouseFolder: fixture.warehouse,
      tempFolder: join(fixture.folder, "tmp"),
      threads: 1,
      memoryBytesMax: 64 * 1024 * 1024,
      tempBytesMax: 1024 * 1024,
    },
    "alone",
  );
  const { connection } = sandbox;
  for (const sql of [
    "SELECT * FROM read_text('/etc/passwd')",
    `SELECT * FROM read_text('${fixture.warehouse}/../query.sock')`,
    `SELECT * FROM glob('${fixture.folder}/*')`,
    "SET enable_external_access = true",
    "SET memory_limit = '10GB'",
    "SET allowed_directories = ['/']",
    "INSTALL httpfs",
    "LOAD httpfs",
    `COPY (SELECT 1) TO '${fixture.folder}/x.csv'`,
    `ATTACH '${fixture.folder}/x.db'`,
  ])
    await expect(connection.run(sql)).rejects.toThrow();
  await connection.run("BEGIN TRANSACTION READ ONLY");
  await expect(connection.run("CREATE TABLE t(a INTEGER)")).rejects.toThrow();
  await connection.run("ROLLBACK");
  expect(existsSync(join(fixture.folder, "x.csv"))).toBe(false);
  sandbox.close();
});

test("a NUL character is refused", async () => {
  expect((await problemOf("SELECT 1\0; DROP VIEW clicks")).detail).toContain("NUL");
  expect(must((await problemOf("SELECT")).line, "line")).toBe(1);
});
