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
  ratios:
    sql: SELECT window_start, count(*) AS n, sum(amount * 4611686018427387904) AS s FROM tumble(hits, hit_at, INTERVAL 1 HOUR) GROUP BY ALL
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

const SUMS = `SELECT
  (SELECT (sent - accepted - duplicates - rejected, accepted - (SELECT count(*) FROM hits),
    rejected - (SELECT count(*) FROM millrace.dead_letters))::VARCHAR FROM millrace.accounting WHERE kind = 'stream'),
  (SELECT list((unaccounted, accepted - (SELECT count(*) FROM hits),
    late - (SELECT count(*) FROM millrace.late_events WHERE view = name),
    applied + pending + failed - CASE name WHEN 'minutes' THEN (SELECT coalesce(sum(n), 0) FROM minutes)
      ELSE (SELECT coalesce(sum(n), 0) FROM ratios) END)::VARCHAR ORDER BY name) FROM millrace.accounting WHERE kind = 'view')`;

async function expectSums(of: Appliance): Promise<void> {
  const { rows } = await of.rows(SUMS);
  expect(rows).toEqual([["(0, 0, 0)", ["(0, 0, 0, 0)", "(0, 0, 0, 0)"]]]);
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
     UNION ALL SELECT late > 0, name = 'ratios' OR filtered > 0, name = 'minutes' OR failed > 0
     FROM millrace.accounting WHERE kind = 'view'`,
  );
  expect(rows.flat().every((isSo) => isSo === true)).toBe(true);
  await live.kill();
}, 60_000);
