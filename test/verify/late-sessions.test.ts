// Which events were late for sessions, asked of relations that DuckDB holds: keys are told apart as groups are.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { Client } from "../../src/serve/client.ts";
import { lateInSessions } from "../../src/verify/late-sessions.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

let db: DuckDb;
let duckdb: DuckConnection;
let parser: ViewParser;
let server: ReturnType<typeof Bun.serve>;

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
    const client = new Client(server.url.origin, null);
    const found = await lateInSessions(client, await planOf(parser, sql), SCHEMA);
    expect(found.late).toEqual(late === 0 ? [] : [2n * 1_048_576n]);
  },
);
