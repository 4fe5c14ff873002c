// A view that had to stop: its state was given back, its table stays as it is. It passes records without
// reading their events, which stay pending, so it holds nothing.
import { assert } from "../base/assert.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import type { ChangedRows } from "./changes.ts";
import type { Fold, OpenWindow, RecordFacts, ViewCounts, ViewState, ViewStats } from "./fold.ts";
import type { ViewOutput } from "./output.ts";

export class SuspendedFold implements Fold {
  readonly plan: ViewPlan;
  readonly openPages = null;
  /** A rollup of it is suspended with it. */
  readonly lower = null;
  readonly behindColumn: number;
  readonly watermarkUs: bigint | null;
  readonly counts: ViewCounts;
  readonly #state: ViewState;
  #position: number;

  /** `state` as it was when the view stopped, with the reason. */
  constructor(
    view: { readonly plan: ViewPlan; readonly shape: { readonly behind: number } },
    state: ViewState,
  ) {
    assert(state.suspended !== undefined, `view ${view.plan.name} has a reason to be suspended`);
    this.plan = view.plan;
    this.behindColumn = view.shape.behind;
    this.watermarkUs = state.watermarkUs;
    this.#state = { ...state, root: 0 };
    this.counts = { ...state.counts };
    this.#position = state.position;
  }

  get position(): number {
    return this.#position;
  }

  get state(): ViewState {
    return { ...this.#state, counts: this.counts, position: this.#position };
  }

  prepare(): readonly number[] {
    return [];
  }

  forgetPrograms(): void {
    // It has none.
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

  openWindows(): OpenWindow[] {
    return [];
  }

  corrected(): ChangedRows[] {
    return [];
  }

  stats(): ViewStats {
    return { windows: 0, groups: 0, bytes: 0 };
  }

  free(): void {
    // It holds nothing.
  }
}
