// HAVING and the top of each window over random plans: the rows of closed and open windows are those that the plain twin keeps of all.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReferenceFold } from "../../kernels/reference/fold.ts";
import { shownRows } from "../../kernels/reference/shown.ts";
import { keyOrdinals } from "../../src/view/plan.ts";
import { BEHIND, eventArbitrary, SCHEMA, windowedPlanArbitrary } from "./arbitrary.ts";
import { shownArbitrary } from "./arbitrary-shown.ts";
import { differences, newWindows, outputRows, place, recordOf } from "./drive.ts";

const viewArbitrary = windowedPlanArbitrary.chain((plan) =>
  shownArbitrary(plan, () => true).map((shown) => ({ ...plan, ...shown })),
);

test("what is put out and shown is what the plain twin keeps", () => {
  let fewer = 0;
  fc.assert(
    fc.property(
      viewArbitrary,
      fc.array(eventArbitrary(), { minLength: 1, maxLength: 40 }),
      fc.constantFrom(0, 90_000_000),
      (plan, events, outOfOrdernessUs) => {
        const { window } = plan;
        if (window?.kind !== "tumble" && window?.kind !== "hop")
          throw new Error("windows of one size");
        const model = new ReferenceFold({ ...plan, window }, outOfOrdernessUs, {
          eventTime: 0,
          behind: BEHIND,
        });
        const records = place(events, [7], { outOfOrdernessUs, receivedAtUs: 100_000_000 });
        const windows = newWindows();
        windows.addView(plan, SCHEMA, { since: 0 });
        // Another view after it reads the same record: looking at images must not disturb it.
        windows.addView({ ...plan, name: "all", having: null, topN: null }, SCHEMA, { since: 0 });
        const outputs = records.flatMap((record) => windows.fold(recordOf(record, new Set([6]))));
        for (const event of records.flat()) model.fold(event.cells, event);
        const closed = (view: string): Uint8Array[] =>
          outputs
            .filter((output) => output.kind === "rows" && output.view === view)
            .map(({ image }) => image);
        const open = (view: string): Uint8Array[] =>
          windows.openWindows(view).flatMap(({ images }) => images.map(({ image }) => image));
        const shown = { ...plan, keys: keyOrdinals(plan) };
        const rows = shownRows(model.closed, shown);
        fewer += Number(rows.length < model.closed.length);
        expect(differences(outputRows(plan, closed(plan.name)), rows)).toEqual([]);
        expect(
          differences(outputRows(plan, open(plan.name)), shownRows(model.open(), shown)),
        ).toEqual([]);
        expect(differences(outputRows(plan, closed("all")), model.closed)).toEqual([]);
        expect(differences(outputRows(plan, open("all")), model.open())).toEqual([]);
      },
    ),
    { numRuns: Number(process.env["RUNS"] ?? 150) },
  );
  expect(fewer).toBeGreaterThan(10);
}, 180_000);
