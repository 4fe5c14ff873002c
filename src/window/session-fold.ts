// One view of sessions: folds a batch that lies in the fold memory into the sessions of its keys, puts out those that the watermark has
// passed. The rule is in the kernels (assembly/fold/session-assign.ts); knows nothing of records beyond position and received_at.
import {
  CHUNK_ROWS,
  FOLD_PAGE_BYTES,
  KEY_COLUMN_BYTES,
  LATE_RANGE_BYTES,
  RESULT_FAILED_AT,
  RESULT_LATE_AT,
  RESULT_NEXT_AT,
  RESULT_REMOVED_AT,
  RESULT_REOPENED_AT,
  SESSION_OPEN,
  SESSION_OPEN_AT,
  WINDOW_PAGES_AT,
  WINDOW_VERSION_AT,
  WORK_RESULT_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { lastOf } from "../base/steps.ts";
import { OUTPUT_ROWS_MAX } from "../limits.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { Batch } from "./batch.ts";
import type { ChangedRows } from "./changes.ts";
import type { CompiledView, StreamShape } from "./compile.ts";
import type {
  Fold,
  FoldPlace,
  FoldView,
  OpenWindow,
  RecordFacts,
  ViewCounts,
  ViewState,
  ViewStats,
} from "./fold.ts";
import { listedImageSteps, rowImages, shownGroups, type RowsImage } from "./images.ts";
import { lateImage, type LateEvent } from "./late.ts";
import { rowLayout, type RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";
import type { SharedPrograms } from "./shared-program.ts";
import { ViewProgram } from "./view-program.ts";

/** Rows whose sessions are found before their states are updated: what was read of the sessions is still near then. */
const PART_ROWS = 512;

/** Makes the header page of a view of sessions; its address is the view's root. */
export function createSessionRoot(memory: FoldMemory, plan: ViewPlan): number {
  assert(plan.window?.kind === "session", `view ${plan.name} has sessions`);
  return memory.call.createSessions(BigInt(plan.window.gapUs), rowLayout(plan).rowBytes);
}

/** Where the lists of one batch lie in scratch, and how much is in them. */
interface Lists {
  readonly lateAt: number;
  readonly removedAt: number;
  late: number;
  removed: number;
}

export class SessionFold implements Fold {
  /** Rollups are of tumbling windows. */
  readonly lower = null;
  /** A corrected session is open. */
  readonly correctionsDueAtUs = null;
  readonly plan: ViewPlan;
  readonly openPages = null;
  readonly counts: ViewCounts;
  readonly #memory: FoldMemory;
  readonly #shape: StreamShape;
  readonly #layout: RowLayout;
  readonly #program: ViewProgram;
  readonly #root: number;
  /** µs behind a session's end within which late events correct it; -1: never. */
  readonly #allowedUs: bigint;
  #open: OpenWindow | null = null;
  #watermarkUs: bigint | null;
  #position: number;

  /** Continues from `state`. */
  constructor(place: FoldPlace, view: FoldView, state: ViewState) {
    const { plan, shape } = view;
    this.plan = plan;
    this.#memory = place.memory;
    this.#shape = shape;
    this.#layout = rowLayout(plan);
    this.#program = new ViewProgram(place, { plan, shape, layout: this.#layout });
    this.#root = state.root;
    this.#allowedUs = plan.late.policy === "update" ? BigInt(plan.late.allowedUs) : -1n;
    this.#position = state.position;
    this.#watermarkUs = state.watermarkUs;
    this.counts = { ...state.counts };
  }

  get position(): number {
    return this.#position;
  }

  get behindColumn(): number {
    return this.#shape.behind;
  }

  get state(): ViewState {
    return {
      root: this.#root,
      position: this.#position,
      watermarkUs: this.#watermarkUs,
      counts: this.counts,
    };
  }

  get watermarkUs(): bigint | null {
    return this.#watermarkUs;
  }

  prepare(batch: Batch, sharing: SharedPrograms | null): readonly number[] | null {
    return this.#program.prepare(batch, sharing);
  }

  forgetPrograms(): void {
    this.#program.forget();
  }

  skip(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  advance(record: RecordFacts): ViewOutput[] {
    assert(record.position > this.#position, `view ${this.plan.name}: record out of order`);
    this.#setLayout();
    return this.#finish(record);
  }

  fold(batch: Batch, record: RecordFacts): ViewOutput[] {
    assert(record.position > this.#position, `view ${this.plan.name}: record out of order`);
    const memory = this.#memory;
    this.#setLayout();
    const lists = {
      lateAt: memory.take(batch.rowCount * LATE_RANGE_BYTES),
      removedAt: memory.take(batch.rowCount * 4),
      late: 0,
      removed: 0,
    };
    const compiled = this.#program.begin(batch, record.receivedAtUs);
    for (let row = 0; row < batch.rowCount; row += CHUNK_ROWS)
      this.#chunk(batch, compiled, { row, position: record.position, lists });
    this.counts.accepted += batch.rowCount;
    this.counts.late += lists.late;
    return [
      ...this.#lateOutput(batch, lists, record),
      ...this.#removedOutput(lists, record),
      ...this.#finish(record),
    ];
  }

  /** Tells the kernels how rows are laid out: what closing, forgetting and merging must know. */
  #setLayout(): void {
    const { call, u32 } = this.#memory;
    const { keys, states } = this.#layout;
    const keysAt = this.#memory.take(keys.length * KEY_COLUMN_BYTES);
    keys.forEach(({ offset, kind }, index) =>
      u32.set([offset, kind, 0, 0], (keysAt + index * KEY_COLUMN_BYTES) / 4),
    );
    const statesAt = this.#memory.take(states.length * 8);
    states.forEach(({ kind, offset }, index) => u32.set([kind, offset], statesAt / 4 + index * 2));
    call.setSessionLayout(keysAt, keys.length, statesAt, states.length);
  }

  /** Folds up to CHUNK_ROWS rows from `row` on. */
  #chunk(
    batch: Batch,
    compiled: CompiledView,
    at: { readonly row: number; readonly position: number; readonly lists: Lists },
  ): void {
    const { call } = this.#memory;
    const { keys, states } = compiled;
    const rows = Math.min(CHUNK_ROWS, batch.rowCount - at.row);
    const errors = this.#program.runRows(compiled, at.row, rows);
    const ordinal = this.#shape.behind;
    const behind = batch.isZero(ordinal) ? 0 : batch.valuesAt(ordinal) + at.row * 8;
    const count = call.beginSessions(compiled.filter, keys.address, keys.count, rows);
    this.counts.filtered += rows - count;
    call.setPlace(at.position, at.row);
    for (let from = 0; from < count; from = this.#result(RESULT_NEXT_AT)) {
      const { lists } = at;
      const selected = call.assignSessions(
        this.#root,
        keys.address,
        keys.count,
        compiled.time,
        behind,
        this.#allowedUs,
        from,
        Math.min(count, from + PART_ROWS),
        at.row,
        lists.lateAt + lists.late * LATE_RANGE_BYTES,
        lists.removedAt + lists.removed * 4,
      );
      for (const { kind, offset, arg, filter } of states)
        call.updateStates(kind, offset, arg, filter, selected);
      this.#count(selected, lists);
    }
    if (errors > 0) this.#program.clearErrors(rows);
  }

  #result(offset: number): number {
    return this.#memory.data.getUint32(WORK_RESULT_AT + offset, true);
  }

  #count(selected: number, lists: Lists): void {
    const failed = this.#result(RESULT_FAILED_AT);
    const reopened = Number(
      this.#memory.data.getBigInt64(WORK_RESULT_AT + RESULT_REOPENED_AT, true),
    );
    this.counts.failed += failed;
    this.counts.applied -= reopened;
    this.counts.pending += selected - failed + reopened;
    lists.late += this.#result(RESULT_LATE_AT);
    lists.removed += this.#result(RESULT_REMOVED_AT);
  }

  #lateOutput(batch: Batch, { lateAt, late }: Lists, record: RecordFacts): ViewOutput[] {
    if (late === 0 || this.plan.late.policy === "drop") return [];
    const { i64, u32 } = this.#memory;
    const eventTime = must(this.#shape.eventTime, "a time that can be behind: not the receipt");
    const times = batch.valuesAt(eventTime) / 8;
    const behind = batch.valuesAt(this.#shape.behind) / 8;
    const events = Array.from({ length: late }, (_, index): LateEvent => {
      const at = lateAt + index * LATE_RANGE_BYTES;
      const row = must(u32[at / 4], "row");
      return {
        row,
        timeUs: must(i64[times + row], "time"),
        behindUs: must(i64[behind + row], "behind"),
        startUs: must(i64[at / 8 + 1], "start"),
        endUs: must(i64[at / 8 + 2], "end"),
      };
    });
    const { position } = record;
    const image = lateImage(events, record);
    return [{ view: this.plan.name, kind: "late", position, rowCount: late, image }];
  }

  /** Rows that were out and that late events have brought back into open sessions: they are no longer part of the view. */
  #removedOutput({ removedAt, removed }: Lists, { position }: RecordFacts): ViewOutput[] {
    const view = this.plan.name;
    const removedRows = this.#rowsAt(removedAt, removed);
    return rowImages(this.#memory, this.#layout, removedRows).map((rows): ViewOutput => ({
      view,
      kind: "rows",
      op: "delete",
      position,
      ...rows,
    }));
  }

  /** The sessions listed that are part of the view. */
  *#images(list: number, count: number): Generator<void, RowsImage[]> {
    const rows = { rows: list, count };
    if (this.#layout.passing === null)
      return yield* listedImageSteps(this.#memory, this.#layout, rows);
    return rowImages(this.#memory, this.#layout, this.#shown(this.#rowsAt(list, count)));
  }

  /** Those of sessions that are part of the view: WHERE is true for an event of theirs, and HAVING for them. */
  #shown(rows: readonly number[]): readonly number[] {
    const { passing } = this.#layout;
    const words = this.#memory.words();
    const isCounted = (row: number): boolean =>
      passing === null || words[(row + passing) / 4] !== 0 || words[(row + passing) / 4 + 1] !== 0;
    return shownGroups(this.#memory, this.#layout, rows.filter(isCounted));
  }

  /** Sessions that close: those that are no part of the view are marked, so that a correction has nothing to take back. */
  #closedImages(list: number, count: number): RowsImage[] {
    if (this.#layout.shown === null && this.#layout.passing === null)
      return lastOf(this.#images(list, count));
    const memory = this.#memory;
    const rows = this.#rowsAt(list, count);
    const shown = new Set(this.#shown(rows));
    const hidden = rows.filter((row) => !shown.has(row));
    const { mark } = memory;
    const hiddenAt = memory.take(hidden.length * 4);
    memory.u32.set(hidden, hiddenAt / 4);
    memory.call.hideSessions(hiddenAt, hidden.length);
    memory.rewind(mark);
    return rowImages(memory, this.#layout, [...shown]);
  }

  #rowsAt(list: number, count: number): number[] {
    return [...this.#memory.u32.subarray(list / 4, list / 4 + count)];
  }

  /** Moves the watermark, and puts out what it closes. */
  #finish({ position, watermarkUs }: RecordFacts): ViewOutput[] {
    this.#position = position;
    this.#watermarkUs = watermarkUs;
    if (watermarkUs === null) return [];
    const memory = this.#memory;
    const { call } = memory;
    const view = this.plan.name;
    const outputs: ViewOutput[] = [];
    call.turnTimers(this.#root, watermarkUs);
    const list = memory.take(OUTPUT_ROWS_MAX * 4);
    const keep = this.#allowedUs >= 0n ? 1 : 0;
    for (;;) {
      const count = call.closeSessions(this.#root, watermarkUs, list, OUTPUT_ROWS_MAX);
      if (count === 0) break;
      for (const rows of this.#closedImages(list, count))
        outputs.push({ view, kind: "rows", position, ...rows });
      const applied = call.releaseSessions(this.#root, watermarkUs, list, count, keep);
      this.counts.applied += applied;
      this.counts.pending -= applied;
      this.#open = null;
    }
    return outputs;
  }

  /** The open sessions as one picture: it is made again when any of them changed. */
  *openWindows(): Generator<void, OpenWindow[]> {
    const memory = this.#memory;
    const version = memory.pageU32(this.#root + WINDOW_VERSION_AT);
    if (this.#open?.version === version) return [this.#open];
    const mark = memory.mark;
    const list = memory.take(memory.pageU32(this.#root + SESSION_OPEN_AT) * 4);
    const count = memory.call.listBlocks(this.#root, SESSION_OPEN, list);
    const open = { startUs: 0n, version, images: yield* this.#images(list, count) };
    memory.rewind(mark);
    this.#open = open;
    return [open];
  }

  corrected(): ChangedRows[] {
    return [];
  }

  stats(): ViewStats {
    const sessions = this.#memory.pageU32(this.#root + SESSION_OPEN_AT);
    const pages = this.#memory.pageU32(this.#root + WINDOW_PAGES_AT);
    return { windows: sessions, groups: sessions, bytes: pages * FOLD_PAGE_BYTES };
  }

  free(): void {
    this.#memory.call.freeSessions(this.#root);
    this.#open = null;
  }
}
