// The id table at its brink, held against a Map: pages that fill, ids that expire and come again, segments that split; also with hashes
// that crowd into two groups of every page, or share a tag.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { VERDICT_ACCEPTED, VERDICT_DUPLICATE } from "../../kernels/abi.ts";
import { assert } from "../../src/base/assert.ts";
import { DEDUP_TTL_US_MAX } from "../../src/limits.ts";
import { admission, massHashes, SETTINGS } from "./fixture.ts";

const START_US = 1_570_000_000_000_000;
const TTL_MS = 100;
/** Times are these ones times as long: `dedup_ttl` up to its bound of 20 days, where ms modulo 2^32 come around. */
const SCALES = [1, DEDUP_TTL_US_MAX / 1000 / TTL_MS];

/** A batch: ids from a number on, those before `fresh` have been offered before; then time goes on. */
interface Step {
  /** How far back the ids begin, from the newest offered before. */
  readonly back: number;
  readonly rows: number;
  readonly waitMs: number;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    back: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 3000 }) },
    ),
    rows: fc.integer({ min: 1, max: 1500 }),
    waitMs: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 9 }) },
      { weight: 1, arbitrary: fc.integer({ min: 10, max: 2 * TTL_MS }) },
    ),
  }),
  { minLength: 5, maxLength: 60 },
);

/** What becomes of the third word of a hash: it chooses the groups by its highest bits, the tag by its lowest. */
const crowds: Record<string, (word: number) => number> = {
  none: (word) => word,
  groups: (word) => word >>> 8,
  tags: (word) => word & ~0x7ff,
};

test("verdicts are those of a Map, whatever the fill", () => {
  const crowdings = fc.constantFrom(...Object.keys(crowds));
  fc.assert(
    fc.property(steps, crowdings, fc.constantFrom(...SCALES), (all, crowding, scale) => {
      const crowd = crowds[crowding];
      assert(crowd !== undefined, "a crowding");
      const table = admission([{ ...SETTINGS, dedupTtlUs: TTL_MS * scale * 1000 }]);
      const acceptedAt = new Map<number, number>();
      let [newest, ms] = [0, 0];
      for (const { back, rows, waitMs } of all) {
        const first = Math.max(newest - back, 0);
        newest = Math.max(newest, first + rows);
        const hashes = massHashes(first, rows);
        const words = new Uint32Array(hashes.buffer);
        for (let row = 0; row < rows; row++) words[4 * row + 2] = crowd(words[4 * row + 2] ?? 0);
        const batch = {
          hashes,
          idValid: null,
          eventTimes: new BigInt64Array(rows),
          rowCount: rows,
        };
        const arrival = { partition: "", receivedAtUs: START_US + ms * scale * 1000 };
        const result = table.admit(SETTINGS.name, batch, arrival);
        assert(!result.full, "there is room");
        const expected = Uint8Array.from({ length: rows }, (_, row) => {
          const at = acceptedAt.get(first + row);
          if (at !== undefined && ms - at < TTL_MS) return VERDICT_DUPLICATE;
          acceptedAt.set(first + row, ms);
          return VERDICT_ACCEPTED;
        });
        expect(Buffer.compare(result.verdicts, expected)).toBe(0);
        const live = [...acceptedAt.values()].filter((at) => ms - at < TTL_MS).length;
        expect(table.idTable(SETTINGS.name).ids).toBeGreaterThanOrEqual(live);
        ms += waitMs;
      }
    }),
    { numRuns: 60 },
  );
}, 180_000);
