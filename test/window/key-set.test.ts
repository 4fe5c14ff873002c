// Views with the same keys find their groups by numbers of keys: over more keys and texts than a set of numbers holds, and over windows whose
// pages are used again, each puts out what it puts out alone, to the byte.
import { expect, test } from "bun:test";
import { KEY_SET_KEYS_MAX, KEY_SET_REST_RECORDS } from "../../kernels/abi.ts";
import { buildImage } from "../../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS, type EventSchema } from "../../src/event/schema.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { BIGINT, planOf, TIME, VARCHAR, WINDOW_US } from "./arbitrary.ts";
import { newWindows } from "./drive.ts";

const SCHEMA: EventSchema = {
  id: 1,
  columns: [
    { name: "event_time", type: TIME, nullable: false, fieldId: 1, decoding: { kind: "plain" } },
    { name: "page", type: VARCHAR, nullable: true, fieldId: 2, decoding: { kind: "plain" } },
    { name: "amount", type: BIGINT, nullable: true, fieldId: 3, decoding: { kind: "plain" } },
  ],
  eventTime: 0,
  eventId: null,
};
const COLUMNS = [...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS];
const page = { op: "column", column: { from: "image", ordinal: 1 }, type: VARCHAR } as const;
const amount = { op: "column", column: { from: "image", ordinal: 2 }, type: BIGINT } as const;

const SUMS: ViewPlan = planOf({
  name: "sums",
  filter: null,
  keys: [{ expr: page, type: VARCHAR }],
  aggregates: [{ fn: "sum", arg: amount, filter: null, type: BIGINT }],
});
const HIGHEST: ViewPlan = {
  ...planOf({
    ...SUMS,
    name: "highest",
    aggregates: [{ fn: "max", arg: amount, filter: null, type: BIGINT }],
  }),
  window: { kind: "tumble", sizeUs: WINDOW_US * 3, offsetUs: 0 },
};
const MOVING: ViewPlan = {
  ...HIGHEST,
  name: "moving",
  window: { kind: "hop", sizeUs: WINDOW_US * 2, slideUs: WINDOW_US, offsetUs: 0 },
};
const PLANS = [SUMS, HIGHEST, MOVING];

type Event = readonly [timeUs: bigint, page: string | null, amount: bigint];

function recordOf(position: number, events: readonly Event[]): EventsRecord {
  return {
    kind: "events",
    position,
    stream: "events",
    partition: "",
    schemaId: 1,
    receivedAtUs: 10 ** 15,
    watermarkUs: events.at(-1)?.[0] ?? null,
    rowCount: events.length,
    duplicateCount: 0,
    rejects: [],
    image: buildImage(
      COLUMNS,
      events.map((event) => [...event, null, 0n]),
    ),
  };
}

/** Hashes of what each view puts out and has open at the end, and how many rows. */
function results(plans: readonly ViewPlan[], records: readonly EventsRecord[]): string[] {
  const windows = newWindows();
  for (const plan of plans) windows.addView(plan, SCHEMA, { since: 0 });
  const outputs = records.flatMap((record) => windows.fold(record));
  return plans.map(({ name }) => {
    const closed = outputs.filter(({ view }) => view === name);
    const images = [...closed, ...windows.openWindows(name).flatMap((open) => open.images)];
    const rows = images.reduce((sum, { rowCount }) => sum + rowCount, 0);
    return `${name} ${rows} ${images.map(({ image }) => Bun.hash(image)).join(" ")}`;
  });
}

function expectSame(records: readonly EventsRecord[], plans: readonly ViewPlan[] = PLANS): void {
  expect(results(plans, records)).toEqual(plans.flatMap((plan) => results([plan], records)));
}

test("windows whose pages are used again for the same keys in another order", () => {
  const records = Array.from({ length: 120 }, (_, index) => {
    const window = Math.floor(index / 2);
    const timeUs = BigInt(Math.floor((index * WINDOW_US) / 2));
    // A window has a third of the keys, so that what was noted of one before is not noted anew.
    const keys = Array.from({ length: 499 }, (__, row) => (row * 7 + index * 131) % 499);
    const present = keys.filter((key) => (key * 7919 + window * 104_729) % 1009 < 336);
    return recordOf(
      index + 1,
      present.map((key, row): Event => [
        timeUs,
        key === 0 ? null : `a page with a name that is long ${key}`,
        BigInt(row),
      ]),
    );
  });
  expectSame(records);
}, 60_000);

const MASK = 2n ** 64n - 1n;

/** The x of which MurmurHash3's finaliser is `y`. */
function unmixed(y: bigint): bigint {
  const a = ((y ^ (y >> 33n)) * 0x9cb4b2f8129337dbn) & MASK;
  const b = ((a ^ (a >> 33n)) * 0x4f74430c22a54005n) & MASK;
  return b ^ (b >> 33n);
}

test("keys of one tag", () => {
  const numbers = Array.from({ length: 40 }, (_, index) =>
    BigInt.asIntN(64, unmixed(unmixed(0x1234_5678_0000_0000n + BigInt(index)))),
  );
  const plans = PLANS.map((plan) => ({ ...plan, keys: [{ expr: amount, type: BIGINT }] }));
  const typed = plans.map((plan): ViewPlan => {
    const output = plan.output.map((column) =>
      column.source.kind === "key" ? { ...column, type: BIGINT } : column,
    );
    return { ...plan, output };
  });
  const records = Array.from({ length: 4 }, (_, index) =>
    recordOf(
      index + 1,
      numbers.map((number): Event => [BigInt(index), null, number]),
    ),
  );
  expect(results(typed, records)[0]).toStartWith("sums 40 ");
  expectSame(records, typed);
}, 60_000);

test("more keys than have numbers, again and again, then few", () => {
  const rows = 4000;
  const full = Math.ceil((KEY_SET_KEYS_MAX * 1.5) / rows);
  const many = Array.from({ length: full }, (_, index) =>
    recordOf(
      index + 1,
      Array.from({ length: rows }, (__, row): Event => [1n, `p${index * rows + row}`, BigInt(row)]),
    ),
  );
  const few = Array.from({ length: KEY_SET_REST_RECORDS + 20 }, (_, index) =>
    recordOf(
      full + index + 1,
      Array.from({ length: 50 }, (__, row): Event => [2n, `p${row * 900}`, BigInt(index)]),
    ),
  );
  expectSame([...many, ...few]);
}, 60_000);

test("texts that find no room beside the others", () => {
  const records = Array.from({ length: 12 }, (_, index) =>
    recordOf(
      index + 1,
      Array.from({ length: 400 }, (__, row): Event => {
        const key = (row + index * 37) % 700;
        return [1n, `${key} `.padEnd(key % 5 === 0 ? 9000 : 20, "x"), BigInt(row)];
      }),
    ),
  );
  expectSame(records);
}, 60_000);
