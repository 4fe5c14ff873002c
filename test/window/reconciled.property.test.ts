// Reconciled ranges against a model that knows every start: the position of the newest range over it. And through a checkpoint.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Reconciled } from "../../src/window/reconciled.ts";

const range = fc.record({
  view: fc.constantFrom("a", "b"),
  from: fc.integer({ min: 0, max: 30 }),
  size: fc.integer({ min: 1, max: 12 }),
  // whether it is of the same run as the one before
  isSame: fc.boolean(),
});

test("the newest range over a start says up to which position its late events count; no range touches another of its position", () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), (given) => {
      let reconciled = new Reconciled();
      const model = new Map<string, number>();
      let position = 0;
      for (const { view, from, size, isSame } of given) {
        if (!isSame) position += 3;
        const receivedAtUs = position * 1000;
        const bounds = { fromUs: BigInt(from), toUs: BigInt(from + size) };
        reconciled.add({ view, ...bounds, position, receivedAtUs });
        for (let start = from; start < from + size; start++)
          model.set(`${view} ${start}`, position);
        const { saved } = reconciled;
        reconciled = new Reconciled();
        reconciled.restore(saved);
      }
      const { ranges } = reconciled;
      const found = new Map<string, number>();
      for (const { view, fromUs, toUs, position: at, receivedAtUs } of ranges) {
        expect(receivedAtUs).toBe(at * 1000);
        for (let start = fromUs; start < toUs; start++) {
          expect(found.has(`${view} ${start}`)).toBe(false);
          found.set(`${view} ${start}`, at);
        }
      }
      expect(found.size).toBe(model.size);
      for (const [start, at] of model) expect(found.get(start)).toBe(at);
      for (const a of ranges)
        for (const b of ranges)
          if (a.view === b.view && a.position === b.position) expect(a.toUs).not.toBe(b.fromUs);
    }),
  );
});
