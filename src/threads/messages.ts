// What threads say to each other. Small plain objects; event data never travels in a message: bodies and images lie in the shared
// decode memory, outputs and checkpoint pages are transferred buffers. A message of this size costs 1.3 µs pipelined (measured), so
// there is no ring of atomics to get wrong.
import type { Outcome } from "../admit/intake.ts";
import type { Config } from "../config.ts";
import type { CheckpointChange } from "../checkpoint/store.ts";
import type { Reject } from "../event/reject.ts";
import type { ControlKind } from "../log/record.ts";
import type { PinnedFiles } from "../query/pin.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { EventSchema } from "../event/schema.ts";
import type { ViewOutput } from "../window/output.ts";

/** A stream or view of the configuration, checked: what threads need of it. */
export interface CheckedStream {
  readonly name: string;
  readonly schema: EventSchema;
  readonly dedupTtlUs: number | null;
  readonly dedupIdsMax: number;
  readonly outOfOrdernessUs: number;
  readonly maxFutureUs: number | null;
  readonly maxPastUs: number | null;
}

/** Everything that a thread starts with. Plain data: it is posted. */
export interface ThreadStart {
  readonly kind: "start";
  readonly config: Config;
  readonly streams: readonly CheckedStream[];
  readonly views: readonly ViewPlan[];
  readonly dataFolder: string;
  readonly jobId: string;
  /** 16 bytes: key of the id hashes. */
  readonly idKey: Uint8Array;
  readonly failpoint: string | null;
}

/** The thread's first failure: the process says it and ends (exit code 1); `advice` marks what an operator can mend (exit code 2). */
export interface Failed {
  readonly kind: "failed";
  readonly message: string;
  readonly advice: boolean;
}

export type MainToEngine =
  | ThreadStart
  | {
      readonly kind: "submit";
      readonly slot: number;
      readonly parts: number;
      readonly stream: string;
    }
  | {
      readonly kind: "pin";
      readonly id: number;
      readonly views: readonly string[];
      readonly late: boolean;
      readonly after: number;
    }
  | { readonly kind: "release"; readonly id: number }
  | { readonly kind: "stop" };

/** What the engine holds of a view at a pinned position. */
export interface EngineViewPin {
  readonly view: string;
  /** Ledger position up to which the engine no longer holds rows: files of exactly these epochs complete the images. */
  readonly coveredRows: number;
  readonly coveredLate: number;
  readonly images: readonly string[];
  readonly lateImages: readonly string[];
  readonly watermarkUs: string | null;
}

export interface ViewStatus {
  readonly view: string;
  readonly stream: string;
  readonly position: number;
  readonly accepted: number;
  readonly filtered: number;
  readonly late: number;
  readonly failed: number;
  readonly applied: number;
  readonly groups: number;
  readonly windows: number;
}

export interface StreamStatus {
  readonly stream: string;
  readonly watermarkUs: string | null;
  readonly newestEventTimeUs: string | null;
  readonly liveIds: number;
}

/** The engine's own figures, sent with pins and every second. */
export interface EngineStatus {
  /** Last position that admission decided, and last one that the views have folded. */
  readonly admitted: number;
  readonly position: number;
  readonly views: readonly ViewStatus[];
  readonly streams: readonly StreamStatus[];
  readonly foldBytes: number;
}

export type EngineToMain =
  | { readonly kind: "memory"; readonly memory: SharedArrayBuffer; readonly slotsBase: number }
  | {
      readonly kind: "started";
      readonly position: number;
      readonly notices: readonly string[];
      readonly replayed: number;
    }
  | Failed
  | {
      readonly kind: "sealed";
      readonly position: number;
      readonly outcomes: readonly Outcome[];
      readonly freed: readonly number[];
    }
  /** The id table of a stream is full: nothing of these requests was taken. */
  | {
      readonly kind: "full";
      readonly requests: readonly number[];
      readonly freed: readonly number[];
    }
  | {
      readonly kind: "pinned";
      readonly id: number;
      readonly position: number;
      readonly views: readonly EngineViewPin[];
      readonly status: EngineStatus;
    }
  | { readonly kind: "lagging"; readonly id: number; readonly position: number }
  | { readonly kind: "status"; readonly status: EngineStatus }
  | { readonly kind: "stopped" };

/** An admitted record on its way to the log: the image lies in the decode memory until the record is durable and folded. */
export type EngineToLog =
  | {
      readonly kind: "events";
      readonly position: number;
      readonly stream: string;
      readonly schemaId: number;
      readonly receivedAtUs: number;
      readonly rowCount: number;
      readonly duplicateCount: number;
      readonly rejects: readonly Reject[];
      readonly address: number;
      readonly storedBytes: number;
    }
  | {
      readonly kind: "control";
      readonly position: number;
      readonly receivedAtUs: number;
      readonly control: ControlKind;
      readonly stream: string | null;
      readonly body: string;
    }
  | { readonly kind: "memory"; readonly memory: SharedArrayBuffer };

export type LogToEngine = { readonly kind: "durable"; readonly position: number };

export type MainToLog =
  | ThreadStart
  | { readonly kind: "trim"; readonly position: number }
  | { readonly kind: "stop" };
export type LogToMain =
  | { readonly kind: "started"; readonly first: number; readonly last: number }
  | { readonly kind: "durable"; readonly position: number; readonly sizeBytes: number }
  /** After trimming. */
  | { readonly kind: "size"; readonly sizeBytes: number }
  | Failed
  | { readonly kind: "stopped" };

export type EngineToExport =
  | { readonly kind: "outputs"; readonly outputs: readonly ViewOutput[] }
  /** All outputs of every view up to `position` were sent. */
  | { readonly kind: "folded"; readonly position: number }
  | { readonly kind: "checkpoint"; readonly id: number; readonly change: CheckpointChange };

export type ExportToEngine =
  | {
      readonly kind: "covered";
      readonly view: string;
      readonly output: "rows" | "late";
      readonly position: number;
    }
  | { readonly kind: "checkpointed"; readonly id: number };

export type MainToExport =
  | ThreadStart
  | {
      readonly kind: "pin";
      readonly id: number;
      readonly streams: readonly string[];
      readonly deadLetters: boolean;
      readonly views: readonly {
        readonly view: string;
        readonly coveredRows: number;
        readonly coveredLate: number;
      }[];
    }
  | { readonly kind: "release"; readonly id: number }
  | { readonly kind: "durable"; readonly position: number }
  | { readonly kind: "stop" };

export type ExportToMain =
  | { readonly kind: "started" }
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
      readonly readers: readonly { readonly reader: string; readonly position: number }[];
    }
  | { readonly kind: "trim"; readonly position: number }
  | {
      readonly kind: "readers";
      readonly readers: readonly { readonly reader: string; readonly position: number }[];
    }
  | { readonly kind: "notice"; readonly text: string }
  | { readonly kind: "stopped" };
