// Source partitions over HTTP: the watermark waits for every producer that is not idle, over a restart and a kill too.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Appliance } from "./appliance.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-partitions-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2025, 0, 1);

function configuration(idleAfter: string): string {
  const folder = mkdtempSync(join(root, "c-"));
  writeFileSync(
    join(folder, "beats.avsc"),
    JSON.stringify({
      type: "record",
      name: "Beat",
      fields: [{ name: "beat_at", type: { type: "long", logicalType: "timestamp-millis" } }],
    }),
  );
  writeFileSync(
    join(folder, "beats.yaml"),
    `streams:
  beats: { schema: beats.avsc, event_time: beat_at, out_of_orderness: 0s, idle_after: ${idleAfter} }
views:
  hours:
    sql: SELECT window_start, count(*) AS n FROM tumble(beats, beat_at, INTERVAL 1 HOUR) GROUP BY ALL
`,
  );
  mkdirSync(join(folder, "data"));
  return folder;
}

function start(folder: string): Promise<Appliance> {
  return Appliance.start({ config: join(folder, "beats.yaml"), data: join(folder, "data") });
}

/** One event `hours` after the start of the year, from a partition. */
async function beat(to: Appliance, partition: string, hours: number): Promise<void> {
  const response = await fetch(`${to.address}/v1/events`, {
    method: "POST",
    headers: { "content-type": "application/json", "millrace-source-partition": partition },
    body: JSON.stringify({ beat_at: START_MS + hours * HOUR_MS }),
  });
  expect([response.status, await response.text()]).toEqual([200, expect.any(String)]);
}

async function states(of: Appliance): Promise<unknown> {
  const { rows } = await of.rows(
    "SELECT partition, state, watermark, idle_at IS NOT NULL FROM millrace.watermarks ORDER BY 1",
  );
  return rows;
}

async function closed(of: Appliance): Promise<unknown> {
  const { rows } = await of.rows("SELECT n FROM hours WHERE is_final ORDER BY window_start");
  return rows.map(([n]) => n);
}

/** Waits until `question` has this answer. */
async function until(question: () => Promise<unknown>, answer: unknown): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (Bun.deepEquals(await question(), answer)) return;
    await Bun.sleep(50);
  }
  expect(await question()).toEqual(answer);
}

let slow: Appliance;
let slowFolder: string;
beforeAll(async () => {
  slowFolder = configuration("1h");
  slow = await start(slowFolder);
});
afterAll(() => slow.kill());

test("the slowest of two producers holds the watermark, over a stop and a kill", async () => {
  await beat(slow, "a", 5);
  await beat(slow, "b", 1);
  const both = (watermark: string): unknown => [
    ["a", "connected", watermark, true],
    ["b", "connected", watermark, true],
  ];
  // b was new: it did not set the watermark back that a had reached alone.
  expect(await states(slow)).toEqual(both("2025-01-01T05:00:00Z"));
  await beat(slow, "a", 9);
  expect(await states(slow)).toEqual(both("2025-01-01T05:00:00Z"));
  await slow.kill();
  slow = await start(slowFolder);
  expect(await states(slow)).toEqual(both("2025-01-01T05:00:00Z"));
  await beat(slow, "b", 7);
  expect(await states(slow)).toEqual(both("2025-01-01T07:00:00Z"));
  // Of b's two beats the first was late for its window; a's at 5 is in a window that 7 has closed.
  expect(await closed(slow)).toEqual([1]);
  const { rows } = await slow.rows("SELECT count(*) FROM millrace.late_events");
  expect(rows).toEqual([[1]]);
});

test("names that are none are refused, and say what to send", async () => {
  for (const name of ["", "a b", "a/b", "x".repeat(129)]) {
    const response = await fetch(`${slow.address}/v1/events`, {
      method: "POST",
      headers: { "content-type": "application/json", "millrace-source-partition": name },
      body: "{}",
    });
    expect([response.status, await response.json()]).toEqual([
      400,
      expect.objectContaining({ code: "bad_source_partition" }),
    ]);
  }
});

test("a silent producer lets the watermark go on; when all are silent every window closes", async () => {
  const folder = configuration("1s");
  const quick = await start(folder);
  await beat(quick, "a", 1);
  await beat(quick, "b", 1);
  for (let hour = 2; hour < 4; hour++) await beat(quick, "a", hour);
  expect(await closed(quick)).toEqual([]);
  const idle = (state: string): unknown => [
    [state, "2025-01-01T03:00:00Z"],
    [state, "2025-01-01T03:00:00Z"],
  ];
  const seen = async (): Promise<unknown> => {
    const { rows } = await quick.rows("SELECT state, watermark FROM millrace.watermarks");
    return rows;
  };
  await until(seen, idle("idle"));
  // Out-of-orderness is 0 here: the window of hour 3 stays open, those before it are closed.
  await until(() => closed(quick), [2, 1]);
  await quick.kill();
  const again = await start(folder);
  expect(await closed(again)).toEqual([2, 1]);
  await again.kill();
}, 20_000);

test("beyond 1,024 active producers a new one is told to wait, and the others go on", async () => {
  const folder = configuration("1h");
  const many = await start(folder);
  for (let first = 0; first < 1024; first += 128)
    await Promise.all(
      Array.from({ length: 128 }, (_, index) => beat(many, `producer-${first + index}`, 1)),
    );
  const response = await fetch(`${many.address}/v1/events`, {
    method: "POST",
    headers: { "content-type": "application/json", "millrace-source-partition": "one-more" },
    body: JSON.stringify({ beat_at: START_MS }),
  });
  expect([response.status, await response.json()]).toEqual([
    429,
    expect.objectContaining({ code: "too_many_partitions" }),
  ]);
  await beat(many, "producer-1000", 2);
  const { rows } = await many.rows("SELECT count(*), min(state) FROM millrace.watermarks");
  expect(rows).toEqual([[1024, "connected"]]);
  await many.kill();
}, 20_000);
