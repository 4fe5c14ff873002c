// Verb: the last segment of a prefix and a data folder's own log -> whether both are one log. Positions alone do not say so: a copy of the folder that took
// events of its own has the same ones.
import { isMissingFile } from "../log/log-file.ts";
import type { EncodedRecord } from "../log/log.ts";
import { recordPieces, type LogMoment } from "../savepoint/copy-log.ts";
import type { Term } from "./owner.ts";
import { decodeSegment, encodeSegment, holderOf, type Segment } from "./segment.ts";
import { SEGMENT_BYTES_MAX } from "./ship-limits.ts";
import { StoreError, type ObjectStore } from "./store.ts";

/** What a prefix has of the log. */
interface StoredLog {
  readonly segments: readonly Segment[];
  readonly terms: readonly Term[];
  /** The position that is looked at, with those before it in its segment. */
  readonly until: number;
}

/**
 * The first position at which the records of that segment are not those of the data folder; null: there is none, as far as both have them (the log
 * may be trimmed that far, the segment gone or damaged). Rejects with StoreError; throws as `recordPieces`.
 */
export async function differsAt(
  store: ObjectStore,
  { segments, terms, until }: StoredLog,
  own: { readonly log: LogMoment; readonly jobId: string },
): Promise<number | null> {
  const holder = holderOf(until, segments, terms);
  if (holder === null) return null;
  const { segment, end } = holder;
  const mine = ownRecords(segment, own);
  const first = mine[0]?.position;
  if (first === undefined) return null;
  // a segment's bytes follow from its records: most times nothing has to be fetched
  if (encodeSegment(mine, segment.term).segment.sha256 === segment.sha256) return null;
  const stored = await storedRecords(store, segment);
  for (const record of stored.slice(0, end - segment.first)) {
    const one = mine[record.position - first];
    if (one !== undefined && !isSame(one, record)) return record.position;
  }
  return null;
}

/** The data folder's records at a segment's positions, as far as it has them. */
function ownRecords(
  { first, last }: Segment,
  { log, jobId }: { readonly log: LogMoment; readonly jobId: string },
): EncodedRecord[] {
  const from = Math.max(first, log.first);
  const to = Math.min(last, log.last);
  try {
    return [...recordPieces({ ...log, first: from, last: to }, jobId)].flat();
  } catch (error) {
    // trimmed since
    if (isMissingFile(error)) return [];
    throw error;
  }
}

async function storedRecords(store: ObjectStore, segment: Segment): Promise<EncodedRecord[]> {
  try {
    const bytes = await store.get(segment.key, SEGMENT_BYTES_MAX);
    if (bytes === null) return [];
    return decodeSegment(segment, bytes, segment.key);
  } catch (error) {
    if (error instanceof StoreError && error.fault === "damaged") return [];
    throw error;
  }
}

function isSame(one: EncodedRecord, other: EncodedRecord): boolean {
  return (
    Buffer.from(one.header).equals(other.header) && Buffer.from(one.payload).equals(other.payload)
  );
}
