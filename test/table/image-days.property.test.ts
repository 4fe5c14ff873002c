// The days of an image's rows, read from its words, hold every day that floor division of its times gives.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { buildImage } from "../../src/event/image.ts";
import { EPOCH_DAYS_MAX } from "../../src/limits.ts";
import { addImageDays } from "../../src/table/image-days.ts";

const US_PER_DAY = 86_400_000_000n;
const COLUMNS = [{ name: "at", type: { kind: "TIMESTAMPTZ" }, nullable: false }] as const;

/** By the book. */
function dayOf(us: bigint): number {
  const day = us / US_PER_DAY;
  return Number(day * US_PER_DAY > us ? day - 1n : day);
}

const nearMidnight = fc
  .tuple(fc.integer({ min: -90_000, max: 90_000 }), fc.integer({ min: -2, max: 2 }))
  .map(([day, add]) => BigInt(day) * US_PER_DAY + BigInt(add));
const time = fc.oneof(
  nearMidnight,
  fc.bigInt({ min: 1_569_888_000_000_000n, max: 1_569_988_000_000_000n }),
  fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
);

test("every day of a row is found; others only where rows span few days", () => {
  fc.assert(
    fc.property(
      fc.array(time, { minLength: 1, maxLength: 50 }),
      fc.integer({ min: 0, max: 7 }),
      (times, shift) => {
        const built = buildImage(
          COLUMNS,
          times.map((us) => [us]),
          new Set(),
        );
        const image = new Uint8Array(built.length + shift).subarray(shift);
        image.set(built);
        const days = new Set<number>();
        addImageDays(image, 0, days);
        const expected = new Set(times.map(dayOf));
        for (const day of expected) expect(days.has(day)).toBe(true);
        const sorted = [...expected].toSorted((a, b) => a - b);
        const span = (sorted.at(-1) ?? 0) - (sorted[0] ?? 0);
        if (span > EPOCH_DAYS_MAX) expect(days.size).toBe(expected.size);
        else expect(days.size).toBeLessThanOrEqual(span + 2);
      },
    ),
  );
});
