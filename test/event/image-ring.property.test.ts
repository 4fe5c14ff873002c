// The ring of images against its one promise: an image that is kept is not written over, and room is found as long as there is some.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ImageRing } from "../../src/event/image-ring.ts";

const BASE = 640;
const MOST = 1000;

test("kept images never overlap, lie in the ring, and all of it is free again when they are given back", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fc.option(fc.integer({ min: 0, max: MOST })), { maxLength: 200 }),
      (images, steps) => {
        const bytes = images * 1024;
        const ring = new ImageRing(BASE, bytes, MOST);
        const kept: { readonly from: number; readonly to: number }[] = [];
        for (const step of steps) {
          const { next } = ring;
          if (step === null || next === null) {
            const oldest = kept.shift();
            if (oldest !== undefined) ring.giveBack(oldest.from);
            continue;
          }
          expect(next % 64).toBe(0);
          expect(next >= BASE && next + MOST <= BASE + bytes).toBe(true);
          // an image may have MOST bytes while it is written
          for (const { from, to } of kept) expect(next >= to || next + MOST <= from).toBe(true);
          ring.keep(step);
          kept.push({ from: next, to: next + step });
        }
        for (const { from } of kept) ring.giveBack(from);
        expect(ring.next).toBe(BASE);
      },
    ),
    { numRuns: 500 },
  );
});

test("small images leave room for many", () => {
  const ring = new ImageRing(BASE, 10 * 1024, MOST);
  let count = 0;
  for (; ring.next !== null; count++) ring.keep(64);
  expect(count).toBe(Math.floor((10 * 1024 - MOST) / 64) + 1);
});

test("images out of their order are a broken invariant", () => {
  const ring = new ImageRing(BASE, 4096, MOST);
  const first = ring.next;
  ring.keep(10);
  const second = ring.next;
  ring.keep(10);
  expect(() => ring.giveBack(second ?? 0)).toThrow("in their order");
  expect(first).toBe(BASE);
});
