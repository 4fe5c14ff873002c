// Closed windows that left memory, tumbling ones and panes and marks of hops: whatever leaves at which checkpoint, whether the process goes on or starts again, what is put out is what is put out
// when nothing ever leaves; and the disk holds nothing of windows that are final.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import type { ViewPlan, WindowPlan } from "../../src/view/plan.ts";
import type { ClosedPart, ClosedParts, ClosedWindow } from "../../src/window/closed-part.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import { Windows, type WindowsCheckpoint } from "../../src/window/windows.ts";
import {
  DOUBLE,
  eventArbitrary,
  planArbitrary,
  SCHEMA,
  WINDOW_US,
  windowedPlanArbitrary,
} from "./arbitrary.ts";
import { crowdedArbitrary, shownArbitrary } from "./arbitrary-shown.ts";
import { FOLD_WASM, newWindows, outputRows, place, recordOf } from "./drive.ts";

/** What checkpoints leave, as the store keeps it. */
class Disk implements ClosedParts {
  readonly pages = new Map<number, SavedPage>();
  readonly outputs: ViewOutput[] = [];
  readonly #parts = new Map<string, ClosedPart>();
  reads = 0;
  saved = 0;

  save(checkpoint: WindowsCheckpoint): void {
    for (const page of checkpoint.freed) this.pages.delete(page);
    for (const page of checkpoint.pages) this.pages.set(page.page, page);
    this.outputs.push(...checkpoint.outputs);
    for (const { view, endUs } of checkpoint.droppedParts)
      for (const [key, part] of this.#parts)
        if (part.view === view && (endUs === null || part.endUs <= endUs)) this.#parts.delete(key);
    for (const part of checkpoint.closedParts)
      this.#parts.set(`${part.view} ${part.startUs} ${part.part}`, part);
    this.saved += checkpoint.closedParts.length;
  }

  closedPart(view: string, startUs: bigint, part: number): Uint8Array | null {
    this.reads++;
    return this.#parts.get(`${view} ${startUs} ${part}`)?.bytes ?? null;
  }

  get windows(): ClosedWindow[] {
    const windows = [...this.#parts.values()].map(
      (part) => [`${part.view} ${part.startUs}`, part] as const,
    );
    return [...new Map(windows).values()];
  }
}

const TUMBLE: WindowPlan = { kind: "tumble", sizeUs: WINDOW_US, offsetUs: 0 };

const tumbleArbitrary = fc.oneof(
  planArbitrary,
  crowdedArbitrary.map((plan) => ({ ...plan, window: TUMBLE })),
);

/** Sums of doubles too: to the last bit they depend on how panes are merged. */
const hopArbitrary = fc
  .oneof(
    windowedPlanArbitrary,
    windowedPlanArbitrary.chain((plan) =>
      shownArbitrary(plan, () => true).map((shown) => ({ ...plan, ...shown })),
    ),
    crowdedArbitrary.map((plan) => ({
      ...plan,
      aggregates: plan.aggregates.map((aggregate) =>
        aggregate.fn === "max" ? { ...aggregate, fn: "sum" as const, type: DOUBLE } : aggregate,
      ),
    })),
  )
  .filter(({ window }) => window?.kind === "hop");

const runArbitrary = fc.record({
  allowedUs: fc.constantFrom(30_000_000, 90_000_000, 200_000_000),
  events: fc.array(eventArbitrary(), { minLength: 20, maxLength: 120 }),
  sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  outOfOrdernessUs: fc.constantFrom(0, 5_000_000),
  receivedAtUs: fc.constant(0),
  everyUs: fc.constantFrom(100_000, 1_000_000),
  // what happens after a record: nothing, a checkpoint, a checkpoint and a start
  steps: fc.array(fc.constantFrom("on", "save", "start"), { minLength: 1, maxLength: 7 }),
  kept: fc.record({
    pagesKept: fc.constantFrom(0, 0, 8),
    partGroups: fc.constantFrom(0.01, 1, 128),
  }),
});

/** The view, and a rollup of tumbling windows to four times the window. */
function plansOf(plan: ViewPlan, allowedUs: number): readonly ViewPlan[] {
  const late = { policy: "update", allowedUs } as const;
  const bottom: ViewPlan = { ...plan, name: "bottom", late };
  if (bottom.window?.kind !== "tumble") return [bottom];
  const { sizeUs } = bottom.window;
  const window = { kind: "tumble", sizeUs: sizeUs * 4, offsetUs: 0 } as const;
  return bottom.window.offsetUs === 0
    ? [bottom, { ...bottom, name: "above", rollupOf: "bottom", window }]
    : [bottom];
}

test.each([
  { what: "tumbling windows", planOf: tumbleArbitrary, runs: 100 },
  { what: "panes and marks of hops", planOf: hopArbitrary, runs: 40 },
])(
  "where closed $what lie matters nowhere",
  ({ planOf, runs }) => {
    let reads = 0;
    let saved = 0;
    fc.assert(
      fc.property(planOf, runArbitrary, (plan, run) => {
        const plans = plansOf(plan, run.allowedUs);
        const disk = new Disk();
        const start = (): Windows => {
          const instance = instantiate<FoldKernels>(FOLD_WASM, 1024 * 1024 * 1024);
          return new Windows(instance, 140_000, { disk, ...run.kept });
        };
        const add = (windows: Windows): Windows => {
          for (const each of plans) windows.addView(each, SCHEMA, { since: 0 });
          return windows;
        };
        const whole = add(newWindows());
        let spilled = add(start());
        const rowsOf = (outputs: readonly ViewOutput[]): string[] =>
          outputs.map(({ view, kind, op, position, rowCount, image }) => {
            const shown = plans.find(({ name }) => name === view) ?? plan;
            const rows = kind === "rows" ? outputRows(shown, [image]) : [];
            const texts = rows.map((row) => row.map(String).join("|")).toSorted();
            return [view, kind, op, position, rowCount, ...texts].join("\n");
          });
        for (const [index, events] of place(run.events, run.sizes, run).entries()) {
          const record = recordOf(events, new Set());
          expect(rowsOf(spilled.fold(record))).toEqual(rowsOf(whole.fold(record)));
          for (const { name } of plans) {
            const [ours, theirs] = [spilled, whole].map((windows) =>
              windows
                .corrected(name)
                .flatMap(({ op, image }) => outputRows(plan, [image]).map((row) => [op, ...row]))
                .map((row) => row.map(String).join("|"))
                .toSorted(),
            );
            expect(ours).toEqual(theirs);
          }
          expect(spilled.stats().map(({ counts }) => counts)).toEqual(
            whole.stats().map(({ counts }) => counts),
          );
          const step = run.steps[index % run.steps.length];
          if (step === "on") continue;
          const checkpoint = spilled.takeCheckpoint();
          disk.save(checkpoint);
          if (step === "save") continue;
          spilled = start();
          spilled.restore(disk.pages.values(), checkpoint.body, disk.outputs, disk.windows);
          add(spilled);
        }
        reads += disk.reads;
        saved += disk.saved;
        for (const { name } of plans.toReversed()) spilled.dropView(name);
        disk.save(spilled.takeCheckpoint());
        expect(disk.windows).toEqual([]);
        expect(spilled.stateBytes).toBe(0);
      }),
      { numRuns: Number(process.env["RUNS"] ?? runs) },
    );
    // otherwise nothing has left and come back
    expect(saved).toBeGreaterThan(0);
    expect(reads).toBeGreaterThan(0);
  },
  180_000,
);
