// Sessions in pages: memory comes back when they close, checkpoints hold every page that changed, pictures are made anew only after a
// change, corrections remove the row that was out.
import { expect, test } from "bun:test";
import { FOLD_PAGE_BYTES, FOLD_PAGES_AT } from "../../kernels/abi.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import { buildImage, type Cell } from "../../src/event/image.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import { Windows } from "../../src/window/windows.ts";
import { BIGINT, IMAGE_COLUMNS, planOf, SCHEMA, VARCHAR } from "./arbitrary.ts";
import { FOLD_WASM, newWindows, outputRows } from "./drive.ts";

const GAP_US = 1_000_000;
const name = {
  op: "column",
  column: { from: "image", ordinal: 6 },
  type: VARCHAR,
} as const;
const big = { op: "column", column: { from: "image", ordinal: 3 }, type: BIGINT } as const;

/** Sessions of long names, with texts and sketches in them. */
const PLAN: ViewPlan = {
  ...planOf({
    name: "v",
    filter: null,
    keys: [{ expr: name, type: VARCHAR }],
    aggregates: [
      { fn: "count_star", arg: null, filter: null, type: BIGINT },
      { fn: "max", arg: name, filter: null, type: VARCHAR },
      { fn: "last", arg: name, filter: null, type: VARCHAR },
      { fn: "approx_count_distinct", arg: big, filter: null, type: BIGINT },
    ],
  }),
  window: { kind: "session", gapUs: GAP_US },
};

interface Event {
  readonly timeUs: number;
  readonly user: number;
  readonly value: number;
  readonly behindUs?: number;
}

/** A record whose events are in time unless they say otherwise; the watermark after it is `watermarkUs`. */
function recordOf(position: number, events: readonly Event[], watermarkUs: number): EventsRecord {
  const cells = events.map(({ timeUs, user, value, behindUs }): Cell[] => [
    ...SCHEMA.columns.map((column): Cell => {
      if (column.name === "event_time") return BigInt(timeUs);
      if (column.name === "name") return `visitor with the number ${user}`;
      return column.name === "big" ? BigInt(value) : null;
    }),
    null,
    BigInt(behindUs ?? 0),
  ]);
  return {
    kind: "events",
    position,
    stream: "events",
    partition: "",
    schemaId: 1,
    receivedAtUs: 10 ** 15,
    watermarkUs: BigInt(watermarkUs),
    rowCount: events.length,
    duplicateCount: 0,
    rejects: [],
    image: buildImage(IMAGE_COLUMNS, cells),
  };
}

/** 500 events of a tenth of a second: visitors come, stay for up to two seconds and leave; some have sketches of every mode. */
function crowd(index: number): Event[] {
  return Array.from({ length: 500 }, (_, row) => ({
    timeUs: index * 100_000 + row * 200,
    user: row % 5 === 0 ? (row % 3) + Math.floor(index / 60) * 3 : index * 3 + (row % 60),
    value: (index * 500 + row) * (row % 2),
  }));
}

test("memory of closed sessions comes back, and stays flat while they come and go", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  const empty = windows.stateBytes;
  const peaks: number[] = [];
  let position = 0;
  for (let round = 0; round < 4; round++) {
    let peak = 0;
    for (let index = 0; index < 60; index++) {
      const at = round * 60 + index;
      windows.fold(recordOf(++position, crowd(at), at * 100_000));
      windows.covered("v", "rows", position);
      peak = Math.max(peak, windows.stateBytes);
    }
    peaks.push(peak);
  }
  expect(peaks[3]).toBeLessThanOrEqual((peaks[1] ?? 0) * 1.2);
  windows.advance("events", {
    position: position + 1,
    receivedAtUs: 10 ** 15,
    watermarkUs: 1_000_000_000n,
  });
  expect(windows.stats()[0]).toMatchObject({ groups: 0, counts: { applied: 120_000, pending: 0 } });
  expect(windows.stateBytes).toBe(empty);
});

test("rows of closed sessions that are kept for the next ones go back when none comes", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  const empty = windows.stateBytes;
  const rush = (position: number, timeUs: number, watermarkUs: number): void => {
    const events = Array.from({ length: 3000 }, (_, user) => ({ timeUs, user, value: 1 }));
    windows.fold(recordOf(position, events, watermarkUs));
    windows.covered("v", "rows", position);
  };
  rush(1, 0, 0);
  const one = windows.stateBytes;
  // Those of the first rush end, and as many came since the watermark moved.
  rush(2, 5 * GAP_US, 5 * GAP_US);
  expect(windows.stats()[0]?.groups).toBe(3000);
  rush(3, 10 * GAP_US, 10 * GAP_US);
  const two = windows.stateBytes;
  rush(4, 15 * GAP_US, 15 * GAP_US);
  expect(windows.stateBytes).toBeLessThanOrEqual(two + FOLD_PAGE_BYTES);
  expect(two).toBeLessThan(one * 2.2);
  for (const [index, watermarkUs] of [30, 31].entries())
    windows.advance("events", {
      position: 5 + index,
      receivedAtUs: 10 ** 15,
      watermarkUs: BigInt(watermarkUs * GAP_US),
    });
  expect(windows.stateBytes).toBeLessThanOrEqual(empty + FOLD_PAGE_BYTES);
});

test("the index of a hundred thousand keys goes back but for its directory", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  const empty = windows.stateBytes;
  for (let index = 0; index < 25; index++) {
    const events = Array.from({ length: 4000 }, (_, row) => ({
      timeUs: index * 1000,
      user: index * 4000 + row,
      value: row,
    }));
    windows.fold(recordOf(index + 1, events, 0));
  }
  expect(windows.stats()[0]?.groups).toBe(100_000);
  let position = 25;
  for (const watermarkUs of [GAP_US + 12_000, 3 * GAP_US, 10 * GAP_US]) {
    const record = {
      position: ++position,
      receivedAtUs: 10 ** 15,
      watermarkUs: BigInt(watermarkUs),
    };
    windows.advance("events", record);
    windows.covered("v", "rows", position);
  }
  expect(windows.stats()[0]?.groups).toBe(0);
  expect(windows.stateBytes).toBe(empty + FOLD_PAGE_BYTES);
  windows.fold(recordOf(++position, [{ timeUs: 20 * GAP_US, user: 7, value: 1 }], 0));
  windows.dropView("v");
  expect(windows.stateBytes).toBe(0);
});

test("every page that changed is in the next checkpoint", () => {
  const instance = instantiate<FoldKernels>(FOLD_WASM, 1024 * 1024 * 1024);
  const windows = new Windows(instance, 40_000);
  windows.addView(PLAN, SCHEMA, { since: 0 });
  const pages = new Map<number, SavedPage>();
  for (let index = 0; index < 80; index++) {
    windows.fold(recordOf(index + 1, crowd(index), index * 100_000 - 300_000));
    const checkpoint = windows.takeCheckpoint();
    for (const page of checkpoint.freed) pages.delete(page);
    for (const page of checkpoint.pages) pages.set(page.page, page);
    const memory = instance.u8();
    const stale = [...pages.values()].filter(({ page, bytes }) => {
      const from = FOLD_PAGES_AT + page * FOLD_PAGE_BYTES;
      return Buffer.compare(bytes, memory.subarray(from, from + FOLD_PAGE_BYTES)) !== 0;
    });
    expect(stale.map(({ page }) => page)).toEqual([]);
  }
  const last = windows.takeCheckpoint();
  expect(last.pages).toEqual([]);
  const restored = newWindows();
  restored.restore(pages.values(), last.body, windows.pending("v"));
  restored.addView(PLAN, SCHEMA, { since: 0 });
  const next = recordOf(81, crowd(80), 100_000_000);
  expect(restored.fold(next)).toEqual(windows.fold(next));
  expect(restored.stats()).toEqual(windows.stats());
});

test("a picture of open sessions is made again only after a change", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  windows.fold(recordOf(1, [{ timeUs: 0, user: 1, value: 1 }], 0));
  const before = windows.openWindows("v")[0];
  windows.advance("events", { position: 2, receivedAtUs: 10 ** 15, watermarkUs: 5n });
  expect(windows.openWindows("v")[0]).toBe(before as NonNullable<typeof before>);
  const past = { position: 3, receivedAtUs: 10 ** 15, watermarkUs: BigInt(GAP_US + 1) };
  expect(windows.advance("events", past).map(({ rowCount }) => rowCount)).toEqual([1]);
  const after = windows.openWindows("v")[0];
  expect(after?.version).toBeGreaterThan(before?.version ?? 0);
  expect(after?.images).toEqual([]);
});

test("a correction removes the row that was out, and the session comes out again with both", () => {
  const windows = newWindows();
  const plan = { ...PLAN, late: { policy: "update", allowedUs: GAP_US } as const };
  windows.addView(plan, SCHEMA, { since: 0 });
  windows.fold(recordOf(1, [{ timeUs: 0, user: 1, value: 1 }], 0));
  const closed = windows.advance("events", {
    position: 2,
    receivedAtUs: 10 ** 15,
    watermarkUs: BigInt(GAP_US + 5),
  });
  const late = { timeUs: 10, user: 1, value: 2, behindUs: GAP_US - 5 };
  const outputs = windows.fold(recordOf(3, [late], GAP_US + 5));
  expect(outputs.map(({ op }) => op)).toEqual(["delete"]);
  const keys = (rows: Cell[][]): Cell[][] => rows.map((row) => row.slice(0, 3));
  const removed = outputs.flatMap(({ image }) => outputRows(plan, [image]));
  expect(keys(removed)).toEqual(keys(closed.flatMap(({ image }) => outputRows(plan, [image]))));
  expect(removed[0]?.slice(3)).toEqual([1n, null, null, 0n, 0n]);
  expect(windows.stats()[0]?.counts).toMatchObject({ accepted: 2, pending: 2, applied: 0 });
  const again = windows.advance("events", {
    position: 4,
    receivedAtUs: 10 ** 15,
    watermarkUs: BigInt(GAP_US + 11),
  });
  const text = "visitor with the number 1";
  expect(again.flatMap(({ image }) => outputRows(plan, [image]))).toEqual([
    [0n, BigInt(GAP_US + 10), text, 2n, text, text, 2n, 1n],
  ]);
});

test("sums of doubles of two sessions add up when an event bridges them", () => {
  const amount = {
    op: "column",
    column: { from: "image", ordinal: 5 },
    type: { kind: "DOUBLE" },
  } as const;
  const plan: ViewPlan = {
    ...planOf({
      name: "v",
      filter: null,
      keys: [],
      aggregates: (["sum", "avg", "min", "max", "first", "last"] as const).map((fn) => ({
        fn,
        arg: amount,
        filter: null,
        type: { kind: "DOUBLE" },
      })),
    }),
    window: { kind: "session", gapUs: GAP_US },
  };
  const windows = newWindows();
  windows.addView(plan, SCHEMA, { since: 0 });
  const events = [
    [1_500_000n, 0.2],
    [0n, 0.1],
    [100_000n, -0.7],
    [800_000n, 0.3],
  ] as const;
  const cells = events.map(([timeUs, double]): Cell[] => [
    ...SCHEMA.columns.map((column): Cell => {
      if (column.name === "event_time") return timeUs;
      return column.name === "double" ? double : null;
    }),
    null,
    0n,
  ]);
  windows.fold({ ...recordOf(1, [], 0), rowCount: 4, image: buildImage(IMAGE_COLUMNS, cells) });
  const open = windows.openWindows("v").flatMap(({ images }) => images);
  const rows = outputRows(
    plan,
    open.map(({ image }) => image),
  );
  expect(rows.map((row) => row.slice(0, 2))).toEqual([[0n, 2_500_000n]]);
  const [sum, avg, ...exact] = rows[0]?.slice(2) ?? [];
  expect(sum).toBeCloseTo(-0.1, 12);
  expect(avg).toBeCloseTo(-0.025, 12);
  expect(exact).toEqual([-0.7, 0.3, 0.2, 0.3, 0n]);
});

test("a session that grew while its timer was due stays open until the watermark is beyond its end", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  const closedBy = (position: number, watermarkUs: number): number => {
    const record = { position, receivedAtUs: 10 ** 15, watermarkUs: BigInt(watermarkUs) };
    return windows.advance("events", record).reduce((sum, { rowCount }) => sum + rowCount, 0);
  };
  windows.fold(recordOf(1, [{ timeUs: 0, user: 1, value: 1 }], 0));
  expect(closedBy(2, GAP_US)).toBe(0);
  const late = { timeUs: 5, user: 1, value: 1, behindUs: GAP_US - 5 };
  windows.fold(recordOf(3, [late], GAP_US));
  expect(closedBy(4, GAP_US + 5)).toBe(0);
  expect(closedBy(5, GAP_US + 6)).toBe(1);
});

test("sessions go out in the order of their ends, also those that come when theirs is at hand", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  const ends: Cell[] = [];
  const wanted: bigint[] = [];
  let seed = 1;
  const below = (count: number): number => (seed = (seed * 48_271) % 2_147_483_647) % count;
  for (let step = 0; step < 60; step++) {
    const watermarkUs = step * 40_000;
    const events = Array.from({ length: 200 }, (_, row): Event => {
      const user = step * 200 + row;
      if (row % 4 > 0 || step === 0) return { timeUs: watermarkUs + below(GAP_US), user, value: 1 };
      // Nearly late: it ends right behind the watermark.
      const timeUs = watermarkUs - GAP_US + below(30_000);
      return { timeUs, user, value: 1, behindUs: watermarkUs - timeUs };
    });
    wanted.push(...events.map(({ timeUs }) => BigInt(timeUs + GAP_US)));
    const next = step === 59 ? 10 * GAP_US : watermarkUs + 40_000;
    for (const { image } of windows.fold(recordOf(step + 1, events, next)))
      ends.push(...outputRows(PLAN, [image]).map(([, end = null]) => end));
  }
  expect(ends).toEqual(wanted.toSorted((a, b) => Number(a - b)));
});

test("thousands of sessions go out in the order of their ends, those of one end in the order of their rows", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  let seed = 1;
  const below = (count: number): number => (seed = (seed * 48_271) % 2_147_483_647) % count;
  // One slot of the wheel: many of one end, many of another, the others spread over it.
  const events = Array.from({ length: 4000 }, (_, user): Event => ({
    timeUs: [0, 5, below(9000), below(9000)][below(4)] ?? 0,
    user: user + 1000,
    value: 1,
  }));
  windows.fold(recordOf(1, events, 0));
  const past = { position: 2, receivedAtUs: 10 ** 15, watermarkUs: BigInt(10 * GAP_US) };
  const rows = windows.advance("events", past).flatMap(({ image }) => outputRows(PLAN, [image]));
  const wanted = events
    .toSorted((a, b) => a.timeUs - b.timeUs || a.user - b.user)
    .map(({ timeUs, user }) => [BigInt(timeUs + GAP_US), `visitor with the number ${user}`]);
  expect(rows.map((row) => row.slice(1, 3))).toEqual(wanted);
});
