// Nouns: what a run of reconcile is asked for, what it needs of others, and what it has done so far. Publishing is here, so that both kinds
// of runs (windows, sessions) tell only what is durable.
import { must } from "../base/assert.ts";
import type { EventSchema } from "../event/schema.ts";
import {
  reconcileControl,
  type ReconcileControl,
  type ReconciledRows,
} from "../log/reconcile-control.ts";
import type { ViewPlan } from "../view/plan.ts";
import { withRange, type ReconciledRange } from "../window/reconciled.ts";
import type { Standing } from "./questions.ts";

/** What is to be done. Plain data: it is posted to a thread. */
export interface ReconcileOrder {
  /** The view, then its rollups, each before those over it. */
  readonly plans: readonly ViewPlan[];
  readonly schema: EventSchema;
  /** Windows that start in [fromUs, toUs); of sessions the late events whose time is in it. */
  readonly fromUs: bigint;
  readonly toUs: bigint;
  /** Say what would be done. */
  readonly isDry: boolean;
}

/** What `reconcile` cannot do for itself. */
export interface ReconcilePorts {
  readonly foldModule: Uint8Array;
  /** Pages for the state of what is computed together; absent: as many as the engine has. */
  readonly pagesMax?: number;
  /** Rows of a question about what the appliance holds; with `after` they hold that log position. */
  ask(sql: string, after: number | null): Promise<readonly (readonly unknown[])[]>;
  /** Appends a control record to the log; gives its position, which need not be durable yet. */
  publish(control: ReturnType<typeof reconcileControl>): Promise<number>;
  tell(progress: ReconcileProgress): void;
}

export interface ReconcileProgress {
  readonly lateEventsDone: number;
  readonly lateEventsAll: number;
}

/** Windows (sessions) that were not reconciled, and why. */
export interface Skipped {
  readonly windows: number;
  readonly lateEvents: number;
  readonly why: string;
}

export interface ReconcileReport {
  readonly view: string;
  /** Up to this log position late events were looked at. */
  readonly rawPosition: number;
  /** Those that were computed anew; sessions as they are now. */
  readonly windows: number;
  readonly lateEvents: number;
  readonly rows: readonly {
    readonly view: string;
    readonly changed: number;
    readonly removed: number;
  }[];
  readonly skipped: readonly Skipped[];
}

/** It cannot be done; the message says why. */
export class ReconcileError extends Error {
  override readonly name = "ReconcileError";
}

/** A range of time whose late events are brought in together. */
export interface TimeRange {
  readonly fromUs: bigint;
  readonly toUs: bigint;
}

/** What a run has done so far. */
export class Tally {
  readonly #order: ReconcileOrder;
  readonly #ports: ReconcilePorts;
  readonly #view: string;
  readonly #rawPosition: number;
  #reconciled: readonly ReconciledRange[];
  #after: number;
  #windows = 0;
  #lateEvents = 0;
  readonly #rows = new Map<string, { changed: number; removed: number }>();
  readonly #skipped: Skipped[] = [];

  constructor(order: ReconcileOrder, ports: ReconcilePorts, standing: Standing) {
    this.#order = order;
    this.#ports = ports;
    this.#view = must(order.plans[0], "a view").name;
    this.#rawPosition = standing.rawPosition;
    this.#reconciled = standing.reconciled;
    this.#after = standing.rawPosition;
  }

  /** The last position published, which the rows that are asked for must hold. */
  get after(): number {
    return this.#after;
  }

  /** The view's ranges as they are once a range is published, and all that this run has published before. */
  withRange({ fromUs, toUs }: TimeRange): ReconciledRange[] {
    const newer = { view: this.#view, fromUs, toUs, position: this.#rawPosition };
    return withRange(this.#reconciled, newer);
  }

  get report(): ReconcileReport {
    return {
      view: this.#view,
      rawPosition: this.#rawPosition,
      windows: this.#windows,
      lateEvents: this.#lateEvents,
      rows: [...this.#rows].map(([view, counts]) => ({ view, ...counts })),
      skipped: this.#skipped,
    };
  }

  skip(skipped: Skipped): void {
    if (skipped.windows > 0) this.#skipped.push(skipped);
  }

  /** Publishes what a range changes. It is told as done once it is durable: an answer that holds a position is. */
  async publish(
    range: TimeRange,
    rows: readonly ReconciledRows[],
    counts: { readonly windows: number; readonly lateEvents: number },
  ): Promise<void> {
    const said: ReconcileControl = {
      view: this.#view,
      ...range,
      rawPosition: this.#rawPosition,
      rows,
    };
    const reconciled = this.withRange(range);
    if (!this.#order.isDry) {
      this.#after = await this.#ports.publish(reconcileControl(said));
      await this.#ports.ask("SELECT 1", this.#after);
    }
    this.#reconciled = reconciled;
    this.#windows += counts.windows;
    this.#lateEvents += counts.lateEvents;
    for (const { view, op, rowCount } of rows) {
      const known = this.#rows.get(view) ?? { changed: 0, removed: 0 };
      if (op === "upsert") known.changed += rowCount;
      else known.removed += rowCount;
      this.#rows.set(view, known);
    }
  }

  tell(lateEventsAll: number): void {
    this.#ports.tell({ lateEventsDone: this.#lateEvents, lateEventsAll });
  }
}
