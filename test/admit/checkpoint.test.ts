// Admission's checkpoint: what is written, what is refused, what expires.
import { expect, test } from "bun:test";
import { Admission } from "../../src/admit/admission.ts";
import {
  decodeSegment,
  decodeState,
  encodeSegment,
  type AdmissionSegment,
} from "../../src/admit/checkpoint.ts";
import {
  admission,
  admit,
  imageOf,
  kernels,
  massHashes,
  SETTINGS,
  type TestEvent,
} from "./fixture.ts";

const START_US = 1_570_000_000_000_000;

function events(first: number, count: number, timeUs = START_US): TestEvent[] {
  return Array.from({ length: count }, (_, i) => ({ id: `e${first + i}`, time: BigInt(timeUs) }));
}

test("a checkpoint holds only what is new, and says when a segment can be dropped", () => {
  const live = admission([SETTINGS]);
  admit(live, events(0, 300), START_US);
  const first = live.takeDelta(7);
  admit(live, events(200, 200), START_US + 5000);
  const second = live.takeDelta(8);
  expect(decodeState(first.body)).toMatchObject({
    position: 7,
    streams: [{ name: "clicks", clock: { watermarkUs: BigInt(START_US - 1_000_000) }, ids: 300 }],
  });
  const sizes = [first, second].map(({ segments }) =>
    segments.map((segment) => decodeSegment(segment.bytes).entries.length / 16),
  );
  expect(sizes).toEqual([[300], [100]]);
  expect(second.segments.map((segment) => segment.newestReceivedAtUs)).toEqual([START_US + 5000]);
  expect(live.takeDelta(9).segments).toEqual([]);
});

test("a stream that is back after starts without it goes on: ids within the TTL count, no others", () => {
  const others = { ...SETTINGS, name: "others" };
  const live = admission([SETTINGS, others]);
  admit(live, events(0, 30_000), START_US);
  admit(live, events(30_000, 1000), START_US + 5_000_000);
  let { body, segments } = live.takeDelta(2);
  const bytesOf = (all: readonly AdmissionSegment[]): Uint8Array[] => all.map(({ bytes }) => bytes);
  for (const position of [3, 4]) {
    const without = admission([others]);
    without.restore(body, bytesOf(segments));
    const nowUs = START_US + position * 1_000_000;
    admit(without, events(0, 10, nowUs), nowUs, "others");
    expect(without.expiredIds(nowUs)).toEqual(
      ["others", "clicks"].map((stream) => ({ stream, beforeUs: nowUs - 10_000_000 })),
    );
    const next = without.takeDelta(position);
    body = next.body;
    segments = [...segments, ...next.segments];
  }
  const back = admission([SETTINGS, others]);
  expect(back.restore(body, bytesOf(segments))).toBe(4);
  expect(back.clock("clicks").watermarkUs).toBe(BigInt(START_US - 1_000_000));
  expect(admit(back, events(0, 1000), START_US + 9_999_000).duplicates).toBe(1000);
  expect(admit(back, events(1000, 31_000), START_US + 10_000_000)).toMatchObject({
    duplicates: 1000,
    accepted: 30_000,
  });
});

test("a stream whose ids were not looked at for a while: those within the TTL count again", () => {
  const count = 300_000;
  const batch = { idValid: null, eventTimes: new BigInt64Array(1000), rowCount: 1000 };
  const fill = (into: Admission, receivedAtUs: number): number => {
    const arrival = { partition: "", receivedAtUs };
    let duplicates = 0;
    for (let first = 0; first < count; first += 1000) {
      const result = into.admit("clicks", { ...batch, hashes: massHashes(first, 1000) }, arrival);
      if (!result.full) duplicates += result.duplicates;
    }
    return duplicates;
  };
  const live = admission([SETTINGS]);
  fill(live, START_US);
  const { body, segments } = live.takeDelta(1);
  const without = admission([{ ...SETTINGS, dedupTtlUs: null }]);
  without.restore(body, []);
  expect(fill(without, START_US + 1000)).toBe(0);
  const back = admission([SETTINGS]);
  back.restore(
    without.takeDelta(2).body,
    segments.map(({ bytes }) => bytes),
  );
  expect(fill(back, START_US + 9_999_000)).toBe(count);
});

test("ids of a checkpoint without the state of their stream are left out", () => {
  const live = admission([SETTINGS]);
  admit(live, events(0, 30_000), START_US);
  const { segments } = live.takeDelta(2);
  const back = admission([SETTINGS]);
  const { body } = admission([]).takeDelta(3);
  back.restore(
    body,
    segments.map(({ bytes }) => bytes),
  );
  expect(admit(back, events(0, 1000), START_US + 2_000_000).duplicates).toBe(0);
});

test("restored: duplicates and watermark as before; expired segments may be there or not", () => {
  const live = admission([SETTINGS]);
  admit(live, events(0, 1000), START_US);
  const old = live.takeDelta(1);
  admit(live, events(1000, 1000, START_US + 12_000_000), START_US + 12_000_000);
  const young = live.takeDelta(2);
  for (const segments of [young.segments, [...young.segments, ...old.segments]]) {
    const next = admission([SETTINGS]);
    const bytes = segments.map((segment) => segment.bytes);
    expect(next.restore(young.body, bytes)).toBe(2);
    expect(next.clock("clicks").watermarkUs).toBe(BigInt(START_US + 11_000_000));
    expect(next.idTable("clicks").ids).toBe(1000);
    // The TTL is exact to the ms over the restart: 10 s after the first, and 1 ms less.
    expect(admit(next, events(1000, 1000), START_US + 21_999_000).duplicates).toBe(1000);
    expect(admit(next, events(1000, 1000), START_US + 22_000_000).duplicates).toBe(0);
  }
});

test("replayed ids are in the next checkpoint, restored ones are not", () => {
  const live = admission([SETTINGS]);
  admit(live, events(0, 50), START_US);
  const { body, segments } = live.takeDelta(1);
  const next = admission([SETTINGS]);
  next.restore(
    body,
    segments.map((segment) => segment.bytes),
  );
  const image = imageOf(events(50, 20), true);
  const at = { partition: "", receivedAtUs: START_US + 1000, watermarkUs: null };
  next.replay("clicks", { ...at, image, eventTime: 2, eventId: 1 });
  expect(next.deltaIds).toBe(20);
  expect(admit(next, events(0, 100), START_US + 2000).duplicates).toBe(70);
});

test("a replay leaves the watermark where the record says, whatever out_of_orderness is now", () => {
  for (const outOfOrdernessUs of [0, 1_000_000, 60_000_000]) {
    const next = admission([{ ...SETTINGS, outOfOrdernessUs }]);
    const image = imageOf(events(0, 20), true);
    const watermarkUs = BigInt(START_US - 3_000_000);
    const at = { partition: "", receivedAtUs: START_US + 1000, watermarkUs };
    next.replay("clicks", { ...at, image, eventTime: 2, eventId: 1 });
    expect(next.clock("clicks").watermarkUs).toBe(watermarkUs);
    // From here on it moves by the new distance, and never back.
    admit(next, events(20, 1), START_US + 2000);
    const newest = next.clock("clicks").newestUs ?? 0n;
    const moved = newest - BigInt(outOfOrdernessUs);
    expect(next.clock("clicks").watermarkUs).toBe(moved > watermarkUs ? moved : watermarkUs);
  }
});

test("foreign, damaged, cut and newer bytes are refused by name", () => {
  const live = admission([SETTINGS]);
  admit(live, events(0, 10), START_US);
  const { body, segments } = live.takeDelta(1);
  const segment = segments[0]?.bytes ?? new Uint8Array();
  const changed = (bytes: Uint8Array, at: number, by: number): Uint8Array => {
    const copy = bytes.slice();
    copy[at] = (copy[at] ?? 0) ^ by;
    return copy;
  };
  for (const [bytes, read] of [
    [body, decodeState],
    [segment, decodeSegment],
  ] as const) {
    expect(() => read(bytes)).not.toThrow();
    expect(() => read(changed(bytes, 0, 1))).toThrow("is not one of Millrace");
    expect(() => read(changed(bytes, 4, 7))).toThrow(
      /has version \d, this release reads version [12]:/,
    );
    for (let at = 8; at < bytes.length; at++)
      expect(() => read(changed(bytes, at, 64))).toThrow("is damaged");
    expect(() => read(bytes.slice(0, 15))).toThrow("is cut short");
    expect(() => read(bytes.slice(0, -1))).toThrow("is damaged");
  }
  const other = new Admission(kernels(), { k0: 1n, k1: 2n });
  other.addStream(SETTINGS);
  expect(() => other.restore(body, [])).toThrow("another hash key");
});

test("a stream that is new beside others starts empty", () => {
  const live = admission([SETTINGS, { ...SETTINGS, name: "gone" }]);
  admit(live, events(0, 10), START_US);
  admit(live, events(0, 10), START_US, "gone");
  const { body, segments } = live.takeDelta(1);
  const next = admission([SETTINGS, { ...SETTINGS, name: "fresh" }]);
  next.restore(
    body,
    segments.map((segment) => segment.bytes),
  );
  expect(next.clock("fresh").watermarkUs).toBe(null);
  expect(admit(next, events(0, 10), START_US).duplicates).toBe(10);
  expect(admit(next, events(0, 10), START_US, "fresh").duplicates).toBe(0);
});

test("an id in two segments counts from its younger acceptance, in whatever order they come", () => {
  const live = admission([SETTINGS]);
  admit(live, events(0, 10), START_US);
  const old = live.takeDelta(1);
  admit(live, events(0, 10), START_US + 10_000_000);
  const young = live.takeDelta(2);
  const bytes = [...old.segments, ...young.segments].map((segment) => segment.bytes);
  for (const segments of [bytes, bytes.toReversed()]) {
    // Under a longer TTL than before both acceptances are within it.
    const next = admission([{ ...SETTINGS, dedupTtlUs: 20_000_000 }]);
    next.restore(young.body, segments);
    expect(next.idTable("clicks").ids).toBe(10);
    expect(admit(next, events(0, 5), START_US + 29_999_000).duplicates).toBe(5);
    expect(admit(next, events(5, 5), START_US + 30_000_000).duplicates).toBe(0);
  }
});

test("full segments use the memory again of those that were saved, not of those that were not", () => {
  const live = admission([{ ...SETTINGS, dedupTtlUs: 3_600_000_000 }]);
  const fill = (from: number): readonly AdmissionSegment[] => {
    const batch = { idValid: null, eventTimes: new BigInt64Array(1000), rowCount: 1000 };
    const arrival = { partition: "", receivedAtUs: START_US };
    for (let first = from; first < from + 150_000; first += 1000)
      live.admit(SETTINGS.name, { ...batch, hashes: massHashes(first, 1000) }, arrival);
    return live.takeDelta(from + 1).segments;
  };
  const entriesOf = (segments: readonly AdmissionSegment[]): string[] =>
    segments.map(({ bytes }) => Buffer.from(decodeSegment(bytes).entries).toString("base64"));
  const first = fill(0);
  const before = entriesOf(first);
  const second = fill(200_000);
  expect(entriesOf(first)).toEqual(before);
  live.saved(first);
  const third = fill(400_000);
  const memories = (segments: readonly AdmissionSegment[]): Set<ArrayBufferLike> =>
    new Set(segments.map(({ bytes }) => bytes.buffer));
  const [saved, kept, again] = [first, second, third].map(memories);
  // nine full ones each; the last, shorter one has memory of its own
  expect(again?.intersection(saved ?? new Set()).size).toBe(9);
  expect(again?.intersection(kept ?? new Set()).size).toBe(0);
  const all = [...entriesOf(second), ...entriesOf(third)];
  expect(new Set([...all, ...before]).size).toBe(30);
  // whatever was in the memory before: the bytes are those of a segment in memory of its own
  for (const { stream, bytes, newestReceivedAtUs } of third)
    expect(
      encodeSegment(stream, decodeSegment(bytes).entries, newestReceivedAtUs / 1000).bytes,
    ).toEqual(new Uint8Array(bytes));
});
