// Late policy `update`, over tumbling windows and hops, with and without HAVING and a top-N: whatever the records, the encodings and the
// checkpoints, the last state of every row is that of all events that are not beyond the allowed lateness, its revision counts the late ones among
// them, and rows that corrections push out of the view are taken back.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReferenceFold } from "../../kernels/reference/fold.ts";
import { imageRows } from "../../src/event/image.ts";
import { shownRows } from "../../kernels/reference/shown.ts";
import {
  keyOrdinals,
  type HopWindow,
  type TumbleWindow,
  type ViewPlan,
} from "../../src/view/plan.ts";
import { LATE_COLUMNS } from "../../src/window/late.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import { BEHIND, eventArbitrary, SCHEMA, windowedPlanArbitrary } from "./arbitrary.ts";
import { crowdedArbitrary, shownArbitrary } from "./arbitrary-shown.ts";
import { differences, newWindows, place, recordOf } from "./drive.ts";
import { Table } from "./table.ts";

const viewArbitrary = windowedPlanArbitrary.chain((plan) =>
  fc.oneof(
    fc.constant(plan),
    shownArbitrary(plan, () => true).map((shown) => ({ ...plan, ...shown })),
  ),
);

const runArbitrary = fc.record({
  plan: fc.oneof(viewArbitrary, crowdedArbitrary),
  allowedUs: fc.constantFrom(1, 30_000_000, 90_000_000, 200_000_000),
  events: fc.array(eventArbitrary(), { minLength: 1, maxLength: 45, size: "max" }),
  sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  outOfOrdernessUs: fc.constantFrom(0, 5_000_000),
  receivedAtUs: fc.constantFrom(0, 100_000_000),
  everyUs: fc.constantFrom(100_000, 1_000_000),
  checkpoints: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
});

function windowOf({ window }: ViewPlan): TumbleWindow | HopWindow {
  if (window?.kind !== "tumble" && window?.kind !== "hop") throw new Error("windows of one size");
  return window;
}

function withUpdate(plan: ViewPlan, allowedUs: number): ViewPlan {
  return { ...plan, late: { policy: "update", allowedUs } };
}

test("corrected rows are those of all events within the allowed lateness", () => {
  let corrections = 0;
  fc.assert(
    fc.property(runArbitrary, (run) => {
      const plan = withUpdate(run.plan, run.allowedUs);
      const shown = { ...plan, keys: keyOrdinals(plan) };
      const { outOfOrdernessUs, allowedUs } = run;
      const model = new ReferenceFold(
        { ...plan, allowedUs, window: windowOf(plan) },
        outOfOrdernessUs,
        { eventTime: 0, behind: BEHIND },
      );
      const stored = new Map<number, SavedPage>();
      const kept: ViewOutput[] = [];
      const table = new Table(plan);
      const late: ViewOutput[] = [];
      let windows = newWindows();
      windows.addView(plan, SCHEMA, { since: 0 });
      for (const [index, events] of place(run.events, run.sizes, run).entries()) {
        const outputs = windows.fold(recordOf(events, new Set()));
        table.take(outputs);
        late.push(...outputs.filter(({ kind }) => kind === "late"));
        for (const event of events) model.fold(event.cells, event);
        // what a question sees at this position: the table, what is not put out yet, and the open windows
        const corrected = windows.corrected(plan.name);
        corrections += [...outputs, ...corrected].filter(({ op }) => op !== undefined).length;
        const seen = table.with(corrected);
        const open = windows.openWindows(plan.name).flatMap(({ images }) => images);
        seen.append(open.map(({ image }) => image));
        const rows = [...seen.rows.values()];
        const all = [...model.closed, ...model.open()];
        expect(differences(rows, shownRows(all, shown))).toEqual([]);
        if (run.checkpoints[index % run.checkpoints.length] !== true) continue;
        const checkpoint = windows.takeCheckpoint();
        for (const page of checkpoint.freed) stored.delete(page);
        for (const page of checkpoint.pages) stored.set(page.page, page);
        kept.push(...checkpoint.outputs);
        windows = newWindows();
        windows.restore(stored.values(), checkpoint.body, kept);
        windows.addView(plan, SCHEMA, { since: 0 });
      }
      const lateRows = late.flatMap(({ image }) => imageRows(image, LATE_COLUMNS));
      expect(lateRows.map((row) => [row[0], row[1], row[2], Number(row[4]), row[5]])).toEqual(
        model.late.map(({ timeUs, startUs, endUs, position, index }) => [
          timeUs,
          startUs,
          endUs,
          position,
          index,
        ]),
      );
      expect(windows.stats()[0]?.counts).toEqual(model.counts);
      windows.dropView(plan.name);
      expect(windows.stateBytes).toBe(0);
    }),
    { numRuns: Number(process.env["RUNS"] ?? 50) },
  );
  // otherwise little was tested
  expect(corrections).toBeGreaterThan(0);
}, 180_000);

test("drop counts a late event and puts nothing out for it", () => {
  fc.assert(
    fc.property(runArbitrary, (run) => {
      const { outOfOrdernessUs } = run;
      const plan: ViewPlan = { ...run.plan, late: { policy: "drop", allowedUs: 0 } };
      const model = new ReferenceFold({ ...plan, window: windowOf(plan) }, outOfOrdernessUs, {
        eventTime: 0,
        behind: BEHIND,
      });
      const windows = newWindows();
      windows.addView(plan, SCHEMA, { since: 0 });
      const outputs = place(run.events, run.sizes, run).flatMap((events) => {
        for (const event of events) model.fold(event.cells, event);
        return windows.fold(recordOf(events, new Set()));
      });
      expect(outputs.filter(({ kind }) => kind === "late")).toEqual([]);
      expect(windows.stats()[0]?.counts).toEqual(model.counts);
    }),
    { numRuns: 40 },
  );
}, 180_000);
