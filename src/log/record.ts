// Nouns: what the log holds. A record is a batch of admitted events with its rejects and counts, or a control record. The log is
// the only truth: everything after it is a pure function of these values. codec.ts turns them into bytes and back.
import type { Reject } from "../event/reject.ts";

/** The source partition of events that name none: HTTP's own. */
export const DEFAULT_PARTITION = "";

/** A batch of admitted events. `image` is a batch image (kernels/abi.ts) cut to its stored bytes. */
export interface EventsRecord {
  readonly kind: "events";
  /** From 1, without gaps. */
  readonly position: number;
  readonly stream: string;
  /** The source partition that all its events come from: DEFAULT_PARTITION, or a name of 1 to PARTITION_NAME_BYTES_MAX bytes. */
  readonly partition: string;
  readonly schemaId: number;
  /** µs since the epoch, a multiple of 1,000, never below the record before. */
  readonly receivedAtUs: number;
  /** The stream's watermark after the record, µs; null = −∞. Never below that of a record before. */
  readonly watermarkUs: bigint | null;
  /**
   * Of a stream with punctuated watermarks: the highest min(event time, received_at) of the partition's events up to here that moved its
   * watermark, µs; null = none yet. Absent: every event moves it.
   */
  readonly markedUs?: bigint | null;
  readonly rowCount: number;
  readonly duplicateCount: number;
  /** Events refused by decode or admission: dead letters, every one of them. */
  readonly rejects: readonly Reject[];
  readonly image: Uint8Array;
}

/** What else decides results. The kinds of later releases are in the format already (design section 1). */
export type ControlKind =
  | "configuration"
  | "schema"
  | "clock_tick"
  | "partition_added"
  | "partition_connected"
  | "partition_disconnected"
  | "partition_paused"
  | "partition_resumed"
  | "reconcile"
  | "answers";

/** A control record. `body` is JSON text of the kind's own shape; for "configuration" the whole normalised configuration. */
export interface ControlRecord {
  readonly kind: "control";
  readonly position: number;
  readonly receivedAtUs: number;
  readonly control: ControlKind;
  /** The stream it is about, or null. */
  readonly stream: string | null;
  readonly body: string;
}

export type LogRecord = EventsRecord | ControlRecord;
