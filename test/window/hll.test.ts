// HyperLogLog: coupons as Apache DataSketches makes them, estimates that do not depend on order and stay within six sigma.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import { coupon, estimate } from "../../kernels/reference/hll.ts";
import type { Cell } from "../../src/event/image.ts";
import type { SqlType } from "../../src/event/schema.ts";
import { BIGINT, DOUBLE, IMAGE_COLUMNS, planOf, SCHEMA, VARCHAR } from "./arbitrary.ts";
import { FOLD_WASM, newWindows, outputRows, recordOf } from "./drive.ts";
import { couponOf } from "../../kernels/reference/fold.ts";

/** Printed by datasketches 5.2.0 (PyPI): the first coupon of hll_sketch(12, HLL_8) after one update. */
const DATASKETCHES: readonly (readonly [SqlType, string | bigint | number, number])[] = [
  [VARCHAR, "a", 71008815],
  [VARCHAR, "view", 167897828],
  [VARCHAR, "purchase", 201958549],
  [VARCHAR, "sixteen bytes ab", 455333712],
  [VARCHAR, "seventeen bytes a", 86551823],
  [VARCHAR, "ü", 260132149],
  [VARCHAR, "a longer text that has more than thirty-two bytes in it", 105622566],
  [BIGINT, 0n, 79878091],
  [BIGINT, -1n, 199714009],
  [BIGINT, 2n ** 63n - 1n, 229948159],
  [BIGINT, -(2n ** 63n), 214047093],
  [DOUBLE, 0.5, 452992115],
  [DOUBLE, -1.25, 111508592],
  [DOUBLE, NaN, 415052267],
  [DOUBLE, Infinity, 81501736],
];

test("coupons are those of Apache DataSketches", () => {
  for (const [type, value, expected] of DATASKETCHES)
    expect([value, couponOf(value, type)]).toEqual([value, expected]);
});

test("kernel and twin make the same coupons", () => {
  const kernel = instantiate<FoldKernels>(FOLD_WASM, 16 * 1024 * 1024);
  const address = kernel.allocate(1024);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      kernel.u8().fill(0xff, address, address + 128);
      kernel.u8().set(bytes, address);
      expect(kernel.call.coupon(address, bytes.byteLength)).toBe(coupon(bytes));
    }),
    { numRuns: 2000 },
  );
});

const PLAN = planOf({
  name: "v",
  filter: null,
  keys: [],
  aggregates: [
    {
      fn: "approx_count_distinct",
      arg: { op: "column", column: { from: "image", ordinal: 3 }, type: BIGINT },
      filter: null,
      type: BIGINT,
    },
  ],
});

/** The kernels' estimate of values in one window, in records of 5,000. */
function estimateOf(values: readonly bigint[]): number {
  const windows = newWindows();
  windows.addView(PLAN, SCHEMA, { since: 0 });
  for (let from = 0, position = 1; from < values.length; from += 5000, position++) {
    const events = values.slice(from, from + 5000).map((value, index) => {
      const cells: Cell[] = IMAGE_COLUMNS.map(() => null);
      [cells[0], cells[3], cells[IMAGE_COLUMNS.length - 1]] = [0n, value, 0n];
      return { cells, receivedAtUs: 0, position, index, watermarkUs: 0n };
    });
    windows.fold(recordOf(events, new Set()));
  }
  const images = windows.openWindows("v").flatMap((window) => window.images);
  const rows = outputRows(
    PLAN,
    images.map(({ image }) => image),
  );
  return Number(rows[0]?.[2]);
}

const SIGMA = 1.04 / Math.sqrt(4096);

test.each([1, 7, 8, 24, 25, 100, 383, 384, 385, 1000, 5000, 30_000])(
  "%d distinct values",
  (count) => {
    const values = Array.from({ length: count }, (_, index) => BigInt(index) * 7919n - 1000n);
    const found = estimateOf(values);
    expect(found).toBe(estimate(new Set(values.map((value) => couponOf(value, BIGINT)))));
    expect(Math.abs(found - count)).toBeLessThanOrEqual(count <= 384 ? 0 : 6 * SIGMA * count);
    const shuffled = [...values, ...values.slice(0, 500)].toReversed();
    expect(estimateOf(shuffled)).toBe(found);
  },
);
