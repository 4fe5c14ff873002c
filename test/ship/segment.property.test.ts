// Segments: bytes come back, flipped ones do not; a run of them is what a model finds that looks at one position after the other; and what is collected is
// never of a run that a kept shipment needs.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeRecord, encodeRecord } from "../../src/log/codec.ts";
import type { EncodedRecord } from "../../src/log/log.ts";
import type { Kept } from "../../src/ship/claim.ts";
import { removableKeys } from "../../src/ship/collect.ts";
import type { Owner, Term } from "../../src/ship/owner.ts";
import {
  decodeSegment,
  encodeSegment,
  lastStored,
  readSegmentKey,
  runFrom,
  type Segment,
} from "../../src/ship/segment.ts";
import { chunkKey, shipmentKey } from "../../src/ship/shipment.ts";
import { recordAt } from "../log/records.ts";

const TERM = "000001-9f86d081";

function encoded(first: number, count: number): EncodedRecord[] {
  return Array.from({ length: count }, (_, at) => encodeRecord(recordAt(first + at)));
}

describe("a segment", () => {
  test("comes back record by record, under a key that says what it is", () => {
    const records = encoded(7, 9);
    const { segment, bytes } = encodeSegment(records, TERM);
    expect(readSegmentKey(segment.key)).toEqual(segment);
    expect([segment.first, segment.last, segment.term]).toEqual([7, 15, TERM]);
    const back = decodeSegment(segment, bytes, "it");
    expect(back).toEqual(records);
    expect(back.map((record) => decodeRecord(record))).toEqual(
      records.map((record) => decodeRecord(record)),
    );
  });

  test("that was changed, cut, or is of another version is refused by name", () => {
    const { segment, bytes } = encodeSegment(encoded(1, 3), TERM);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const changed = bytes.slice();
        changed[at] = (changed[at] ?? 0) ^ by;
        expect(() => decodeSegment(segment, changed, "log/it")).toThrow("log/it is damaged");
      }),
    );
    expect(() => decodeSegment(segment, bytes.subarray(0, -1), "log/it")).toThrow("is damaged");
    const newer = bytes.slice();
    newer[4] = 2;
    const sha256 = new Bun.CryptoHasher("sha256").update(newer).digest("hex");
    expect(() => decodeSegment({ ...segment, sha256 }, newer, "log/it")).toThrow(
      "is of format 2, this release knows 1",
    );
  });

  test("that has other records than its key says, or a damaged one, is refused though its SHA-256 fits", () => {
    const records = encoded(1, 3);
    const { segment, bytes } = encodeSegment(records, TERM);
    for (const last of [2, 4])
      expect(() => decodeSegment({ ...segment, last }, bytes, "it")).toThrow("it has 3 records");
    const [one, ...rest] = records;
    const payload = one?.payload.slice() ?? new Uint8Array(1);
    payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1;
    const spoilt = encodeSegment([{ ...encodeRecord(recordAt(1)), payload }, ...rest], TERM);
    expect(() => decodeSegment(spoilt.segment, spoilt.bytes, "it")).toThrow(
      "the checksum of the payload differs",
    );
    const cut = bytes.subarray(0, bytes.length - 9);
    const sha256 = new Bun.CryptoHasher("sha256").update(cut).digest("hex");
    expect(() => decodeSegment({ ...segment, sha256 }, cut, "it")).toThrow("it is damaged (");
  });

  test("has a key when terms are many", () => {
    const { segment } = encodeSegment(encoded(1, 1), "1000000-00000000");
    expect(readSegmentKey(segment.key)).toEqual(segment);
  });
});

const termId = (number: number): string => `${String(number).padStart(6, "0")}-00000000`;
const terms = fc
  .array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 })
  .map((froms) =>
    froms.map((from, at): Term => ({ id: termId(at + 1), from: at === 0 ? 1 : from, beganAt: "" })),
  );
/** Of terms that are there, and of one that nobody knows. */
const segments = fc.array(
  fc
    .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 30 }), fc.nat(6))
    .map(([number, first, more]): Segment => {
      const [term, last] = [termId(number), first + more];
      const digits = (position: number): string => String(position).padStart(16, "0");
      const sha256 = "ab".repeat(32);
      const key = `log/${term}/${digits(first)}-${digits(last)}-${sha256}`;
      return { key, term, first, last, sha256 };
    }),
  { maxLength: 12 },
);

/** The segments that may say what is at a position. */
function holders(position: number, listed: readonly Segment[], known: readonly Term[]): Segment[] {
  return listed.filter(({ term, first, last }) => {
    const at = known.findIndex(({ id }) => id === term);
    const isOver = known.slice(at + 1).some(({ from }) => from <= position);
    return at !== -1 && !isOver && first <= position && position <= last;
  });
}

describe("a run", () => {
  test("is what a look at one position after the other finds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), segments, terms, (from, listed, known) => {
        const run = runFrom(from, listed, known);
        let end = from;
        while (holders(end, listed, known).length > 0) end++;
        expect(run.last).toBe(end - 1);
        // each part may be taken where the one before it ends
        let next = from;
        for (const { segment, end: to } of run.segments) {
          expect(holders(next, listed, known)).toContain(segment);
          expect(holders(to - 1, listed, known)).toContain(segment);
          next = to;
        }
        expect(next).toBe(end);
        const all = Array.from({ length: 40 }, (_, at) => at);
        const held = all.filter((position) => holders(position, listed, known).length > 0);
        expect(lastStored(listed, known)).toBe(held.at(-1) ?? 0);
      }),
    );
  });
});

test("what is collected is of no kept shipment, its run, or a process that has taken over", () => {
  const place = fc.record({ first: fc.integer({ min: 1, max: 30 }), chunk: fc.nat(5) });
  fc.assert(
    fc.property(
      segments,
      terms,
      fc.array(place, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 3 }),
      (listed, known, places, keepMax) => {
        const owner: Owner = { jobId: "job", folder: "f", terms: known };
        const all = places.map(({ first, chunk }, at): Kept => {
          const name = { number: at + 1, last: first, term: termId(1) };
          const chunks = [{ sha256: `${chunk}`.repeat(64), bytes: 1 }];
          const shipment = { log: { first, last: first }, files: [{ path: "state.db", chunks }] };
          return { name: { key: shipmentKey(name), ...name }, shipment } as unknown as Kept;
        });
        const kept = all.slice(-keepMax);
        const chunkKeys = places.map(({ chunk }) => chunkKey(`${chunk}`.repeat(64)));
        const keys = [
          "owner.json",
          ...new Set(chunkKeys),
          ...all.map(({ name }) => name.key),
          ...listed.map(({ key }) => key),
        ];
        const gone = new Set(removableKeys(keys, kept, owner));
        const left = listed.filter(({ key }) => !gone.has(key));
        for (const { name, shipment } of all) {
          expect(gone.has(name.key)).toBe(!kept.some((one) => one.name === name));
          if (gone.has(name.key)) continue;
          const from = shipment.log.first;
          expect(runFrom(from, left, known).last).toBe(runFrom(from, listed, known).last);
          for (const { chunks } of shipment.files)
            for (const { sha256 } of chunks) expect(gone.has(chunkKey(sha256))).toBe(false);
        }
        expect(gone.has("owner.json")).toBe(false);
        for (const { key, term } of listed)
          if (!known.some(({ id }) => id === term) && term > termId(known.length))
            expect(gone.has(key)).toBe(false);
      },
    ),
  );
});
