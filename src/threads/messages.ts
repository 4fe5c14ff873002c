// What threads say to each other. Small plain objects; event data never travels in a message: bodies and images lie in the shared
// decode memory, outputs and checkpoint pages in shared buffers of their own. A message of this size costs 1.3 µs pipelined (measured), so
// there is no ring of atomics to get wrong.
import type { AdmissionFull } from "../admit/admission.ts";
import type { ControlDraft } from "../admit/applied.ts";
import type { AnswerError } from "../admit/intake.ts";
import type { Config } from "../config.ts";
import type { Engine } from "../engine.ts";
import type { EngineStream } from "../engine-options.ts";
import type { Coverage } from "../table/exporter.ts";
import type { LedgerWriter } from "../table/ledger.ts";
import type { OnTableAhead } from "../table/recovery.ts";
import type { GenerationsChange } from "../checkpoint/sealer.ts";
import type { CheckpointChange } from "../checkpoint/store.ts";
import type { KeyDecision } from "../engine-keys.ts";
import type { PastPage } from "../engine-laggards.ts";
import type { SealedRecord } from "../engine-records.ts";
import type { ControlRecord } from "../log/record.ts";
import type { PastMessage } from "./past-messages.ts";
import type { PinnedChange, PinnedFiles } from "../query/pin.ts";
import type { Accounts } from "../reader/accounting.ts";
import type { SavepointOrder, SavepointProgress, SavepointReport } from "../savepoint/savepoint.ts";
import type { ReconcileOrder, ReconcileProgress, ReconcileReport } from "../reconcile/tally.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { ViewOutput } from "../window/output.ts";
import type { RecordedRange } from "../window/reconciled.ts";

/** Everything that a thread starts with. Plain data: it is posted. */
export interface ThreadStart {
  readonly kind: "start";
  readonly config: Config;
  readonly streams: readonly EngineStream[];
  readonly views: readonly ViewPlan[];
  /** The whole configuration as text, normalised: goes into its control record. */
  readonly configurationText: string;
  readonly dataFolder: string;
  readonly jobId: string;
  /** 16 bytes: key of the id hashes. */
  readonly idKey: Uint8Array;
  readonly onTableAhead: OnTableAhead;
  readonly failpoint: string | null;
}

/** The thread's first failure: the process says it and ends (exit code 1); `advice` marks what an operator can mend (exit code 2). */
export interface Failed {
  readonly kind: "failed";
  readonly message: string;
  readonly advice: boolean;
}

/** The engine starts last: it also has what log and export found. */
export interface EngineStart extends Omit<ThreadStart, "kind"> {
  readonly kind: "start engine";
  readonly covered: readonly Coverage[];
  /** Everything that the ledger knows, of streams and views that are no longer configured too. */
  readonly writers: readonly LedgerWriter[];
  readonly readers: readonly ReaderPosition[];
  readonly lastReceivedAtUs: number;
}

/** How far a reader is: what it has taken in, and what of it would survive a crash without the log. */
export interface ReaderPosition {
  readonly reader: string;
  readonly position: number;
  readonly durable: number;
}

/**
 * Outcomes of the requests in one record, packed: a message of 64 objects costs more than the events in it. It travels with the record,
 * so that main hears of outcomes and durability at once.
 */
export interface Answers {
  /** ANSWER_WORDS a request: its number, accepted, duplicates, rejected, 1 when no part of it follows. */
  readonly counts: Int32Array;
  /** For requests with rejects: ordinal in `counts`, and the errors. */
  readonly errors: readonly { readonly ordinal: number; readonly errors: readonly AnswerError[] }[];
  /** How many slots these are the last outcomes of; the large one is not counted. */
  readonly slots: number;
}

export const ANSWER_WORDS = 5;

export type MainToEngine =
  | EngineStart
  | {
      readonly kind: "submit";
      readonly slot: number;
      readonly parts: number;
      readonly stream: string;
      /** Names of source partitions; the slot's parts give the number of theirs. */
      readonly partitions: readonly string[];
      /** Of the requests that have an Idempotency-Key. */
      readonly keys: readonly { readonly request: number; readonly key: string }[];
    }
  /** Producers are refused from now on since the log has no room or we stop, or no longer. */
  | { readonly kind: "hold"; readonly isHeld: boolean }
  | {
      readonly kind: "pin";
      readonly id: number;
      readonly views: readonly string[];
      readonly late: boolean;
      readonly after: number;
      /** Whether the question names `after`: otherwise it sees what there is while views wait for their tables. */
      readonly mustReach: boolean;
    }
  | { readonly kind: "release"; readonly id: number }
  /** A control record for the log: the answer is its position. */
  | { readonly kind: "control"; readonly id: number; readonly control: ControlDraft }
  /** What the raw table has for a view that goes on. */
  | { readonly kind: "past"; readonly page: PastPage }
  | { readonly kind: "stop" };

/** What the engine holds of a view at a pinned position. */
export interface EngineViewPin {
  readonly view: string;
  /** The epochs up to which the engine no longer holds outputs: files of exactly these complete the images. */
  readonly rowsEpoch: number;
  readonly lateEpoch: number;
  readonly images: readonly string[];
  /** Where outputs change others: all that are held, in order. They are not in `images` then. */
  readonly changes: readonly PinnedChange[];
  readonly lateImages: readonly string[];
  readonly watermarkUs: string | null;
}

/** "given up": suspended, and its state is gone. */
export type ReaderState = "running" | "catching up" | "suspended" | "given up";

export interface ViewStatus {
  readonly view: string;
  readonly state: ReaderState;
  /** What its rows are of. */
  readonly position: number;
  /** The log position after which it counts events. */
  readonly since: number;
  readonly accepted: number;
  readonly filtered: number;
  readonly late: number;
  readonly failed: number;
  readonly applied: number;
  readonly pending: number;
  readonly groups: number;
  readonly windows: number;
}

/** A source partition; times in µs as decimal text. */
export interface PartitionStatus {
  readonly partition: string;
  readonly state: "connected" | "idle" | "disconnected" | "paused";
  readonly watermarkUs: string | null;
  readonly newestEventTimeUs: string | null;
  /** When it falls idle if nothing comes. */
  readonly idleAtUs: string | null;
}

export interface StreamStatus {
  readonly stream: string;
  readonly movedBy: ReturnType<Engine["movedBy"]>;
  /** As admission has it: that of the views is in `Accounts`. */
  readonly watermarkUs: string | null;
  readonly newestEventTimeUs: string | null;
  readonly liveIds: number;
  /** Ids on disk. */
  readonly sealedIds: number;
  readonly partitions: readonly PartitionStatus[];
}

/** The engine's own figures, sent with pins and every second. */
export interface EngineStatus {
  /** Last position that admission decided, and last one that the views have folded. */
  readonly admitted: number;
  readonly position: number;
  readonly views: readonly ViewStatus[];
  readonly streams: readonly StreamStatus[];
  readonly accounts: Accounts;
  /** Views that stopped: after which position, and why. */
  readonly suspended: readonly {
    readonly view: string;
    readonly at: number;
    readonly reason: string;
    /** Null: it gave its state back and does not go on. */
    readonly boundBytes: number | null;
    /** Whether it folds what it passed, and will go on with the others. */
    readonly isCatchingUp: boolean;
  }[];
  readonly foldBytes: number;
  /** Of requests with an Idempotency-Key: how many are kept, and how many were answered again since the start. */
  readonly keys: { readonly kept: number; readonly replays: number };
  /** Bytes of outputs that no table's ledger covers, and whether the views wait until tables take some. */
  readonly pendingOutputBytes: number;
  readonly isWaiting: boolean;
  /** The longest steps of its thread since the start, µs. */
  readonly longest: {
    readonly catchUpUs: number;
    readonly checkpointUs: number;
    readonly pictureUs: number;
  };
}

/** What a key can decide without its body being carried out. */
export type DecidedByKey = Exclude<KeyDecision, { kind: "go on" }>;

export type EngineToMain =
  | { readonly kind: "memory"; readonly memory: SharedArrayBuffer; readonly slotsBase: number }
  | {
      readonly kind: "started";
      readonly position: number;
      readonly notices: readonly string[];
      readonly replayed: number;
    }
  | Failed
  /**
   * Bodies, or ends of bodies, without any event: they are in no record. `after`: the last position that may hold an earlier part of one of them
   * (0: none does), to be answered once that is durable.
   */
  | { readonly kind: "empty"; readonly after: number; readonly answers: Answers }
  /** The id table of a stream is full: nothing of these requests was taken. */
  | {
      readonly kind: "full";
      readonly reason: AdmissionFull["reason"];
      readonly requests: readonly number[];
      readonly slots: number;
    }
  /** The key of a request decides: nothing of it was taken. */
  | {
      readonly kind: "decided";
      readonly request: number;
      readonly decision: DecidedByKey;
      readonly slots: number;
    }
  /** All events of these slots are in records: others may go in, long before the records are durable. */
  | { readonly kind: "emptied"; readonly slots: readonly number[] }
  | {
      readonly kind: "pinned";
      readonly id: number;
      readonly position: number;
      readonly views: readonly EngineViewPin[];
      /** At `position`, as `reconciled` is; the status is of now. */
      readonly accounts: Accounts;
      readonly reconciled: readonly RecordedRange[];
      readonly status: EngineStatus;
    }
  | { readonly kind: "lagging"; readonly id: number; readonly position: number }
  /** The images of a pin could not be written. */
  | { readonly kind: "no picture"; readonly id: number; readonly message: string }
  | PastMessage
  | { readonly kind: "appended"; readonly id: number; readonly position: number }
  | { readonly kind: "status"; readonly status: EngineStatus }
  | { readonly kind: "stopped" };

/** An admitted record on its way to the log: the image lies in the decode memory until the record is durable and folded. */
export type EngineToLog =
  | (SealedRecord & {
      readonly kind: "events";
      readonly answers: Answers;
      /** What is kept of requests with keys: must be durable with the events, or neither. */
      readonly kept: ControlRecord | null;
    })
  | ControlRecord
  | { readonly kind: "memory"; readonly memory: SharedArrayBuffer };

export type LogToEngine = { readonly kind: "durable"; readonly position: number };

export type MainToLog =
  | ThreadStart
  | { readonly kind: "trim"; readonly position: number }
  | { readonly kind: "stop" };
/** Bytes of the log on disk, and whether events may be taken. */
export interface LogRoom {
  readonly sizeBytes: number;
  readonly hasRoom: boolean;
}

export type LogToMain =
  | ({
      readonly kind: "started";
      readonly last: number;
      readonly lastReceivedAtUs: number;
    } & LogRoom)
  | ({
      readonly kind: "durable";
      readonly position: number;
      /** Of all records that became durable. */
      readonly answers: readonly { readonly position: number; readonly answers: Answers }[];
    } & LogRoom)
  /** After trimming. */
  | ({ readonly kind: "room" } & LogRoom)
  /** Trimmed files by their first positions: the export thread unlinks them, since a busy disk may take 100 ms for it. */
  | { readonly kind: "discard"; readonly firsts: readonly number[] }
  | Failed
  | { readonly kind: "stopped" };

/** To the thread of one reconcile run: the order, then the answer to each of its wishes. */
export type ToReconcile =
  | { readonly kind: "order"; readonly order: ReconcileOrder }
  /** The answer to a question, as /v1/sql gives it. */
  | { readonly kind: "rows"; readonly body: Uint8Array }
  | { readonly kind: "published"; readonly position: number }
  | { readonly kind: "refused"; readonly message: string };

export type FromReconcile =
  | { readonly kind: "ask"; readonly sql: string; readonly after: number | null }
  | { readonly kind: "publish"; readonly control: ControlDraft }
  | { readonly kind: "progress"; readonly progress: ReconcileProgress }
  | { readonly kind: "done"; readonly report: ReconcileReport }
  | { readonly kind: "failed"; readonly message: string; readonly isTheirs: boolean };

/** To the thread of one savepoint. */
export type ToSavepoint =
  | { readonly kind: "order"; readonly order: SavepointOrder; readonly failpoint: string | null }
  | { readonly kind: "frozen" }
  | { readonly kind: "give up" };

export type FromSavepoint =
  | { readonly kind: "freeze" }
  | { readonly kind: "thaw" }
  | { readonly kind: "progress"; readonly progress: SavepointProgress }
  | { readonly kind: "done"; readonly report: SavepointReport }
  | { readonly kind: "failed"; readonly message: string; readonly isTheirs: boolean };

export type EngineToExport =
  | { readonly kind: "generations taken" }
  | { readonly kind: "outputs"; readonly outputs: readonly ViewOutput[] }
  /** All outputs of every view up to `position` were sent. */
  | {
      readonly kind: "folded";
      readonly position: number;
      /** µs as decimal text, by stream; streams without an event are left out. */
      readonly watermarks: ReadonlyMap<string, string>;
      /** Views that stopped, and where: their outputs are those up to there. */
      readonly stopped: ReadonlyMap<string, number>;
      /** The first position that one of them needs to go on; null: none may. */
      readonly wanted: number | null;
    }
  /** Pages of the fold memory lie one after the other in `rooms`, which are the engine's again once it is saved. */
  | {
      readonly kind: "checkpoint";
      readonly change: Omit<CheckpointChange, "pages">;
      readonly pages: {
        readonly numbers: Uint32Array;
        readonly rooms: readonly SharedArrayBuffer[];
      };
    };

export type ExportToEngine =
  | { readonly kind: "covered"; readonly covered: readonly Coverage[] }
  | { readonly kind: "checkpointed" }
  /** A stream's sealed ids have changed; the engine answers "generations taken". */
  | ({ readonly kind: "generations" } & GenerationsChange);

export type MainToExport =
  | ThreadStart
  | {
      readonly kind: "pin";
      readonly id: number;
      readonly streams: readonly string[];
      readonly deadLetters: boolean;
      readonly views: readonly {
        readonly view: string;
        readonly rowsEpoch: number;
        readonly lateEpoch: number;
      }[];
    }
  | { readonly kind: "release"; readonly id: number }
  | { readonly kind: "discard"; readonly firsts: readonly number[] }
  /** For a savepoint: nothing is written until "thaw", nothing is unlinked until "let go". */
  | { readonly kind: "freeze" }
  | { readonly kind: "thaw" }
  | { readonly kind: "let go" }
  | { readonly kind: "stop" };

export type ExportToMain =
  | {
      readonly kind: "started";
      readonly covered: readonly Coverage[];
      readonly writers: readonly LedgerWriter[];
      readonly readers: readonly ReaderPosition[];
    }
  | Failed
  | {
      readonly kind: "pinned";
      readonly id: number;
      readonly streams: readonly {
        readonly stream: string;
        readonly raw: PinnedFiles;
        readonly coveredPosition: number;
      }[];
      readonly views: readonly { readonly view: string; readonly rows: PinnedFiles }[];
      readonly lateEvents: PinnedFiles;
      readonly deadLetters: { readonly files: PinnedFiles; readonly coveredPosition: number };
      readonly readers: readonly ReaderPosition[];
    }
  | { readonly kind: "frozen" }
  /** Up to `wanted` (exclusive) nobody needs the log, up to `position` nobody but views that stopped. */
  | { readonly kind: "trim"; readonly position: number; readonly wanted: number | null }
  | { readonly kind: "readers"; readonly readers: readonly ReaderPosition[] }
  | { readonly kind: "notice"; readonly text: string }
  /** All that is wrong with tables now; empty when it is over. */
  | { readonly kind: "problems"; readonly problems: readonly string[] }
  | { readonly kind: "stopped" };
