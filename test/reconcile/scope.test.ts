// Which windows are final together with those of the rollups over them, and what is computed together: against the calendar by hand.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chunksOf,
  finalBeforeUs,
  reconcileRefusal,
  withRollups,
} from "../../src/reconcile/scope.ts";
import { RECONCILE_CHUNK_EVENTS, RECONCILE_CHUNK_WINDOWS } from "../../src/limits.ts";
import { ViewParser } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { rollupPlans } from "../../src/view/rollup.ts";
import { planOf } from "../view/fixture.ts";

let parser: ViewParser;
beforeAll(async () => {
  parser = await ViewParser.open();
});
afterAll(() => parser.close());

const us = (time: string): bigint => BigInt(Date.parse(time)) * 1000n;

/** The view, then hours and days of India, whose midnight lies within an hour of UTC. */
async function levels(): Promise<ViewPlan[]> {
  const sql =
    "SELECT window_start, count(*) AS n FROM tumble(clicks, event_time, INTERVAL 10 MINUTES) GROUP BY ALL";
  const plan = await planOf(parser, sql);
  const hour = 3_600_000_000;
  const made = rollupPlans(plan, [
    { everyUs: hour, timeZone: null },
    { everyUs: 24 * hour, timeZone: "Asia/Kolkata" },
  ]);
  if (made.kind === "fault") throw new Error(made.message);
  return withRollups(plan, [...made.plans, plan]);
}

test("final: the view's window, and those above it", async () => {
  const plans = await levels();
  const [plan] = plans as [ViewPlan];
  expect(plans).toHaveLength(3);
  const at = us("2024-03-05T17:47:00Z");
  expect(finalBeforeUs([plan], at)).toBe(us("2024-03-05T17:40:00Z"));
  expect(finalBeforeUs([plan], us("2024-03-05T17:40:00Z"))).toBe(us("2024-03-05T17:40:00Z"));
  const late = { policy: "update", allowedUs: 3_600_000_000 } as const;
  expect(finalBeforeUs([{ ...plan, late }], at)).toBe(us("2024-03-05T16:40:00Z"));
  expect(finalBeforeUs(plans, at)).toBe(us("2024-03-04T18:30:00Z"));
  expect(finalBeforeUs(plans, us("2024-03-05T18:30:00Z"))).toBe(us("2024-03-05T18:00:00Z"));
});

test("chunks hold whole windows of the rollups, and not too much", async () => {
  const plans = await levels();
  const [plan] = plans as [ViewPlan];
  const window = (time: string, eventCount = 1): Parameters<typeof chunksOf>[1][number] => ({
    startUs: us(time),
    eventCount,
    lateCount: 1,
  });
  // the hour reaches beyond the day
  expect(chunksOf(plans, [window("2024-03-05T18:10:00Z")])[0]?.ranges).toEqual([
    { startUs: us("2024-03-04T18:30:00Z"), endUs: us("2024-03-05T19:00:00Z") },
  ]);
  // ... also when another window of the same day comes first
  const both = [window("2024-03-05T01:00:00Z"), window("2024-03-05T18:10:00Z")];
  expect(chunksOf(plans, both).map(({ ranges }) => ranges)).toEqual([
    [{ startUs: us("2024-03-04T18:30:00Z"), endUs: us("2024-03-05T19:00:00Z") }],
  ]);
  const [one] = chunksOf(plans, [window("2024-03-05T01:00:00Z"), window("2024-03-05T11:00:00Z")]);
  expect([one?.ranges.length, one?.windows.length]).toEqual([1, 2]);
  const many = Array.from({ length: RECONCILE_CHUNK_WINDOWS + 1 }, (_, n) =>
    window(new Date(Date.UTC(2024, 0, 1) + n * 600_000).toISOString()),
  );
  expect(chunksOf([plan], many).map(({ windows }) => windows.length)).toEqual([
    RECONCILE_CHUNK_WINDOWS,
    1,
  ]);
  // what is a window apart at most is read as one range, whose events count
  const some = ["00:00", "00:10", "00:30", "01:00"].map((time) =>
    window(`2024-03-05T${time}:00Z`, RECONCILE_CHUNK_EVENTS / 4),
  );
  expect(chunksOf([plan], some)).toMatchObject([
    {
      ranges: [{ startUs: us("2024-03-05T00:00:00Z"), endUs: us("2024-03-05T00:40:00Z") }],
      windows: some.slice(0, 3),
      topCount: 3,
    },
    {
      ranges: [{ startUs: us("2024-03-05T01:00:00Z"), endUs: us("2024-03-05T01:10:00Z") }],
      windows: some.slice(3),
      topCount: 1,
    },
  ]);
  // a day of 144 windows like this one is as much as a chunk takes
  const heavy = ["05", "06", "07"].map((day) =>
    window(`2024-03-${day}T01:00:00Z`, RECONCILE_CHUNK_EVENTS / 100),
  );
  expect(chunksOf(plans, heavy).map(({ windows }) => windows.length)).toEqual([1, 1, 1]);
  expect(chunksOf([plan], heavy)).toHaveLength(1);
  const large = ["00:00", "00:10", "00:20"].map((time) =>
    window(`2024-03-05T${time}:00Z`, RECONCILE_CHUNK_EVENTS),
  );
  expect(chunksOf([plan], large).map(({ windows }) => windows.length)).toEqual([1, 1, 1]);
});

test("what cannot be reconciled is refused with a reason", async () => {
  const [, rollup] = await levels();
  expect(rollup === undefined ? null : reconcileRefusal(rollup)).toMatch(
    /is a rollup: reconcile v/,
  );
  const of = async (sql: string): Promise<string | null> =>
    reconcileRefusal(await planOf(parser, sql));
  expect(await of("SELECT event_time, i FROM clicks")).toMatch(/has no windows/);
  const sessions = await planOf(
    parser,
    "SELECT window_start, user_id, count(*) AS n FROM session(clicks, event_time, INTERVAL 1 MINUTE, user_id) GROUP BY ALL",
  );
  expect(reconcileRefusal(sessions)).toBeNull();
  const late = { policy: "drop", allowedUs: 0 } as const;
  expect(reconcileRefusal({ ...sessions, late })).toMatch(/nothing tells which events were late/);
});
