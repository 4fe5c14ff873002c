// Random projections over random events: rows come in log order with the record, as the plain expressions give them, and all are counted.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Evaluator } from "../../kernels/reference/expression.ts";
import type { Cell } from "../../src/event/image.ts";
import { eventArbitrary, IMAGE_COLUMNS, SCHEMA } from "./arbitrary.ts";
import { projectionArbitrary } from "./arbitrary-shown.ts";
import { newWindows, outputRows, place, recordOf } from "./drive.ts";

const TEXTS = IMAGE_COLUMNS.flatMap(({ type }, ordinal) =>
  type.kind === "VARCHAR" ? [ordinal] : [],
);

test("kernels and plain expressions agree", () => {
  let rowsSeen = 0;
  fc.assert(
    fc.property(
      projectionArbitrary,
      fc.array(eventArbitrary(), { minLength: 1, maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
      fc.subarray(TEXTS),
      (plan, events, sizes, dictionaries) => {
        const records = place(events, sizes, { outOfOrdernessUs: 0, receivedAtUs: 0 });
        const expected: [number, Cell[]][] = [];
        const counts = { accepted: 0, filtered: 0, late: 0, failed: 0, applied: 0, pending: 0 };
        for (const { cells, position, receivedAtUs } of records.flat()) {
          const row = new Evaluator({
            cells,
            receivedAtUs: BigInt(receivedAtUs),
            startUs: 0n,
            endUs: 0n,
          });
          const passes = plan.filter === null || row.value(plan.filter) === true;
          const values = plan.output.map(({ source }) =>
            source.kind === "expression" ? row.value(source.expr) : null,
          );
          counts.accepted++;
          if (!passes) counts.filtered++;
          else if (row.failed) counts.failed++;
          else counts.applied++;
          if (passes) expected.push([position, [...values, 0n]]);
        }
        const windows = newWindows();
        windows.addView(plan, SCHEMA, { since: 0 });
        const outputs = records.flatMap((record) =>
          windows.fold(recordOf(record, new Set(dictionaries))),
        );
        const rows = outputs.flatMap((output) =>
          outputRows(plan, [output.image]).map((row): [number, Cell[]] => [output.position, row]),
        );
        expect(rows).toEqual(expected);
        expect(windows.stats()[0]?.counts).toEqual(counts);
        expect(windows.openWindows(plan.name)).toEqual([]);
        rowsSeen += rows.length;
      },
    ),
    { numRuns: Number(process.env["RUNS"] ?? 120) },
  );
  expect(rowsSeen).toBeGreaterThan(100);
}, 180_000);
