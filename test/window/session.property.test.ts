// Random views of sessions over random events: the kernels give the rows, late rows and counts of the plain model, however events are cut
// into records and encoded, and across checkpoints.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReferenceSessionFold } from "../../kernels/reference/session-fold.ts";
import { shownRows } from "../../kernels/reference/shown.ts";
import { imageRows, type Cell } from "../../src/event/image.ts";
import { keyOrdinals, type Expr, type ViewPlan } from "../../src/view/plan.ts";
import { LATE_COLUMNS } from "../../src/window/late.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import type { Windows } from "../../src/window/windows.ts";
import { eventArbitrary, IMAGE_COLUMNS, planArbitrary, planOf, SCHEMA } from "./arbitrary.ts";
import { shownArbitrary } from "./arbitrary-shown.ts";
import { differences, newWindows, outputRows, place, recordOf } from "./drive.ts";

const TEXTS = IMAGE_COLUMNS.flatMap(({ type }, ordinal) =>
  type.kind === "VARCHAR" ? [ordinal] : [],
);

function column(name: string): Expr {
  const ordinal = SCHEMA.columns.findIndex((held) => held.name === name);
  const type = SCHEMA.columns[ordinal]?.type ?? { kind: "VARCHAR" };
  return { op: "column", column: { from: "image", ordinal }, type };
}

/** Sums of doubles depend on the order in which sessions merge: they have a test of their own. */
function isExact({ aggregates }: ViewPlan): boolean {
  return aggregates.every(
    ({ fn, arg }) =>
      (fn !== "sum" && fn !== "avg") || (arg?.type.kind !== "DOUBLE" && arg?.type.kind !== "FLOAT"),
  );
}

const sessionPlan: fc.Arbitrary<ViewPlan> = fc
  .record({
    plan: planArbitrary.filter(
      (plan) => isExact(plan) && !JSON.stringify(plan).includes('"from":"window_'),
    ),
    keys: fc.subarray(["flag", "kind", "name", "double", "wide"], { maxLength: 2 }),
    gapUs: fc.constantFrom(1, 63, 1_000_000, 7_000_000, 60_000_000),
    late: fc.constantFrom<ViewPlan["late"][]>(
      { policy: "side", allowedUs: 0 },
      { policy: "drop", allowedUs: 0 },
      { policy: "update", allowedUs: 5_000_000 },
      { policy: "update", allowedUs: 600_000_000 },
    ),
  })
  .map(({ plan, keys, gapUs, late }) => ({
    ...planOf({
      ...plan,
      keys: keys.map(column).map((expr) => ({ expr, type: expr.type })),
    }),
    window: { kind: "session" as const, gapUs },
    late,
  }))
  .chain((plan) =>
    fc.oneof(
      fc.constant(plan),
      shownArbitrary(plan, () => true).map(({ having }) => ({ ...plan, having })),
    ),
  );

const runArbitrary = fc.record({
  plan: sessionPlan,
  events: fc.array(eventArbitrary(), { minLength: 1, maxLength: 40 }),
  spreadUs: fc.constantFrom(40n, 30_000_000n, 400_000_000n),
  sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 }),
  dictionaries: fc.subarray(TEXTS),
  outOfOrdernessUs: fc.constantFrom(0, 20, 5_000_000, 90_000_000),
  receivedAtUs: fc.constantFrom(0, 100_000_000),
  checkpoints: fc.oneof(
    { weight: 3, arbitrary: fc.constant([false]) },
    { weight: 1, arbitrary: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }) },
  ),
});

/** The last state of all rows that were put out. */
function lastRows(plan: ViewPlan, outputs: readonly ViewOutput[]): Cell[][] {
  const keyed = new Map<string, Cell[]>();
  const identity = (row: readonly Cell[]): string =>
    row
      .slice(0, 2 + plan.keys.length)
      .map(String)
      .join("\u0000");
  for (const { kind, op, image } of outputs) {
    if (kind !== "rows") continue;
    for (const row of outputRows(plan, [image])) {
      const was = keyed.delete(identity(row));
      expect(was).toBe(op === "delete");
      if (op !== "delete") keyed.set(identity(row), row);
    }
  }
  return [...keyed.values()];
}

function restored(
  windows: Windows,
  plan: ViewPlan,
  kept: { readonly pages: Map<number, SavedPage>; readonly outputs: ViewOutput[] },
): Windows {
  const checkpoint = windows.takeCheckpoint();
  for (const page of checkpoint.freed) kept.pages.delete(page);
  for (const page of checkpoint.pages) kept.pages.set(page.page, page);
  kept.outputs.push(...checkpoint.outputs);
  const fresh = newWindows();
  fresh.restore(kept.pages.values(), checkpoint.body, kept.outputs);
  fresh.addView(plan, SCHEMA, { since: 0 });
  return fresh;
}

interface Run {
  readonly plan: ViewPlan;
  readonly events: readonly (readonly Cell[])[];
  readonly sizes: readonly number[];
  readonly dictionaries: readonly number[];
  readonly outOfOrdernessUs: number;
  readonly receivedAtUs: number;
  readonly checkpoints: readonly boolean[];
}

/** One memory for many views: each gives all of it back. */
let shared = newWindows();

/** Folds a run's events in the kernels and in the model, and compares rows, open sessions, late rows and counts. */
function check(run: Run): void {
  const { plan } = run;
  const { policy, allowedUs } = plan.late;
  const gapUs = BigInt(plan.window?.kind === "session" ? plan.window.gapUs : 0);
  const allowed = policy === "update" ? BigInt(allowedUs) : null;
  const model = new ReferenceSessionFold(plan, gapUs, allowed);
  const kept = { pages: new Map<number, SavedPage>(), outputs: [] as ViewOutput[] };
  let windows = shared;
  // Dropped again where the run before ended early.
  for (const name of ["v", "w"]) windows.dropView(name);
  windows.addView(plan, SCHEMA, { since: 0 });
  const outputs: ViewOutput[] = [];
  for (const [index, placed] of place(run.events, run.sizes, run).entries()) {
    outputs.push(...windows.fold(recordOf(placed, new Set(run.dictionaries))));
    for (const event of placed) model.fold(event.cells, event);
    expect(windows.stats()[0]?.counts).toEqual(model.counts);
    if (run.checkpoints[index % run.checkpoints.length] === true)
      windows = restored(windows, plan, kept);
  }
  const shown = { ...plan, keys: keyOrdinals(plan) };
  const closed = shownRows(model.closed, shown);
  expect(differences(lastRows(plan, outputs), closed)).toEqual([]);
  const open = windows.openWindows(plan.name).flatMap(({ images }) => images);
  const openRows = outputRows(
    plan,
    open.map(({ image }) => image),
  );
  expect(differences(openRows, shownRows(model.open(), shown))).toEqual([]);
  const late = outputs.filter(({ kind }) => kind === "late");
  const lateRows = late.flatMap(({ image }) => imageRows(image, LATE_COLUMNS));
  expect(lateRows.map((row) => [row[0], row[1], row[2], Number(row[4]), row[5]])).toEqual(
    policy === "drop" ? [] : model.late.map((row) => [...row]),
  );
  windows.dropView(plan.name);
  expect(windows.stateBytes).toBe(0);
  shared = windows;
}

test("random views: kernels and model agree", () => {
  fc.assert(
    fc.property(runArbitrary, ({ spreadUs, ...run }) => {
      const events = run.events.map(([time, ...rest]) => [(time as bigint) % spreadUs, ...rest]);
      check({ ...run, events });
    }),
    { numRuns: Number(process.env["RUNS"] ?? 200) },
  );
}, 3_600_000);

const small = column("small");
const smallPlan = planOf({
  name: "v",
  filter: null,
  keys: [{ expr: column("kind"), type: { kind: "VARCHAR" } }],
  aggregates: [
    { fn: "count_star", arg: null, filter: null, type: { kind: "BIGINT" } },
    { fn: "first", arg: small, filter: null, type: { kind: "INTEGER" } },
    { fn: "last", arg: column("name"), filter: null, type: { kind: "VARCHAR" } },
    { fn: "approx_count_distinct", arg: small, filter: null, type: { kind: "BIGINT" } },
  ],
});

/** Few keys, few times, small gaps: every way in which events and sessions can lie to each other and to the watermark. */
const smallArbitrary = fc
  .record({
    events: fc.array(
      fc.tuple(fc.integer({ min: -20, max: 60 }), fc.constantFrom("view", "view", "view", null)),
      { minLength: 1, maxLength: 40 },
    ),
    gapUs: fc.constantFrom(1, 2, 5, 9),
    allowedUs: fc.constantFrom(null, null, 0, 3, 100),
    outOfOrdernessUs: fc.constantFrom(0, 1, 4, 15, 40),
    receivedAtUs: fc.constantFrom(-1_000_000, 100_000_000),
    sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
  })
  .map(({ events, gapUs, allowedUs, ...run }): Run => {
    const late = {
      policy: allowedUs === null ? "side" : "update",
      allowedUs: allowedUs ?? 0,
    } as const;
    const cells = events.map(([time, kind], index): Cell[] =>
      SCHEMA.columns.map(({ name }) => {
        if (name === "event_time") return BigInt(time);
        if (name === "kind") return kind;
        if (name === "name") return index % 3 === 0 ? null : `the name of event ${index}`;
        return name === "small" ? index : null;
      }),
    );
    const plan = { ...smallPlan, window: { kind: "session", gapUs } as const, late };
    return { ...run, plan, events: cells, dictionaries: [], checkpoints: [false] };
  });

test("small runs: kernels and model agree", () => {
  fc.assert(fc.property(smallArbitrary, check), {
    numRuns: Number(process.env["SMALL_RUNS"] ?? 4000),
  });
}, 3_600_000);
