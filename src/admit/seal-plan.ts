// What is to be sealed or merged next: facts in, decision out. And the list of generations as a checkpoint holds it. No I/O.
import {
  SEAL_IDS_MAX,
  SEAL_MERGE_FAN,
  SEAL_SPAN_SHARE,
  SEALED_ID_BYTES,
  DISK_FREE_BYTES_MIN,
} from "../limits.ts";
import { AdmissionFormatError } from "./checkpoint.ts";
import type { GenerationInfo } from "./generation.ts";

/** What is known of one stream. */
export interface SealFacts {
  /** `dedup_ids_max`: ids in memory at most. */
  readonly idsMax: number;
  /** Ids in the checkpoint that are in no generation. */
  readonly storedIds: number;
  /** Oldest first. */
  readonly generations: readonly GenerationInfo[];
  readonly ttlMs: number;
  /** `dedup_disk_max`. */
  readonly diskBytesMax: number;
  readonly freeBytes: number;
}

export type SealDecision =
  | { readonly kind: "none" }
  /** Write the oldest `ids` ids of the checkpoint, or a few more, as a generation. */
  | { readonly kind: "seal"; readonly ids: number }
  /** Replace these neighbours by one. */
  | { readonly kind: "merge"; readonly inputs: readonly GenerationInfo[] }
  /** Ids should be sealed, but there is no room: the stream goes on until `dedup_ids_max`, then gets 503. */
  | { readonly kind: "full"; readonly reason: "dedup_disk_max" | "disk" };

/** Ids of a generation when it is sealed. */
export function sealIds(idsMax: number): number {
  return Math.min(SEAL_IDS_MAX, Math.floor(idsMax / 8));
}

/** Sealing comes first, since producers wait for it in the end; merging makes lookups cheaper. */
export function sealDecision(facts: SealFacts): SealDecision {
  const unit = sealIds(facts.idsMax);
  if (facts.storedIds > facts.idsMax / 2) {
    const reason = lacks(facts, unit);
    return reason === null ? { kind: "seal", ids: unit } : { kind: "full", reason };
  }
  const inputs = mergeable(facts, unit);
  const ids = inputs.reduce((sum, one) => sum + one.ids, 0);
  return inputs.length > 0 && lacks(facts, ids) === null
    ? { kind: "merge", inputs }
    : { kind: "none" };
}

function lacks(facts: SealFacts, ids: number): "dedup_disk_max" | "disk" | null {
  const bytes = ids * SEALED_ID_BYTES;
  const used = facts.generations.reduce((sum, one) => sum + one.bytes, 0);
  if (used + bytes > facts.diskBytesMax) return "dedup_disk_max";
  return facts.freeBytes - bytes < 2 * DISK_FREE_BYTES_MIN ? "disk" : null;
}

/** The youngest run of SEAL_MERGE_FAN neighbours of about one size that do not span too much time together; empty = there is none. */
function mergeable({ generations, ttlMs }: SealFacts, unit: number): readonly GenerationInfo[] {
  // cut off, not rounded: all that a seal may take is of one level, and what SEAL_MERGE_FAN of a level make is of the next, so that none is left between others
  const level = (one: GenerationInfo): number =>
    Math.max(0, Math.floor(Math.log2(one.ids / unit) / Math.log2(SEAL_MERGE_FAN)));
  for (let end = generations.length; end >= SEAL_MERGE_FAN; end--) {
    const run = generations.slice(end - SEAL_MERGE_FAN, end);
    const [first] = run;
    const last = run.at(-1);
    if (first === undefined || last === undefined) break;
    const isLevel = run.every((one) => level(one) === level(first));
    if (isLevel && last.newestMs - first.oldestMs <= ttlMs * SEAL_SPAN_SHARE) return run;
  }
  return [];
}

/** Generations of all streams, those of a stream oldest first; `next`: number of the next file. */
export interface GenerationList {
  readonly next: number;
  readonly generations: readonly GenerationInfo[];
}

const LIST_VERSION = 1;

/** The list as a reader's body in a checkpoint: JSON, the checkpoint vouches for its bytes. */
export function encodeGenerations(list: GenerationList): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ version: LIST_VERSION, ...list }));
}

/** Reads the list; null = nothing was ever sealed. Throws AdmissionFormatError for another version. */
export function decodeGenerations(body: Uint8Array | null): GenerationList {
  if (body === null) return { next: 1, generations: [] };
  const { version, next, generations } = JSON.parse(
    new TextDecoder().decode(body),
  ) as GenerationList & {
    version: number;
  };
  if (version !== LIST_VERSION)
    throw new AdmissionFormatError(
      `the list of sealed ids has version ${version}, this release reads version ${LIST_VERSION}: start the Millrace version that wrote it`,
    );
  return { next, generations };
}
