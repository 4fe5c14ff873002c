// A view beyond its bound stops, and its rollups with it; others go on, also when all views together have no more room. It stays so across a
// restart that gives it no more; with more it goes on where it stopped, as if it had never stopped.
import { expect, test } from "bun:test";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
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

function newWindows(): Windows {
  return new Windows(instantiate<FoldKernels>(FOLD_WASM, 1024 * MB), PAGES_MAX);
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
  expect(windows.openWindows("many")).toEqual([]);
  expect(windows.stateBytes).toBeLessThan(3 * MB);
  const checkpoint = windows.takeCheckpoint();
  const restored = newWindows();
  restored.restore(checkpoint.pages, checkpoint.body, []);
  for (const plan of [MANY, HOUR, FEW])
    restored.addView(plan, SCHEMA, { since: 0, memoryMaxBytes: 2 * MB, logFirst: 1 });
  expect(restored.suspended).toEqual(windows.suspended);
  expect(restored.stats()).toEqual(windows.stats());
  for (const name of ["many_1h", "many", "few"]) restored.dropView(name);
  expect(restored.stateBytes).toBe(0);
});

test("with a higher bound a view goes on where it stopped, unless the log does not", () => {
  const MINUTE: ViewPlan = { ...MANY, late: { policy: "update", allowedUs: 60_000_000 } };
  const UPPER: ViewPlan = { ...HOUR, late: MINUTE.late };
  const all = records(40);
  const stored = new Map<number, SavedPage>();
  const start = (memoryMaxBytes: number | null, from: Windows | null, logFirst: number) => {
    const windows = newWindows();
    const checkpoint = from?.takeCheckpoint();
    for (const page of checkpoint?.pages ?? []) stored.set(page.page, page);
    if (checkpoint !== undefined) windows.restore(stored.values(), checkpoint.body, []);
    windows.addView(MINUTE, SCHEMA, { since: 0, memoryMaxBytes, logFirst });
    windows.addView(UPPER, SCHEMA, { since: 0, logFirst });
    windows.addView(FEW, SCHEMA, { since: 0 });
    return windows;
  };
  const rowsOf = (windows: Windows): string =>
    JSON.stringify(
      [MINUTE, UPPER, FEW].map(({ name }) =>
        windows.openWindows(name).map(({ images }) => images.map(({ image }) => [...image])),
      ),
    );
  const never = start(null, null, 1);
  const stopped = start(2 * MB, null, 1);
  for (const record of all.slice(0, 30)) for (const view of [never, stopped]) view.fold(record);
  const at = stopped.suspended.get("many")?.at ?? 0;
  expect(at).toBeGreaterThan(5);
  const trimmed = start(64 * MB, stopped, at + 2);
  expect(trimmed.suspended.get("many")?.reason).toBe("the log no longer has what came next");
  const resumed = start(64 * MB, trimmed, at + 1);
  expect([resumed.suspended.size, resumed.passedBy]).toEqual([0, at]);
  // those that went on pass what they know
  for (const record of all.slice(at)) resumed.fold(record);
  for (const record of all.slice(30)) never.fold(record);
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
});

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
});
