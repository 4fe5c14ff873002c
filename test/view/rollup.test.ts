import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { explainPlan, planHash } from "../../src/view/explain.ts";
import { ViewParser } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { rollupPlans, type RollupLevel } from "../../src/view/rollup.ts";
import { planOf, SCHEMA } from "./fixture.ts";

const MINUTE_US = 60_000_000;
const HOUR_US = 60 * MINUTE_US;
const DAY_US = 24 * HOUR_US;
let parser: ViewParser;

beforeAll(async () => {
  parser = await ViewParser.open();
});
afterAll(() => parser.close());

const over = (from: string): Promise<ViewPlan> =>
  planOf(parser, `SELECT window_start, s, count(*) AS n FROM ${from} GROUP BY ALL HAVING n > 1`);
const minute = (): Promise<ViewPlan> => over("tumble(clicks, event_time, INTERVAL 1 MINUTE)");
const level = (everyUs: number, timeZone: string | null = null): RollupLevel => ({
  everyUs,
  timeZone,
});

describe("levels", () => {
  test("each reads the coarsest one below that it holds whole, and has the view's keys, aggregates and conditions", async () => {
    const view = await minute();
    const levels = [level(DAY_US), level(HOUR_US), level(25 * MINUTE_US)];
    const result = rollupPlans(view, levels);
    const plans = result.kind === "plans" ? result.plans : [];
    expect(plans.map(({ name, rollupOf, window }) => [name, rollupOf, window])).toEqual([
      ["v_25m", "v", { kind: "tumble", sizeUs: 25 * MINUTE_US, offsetUs: 0 }],
      ["v_1h", "v", { kind: "tumble", sizeUs: HOUR_US, offsetUs: 0 }],
      ["v_1d", "v_1h", { kind: "tumble", sizeUs: DAY_US, offsetUs: 0 }],
    ]);
    for (const plan of plans) {
      expect([plan.keys, plan.aggregates, plan.having]).toEqual([
        view.keys,
        view.aggregates,
        view.having,
      ]);
      expect(planHash(plan)).not.toBe(planHash(view));
    }
    const [, hour] = plans;
    expect(hour && explainPlan(hour, SCHEMA)).toContain("merges  v in windows of 3600 s\n");
  });

  test("the view's offset is that of all levels", async () => {
    const view = await over("tumble(clicks, event_time, INTERVAL 1 HOUR, INTERVAL 20 MINUTE)");
    const result = rollupPlans(view, [level(DAY_US)]);
    expect(result.kind === "plans" && result.plans[0]?.window).toEqual({
      kind: "tumble",
      sizeUs: DAY_US,
      offsetUs: 20 * MINUTE_US,
    });
  });

  test("calendar days are merged from what fits into the zone's days", async () => {
    const view = await minute();
    const belowDays = (timeZone: string): string | null => {
      const result = rollupPlans(view, [level(HOUR_US), level(DAY_US, timeZone)]);
      return result.kind === "plans" ? (result.plans[1]?.rollupOf ?? null) : null;
    };
    expect(belowDays("Europe/Berlin")).toBe("v_1h");
    expect(belowDays("Asia/Kolkata")).toBe("v");
    expect(belowDays("Asia/Kathmandu")).toBe("v");
  });
});

describe("refused", () => {
  test.each([
    [
      "no tumble",
      "hop(clicks, event_time, INTERVAL 1 MINUTE, INTERVAL 5 MINUTE)",
      [level(HOUR_US)],
      "only views over tumble",
    ],
    [
      "no multiple",
      "tumble(clicks, event_time, INTERVAL 7 MINUTE)",
      [level(HOUR_US)],
      "windows of 1h do not consist of whole windows of v; choose a multiple of its size",
    ],
    [
      "the same size",
      "tumble(clicks, event_time, INTERVAL 1 HOUR)",
      [level(HOUR_US)],
      "windows of 1h do not consist",
    ],
    [
      "twice",
      "tumble(clicks, event_time, INTERVAL 1 HOUR)",
      [level(DAY_US), level(DAY_US, "UTC")],
      "two rollups of 1d",
    ],
    [
      "no zone",
      "tumble(clicks, event_time, INTERVAL 1 HOUR)",
      [level(DAY_US, "Europe/Nowhere")],
      "no time zone",
    ],
    [
      "half hours",
      "tumble(clicks, event_time, INTERVAL 1 HOUR)",
      [level(DAY_US, "Asia/Kolkata")],
      "1d in Asia/Kolkata do not consist of whole windows of v; the zone's days begin within windows of the view: make them 30m long, or a part of that",
    ],
    [
      "half minutes, once",
      "tumble(clicks, event_time, INTERVAL 15 MINUTE)",
      [level(DAY_US, "Africa/Monrovia")],
      "the zone's days begin within windows of the view: make them 30s long, or a part of that",
    ],
    [
      "shifted days",
      "tumble(clicks, event_time, INTERVAL 1 HOUR, INTERVAL 1 MINUTE)",
      [level(DAY_US, "UTC")],
      "do not consist of whole windows of v; days of a time zone need a view without an offset",
    ],
  ] as const)("%s", async (_, from, levels, message) => {
    const result = rollupPlans(await over(from), levels);
    const told = result.kind === "fault" ? `${result.message}; ${result.advice}` : "";
    expect(told).toContain(message);
  });
});
