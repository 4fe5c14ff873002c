// Which events were late for sessions, asked of relations that DuckDB holds: keys are told apart as groups are.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { Client } from "../../src/serve/client.ts";
import { behindText, lateInSessions } from "../../src/verify/late-sessions.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

let db: DuckDb;
let duckdb: DuckConnection;
let parser: ViewParser;
let server: ReturnType<typeof Bun.serve>;

const ALL = { index: 0, count: 1 };

function client(): Client {
  return new Client(server.url.origin, null);
}

beforeAll(async () => {
  parser = await ViewParser.open();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    "CREATE SCHEMA millrace",
    "CREATE TABLE millrace.reconciled (view VARCHAR, window_from TIMESTAMPTZ, window_to TIMESTAMPTZ, raw_position BIGINT)",
    "CREATE TABLE millrace.readers AS SELECT 'view:v' AS reader, 0 AS since",
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
  ]);
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { sql } = (await request.json()) as { sql: string };
      return Response.json({ columns: [], rows: (await duckdb.run(sql)).rows, position: 7 });
    },
  });
}, 60_000);
afterAll(async () => {
  await server.stop(true);
  parser.close();
  duckdb.close();
  db.close();
}, 60_000);

test.each([
  ["d", "0.0", "-0.0", 1],
  ["f", "-0.0", "0.0", 1],
  ["d", "NULL", "NULL", 1],
  ["d", "NULL", "0.0", 0],
  ["s", "'0'", "'-0'", 0],
])(
  "%s: %s, then %s within the gap of the session that closed: %d late",
  async (key, a, b, late) => {
    const sql = `SELECT window_start, ${key}, count(*) AS n FROM session(clicks, event_time, INTERVAL 1 MINUTE, ${key}) GROUP BY ALL`;
    // the watermark is 70 s beyond the first event, 10 s beyond its session, when the second one comes
    await duckdb.execute([
      "TRUNCATE clicks",
      `INSERT INTO clicks BY NAME SELECT TIMESTAMPTZ '2024-01-01 10:00:00+00' AS event_time, ${a} AS ${key}, 0 AS _behind, 1 AS _position, 0 AS _index
     UNION ALL SELECT '2024-01-01 10:00:30+00', ${b}, 40_000_000, 2, 0`,
    ]);
    const plan = await planOf(parser, sql);
    const found = await lateInSessions(client(), plan, SCHEMA, { part: ALL, position: 7 });
    expect(found.count).toBe(1);
    expect(found.base64()).toBe(late === 0 ? "AA==" : "gA==");
  },
);

/** Place and key of the late events, by the bits of each part's events in the log's order. */
async function lateBy(count: number): Promise<string[]> {
  const late: string[] = [];
  const plan = await planOf(
    parser,
    "SELECT window_start, s, i, count(*) AS n FROM session(clicks, event_time, INTERVAL 1 MINUTE, s, i) GROUP BY ALL",
  );
  for (let index = 0; index < count; index++) {
    const asked = { part: { index, count }, position: 7 };
    const bits = await lateInSessions(client(), plan, SCHEMA, asked);
    const { rows } = await duckdb.run(
      `SELECT _position || ' ' || coalesce(s, '-') || i FROM clicks WHERE ${behindText(plan, SCHEMA, asked)} ORDER BY _position, _index`,
    );
    const bytes = Buffer.from(bits.base64(), "base64");
    late.push(
      ...rows
        .filter((_, nth) => ((bytes[nth >> 3] ?? 0) & (128 >> (nth & 7))) > 0)
        .map(([row]) => String(row)),
    );
    expect(rows.length).toBe(bits.count);
  }
  return late.toSorted();
}

test("parts of the keys say what all of them say", async () => {
  await duckdb.execute([
    "TRUNCATE clicks",
    `INSERT INTO clicks BY NAME SELECT TIMESTAMPTZ '2024-01-01 10:00:00+00' + to_seconds(k * 7 - hash(k) % 600) AS event_time,
       CASE WHEN k % 5 > 0 THEN 's' || k % 5 END AS s, k % 3 AS i, (hash(k) % 600)::BIGINT * 1_000_000 - 60_000_000 AS _behind, 1 + k // 500 AS _position, k % 500 AS _index
     FROM range(3000) e(k)`,
  ]);
  const late = await lateBy(1);
  expect(late.length).toBeGreaterThan(500);
  expect(await lateBy(4)).toEqual(late);
});
