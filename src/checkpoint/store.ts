// Nouns: what a checkpoint holds and how it changes. A checkpoint is the state of all readers of the log at their positions, saved in
// one transaction, so that a start finds either the whole one before or the whole one after. Adapter: sqlite-store.ts.
import type { AnswersChange, StoredAnswer } from "../admit/kept-answers.ts";
import type { ClosedPart, ClosedWindow, DroppedParts } from "../window/closed-part.ts";
import type { ViewOutput } from "../window/output.ts";

/** A reader (admission, a view, an export): its fold contains the log up to `position`; `body` is the reader's own format. */
export interface ReaderCheckpoint {
  readonly name: string;
  readonly position: number;
  readonly body: Uint8Array;
}

/** A page of state memory. `space` names a memory ("fold"), `page` counts from 0 within it. */
export interface StatePage {
  readonly space: string;
  readonly page: number;
  readonly bytes: Uint8Array;
}

/** Ids that admission accepted between two checkpoints: written once, dropped whole when their time has passed. */
export interface IdSegment {
  readonly stream: string;
  readonly newestReceivedAtUs: number;
  readonly bytes: Uint8Array;
}

/** A segment with the number that the store gave it: higher for those saved later. */
export interface NumberedSegment {
  readonly number: number;
  readonly segment: IdSegment;
}

/** What one checkpoint changes against the one before. Removals are carried out first, so that a change may replace what it removes. */
export interface CheckpointChange extends AnswersChange {
  /** Readers that moved. A position never goes back. */
  readonly readers: readonly ReaderCheckpoint[];
  /** Readers that are gone, such as removed views. */
  readonly removedReaders: readonly string[];
  /** Pages that were touched: whole. */
  readonly pages: readonly StatePage[];
  /** Pages that hold nothing any more. Freeing one that was never saved is fine. */
  readonly freedPages: readonly { readonly space: string; readonly page: number }[];
  /** Outputs since the last checkpoint, each once. */
  readonly outputs: readonly ViewOutput[];
  /** Outputs of `view` and `kind` up to and including `position` are in the table's ledger: they are dropped. */
  readonly coveredOutputs: readonly {
    readonly view: string;
    readonly kind: ViewOutput["kind"];
    readonly position: number;
  }[];
  /** Ids accepted since the last checkpoint. */
  readonly segments: readonly IdSegment[];
  /** Segments of `stream` whose newest id was received before `beforeUs` are dropped. */
  readonly expiredSegments: readonly { readonly stream: string; readonly beforeUs: number }[];
  /** Segments of `stream` up to and including `through` are in a sealed generation: they are dropped. */
  readonly sealedSegments: readonly { readonly stream: string; readonly through: number }[];
  /** Groups of closed windows that left memory. */
  readonly closedParts: readonly ClosedPart[];
  readonly droppedParts: readonly DroppedParts[];
}

/** The newest whole checkpoint. Pages, segments and answers are read while they are iterated, each list once, before the first `save`. */
export interface LoadedCheckpoint {
  readonly readers: readonly ReaderCheckpoint[];
  /** In the order in which they were saved. */
  readonly outputs: readonly ViewOutput[];
  /** By space, then by page. */
  readonly pages: Iterable<StatePage>;
  /** Stream by stream, each in the order in which they were saved. */
  readonly segments: Iterable<IdSegment>;
  /** Closed windows with groups outside of memory, by view and start. */
  readonly closedWindows: readonly ClosedWindow[];
  /** In the order in which their keys came first. */
  readonly answers: Iterable<StoredAnswer>;
}

/** A change that changes nothing: spread it and fill in what does. */
export const NO_CHANGE: CheckpointChange = {
  readers: [],
  removedReaders: [],
  pages: [],
  freedPages: [],
  outputs: [],
  coveredOutputs: [],
  segments: [],
  expiredSegments: [],
  sealedSegments: [],
  closedParts: [],
  droppedParts: [],
  expiredAnswers: [],
  keptAnswers: [],
};

/** What a new store loads. */
export const NO_CHECKPOINT: LoadedCheckpoint = {
  readers: [],
  outputs: [],
  pages: [],
  segments: [],
  closedWindows: [],
  answers: [],
};

/** Where checkpoints are kept: one store per data folder, used by one thread at a time. */
export interface CheckpointStore {
  /** Throws CheckpointError when what is stored is damaged. The iterables throw it too. */
  load(): LoadedCheckpoint;
  /** What a reader saved last; null = nothing. Throws CheckpointError when it is damaged. */
  reader(name: string): ReaderCheckpoint | null;
  /** Of all readers in it, in order. */
  readerNames(): string[];
  /** The oldest segment of a stream whose number is above `after`, with its number; null = none. Throws CheckpointError. */
  segmentAfter(stream: string, after: number): NumberedSegment | null;
  /** Bytes of all segments of a stream. */
  segmentBytes(stream: string): number;
  /** Durable when it returns. Throws CheckpointFailedError at the first failure of the disk and ever after. */
  save(change: CheckpointChange): void;
  /**
   * Merges what was saved since the last time into the whole: called between saves, or the disk fills. Nothing is lost or gained by it. Throws as
   * `save`.
   */
  merge(): void;
  /** Bytes on disk. */
  sizeBytes(): number;
  close(): void;
}

/** Operating error: the stored checkpoint is foreign, damaged or of a newer format. The message says what to do. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
}

/** Thrown by `save` at the first failure and ever after: the process must end. */
export class CheckpointFailedError extends Error {
  override readonly name = "CheckpointFailedError";
}
