// Watermarks that only some events move, and those that are the receipt's clock: over HTTP, a kill and a stop; `millrace verify` finds the batch.
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Appliance, FROM_SOURCE } from "./appliance.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-watermarks-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const START_MS = Date.UTC(2025, 0, 1);
const MINUTE_MS = 60_000;

for (const name of ["condition", "receipt"]) mkdirSync(join(root, name));
writeFileSync(
  join(root, "beats.avsc"),
  JSON.stringify({
    type: "record",
    name: "Beat",
    fields: [
      { name: "beat_at", type: { type: "long", logicalType: "timestamp-millis" } },
      { name: "kind", type: "string" },
    ],
  }),
);
writeFileSync(
  join(root, "beats.yaml"),
  `streams:
  beats: { schema: beats.avsc, event_time: beat_at, watermark: { punctuated: "kind = 'end'" } }
  arrivals: { schema: beats.avsc, event_time: received_at, idle_after: 300ms }
views:
  minutes:
    sql: SELECT window_start, kind, count(*) AS n FROM tumble(beats, beat_at, INTERVAL 1 MINUTE) GROUP BY ALL
  visits:
    sql: SELECT window_start, window_end, kind, count(*) AS n FROM session(beats, beat_at, INTERVAL 1 MINUTE, kind) GROUP BY ALL
  seconds:
    sql: SELECT window_start, window_end, count(*) AS n FROM tumble(arrivals, received_at, INTERVAL 1 SECOND) GROUP BY ALL
export: { interval: 200ms }
`,
);

const start = (name: "condition" | "receipt"): Promise<Appliance> =>
  Appliance.start({ config: join(root, "beats.yaml"), data: join(root, name) });

/** Events in one request, each `minutes` after the start of the year, from a source partition. */
async function send(
  to: Appliance,
  partition: string,
  events: readonly (readonly [minutes: number, kind: string])[],
): Promise<void> {
  const response = await fetch(`${to.address}/v1/events/beats`, {
    method: "POST",
    headers: { "content-type": "application/x-ndjson", "millrace-source-partition": partition },
    body: events
      .map(([minutes, kind]) => JSON.stringify({ beat_at: START_MS + minutes * MINUTE_MS, kind }))
      .join("\n"),
  });
  expect(response.status).toBe(200);
}

/** Runs a command of the real thing against an appliance, which must go well; what it printed. */
async function command(on: Appliance, ...words: string[]): Promise<string> {
  const more = ["--config", join(root, "beats.yaml"), "--url", on.address];
  const child = Bun.spawn([...FROM_SOURCE, ...words, ...more], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = await new Response(child.stdout).text();
  expect([await child.exited, said]).toEqual([0, expect.any(String)]);
  return said;
}

/** Waits until it is so, ten seconds at least. */
async function untilSo(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await isSo()) && tries < 200; tries++) await Bun.sleep(50);
  expect(await isSo()).toBe(true);
}

async function marks(of: Appliance): Promise<unknown> {
  const { rows } = await of.rows(
    "SELECT partition, watermark, partition_watermark, moved_by FROM millrace.watermarks WHERE stream = 'beats' ORDER BY 1",
  );
  return rows;
}

test("only events that satisfy the condition move the watermark, each its partition's, over a kill", async () => {
  let live = await start("condition");
  await send(live, "a", [
    [1, "beat"],
    [9, "beat"],
    [2, "end"],
    [1.5, "beat"],
    [7, "beat"],
  ]);
  const at = (minute: number): string => `2025-01-01T00:0${minute}:00Z`;
  expect(await marks(live)).toEqual([["a", at(2), at(2), "condition"]]);
  // b has said nothing about time yet; a goes on, and the stream waits.
  await send(live, "b", [[8, "beat"]]);
  await send(live, "a", [[5, "end"]]);
  const both = [
    ["a", at(2), at(5), "condition"],
    ["b", at(2), null, "condition"],
  ];
  expect(await marks(live)).toEqual(both);
  await live.kill();
  live = await start("condition");
  expect(await marks(live)).toEqual(both);
  await send(live, "b", [
    [4, "end"],
    [3, "beat"],
  ]);
  expect(await marks(live)).toEqual([
    ["a", at(4), at(5), "condition"],
    ["b", at(4), at(4), "condition"],
  ]);
  const { rows: behind } = await live.rows(
    "SELECT epoch_us(beat_at) // 1000000 % 86400, _behind // 1000000 FROM beats WHERE _behind > 0 ORDER BY ALL",
  );
  expect(behind).toEqual([
    [90, 30],
    [180, 60],
  ]);
  // The windows of the minutes 1 and 3 were closed.
  const { rows: late } = await live.rows(
    "SELECT view, count(*) FROM millrace.late_events WHERE view = 'minutes' GROUP BY ALL",
  );
  expect(late).toEqual([["minutes", 2]]);
  for (const view of ["minutes", "visits"]) await command(live, "verify", view);
  expect(await command(live, "preview", "minutes")).toContain(
    "9 events read, 0 events filtered, 2 events late",
  );
  await live.kill();
}, 30_000);

test("where the event time is the receipt, a window closes by the clock alone, after a stop too", async () => {
  let live = await start("receipt");
  const arrive = (): Promise<Response> =>
    live.post(JSON.stringify({ beat_at: 0, kind: "x" }), "application/json", "arrivals");
  const open = async (): Promise<unknown> => {
    const { rows } = await live.rows("SELECT count(*) FROM seconds WHERE NOT is_final");
    return rows[0]?.[0];
  };
  const untilClosed = (): Promise<void> => untilSo(async () => (await open()) === 0);
  expect((await arrive()).status).toBe(200);
  await untilClosed();
  const { rows } = await live.rows(
    "SELECT watermark > partition_newest_event_time, state, moved_by, (SELECT max(_behind) FROM arrivals), (SELECT sum(n) FROM seconds) FROM millrace.watermarks WHERE stream = 'arrivals'",
  );
  expect(rows).toEqual([[true, "idle", "receipt", 0, expect.anything()]]);
  expect((await arrive()).status).toBe(200);
  expect(await live.stop()).toBe(0);
  live = await start("receipt");
  await untilClosed();
  const { rows: counted } = await live.rows(
    "SELECT sum(n)::BIGINT, (SELECT count(*) FROM arrivals) FROM seconds WHERE is_final",
  );
  expect(counted).toEqual([[2, 2]]);
  const { rows: mistaken } = await live.rows(
    "SELECT count(*) FROM arrivals WHERE _behind <> 0 OR received_at IS NULL",
  );
  expect(mistaken).toEqual([[0]]);
  await untilSo(() => existsSync(join(root, "receipt/warehouse/default/arrivals_raw/data")));
  const [day] = readdirSync(join(root, "receipt/warehouse/default/arrivals_raw/data"));
  expect(day).toMatch(/^received_at_day=\d{4}-\d\d-\d\d$/);
  await command(live, "verify", "seconds");
  expect(await command(live, "preview", "seconds")).toContain("2 events read, 0 events filtered");
  await live.kill();
}, 40_000);
