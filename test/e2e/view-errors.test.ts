// millrace.view_errors: of every view, as many events as it counted as failed, with what failed; whatever its windows, its filter and what
// becomes of late events; while events come, after SIGKILL and after a stop.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";

const folder = temporaryFolder();
const running: Appliance[] = [];
afterAll(async () => {
  for (const appliance of running) await appliance.kill();
  folder.dispose();
});

const START_MS = Date.UTC(2025, 0, 1);
mkdirSync(join(folder.path, "data"));
writeFileSync(
  join(folder.path, "hits.avsc"),
  JSON.stringify({
    type: "record",
    name: "Hit",
    fields: [
      { name: "hit_at", type: { type: "long", logicalType: "timestamp-millis" } },
      { name: "kind", type: "string" },
      { name: "amount", type: ["null", "long"] },
      { name: "d", type: ["null", "double"] },
    ],
  }),
);
writeFileSync(
  join(folder.path, "hits.yaml"),
  `streams:
  hits: { schema: hits.avsc, event_time: hit_at, out_of_orderness: 10s }
views:
  minutes:
    sql: SELECT window_start, kind, count(*) AS n, sum(amount * 4611686018427387904) AS s FROM tumble(hits, hit_at, INTERVAL 1 MINUTE) WHERE kind <> 'c' GROUP BY ALL
    rollups: [1 hour]
  uneven:
    sql: SELECT window_start, max(CAST(d AS BIGINT)) AS top FROM hop(hits, hit_at, INTERVAL 40 SECONDS, INTERVAL 100 SECONDS, INTERVAL 7 SECONDS) GROUP BY ALL
  corrected:
    sql: SELECT window_start, sum(amount // (amount - 1)) FILTER (WHERE CAST(d AS INTEGER) > 0 OR d IS NULL) AS s FROM tumble(hits, hit_at, INTERVAL 1 MINUTE, INTERVAL 5 SECONDS) GROUP BY ALL
    late: { policy: update, allowed: 2m }
  moved:
    sql: SELECT window_start, count(CAST(d AS INTEGER)) AS n FROM hop(hits, hit_at, INTERVAL 1 MINUTE, INTERVAL 3 MINUTES) GROUP BY ALL
    late: { policy: update, allowed: 1m }
  dropped:
    sql: SELECT window_start, sum(amount + 9223372036854775807) AS s FROM tumble(hits, hit_at, INTERVAL 30 SECONDS) GROUP BY ALL
    late: { policy: drop }
  visits:
    sql: SELECT window_start, window_end, kind, sum(CAST(d AS BIGINT)) AS s FROM session(hits, hit_at, INTERVAL 20 SECONDS, kind) GROUP BY ALL
  plain:
    sql: SELECT hit_at, CAST(d AS BIGINT) AS whole, - amount AS less FROM hits WHERE CAST(d AS INTEGER) < 5 OR kind <> 'b'
  safe:
    sql: SELECT window_start, sum(amount) AS s FROM tumble(hits, hit_at, INTERVAL 1 MINUTE) GROUP BY ALL
checkpoint: { interval: 200ms }
`,
);

async function start(): Promise<Appliance> {
  const config = join(folder.path, "hits.yaml");
  const appliance = await Appliance.start({ config, data: join(folder.path, "data") });
  running.push(appliance);
  return appliance;
}

const random = seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_122));
const AMOUNTS = [null, 0, 1, 2, 7, -3, "9223372036854775807", "-9223372036854775808"];
const NUMBERS = [null, 0.5, -2, 3e9, 1e19, -1e300, 4];

/** Events of the n-th body: some are late, by seconds up to minutes. */
function body(n: number): string {
  const oneOf = (values: readonly unknown[]): string =>
    String(values[Math.floor(random() * values.length)]);
  return Array.from({ length: 60 }, () => {
    const backMs = random() < 0.3 ? Math.floor(random() * 300_000) : 0;
    const at = START_MS + n * 15_000 - backMs;
    return `{"hit_at": ${at}, "kind": "${oneOf(["a", "b", "c"])}", "amount": ${oneOf(AMOUNTS)}, "d": ${oneOf(NUMBERS)}}`;
  }).join("\n");
}

const FAILED = `SELECT name, failed, late > 0, (SELECT count(*) FROM millrace.view_errors WHERE view = name)
  FROM millrace.accounting WHERE kind = 'view' AND name <> 'minutes_1h' ORDER BY name`;

/** What each view counted, and that as many events are listed. */
async function failedBy(appliance: Appliance): Promise<Map<string, number>> {
  const { rows } = await appliance.rows(FAILED);
  for (const [name, failed, , listed] of rows) expect([name, listed]).toEqual([name, failed]);
  return new Map(rows.map(([name, failed]) => [String(name), Number(failed)]));
}

test("as many events are listed as each view counted", async () => {
  let live = await start();
  for (let n = 0; n < 30; n++) {
    await live.send(body(n));
    if (n % 5 === 0) await failedBy(live);
    if (n % 10 !== 9) continue;
    const before = await failedBy(live);
    if (n === 19) expect(await live.stop()).toBe(0);
    else await live.kill();
    live = await start();
    expect(await failedBy(live)).toEqual(before);
  }
  const failed = await failedBy(live);
  // it is about something: each of them failed for some, and had late events
  expect([...failed].filter(([name, count]) => (name === "safe") !== (count === 0))).toEqual([]);
  const { rows: late } = await live.rows(FAILED);
  expect(late.filter(([name, , isLate]) => name !== "plain" && isLate !== true)).toEqual([]);
  // which they are, and what failed, as DuckDB says it
  const { rows } = await live.rows(
    `SELECT operation, count(*), bool_and(TRY_CAST(h.d AS BIGINT) IS NULL), any_value(e.event_time = h.hit_at AND e.received_at = h.received_at)
     FROM millrace.view_errors e JOIN hits h USING (_position, _index) WHERE view = 'uneven' GROUP BY ALL`,
  );
  expect(rows).toEqual([['CAST("d" AS BIGINT)', failed.get("uneven"), true, true]]);
  expect(await live.stop()).toBe(0);
}, 60_000);
