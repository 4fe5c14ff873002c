// Measures the decode kernel on 310-byte clicks: members in order, members shuffled with escapes, and with the gathering of the batch
// image, each against JSON.parse with the code that people write, and memcpy, on the same bytes in the same run.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SCAN_PADDING_BYTES } from "../kernels/abi.ts";
import { buildKernels } from "../kernels/build.ts";
import type { DecodeKernels } from "../kernels/decode.ts";
import { instantiate } from "../kernels/host.ts";
import { Decoder, type EncodedBody } from "../src/event/decode.ts";
import type { EventColumn, EventSchema } from "../src/event/schema.ts";
import type { BenchLine } from "./line.ts";
import { seeded } from "./load-body.ts";

const ROWS = 1000;
const IMAGE_BYTES_MAX = 4 * 1024 * 1024;
const KEY = { k0: 1n, k1: 2n };
const EVENT_TYPES = ["view", "view", "view", "view", "cart", "purchase"];
const COUNTRIES = ["DE", "FR", "PL", "US", "IN", "BR", "JP", "GB", "ES", "IT"];

interface Click {
  event_id: string;
  event_time: string;
  event_type: string;
  user_id: string;
  session_id: string;
  page_url: string;
  category: string;
  brand: string;
  price: number;
  country: string;
}

function textColumn(name: string): EventColumn {
  return {
    name,
    type: { kind: "VARCHAR" },
    nullable: false,
    fieldId: 1,
    decoding: { kind: "plain" },
  };
}

/** The columns of bench/clicks.avsc. */
export const CLICK_SCHEMA: EventSchema = {
  id: 1,
  eventTime: 1,
  eventId: 0,
  columns: [
    textColumn("event_id"),
    { ...textColumn("event_time"), type: { kind: "TIMESTAMPTZ" }, decoding: { kind: "epoch_us" } },
    textColumn("event_type"),
    textColumn("user_id"),
    textColumn("session_id"),
    textColumn("page_url"),
    textColumn("category"),
    textColumn("brand"),
    { ...textColumn("price"), type: { kind: "DOUBLE" } },
    textColumn("country"),
  ],
};

/** Clicks of one shop, 200 a second. */
function clicks(random: () => number, count: number, first: number): Click[] {
  const pick = (below: number): number => Math.floor(random() * below);
  const hex = (digits: number): string =>
    pick(16 ** digits)
      .toString(16)
      .padStart(digits, "0");
  return Array.from({ length: count }, (_, row) => {
    const category = `electronics.department_${String(pick(200)).padStart(4, "0")}`;
    return {
      event_id: String(first + row).padStart(8, "0"),
      event_time: new Date(1_569_888_000_000 + (first + row) * 5).toISOString(),
      event_type: EVENT_TYPES[pick(EVENT_TYPES.length)] ?? "",
      user_id: String(500_000_000 + pick(1_000_000)),
      session_id: `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
      page_url: `/catalog/${category}/item-${String(pick(100_000)).padStart(6, "0")}`,
      category,
      brand: `brand-${pick(300)}`,
      price: pick(200_000) / 100,
      country: COUNTRIES[pick(COUNTRIES.length)] ?? "",
    };
  });
}

/** The click with its members in another order and with escapes that JSON allows but does not ask for. */
function shuffled(click: Click, random: () => number): string {
  const members = Object.entries(click)
    .map((member) => ({ member, order: random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ member }) => member);
  return JSON.stringify(Object.fromEntries(members))
    .replaceAll("/", "\\/")
    .replace('"brand":"b', '"brand":"\\u0062');
}

interface Case {
  readonly decoder: Decoder;
  readonly bodies: readonly EncodedBody[];
  readonly target: number;
  readonly sources: readonly Uint8Array[];
  readonly scratch: number;
}

function prepare(wasm: Uint8Array, bodies: readonly Uint8Array[]): Case {
  const instance = instantiate<DecodeKernels>(wasm, 2 ** 29);
  const placed = bodies.map((body) => {
    const address = instance.allocate(body.length + SCAN_PADDING_BYTES);
    instance.u8().set(body, address);
    return { address, bytes: body.length, format: "ndjson" } as const;
  });
  const scratch = instance.allocate(1024 * 1024);
  const target = instance.allocate(IMAGE_BYTES_MAX);
  const decoder = new Decoder(instance, { rowsMax: 8192, imageBytesMax: IMAGE_BYTES_MAX });
  decoder.setSchema("clicks", CLICK_SCHEMA);
  return { decoder, bodies: placed, target, sources: bodies, scratch };
}

/** Best time of one pass over all bodies, ns per event. */
function best(passes: number, events: number, pass: () => void): number {
  let least = Infinity;
  for (let turn = 0; turn < passes; turn++) {
    const start = Bun.nanoseconds();
    pass();
    least = Math.min(least, Bun.nanoseconds() - start);
  }
  return least / events;
}

function parsePass(at: Case): void {
  for (const body of at.bodies) {
    at.decoder.begin("clicks");
    const { rowCount, rejects } = at.decoder.add(body);
    if (rowCount !== ROWS || rejects.length > 0) throw new Error("bench: a click was refused");
  }
}

const ACCEPTED = new Uint8Array(ROWS);

/** Everything that decode does for a batch: parse, ids for admission, gather. Hashes the images when asked. */
function wholePass(at: Case, hash: Bun.CryptoHasher | null): void {
  for (const body of at.bodies) {
    at.decoder.begin("clicks");
    at.decoder.add(body);
    at.decoder.forAdmission(KEY, 0);
    const { storedBytes } = at.decoder.seal(ACCEPTED, null, at.target);
    hash?.update(new Uint8Array(at.decoder.memory, at.target, storedBytes).slice());
  }
}

/** What people write: a line, JSON.parse, a check of each member, columns. */
function plainPass(sources: readonly Uint8Array[]): number {
  let prices = 0;
  for (const source of sources) {
    const times: number[] = [];
    const columns: string[][] = Array.from({ length: 8 }, () => []);
    for (const text of new TextDecoder().decode(source).split("\n")) {
      if (text === "") continue;
      const click = JSON.parse(text) as Click;
      const time = Date.parse(click.event_time);
      if (Number.isNaN(time) || typeof click.price !== "number") continue;
      times.push(time);
      prices += click.price;
      const { event_id, event_type, user_id, session_id, page_url, category, brand, country } =
        click;
      const values = [
        event_id,
        event_type,
        user_id,
        session_id,
        page_url,
        category,
        brand,
        country,
      ];
      values.forEach((value, column) => {
        if (typeof value === "string") columns[column]?.push(value);
      });
    }
  }
  return prices;
}

function lineOf(
  stage: string,
  ns: number,
  against: { ns: number; name: string },
  hash?: string,
): BenchLine {
  return {
    stage,
    rate: Math.round(1e9 / ns),
    unit: "events/s",
    ns_per_event: Number(ns.toFixed(1)),
    ratio: Number((against.ns / ns).toFixed(2)),
    ratio_to: against.name,
    ...(hash === undefined ? {} : { hash }),
  };
}

/** One line per case. `small`: the same work in a fraction of a second. */
export async function run(options: { small: boolean }): Promise<BenchLine[]> {
  await buildKernels(["decode"]);
  const wasm = readFileSync(join(import.meta.dir, "../build/decode.wasm"));
  const random = seeded(310);
  const batches = Array.from({ length: options.small ? 4 : 16 }, (_, i) =>
    clicks(random, ROWS, i * ROWS),
  );
  const encode = (texts: string[]): Uint8Array => new TextEncoder().encode(`${texts.join("\n")}\n`);
  const inOrder = prepare(
    wasm,
    batches.map((batch) => encode(batch.map((click) => JSON.stringify(click)))),
  );
  const mixed = prepare(
    wasm,
    batches.map((batch) => encode(batch.map((click) => shuffled(click, random)))),
  );
  const events = batches.length * ROWS;
  const passes = options.small ? 3 : 60;
  const orderedNs = best(passes, events, () => parsePass(inOrder));
  const mixedNs = best(passes, events, () => parsePass(mixed));
  const wholeNs = best(passes, events, () => wholePass(inOrder, null));
  const jsonNs = best(options.small ? 1 : 30, events, () => plainPass(inOrder.sources));
  const jsonMixedNs = best(options.small ? 1 : 30, events, () => plainPass(mixed.sources));
  const memory = new Uint8Array(inOrder.decoder.memory);
  const copyNs = best(passes, events, () => {
    for (const source of inOrder.sources) memory.set(source, inOrder.scratch);
  });
  const hashOf = (at: Case): string => {
    const hash = new Bun.CryptoHasher("sha256");
    const fresh = prepare(wasm, at.sources);
    wholePass(fresh, hash);
    return hash.digest("hex").slice(0, 16);
  };
  const json = { ns: jsonNs, name: "JSON.parse" };
  return [
    {
      ...lineOf("decode.parse clicks in order", orderedNs, json, hashOf(inOrder)),
      wanted: { least: 6_000_000 },
    },
    {
      ...lineOf(
        "decode.parse clicks shuffled, escapes",
        mixedNs,
        { ...json, ns: jsonMixedNs },
        hashOf(mixed),
      ),
      wanted: { least: 3_000_000 },
    },
    lineOf("decode.parse + ids + gather", wholeNs, json),
    lineOf("decode.parse clicks in order", orderedNs, { ns: copyNs, name: "memcpy" }),
    lineOf("JSON.parse per line, plain columns", jsonNs, json),
  ];
}

if (import.meta.main) {
  for (const result of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(result));
}
