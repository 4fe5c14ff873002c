// LogRecord <-> bytes. Owns the record's format: header, compression, checksums, versions. It does no I/O.
//
// Header, little-endian, RECORD_HEADER_BYTES, the names of the stream and of the source partition (UTF-8, may be empty), in version 3 `markedUs`
// (i64 µs, the lowest = none), which only records of streams with punctuated watermarks have:
//    0 u32 magic "MRR1"          4 u8 version 2, 3     5 u8 kind (1 events, 2 control)   6 u8 flags   7 u8 control kind
//    8 u64 position             16 u64 received_at, µs
//   24 u32 schema id            28 u32 rows        32 u32 duplicates                 36 u32 rejects
//   40 u32 body bytes, raw      44 u32 body bytes, stored
//   48 u32 rejects bytes, raw   52 u32 rejects bytes, stored   56 u32 stream name bytes   60 u32 partition name bytes
//   64 i64 the stream's watermark after the record, µs, the lowest i64 = none (and in control records)
//   72 u64 xxHash3 of the payload    80 u64 xxHash3 of the header with this field zero
// Payload: the body (a batch image cut to its stored bytes, or a control record's JSON text in UTF-8), then the rejects
// (reject-codec.ts). Flags: 1 = the body is one zstd frame, 2 = the rejects are one, 4 = the body is a packed image (image-pack.ts).
// Equal records are equal bytes.
//
// The header's own checksum covers the payload's, so that a scan over headers is safe without reading payloads. xxHash3
// (https://github.com/Cyan4973/xxHash) takes 0.75 µs for 75 KB here, crc32 1.26 µs; 64 bits instead of 32 come with it.
import { assert } from "../base/assert.ts";
import { compressIfItPays, decompress } from "../base/zstd.ts";
import { ImagePacker, unpackImage } from "./image-pack.ts";
import type { EncodedRecord } from "./log.ts";
import type { ControlKind, ControlRecord, EventsRecord, LogRecord } from "./record.ts";
import { decodeRejects, encodeRejects, RejectSectionError } from "./reject-codec.ts";

/** "MRR1" */
const RECORD_MAGIC = 0x3152524d;
/** Version 1, of builds before the first release, had no watermark and no source partition. */
const RECORD_VERSION = 2;
const RECORD_VERSION_MARKED = 3;
const RECORD_HEADER_BYTES = 88;
const MARKED_BYTES = 8;
const WATERMARK_AT = 64;
const PAYLOAD_HASH_AT = 72;
const HEADER_HASH_AT = 80;
/** A watermark of −∞, or no event that moved it. */
const NO_WATERMARK = -(2n ** 63n);
const KIND_EVENTS = 1;
const KIND_CONTROL = 2;
const FLAG_BODY_ZSTD = 1;
const FLAG_REJECTS_ZSTD = 2;
const FLAG_BODY_PACKED = 4;
/** On-disk numbers of the control kinds: append only, never renumber. */
const CONTROL_CODES: Readonly<Record<ControlKind, number>> = {
  configuration: 1,
  schema: 2,
  clock_tick: 3,
  partition_added: 4,
  partition_connected: 5,
  partition_disconnected: 6,
  partition_paused: 7,
  partition_resumed: 8,
  reconcile: 9,
  answers: 10,
};

const NOTHING = new Uint8Array(0);
const utf8 = new TextEncoder();
const text = new TextDecoder();
const strictText = new TextDecoder("utf-8", { fatal: true });

/** Operating error: a record's bytes are not what was written, or were written by a newer Millrace. */
export class CorruptRecordError extends Error {
  override readonly name = "CorruptRecordError";
  /** The position that was to be read. */
  readonly position: number;
  constructor(position: number, what: string, advice = ADVICE_DAMAGED) {
    super(`log record ${position}: ${what}. ${advice}`);
    this.position = position;
  }
}
const ADVICE_DAMAGED =
  "The disk gave back other bytes than were written: copy the data folder aside, check the disk, and restore the folder from a " +
  "backup; nothing after this record can be read";
const ADVICE_OLDER =
  "A build before the first release wrote it: start with an empty data folder and send the events again";
const ADVICE_NEWER = "Start the Millrace version that wrote this data folder, or a newer one";

/** What a header alone tells: enough for scans that need no rows. */
export interface RecordHead {
  readonly kind: "events" | "control";
  readonly position: number;
  readonly receivedAtUs: number;
  /** "" when a control record is about no stream. */
  readonly stream: string;
  readonly partition: string;
  readonly schemaId: number;
  /** As in EventsRecord; null in control records. */
  readonly watermarkUs: bigint | null;
  readonly markedUs?: bigint | null;
  readonly rowCount: number;
  readonly duplicateCount: number;
  readonly rejectCount: number;
  /** Bytes of the decoded record: image or JSON text, and rejects. */
  readonly decodedBytes: number;
}

/** A section as it is stored: the bytes of `parts`, one after another. */
interface Section {
  readonly parts: readonly Uint8Array[];
  readonly rawBytes: number;
  readonly form: "plain" | "zstd" | "packed";
}

/**
 * The bytes of a record, checksummed. The image may lie in shared memory: it is read and not kept. Pure but for CPU time, and for the
 * memory of `packer`, which who encodes many records keeps.
 */
export function encodeRecord(
  record: LogRecord,
  packer: ImagePacker = new ImagePacker(),
): EncodedRecord {
  const isEvents = record.kind === "events";
  const body = isEvents ? squeezeImage(record.image, packer) : squeeze(utf8.encode(record.body));
  const rejects = squeeze(isEvents ? encodeRejects(record.rejects) : NOTHING);
  const payload = join([...body.parts, ...rejects.parts]);
  const stream = utf8.encode(record.stream ?? "");
  const partition = utf8.encode(isEvents ? record.partition : "");
  const marked = isEvents && record.markedUs !== undefined ? markedBytes(record.markedUs) : NOTHING;
  const header = join([new Uint8Array(RECORD_HEADER_BYTES), stream, partition, marked]);
  const view = new DataView(header.buffer);
  view.setUint32(0, RECORD_MAGIC, true);
  view.setUint8(4, marked === NOTHING ? RECORD_VERSION : RECORD_VERSION_MARKED);
  view.setUint8(5, isEvents ? KIND_EVENTS : KIND_CONTROL);
  view.setUint8(
    6,
    (body.form === "zstd" ? FLAG_BODY_ZSTD : 0) |
      (rejects.form === "zstd" ? FLAG_REJECTS_ZSTD : 0) |
      (body.form === "packed" ? FLAG_BODY_PACKED : 0),
  );
  setUint64(view, 8, record.position);
  setUint64(view, 16, record.receivedAtUs);
  if (isEvents) {
    view.setUint32(24, record.schemaId, true);
    view.setUint32(28, record.rowCount, true);
    view.setUint32(32, record.duplicateCount, true);
    view.setUint32(36, record.rejects.length, true);
  } else view.setUint8(7, CONTROL_CODES[record.control]);
  view.setUint32(40, body.rawBytes, true);
  view.setUint32(44, storedBytes(body), true);
  view.setUint32(48, rejects.rawBytes, true);
  view.setUint32(52, storedBytes(rejects), true);
  view.setUint32(56, stream.length, true);
  view.setUint32(60, partition.length, true);
  const watermarkUs = isEvents ? record.watermarkUs : null;
  view.setBigInt64(WATERMARK_AT, watermarkUs ?? NO_WATERMARK, true);
  view.setBigUint64(PAYLOAD_HASH_AT, Bun.hash.xxHash3(payload), true);
  view.setBigUint64(HEADER_HASH_AT, Bun.hash.xxHash3(header), true);
  return { position: record.position, receivedAtUs: record.receivedAtUs, header, payload };
}

/** Reads a header alone and checks it, also that it is of `position`. Throws CorruptRecordError. */
export function decodeHead(position: number, header: Uint8Array): RecordHead {
  const view = checkedHeader(position, header);
  const kind = view.getUint8(5);
  if (kind !== KIND_EVENTS && kind !== KIND_CONTROL)
    throw new CorruptRecordError(position, `record kind ${kind} is not known here`, ADVICE_NEWER);
  const partitionAt = RECORD_HEADER_BYTES + view.getUint32(56, true);
  const namesEnd = partitionAt + view.getUint32(60, true);
  return {
    kind: kind === KIND_EVENTS ? "events" : "control",
    position,
    receivedAtUs: getUint64(view, 16),
    stream: text.decode(header.subarray(RECORD_HEADER_BYTES, partitionAt)),
    partition: text.decode(header.subarray(partitionAt, namesEnd)),
    schemaId: view.getUint32(24, true),
    watermarkUs: timeAt(view, WATERMARK_AT),
    ...(header.length > namesEnd ? { markedUs: timeAt(view, namesEnd) } : {}),
    rowCount: view.getUint32(28, true),
    duplicateCount: view.getUint32(32, true),
    rejectCount: view.getUint32(36, true),
    decodedBytes: view.getUint32(40, true) + view.getUint32(48, true),
  };
}

/** What the header says, once both checksums were looked at: the bytes are those that were written. Throws CorruptRecordError. */
export function checkRecord({
  position,
  header,
  payload,
}: {
  readonly position: number;
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}): RecordHead {
  const head = decodeHead(position, header);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (payload.length !== view.getUint32(44, true) + view.getUint32(52, true))
    throw new CorruptRecordError(position, `the payload has ${payload.length} bytes`);
  if (Bun.hash.xxHash3(payload) !== view.getBigUint64(PAYLOAD_HASH_AT, true))
    throw new CorruptRecordError(position, "the checksum of the payload differs");
  return head;
}

/**
 * The record at `position` of these bytes. The image is in memory of its own and starts on a multiple of 8. Throws CorruptRecordError
 * when any byte differs from what was written, or when a newer version wrote it.
 */
export function decodeRecord(encoded: {
  readonly position: number;
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}): LogRecord {
  const { position, header, payload } = encoded;
  const head = checkRecord(encoded);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const bodyStored = view.getUint32(44, true);
  try {
    const flags = view.getUint8(6);
    const body = unsqueeze(
      payload.subarray(0, bodyStored),
      view.getUint32(40, true),
      flags & (FLAG_BODY_ZSTD | FLAG_BODY_PACKED),
    );
    if (head.kind === "control") return controlRecord(head, view.getUint8(7), body);
    const rejects = unsqueeze(
      payload.subarray(bodyStored),
      view.getUint32(48, true),
      flags & FLAG_REJECTS_ZSTD,
    );
    return eventsRecord(head, body, rejects);
  } catch (error) {
    if (error instanceof CorruptRecordError) throw error;
    const what =
      error instanceof RejectSectionError ? error.message : `cannot be decoded: ${String(error)}`;
    throw new CorruptRecordError(position, what);
  }
}

function timeAt(view: DataView, at: number): bigint | null {
  const us = view.getBigInt64(at, true);
  return us === NO_WATERMARK ? null : us;
}

function markedBytes(markedUs: bigint | null): Uint8Array {
  return new Uint8Array(BigInt64Array.of(markedUs ?? NO_WATERMARK).buffer);
}

function eventsRecord(head: RecordHead, image: Uint8Array, rejects: Uint8Array): EventsRecord {
  return {
    kind: "events",
    position: head.position,
    stream: head.stream,
    partition: head.partition,
    schemaId: head.schemaId,
    receivedAtUs: head.receivedAtUs,
    watermarkUs: head.watermarkUs,
    ...(head.markedUs === undefined ? {} : { markedUs: head.markedUs }),
    rowCount: head.rowCount,
    duplicateCount: head.duplicateCount,
    rejects: decodeRejects(rejects),
    image,
  };
}

function controlRecord(head: RecordHead, code: number, body: Uint8Array): ControlRecord {
  return {
    kind: "control",
    position: head.position,
    receivedAtUs: head.receivedAtUs,
    control: controlOf(head.position, code),
    stream: head.stream === "" ? null : head.stream,
    body: strictText.decode(body),
  };
}

function controlOf(position: number, code: number): ControlKind {
  for (const [control, known] of Object.entries(CONTROL_CODES))
    // the keys of a Record<ControlKind, ...> literal are exactly the kinds
    if (known === code) return control as ControlKind;
  throw new CorruptRecordError(position, `control kind ${code} is not known here`, ADVICE_NEWER);
}

function checkedHeader(position: number, header: Uint8Array): DataView {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (header.length < 8 || view.getUint32(0, true) !== RECORD_MAGIC)
    throw new CorruptRecordError(position, "the header is not one of a log record");
  // a newer header may have another layout and checksum: say so before anything else
  const version = view.getUint8(4);
  if (version > RECORD_VERSION_MARKED)
    throw new CorruptRecordError(
      position,
      `record format version ${version} is newer than ${RECORD_VERSION_MARKED}, the newest known here`,
      ADVICE_NEWER,
    );
  if (version < RECORD_VERSION)
    throw new CorruptRecordError(
      position,
      `record format version ${version} is older than ${RECORD_VERSION}, the oldest known here`,
      ADVICE_OLDER,
    );
  const tailBytes = version === RECORD_VERSION_MARKED ? MARKED_BYTES : 0;
  const zeroed = header.slice();
  zeroed.fill(0, HEADER_HASH_AT, RECORD_HEADER_BYTES);
  if (
    header.length < RECORD_HEADER_BYTES ||
    header.length !==
      RECORD_HEADER_BYTES + view.getUint32(56, true) + view.getUint32(60, true) + tailBytes ||
    Bun.hash.xxHash3(zeroed) !== view.getBigUint64(HEADER_HASH_AT, true)
  )
    throw new CorruptRecordError(position, "the checksum of the header differs");
  if (getUint64(view, 8) !== position)
    throw new CorruptRecordError(position, `the header is of record ${getUint64(view, 8)}`);
  return view;
}

function squeezeImage(image: Uint8Array, packer: ImagePacker): Section {
  const parts = packer.pack(image);
  return parts === null ? squeeze(image) : { parts, rawBytes: image.length, form: "packed" };
}

/** A section as one frame where that pays, else as it is. */
function squeeze(raw: Uint8Array): Section {
  const frame = compressIfItPays(raw);
  return { parts: [frame ?? raw], rawBytes: raw.length, form: frame === null ? "plain" : "zstd" };
}

/** The bytes of a section, starting on a multiple of 8. `flag`: that of its form, 0 = plain. */
function unsqueeze(stored: Uint8Array, rawBytes: number, flag: number): Uint8Array {
  if (flag === FLAG_BODY_PACKED) return unpackImage(stored, rawBytes);
  if (flag !== 0) return decompress(stored, rawBytes);
  if (stored.length !== rawBytes) throw new Error(`${stored.length} bytes instead of ${rawBytes}`);
  return stored.byteOffset % 8 === 0 ? stored : stored.slice();
}

function storedBytes({ parts }: Section): number {
  return parts.reduce((bytes, part) => bytes + part.length, 0);
}

/** All parts in memory of their own: they may lie in memory that is used again. */
function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function setUint64(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is a position or a time`);
  view.setUint32(at, value % 0x1_0000_0000, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

function getUint64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
}
