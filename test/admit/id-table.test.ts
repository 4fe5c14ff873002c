// The id table in bulk: growth, expiry, bounds. Masses of ids, held against a Map.
import { expect, test } from "bun:test";
import { VERDICT_DUPLICATE } from "../../kernels/abi.ts";
import { Admission, type AdmissionFull, type Admitted } from "../../src/admit/admission.ts";
import { DEDUP_IDS_MAX, DELTA_IDS_MAX } from "../../src/limits.ts";
import { admission, KEY, kernels, massHashes, SETTINGS } from "./fixture.ts";

const START_US = 1_570_000_000_000_000;
const AT_START = { partition: "", receivedAtUs: START_US };
const ROWS = 1000;

function admitMass(
  to: Admission,
  first: number,
  receivedAtUs: number,
  rows = ROWS,
): Admitted | AdmissionFull {
  return to.admit(
    SETTINGS.name,
    {
      hashes: massHashes(first, rows),
      idValid: null,
      eventTimes: new BigInt64Array(rows),
      rowCount: rows,
    },
    { partition: "", receivedAtUs },
  );
}

function duplicatesOf(result: Admitted | AdmissionFull): number {
  if (result.full) throw new Error(`full: ${result.reason}`);
  return result.duplicates;
}

test("400,000 ids, then each again: no false duplicate, none missed, at most 24 bytes an id on average", () => {
  const table = admission([{ ...SETTINGS, dedupTtlUs: 3_600_000_000 }]);
  const bytesPerId: number[] = [];
  for (let first = 0; first < 400_000; first += ROWS) {
    expect(duplicatesOf(admitMass(table, first, START_US))).toBe(0);
    const { ids, bytes } = table.idTable(SETTINGS.name);
    expect(ids).toBe(first + ROWS);
    if (ids >= 50_000) bytesPerId.push(bytes / ids);
  }
  for (let first = 0; first < 400_000; first += ROWS)
    expect(duplicatesOf(admitMass(table, first, START_US + 3_599_999_000))).toBe(ROWS);
  expect(bytesPerId.reduce((sum, bytes) => sum + bytes, 0) / bytesPerId.length).toBeLessThan(24);
});

test("segments grow one after the other: at any time about as many pages are new", () => {
  const table = admission([{ ...SETTINGS, dedupTtlUs: 3_600_000_000 }]);
  const pagesPerId: number[] = [];
  let last = { ids: 0, bytes: 0 };
  for (let first = 0; first < 400_000; first += ROWS) {
    admitMass(table, first, START_US);
    const now = table.idTable(SETTINGS.name);
    if (now.ids < last.ids * 1.05 || now.ids < 90_000) continue;
    if (last.ids > 0) pagesPerId.push((now.bytes - last.bytes) / (now.ids - last.ids));
    last = now;
  }
  const mean = pagesPerId.reduce((sum, bytes) => sum + bytes, 0) / pagesPerId.length;
  expect(pagesPerId.length).toBeGreaterThan(20);
  expect(Math.max(...pagesPerId)).toBeLessThan(1.5 * mean);
});

test("a table that was restored has about as many pages as it had, whatever its size", () => {
  const table = admission([{ ...SETTINGS, dedupTtlUs: 3_600_000_000 }]);
  const segments: Uint8Array[] = [];
  for (let first = 0; first < 120_000; first += ROWS) {
    admitMass(table, first, START_US);
    if ((first + ROWS) % 10_000 !== 0) continue;
    const delta = table.takeDelta(1);
    segments.push(...delta.segments.map(({ bytes }) => bytes.slice()));
    const restored = admission([{ ...SETTINGS, dedupTtlUs: 3_600_000_000 }]);
    restored.restore(delta.body, segments);
    const { ids, bytes } = restored.idTable(SETTINGS.name);
    expect(ids).toBe(first + ROWS);
    expect(bytes).toBeLessThan(1.2 * table.idTable(SETTINGS.name).bytes);
  }
});

test("a flow of ids under a short TTL: exact verdicts, and the table stays near the live ids", () => {
  const ttlMs = 50;
  const table = admission([{ ...SETTINGS, dedupTtlUs: ttlMs * 1000 }]);
  const acceptedAt = new Map<number, number>();
  const [lastMs, perMs, againMs] = [400, 250, 60];
  for (let ms = 0; ms < lastMs; ms++) {
    // Each batch offers the ids of the 60 ms before again (duplicates until they have expired), and 250 new ones.
    const first = (ms - againMs) * perMs;
    const rows = (againMs + 1) * perMs;
    const result = admitMass(table, first, START_US + ms * 1000, rows);
    if (result.full) throw new Error(result.reason);
    const expected = Uint8Array.from({ length: rows }, (_, row) => {
      const at = acceptedAt.get(first + row);
      if (at !== undefined && ms - at < ttlMs) return VERDICT_DUPLICATE;
      acceptedAt.set(first + row, ms);
      return 0;
    });
    expect(Buffer.compare(result.verdicts, expected)).toBe(0);
  }
  let live = 0;
  for (const at of acceptedAt.values()) if (lastMs - 1 - at < ttlMs) live++;
  const { ids } = table.idTable(SETTINGS.name);
  expect(ids).toBeGreaterThanOrEqual(live);
  expect(ids).toBeLessThan(live * 1.5);
});

test("ids of a busy time leave when few come after it", () => {
  const ttlMs = 1000;
  const table = admission([{ ...SETTINGS, dedupTtlUs: ttlMs * 1000 }]);
  const perMs = (ms: number): number => (ms < ttlMs ? 100 : 1);
  let first = 0;
  for (let ms = 0; ms < 3 * ttlMs; first += perMs(ms++))
    admitMass(table, first, START_US + ms * 1000, perMs(ms));
  expect(table.idTable(SETTINGS.name).ids).toBeLessThan(2 * ttlMs);
});

test("full at dedup_ids_max: nothing changes, and there is room again as ids expire", () => {
  const table = admission([{ ...SETTINGS, idsMax: 10_000 }]);
  for (let first = 0; first < 10_000; first += ROWS)
    expect(admitMass(table, first, START_US + first).full).toBe(false);
  const before = table.idTable(SETTINGS.name);
  const watermark = table.clock(SETTINGS.name).watermarkUs;
  const full = admitMass(table, 10_000, START_US + 9_000_000, 1);
  expect(full).toEqual({ full: true, reason: "ids" });
  expect(table.idTable(SETTINGS.name)).toEqual(before);
  expect(table.clock(SETTINGS.name).watermarkUs).toBe(watermark);
  // All but the last batch have outlived the TTL of 10 s, to the ms.
  expect(admitMass(table, 10_000, START_US + 10_008_000, 8 * ROWS).full).toBe(false);
  expect(table.idTable(SETTINGS.name).ids).toBe(9000);
  expect(duplicatesOf(admitMass(table, 9000, START_US + 10_008_000, ROWS))).toBe(ROWS);
});

test("full is answered when the memory is at its maximum, without harm", () => {
  const table = new Admission(kernels(24 * 1024 * 1024), KEY);
  table.addStream({ ...SETTINGS, dedupTtlUs: 3_600_000_000, idsMax: 2_000_000 });
  let first = 0;
  while (!admitMass(table, first, START_US).full) first += ROWS;
  expect(admitMass(table, first, START_US)).toEqual({ full: true, reason: "memory" });
  expect(first).toBeGreaterThan(100_000);
  // Ids up to the refused batch are as they were.
  expect(table.idTable(SETTINGS.name).ids).toBe(first);
});

test("3,000 streams at the default dedup_ids_max in 256 MB, all taking ids; their directories move as they grow", () => {
  const names = Array.from({ length: 3000 }, (_, nth) => `stream${nth}`);
  const settings = { ...SETTINGS, dedupTtlUs: 3_600_000_000, idsMax: DEDUP_IDS_MAX };
  const table = admission(names.map((name) => ({ ...settings, name })));
  const offer = (name: string, first: number): number => {
    const batch = { hashes: massHashes(first, ROWS), idValid: null };
    const events = { ...batch, eventTimes: new BigInt64Array(ROWS), rowCount: ROWS };
    return duplicatesOf(table.admit(name, events, AT_START));
  };
  for (const name of names) expect(offer(name, 0)).toBe(0);
  // Two grow in turn, so that what one leaves the other takes.
  for (let first = ROWS; first < 300_000; first += ROWS)
    for (const name of ["stream7", "stream8"]) expect(offer(name, first)).toBe(0);
  for (let first = 0; first < 300_000; first += ROWS) expect(offer("stream7", first)).toBe(ROWS);
  for (const name of names) expect(offer(name, 0)).toBe(ROWS);
});

test("a memory that the first streams have filled answers full, and hands its checkpoint out", () => {
  const table = new Admission(kernels(12 * 1024 * 1024), KEY);
  let streams = 0;
  expect(() => {
    for (; ; streams++) table.addStream({ ...SETTINGS, name: `stream${streams}` });
  }).toThrow(RangeError);
  expect(streams).toBeGreaterThan(100);
  const batch = { hashes: massHashes(0, 8192), idValid: null };
  const events = { ...batch, eventTimes: new BigInt64Array(8192), rowCount: 8192 };
  const results = Array.from({ length: streams }, (_, nth) =>
    table.admit(`stream${nth}`, events, AT_START),
  );
  expect(results.some((result) => result.full && result.reason === "memory")).toBe(true);
  const accepted = results.reduce((sum, result) => sum + (result.full ? 0 : result.accepted), 0);
  const { segments } = table.takeDelta(1);
  const ids = segments.reduce((sum, { bytes }) => sum + (bytes.length - 48) / 16, 0);
  expect(Math.round(ids)).toBe(accepted);
});

test("full is answered when nobody takes checkpoints", () => {
  const table = admission([{ ...SETTINGS, dedupTtlUs: 1000, idsMax: 24_000_000 }], 2 ** 30);
  const rows = 500_000;
  const batches = DELTA_IDS_MAX / rows;
  for (let batch = 0; batch < batches; batch++) {
    const result = admitMass(table, batch * rows, START_US + batch * 1000, rows);
    expect(result.full).toBe(false);
  }
  expect(table.checkpointDue).toBe(true);
  const receivedAtUs = START_US + batches * 1000;
  expect(admitMass(table, 0, receivedAtUs)).toEqual({ full: true, reason: "checkpoint" });
  table.takeDelta(1);
  expect(table.checkpointDue).toBe(false);
  expect(admitMass(table, 0, receivedAtUs).full).toBe(false);
}, 60_000);

test("a checkpoint is due when a table is half full, so that its oldest ids can be sealed", () => {
  const table = admission([{ ...SETTINGS, idsMax: 40 * ROWS }]);
  for (let batch = 0; batch < 20; batch++) {
    admitMass(table, batch * ROWS, START_US);
    table.takeDelta(batch + 1);
  }
  for (let batch = 20; batch < 23; batch++) {
    expect(table.checkpointDue).toBe(false);
    admitMass(table, batch * ROWS, START_US);
  }
  expect(table.checkpointDue).toBe(true);
});

test("a table without a batch for a whole TTL gives its pages back, to other streams too", () => {
  const other = { ...SETTINGS, name: "other" };
  const table = admission([{ ...SETTINGS, dedupTtlUs: 1_000_000 }, other], 48 * 1024 * 1024);
  for (let first = 0; first < 500_000; first += ROWS) admitMass(table, first, START_US);
  table.takeDelta(1);
  const grown = table.idTable(SETTINGS.name).bytes;
  expect(admitMass(table, 0, START_US + 1_000_000, 1).full).toBe(false);
  expect(table.idTable(SETTINGS.name).bytes).toBeLessThan(grown / 100);
  expect(table.idTable(SETTINGS.name).ids).toBe(1);
  for (let first = 0; first < 500_000; first += ROWS) {
    const batch = { hashes: massHashes(first, ROWS), idValid: null };
    const events = { ...batch, eventTimes: new BigInt64Array(ROWS), rowCount: ROWS };
    expect(table.admit("other", events, AT_START).full).toBe(false);
  }
});

test("streams do not share ids; without dedup_ttl, or without hashes, nothing is a duplicate", () => {
  const free = { ...SETTINGS, name: "free", dedupTtlUs: null };
  const table = admission([SETTINGS, { ...SETTINGS, name: "other" }, free]);
  const hashes = massHashes(0, 1);
  const batch = { hashes, idValid: null, eventTimes: new BigInt64Array(1), rowCount: 1 };
  const duplicates = (stream: string, ids: Uint8Array | null): number =>
    duplicatesOf(table.admit(stream, { ...batch, hashes: ids }, AT_START));
  expect(["clicks", "other", "clicks", "free", "free"].map((name) => duplicates(name, hashes))) //
    .toEqual([0, 0, 1, 0, 0]);
  expect(duplicates("clicks", null)).toBe(0);
  const none = { ...batch, idValid: new Uint8Array(1) };
  expect(duplicatesOf(table.admit("clicks", none, AT_START))).toBe(0);
});

test("hashes that crowd in one part of the directory: segments of all depths stay found", () => {
  const table = admission([{ ...SETTINGS, dedupTtlUs: 3_600_000_000 }]);
  const crowded = (first: number): Uint8Array => {
    const hashes = massHashes(first, ROWS);
    const words = new Uint32Array(hashes.buffer);
    // Seven of eight ids lie in the lower half: its segments are three bits deeper.
    for (let row = 0; row < ROWS; row++)
      if (row % 4 !== 0) words[4 * row + 1] = (words[4 * row + 1] ?? 0) >>> 1;
    return hashes;
  };
  const duplicates = (first: number): number => {
    const batch = { hashes: crowded(first), idValid: null };
    const events = { ...batch, eventTimes: new BigInt64Array(ROWS), rowCount: ROWS };
    return duplicatesOf(table.admit(SETTINGS.name, events, AT_START));
  };
  for (let first = 0; first < 100_000; first += ROWS) {
    expect(duplicates(first)).toBe(0);
    expect(duplicates(first)).toBe(ROWS);
    expect(duplicates(Math.floor(first / 2 / ROWS) * ROWS)).toBe(ROWS);
  }
});

test("a checkpoint of several segments brings all ids back", () => {
  const stream = { ...SETTINGS, dedupTtlUs: 3_600_000_000 };
  const live = admission([stream]);
  for (let first = 0; first < 150_000; first += ROWS) admitMass(live, first, START_US);
  expect(live.deltaIds).toBe(150_000);
  const { body, segments } = live.takeDelta(1);
  expect(segments.length).toBe(10);
  expect(live.deltaIds).toBe(0);
  const next = admission([stream]);
  next.restore(
    body,
    segments.map((segment) => segment.bytes),
  );
  expect(next.idTable(SETTINGS.name).ids).toBe(150_000);
  for (let first = 0; first < 150_000; first += ROWS)
    expect(duplicatesOf(admitMass(next, first, START_US + 1000))).toBe(ROWS);
});

test("segments of several streams come back, whether stream by stream or in turn", () => {
  const streams = ["a", "b", "c"].map((name) => ({ ...SETTINGS, name, dedupTtlUs: 3_600_000_000 }));
  const live = admission(streams);
  const offer = (to: Admission, nth: number, first: number): number => {
    const hashes = massHashes(nth * 1_000_000 + first, ROWS);
    const batch = { hashes, idValid: null, eventTimes: new BigInt64Array(ROWS), rowCount: ROWS };
    return duplicatesOf(to.admit(streams[nth]?.name ?? "", batch, AT_START));
  };
  const inTurn: { readonly stream: string; readonly bytes: Uint8Array }[] = [];
  let body = new Uint8Array();
  for (let first = 0; first < 30_000; first += ROWS) {
    for (const nth of streams.keys()) offer(live, nth, first);
    if (first % 10_000 !== 9000) continue;
    const delta = live.takeDelta(1 + first);
    body = new Uint8Array(delta.body);
    inTurn.push(...delta.segments);
  }
  const byStream = inTurn.toSorted((x, y) => x.stream.localeCompare(y.stream));
  for (const segments of [inTurn, byStream]) {
    const next = admission(streams);
    next.restore(
      body,
      segments.map(({ bytes }) => bytes),
    );
    for (const [nth, { name }] of streams.entries()) {
      expect(next.idTable(name).ids).toBe(30_000);
      for (let first = 0; first < 30_000; first += ROWS) expect(offer(next, nth, first)).toBe(ROWS);
      expect(offer(next, nth, 30_000)).toBe(0);
    }
  }
});
