// Each kernel beside its plain twin on the same input in the same run: what the work in WASM buys. The twins are written to be obviously
// right, so the ratios are no boast; they show that the tests' oracle is another program.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SCAN_PADDING_BYTES } from "../kernels/abi.ts";
import type { AdmitKernels } from "../kernels/admit.ts";
import type { DecodeKernels } from "../kernels/decode.ts";
import { instantiateExport } from "../kernels/export.ts";
import { instantiate } from "../kernels/host.ts";
import { kernelModule } from "../kernels/modules.ts";
import { ReferenceAdmission } from "../kernels/reference/admit.ts";
import { decodeReference } from "../kernels/reference/decode.ts";
import { hashIds } from "../kernels/reference/hashids.ts";
import { copyPlain } from "../kernels/reference/parquet-text.ts";
import { Admission } from "../src/admit/admission.ts";
import { parseAvroSchema } from "../src/event/avro.ts";
import { Decoder } from "../src/event/decode.ts";
import { BODY_REJECTS_MAX, EVENT_BYTES_MAX } from "../src/limits.ts";
import type { BenchLine } from "./line.ts";
import { LoadBody } from "./load-body.ts";

const ROWS = 1000;
const KEY = { k0: 1n, k1: 2n };
const START_US = 1_700_000_000_000_000;

/** Best of `passes`, ns an event. */
function bestNs(passes: number, events: number, pass: (at: number) => void): number {
  let best = Infinity;
  for (let at = 0; at < passes; at++) {
    const begin = performance.now();
    pass(at);
    best = Math.min(best, performance.now() - begin);
  }
  return (best * 1e6) / events;
}

function line(stage: string, kernelNs: number, twinNs: number): BenchLine {
  return {
    stage,
    rate: Math.round(1e9 / kernelNs),
    unit: "events/s",
    ns_per_event: Number(kernelNs.toFixed(1)),
    ratio: Number((twinNs / kernelNs).toFixed(1)),
    ratio_to: "plain twin",
  };
}

async function decodeLine(passes: number): Promise<BenchLine> {
  const parsed = parseAvroSchema(readFileSync(join(import.meta.dir, "clicks.avsc"), "utf8"), {
    eventTime: "event_time",
    eventId: "event_id",
    id: 1,
  });
  if (!("schema" in parsed)) throw new Error("the bench's schema is good");
  const { bytes } = LoadBody.make({ seed: 1, events: ROWS, users: 1_000_000, categories: 1600 });
  const instance = instantiate<DecodeKernels>(await kernelModule("decode"), 2 ** 28);
  const address = instance.allocate(bytes.length + SCAN_PADDING_BYTES);
  const decoder = new Decoder(instance, { rowsMax: ROWS, imageBytesMax: 4 * 1024 * 1024 });
  decoder.setSchema("clicks", parsed.schema);
  instance.u8().set(bytes, address);
  const kernelNs = bestNs(passes, ROWS, () => {
    decoder.begin("clicks");
    const { rowCount } = decoder.add({ address, bytes: bytes.length, format: "ndjson" });
    if (rowCount !== ROWS) throw new Error("every event is good");
  });
  const twinNs = bestNs(3, ROWS, () => {
    const { rows } = decodeReference(bytes, "ndjson", parsed.schema.columns, {
      eventBytesMax: EVENT_BYTES_MAX,
      bodyRejectsMax: BODY_REJECTS_MAX,
    });
    if (rows.length !== ROWS) throw new Error("every event is good");
  });
  return line("twins: decode.parse", kernelNs, twinNs);
}

async function admitLine(passes: number): Promise<BenchLine> {
  const settings = {
    dedupTtlUs: 30_000_000,
    outOfOrdernessUs: 1,
    idleAfterUs: null,
    maxFutureUs: null,
    maxPastUs: null,
  };
  const batches = Array.from({ length: passes }, (_, batch) =>
    Array.from({ length: ROWS }, (__, row) => `id-${batch}-${row}`),
  );
  const hashes = batches.map((ids) => {
    const bytes = new BigUint64Array(ROWS * 2);
    for (const [row, hash] of hashIds(ids, KEY).entries()) bytes.set(hash ?? [0n, 0n], row * 2);
    return new Uint8Array(bytes.buffer);
  });
  const eventTimes = new BigInt64Array(ROWS).fill(BigInt(START_US));
  const admission = new Admission(
    instantiate<AdmitKernels>(await kernelModule("admit"), 2 ** 30),
    KEY,
  );
  admission.addStream({ name: "s", ...settings, idsMax: 1_000_000 });
  const kernelNs = bestNs(passes, ROWS, (at) => {
    const batch = { hashes: hashes[at] ?? null, idValid: null, eventTimes, rowCount: ROWS };
    const admitted = admission.admit("s", batch, { partition: "", receivedAtUs: START_US });
    if (admitted.full || admitted.accepted !== ROWS) throw new Error("every id is new");
  });
  const reference = new ReferenceAdmission(settings);
  const twinNs = bestNs(passes, ROWS, (at) => {
    for (const id of batches[at] ?? []) reference.admit({ id, time: BigInt(START_US) }, START_US);
  });
  return line("twins: admit.admitRows", kernelNs, twinNs);
}

async function pagesLine(passes: number): Promise<BenchLine> {
  const texts = Array.from({ length: ROWS }, (_, row) => `/catalog/item-${row % 97}/${row}`);
  const encoded = new TextEncoder().encode(texts.join(""));
  const offsets = new Int32Array(ROWS + 1);
  for (const [row, text] of texts.entries()) offsets[row + 1] = (offsets[row] ?? 0) + text.length;
  const instance = instantiateExport(await kernelModule("export"), 2 ** 28);
  const offsetsAt = instance.allocate(offsets.byteLength + 64);
  const textAt = instance.allocate(encoded.length + 64);
  const to = instance.allocate(encoded.length + ROWS * 4 + 64);
  instance.u8().set(new Uint8Array(offsets.buffer), offsetsAt);
  instance.u8().set(encoded, textAt);
  const kernelNs = bestNs(passes, ROWS, () => {
    const bytes = instance.call.copyPlain(offsetsAt, textAt, 0, 0, ROWS, to);
    if (bytes !== encoded.length + ROWS * 4) throw new Error("a page has every value");
  });
  const rows = texts.map((_, row) => row);
  const twinNs = bestNs(passes, ROWS, () => {
    if (copyPlain(texts, rows).length !== encoded.length + ROWS * 4)
      throw new Error("a page has every value");
  });
  return line("twins: export.copyPlain", kernelNs, twinNs);
}

export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const passes = options.small ? 10 : 200;
  return [await decodeLine(passes), await admitLine(passes), await pagesLine(passes)];
}
