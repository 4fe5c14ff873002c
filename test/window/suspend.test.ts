// A view beyond its bound stops, and its rollups with it; others go on, also when all views together have no more room. It stays so across a
// restart that gives it no more; with more it goes on where it stopped, as if it had never stopped.
import { expect, test } from "bun:test";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import { must } from "../../src/base/assert.ts";
import type { Cell } from "../../src/event/image.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import { Windows } from "../../src/window/windows.ts";
import { BIGINT, planOf, SCHEMA, TIME, VARCHAR } from "./arbitrary.ts";
import { FOLD_WASM, place, recordOf } from "./drive.ts";

const PAGES_MAX = 4800;
const MB = 1024 * 1024;
const NAME = SCHEMA.columns.findIndex(({ name }) => name === "name");

function countBy(name: string, ordinal: number): ViewPlan {
  const type = SCHEMA.columns[ordinal]?.type ?? VARCHAR;
  const expr = { op: "column", column: { from: "image", ordinal }, type } as const;
  return planOf({
    name,
    filter: null,
    keys: [{ expr, type }],
    aggregates: [{ fn: "count_star", arg: null, filter: null, type: BIGINT }],
  });
}

const MANY = countBy("many", NAME);
const FEW = countBy("few", SCHEMA.columns.length);
const HOUR: ViewPlan = {
  ...MANY,
  name: "many_1h",
  rollupOf: "many",
  window: { kind: "tumble", sizeUs: 3_600_000_000, offsetUs: 0 },
};

/** Records of one window, each event with a name of its own. */
function records(count: number): EventsRecord[] {
  const events = Array.from({ length: count * 1000 }, (_, index): Cell[] =>
    SCHEMA.columns.map(({ type }, ordinal) => {
      if (type === TIME) return 1n;
      return ordinal === NAME ? `a name that is not short ${index}` : null;
    }),
  );
  const options = { outOfOrdernessUs: 0, receivedAtUs: 0 };
  return place(events, [1000], options).map((record) => recordOf(record, new Set()));
}

function newWindows(pagesMax = PAGES_MAX): Windows {
  return new Windows(instantiate<FoldKernels>(FOLD_WASM, 1024 * MB), pagesMax);
}

test("a view beyond its bound stops with its rollups, others go on", () => {
  const windows = newWindows();
  windows.addView(MANY, SCHEMA, { since: 0, memoryMaxBytes: 2 * MB });
  windows.addView(HOUR, SCHEMA, { since: 0 });
  windows.addView(FEW, SCHEMA, { since: 0, memoryMaxBytes: 2 * MB });
  const all = records(40);
  let at = 0;
  for (const record of all) {
    windows.fold(record);
    if (windows.suspended.size === 0) at = record.position;
  }
  expect(at).toBeGreaterThan(5);
  expect([...windows.suspended]).toEqual([
    [
      "many",
      expect.objectContaining({
        at: at + 1,
        reason: "it and its rollups are larger than the bound, 2048 KB",
      }),
    ],
    [
      "many_1h",
      expect.objectContaining({ at: at + 1, reason: "many, which it reads, is suspended" }),
    ],
  ]);
  const [many, hour, few] = windows.stats();
  expect(many).toMatchObject({
    position: 40,
    counts: { accepted: 40_000, pending: 40_000 },
  });
  expect(hour).toMatchObject({ position: 40 });
  expect(few).toMatchObject({ position: 40, groups: 1, counts: { accepted: 40_000 } });
  // as they are where it stands
  const shown = windows.openWindows("many").flatMap(({ images }) => images);
  expect(shown.reduce((sum, { rowCount }) => sum + rowCount, 0)).toBe((at + 1) * 1000);
  expect(windows.stateBytes).toBeLessThan(3 * MB);
  const checkpoint = windows.takeCheckpoint();
  const restored = newWindows();
  restored.restore(checkpoint.pages, checkpoint.body, []);
  for (const plan of [MANY, HOUR, FEW])
    restored.addView(plan, SCHEMA, { since: 0, memoryMaxBytes: 2 * MB });
  expect(restored.suspended).toEqual(windows.suspended);
  expect(restored.stats()).toEqual(windows.stats());
  for (const name of ["many_1h", "many", "few"]) restored.dropView(name);
  expect(restored.stateBytes).toBe(0);
}, 60_000);

test("with a higher bound a view goes on where it stopped", () => {
  const MINUTE: ViewPlan = { ...MANY, late: { policy: "update", allowedUs: 60_000_000 } };
  const UPPER: ViewPlan = { ...HOUR, late: MINUTE.late };
  const all = records(40);
  const stored = new Map<number, SavedPage>();
  const start = (memoryMaxBytes: number | null, from: Windows | null) => {
    const windows = newWindows();
    const checkpoint = from?.takeCheckpoint();
    for (const page of checkpoint?.pages ?? []) stored.set(page.page, page);
    if (checkpoint !== undefined) windows.restore(stored.values(), checkpoint.body, []);
    windows.addView(MINUTE, SCHEMA, { since: 0, memoryMaxBytes });
    windows.addView(UPPER, SCHEMA, { since: 0 });
    windows.addView(FEW, SCHEMA, { since: 0 });
    return windows;
  };
  const rowsOf = (windows: Windows): string =>
    JSON.stringify(
      [MINUTE, UPPER, FEW].map(({ name }) =>
        windows.openWindows(name).map(({ images }) => images.map(({ image }) => [...image])),
      ),
    );
  const never = start(null, null);
  const stopped = start(2 * MB, null);
  for (const record of all.slice(0, 30)) for (const view of [never, stopped]) view.fold(record);
  const at = stopped.suspended.get("many")?.at ?? 0;
  expect(at).toBeGreaterThan(5);
  // what it was at stays to be asked, and it keeps its state when it may have no more
  const still = start(2 * MB, stopped);
  expect([still.suspended.get("many")?.at, still.laggards.first]).toEqual([at, null]);
  const resumed = start(64 * MB, still);
  const { laggards } = resumed;
  expect(laggards.first).toMatchObject({ position: at, passed: 30, eventCount: (30 - at) * 1000 });
  const [next, ...later] = all.slice(at, 30);
  laggards.fold(must(next, "a record"));
  // the others go on meanwhile
  for (const record of all.slice(30, 35)) for (const view of [never, resumed]) view.fold(record);
  for (const record of [...later, ...all.slice(30, 35)]) laggards.fold(record);
  expect([laggards.rejoin(), laggards.first, resumed.suspended.size]).toEqual([null, null, 0]);
  for (const record of all.slice(35)) for (const view of [never, resumed]) view.fold(record);
  expect(resumed.stats()).toEqual(never.stats());
  expect(rowsOf(resumed)).toBe(rowsOf(never));
}, 60_000);

test("without room the largest view stops, before memory is full", () => {
  const windows = newWindows();
  for (const plan of [FEW, MANY]) windows.addView(plan, SCHEMA, { since: 0 });
  for (const record of records(180)) {
    windows.fold(record);
    if (windows.suspended.size > 0) break;
  }
  expect(windows.suspended.get("many")?.reason).toMatch(
    /no more room, and its state is the largest, \d+ MB/,
  );
  expect(windows.suspended.has("few")).toBe(false);
  expect(windows.stats()[0]?.groups).toBe(1);
}, 60_000);

test("what a view takes is counted across restarts", () => {
  const options = { since: 0, memoryMaxBytes: 2 * MB };
  const all = records(40);
  const whole = newWindows();
  whole.addView(MANY, SCHEMA, options);
  for (const record of all) whole.fold(record);
  const begun = newWindows();
  begun.addView(MANY, SCHEMA, options);
  for (const record of all.slice(0, 3)) begun.fold(record);
  expect(begun.suspended.size).toBe(0);
  const { pages, body } = begun.takeCheckpoint();
  const restored = newWindows();
  restored.restore(pages, body, []);
  restored.addView(MANY, SCHEMA, options);
  for (const record of all) restored.fold(record);
  expect(restored.suspended).toEqual(whole.suspended);
  expect(restored.suspended.size).toBe(1);
}, 60_000);

test("a view that goes on stops again when its events are not those that it passed", () => {
  const windows = resumedAfter(40, 2 * MB);
  const { laggards } = windows;
  const { position, passed, eventCount } = must(laggards.first, "it goes on");
  expect([passed, eventCount]).toEqual([40, (40 - position) * 1000]);
  laggards.pass(passed);
  expect(laggards.rejoin()).toBe(`${eventCount} events that it passed were not there`);
  laggards.stop("events are gone");
  expect(windows.suspended.get("many")).toMatchObject({ reason: "events are gone", boundBytes: 0 });
  expect([laggards.first, windows.stats()[0]?.counts.accepted]).toEqual([null, 40_000]);
}, 60_000);

test("a view that goes on gives its state back when it is the largest and there is no room", () => {
  for (const [bytes, largest] of [
    [MB, "more"],
    [6 * MB, "many"],
  ] as const) {
    const windows = resumedAfter(100, bytes);
    windows.addView(countBy("more", NAME), SCHEMA, { since: 100 });
    const isFull = (): boolean =>
      [...windows.suspended.values()].some(({ boundBytes }) => boundBytes === null);
    for (const record of records(160).slice(100)) if (!isFull()) windows.fold(record);
    expect(windows.suspended.get(largest)?.boundBytes).toBeNull();
    expect(windows.laggards.first?.plan.name).toBe(largest === "more" ? "many" : undefined);
    expect(windows.laggards.positions.size).toBe(largest === "more" ? 1 : 0);
  }
}, 60_000);

/** A view that stopped within so many records and may go on. */
function resumedAfter(count: number, memoryMaxBytes: number): Windows {
  const windows = newWindows();
  windows.addView(MANY, SCHEMA, { since: 0, memoryMaxBytes });
  for (const record of records(count)) windows.fold(record);
  const { pages, body } = windows.takeCheckpoint();
  // 500 pages less than there were: another view soon needs more than there are
  const resumed = newWindows(PAGES_MAX - 500);
  resumed.restore(pages, body, []);
  resumed.addView(MANY, SCHEMA, { since: 0 });
  return resumed;
}
