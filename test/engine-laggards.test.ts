// A view that goes on holds up who reads the raw table for it: one page is here at a time, and none is folded while tables do not take what it puts out.
import { expect, test } from "bun:test";
import { buildKernels } from "../kernels/build.ts";
import type { FoldKernels } from "../kernels/fold.ts";
import { instantiate } from "../kernels/host.ts";
import { must } from "../src/base/assert.ts";
import { EngineLaggards, type LaggardWires, type PastWish } from "../src/engine-laggards.ts";
import type { Cell } from "../src/event/image.ts";
import { encodeRecord } from "../src/log/codec.ts";
import { MemoryLog } from "../src/log/memory-log.ts";
import type { EventsRecord } from "../src/log/record.ts";
import { Windows } from "../src/window/windows.ts";
import { BIGINT, planOf, SCHEMA, TIME, VARCHAR } from "./window/arbitrary.ts";
import { FOLD_WASM, place, recordOf } from "./window/drive.ts";

await buildKernels(["fold"]);
const NAME = SCHEMA.columns.findIndex(({ name }) => name === "name");
const VIEW = planOf({
  name: "many",
  filter: null,
  keys: [
    {
      expr: { op: "column", column: { from: "image", ordinal: NAME }, type: VARCHAR },
      type: VARCHAR,
    },
  ],
  aggregates: [{ fn: "count_star", arg: null, filter: null, type: BIGINT }],
});
const LAST = 12;
const TRIMMED = 9;

/** Records of one window, each event with a name of its own. */
function records(): EventsRecord[] {
  const events = Array.from({ length: LAST * 10 }, (_, index): Cell[] =>
    SCHEMA.columns.map(({ type }, ordinal) => {
      if (type === TIME) return 1n;
      return ordinal === NAME ? `name ${index}` : null;
    }),
  );
  const options = { outOfOrdernessUs: 0, receivedAtUs: 0 };
  return place(events, [10], options).map((record) => recordOf(record, new Set()));
}

function begin(memoryMaxBytes: number | null, before: Windows | null): Windows {
  const windows = new Windows(instantiate<FoldKernels>(FOLD_WASM, 1024 * 1024 * 1024), 4800);
  const checkpoint = before?.takeCheckpoint();
  if (checkpoint !== undefined) windows.restore(checkpoint.pages, checkpoint.body, []);
  windows.addView(VIEW, SCHEMA, { since: 0, memoryMaxBytes });
  return windows;
}

test("a page of the raw table is asked for when the one before is folded", () => {
  const all = records();
  const log = new MemoryLog({ fileSizeBytes: 1, sizeMaxBytes: 2 ** 32 });
  const stopped = begin(1, null);
  for (const record of all) {
    log.append([encodeRecord(record)]);
    stopped.foldRecord(record);
  }
  log.trim(TRIMMED);
  const windows = begin(null, stopped);
  const position = must(windows.laggards.first, "a view that goes on").position;
  expect(position).toBe(1);
  const wishes: (PastWish | null)[] = [];
  let asked = 0;
  const wires: LaggardWires = {
    backlog: { isBehind: false, isPaused: false },
    wish: (wish) => void wishes.push(wish),
    more: () => void asked++,
  };
  const tablesAreSlow = new EngineLaggards(windows, log.openReader(), wires, 0);
  expect(tablesAreSlow.mayFold).toBe(false);
  const laggards = new EngineLaggards(windows, log.openReader(), wires);
  const fold = (): void => void laggards.step(() => true);
  fold();
  const { id, gap } = must(wishes[0], "a wish");
  expect(gap).toEqual({ after: 1, before: TRIMMED, upTo: LAST, eventCount: (LAST - 1) * 10 });
  expect([laggards.mayFold, asked]).toEqual([false, 0]);
  const page = (from: number, to: number, isLast: boolean): void =>
    laggards.take({ id, kind: "page", records: all.slice(from - 1, to), isLast });
  page(2, 4, false);
  for (const expected of [0, 0, 1]) {
    expect(laggards.mayFold).toBe(true);
    fold();
    expect(asked).toBe(expected);
  }
  expect(laggards.mayFold).toBe(false);
  // a page without records is over when it comes
  page(5, 4, false);
  expect(asked).toBe(2);
  page(5, 8, true);
  while (laggards.mayFold) fold();
  expect([asked, wishes.length, wishes.at(-1)]).toEqual([2, 2, null]);
  expect([windows.suspended.size, windows.laggards.first]).toEqual([0, null]);
  expect(windows.stats()[0]).toMatchObject({ groups: LAST * 10, counts: { accepted: LAST * 10 } });
});
