// What requests with an Idempotency-Key were answered, or how far they came: kept so long that a request that is sent again is not carried out
// again (draft-ietf-httpapi-idempotency-key-header). A fold of the log's control records `answers` (log/answers-control.ts): new ones are in
// memory until a checkpoint has them, older ones are rows of state.db. Reads no clock. Who asks for them: engine-keys.ts.
import type { DecodeCursor } from "../event/decode.ts";
import type { AnswerError } from "./intake.ts";

/** What became of a request's body up to some record. Equal for a request and its repetition. */
export interface KeptAnswer {
  /** Hash of the Idempotency-Key, 16 bytes as hex. */
  readonly key: string;
  /** Hash of the body and its format, 16 bytes as hex. */
  readonly body: string;
  /** Sums over all records that took a part of the body. */
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** As the answer lists them (`listedErrors`). */
  readonly errors: readonly AnswerError[];
  /** The log position that the answer names. */
  readonly position: number;
  /** Null: the whole body is in the log. Else the rest begins here. */
  readonly cursor: DecodeCursor | null;
}

/** With its stream, and the time in µs of the log record that says it. */
export interface StoredAnswer extends KeptAnswer {
  readonly stream: string;
  readonly receivedAtUs: number;
}

/** How much of a stream is stored. */
export interface AnswersSum {
  readonly stream: string;
  readonly rows: number;
  readonly bytes: number;
}

/** Answers that a checkpoint has. Adapter: checkpoint/sqlite-answers.ts. */
export interface AnswerStore {
  find(stream: string, key: string): StoredAnswer | null;
  /** Of every stream that has any, configured or not. */
  sums(): readonly AnswersSum[];
}

/** What a checkpoint changes: those before `beforeUs` go, then these come, in the place of others with the same stream and key. */
export interface AnswersChange {
  readonly expiredAnswers: readonly { readonly stream: string; readonly beforeUs: number }[];
  readonly keptAnswers: readonly StoredAnswer[];
}

/** Bounds over all streams. */
export interface AnswersMax {
  /** Answers that are stored, and their bytes. */
  readonly rows: number;
  readonly bytes: number;
  /** Bytes that wait in memory for a checkpoint. */
  readonly waitingBytes: number;
}

/**
 * 46 a second for 24 hours; with some 350 bytes each they take 1.4 GB of state.db with its indexes. A save writes a page of 16 KB for each new key at
 * most: keys are meant for requests with many events. What waits: 100,000 answers without errors between two checkpoints, or 2,000 with 100 errors.
 */
export const ANSWERS_MAX: AnswersMax = {
  rows: 4_000_000,
  bytes: 1024 * 1024 * 1024,
  waitingBytes: 48 * 1024 * 1024,
};

/** How long answers are kept where a stream has no dedup_ttl, µs. */
const TTL_US = 24 * 3_600_000_000;

/** What an answer takes in memory beside its text, about. */
const ANSWER_BYTES = 250;
/** What an error's text takes beside its message. */
const ERROR_BYTES = 80;

export class KeptAnswers {
  readonly #store: AnswerStore | null;
  readonly #max: AnswersMax;
  readonly #ttlUs = new Map<string, number>();
  /** Since the last checkpoint was taken. */
  #fresh = new Map<string, StoredAnswer>();
  /** In a checkpoint that is not on disk yet. */
  #saving = new Map<string, StoredAnswer>();
  /** Requests that were answered with one, since the start. */
  replays = 0;
  /** The latest time of a look-up: refused requests leave no record, and what is too old must go nevertheless. */
  #askedUs = 0;
  #freshBytes = 0;
  #savingBytes = 0;
  /** Of what is stored, by stream, and of all. */
  #sums: readonly AnswersSum[] = [];
  #storedRows = 0;
  #storedBytes = 0;

  /** Without a store all stay in memory. */
  constructor(store: AnswerStore | null, max = ANSWERS_MAX) {
    this.#store = store;
    this.#max = max;
    this.#countStored();
  }

  /** `ttlUs`: how long answers of a stream are kept; null = a day. */
  addStream(stream: string, ttlUs: number | null): void {
    this.#ttlUs.set(stream, ttlUs ?? TTL_US);
  }

  /** What was said under a key within the stream's time before `nowUs`, or null. */
  find(stream: string, key: string, nowUs: number): KeptAnswer | null {
    this.#askedUs = Math.max(this.#askedUs, nowUs);
    const place = placeOf(stream, key);
    const found =
      this.#fresh.get(place) ?? this.#saving.get(place) ?? this.#store?.find(stream, key) ?? null;
    return found === null || found.receivedAtUs < this.#sinceUs(stream, nowUs) ? null : found;
  }

  /** Takes over what a log record of `receivedAtUs` says, in the order of the log. */
  keep(stream: string, receivedAtUs: number, answers: readonly KeptAnswer[]): void {
    for (const answer of answers) {
      const place = placeOf(stream, answer.key);
      const before = this.#fresh.get(place);
      this.#freshBytes += bytesOf(answer) - (before === undefined ? 0 : bytesOf(before));
      this.#fresh.set(place, { ...answer, stream, receivedAtUs });
    }
  }

  /** Why no request with a new key can be taken, or null. */
  get full(): "keys" | "checkpoint" | null {
    const { rows, bytes, waitingBytes } = this.#max;
    const waiting = this.#freshBytes + this.#savingBytes;
    if (this.rows >= rows || waiting + this.#storedBytes >= bytes) return "keys";
    return waiting >= waitingBytes ? "checkpoint" : null;
  }

  /** True when so much waits that a checkpoint should be taken now. */
  get isCheckpointDue(): boolean {
    return this.#freshBytes >= this.#max.waitingBytes / 2;
  }

  /** How many are kept. */
  get rows(): number {
    return this.#storedRows + this.#fresh.size + this.#saving.size;
  }

  /** What is new since the last call, and what is too old at `atUs`, or when an answer was last looked for; the caller saves it, then calls `saved`. */
  takeChange(atUs: number): AnswersChange {
    const nowUs = Math.max(atUs, this.#askedUs);
    const keptAnswers = [...this.#fresh.values()].filter(
      ({ stream, receivedAtUs }) => receivedAtUs >= this.#sinceUs(stream, nowUs),
    );
    for (const [place, answer] of this.#fresh) this.#saving.set(place, answer);
    this.#savingBytes += this.#freshBytes;
    this.#fresh = new Map();
    this.#freshBytes = 0;
    const expiredAnswers = this.#sums.map(({ stream }) => ({
      stream,
      beforeUs: this.#sinceUs(stream, nowUs),
    }));
    return { expiredAnswers, keptAnswers };
  }

  /** What `takeChange` gave is on disk. */
  saved(): void {
    if (this.#store === null) return;
    this.#countStored();
    this.#saving = new Map();
    this.#savingBytes = 0;
  }

  #countStored(): void {
    this.#sums = this.#store?.sums() ?? [];
    this.#storedRows = this.#sums.reduce((sum, { rows }) => sum + rows, 0);
    this.#storedBytes = this.#sums.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #sinceUs(stream: string, nowUs: number): number {
    return nowUs - (this.#ttlUs.get(stream) ?? TTL_US);
  }
}

function placeOf(stream: string, key: string): string {
  return `${stream}/${key}`;
}

function bytesOf({ errors }: KeptAnswer): number {
  return errors.reduce(
    (sum, { field, message }) => sum + ERROR_BYTES + message.length + (field?.length ?? 0),
    ANSWER_BYTES,
  );
}
