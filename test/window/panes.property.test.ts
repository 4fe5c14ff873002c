// Long runs of a hop: windows close one after the other, and stragglers come into panes that nodes and sums of nodes were made of. The rows
// are those of the plain model, and the same bytes whatever the records and restarts.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReferenceFold } from "../../kernels/reference/fold.ts";
import type { Cell } from "../../src/event/image.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import { BEHIND, BIGINT, DOUBLE, planOf, SCHEMA, VARCHAR } from "./arbitrary.ts";
import { differences, newWindows, outputRows, place, recordOf } from "./drive.ts";

const SECOND_US = 1_000_000;
const ordinalOf = (name: string): number =>
  SCHEMA.columns.findIndex((column) => column.name === name);
const [KIND, NUMBER] = [ordinalOf("kind"), ordinalOf("double")];
const number = { op: "column", column: { from: "image", ordinal: NUMBER }, type: DOUBLE } as const;

const runArbitrary = fc.record({
  slide: fc.constantFrom(1, 2, 5),
  panes: fc.integer({ min: 1, max: 24 }),
  offset: fc.constantFrom(0, 1, 3),
  steps: fc.array(
    fc.record({
      ahead: fc.integer({ min: 0, max: 3 }),
      back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 40 })),
      kind: fc.constantFrom("view", "cart"),
      value: fc.double({ min: 0.1, max: 100, noNaN: true }),
    }),
    { minLength: 60, maxLength: 160 },
  ),
  sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  restoreAt: fc.nat({ max: 40 }),
});

test("stragglers are in every window that is open, and in no other", () => {
  fc.assert(
    fc.property(runArbitrary, (run) => {
      const slideUs = run.slide * SECOND_US;
      const offsetUs = (run.offset % run.slide) * SECOND_US;
      const window = { kind: "hop", slideUs, sizeUs: slideUs * run.panes, offsetUs } as const;
      const plan = {
        ...planOf({
          name: "v",
          filter: null,
          keys: [
            {
              expr: { op: "column", column: { from: "image", ordinal: KIND }, type: VARCHAR },
              type: VARCHAR,
            },
          ],
          aggregates: [
            { fn: "count_star", arg: null, filter: null, type: BIGINT },
            { fn: "max", arg: number, filter: null, type: DOUBLE },
            { fn: "sum", arg: number, filter: null, type: DOUBLE },
          ],
        }),
        window,
      };
      let now = 0;
      const events = run.steps.map(({ ahead, back, kind, value }): Cell[] => {
        now += ahead;
        return SCHEMA.columns.map((_, ordinal) => {
          if (ordinal === 0) return BigInt((now - back) * SECOND_US);
          if (ordinal === KIND) return kind;
          return ordinal === NUMBER ? value : null;
        });
      });
      const rowsOf = (sizes: readonly number[], restoreAt: number): Cell[][] => {
        const model = new ReferenceFold({ ...plan, window }, 0, { eventTime: 0, behind: BEHIND });
        const stored = new Map<number, SavedPage>();
        const outputs: ViewOutput[] = [];
        let windows = newWindows();
        windows.addView(plan, SCHEMA, { since: 0 });
        const records = place(events, sizes, { outOfOrdernessUs: 0, receivedAtUs: 10 ** 12 });
        for (const [index, record] of records.entries()) {
          outputs.push(...windows.fold(recordOf(record, new Set())));
          for (const event of record) model.fold(event.cells, event);
          if (index !== restoreAt) continue;
          const { pages, body } = windows.takeCheckpoint();
          for (const page of pages) stored.set(page.page, page);
          windows = newWindows();
          windows.restore(stored.values(), body, outputs);
          windows.addView(plan, SCHEMA, { since: 0 });
        }
        const images = outputs.filter(({ kind }) => kind === "rows").map(({ image }) => image);
        const rows = outputRows(plan, images);
        expect(differences(rows, model.closed, 1e-12)).toEqual([]);
        return rows;
      };
      // to the last bit of each sum
      expect(rowsOf(run.sizes, run.restoreAt)).toEqual(rowsOf([1], -1));
    }),
    { numRuns: Number(process.env["RUNS"] ?? 40) },
  );
}, 180_000);
