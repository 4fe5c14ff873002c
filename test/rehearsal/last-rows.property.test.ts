// Rows of different keys are different rows.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Cell } from "../../src/event/image.ts";
import { rowKey } from "../../src/rehearsal/last-rows.ts";

const part = fc.constantFrom("\0", " ", ":", "s", "1", "2");
const text = fc.array(part, { maxLength: 5 }).map((parts) => parts.join(""));
const cell: fc.Arbitrary<Cell> = fc.oneof(
  { weight: 6, arbitrary: text },
  fc.constantFrom(null, 0, 1, true, 1n),
);
const keys = fc.array(cell, { minLength: 2, maxLength: 2 });

test("a key's text is that of equal keys only", () => {
  fc.assert(
    fc.property(keys, keys, (a, b) => {
      expect(rowKey(a, [0, 1]) === rowKey(b, [0, 1])).toBe(Bun.deepEquals(a, b));
    }),
    {
      numRuns: 1_000,
      examples: [
        [
          ["a\0sb", "c"],
          ["a", "b\0sc"],
        ],
      ],
    },
  );
});
