// Sessions of a stream that receives an event before every question: what was final at the first one's position is compared, over relations that DuckDB holds.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { Client } from "../../src/serve/client.ts";
import { verifyView, type Verdict } from "../../src/verify/verify.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

const CALL = "session(clicks, event_time, INTERVAL 1 MINUTE, s) GROUP BY ALL";
/** The last event of what is there before the first question, and whether each question finds one more, or a reconcile. */
let position: number;
let comes: "nothing" | "events" | "reconciles";
let db: DuckDb;
let duckdb: DuckConnection;
let parser: ViewParser;
let server: ReturnType<typeof Bun.serve>;

beforeAll(async () => {
  parser = await ViewParser.open();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    ...WINDOW_MACROS,
    "CREATE SCHEMA millrace",
    "CREATE TABLE millrace.readers AS SELECT 'view:v' AS reader, 0 AS since, 'running' AS state, 0 AS position",
    "CREATE TABLE millrace.reconciled (view VARCHAR, window_from TIMESTAMPTZ, window_to TIMESTAMPTZ, raw_position BIGINT)",
    "CREATE TABLE millrace.watermarks AS SELECT 'clicks' AS stream, TIMESTAMPTZ '2024-01-01 10:10:00+00' AS watermark",
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
    "CREATE TABLE spoilt (s VARCHAR)",
    // as the stream has it: without the event that was late for the session of 'a'
    "CREATE VIEW on_time AS SELECT * FROM clicks WHERE _position <> 3",
    `CREATE VIEW v AS SELECT window_start, window_end, s, count(*) + CASE WHEN s IN (FROM spoilt) THEN 1 ELSE 0 END AS n
       FROM session(on_time, event_time, INTERVAL 1 MINUTE, s) GROUP BY window_start, window_end, s`,
  ]);
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { sql } = (await request.json()) as { sql: string };
      if (comes === "events") await add("live", 600 + ++position, 0);
      if (comes === "reconciles")
        await duckdb.execute([
          `INSERT INTO millrace.reconciled SELECT 'v', now(), now(), count(*) FROM millrace.reconciled`,
        ]);
      const answer = { columns: [], rows: (await duckdb.run(sql)).rows, position };
      return new Response(
        JSON.stringify(answer, (_, value: unknown) =>
          typeof value === "bigint" ? String(value) : value,
        ),
      );
    },
  });
}, 60_000);
afterAll(async () => {
  await server.stop(true);
  parser.close();
  duckdb.close();
  db.close();
}, 60_000);

/** An event at the newest position, `seconds` after ten o'clock. */
async function add(key: string, seconds: number, behindSeconds: number): Promise<void> {
  await duckdb.execute([
    `INSERT INTO clicks BY NAME SELECT TIMESTAMPTZ '2024-01-01 10:00:00+00' + to_seconds(${seconds}) AS event_time,
       '${key}' AS s, ${behindSeconds * 1_000_000}::BIGINT AS _behind, ${position} AS _position, 0 AS _index`,
  ]);
}

async function verified(
  during: typeof comes,
  spoilt: readonly string[] = [],
  columns = "window_start, window_end, s",
): Promise<Verdict> {
  await duckdb.execute(["TRUNCATE clicks", "TRUNCATE spoilt", "TRUNCATE millrace.reconciled"]);
  for (const key of spoilt) await duckdb.execute([`INSERT INTO spoilt VALUES ('${key}')`]);
  position = 0;
  // the third one is late for the session of 'a'
  for (const [key, seconds, behind] of [
    ["a", 0, 0],
    ["b", 590, 0],
    ["a", 30, 560],
    ["live", 600, 0],
  ] as const) {
    position++;
    await add(key, seconds, behind);
  }
  comes = during;
  const plan = await planOf(parser, `SELECT ${columns}, count(*) AS n FROM ${CALL}`);
  return verifyView(new Client(server.url.origin, null), plan, {
    plans: [plan],
    schemas: new Map([["clicks", { schema: SCHEMA }]]),
    range: null,
  });
}

test("a quiet stream: all sessions", async () => {
  expect(await verified("nothing")).toMatchObject({ rowCount: 3, differentCount: 0, note: null });
  expect(await verified("nothing", ["live"])).toMatchObject({ rowCount: 3, differentCount: 1 });
});

test("events all the time: those that were final at one position, which is said", async () => {
  const note = expect.stringContaining(
    "sessions that were not final at that position are left out",
  );
  const same = await verified("events");
  expect(same).toMatchObject({ kind: "compared", rowCount: 1, differentCount: 0, note });
  expect(await verified("events", ["a"])).toMatchObject({ rowCount: 1, differentCount: 1 });
  expect(await verified("events", ["b", "live"])).toMatchObject({ rowCount: 1, differentCount: 0 });
});

test("what cannot be judged is said", async () => {
  expect(await verified("events", [], "window_start, s")).toMatchObject({
    kind: "failed",
    why: expect.stringContaining("without window_end among its columns"),
  });
  expect(await verified("reconciles")).toMatchObject({
    kind: "failed",
    why: expect.stringContaining("late events were brought in (reconcile)"),
  });
});
