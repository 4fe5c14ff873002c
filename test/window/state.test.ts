// State in pages: memory of closed windows comes back, checkpoints are small and restore a million groups at once, outputs stay until they
// are covered, plans that changed are refused.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { FOLD_PAGE_BYTES, FOLD_PAGES_AT } from "../../kernels/abi.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import type { SavedPage } from "../../src/window/saved-pages.ts";
import { Windows, type WindowsCheckpoint } from "../../src/window/windows.ts";
import { BIGINT, WINDOW_US } from "./arbitrary.ts";
import type { FlatMemory } from "./flat-memory.ts";
import { FOLD_WASM, newWindows, outputRows } from "./drive.ts";
import { ADDED, amountClass, PLAN, recordOf, SCHEMA, users, type Event } from "./user-events.ts";

class Store {
  readonly pages = new Map<number, SavedPage>();
  readonly outputs: ViewOutput[] = [];
  body = new Uint8Array();

  merge(checkpoint: WindowsCheckpoint): void {
    for (const page of checkpoint.freed) this.pages.delete(page);
    for (const page of checkpoint.pages) this.pages.set(page.page, page);
    this.outputs.push(...checkpoint.outputs);
    this.body = new Uint8Array(checkpoint.body);
  }
}

test("memory stays flat over 10,000 windows", async () => {
  const child = Bun.spawn(
    [process.execPath, "--no-install", join(import.meta.dir, "flat-memory.ts")],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const flat = (await new Response(child.stdout).json()) as FlatMemory;
  expect(flat.closedRows).toBe(9999 * 40);
  expect(flat.stateBytes[1]).toBe(flat.stateBytes[0]);
  expect(flat.stateBytes[0]).toBeLessThan(1024 * 1024);
  expect(flat.residentBytes[1] - flat.residentBytes[0]).toBeLessThan(48 * 1024 * 1024);
}, 60_000);

test("a million groups: small checkpoints, and all of them back after a restore", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, ADDED);
  const store = new Store();
  for (let index = 0; index < 250; index++)
    windows.fold(recordOf(index + 1, users(index * 4000, 4000, 0n)));
  expect(windows.stats()[0]).toMatchObject({ windows: 1, groups: 1_000_000 });
  store.merge(windows.takeCheckpoint());
  windows.fold(recordOf(251, [[0n, "user number 7", 1n]]));
  const small = windows.takeCheckpoint();
  expect(small.pages.length).toBeLessThan(8);
  store.merge(small);
  const restored = newWindows();
  restored.restore(store.pages.values(), store.body, []);
  restored.addView(PLAN, SCHEMA, ADDED);
  expect(restored.takeCheckpoint().pages).toEqual([]);
  restored.fold(
    recordOf(252, [
      [0n, "user number 999999", 2n],
      [0n, "new", 2n],
    ]),
  );
  expect(restored.stats()[0]).toMatchObject({ windows: 1, groups: 1_000_001, position: 252 });
  const closing = restored.fold(recordOf(253, [[BigInt(WINDOW_US), null, 0n]]));
  const rows = closing.reduce((sum, { rowCount }) => sum + rowCount, 0);
  expect(rows).toBe(1_000_001);
  const first = closing[0];
  const head = first === undefined ? [] : outputRows(PLAN, [first.image]).slice(6, 8);
  expect(head.map((row) => row.slice(2, 6))).toEqual([
    ["user number 6", 1n, "user number 6", 1n],
    ["user number 7", 2n, "user number 7", 2n],
  ]);
}, 120_000);

/**
 * 600 events: regular users with new amounts (sketches of all modes), new users (splits of the index, new texts), users of long ago (old
 * pages). Windows close now and then.
 */
function growing(index: number): Event[] {
  const startUs = BigInt(Math.floor(index / 20) * WINDOW_US);
  return Array.from({ length: 600 }, (_, row): Event => {
    const names = [
      `regular ${row % 12}`,
      `visitor ${index * 600 + row} who is new`,
      `visitor ${((index * row) % 90) * 600 + 1} who is new`,
    ];
    const spent = row % 3 === 0 ? BigInt(index * 600 + row) : BigInt(row);
    return [
      startUs + BigInt((row % 2) * WINDOW_US),
      row % 50 === 7 ? null : (names[row % 3] ?? null),
      spent,
    ];
  });
}

/** Pages of a store that differ from the memory they were taken from. */
function stalePages(store: Store, memory: Uint8Array): number[] {
  return [...store.pages.values()].flatMap(({ page, bytes }) => {
    const from = FOLD_PAGES_AT + page * FOLD_PAGE_BYTES;
    return Buffer.compare(bytes, memory.subarray(from, from + FOLD_PAGE_BYTES)) === 0 ? [] : [page];
  });
}

test("every page that changed is in the next checkpoint", () => {
  const plans = [PLAN, { ...PLAN, keys: [{ expr: amountClass, type: BIGINT }], name: "w" }];
  const instance = instantiate<FoldKernels>(FOLD_WASM, 1024 * 1024 * 1024);
  const windows = new Windows(instance, 40_000);
  for (const plan of plans) windows.addView(plan, SCHEMA, ADDED);
  const store = new Store();
  for (let index = 0; index < 60; index++) {
    windows.fold(recordOf(index + 1, growing(index), 2 * WINDOW_US));
    store.merge(windows.takeCheckpoint());
    expect(stalePages(store, instance.u8())).toEqual([]);
  }
  const restored = newWindows();
  restored.restore(store.pages.values(), store.body, store.outputs);
  for (const plan of plans) restored.addView(plan, SCHEMA, ADDED);
  for (const { name } of plans) {
    const images = windows.openWindows(name).flatMap((window) => window.images);
    expect(restored.openWindows(name).flatMap((window) => window.images)).toEqual(images);
    expect(images.length).toBe(3);
  }
  expect(restored.stats()).toEqual(windows.stats());
});

test("more windows than the root page lists", () => {
  const instance = instantiate<FoldKernels>(FOLD_WASM, 1024 * 1024 * 1024);
  const windows = new Windows(instance, 40_000);
  windows.addView(PLAN, SCHEMA, ADDED);
  const store = new Store();
  // Oldest last: each new window goes to the front of the list. Then one far ahead closes most of them.
  const starts = [
    ...Array.from({ length: 1200 }, (_, index) => 1200 - index),
    1201,
    2400,
    2401,
    9000,
  ];
  const spans = [starts.slice(0, 1190), ...starts.slice(1190).map((start) => [start])];
  for (const [index, span] of spans.entries()) {
    const events = span.map((start): Event => [BigInt(start * WINDOW_US), "a", 1n]);
    windows.fold(recordOf(index + 1, events, 1300 * WINDOW_US));
    store.merge(windows.takeCheckpoint());
    expect(stalePages(store, instance.u8())).toEqual([]);
  }
  expect(windows.stats()[0]).toMatchObject({ windows: 1, counts: { applied: 1203, pending: 1 } });
  const closed = windows.pending("v").flatMap(({ image }) => outputRows(PLAN, [image]));
  expect(closed.map((row) => Number(row[0]) / WINDOW_US)).toEqual(
    starts.slice(0, -1).toSorted((a, b) => a - b),
  );
});

test("outputs stay until they are covered, also across a restart", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, ADDED);
  const store = new Store();
  for (let index = 0; index < 4; index++)
    windows.fold(recordOf(index + 1, users(0, 3, BigInt(index * WINDOW_US))));
  expect(windows.pending("v").map(({ position }) => position)).toEqual([2, 3, 4]);
  store.merge(windows.takeCheckpoint());
  const older = { ...store, pages: new Map(store.pages), outputs: [...store.outputs] };
  windows.covered("v", "rows", 3);
  expect(windows.pending("v").map(({ position }) => position)).toEqual([4]);
  store.merge(windows.takeCheckpoint());
  const restored = newWindows();
  restored.restore(store.pages.values(), store.body, store.outputs);
  expect(restored.pending("v").map(({ position }) => position)).toEqual([4]);
  // What the ledger has beyond the checkpoint is given again by the replay, and dropped.
  const replayed = newWindows();
  replayed.restore(older.pages.values(), older.body, older.outputs);
  replayed.addView(PLAN, SCHEMA, ADDED);
  replayed.covered("v", "rows", 5);
  expect(replayed.pending("v")).toEqual([]);
  expect(replayed.fold(recordOf(5, users(0, 3, BigInt(4 * WINDOW_US))))).toEqual([]);
  expect(replayed.fold(recordOf(6, users(0, 3, BigInt(5 * WINDOW_US))))).toHaveLength(1);
});

test("a view with another plan is refused, dropped, and its memory comes back", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, ADDED);
  const empty = windows.stateBytes;
  windows.fold(recordOf(1, users(0, 3000, 0n)));
  const store = new Store();
  store.merge(windows.takeCheckpoint());
  const restored = newWindows();
  const found = restored.restore(store.pages.values(), store.body, []);
  expect(found.map(({ name, position }) => [name, position])).toEqual([["v", 1]]);
  const changed = {
    ...PLAN,
    filter: { op: "constant", value: true, type: { kind: "BOOLEAN" } },
  } as const;
  expect(() => restored.addView(changed, SCHEMA, ADDED)).toThrow("another plan");
  restored.dropView("v");
  expect(restored.stateBytes).toBe(0);
  restored.addView(changed, SCHEMA, { since: 1 });
  expect(restored.stateBytes).toBe(empty);
  restored.fold(recordOf(1, users(0, 5, 0n)));
  expect(restored.stats()[0]?.groups).toBe(0);
});

test("images of open windows are made again only after a change", () => {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, ADDED);
  windows.fold(recordOf(1, [...users(0, 2, 0n), ...users(0, 2, BigInt(WINDOW_US))], WINDOW_US));
  const before = windows.openWindows("v");
  windows.fold(recordOf(2, users(0, 1, BigInt(WINDOW_US)), WINDOW_US));
  const after = windows.openWindows("v");
  expect(after[0]).toBe(before[0] as (typeof after)[0]);
  expect(after[1]?.version).toBeGreaterThan(before[1]?.version ?? 0);
  expect(after[1]?.images[0]?.image).not.toEqual(before[1]?.images[0]?.image as Uint8Array);
});
