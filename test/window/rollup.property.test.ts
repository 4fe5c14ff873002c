// Rollups of random plans: each level has what all events give that the lowest one did not refuse, whatever the records and checkpoints, also
// where late events correct closed windows; pictures of open windows hold what is still open below.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReferenceFold, type ReferenceView } from "../../kernels/reference/fold.ts";
import { shownRows } from "../../kernels/reference/shown.ts";
import { keyOrdinals, type LatePlan, type ViewPlan, type WindowPlan } from "../../src/view/plan.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import type { Windows } from "../../src/window/windows.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import { BEHIND, eventArbitrary, mergeable, planArbitrary, SCHEMA } from "./arbitrary.ts";
import { crowdedArbitrary } from "./arbitrary-shown.ts";
import { differences, newWindows, place, recordOf } from "./drive.ts";
import { Table } from "./table.ts";

const SECOND_US = 1_000_000;
const SIZE_US = 20 * SECOND_US;

const runArbitrary = fc.record({
  plan: fc.oneof(planArbitrary, crowdedArbitrary),
  top: fc.constantFrom(
    { day: true, offsetUs: 0 },
    { day: false, offsetUs: 0 },
    { day: false, offsetUs: 7 * SECOND_US },
  ),
  allowedUs: fc.constantFrom(0, 0, 30_000_000, 100_000_000),
  events: fc.array(eventArbitrary(), { minLength: 1, maxLength: 40, size: "max" }),
  sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  outOfOrdernessUs: fc.constantFrom(0, 5_000_000),
  receivedAtUs: fc.constantFrom(0, 100_000_000),
  everyUs: fc.constantFrom(100_000, 1_000_000),
  checkpoints: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
});

/** The lowest view, one over it, and one over that or over the lowest. */
function levels(run: {
  plan: ViewPlan;
  /** Whole windows of the lowest view make a day: then there is no offset. */
  top: { day: boolean; offsetUs: number };
  allowedUs: number;
}): ViewPlan[] {
  const { allowedUs } = run;
  const { offsetUs, day } = run.top;
  const late: LatePlan =
    allowedUs > 0 ? { policy: "update", allowedUs } : { policy: "side", allowedUs };
  const { having, topN } = run.plan;
  const base = { ...mergeable(run.plan), having, topN, late };
  const tumble = (sizeUs: number): WindowPlan => ({ kind: "tumble", sizeUs, offsetUs });
  const top: WindowPlan = day ? { kind: "calendar_day", timeZone: "UTC" } : tumble(SIZE_US * 9);
  return [
    { ...base, name: "low", window: tumble(SIZE_US) },
    { ...base, name: "middle", window: tumble(SIZE_US * 3), rollupOf: "low" },
    { ...base, name: "top", window: top, rollupOf: day ? "low" : "middle" },
  ];
}

function rangeOf(window: WindowPlan | null, startUs: bigint): { startUs: bigint; endUs: bigint } {
  const isDay = window?.kind === "calendar_day";
  const size = BigInt(isDay ? 86_400 * SECOND_US : window?.kind === "tumble" ? window.sizeUs : 1);
  const offset = BigInt(window?.kind === "tumble" ? window.offsetUs : 0);
  const rest = (((startUs - offset) % size) + size) % size;
  return { startUs: startUs - rest, endUs: startUs - rest + size };
}

function modelOf(plan: ViewPlan, offsetUs: number, outOfOrdernessUs: number): ReferenceFold {
  const view: ReferenceView = {
    ...plan,
    allowedUs: plan.late.allowedUs,
    window: { sizeUs: SIZE_US, offsetUs },
    above: (startUs) => rangeOf(plan.window, startUs),
  };
  return new ReferenceFold(view, outOfOrdernessUs, { eventTime: 0, behind: BEHIND });
}

test("each level is the merge of the one below", () => {
  let merged = 0;
  fc.assert(
    fc.property(runArbitrary, (run) => {
      const plans = levels(run);
      const models = plans.map((plan) => modelOf(plan, run.top.offsetUs, run.outOfOrdernessUs));
      const tables = plans.map((plan) => new Table(plan));
      const add = (windows: Windows): Windows => {
        for (const plan of plans) windows.addView(plan, SCHEMA, { since: 0 });
        return windows;
      };
      const stored = new Map<number, SavedPage>();
      const kept: ViewOutput[] = [];
      let windows = add(newWindows());
      for (const [index, events] of place(run.events, run.sizes, run).entries()) {
        const outputs = windows.fold(recordOf(events, new Set()));
        for (const event of events) for (const model of models) model.fold(event.cells, event);
        plans.forEach((plan, level) => {
          const table = tables[level] as Table;
          const model = models[level] as ReferenceFold;
          table.take(outputs.filter(({ view }) => view === plan.name));
          merged += level > 0 ? table.rows.size : 0;
          const seen = table.with(windows.corrected(plan.name));
          const open = windows.openWindows(plan.name).flatMap(({ images }) => images);
          seen.append(open.map(({ image }) => image));
          const shown = { ...plan, keys: keyOrdinals(plan) };
          const expected = shownRows([...model.closed, ...model.open()], shown);
          expect(differences([...seen.rows.values()], expected)).toEqual([]);
        });
        if (run.checkpoints[index % run.checkpoints.length] !== true) continue;
        const checkpoint = windows.takeCheckpoint();
        for (const page of checkpoint.freed) stored.delete(page);
        for (const page of checkpoint.pages) stored.set(page.page, page);
        kept.push(...checkpoint.outputs);
        windows = newWindows();
        windows.restore(stored.values(), checkpoint.body, kept);
        add(windows);
      }
      expect(windows.stats().map(({ counts }) => counts)).toEqual(
        models.map(({ counts }) => counts),
      );
    }),
    { numRuns: Number(process.env["RUNS"] ?? 40) },
  );
  expect(merged).toBeGreaterThan(0);
}, 180_000);

test("a rollup is added after the view below and removed before it", () => {
  const [low, middle] = levels({
    plan: fc.sample(planArbitrary, { numRuns: 1, seed: 1 })[0] as ViewPlan,
    top: { day: false, offsetUs: 0 },
    allowedUs: 0,
  });
  const windows = newWindows();
  expect(() => windows.addView(middle as ViewPlan, SCHEMA, { since: 0 })).toThrow("below middle");
  windows.addView(low as ViewPlan, SCHEMA, { since: 0 });
  windows.addView(middle as ViewPlan, SCHEMA, { since: 0 });
  expect(() => windows.dropView("low")).toThrow("removed first");
  windows.dropView("middle");
  windows.dropView("low");
  expect(windows.stateBytes).toBe(0);
});
