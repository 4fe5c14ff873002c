// Checkpoints for tests: the whole content at a number, so that what is loaded can be compared without keeping it.
import { NO_CHANGE, type CheckpointChange } from "../../src/checkpoint/store.ts";

/** Bytes that tell their maker; every second kind compresses. */
export function bytesOf(seed: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let state = seed;
  for (let at = 0; at < lengthBytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[at] = seed % 2 === 0 ? state >>> 24 : seed & 0xff;
  }
  return bytes;
}

const PAGE_COUNT = 24;

/**
 * The n-th checkpoint (from 1) of a series: every page, reader, output and segment carries n, so that a mixture of two shows. Outputs
 * and segments of the checkpoint before the last are dropped.
 */
export function changeAt(n: number): CheckpointChange {
  return {
    ...NO_CHANGE,
    readers: ["admission", "view:v"].map((name) => ({
      name,
      position: n * 10,
      body: bytesOf(n, 500),
    })),
    pages: Array.from({ length: PAGE_COUNT }, (_, page) => ({
      space: page % 3 === 0 ? "other" : "fold",
      page,
      bytes: bytesOf(n * 100 + page, 4096),
    })),
    freedPages: n % 2 === 0 ? [{ space: "fold", page: 1000 }] : [],
    outputs: (["rows", "late"] as const).map((kind) => ({
      view: "v",
      kind,
      ...(kind === "rows" && n % 3 > 0 ? { op: n % 3 === 1 ? "upsert" : "delete" } : {}),
      position: n * 10,
      rowCount: n,
      image: bytesOf(n, 3000),
    })),
    coveredOutputs: (["rows", "late"] as const).map((kind) => ({
      view: "v",
      kind,
      position: (n - 2) * 10,
    })),
    segments: [{ stream: "clicks", newestReceivedAtUs: n * 1000, bytes: bytesOf(n, 2000) }],
    expiredSegments: [{ stream: "clicks", beforeUs: (n - 1) * 1000 }],
  };
}
