// A view that had to stop: its table stays as it is. It passes records without reading their events, which stay pending. While its state is kept it
// may go on later from where it stopped.
import { assert } from "../base/assert.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import type { ChangedRows } from "./changes.ts";
import type {
  Fold,
  Lower,
  OpenWindow,
  RecordFacts,
  Suspension,
  ViewCounts,
  ViewState,
  ViewStats,
} from "./fold.ts";
import type { ViewOutput } from "./output.ts";

export class SuspendedFold implements Fold {
  readonly plan: ViewPlan;
  readonly behindColumn: number;
  readonly watermarkUs: bigint | null;
  readonly counts: ViewCounts;
  readonly #state: ViewState;
  readonly #suspended: Suspension;
  /** The view as it stopped; null: its state was given back. */
  readonly #kept: Fold | null;
  #position: number;

  /** `state` as it is saved, with the reason. */
  constructor(
    view: { readonly plan: ViewPlan; readonly shape: { readonly behind: number } },
    state: ViewState,
    kept: Fold | null,
  ) {
    const { suspended } = state;
    assert(suspended !== undefined, `view ${view.plan.name} has a reason to be suspended`);
    this.plan = view.plan;
    this.behindColumn = view.shape.behind;
    this.watermarkUs = state.watermarkUs;
    this.#state = state;
    this.#suspended = suspended;
    this.#kept = kept;
    this.counts = { ...(suspended.passed?.counts ?? state.counts) };
    this.#position = suspended.passed?.position ?? state.position;
  }

  get position(): number {
    return this.#position;
  }

  get state(): ViewState {
    const [position, counts] = [this.#position, this.counts];
    const { at, reason, boundBytes } = this.#suspended;
    if (this.#kept === null)
      return { ...this.#state, root: 0, counts, position, suspended: { at, reason, boundBytes } };
    const passed = { position, counts: { ...counts } };
    return { ...this.#kept.state, suspended: { at, reason, boundBytes, passed } };
  }

  /** A rollup is suspended with the view that it reads. */
  get lower(): Lower | null {
    return this.#kept?.lower ?? null;
  }

  get openPages(): number | null {
    return this.#kept?.openPages ?? null;
  }

  prepare(): readonly number[] {
    return [];
  }

  forgetPrograms(): void {
    this.#kept?.forgetPrograms();
  }

  skip(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  advance({ position }: RecordFacts): ViewOutput[] {
    this.skip(position);
    return [];
  }

  fold({ rowCount }: Batch, record: RecordFacts): ViewOutput[] {
    this.counts.accepted += rowCount;
    this.counts.pending += rowCount;
    return this.advance(record);
  }

  *openWindows(): Generator<void, OpenWindow[]> {
    yield;
    return [];
  }

  corrected(): ChangedRows[] {
    return [];
  }

  stats(): ViewStats {
    return this.#kept?.stats() ?? { windows: 0, groups: 0, bytes: 0 };
  }

  free(): void {
    this.#kept?.free();
  }
}
