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

/** The plan, and the ordinal of `_behind` in the stream's images. */
export interface SuspendedView {
  readonly plan: ViewPlan;
  readonly shape: { readonly behind: number };
}

export class SuspendedFold implements Fold {
  readonly plan: ViewPlan;
  readonly behindColumn: number;
  readonly counts: ViewCounts;
  /** The view as it stopped; null: its state was given back. */
  readonly kept: Fold | null;
  readonly #view: SuspendedView;
  readonly #state: ViewState;
  readonly #suspended: Suspension;
  #position: number;
  /** In the order of the log. */
  #reconciles: readonly number[];

  /** `state` as it is saved, with the reason. */
  constructor(view: SuspendedView, state: ViewState, kept: Fold | null) {
    const { suspended } = state;
    assert(suspended !== undefined, `view ${view.plan.name} has a reason to be suspended`);
    this.plan = view.plan;
    this.behindColumn = view.shape.behind;
    this.kept = kept;
    this.#view = view;
    this.#state = state;
    this.#suspended = suspended;
    this.counts = { ...(suspended.passed?.counts ?? state.counts) };
    this.#position = suspended.passed?.position ?? state.position;
    this.#reconciles = [suspended.reconciledAt ?? []].flat();
  }

  get position(): number {
    return this.#position;
  }

  get state(): ViewState {
    const [position, counts] = [this.#position, this.counts];
    const { reason, boundBytes, ...stopped } = this.#suspended;
    if (this.kept === null) {
      const suspended = { at: stopped.at, reason, boundBytes };
      return { ...this.#state, root: 0, counts, position, suspended };
    }
    const passed = { position, counts: { ...counts } };
    // one that catches up stands further on than where it stopped
    const at = this.kept.position;
    const suspended = { at, reason, boundBytes, passed, ...this.#reconciled };
    return { ...this.kept.state, suspended };
  }

  /** The same view, that has stopped for another reason, with what it has kept until then. */
  stopped({ at, reason, boundBytes }: Suspension, kept: Fold | null): SuspendedFold {
    const passed = { position: this.#position, counts: { ...this.counts } };
    const more = kept === null ? {} : { passed, ...this.#reconciled };
    const suspended = { at, reason, boundBytes, ...more };
    const state = { ...this.#state, position: passed.position, counts: passed.counts, suspended };
    return new SuspendedFold(this.#view, state, kept);
  }

  /** The first record that it has passed, and not folded, which reconciles its windows; null: there is none. */
  get reconciledAt(): number | null {
    return this.#unfoldedReconciles[0] ?? null;
  }

  get #unfoldedReconciles(): readonly number[] {
    const folded = this.kept?.position ?? 0;
    return this.#reconciles.filter((position) => position > folded);
  }

  get #reconciled(): Pick<Suspension, "reconciledAt"> {
    const reconciledAt = this.#unfoldedReconciles;
    return reconciledAt.length === 0 ? {} : { reconciledAt };
  }

  /** Passes a record that reconciles its windows. */
  passReconcile(position: number): void {
    if (position <= this.#position) return;
    this.#reconciles = [...this.#unfoldedReconciles, position];
    this.skip(position);
  }

  get watermarkUs(): bigint | null {
    return this.kept?.watermarkUs ?? this.#state.watermarkUs;
  }

  /** It puts out nothing. */
  get correctionsDueAtUs(): null {
    return null;
  }

  /** A rollup is suspended with the view that it reads. */
  get lower(): Lower | null {
    return this.kept?.lower ?? null;
  }

  get openPages(): number | null {
    return this.kept?.openPages ?? null;
  }

  prepare(): readonly number[] {
    return [];
  }

  forgetPrograms(): void {
    this.kept?.forgetPrograms();
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

  /** As they are where it stands. */
  *openWindows(): Generator<void, OpenWindow[]> {
    yield;
    return this.kept === null ? [] : yield* this.kept.openWindows();
  }

  corrected(): ChangedRows[] {
    return this.kept?.corrected() ?? [];
  }

  stats(): ViewStats {
    return this.kept?.stats() ?? { windows: 0, groups: 0, bytes: 0 };
  }

  free(): void {
    this.kept?.free();
  }
}
