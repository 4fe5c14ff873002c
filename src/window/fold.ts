// Nouns: what `Windows` needs of the fold of one view, whatever its windows are: ViewFold (tumble, hop), and the others beside it.
// A fold holds the view's open state in pages of the fold memory; it knows nothing of checkpoints.
import type { ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import type { ChangedRows } from "./changes.ts";
import type { PartialWindow } from "./closed-windows.ts";
import type { CompiledView, StreamShape } from "./compile.ts";
import type { RowsImage } from "./images.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import type { PageMeter } from "./page-meter.ts";
import type { ProgramArea } from "./program.ts";
import type { SharedPrograms } from "./shared-program.ts";
import type { Spill } from "./spill.ts";

/** What a view must know of a record. */
export interface RecordFacts {
  readonly position: number;
  readonly receivedAtUs: number;
  /** The stream's watermark after the record, µs; null = −∞. It never goes back. */
  readonly watermarkUs: bigint | null;
}

/**
 * Where a view's events went. accepted = filtered + late + failed + applied + pending: each event in the first class that fits. `failed`
 * ones are in the result with a NULL that stands for an error; `pending` ones are in open windows, `applied` ones in closed windows.
 */
export interface ViewCounts {
  accepted: number;
  filtered: number;
  late: number;
  failed: number;
  applied: number;
  pending: number;
}

export const NO_EVENTS: ViewCounts = {
  accepted: 0,
  filtered: 0,
  late: 0,
  failed: 0,
  applied: 0,
  pending: 0,
};

/** Why and where a view stopped. */
export interface Suspension {
  /** The last log position that the view has folded. */
  readonly at: number;
  /** A sentence for the operator, with what to do. */
  readonly reason: string;
  /** The bound that it went beyond: with a higher one it may go on. 0: with any; null: with none. */
  readonly boundBytes: number | null;
  /** How far it has passed records since, and all its counts; absent: its state was given back. */
  readonly passed?: { readonly position: number; readonly counts: Readonly<ViewCounts> };
  /**
   * The records that it passed which reconcile its windows; absent: there was none. They are of a run that was under way, since none begins for a view that
   * stopped. A checkpoint of before has the last one alone.
   */
  readonly reconciledAt?: number | readonly number[];
}

/** What a view keeps outside of pages; goes into the root of a checkpoint. */
export interface ViewState {
  /** Address of the view's root page. */
  readonly root: number;
  readonly position: number;
  /** The stream's watermark after the last record, µs; null = −∞. */
  readonly watermarkUs: bigint | null;
  readonly counts: Readonly<ViewCounts>;
  /** Present: the view stopped. */
  readonly suspended?: Suspension;
  /** received_at of the last record that put corrections out, µs; absent where there was none. */
  readonly correctedAtUs?: number;
  /** Rows that late events corrected are not put out again yet. */
  readonly waits?: true;
  /** Closed windows, of a hop: panes, that are in pages in part; the others of them are whole. */
  readonly closed?: readonly PartialWindow[];
  /** The same of a hop's marks. */
  readonly closedMarks?: readonly PartialWindow[];
}

/** Open groups of a view, for /metrics. */
export interface ViewStats {
  readonly windows: number;
  readonly groups: number;
  readonly bytes: number;
}

/** Images of one open window, made again only when its version changed. */
export interface OpenWindow {
  readonly startUs: bigint;
  readonly version: number;
  readonly images: readonly RowsImage[];
}

/** Where a fold works: the memory, the area of it that holds programs, and who takes how many pages. */
export interface FoldPlace {
  readonly memory: FoldMemory;
  readonly area: ProgramArea;
  readonly meter: PageMeter;
  readonly spill: Spill;
}

/** What a fold folds: a plan over the images of a stream. */
export interface FoldView {
  readonly plan: ViewPlan;
  readonly shape: StreamShape;
}

/** A rollup as the view below it knows it. */
export interface Upper {
  /** Merges a window of the view below, which closes now: its header. */
  merge(window: number): void;
  /**
   * Folds late events that correct closed windows of the view below, which were merged: the first `selected` rows and windows (those
   * below) of the work area.
   */
  correct(compiled: CompiledView, selected: number): void;
}

/** A view that rollups may be made of. */
export interface Lower {
  readonly counts: Readonly<ViewCounts>;
  readonly position: number;
  /** From now on `upper` is told of each window that closes. */
  addUpper(upper: Upper): void;
  /** `upper` is told nothing more. */
  removeUpper(upper: Upper): void;
  /** Headers of the windows that no rollup has merged yet: those of this view, then those below. */
  unmerged(): number[];
}

/** The fold of one view over the records of its stream. */
export interface Fold {
  readonly plan: ViewPlan;
  readonly counts: Readonly<ViewCounts>;
  /** The position that it has folded. */
  readonly position: number;
  /** Ordinal of `_behind` in the stream's images. */
  readonly behindColumn: number;
  /** What goes into the root of a checkpoint, as it is now. */
  readonly state: ViewState;
  /** The stream's watermark after the last record, µs; null = −∞. */
  readonly watermarkUs: bigint | null;
  /**
   * Gets the program for a batch ready, which leaves to `sharing` (null: nobody) what other views may ask too; gives the ordinals of the columns
   * to load, or null when the program area is full.
   */
  prepare(batch: Batch, sharing: SharedPrograms | null): readonly number[] | null;
  /** Forgets programs: the program area was cleared. */
  forgetPrograms(): void;
  /** Passes a record of another stream. */
  skip(position: number): void;
  /** Takes a record of the view's stream that has no events: only the watermark may have moved. Gives what that closes. */
  advance(record: RecordFacts): ViewOutput[];
  /** Folds a batch whose columns are loaded, after `prepare` for it. */
  fold(batch: Batch, record: RecordFacts): ViewOutput[];
  /**
   * The open windows as images; those that did not change since the last call are the same objects. By steps, all of which must be taken:
   * between them nothing is folded and nobody uses scratch.
   */
  openWindows(): Generator<void, OpenWindow[]>;
  /** Rows of closed windows that late events changed since they were put out last, and those that are no longer part of the view. */
  corrected(): ChangedRows[];
  /** From when on a record puts these out, µs of log time; null: there are none, or the view has stopped. */
  readonly correctionsDueAtUs: number | null;
  /** What a rollup of this view reads; null: there can be none. */
  readonly lower: Lower | null;
  /** Pages of what cannot leave memory; null: all that the view has. */
  readonly openPages: number | null;
  stats(): ViewStats;
  /** Gives back all memory of the view. */
  free(): void;
}
