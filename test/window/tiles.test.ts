// Records with more groups than the kernels look for together (assembly/fold/find.ts, merge-groups.ts): texts that begin alike, keys that are
// NULL, keys that come for the first time twice in a record. Against a Map.
import { expect, test } from "bun:test";
import { buildImage, type Cell } from "../../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS, type EventSchema } from "../../src/event/schema.ts";
import { must } from "../../src/base/assert.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { BIGINT, planOf, TIME, VARCHAR, WINDOW_US } from "./arbitrary.ts";
import { newWindows, outputRows } from "./drive.ts";

const SCHEMA: EventSchema = {
  id: 1,
  columns: [
    { name: "event_time", type: TIME, nullable: false, fieldId: 1, decoding: { kind: "plain" } },
    { name: "page", type: VARCHAR, nullable: true, fieldId: 2, decoding: { kind: "plain" } },
    { name: "shard", type: BIGINT, nullable: true, fieldId: 3, decoding: { kind: "plain" } },
    { name: "amount", type: BIGINT, nullable: false, fieldId: 4, decoding: { kind: "plain" } },
  ],
  eventTime: 0,
  eventId: null,
};
const pageExpr = { op: "column", column: { from: "image", ordinal: 1 }, type: VARCHAR } as const;
const shardExpr = { op: "column", column: { from: "image", ordinal: 2 }, type: BIGINT } as const;
const amountExpr = { op: "column", column: { from: "image", ordinal: 3 }, type: BIGINT } as const;

const TUMBLING: ViewPlan = planOf({
  name: "tumbling",
  filter: null,
  keys: [
    { expr: pageExpr, type: VARCHAR },
    { expr: shardExpr, type: BIGINT },
  ],
  aggregates: [{ fn: "sum", arg: amountExpr, filter: null, type: BIGINT }],
});
const HOPPING: ViewPlan = {
  ...TUMBLING,
  name: "hopping",
  window: { kind: "hop", sizeUs: WINDOW_US * 5, slideUs: WINDOW_US, offsetUs: 0 },
};

const RECORD_ROWS = 5000;
const RECORDS = 8;

/** Page and shard of event i: long names that differ at their end, short ones, none. */
function keysOf(i: number): [page: string | null, shard: bigint | null] {
  const place = (i * 7919) % 2311;
  const page = [`the same beginning of a long name ${place}`, `p${place}`, null][place % 3] ?? null;
  return [page, place % 5 === 0 ? null : BigInt(place % 2 === 0 ? place : 1)];
}

function eventsOf(record: number): Cell[][] {
  return Array.from({ length: RECORD_ROWS }, (_, row) => {
    const i = record * RECORD_ROWS + row;
    return [BigInt(Math.floor((i * WINDOW_US) / 9000)), ...keysOf(i), BigInt(i), null, 0n];
  });
}

/** Rows of each window with its keys and sum, as text. */
function model(panes: number): string[] {
  const sums = new Map<string, bigint>();
  for (let record = 0; record < RECORDS; record++)
    for (const [time, page, shard, amount] of eventsOf(record)) {
      const pane = Math.floor(Number(time) / WINDOW_US);
      for (let first = pane - panes + 1; first <= pane; first++) {
        const key = `${first} ${page} ${shard}`;
        sums.set(key, (sums.get(key) ?? 0n) + (amount as bigint));
      }
    }
  return Array.from(sums, ([key, sum]) => `${key} ${sum}`).toSorted();
}

/** Rows that a view puts out of records and has open at the end. */
function rowsOf(plan: ViewPlan, records: readonly (readonly Cell[])[][]): Cell[][] {
  const windows = newWindows();
  windows.addView(plan, SCHEMA, { since: 0 });
  const images = records.flatMap((events, index) => {
    const outputs = windows.fold({
      kind: "events",
      position: index + 1,
      stream: "events",
      partition: "",
      schemaId: 1,
      receivedAtUs: 10 ** 15,
      watermarkUs: must(events.at(-1)?.[0], "time") as bigint,
      rowCount: events.length,
      duplicateCount: 0,
      rejects: [],
      image: buildImage([...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS], events),
    });
    return outputs.map(({ image }) => image);
  });
  const open = windows.openWindows(plan.name).flatMap((window) => window.images);
  return outputRows(plan, [...images, ...open.map(({ image }) => image)]);
}

test("more groups in a record than are looked for together", () => {
  const records = Array.from({ length: RECORDS }, (_, record) => eventsOf(record));
  for (const [plan, panes] of [[TUMBLING, 1] as const, [HOPPING, 5] as const]) {
    const rows = rowsOf(plan, records).map(
      ([start, , page, shard, sum]) => `${Number(start) / WINDOW_US} ${page} ${shard} ${sum}`,
    );
    expect(rows.toSorted()).toEqual(model(panes));
  }
});

const C1 = 0x87c37b91114253d5n;
const C2 = 0x4cf5ad432745937fn;
const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

/** The inverse of MurmurHash3's finaliser. */
function unmixed(value: bigint): bigint {
  const a = u64((value ^ (value >> 33n)) * 0x9cb4b2f8129337dbn);
  const b = u64((a ^ (a >> 33n)) * 0x4f74430c22a54005n);
  return b ^ (b >> 33n);
}

/** Texts of 23 bytes that differ in the last seven and have one tag in the index, whose hash is that of assembly/fold/hash.ts. */
function textsOfOneTag(count: number): string[] {
  const start = Buffer.from("texts of one tag");
  let hash = 23n;
  for (const at of [0, 8]) {
    const x = u64((hash ^ start.readBigUInt64LE(at)) * C1);
    hash = u64(((x << 29n) | (x >> 35n)) * C2);
  }
  const texts: string[] = [];
  for (let i = 0n; texts.length < count; i++) {
    const tail = unmixed(unmixed((0x1234_5678n << 32n) | i)) ^ hash;
    if ((tail & 0xff80_8080_8080_8080n) !== 0n) continue;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(tail);
    texts.push(`${start.toString()}${bytes.toString("latin1", 0, 7)}`);
  }
  return texts;
}

test("long texts of one tag", () => {
  const plan: ViewPlan = planOf({ ...TUMBLING, keys: TUMBLING.keys.slice(0, 1) });
  const texts = textsOfOneTag(3);
  const events = texts.map((text, index): Cell[] => [0n, text, null, BigInt(index), null, 0n]);
  const sums = rowsOf(plan, [events, events]).map(([, , text, sum]) => [text, sum] as const);
  expect(new Map(sums)).toEqual(new Map(texts.map((text, index) => [text, BigInt(index * 2)])));
});
