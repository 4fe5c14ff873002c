// Nouns and pure verbs: segments of the log as objects. A segment is records in order, each as the log has it, with its own checksums (log/codec.ts); its key
// says the term, the first and last position, and the SHA-256 of its bytes. See ARCHITECTURE.md.
import { must } from "../base/assert.ts";
import { checkRecord, CorruptRecordError } from "../log/codec.ts";
import type { EncodedRecord } from "../log/log.ts";
import { endOf, type Term } from "./owner.ts";
import { StoreError } from "./store.ts";

export const LOG_KEYS = "log/";

export interface Segment {
  readonly key: string;
  readonly term: string;
  readonly first: number;
  readonly last: number;
  readonly sha256: string;
}

/** "MRSG", then the version of the segment's format. */
const MAGIC = 0x4753524d;
const SEGMENT_VERSION = 1;
const HEAD_BYTES = 8;
/** Before each record: u32 bytes of its header, u32 bytes of its payload. */
const LENGTHS_BYTES = 8;

const KEY = /^log\/(\d{6,}-[0-9a-f]{8})\/(\d{16})-(\d{16})-([0-9a-f]{64})$/;

export function sha256Of(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

export function encodeSegment(
  records: readonly EncodedRecord[],
  term: string,
): { readonly segment: Segment; readonly bytes: Uint8Array } {
  const size = ({ header, payload }: EncodedRecord): number =>
    LENGTHS_BYTES + header.length + payload.length;
  const bytes = new Uint8Array(records.reduce((sum, record) => sum + size(record), HEAD_BYTES));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, SEGMENT_VERSION, true);
  let at = HEAD_BYTES;
  for (const record of records) {
    const { header, payload } = record;
    view.setUint32(at, header.length, true);
    view.setUint32(at + 4, payload.length, true);
    bytes.set(header, at + LENGTHS_BYTES);
    bytes.set(payload, at + LENGTHS_BYTES + header.length);
    at += size(record);
  }
  const sha256 = sha256Of(bytes);
  const first = must(records[0], "a record").position;
  const last = must(records.at(-1), "a record").position;
  const digits = (position: number): string => String(position).padStart(16, "0");
  const key = `${LOG_KEYS}${term}/${digits(first)}-${digits(last)}-${sha256}`;
  return { segment: { key, term, first, last, sha256 }, bytes };
}

/** Null: the key is not a segment's. */
export function readSegmentKey(key: string): Segment | null {
  const [, term, first, last, sha256] = KEY.exec(key) ?? [];
  if (term === undefined || sha256 === undefined) return null;
  return { key, term, first: Number(first), last: Number(last), sha256 };
}

/** The records of a segment that was fetched. Throws StoreError when the bytes are not those that were put there, or hold a damaged record. */
export function decodeSegment(segment: Segment, bytes: Uint8Array, name: string): EncodedRecord[] {
  if (sha256Of(bytes) !== segment.sha256)
    throw new StoreError("damaged", `${name} is damaged (its SHA-256 does not fit)`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC)
    throw new StoreError("damaged", `${name} is not a segment of Millrace's log`);
  const version = view.getUint32(4, true);
  if (version !== SEGMENT_VERSION)
    throw new StoreError(
      "damaged",
      `${name} is of format ${version}, this release knows ${SEGMENT_VERSION}: use the release that wrote it`,
    );
  const records: EncodedRecord[] = [];
  try {
    for (let at = HEAD_BYTES; at < bytes.length;) {
      const payloadAt = at + LENGTHS_BYTES + view.getUint32(at, true);
      const end = payloadAt + view.getUint32(at + 4, true);
      const position = segment.first + records.length;
      const header = bytes.slice(at + LENGTHS_BYTES, payloadAt);
      const payload = bytes.slice(payloadAt, end);
      const { receivedAtUs } = checkRecord({ position, header, payload });
      records.push({ position, receivedAtUs, header, payload });
      at = end;
    }
  } catch (error) {
    if (!(error instanceof CorruptRecordError || error instanceof RangeError)) throw error;
    throw new StoreError("damaged", `${name} is damaged (${error.message})`);
  }
  if (segment.first + records.length - 1 !== segment.last)
    throw new StoreError("damaged", `${name} is damaged (it has ${records.length} records)`);
  return records;
}

/** A run of the log in the store. */
export interface Run {
  /** In order, each beginning at or before the end of the one before it. `end`: the first position that is not to be taken of it. */
  readonly segments: readonly { readonly segment: Segment; readonly end: number }[];
  /** The last position of the run; `from - 1`: it is empty. */
  readonly last: number;
}

/** The segments that hold the log from `from` on without a gap, by what each term may say. Pure. */
export function runFrom(from: number, listed: readonly Segment[], terms: readonly Term[]): Run {
  const usable = counted(listed, terms).toSorted(
    (a, b) => a.segment.first - b.segment.first || b.end - a.end,
  );
  const segments: { segment: Segment; end: number }[] = [];
  let next = from;
  for (const one of usable) {
    if (one.segment.first > next) break;
    if (one.end <= next) continue;
    segments.push(one);
    next = one.end;
  }
  return { segments, last: next - 1 };
}

/** The last position that the store has in any segment that counts; 0: none. */
export function lastStored(listed: readonly Segment[], terms: readonly Term[]): number {
  return counted(listed, terms).reduce((last, { end }) => Math.max(last, end - 1), 0);
}

/** The segment that says what is at a position, and its end; null: none does. Pure. */
export function holderOf(
  position: number,
  listed: readonly Segment[],
  terms: readonly Term[],
): { readonly segment: Segment; readonly end: number } | null {
  const isHolder = ({ segment, end }: { segment: Segment; end: number }): boolean =>
    segment.first <= position && position < end;
  return counted(listed, terms).findLast(isHolder) ?? null;
}

function counted(
  listed: readonly Segment[],
  terms: readonly Term[],
): { readonly segment: Segment; readonly end: number }[] {
  return listed.flatMap((segment) => {
    const limit = endOf(segment.term, terms);
    return limit === null || segment.first >= limit
      ? []
      : [{ segment, end: Math.min(segment.last + 1, limit) }];
  });
}
