// Views of one stream share what they compute of a record. Nobody sees it: random views together put out, late rows and counts included, what each
// puts out alone, to the byte, over checkpoints, with views that come and go.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import type { Windows } from "../../src/window/windows.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { eventArbitrary, IMAGE_COLUMNS, SCHEMA, windowedPlanArbitrary } from "./arbitrary.ts";
import { newWindows, place, recordOf } from "./drive.ts";

const TEXTS = IMAGE_COLUMNS.flatMap(({ type }, ordinal) =>
  type.kind === "VARCHAR" ? [ordinal] : [],
);

/** Views of which some have the keys, the filter or the aggregates of another. */
const plansArbitrary = fc
  .array(
    fc.record({
      plan: windowedPlanArbitrary,
      keysOf: fc.nat(3),
      filterOf: fc.nat(3),
      aggregatesOf: fc.nat(3),
    }),
    { minLength: 2, maxLength: 5 },
  )
  .map((drafts) =>
    drafts.map(({ plan, ...from }, index): ViewPlan => {
      // A hop's expressions have no bounds of windows, so those of any view that is one fit all.
      const other = (at: number): ViewPlan => {
        const found = drafts[at]?.plan ?? plan;
        const fits = found.window?.kind === "hop" || found.window?.kind === plan.window?.kind;
        return fits ? found : plan;
      };
      const { keys, output: withKeys } = other(from.keysOf);
      const { aggregates, output: withAggregates } = other(from.aggregatesOf);
      const output = [
        ...plan.output.slice(0, 2),
        ...withKeys.filter(({ source }) => source.kind === "key"),
        ...withAggregates.filter(({ source }) => source.kind === "aggregate"),
      ].map((column, ordinal) => ({ ...column, fieldId: ordinal + 1 }));
      const { filter } = other(from.filterOf);
      return { ...plan, name: `v${index}`, filter, keys, aggregates, output };
    }),
  );

const runArbitrary = fc.record({
  plans: plansArbitrary,
  events: fc.array(eventArbitrary(), { minLength: 1, maxLength: 60 }),
  sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  dictionaries: fc.array(fc.subarray(TEXTS), { minLength: 1, maxLength: 3 }),
  outOfOrdernessUs: fc.constantFrom(0, 5_000_000, 90_000_000),
  receivedAtUs: fc.constantFrom(0, 100_000_000),
  checkpoints: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
  /** Before which record the first view goes. */
  goesAt: fc.option(fc.nat(20)),
});

type Run = typeof runArbitrary extends fc.Arbitrary<infer T> ? T : never;

interface Seen {
  readonly outputs: readonly ViewOutput[];
  readonly open: unknown;
  readonly counts: unknown;
}

function seen(windows: Windows, { name }: ViewPlan, outputs: readonly ViewOutput[]): Seen {
  return {
    outputs: outputs.filter(({ view }) => view === name),
    open: windows.openWindows(name).map(({ startUs, images }) => ({ startUs, images })),
    counts: windows.stats().find(({ view }) => view === name)?.counts,
  };
}

/** What views put out that fold together. */
function together(plans: readonly ViewPlan[], run: Run, goesAt: number | null): Map<string, Seen> {
  const stored = new Map<number, SavedPage>();
  const [gone] = plans;
  let windows = newWindows();
  let present = [...plans];
  for (const plan of present) windows.addView(plan, SCHEMA, { since: 0 });
  const outputs: ViewOutput[] = [];
  const kept: ViewOutput[] = [];
  const records = place(run.events, run.sizes, run);
  for (const [index, events] of records.entries()) {
    if (index === goesAt && gone !== undefined) {
      windows.dropView(gone.name);
      present = present.slice(1);
    }
    const dictionaries = run.dictionaries[index % run.dictionaries.length];
    outputs.push(...windows.fold(recordOf(events, new Set(dictionaries))));
    if (run.checkpoints[index % run.checkpoints.length] !== true) continue;
    const checkpoint = windows.takeCheckpoint();
    for (const page of checkpoint.freed) stored.delete(page);
    for (const page of checkpoint.pages) stored.set(page.page, page);
    kept.push(...checkpoint.outputs);
    windows = newWindows();
    const held = kept.filter(({ view }) => present.some(({ name }) => name === view));
    windows.restore(stored.values(), checkpoint.body, held);
    for (const plan of present) windows.addView(plan, SCHEMA, { since: 0 });
  }
  return new Map(present.map((plan) => [plan.name, seen(windows, plan, outputs)]));
}

test("views that share are what each is alone", () => {
  fc.assert(
    fc.property(runArbitrary, (run) => {
      const all = together(run.plans, run, run.goesAt);
      for (const plan of run.plans) {
        const found = all.get(plan.name);
        const alone = together([plan], run, null).get(plan.name);
        if (found !== undefined && alone !== undefined) expect(found).toEqual(alone);
      }
    }),
    { numRuns: Number(process.env["RUNS"] ?? 40) },
  );
}, 240_000);
