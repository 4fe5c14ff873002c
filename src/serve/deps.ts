// Nouns: what the HTTP routes need from the rest. main.ts implements these over threads; tests over memory. Routes own the wire
// (paths, headers, status codes), never what an event or an answer means.
import type { RejectReason } from "../event/reject.ts";
import type { QuestionParam } from "../query/wire.ts";
import type { ReconcileProgress, ReconcileReport } from "../reconcile/tally.ts";
import type { SavepointProgress, SavepointReport } from "../savepoint/savepoint.ts";
import type { MetricRegistry } from "./metrics.ts";

/** The path of ingest without a stream's name. */
export const EVENTS_PATH = "/v1/events";

/** The request header that names the source partition that events come from. */
export const PARTITION_HEADER = "Millrace-Source-Partition";

/** The request header that names a request, so that it is carried out once however often it is sent (draft-ietf-httpapi-idempotency-key-header). */
export const IDEMPOTENCY_HEADER = "Idempotency-Key";

/** `json`: one object, an array, or `{"events":[...]}`. `ndjson`: an object a line. */
export type BodyFormat = "json" | "ndjson";

/** A bad event, as the sender is told. At most `ANSWER_ERRORS_MAX` of them go out. */
export interface EventError {
  readonly index: number;
  readonly reason: RejectReason;
  readonly field: string | null;
  readonly message: string;
}

/** What became of a body's events: durable when this is given. The three counts add up to what was sent; all 0 = no events. */
export interface IngestAnswer {
  readonly kind: "answer";
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly errors: readonly EventError[];
  /** The log position that holds the last of them (0 when nothing was written). */
  readonly position: number;
  /** This was said before, to a request with the same Idempotency-Key: nothing was stored now. */
  readonly isReplay?: true;
}

/** A request that was not carried out: becomes application/problem+json. `detail` says what to do next. */
export interface Refusal {
  readonly kind: "refusal";
  readonly status: 400 | 401 | 403 | 404 | 405 | 408 | 409 | 413 | 415 | 422 | 429 | 500 | 503;
  /** Stable, for programs: `log_full`, `query_timeout`, ... */
  readonly code: string;
  readonly detail: string;
  /** Seconds for Retry-After; with 409, 429 and 503. */
  readonly retryAfterS?: number;
  /** More members of the problem: `{line: 1, column: 8}`. */
  readonly more?: Readonly<Record<string, string | number | boolean | null>>;
}

/**
 * One whole body, already decompressed, at most `BODY_BYTES_MAX` long. The pieces of `body` are the callee's from here on: they may be views
 * of larger buffers and are never written to again.
 */
export interface Offer {
  readonly stream: string;
  /** The source partition; "" when the request names none. */
  readonly partition: string;
  readonly body: readonly Uint8Array[];
  /** Of all pieces. */
  readonly bytes: number;
  readonly format: BodyFormat;
  /** The Idempotency-Key; absent: the request has none. */
  readonly key?: string;
}

/** Bodies in, counts out, after they are durable. */
export interface Ingest {
  /** Names of the streams, in the configuration's order. */
  readonly streams: readonly string[];
  /** `reply` is called once, at once or later. Never throws: what goes wrong is a Refusal. */
  submit(offer: Offer, reply: (answer: IngestAnswer | Refusal) => void): void;
}

export type AnswerFormat = "json" | "ndjson" | "csv";

export interface Question {
  readonly sql: string;
  readonly params: readonly QuestionParam[];
  readonly format: AnswerFormat;
  /** Wait until this log position is in the answer; null: the newest acknowledged. */
  readonly after: number | null;
  /** Who asks, for fairness between clients: an address. */
  readonly client: string;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
}

/** A finished answer: the bytes to send, in the format asked for, and the position that they state. */
export interface QuestionAnswer {
  readonly kind: "answer";
  readonly body: Uint8Array;
  readonly position: number;
  readonly rowCount: number;
}

/** SQL in, rows out. Never rejects: what goes wrong is a Refusal. */
export interface Questions {
  ask(question: Question): Promise<QuestionAnswer | Refusal>;
}

/** Windows of a view that start in [fromUs, toUs). */
export interface ReconcileRequest {
  readonly view: string;
  readonly fromUs: bigint;
  readonly toUs: bigint;
  /** Say what would be done. */
  readonly isDry: boolean;
}

/** Late events into final windows. Never rejects: what goes wrong is a Refusal, and windows that were told as done stay so. */
export interface Reconcile {
  start(
    request: ReconcileRequest,
    tell: (progress: ReconcileProgress) => void,
  ): { readonly outcome: Promise<ReconcileReport | Refusal> };
}

/** A copy of everything, into a folder of this machine. Never rejects: what goes wrong is a Refusal, and then nothing is left there. */
export interface Savepoints {
  start(
    to: string,
    tell: (progress: SavepointProgress) => void,
  ): { readonly outcome: Promise<SavepointReport | Refusal> };
}

/** How the appliance is, for /health and /ready. Cheap: asked at every probe. */
export interface Status {
  /** Events are accepted. */
  readonly ready: boolean;
  /** Nothing is broken: false when a view is suspended or a part has failed. */
  readonly healthy: boolean;
  /** What keeps it from being ready or healthy, a sentence each. */
  readonly problems: readonly string[];
  /** The last durable log position. */
  readonly position: number;
}

export interface ServeDeps {
  readonly ingest: Ingest;
  readonly questions: Questions;
  readonly reconcile: Reconcile;
  readonly savepoints: Savepoints;
  readonly status: () => Status;
  readonly metrics: MetricRegistry;
  /** SHA-256 of the key that requests must carry; null: none needed (loopback). */
  readonly keyHash: Uint8Array | null;
  readonly version: string;
  /** Views by name, for the index page. */
  readonly views: readonly string[];
  /** Files that connections may have open. A plain one has one; one that the library serves three. */
  readonly openFilesMax: number;
  /** How long a request may take to come in. */
  readonly requestTimeoutMs: number;
  /** Seconds without a byte, also of an answer that a client does not take, after which its connection is closed. */
  readonly idleTimeoutS: number;
  /** Prefix of made request ids, different at every start. */
  readonly requestIdPrefix: string;
  /** One line to the operator's log. */
  readonly logLine: (line: string) => void;
}
