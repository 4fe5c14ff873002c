// Bench of sealed ids: what sealing and merging cost an id, and a new id beside generations on disk. Files in a temporary folder, so reads come
// from the page cache mostly.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AdmitKernels } from "../kernels/admit.ts";
import { instantiate } from "../kernels/host.ts";
import { Admission } from "../src/admit/admission.ts";
import { assert } from "../src/base/assert.ts";
import { DiskFiles } from "../src/base/disk-files.ts";
import { Sealer, type GenerationsChange } from "../src/checkpoint/sealer.ts";
import { openCheckpointStore } from "../src/checkpoint/sqlite-store.ts";
import { NO_CHANGE } from "../src/checkpoint/store.ts";
import type { BenchLine } from "./line.ts";

const ROWS = 1000;
const DAY_US = 86_400_000_000;
const START_US = 1_570_000_000_000_000;
const KEY = { k0: 1n, k1: 2n };

/** `sealedIds` ids are sealed, then as many again while times are taken. `fill(words, first)` writes the hashes of new ids. */
export function sealedLines(
  wasm: Uint8Array,
  sealedIds: number,
  fill: (words: Uint32Array, first: number) => void,
): BenchLine[] {
  const root = mkdtempSync(join(tmpdir(), "millrace-bench-sealed-"));
  const files = new DiskFiles();
  const folder = join(root, "ids");
  const store = openCheckpointStore(join(root, "state.db"), files, "bench");
  const kernels = instantiate<AdmitKernels>(wasm, 2 * 1024 * 1024 * 1024);
  const admission = new Admission(kernels, KEY, { files, path: folder });
  const idsMax = Math.ceil(sealedIds / 4);
  admission.addStream({
    name: "clicks",
    dedupTtlUs: DAY_US,
    outOfOrdernessUs: 0,
    idleAfterUs: null,
    maxFutureUs: null,
    maxPastUs: null,
    idsMax,
  });
  const checkpointBatches = Math.ceil(idsMax / 16 / ROWS);
  const stream = { name: "clicks", dedupTtlUs: DAY_US, idsMax, diskBytesMax: 1e12 };
  const sealer = new Sealer({ files, folder }, store, [stream]);
  const take = (change: GenerationsChange): void => {
    admission.setGenerations(change.stream, change.generations, change.made);
    sealer.taken();
  };
  const words = new Uint32Array(ROWS * 4);
  const eventTimes = new BigInt64Array(ROWS);
  const batch = { hashes: new Uint8Array(words.buffer), idValid: null, eventTimes, rowCount: ROWS };
  let [admitMs, sealMs, duplicates] = [0, 0, 0];
  const batches = (2 * sealedIds) / ROWS;
  for (let n = 0; n < batches; n++) {
    fill(words, n * ROWS);
    const at = { receivedAtUs: START_US + n * 1000, partition: "" };
    const startMs = performance.now();
    const result = admission.admit("clicks", batch, at);
    if (n >= batches / 2) admitMs += performance.now() - startMs;
    assert(!result.full, "sealing keeps up");
    duplicates += result.duplicates;
    if (n % checkpointBatches !== 0) continue;
    const { body, segments } = admission.takeDelta(n + 1);
    const readers = [{ name: "admission", position: n + 1, body }];
    sealer.save({ ...NO_CHANGE, readers, segments }).forEach(take);
    const sealStartMs = performance.now();
    do {
      const change = sealer.step();
      if (change !== null) take(change);
    } while (sealer.isBusy);
    sealMs += performance.now() - sealStartMs;
  }
  const { sealedIds: onDisk, bucketsRead } = admission.idTable("clicks");
  const name = `${sealedIds / 1e6} M to ${(2 * sealedIds) / 1e6} M ids sealed`;
  const perEventNs = (admitMs / sealedIds) * 1e6;
  const sealNs = (sealMs / onDisk) * 1e6;
  const bytes = sealer.bytes / onDisk;
  sealer.close();
  store.close();
  rmSync(root, { recursive: true, force: true });
  const hash = Bun.hash.xxHash3(new Float64Array([duplicates])).toString(16);
  return [
    {
      stage: `admit: duplicates, ${name}`,
      rate: 1e9 / perEventNs,
      unit: "events/s",
      ns_per_event: perEventNs,
      hash,
    },
    {
      stage: "admit: sealing and merging",
      rate: 1e9 / sealNs,
      unit: "ids/s",
      ns_per_event: sealNs,
    },
    { stage: "admit: disk of sealed ids", rate: bytes, unit: "bytes/id" },
    {
      stage: `admit: buckets read, ${name}`,
      rate: bucketsRead / (2 * sealedIds),
      unit: "reads/event",
    },
  ];
}
