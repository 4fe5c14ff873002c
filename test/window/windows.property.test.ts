// Random plans over random events: the kernels give the rows, late rows and counts of the plain model, however events are cut into
// records and encoded, and across checkpoints.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import {
  BEHIND,
  eventArbitrary,
  IMAGE_COLUMNS,
  windowedPlanArbitrary,
  SCHEMA,
} from "./arbitrary.ts";
import { differences, newWindows, outputRows, place, recordOf } from "./drive.ts";
import { ReferenceFold } from "../../kernels/reference/fold.ts";
import { imageRows } from "../../src/event/image.ts";
import { LATE_COLUMNS } from "../../src/window/late.ts";
import type { HopWindow, TumbleWindow, ViewPlan } from "../../src/view/plan.ts";

const TEXTS = IMAGE_COLUMNS.flatMap(({ type }, ordinal) =>
  type.kind === "VARCHAR" ? [ordinal] : [],
);

function windowOf({ window }: ViewPlan): TumbleWindow | HopWindow {
  if (window?.kind === "tumble" || window?.kind === "hop") return window;
  throw new Error("a window of one size");
}

const runArbitrary = fc.record({
  plan: windowedPlanArbitrary,
  events: fc.array(eventArbitrary(), { minLength: 1, maxLength: 60 }),
  sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  dictionaries: fc.subarray(TEXTS),
  outOfOrdernessUs: fc.constantFrom(0, 5_000_000, 90_000_000),
  receivedAtUs: fc.constantFrom(0, 100_000_000),
  checkpoints: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
});

test("kernels and model agree", () => {
  fc.assert(
    fc.property(runArbitrary, (run) => {
      const { plan, outOfOrdernessUs } = run;
      const model = new ReferenceFold({ ...plan, window: windowOf(plan) }, outOfOrdernessUs, {
        eventTime: 0,
        behind: BEHIND,
      });
      const records = place(run.events, run.sizes, run);
      const stored = new Map<number, SavedPage>();
      let windows = newWindows();
      windows.addView(plan, SCHEMA, { since: 0 });
      const outputs: ViewOutput[] = [];
      const kept: ViewOutput[] = [];
      for (const [index, events] of records.entries()) {
        outputs.push(...windows.fold(recordOf(events, new Set(run.dictionaries))));
        for (const event of events) model.fold(event.cells, event);
        if (run.checkpoints[index % run.checkpoints.length] !== true) continue;
        const checkpoint = windows.takeCheckpoint();
        for (const page of checkpoint.freed) stored.delete(page);
        for (const page of checkpoint.pages) stored.set(page.page, page);
        kept.push(...checkpoint.outputs);
        windows = newWindows();
        windows.restore(stored.values(), checkpoint.body, kept);
        windows.addView(plan, SCHEMA, { since: 0 });
        expect(windows.pending(plan.name)).toEqual(outputs);
      }
      const rows = outputs.filter(({ kind }) => kind === "rows").map(({ image }) => image);
      expect(differences(outputRows(plan, rows), model.closed)).toEqual([]);
      const open = windows.openWindows(plan.name).flatMap(({ images }) => images);
      const openRows = outputRows(
        plan,
        open.map(({ image }) => image),
      );
      expect(differences(openRows, model.open())).toEqual([]);
      const late = outputs.filter(({ kind }) => kind === "late");
      const lateRows = late.flatMap(({ image }) => imageRows(image, LATE_COLUMNS));
      expect(lateRows.map((row) => [...row.slice(0, 3), Number(row[4]), row[5]])).toEqual(
        model.late.map(({ timeUs, startUs, endUs, position, index }) => [
          timeUs,
          startUs,
          endUs,
          position,
          index,
        ]),
      );
      expect(windows.stats()[0]?.counts).toEqual(model.counts);
    }),
    { numRuns: Number(process.env["RUNS"] ?? 120) },
  );
}, 180_000);
