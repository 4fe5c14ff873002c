// What producers were told against what an appliance answers and what other programs read of its tables: every acknowledged event once, and nothing else.
import { expect } from "bun:test";
import { join } from "node:path";
import { isPythonMissing, readBackBeside } from "../python/python.ts";
import type { Appliance } from "./appliance.ts";
import { CLICK } from "./click.ts";
import { newestMetadata } from "./iceberg-past.ts";
import type { Producer } from "./producer.ts";

/** Late events correct their window for so long, s. */
const ALLOWED_S = 3600;

/** Raw events by producer. Ids are numbers from 0 on, and so are prices: as many, as many different ones, and their sum, tell that each is there once. */
const RAW = `SELECT user_id, count(*), count(DISTINCT event_id), CAST(sum(price) AS VARCHAR), max(price)
  FROM clicks GROUP BY user_id ORDER BY user_id`;

/** Raw events with their window, and how far the watermark was beyond its beginning. */
const PLACED = `SELECT *, time_bucket(INTERVAL 1 MINUTE, event_time) AS start,
  event_time + to_microseconds(_behind) - time_bucket(INTERVAL 1 MINUTE, event_time) AS behind FROM clicks`;

/** Differences between the view and its rows computed from the raw events, of its rollup and its own rows, of late events; and dead letters. */
const COUNTED = `WITH placed AS (${PLACED}),
  batch AS (SELECT start, event_type, category, count(*) AS events, sum(price) AS revenue, count(*) FILTER (behind >= INTERVAL 1 MINUTE) AS revision
    FROM placed WHERE behind < to_seconds(${60 + ALLOWED_S}) GROUP BY ALL),
  stream AS (SELECT window_start, event_type, category, events, revenue, revision FROM per_minute),
  hours AS (SELECT window_start, event_type, category, events, revenue FROM per_minute_1h),
  sums AS (SELECT time_bucket(INTERVAL 1 HOUR, window_start), event_type, category, sum(events)::BIGINT, sum(revenue) FROM per_minute GROUP BY ALL)
  SELECT (SELECT count(*) FROM (FROM batch EXCEPT ALL FROM stream)), (SELECT count(*) FROM (FROM stream EXCEPT ALL FROM batch)),
    (SELECT count(*) FROM (FROM hours EXCEPT ALL FROM sums)), (SELECT count(*) FROM (FROM sums EXCEPT ALL FROM hours)),
    (SELECT count(*) FROM millrace.late_events WHERE view = 'per_minute')
      - (SELECT count(*) FROM placed WHERE behind >= to_seconds(${60 + ALLOWED_S})),
    (SELECT count(*) FROM (SELECT DISTINCT _position, _ordinal FROM millrace.dead_letters)) - (SELECT count(*) FROM millrace.dead_letters),
    (SELECT count(*) FROM millrace.dead_letters)`;

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

/** Every producer's events are in the raw events, the view is what these make, and nothing is red. No event may be on its way. */
export async function expectExact(
  appliance: Appliance,
  producers: readonly Producer[],
): Promise<void> {
  const position = Math.max(...producers.map((producer) => producer.position));
  const raw = await appliance.rows(RAW, position);
  expect(raw.rows).toEqual(
    producers
      .filter(({ events }) => events > 0)
      .map(({ name, events }) => [
        name,
        events,
        events,
        ((events * (events - 1)) / 2).toFixed(1),
        events - 1,
      ]),
  );
  const { rows } = await appliance.rows(COUNTED, position);
  const [counted = []] = rows.map((row) => row.map(Number));
  expect(counted.slice(0, -1)).toEqual([0, 0, 0, 0, 0, 0]);
  const rejects = counted.at(-1);
  expect(rejects).toBeGreaterThanOrEqual(sum(producers.map((one) => one.rejects.acknowledged)));
  expect(rejects).toBeLessThanOrEqual(sum(producers.map((one) => one.rejects.sent)));
  const health = await fetch(`${appliance.address}/health`);
  expect([health.status, await health.text()]).toEqual([200, expect.anything()]);
}

/** An event that closes every window, a stop, and then the tables as pyiceberg reads them. */
export async function expectTables(
  appliance: Appliance,
  producers: readonly Producer[],
  data: string,
): Promise<void> {
  const last = new Date(Date.UTC(2025, 11, 1)).toISOString();
  await appliance.send(
    JSON.stringify({
      event_id: "last",
      event_time: last,
      ...CLICK,
      user_id: "last",
      price: 0,
    }),
  );
  const wanted = await appliance.rows(
    `SELECT 1 + ${sum(producers.map(({ events }) => events))}, (SELECT sum(events) FROM per_minute WHERE is_final),
       (SELECT sum(revision) FROM per_minute WHERE is_final), (SELECT count(*) FROM millrace.late_events), (SELECT count(*) FROM millrace.dead_letters)`,
  );
  expect(await appliance.stop()).toBe(0);
  if (isPythonMissing) return;
  const [events = 0, counted = 0, revisions = 0, late = 0, rejects = 0] = (
    wanted.rows[0] ?? []
  ).map(Number);
  const raw = await sumsOf(data, "default/clicks_raw", "event_id", "price");
  const prices = sum(producers.map((one) => (one.events * (one.events - 1)) / 2));
  expect(raw).toEqual({ rows: events, distinct: events, sum: prices });
  const rows = await sumsOf(data, "default/per_minute", "window_start", "events");
  expect(rows.sum).toBe(counted);
  expect((await sumsOf(data, "default/per_minute", "window_start", "revision")).sum).toBe(
    revisions,
  );
  expect((await sumsOf(data, "millrace/late_events", "view", "_position")).rows).toBe(late);
  expect((await sumsOf(data, "millrace/dead_letters", "reason", "_position")).rows).toBe(rejects);
}

interface Sums {
  readonly rows: number;
  /** Different values of the first column that was asked for, and the sum of the second. */
  readonly distinct: number;
  readonly sum: number;
}

async function sumsOf(
  data: string,
  table: string,
  distinct: string,
  summed: string,
): Promise<Sums> {
  const metadata = newestMetadata(join(data, "warehouse", table, "metadata"));
  return (await readBackBeside("sums", metadata, distinct, summed)) as Sums;
}
