// What lies below a prefix: it comes back as it was written, today's and the fixtures' of version 1, which every later version reads; what is damaged, of another
// version, or names paths elsewhere is refused by name.
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeRecord, encodeRecord } from "../../src/log/codec.ts";
import {
  decodeFolderNote,
  decodeOwner,
  encodeFolderNote,
  encodeOwner,
  type FolderNote,
  type Owner,
} from "../../src/ship/owner.ts";
import { decodeSegment, encodeSegment, readSegmentKey } from "../../src/ship/segment.ts";
import {
  countedShipments,
  decodeShipment,
  encodeShipment,
  readShipmentKey,
  shipmentKey,
  type Shipment,
} from "../../src/ship/shipment.ts";
import { recordAt } from "../log/records.ts";

const FIXTURES = join(import.meta.dir, "..", "fixtures", "ship-1");
const TERM = "000002-9f86d081";

/** What the fixtures say. */
const OWNER: Owner = {
  jobId: "7b0d5ad5-3f9b-4b52-9d0f-0f8ad3f6b7d1",
  folder: "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
  terms: [
    { id: "000001-d081884c", from: 1, beganAt: "2026-11-21T20:43:55.686Z" },
    { id: TERM, from: 41, beganAt: "2026-11-22T00:43:55.686Z" },
  ],
};
const NOTE: FolderNote = {
  folder: null,
  restored: { to: "s3://bucket/prefix", term: TERM, last: 155 },
};
const SHIPMENT: Shipment = {
  millrace: "0.1.0",
  jobId: OWNER.jobId,
  hashKey: "000102030405060708090a0b0c0d0e0f",
  madeAt: "2026-11-22T00:48:55.686Z",
  dataFolder: "/var/lib/millrace",
  log: { first: 3, last: 155 },
  tables: [{ name: "default.clicks_raw", version: 12, epoch: 30 }],
  folder: OWNER.folder,
  files: [
    {
      path: "state.db",
      bytes: 8_388_609,
      chunks: [
        { sha256: "ab".repeat(32), bytes: 1000, rawBytes: 8_388_608 },
        { sha256: "cd".repeat(32), bytes: 1 },
      ],
    },
    { path: "warehouse/default/clicks_raw/data/day=2025-06-01/1.parquet", bytes: 0, chunks: [] },
  ],
};
const RECORDS = [5, 6, 7, 8];

/** As releases have written it since. */
const NOTE_NOW: FolderNote = {
  folder: OWNER.folder,
  restored: { to: "s3://bucket/prefix", term: TERM, last: 155, end: 150 },
  claimed: { to: "s3://bucket/prefix", terms: [TERM, "000003-00000000"] },
};

const notes = [
  ["owner.json", OWNER, encodeOwner, decodeOwner],
  ["ship.json", NOTE, encodeFolderNote, decodeFolderNote],
  ["shipment.json", SHIPMENT, encodeShipment, decodeShipment],
] as const;

describe.each(notes)("%s", (name, value, encode, decode) => {
  const text = new TextDecoder().decode((encode as (value: unknown) => Uint8Array)(value));
  const read = (changed: string): unknown => decode(new TextEncoder().encode(changed), name);

  test("comes back as it was written, today's and the fixture's", () => {
    expect(read(text)).toEqual(value);
    expect(decode(readFileSync(join(FIXTURES, name)), name)).toEqual(value);
  });

  test("that is damaged, or of another version, is refused by name", () => {
    expect(() => read(text.slice(0, -9))).toThrow(`${name} is damaged (it is not JSON)`);
    expect(() => read("null")).toThrow(`${name} is damaged (it is not what Millrace writes there)`);
    expect(() => read(text.replace('"value":{', '"value":{"x":1,'))).toThrow("its checksum");
    expect(() => read(text.replace('"version":1', '"version":2'))).toThrow(
      `${name} is of format 2, this release knows 1`,
    );
    for (const [other, otherValue, encodeOther] of notes) {
      if (other === name) continue;
      const bytes = (encodeOther as (value: unknown) => Uint8Array)(otherValue);
      expect(() => decode(bytes, name)).toThrow("it is not what Millrace writes there");
    }
  });
});

test("what a folder knows of itself comes back", () => {
  expect(decodeFolderNote(encodeFolderNote(NOTE_NOW), "it")).toEqual(NOTE_NOW);
});

test("a shipment that names a path elsewhere is refused", () => {
  for (const path of ["../lock.db", "/etc/passwd", "log/../../x", "lock.db", "ship.json"]) {
    const bytes = encodeShipment({ ...SHIPMENT, files: [{ path, bytes: 0, chunks: [] }] });
    expect(() => decodeShipment(bytes, "it")).toThrow(`it names ${JSON.stringify(path)}`);
  }
  const name = "../../../home.avro";
  const bytes = encodeShipment({ ...SHIPMENT, tables: [{ name, version: 1, epoch: 1 }] });
  expect(() => decodeShipment(bytes, "it")).toThrow(`it names ${JSON.stringify(name)}`);
});

test("a shipment whose chunks do not make its files, or ask for too much memory, is refused", () => {
  const [file] = SHIPMENT.files;
  const [whole = { sha256: "", bytes: 0 }, rest = whole] = file?.chunks ?? [];
  for (const chunks of [
    [whole],
    [{ ...whole, rawBytes: 8_388_609 }],
    [
      { ...whole, rawBytes: 8_388_609.5 },
      { ...rest, bytes: -0.5 },
    ],
    [whole, { ...rest, bytes: 0, rawBytes: 1 }],
    [whole, { ...rest, sha256: "../owner.json" }],
  ]) {
    const files = [{ path: "state.db", bytes: 8_388_609, chunks }];
    const bytes = encodeShipment({ ...SHIPMENT, files });
    expect(() => decodeShipment(bytes, "it")).toThrow("the chunks of state.db do not fit");
  }
});

test("the fixture's segment has the records that were put into it", () => {
  const records = RECORDS.map((position) => encodeRecord(recordAt(position)));
  const name = readdirSync(FIXTURES).find((one) => one.endsWith(".segment")) ?? "";
  const segment = readSegmentKey(`log/${TERM}/${name.replace(".segment", "")}`);
  if (segment === null) throw new Error(`${name} is not a key`);
  const back = decodeSegment(segment, new Uint8Array(readFileSync(join(FIXTURES, name))), name);
  expect(back.map((record) => decodeRecord(record))).toEqual(
    records.map((record) => decodeRecord(record)),
  );
  expect(encodeSegment(back, TERM).segment).toEqual(segment);
});

test("keys come back; those of a term that another took over from do not count from its beginning on", () => {
  const name = { number: 12, last: 155, term: TERM };
  const key = shipmentKey(name);
  expect(key).toBe(`shipments/00000012-0000000000000155-${TERM}`);
  expect(readShipmentKey(key)).toEqual({ key, ...name });
  expect([readShipmentKey("shipments/12"), readSegmentKey("log/x")]).toEqual([null, null]);
  const named = (number: number, last: number, at: number): typeof name & { key: string } => {
    const one = { number, last, term: OWNER.terms[at]?.id ?? "000009-00000000" };
    return { key: shipmentKey(one), ...one };
  };
  const all = [named(1, 20, 0), named(2, 40, 0), named(3, 41, 0), named(4, 44, 1), named(5, 9, 7)];
  const counted = countedShipments(all, OWNER.terms);
  expect(counted.map(({ number }) => number)).toEqual([4, 2, 1]);
});
