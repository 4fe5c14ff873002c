// All views of the engine over one fold memory: what the path calls. Folds durable records into every view of their stream, keeps outputs
// until they are covered by the ledger, and takes and restores checkpoints. A pure function of the records.
import { DIRTY_CHANGED, FOLD_PAGE_BYTES, FOLD_PAGES_AT } from "../../kernels/abi.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { assert, must } from "../base/assert.ts";
import type { EventSchema } from "../event/schema.ts";
import { FOLD_PAGES_MAX } from "../limits.ts";
import type { EventsRecord } from "../log/record.ts";
import type { ViewPlan } from "../view/plan.ts";
import { Batch } from "./batch.ts";
import { streamShape } from "./compile.ts";
import type { Fold, Lower, OpenWindow, RecordFacts, ViewCounts, ViewStats } from "./fold.ts";
import { createRoot, freeRoot, makeFold } from "./make-fold.ts";
import type { RowsImage } from "./images.ts";
import { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import { ProgramArea } from "./program.ts";
import { decodeRoot, encodeRoot, planText, type CoveredOutput, type SavedView } from "./root.ts";

/** A page of the fold memory by number, FOLD_PAGE_BYTES bytes. */
export interface SavedPage {
  readonly page: number;
  readonly bytes: Uint8Array;
}

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

const NO_EVENTS: ViewCounts = {
  accepted: 0,
  filtered: 0,
  late: 0,
  failed: 0,
  applied: 0,
  pending: 0,
};

export class Windows {
  readonly #memory: FoldMemory;
  readonly #area = new ProgramArea();
  readonly #batch: Batch;
  readonly #views = new Map<string, Fold>();
  readonly #restored = new Map<string, SavedView>();
  /** Outputs that are not covered, in order of position. */
  readonly #pending = new Map<string, ViewOutput[]>();
  readonly #covered = new Map<string, CoveredOutput>();
  #fresh: ViewOutput[] = [];
  #pendingBytes = 0;

  constructor(instance: KernelInstance<FoldKernels>, pageCountMax: number = FOLD_PAGES_MAX) {
    this.#memory = new FoldMemory(instance, pageCountMax);
    this.#batch = new Batch(this.#memory);
  }

  /**
   * Adds a view: continues the restored one with the same plan, or starts after position `since`. Throws when a restored view of this
   * name has another plan (the caller compares first) or the kernels do not know an operation.
   */
  addView(plan: ViewPlan, schema: EventSchema, options: { readonly since: number }): void {
    assert(!this.#views.has(plan.name), `view ${plan.name} was added`);
    const restored = this.#restored.get(plan.name);
    assert(
      restored === undefined || planText(restored.plan) === planText(plan),
      `view ${plan.name} has another plan in the checkpoint`,
    );
    this.#restored.delete(plan.name);
    const below = plan.rollupOf === null ? null : this.#lower(plan.name, plan.rollupOf);
    const state = restored?.state ?? {
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
    const place = { memory: this.#memory, area: this.#area };
    this.#views.set(plan.name, makeFold(place, view, state));
  }

  /** The view that a rollup merges: it is added before, and removed after it. */
  #lower(name: string, rollupOf: string): Lower {
    const { lower } = must(this.#views.get(rollupOf), `view ${rollupOf}, below ${name}`);
    return must(lower, `windows of ${rollupOf} that ${name} can merge`);
  }

  /** Removes a view or a restored one that nobody continues, with its windows and pending outputs. */
  dropView(name: string): void {
    const above = [...this.#views.values()].find(({ plan }) => plan.rollupOf === name);
    assert(above === undefined, `view ${above?.plan.name} reads ${name}: it is removed first`);
    const restored = this.#restored.get(name);
    if (restored !== undefined) freeRoot(this.#memory, restored.plan, restored.state.root);
    this.#views.get(name)?.free();
    this.#restored.delete(name);
    this.#views.delete(name);
    this.#setPending(name, []);
    for (const kind of ["rows", "late"] as const) this.#covered.delete(`${kind} ${name}`);
    this.#fresh = this.#fresh.filter((output) => output.view !== name);
  }

  /** Folds a durable record into the views of its stream that stand before it, and gives what they put out. */
  fold(record: EventsRecord): ViewOutput[] {
    if (record.rowCount === 0) return this.advance(record.stream, record);
    const { readers, others } = this.#behind(record.stream, record.position);
    const outputs = readers.length > 0 ? this.#apply(record, readers) : [];
    for (const view of others) view.skip(record.position);
    return outputs.filter((output) => this.#keep(output));
  }

  /** Passes a durable record without events. `stream`: whose watermark it tells, or null; its windows close as with `fold`. */
  advance(stream: string | null, record: RecordFacts): ViewOutput[] {
    const { readers, others } = this.#behind(stream, record.position);
    for (const view of others) view.skip(record.position);
    this.#memory.clearScratch();
    const outputs = readers.flatMap((view) => view.advance(record));
    return outputs.filter((output) => this.#keep(output));
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
    const batch = this.#batch;
    batch.begin(record.image, record.rowCount);
    const columns = this.#prepare(readers);
    const behind = must(readers[0], "reader").behindColumn;
    if (!batch.isZero(behind)) columns.add(behind);
    for (const ordinal of columns) batch.load(ordinal);
    return readers.flatMap((view) => view.fold(batch, record));
  }

  /** Gets programs for the batch at hand ready and gives the columns that they read. When their area is full all programs make room, once. */
  #prepare(readers: readonly Fold[]): Set<number> {
    for (const attempt of ["first", "second"]) {
      const columns = readers.map((view) => view.prepare(this.#batch));
      const ready = columns.filter((list) => list !== null);
      if (ready.length === readers.length) return new Set(ready.flat());
      assert(attempt === "first", "the views of one stream fill the program area");
      this.#area.clear();
      for (const view of this.#views.values()) view.forgetPrograms();
    }
    return new Set();
  }

  /** Holds an output until it is covered; false when it was covered before a restart and is given again by the replay. */
  #keep(output: ViewOutput): boolean {
    const covered = this.#covered.get(`${output.kind} ${output.view}`);
    if (covered !== undefined && output.position <= covered.position) return false;
    const list = this.#pending.get(output.view) ?? [];
    list.push(output);
    this.#pendingBytes += output.image.byteLength;
    this.#pending.set(output.view, list);
    this.#fresh.push(output);
    return true;
  }

  /** The ledger holds the outputs of a kind up to `position`: they are let go. */
  covered(view: string, kind: ViewOutput["kind"], position: number): void {
    this.#covered.set(`${kind} ${view}`, { view, kind, position });
    const rest = (outputs: readonly ViewOutput[]): ViewOutput[] =>
      outputs.filter(
        (output) => output.view !== view || output.kind !== kind || output.position > position,
      );
    this.#setPending(view, rest(this.pending(view)));
    this.#fresh = rest(this.#fresh);
  }

  /** Leaves a view only these of its pending outputs. */
  #setPending(view: string, outputs: ViewOutput[]): void {
    const bytesOf = (list: readonly ViewOutput[]): number =>
      list.reduce((sum, { image }) => sum + image.byteLength, 0);
    this.#pendingBytes += bytesOf(outputs) - bytesOf(this.pending(view));
    this.#pending.set(view, outputs);
  }

  /** Bytes of all outputs that are not covered. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Outputs of a view that are not covered, in order of position. */
  pending(view: string): readonly ViewOutput[] {
    return this.#pending.get(view) ?? [];
  }

  /** Open windows of a view as images of its output columns and `revision`. */
  openWindows(view: string): OpenWindow[] {
    this.#memory.clearScratch();
    return this.#view(view).openWindows();
  }

  /** Rows of a view's closed windows that late events changed since they were put out. */
  corrected(view: string): RowsImage[] {
    this.#memory.clearScratch();
    return this.#view(view).corrected();
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
   * What changed since the checkpoint before. The caller makes it durable with the positions; it must not get lost. Pages are copied
   * into what `room` gives for their bytes, so that a caller with a buffer at hand saves the allocation of as much as the state is large.
   */
  takeCheckpoint(
    room: (bytes: number) => Uint8Array = (bytes) => new Uint8Array(bytes),
  ): WindowsCheckpoint {
    const count = this.#memory.call.pagesHighest();
    const dirty = this.#memory.dirty(count);
    const changed: number[] = [];
    const freed: number[] = [];
    for (let page = 0; page < count; page++) {
      const mark = dirty[page];
      if (mark === DIRTY_CHANGED) changed.push(page);
      else if (mark !== 0) freed.push(page);
    }
    dirty.fill(0);
    const outputs = this.#fresh;
    this.#fresh = [];
    const pages = this.#copyPages(changed, room(changed.length * FOLD_PAGE_BYTES));
    return { pages, freed, body: this.#body(), outputs, covered: [...this.#covered.values()] };
  }

  #copyPages(numbers: readonly number[], to: Uint8Array): SavedPage[] {
    const memory = this.#memory.pages();
    return numbers.map((page, index) => {
      const from = FOLD_PAGES_AT + page * FOLD_PAGE_BYTES;
      const at = index * FOLD_PAGE_BYTES;
      to.set(memory.subarray(from, from + FOLD_PAGE_BYTES), at);
      return { page, bytes: to.subarray(at, at + FOLD_PAGE_BYTES) };
    });
  }

  #body(): Uint8Array {
    const views = [...this.#views.values()].map(({ plan, state }) => ({ plan, state }));
    return encodeRoot({
      views: [...views, ...this.#restored.values()],
      covered: [...this.#covered.values()],
    });
  }

  /**
   * Puts a merged checkpoint back into an empty instance; `outputs` in any order. Gives the views that it holds: `addView` them, or
   * `dropView` those that are no longer configured or have changed. Throws when the body is of another version.
   */
  restore(
    pages: Iterable<SavedPage>,
    body: Uint8Array,
    outputs: Iterable<ViewOutput>,
  ): RestoredView[] {
    assert(this.#views.size === 0, "restore comes before views are added");
    const root = decodeRoot(body);
    const { call } = this.#memory;
    for (const { page, bytes } of pages) {
      call.reachPage(page);
      this.#memory.pages().set(bytes, FOLD_PAGES_AT + page * FOLD_PAGE_BYTES);
    }
    call.pagesRestored();
    for (const covered of root.covered)
      this.#covered.set(`${covered.kind} ${covered.view}`, covered);
    for (const output of [...outputs].toSorted((a, b) => a.position - b.position))
      this.#keep(output);
    this.#fresh = [];
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
