// Nouns: what an engine is made of. What its steps take and give: engine-records.ts.
import type { GenerationFolder } from "./admit/admission.ts";
import type { HashKey } from "./admit/checkpoint.ts";
import type { AnswerStore } from "./admit/kept-answers.ts";
import type { EventSchema } from "./event/schema.ts";
import type { ViewPlan } from "./view/plan.ts";
import type { ClosedParts } from "./window/closed-part.ts";
import type { ViewOptions } from "./window/suspension.ts";

/** Compiled kernel modules. */
export interface KernelModules {
  readonly decode: Uint8Array;
  readonly admit: Uint8Array;
  readonly fold: Uint8Array;
}

/** A stream of the configuration with its schema. Durations in µs; null = not configured. */
export interface EngineStream {
  readonly name: string;
  readonly schema: EventSchema;
  readonly dedupTtlUs: number | null;
  readonly dedupIdsMax: number;
  readonly dedupDiskMaxBytes: number;
  readonly outOfOrdernessUs: number;
  readonly idleAfterUs: number | null;
  /** A plan whose filter says which events move the watermark; absent: every one does. */
  readonly punctuated?: ViewPlan;
  readonly maxFutureUs: number | null;
  readonly maxPastUs: number | null;
}

/** A view and the log position after which it counts events. */
export interface EngineView extends ViewOptions {
  readonly plan: ViewPlan;
}

export interface EngineOptions {
  readonly modules: KernelModules;
  readonly idKey: HashKey;
  readonly generations?: GenerationFolder; // absent = ids are never sealed
  readonly keptAnswers?: AnswerStore; // absent = they stay in memory
  readonly closedParts?: ClosedParts; // absent = closed windows never leave memory
  readonly streams: readonly EngineStream[];
  /** Bytes to reserve in the decode memory for bodies: threads put them there, `bodiesBase` says where. */
  readonly bodiesBytes: number;
}
