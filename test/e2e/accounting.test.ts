// millrace.accounting: both sums hold at every pinned position, against the events, dead letters, late events and rows that SQL counts at
// the same position, while events come, after SIGKILL and after a stop.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Appliance } from "./appliance.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-accounting-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const MINUTE_MS = 60_000;
const START_MS = Date.UTC(2025, 0, 1);

mkdirSync(join(root, "data"));
writeFileSync(
  join(root, "hits.avsc"),
  JSON.stringify({
    type: "record",
    name: "Hit",
    fields: [
      { name: "id", type: "long" },
      { name: "hit_at", type: { type: "long", logicalType: "timestamp-millis" } },
      { name: "kind", type: "string" },
      { name: "amount", type: "long" },
    ],
  }),
);
writeFileSync(
  join(root, "hits.yaml"),
  `streams:
  hits: { schema: hits.avsc, event_time: hit_at, event_id: id, out_of_orderness: 30s }
views:
  minutes:
    sql: SELECT window_start, kind, count(*) AS n FROM tumble(hits, hit_at, INTERVAL 1 MINUTE) WHERE kind <> 'c' GROUP BY ALL
    rollups: [1 hour, 1 day]
  ratios:
    sql: SELECT window_start, count(*) AS n, sum(amount * 4611686018427387904) AS s FROM tumble(hits, hit_at, INTERVAL 1 HOUR) GROUP BY ALL
  trend:
    sql: SELECT window_start, count(*) AS n FROM hop(hits, hit_at, INTERVAL 1 MINUTE, INTERVAL 3 MINUTE) WHERE kind <> 'c' GROUP BY ALL
  visits:
    sql: SELECT window_start, window_end, kind, count(*) AS n FROM session(hits, hit_at, INTERVAL 1 MINUTE, kind) GROUP BY ALL
  plain:
    sql: SELECT hit_at, kind FROM hits WHERE kind <> 'c'
  corrected:
    sql: SELECT window_start, count(*) AS n FROM tumble(hits, hit_at, INTERVAL 1 MINUTE) GROUP BY ALL
    late: { policy: update, allowed: 5m }
    rollups: [5m]
  dropped:
    sql: SELECT window_start, count(*) AS n FROM tumble(hits, hit_at, INTERVAL 1 MINUTE) GROUP BY ALL
    late: { policy: drop }
checkpoint: { interval: 200ms }
`,
);

const start = (): Promise<Appliance> =>
  Appliance.start({ config: join(root, "hits.yaml"), data: join(root, "data") });

let lastId = 0;
/** 40 events of the n-th body: some late, every tenth one sent before, every thirteenth one bad. */
function body(n: number): string {
  return Array.from({ length: 40 }, (_, at) => {
    if (at % 13 === 12) return '{"id": "no number"}';
    const id = at % 10 === 9 && lastId > 20 ? lastId - 20 : ++lastId;
    const backMs = at % 8 === 7 ? 10 * MINUTE_MS : at % 3;
    const kind = ["a", "b", "c", "4"][at % 4];
    const hit_at = START_MS + n * 20_000 - backMs;
    return JSON.stringify({ id, hit_at, kind, amount: at });
  }).join("\n");
}

/** Views with a row's number of events in n, each event in one row. */
const COUNTED = [
  "minutes",
  "minutes_1h",
  "minutes_1d",
  "ratios",
  "visits",
  "corrected",
  "corrected_5m",
  "dropped",
];
/** Of the stream, then of each view: what is missing. An event of a hop is in several rows. */
const SUMS = `SELECT
  (SELECT (sent - accepted - duplicates - rejected, accepted - (SELECT count(*) FROM hits),
    rejected - (SELECT count(*) FROM millrace.dead_letters))::VARCHAR FROM millrace.accounting WHERE kind = 'stream'),
  (SELECT list((unaccounted, accepted - (SELECT count(*) FROM hits),
    CASE name WHEN 'dropped' THEN 0 ELSE late - (SELECT count(*) FROM millrace.late_events WHERE view = regexp_replace(name, '_1h$|_1d$|_5m$', '')) END,
    applied + pending + failed - CASE name ${COUNTED.map((view) => `WHEN '${view}' THEN (SELECT coalesce(sum(n), 0) FROM ${view})`).join(" ")}
      WHEN 'plain' THEN (SELECT count(*) FROM plain) ELSE applied + pending + failed END)::VARCHAR ORDER BY name)
    FROM millrace.accounting WHERE kind = 'view')`;

async function expectSums(of: Appliance): Promise<void> {
  const { rows } = await of.rows(SUMS);
  expect(rows).toEqual([["(0, 0, 0)", Array.from({ length: 10 }, () => "(0, 0, 0, 0)")]]);
}

async function totals(of: Appliance): Promise<unknown> {
  const { rows } = await of.rows("SELECT * FROM millrace.accounting ORDER BY kind, name");
  return rows;
}

test("sums hold while events come, after kills and a stop", async () => {
  let live = await start();
  let sent = 0;
  for (let n = 0; n < 24; n++) {
    await live.send(body(n));
    sent += 40;
    if (n % 3 === 0) await expectSums(live);
    if (n % 8 !== 7) continue;
    const before = await totals(live);
    if (n === 15) expect(await live.stop()).toBe(0);
    else await live.kill();
    live = await start();
    expect(await totals(live)).toEqual(before);
    await expectSums(live);
  }
  // Killed while requests are under way: some are in, some are not, the sums hold either way.
  const open = Array.from({ length: 8 }, (_, at) => live.post(body(24 + at)).catch(() => null));
  await Promise.race(open);
  await live.kill();
  await Promise.all(open);
  live = await start();
  await expectSums(live);
  const { rows } = await live.rows(
    `SELECT sent >= ${sent}, duplicates > 0, rejected > 0 FROM millrace.accounting WHERE kind = 'stream'
     UNION ALL SELECT name = 'plain' OR late > 0, name NOT IN ('minutes', 'minutes_1h', 'minutes_1d', 'trend', 'plain') OR filtered > 0, name <> 'ratios' OR failed > 0
     FROM millrace.accounting WHERE kind = 'view'`,
  );
  expect(rows.flat().every((isSo) => isSo === true)).toBe(true);
  const [stream] = (
    await live.rows("SELECT accepted FROM millrace.accounting WHERE kind = 'stream'")
  ).rows;
  const metrics = await (await fetch(`${live.address}/metrics`)).text();
  expect(metrics).toContain(
    `millrace_stream_events_total{stream="hits",outcome="accepted"} ${String(stream?.[0])}\n`,
  );
  expect(metrics).toContain('millrace_source_partitions{stream="hits",state="connected"} 1\n');
  await live.kill();
}, 60_000);

test("a rollup that comes later counts what was open below, and what comes", async () => {
  const data = join(root, "later");
  mkdirSync(data);
  const path = join(root, "later.yaml");
  const yaml = (rollups: string): string => `streams:
  hits: { schema: hits.avsc, event_time: hit_at, event_id: id, out_of_orderness: 30s }
views:
  minutes:
    sql: SELECT window_start, kind, count(*) AS n FROM tumble(hits, hit_at, INTERVAL 1 MINUTE) WHERE kind <> 'c' GROUP BY ALL
${rollups}`;
  writeFileSync(path, yaml(""));
  let live = await Appliance.start({ config: path, data });
  for (let n = 100; n < 108; n++) await live.send(body(n));
  const { rows: before } = await live.rows(
    "SELECT pending FROM millrace.accounting WHERE kind = 'view'",
  );
  expect(await live.stop()).toBe(0);
  writeFileSync(path, yaml("    rollups: [1 hour]\n"));
  const accounts =
    "SELECT unaccounted, accepted, applied + pending - (SELECT sum(n) FROM minutes_1h) FROM millrace.accounting WHERE name = 'minutes_1h'";
  live = await Appliance.start({ config: path, data });
  expect((await live.rows(accounts)).rows).toEqual([[0, ...before.flat(), 0]]);
  for (let n = 108; n < 116; n++) await live.send(body(n));
  const { rows } = await live.rows(accounts);
  expect(rows).toEqual([[0, expect.any(Number), 0]]);
  await live.kill();
  live = await Appliance.start({ config: path, data });
  expect((await live.rows(accounts)).rows).toEqual(rows);
  await live.kill();
}, 30_000);
