// All views of the engine over one fold memory: what the path calls. Folds durable records into every view of their stream, keeps outputs
// until they are covered by the ledger, and takes and restores checkpoints. A pure function of the records.
import { FOLD_PAGE_BYTES } from "../../kernels/abi.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { assert, must } from "../base/assert.ts";
import { lastOf } from "../base/steps.ts";
import type { EventSchema } from "../event/schema.ts";
import { FOLD_PAGES_MAX } from "../limits.ts";
import { clockControlOf } from "../log/clock-control.ts";
import { reconcileControlOf, type ReconcileControl } from "../log/reconcile-control.ts";
import type { EventsRecord, LogRecord } from "../log/record.ts";
import type { ViewPlan } from "../view/plan.ts";
import { BatchPrograms } from "./batch-programs.ts";
import type { ChangedRows } from "./changes.ts";
import type { ClosedPart, ClosedWindow, DroppedParts } from "./closed-part.ts";
import { streamShape } from "./compile.ts";
import {
  NO_EVENTS,
  type Fold,
  type Lower,
  type OpenWindow,
  type RecordFacts,
  type Suspension,
  type ViewCounts,
  type ViewStats,
} from "./fold.ts";
import { Laggards } from "./laggards.ts";
import { createRoot, freeRoot, makeFold } from "./make-fold.ts";
import { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { PendingOutputs } from "./pending-outputs.ts";
import { PageMeter } from "./page-meter.ts";
import { Reconciled } from "./reconciled.ts";
import { restorePages, takeChanges, type PageRoom, type SavedPage } from "./saved-pages.ts";
import { Room } from "./room.ts";
import { decodeRoot, encodeRoot, planText, type CoveredOutput, type SavedView } from "./root.ts";
import { Spill, type SpillOptions } from "./spill.ts";
import { SuspendedFold } from "./suspended-fold.ts";
import { Suspensions, type ViewOptions } from "./suspension.ts";

/** Changes since the checkpoint before: merged page by page they are the state at a batch boundary. */
export interface WindowsCheckpoint {
  readonly pages: readonly SavedPage[];
  /** Pages of earlier checkpoints that are not in use any more. */
  readonly freed: readonly number[];
  /** Replaces the body of the checkpoint before. */
  readonly body: Uint8Array;
  /** Outputs since the checkpoint before that are not covered. */
  readonly outputs: readonly ViewOutput[];
  /** Outputs at or below these positions need not be kept. */
  readonly covered: readonly CoveredOutput[];
  /** Groups of closed windows that left the pages; those that nobody will ask for are dropped first. */
  readonly closedParts: readonly ClosedPart[];
  readonly droppedParts: readonly DroppedParts[];
}

/** A view found in a checkpoint. `addView` with an equal plan continues it; `dropView` frees it. */
export interface RestoredView {
  readonly name: string;
  readonly plan: ViewPlan;
  readonly position: number;
}

/** Accounting and memory of one view. */
export interface WindowsStats extends ViewStats {
  readonly view: string;
  readonly position: number;
  readonly watermarkUs: bigint | null;
  readonly counts: Readonly<ViewCounts>;
  readonly pendingOutputs: number;
}

export class Windows {
  readonly #memory: FoldMemory;
  readonly #programs: BatchPrograms;
  readonly #meter: PageMeter;
  readonly #spill: Spill;
  readonly #views = new Map<string, Fold>();
  readonly #room: Room;
  readonly #suspensions: Suspensions;
  /** Views that go on after a suspension. */
  readonly laggards = new Laggards(this.#views, (record) => this.foldRecord(record));
  readonly #restored = new Map<string, SavedView>();
  readonly #outputs = new PendingOutputs();
  readonly reconciled = new Reconciled();

  constructor(
    instance: KernelInstance<FoldKernels>,
    pageCountMax: number = FOLD_PAGES_MAX,
    spill: SpillOptions = { disk: null },
  ) {
    this.#memory = new FoldMemory(instance, pageCountMax);
    this.#programs = new BatchPrograms(this.#memory, this.#views);
    this.#meter = new PageMeter(this.#memory.call);
    this.#spill = new Spill(spill, this.#meter);
    const parts = { call: this.#memory.call, meter: this.#meter, spill: this.#spill };
    this.#room = new Room(this.#views, parts, pageCountMax);
    this.#suspensions = new Suspensions(this.#views, this.#room, this.#meter);
  }

  /**
   * Adds a view: continues the restored one with the same plan, or starts after position `since`. Throws when a restored view of this
   * name has another plan (the caller compares first) or the kernels do not know an operation.
   */
  addView(plan: ViewPlan, schema: EventSchema, options: ViewOptions): void {
    assert(!this.#views.has(plan.name), `view ${plan.name} was added`);
    const restored = this.#restored.get(plan.name);
    assert(
      restored === undefined || planText(restored.plan) === planText(plan),
      `view ${plan.name} has another plan in the checkpoint`,
    );
    this.#restored.delete(plan.name);
    const saved = restored?.state ?? null;
    if (restored !== undefined && this.#suspensions.goesOn(restored, options, this.laggards))
      this.laggards.add(plan.name);
    const isGone = saved?.suspended !== undefined && saved.suspended.passed === undefined;
    const below = isGone ? null : this.#lower(plan);
    this.#meter.set(plan.name, restored?.pages ?? 0);
    this.#meter.charge(plan.name);
    const state = saved ?? {
      root: createRoot(this.#memory, plan),
      position: below?.position ?? options.since,
      watermarkUs: null,
      counts: { ...(below?.counts ?? NO_EVENTS) },
    };
    assert(
      below === null || below.position === state.position,
      `view ${plan.name} is at another position than ${plan.rollupOf}`,
    );
    const view = { plan, shape: streamShape(schema), below };
    const place = {
      memory: this.#memory,
      area: this.#programs.area,
      meter: this.#meter,
      spill: this.#spill,
    };
    this.#views.set(plan.name, makeFold(place, view, state));
    this.#meter.charge(null);
    this.#room.bind(plan.name, options.memoryMaxBytes ?? null);
  }

  /** Runs what a view does; the pages that it takes are counted as its own. */
  #charged<T>(name: string, work: (view: Fold) => T): T {
    this.#meter.charge(name);
    const result = work(this.#view(name));
    this.#meter.charge(null);
    return result;
  }

  /** Views that stopped, with the reasons. */
  get suspended(): Map<string, Suspension> {
    return this.#suspensions.all;
  }

  /** The view that a rollup merges: it is added before, and removed after it. Null: `plan` is no rollup. */
  #lower({ name, rollupOf }: ViewPlan): Lower | null {
    if (rollupOf === null) return null;
    const { lower } = must(this.#views.get(rollupOf), `view ${rollupOf}, below ${name}`);
    return must(lower, `${rollupOf} gives ${name} windows: remove both or neither`);
  }

  /** Removes a view or a restored one that nobody continues, with its windows and pending outputs. */
  dropView(name: string): void {
    const above = [...this.#views.values()].find(({ plan }) => plan.rollupOf === name);
    assert(above === undefined, `view ${above?.plan.name} reads ${name}: it is removed first`);
    const restored = this.#restored.get(name);
    if (restored !== undefined && restored.state.root !== 0) {
      freeRoot(this.#memory, restored.plan, restored.state.root);
      this.#spill.forget(name);
    }
    this.#views.get(name)?.free();
    this.laggards.remove(name);
    this.#restored.delete(name);
    this.#views.delete(name);
    this.#meter.forget(name);
    this.#outputs.drop(name);
    this.reconciled.drop(name);
  }

  /** Folds a durable record of any kind into the views that stand before it. */
  foldRecord(record: LogRecord): ViewOutput[] {
    if (record.kind === "events") return this.fold(record);
    const clock = clockControlOf(record);
    if (clock !== null)
      return this.advance(clock.stream, { ...record, watermarkUs: clock.watermarkUs });
    const said = reconcileControlOf(record);
    return said === null ? [] : this.#reconcile(said, record);
  }

  /** Folds a durable record into the views of its stream that stand before it, and gives what they put out. */
  fold(record: EventsRecord): ViewOutput[] {
    if (record.rowCount === 0) return this.advance(record.stream, record);
    const { readers, others } = this.#behind(record.stream, record.position);
    const outputs = readers.length > 0 ? this.#apply(record, readers) : [];
    for (const view of others) view.skip(record.position);
    return outputs.filter((output) => this.#outputs.keep(output));
  }

  /** Passes a durable record without events. `stream`: whose watermark it tells, or null; its windows close as with `fold`. */
  advance(stream: string | null, record: RecordFacts): ViewOutput[] {
    const { readers, others } = this.#behind(stream, record.position);
    for (const view of others) view.skip(record.position);
    this.#memory.clearScratch();
    const outputs = readers.flatMap((view) =>
      this.#charged(view.plan.name, (fold) => fold.advance(record)),
    );
    this.#suspensions.keepBounds(readers);
    return outputs.filter((output) => this.#outputs.keep(output));
  }

  /** Passes a durable record that reconciles windows, and gives the rows in it; a view that begins behind it has none. */
  #reconcile(
    said: ReconcileControl,
    { position, receivedAtUs }: Pick<RecordFacts, "position" | "receivedAtUs">,
  ): ViewOutput[] {
    const { others } = this.#behind(null, position);
    for (const view of others) {
      if (view instanceof SuspendedFold && view.plan.name === said.view)
        view.passReconcile(position);
      view.skip(position);
    }
    // one that stopped has them when it goes on from there
    const running = others.filter(({ state }) => state.suspended === undefined);
    const names = new Set(running.map(({ plan }) => plan.name));
    if (!names.has(said.view)) return [];
    const { view, fromUs, toUs, rawPosition } = said;
    this.reconciled.add({ view, fromUs, toUs, position: rawPosition, receivedAtUs });
    return said.rows
      .map((rows): ViewOutput => ({ ...rows, kind: "rows", position }))
      .filter((output) => names.has(output.view) && this.#outputs.keep(output));
  }

  /** The views that stand before `position`: those over a stream, and the others. */
  #behind(stream: string | null, position: number): { readers: Fold[]; others: Fold[] } {
    const behind = [...this.#views.values()].filter((view) => view.position < position);
    return {
      readers: behind.filter((view) => view.plan.stream === stream),
      others: behind.filter((view) => view.plan.stream !== stream),
    };
  }

  #apply(record: EventsRecord, readers: readonly Fold[]): ViewOutput[] {
    const batch = this.#programs.begin(record, readers);
    const outputs = readers.flatMap(({ plan }) => {
      this.#suspensions.makeRoom(record);
      return this.#charged(plan.name, (view) => view.fold(batch, record));
    });
    this.#suspensions.keepBounds(readers);
    return outputs;
  }

  /** The ledger holds the outputs of a kind up to `position`: they are let go. */
  covered(view: string, kind: ViewOutput["kind"], position: number): void {
    this.#outputs.cover({ view, kind, position });
  }

  /** Bytes of all outputs that are not covered. */
  get pendingBytes(): number {
    return this.#outputs.bytes;
  }

  /** Whether views should fold no further before a checkpoint, with which closed windows leave; `isDue`: one should be taken. */
  get closedWindows(): { readonly isFull: boolean; readonly isDue: boolean } {
    return this.#spill;
  }

  /** Outputs of a view that are not covered, in order of position. */
  pending(view: string): readonly ViewOutput[] {
    return this.#outputs.of(view);
  }

  /** Open windows of a view as images of its output columns and `revision`: all steps at once. */
  openWindows(view: string): OpenWindow[] {
    return lastOf(this.openWindowSteps(view));
  }

  /** The same by steps of some ms, all of which must be taken: between them nothing is folded, and no other window is looked at. */
  *openWindowSteps(view: string): Generator<void, OpenWindow[]> {
    this.#memory.clearScratch();
    this.#meter.charge(view);
    const windows = yield* this.#view(view).openWindows();
    this.#meter.charge(null);
    return windows;
  }

  /** Rows of a view's closed windows that late events changed since they were put out, and those that go away. */
  corrected(view: string): ChangedRows[] {
    this.#memory.clearScratch();
    return this.#charged(view, (fold) => fold.corrected());
  }

  /** From when on a record of a stream puts out what late events corrected in its views, µs of log time; null: nothing waits. */
  correctionsDueAtUs(stream: string): number | null {
    const views = [...this.#views.values()].filter(({ plan }) => plan.stream === stream);
    const dues = views.flatMap(({ correctionsDueAtUs }) => correctionsDueAtUs ?? []);
    return dues.length === 0 ? null : Math.min(...dues);
  }

  /** The position that a view has folded. */
  position(view: string): number {
    return this.#view(view).position;
  }

  watermarkUs(view: string): bigint | null {
    return this.#view(view).watermarkUs;
  }

  /** The watermark that a stream's views have reached, the lowest of them; null when none has seen an event. */
  streamWatermarkUs(stream: string): bigint | null {
    let lowest: bigint | null = null;
    for (const { plan, watermarkUs } of this.#views.values())
      if (
        plan.stream === stream &&
        watermarkUs !== null &&
        (lowest === null || watermarkUs < lowest)
      )
        lowest = watermarkUs;
    return lowest;
  }

  stats(): WindowsStats[] {
    return [...this.#views.values()].map((view) => ({
      view: view.plan.name,
      position: view.position,
      watermarkUs: view.watermarkUs,
      counts: { ...view.counts },
      pendingOutputs: this.pending(view.plan.name).length,
      ...view.stats(),
    }));
  }

  /** Pages in use by all views, bytes. */
  get stateBytes(): number {
    return this.#memory.call.pagesUsed() * FOLD_PAGE_BYTES;
  }

  /**
   * What changed since the checkpoint before, which is durable. The caller makes it durable with the positions; it must not get lost. Pages are
   * copied to `room`: a caller with memory at hand saves the allocation of as much as the state is large. Closed windows beyond what memory
   * should hold leave it. By steps of less than a millisecond, but for a closed window of many groups that leaves: between them nothing is
   * folded and no window is looked at.
   */
  *checkpointSteps(room: PageRoom): Generator<void, WindowsCheckpoint> {
    this.#memory.clearScratch();
    const closed = yield* this.#spill.takeChange((name) => this.#room.closedPagesOf(name));
    const body = this.#body();
    const outputs = this.#outputs.takeFresh();
    const covered = this.#outputs.coverage;
    const changes = yield* takeChanges(this.#memory, room);
    return { ...closed, ...changes, body, outputs, covered };
  }

  /** All steps of a checkpoint at once. */
  takeCheckpoint(): WindowsCheckpoint {
    return lastOf(this.checkpointSteps(() => new Uint8Array(FOLD_PAGE_BYTES)));
  }

  #body(): Uint8Array {
    const views = [...this.#views.values()].map(({ plan, state }) => ({
      plan,
      state,
      pages: this.#meter.of(plan.name),
    }));
    return encodeRoot({
      views: [...views, ...this.#restored.values()],
      covered: this.#outputs.coverage,
      reconciled: this.reconciled.saved,
    });
  }

  /**
   * Puts a merged checkpoint back into an empty instance; `outputs` in any order, `closed` are the windows with groups outside of memory. Gives
   * the views that it holds: `addView` them, or `dropView` those that are no longer configured or have changed. Throws when the body is of
   * another version.
   */
  restore(
    pages: Iterable<SavedPage>,
    body: Uint8Array,
    outputs: Iterable<ViewOutput>,
    closed: readonly ClosedWindow[] = [],
  ): RestoredView[] {
    assert(this.#views.size === 0, "restore comes before views are added");
    const root = decodeRoot(body);
    restorePages(this.#memory, pages);
    this.#spill.restore(closed);
    this.#outputs.restore(root.covered, outputs);
    this.reconciled.restore(root.reconciled);
    for (const view of root.views) this.#restored.set(view.plan.name, view);
    return root.views.map(({ plan, state }) => ({
      name: plan.name,
      plan,
      position: state.position,
    }));
  }

  #view(name: string): Fold {
    return must(this.#views.get(name), `view ${name}`);
  }
}
