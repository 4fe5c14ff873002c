// Formats of admission's checkpoint: a small body (state of every stream) and segments (accepted ids, appended once and dropped whole
// when they have expired). Bytes only: where they are kept is the checkpoint room's business.
import type { ClockState, PartitionClock } from "./stream-clock.ts";

/** The bytes are not a checkpoint of admission that this release can read: foreign, damaged, or of another version. */
export class AdmissionFormatError extends Error {
  override readonly name = "AdmissionFormatError";
}

/** Key of the id hashes: two 64-bit words, random per data folder, so that a producer cannot choose ids that collide. */
export interface HashKey {
  readonly k0: bigint;
  readonly k1: bigint;
}

/** State of one stream. */
export interface StreamState {
  readonly name: string;
  readonly clock: ClockState;
  /** received_at of the newest batch, ms; null = none yet. */
  readonly receivedAtMs: number | null;
  /** Ids in the table: how large it is made before the segments are put back. */
  readonly ids: number;
  /** The stream's `dedup_ttl`, or the last that it had; null = its ids were never looked at; absent in checkpoints of before. */
  readonly dedupTtlUs?: number | null;
}

/** What the body says. */
export interface AdmissionState {
  /** The log position up to which everything is contained. */
  readonly position: number;
  readonly key: HashKey;
  readonly streams: readonly StreamState[];
}

/** Ids accepted between two checkpoints. Drop it once `newestReceivedAtUs` + dedup_ttl has passed. */
export interface AdmissionSegment {
  readonly stream: string;
  readonly newestReceivedAtUs: number;
  readonly bytes: Uint8Array;
}

// Body: u32 magic "MRAB", u32 version, u64 XXH3 of the rest, then JSON: 64-bit numbers as decimal text.
const BODY_MAGIC = 0x4241524d;
/** Version 1, of builds before the first release, had no source partitions. */
const BODY_VERSION = 2;
const BODY_HEADER_BYTES = 16;

// Segment: u32 magic "MRAS", u32 version, u64 XXH3 of everything after it, i64 received_at of the newest entry in ms, u32 entries,
// u32 bytes of the stream's name, the name padded to 16 bytes, then entries of 16 bytes: u64 and u32 of the hash, u32 received_at in
// ms modulo 2^32, in order of acceptance.
const SEGMENT_MAGIC = 0x5341524d;
const SEGMENT_VERSION = 1;
const SEGMENT_HEADER_BYTES = 32;
const CHECKED_FROM = 16;
const ENTRY_BYTES = 16;

function seal(bytes: Uint8Array, magic: number, version: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(0, magic, true);
  view.setUint32(4, version, true);
  view.setBigUint64(8, Bun.hash.xxHash3(bytes.subarray(CHECKED_FROM)), true);
  return bytes;
}

/** Checks magic, version and checksum. `what` names the thing for the error. */
function open(
  bytes: Uint8Array,
  what: string,
  format: { readonly magic: number; readonly version: number; readonly headerBytes: number },
): DataView {
  const refuse = (why: string): never => {
    throw new AdmissionFormatError(
      `${what} ${why}: restore the data folder from a savepoint, or start this release on an empty folder`,
    );
  };
  if (bytes.byteLength < format.headerBytes) return refuse("is cut short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== format.magic) return refuse("is not one of Millrace");
  const version = view.getUint32(4, true);
  if (version !== format.version)
    return refuse(`has version ${version}, this release reads version ${format.version}`);
  const checksum = Bun.hash.xxHash3(bytes.subarray(CHECKED_FROM));
  if (view.getBigUint64(8, true) !== checksum) return refuse("is damaged (wrong checksum)");
  return view;
}

/** A clock with its 64-bit times as decimal text. */
interface StoredClock {
  readonly timeUs: number;
  readonly watermarkUs: string | null;
  readonly newestUs: string | null;
  readonly partitions: readonly (Omit<PartitionClock, "highestUs"> & {
    readonly highestUs: string | null;
  })[];
}

function textOf(us: bigint | null): string | null {
  return us === null ? null : us.toString();
}

function timeOf(text: string | null): bigint | null {
  return text === null ? null : BigInt(text);
}

/** The body of a checkpoint. */
export function encodeState(state: AdmissionState): Uint8Array {
  const text = JSON.stringify({
    position: state.position,
    k0: state.key.k0.toString(),
    k1: state.key.k1.toString(),
    streams: state.streams.map((stream) => ({
      ...stream,
      clock: {
        ...stream.clock,
        watermarkUs: textOf(stream.clock.watermarkUs),
        newestUs: textOf(stream.clock.newestUs),
        partitions: stream.clock.partitions.map((partition) => ({
          ...partition,
          highestUs: textOf(partition.highestUs),
        })),
      },
    })),
  });
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(BODY_HEADER_BYTES + json.length);
  bytes.set(json, BODY_HEADER_BYTES);
  return seal(bytes, BODY_MAGIC, BODY_VERSION);
}

/** Reads a body. The key in it is the one to hash ids with. Throws AdmissionFormatError. */
export function decodeState(body: Uint8Array): AdmissionState {
  open(body, "the checkpoint of admission", {
    magic: BODY_MAGIC,
    version: BODY_VERSION,
    headerBytes: BODY_HEADER_BYTES,
  });
  // The checksum vouches for the shape: encodeState is the only writer of this version.
  const stored = JSON.parse(new TextDecoder().decode(body.subarray(BODY_HEADER_BYTES))) as {
    position: number;
    k0: string;
    k1: string;
    streams: (Omit<StreamState, "clock"> & { clock: StoredClock })[];
  };
  return {
    position: stored.position,
    key: { k0: BigInt(stored.k0), k1: BigInt(stored.k1) },
    streams: stored.streams.map((stream) => ({
      ...stream,
      clock: {
        ...stream.clock,
        watermarkUs: timeOf(stream.clock.watermarkUs),
        newestUs: timeOf(stream.clock.newestUs),
        partitions: stream.clock.partitions.map((partition) => ({
          ...partition,
          highestUs: timeOf(partition.highestUs),
        })),
      },
    })),
  };
}

/** Bytes of a segment of `ids` ids of a stream. */
export function segmentBytes(stream: string, ids: number): number {
  const nameBytes = Buffer.byteLength(stream);
  return SEGMENT_HEADER_BYTES + Math.ceil(nameBytes / 16) * 16 + ids * ENTRY_BYTES;
}

/** A segment of `entries` (16 bytes each, in order of acceptance), the newest received at `newestMs`. `bytes`: room of its size. */
export function encodeSegment(
  stream: string,
  entries: Uint8Array,
  newestMs: number,
  bytes: Uint8Array = new Uint8Array(segmentBytes(stream, entries.length / ENTRY_BYTES)),
): AdmissionSegment {
  const name = new TextEncoder().encode(stream);
  const entriesAt = bytes.length - entries.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setBigInt64(16, BigInt(newestMs), true);
  view.setUint32(24, entries.length / ENTRY_BYTES, true);
  view.setUint32(28, name.length, true);
  bytes.fill(0, SEGMENT_HEADER_BYTES, entriesAt);
  bytes.set(name, SEGMENT_HEADER_BYTES);
  bytes.set(entries, entriesAt);
  return {
    stream,
    newestReceivedAtUs: newestMs * 1000,
    bytes: seal(bytes, SEGMENT_MAGIC, SEGMENT_VERSION),
  };
}

/** Reads a segment. Throws AdmissionFormatError. */
export function decodeSegment(bytes: Uint8Array): {
  readonly stream: string;
  readonly newestMs: number;
  readonly entries: Uint8Array;
} {
  const what = "a segment of ids in the checkpoint of admission";
  const view = open(bytes, what, {
    magic: SEGMENT_MAGIC,
    version: SEGMENT_VERSION,
    headerBytes: SEGMENT_HEADER_BYTES,
  });
  const nameBytes = view.getUint32(28, true);
  const entriesAt = SEGMENT_HEADER_BYTES + Math.ceil(nameBytes / 16) * 16;
  const end = entriesAt + view.getUint32(24, true) * ENTRY_BYTES;
  if (end !== bytes.byteLength)
    throw new AdmissionFormatError(`${what} has another length than it says`);
  const name = bytes.subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + nameBytes);
  return {
    stream: new TextDecoder().decode(name),
    newestMs: Number(view.getBigInt64(16, true)),
    entries: bytes.subarray(entriesAt),
  };
}
