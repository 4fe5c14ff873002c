// Properties of the record's bytes: what goes in comes out, and no changed byte passes.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { zstdDecompressSync } from "node:zlib";
import type { RejectReason } from "../../src/event/reject.ts";
import { CorruptRecordError, decodeHead, decodeRecord, encodeRecord } from "../../src/log/codec.ts";
import type { EncodedRecord } from "../../src/log/log.ts";
import type { ControlKind, LogRecord } from "../../src/log/record.ts";
import { controlRecord, eventsRecord } from "./records.ts";

const REASONS: RejectReason[] = [
  "bad_json",
  "bad_utf8",
  "not_an_object",
  "duplicate_member",
  "missing_member",
  "wrong_type",
  "out_of_range",
  "bad_time",
  "unknown_symbol",
  "too_deep",
  "too_large",
  "too_many_rejects",
  "too_far_in_future",
  "too_far_in_past",
];
const CONTROLS: ControlKind[] = [
  "configuration",
  "schema",
  "clock_tick",
  "partition_added",
  "partition_connected",
  "partition_disconnected",
  "partition_paused",
  "partition_resumed",
  "reconcile",
];

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const position = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  // long and compressible, so that zstd is taken
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 400 }))
    .map(([unit, times]) => new Uint8Array(Array.from({ length: times }, () => [...unit]).flat())),
);
const reject = fc.record({
  index: u32,
  reason: fc.constantFrom(...REASONS),
  field: fc.option(fc.string({ unit: "grapheme", maxLength: 20 })),
  message: fc.string({ unit: "grapheme", maxLength: 40 }),
  raw: bytes,
});
const watermarkUs = fc.option(fc.bigInt({ min: 1n - 2n ** 63n, max: 2n ** 63n - 1n }));
const anyRecord: fc.Arbitrary<LogRecord> = fc.oneof(
  fc.record(
    {
      kind: fc.constant("events" as const),
      position,
      stream: fc.string({ unit: "grapheme", maxLength: 30 }),
      partition: fc.string({ unit: "grapheme", maxLength: 10 }),
      schemaId: u32,
      receivedAtUs: position,
      watermarkUs,
      markedUs: watermarkUs,
      rowCount: u32,
      duplicateCount: u32,
      rejects: fc.array(reject, { maxLength: 5 }),
      image: bytes,
    },
    {
      requiredKeys: [
        "kind",
        "position",
        "stream",
        "partition",
        "schemaId",
        "receivedAtUs",
        "watermarkUs",
        "rowCount",
        "duplicateCount",
        "rejects",
        "image",
      ],
    },
  ),
  fc.record({
    kind: fc.constant("control" as const),
    position,
    receivedAtUs: position,
    control: fc.constantFrom(...CONTROLS),
    stream: fc.option(fc.string({ minLength: 1, maxLength: 30 })),
    body: fc.json(),
  }),
);

function flipped(encoded: EncodedRecord, at: number, bit: number): EncodedRecord {
  const header = encoded.header.slice();
  const payload = encoded.payload.slice();
  const target = at < header.length ? header : payload;
  const index = at < header.length ? at : at - header.length;
  target[index] = (target[index] ?? 0) ^ (1 << bit);
  return { ...encoded, header, payload };
}

describe("record codec", () => {
  test("every record comes back equal, and its head tells the same", () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        const encoded = encodeRecord(record);
        expect(decodeRecord(encoded)).toEqual(record);
        const head = decodeHead(record.position, encoded.header);
        expect(head.receivedAtUs).toBe(record.receivedAtUs);
        expect(head.stream).toBe(record.stream ?? "");
        if (record.kind === "events")
          expect([head.rowCount, head.duplicateCount, head.rejectCount]).toEqual([
            record.rowCount,
            record.duplicateCount,
            record.rejects.length,
          ]);
      }),
      { numRuns: 500 },
    );
  });

  test("equal records are equal bytes", () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        expect(encodeRecord(record)).toEqual(encodeRecord(structuredClone(record)));
      }),
    );
  });

  test("a flipped bit anywhere is detected", () => {
    fc.assert(
      fc.property(anyRecord, fc.nat(), fc.integer({ min: 0, max: 7 }), (record, where, bit) => {
        const encoded = encodeRecord(record);
        const at = where % (encoded.header.length + encoded.payload.length);
        expect(() => decodeRecord(flipped(encoded, at, bit))).toThrow(CorruptRecordError);
        if (at < encoded.header.length)
          expect(() => decodeHead(record.position, flipped(encoded, at, bit).header)).toThrow(
            CorruptRecordError,
          );
      }),
      { numRuns: 1000 },
    );
  });

  test("every single bit of one small record", () => {
    const encoded = encodeRecord(controlRecord(3));
    const lengthBytes = encoded.header.length + encoded.payload.length;
    for (let at = 0; at < lengthBytes; at++)
      for (let bit = 0; bit < 8; bit++)
        expect(() => decodeRecord(flipped(encoded, at, bit))).toThrow(CorruptRecordError);
  });

  test("cut, lengthened and exchanged bytes are detected", () => {
    const one = encodeRecord(eventsRecord(5, 5000));
    const two = encodeRecord(eventsRecord(6, 5000));
    for (const bad of [
      { ...one, payload: one.payload.slice(0, -1) },
      { ...one, payload: new Uint8Array([...one.payload, 0]) },
      { ...one, header: one.header.slice(0, -1) },
      { ...one, header: new Uint8Array(0) },
      { ...one, payload: two.payload },
      { ...one, position: 6 },
    ])
      expect(() => decodeRecord(bad)).toThrow(CorruptRecordError);
  });
});

describe("record codec on shapes that matter", () => {
  test("names the position and what to do", () => {
    const encoded = flipped(encodeRecord(eventsRecord(77)), 200, 1);
    expect(() => decodeRecord(encoded)).toThrow(
      /^log record 77: the checksum of the payload differs\. .*copy the data folder aside/,
    );
  });

  test("a newer version and an older one are refused by name", () => {
    const encoded = encodeRecord(eventsRecord(1));
    encoded.header[4] = 9;
    expect(() => decodeRecord(encoded)).toThrow(
      /record format version 9 is newer than 3.*Start the Millrace version that wrote/,
    );
    encoded.header[4] = 1;
    expect(() => decodeRecord(encoded)).toThrow(
      /record format version 1 is older than 2.*start with an empty data folder/,
    );
  });

  test("a large image is one zstd frame that others read, from shared memory too, aligned when back", () => {
    const record = eventsRecord(1, 150_000);
    const shared = new Uint8Array(new SharedArrayBuffer(150_008)).subarray(8);
    shared.set(record.image);
    const encoded = encodeRecord({ ...record, image: shared });
    expect(encoded.payload.length).toBeLessThan(110_000);
    expect(Buffer.compare(zstdDecompressSync(encoded.payload), record.image)).toBe(0);
    shared.fill(0);
    const decoded = decodeRecord(encoded);
    if (decoded.kind !== "events") throw new Error("an events record");
    expect(decoded.image).toEqual(record.image);
    expect(decoded.image.byteOffset % 8).toBe(0);
  });

  test("a small image is copied out of shared memory", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(64)).fill(5);
    const encoded = encodeRecord({ ...eventsRecord(1), image: shared });
    shared.fill(0);
    const decoded = decodeRecord(encoded);
    if (decoded.kind !== "events") throw new Error("an events record");
    expect(decoded.image).toEqual(new Uint8Array(64).fill(5));
  });

  test("what does not compress is stored as it is", () => {
    const image = crypto.getRandomValues(new Uint8Array(10_000));
    const encoded = encodeRecord({ ...eventsRecord(1), image });
    expect(encoded.payload).toEqual(image);
    const rejects = [
      { index: 0, reason: "too_large", field: null, message: "", raw: new Uint8Array(5000) },
    ] as const;
    const both = encodeRecord({ ...eventsRecord(1), image, rejects });
    expect(both.payload.length).toBeLessThan(10_200);
    expect(decodeRecord(both)).toEqual({ ...eventsRecord(1), image, rejects });
  });
});
