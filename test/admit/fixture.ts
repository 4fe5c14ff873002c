// An Admission over a fresh kernel instance, and events for it, for the tests of this folder.
import { join } from "node:path";
import type { AdmitKernels } from "../../kernels/admit.ts";
import { buildKernels } from "../../kernels/build.ts";
import { instantiate, type KernelInstance } from "../../kernels/host.ts";
import { hashIds } from "../../kernels/reference/hashids.ts";
import { Admission, type Admitted, type Batch } from "../../src/admit/admission.ts";
import type { StreamSettings } from "../../src/admit/stream-block.ts";
import { assert } from "../../src/base/assert.ts";
import { buildImage, type ImageColumn } from "../../src/event/image.ts";

await buildKernels(["admit"]);
const wasm = await Bun.file(join(import.meta.dir, "../../build/admit.wasm")).bytes();

export const KEY = { k0: 0x0706050403020100n, k1: 0x0f0e0d0c0b0a0908n };
const BYTES_MAX = 256 * 1024 * 1024;

export function kernels(bytesMax = BYTES_MAX): KernelInstance<AdmitKernels> {
  return instantiate<AdmitKernels>(wasm, bytesMax);
}

export function admission(streams: readonly StreamSettings[], bytesMax = BYTES_MAX): Admission {
  const made = new Admission(kernels(bytesMax), KEY);
  for (const stream of streams) made.addStream(stream);
  return made;
}

export const SETTINGS: StreamSettings = {
  name: "clicks",
  dedupTtlUs: 10_000_000,
  outOfOrdernessUs: 1_000_000,
  idleAfterUs: null,
  maxFutureUs: null,
  maxPastUs: null,
  idsMax: 1_000_000,
};

export interface TestEvent {
  readonly id: string | null;
  readonly time: bigint;
  /** Whether it moves the watermark; absent = yes. */
  readonly moves?: boolean;
}

const hashesById = new Map<string, readonly [bigint, bigint]>();

function hashOf(id: string): readonly [bigint, bigint] {
  const known = hashesById.get(id);
  if (known !== undefined) return known;
  const [hash] = hashIds([id], KEY);
  assert(hash !== undefined && hash !== null, "an id has a hash");
  hashesById.set(id, hash);
  return hash;
}

/** What decode would hand over for these events. */
export function batchOf(events: readonly TestEvent[]): Batch {
  const hashes = new BigUint64Array(events.length * 2);
  const idValid = new Uint8Array(Math.ceil(events.length / 8));
  events.forEach(({ id }, row) => {
    if (id === null) return;
    hashes.set(hashOf(id), row * 2);
    idValid[row >> 3] = (idValid[row >> 3] ?? 0) | (1 << (row & 7));
  });
  return {
    hashes: new Uint8Array(hashes.buffer),
    idValid: events.some((event) => event.id === null) ? idValid : null,
    eventTimes: BigInt64Array.from(events, (event) => event.time),
    ...(events.every(({ moves = true }) => moves)
      ? {}
      : { marks: Uint8Array.from(events, ({ moves = true }) => Number(moves)) }),
    rowCount: events.length,
  };
}

/** Admits, and expects that there is room. */
export function admit(
  to: Admission,
  events: readonly TestEvent[],
  receivedAtUs: number,
  stream = SETTINGS.name,
): Admitted {
  const result = to.admit(stream, batchOf(events), { partition: "", receivedAtUs });
  assert(!result.full, "there is room");
  return result;
}

const COLUMNS: readonly ImageColumn[] = [
  { name: "noise", type: { kind: "DOUBLE" }, nullable: false },
  { name: "event_id", type: { kind: "VARCHAR" }, nullable: true },
  { name: "event_time", type: { kind: "TIMESTAMPTZ" }, nullable: false },
];

/** The log record's image of accepted events: id in column 1, event time in column 2. */
export function imageOf(events: readonly TestEvent[], dictionary: boolean): Uint8Array {
  return buildImage(
    COLUMNS,
    events.map((event) => [0.5, event.id, event.time]),
    new Set(dictionary ? [1] : []),
  );
}

/** `count` uniform 16-byte hashes that are a function of `first` to `first + count`: for masses of ids. */
export function massHashes(first: number, count: number): Uint8Array {
  const words = new Uint32Array(count * 4);
  for (let i = 0; i < count; i++)
    for (let word = 0; word < 3; word++)
      words[4 * i + word] = mix((first + i) ^ (word * 0x9e3779b9));
  return new Uint8Array(words.buffer);
}

/** A bijection of 32-bit integers with good diffusion ("lowbias32", Chris Wellons). */
function mix(x: number): number {
  let y = x ^ (x >>> 16);
  y = Math.imul(y, 0x7feb352d);
  y ^= y >>> 15;
  y = Math.imul(y, 0x846ca68b);
  return (y ^ (y >>> 16)) >>> 0;
}
