// Bench of admission: duplicates with millions of ids live, growth without stalls, bytes an id, checkpoint and restore; against a
// Map<string, number> as people write it, on the same ids. Times are of whole `admit` calls, copies in included, hashing not (decode
// does it on the way): it has a line of its own, and is added before comparing with the Map.
import { join } from "node:path";
import type { AdmitKernels } from "../kernels/admit.ts";
import { buildKernels } from "../kernels/build.ts";
import { instantiate } from "../kernels/host.ts";
import { Admission, type Batch } from "../src/admit/admission.ts";
import { assert } from "../src/base/assert.ts";
import { buildImage } from "../src/event/image.ts";
import type { StreamSettings } from "../src/admit/stream-block.ts";
import type { BenchLine } from "./line.ts";
import { sealedLines } from "./sealed.ts";

const ROWS = 1000;
const START_US = 1_570_000_000_000_000;
const KEY = { k0: 0x0706050403020100n, k1: 0x0f0e0d0c0b0a0908n };
/** One batch a ms, so that a TTL of n ms keeps n thousand ids live. */
const STEP_US = 1000;
/** Ids that code is compiled with. */
const WARM_IDS = 200_000;

/** A bijection of 32-bit integers with good diffusion ("lowbias32", Chris Wellons). */
function mix(x: number): number {
  let y = x ^ (x >>> 16);
  y = Math.imul(y, 0x7feb352d);
  y ^= y >>> 15;
  y = Math.imul(y, 0x846ca68b);
  return (y ^ (y >>> 16)) >>> 0;
}

/** Number of the `row`th event's id: new ones in order, every hundredth a recent one again. */
function idAt(row: number): number {
  return row % 100 === 99 && row > 50_000 ? row - 1 - (mix(row) % 40_000) : row;
}

function fill(words: Uint32Array, first: number): void {
  for (let row = 0; row < ROWS; row++) {
    const id = idAt(first + row);
    for (let word = 0; word < 3; word++) words[4 * row + word] = mix(id ^ (word * 0x9e3779b9));
  }
}

function textOf(id: number): string {
  const hex = (word: number): string =>
    mix(id ^ (word * 0x9e3779b9))
      .toString(16)
      .padStart(8, "0");
  return `${hex(1)}-${hex(2)}-${hex(3)}`;
}

function line(stage: string, nsPerEvent: number): BenchLine {
  return { stage, rate: 1e9 / nsPerEvent, unit: "events/s", ns_per_event: nsPerEvent };
}

interface Grown {
  readonly lines: BenchLine[];
  /** ns an event with the ids live. */
  readonly steadyNs: number;
  readonly checkpoint: { readonly body: Uint8Array; readonly segments: Uint8Array[] };
}

/** An Admission over the built kernels whose stream keeps `live` ids. */
function make(wasm: Uint8Array, live: number): Admission {
  const kernels = instantiate<AdmitKernels>(wasm, 2 * 1024 * 1024 * 1024);
  const admission = new Admission(kernels, KEY);
  admission.addStream(settings("clicks", live));
  return admission;
}

function settings(name: string, live: number): StreamSettings {
  return {
    name,
    dedupTtlUs: (live / ROWS) * STEP_US,
    outOfOrdernessUs: 10_000_000,
    idleAfterUs: null,
    maxFutureUs: 300_000_000,
    maxPastUs: null,
    idsMax: Math.max(live * 1.3, 65_536),
  };
}

/** A batch of ROWS rows, whose ids and times are filled in. */
function emptyBatch(): { readonly words: Uint32Array; readonly batch: Batch } {
  const words = new Uint32Array(ROWS * 4);
  const eventTimes = new BigInt64Array(ROWS);
  const hashes = new Uint8Array(words.buffer);
  return { words, batch: { hashes, idValid: null, eventTimes, rowCount: ROWS } };
}

/** Lets the code be compiled, with ids of another stream: new code is interpreted, which would be most of the slowest batches. */
function warm(admission: Admission): void {
  admission.addStream(settings("warm", WARM_IDS));
  const { words, batch } = emptyBatch();
  for (let first = 0; first < 2 * WARM_IDS; first += ROWS) {
    fill(words, first);
    const receivedAtUs = START_US + (first / ROWS) * STEP_US;
    admission.admit("warm", batch, { partition: "", receivedAtUs });
  }
  admission.saved(admission.takeDelta(1).segments);
}

/** Growth, the time until ids that have expired leave as fast as others come, and the steady table. */
type Phase = "growth" | "settling" | "steady";

/** What was measured of the batches of a phase, ms each. */
interface Grow {
  readonly ms: Record<Phase, number[]>;
  /** The longest takeDelta. */
  readonly deltaMs: number;
  readonly bytesPerId: number;
  readonly accepted: number;
  readonly checkpoint: Grown["checkpoint"];
}

/** Grows a table to `live` ids, then keeps it there: a quarter of the TTL, and for `more` events. */
function admitAll(wasm: Uint8Array, live: number, more: number): Grow {
  const admission = make(wasm, live);
  warm(admission);
  const { words, batch } = emptyBatch();
  const ms: Grow["ms"] = { growth: [], settling: [], steady: [] };
  const segments: Uint8Array[] = [];
  let body = new Uint8Array();
  let [deltaMs, accepted, bytesPerId, samples] = [0, 0, 0, 0];
  const settled = live * 1.25;
  for (let first = 0; first < settled + more; first += ROWS) {
    fill(words, first);
    const receivedAtUs = START_US + (first / ROWS) * STEP_US;
    batch.eventTimes.fill(BigInt(receivedAtUs));
    const startMs = performance.now();
    const result = admission.admit("clicks", batch, { partition: "", receivedAtUs });
    const tookMs = performance.now() - startMs;
    assert(!result.full, "there is room");
    accepted += result.accepted;
    ms[first < live ? "growth" : first < settled ? "settling" : "steady"].push(tookMs);
    const { ids, bytes } = admission.idTable("clicks");
    if (first < live && first >= live / 4) {
      bytesPerId += bytes / ids;
      samples++;
    }
    if (admission.deltaIds < 1_000_000 && first + ROWS < settled + more) continue;
    const deltaStartMs = performance.now();
    const delta = admission.takeDelta(1 + first / ROWS);
    deltaMs = Math.max(deltaMs, performance.now() - deltaStartMs);
    body = new Uint8Array(delta.body);
    segments.push(...delta.segments.map((segment) => segment.bytes.slice()));
    admission.saved(delta.segments);
  }
  const checkpoint = { body, segments };
  return { ms, deltaMs, bytesPerId: bytesPerId / samples, accepted, checkpoint };
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;
}

/** Lines of a table of `live` ids. */
function grow(wasm: Uint8Array, live: number, more: number): Grown {
  const { ms, deltaMs, bytesPerId, accepted, checkpoint } = admitAll(wasm, live, more);
  const name = `${live / 1e6} M ids`;
  const { length } = checkpoint.segments;
  const hash = Bun.hash.xxHash3(new Float64Array([accepted, length])).toString(16);
  const steadyNs = (sumOf(ms.steady) / more) * 1e6;
  const lines: BenchLine[] = [
    line(`admit: the table grows to ${name}`, (sumOf(ms.growth) / live) * 1e6),
    {
      stage: `admit: longest batch while growing to ${name}`,
      rate: ms.growth.reduce((longest, one) => Math.max(longest, one), 0),
      unit: "ms",
      wanted: { most: 50 },
    },
    {
      stage: `admit: p99 of a batch, growing to ${name} over steady`,
      rate: p99(ms.growth) / p99(ms.steady),
      unit: "x",
      wanted: { most: 2 },
    },
    { stage: `admit: longest takeDelta, ${name}`, rate: deltaMs, unit: "ms" },
    {
      stage: `admit: memory, growing to ${name}`,
      rate: bytesPerId,
      unit: "bytes/id",
      wanted: { most: 24 },
    },
    {
      ...line(`admit: duplicates, ${name} live`, steadyNs),
      hash,
      wanted: { least: 12_000_000 },
    },
  ];
  return { lines, steadyNs, checkpoint };
}

function restore(wasm: Uint8Array, live: number, { body, segments }: Grown["checkpoint"]): number {
  const admission = make(wasm, live);
  const startMs = performance.now();
  admission.restore(body, segments);
  assert(admission.idTable("clicks").ids >= live * 0.99, "the ids are back");
  return performance.now() - startMs;
}

/** What people write: a Map of received_at by id, expired ids deleted from its front. ns an event. */
function plainMap(live: number, more: number): number {
  const seen = new Map<string, number>();
  const ttlMs = live / ROWS;
  let totalMs = 0;
  let duplicates = 0;
  for (let first = 0; first < live + more; first += ROWS) {
    const ids = Array.from({ length: ROWS }, (_, row) => textOf(idAt(first + row)));
    const nowMs = first / ROWS;
    const startMs = performance.now();
    for (const [id, at] of seen) {
      if (nowMs - at < ttlMs) break;
      seen.delete(id);
    }
    for (const id of ids) {
      const at = seen.get(id);
      if (at !== undefined && nowMs - at < ttlMs) duplicates++;
      else seen.set(id, nowMs);
    }
    if (first >= live) totalMs += performance.now() - startMs;
  }
  assert(duplicates > 0, "some are duplicates");
  return (totalMs / more) * 1e6;
}

/** ns to hash an id of 26 bytes. */
function hashing(wasm: Uint8Array): number {
  const kernels = instantiate<AdmitKernels>(wasm, 64 * 1024 * 1024);
  const rows = Array.from({ length: ROWS }, (_, row) => [textOf(row)]);
  const column = { name: "id", type: { kind: "VARCHAR" }, nullable: false } as const;
  const image = buildImage([column], rows);
  const at = kernels.allocate(image.length);
  kernels.u8().set(image, at);
  const to = kernels.allocate(ROWS * 16);
  const rounds = 2000;
  let startMs = 0;
  for (let round = -rounds; round < rounds; round++) {
    if (round === 0) startMs = performance.now();
    kernels.call.hashIds(at, 0, KEY.k0, KEY.k1, to, to);
  }
  return ((performance.now() - startMs) / rounds / ROWS) * 1e6;
}

/** ns to load a byte anywhere in `bytes`, many loads in flight: what the machine's memory allows just now. */
function randomLoad(bytes: number): number {
  const memory = new Uint8Array(new SharedArrayBuffer(bytes)).fill(1);
  const places = Uint32Array.from({ length: 1 << 20 }, (_, i) => mix(i) % bytes);
  let bestMs = Infinity;
  let sum = 0;
  for (let round = 0; round < 5; round++) {
    const startMs = performance.now();
    // By index: an iterator takes longer than the memory.
    for (let i = 0; i < places.length; i++) sum += memory[places[i] ?? 0] ?? 0;
    bestMs = Math.min(bestMs, performance.now() - startMs);
  }
  assert(sum === 5 * places.length, "every byte is 1");
  return (bestMs / places.length) * 1e6;
}

/** All lines of this stage. `small`: a second's work, for the tests. */
export async function run(options: { small: boolean }): Promise<BenchLine[]> {
  await buildKernels(["admit"]);
  const wasm = await Bun.file(join(import.meta.dir, "../build/admit.wasm")).bytes();
  const scale = options.small ? 0.01 : 1;
  const [few, many, more] = [5e6 * scale, 20e6 * scale, 2e6 * scale];
  const hashNs = hashing(wasm);
  const lines = [
    line("admit: hash of a 26-byte id", hashNs),
    line("memory: one random load, best of 5 rounds", randomLoad(500e6 * scale)),
  ];
  const small = grow(wasm, few, more);
  const mapNs = plainMap(few, more);
  const restoreMs = restore(wasm, few, small.checkpoint);
  const ratio = mapNs / (small.steadyNs + hashNs);
  lines.push(
    ...small.lines.map((item) =>
      item.hash === undefined ? item : { ...item, ratio, ratio_to: "Map<string, number>" },
    ),
    line(`admit: Map<string, number>, ${few / 1e6} M ids live`, mapNs),
    { stage: `admit: restore of ${few / 1e6} M ids`, rate: restoreMs, unit: "ms" },
  );
  const large = grow(wasm, many, more);
  lines.push(...large.lines);
  const largeMs = restore(wasm, many, large.checkpoint);
  lines.push({ stage: `admit: restore of ${many / 1e6} M ids`, rate: largeMs, unit: "ms" });
  lines.push(...sealedLines(wasm, many, fill));
  return lines;
}

if (import.meta.main) {
  for (const item of await run({ small: process.argv.includes("--small") })) {
    const ns = item.ns_per_event === undefined ? "" : `  ${item.ns_per_event.toFixed(1)} ns/event`;
    const ratio = item.ratio === undefined ? "" : `  ${item.ratio.toFixed(1)} x ${item.ratio_to}`;
    console.log(`${item.stage.padEnd(52)} ${item.rate.toPrecision(4)} ${item.unit}${ns}${ratio}`);
  }
}
