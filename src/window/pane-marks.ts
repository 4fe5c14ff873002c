// What late events leave behind for the closed windows of a hop that are not final: for each window its marks, rows of keys with the number of
// late events in the window's row, whether that was corrected since it was put out, and whether it is out. The events themselves are in panes.
import {
  CHUNK_ROWS,
  KEY_COLUMN_BYTES,
  REVISION_BYTES,
  REVISION_NEXT_AT,
  ROOT_STALE_AT,
  ROOT_WINDOWS_AT,
  ROW_WINDOW_AT,
  WINDOW_END_AT,
  WINDOW_STALE_AT,
  WINDOW_START_AT,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { ClosedWindows, type PartialWindow } from "./closed-windows.ts";
import type { CompiledView } from "./compile.ts";
import type { Range } from "./grid.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { keyPlaces } from "./merge.ts";
import { marksOf, type Spill } from "./spill.ts";

/** Windows have few marks when they leave first, and many later: 16 parts. */
const PART_BITS_LEAST = 4;

export class PaneMarks {
  /** Root page of the list of marks, by the start of their windows. */
  readonly root: number;
  /** Those that leave memory; marks that wait to be put out stay. */
  readonly closed: ClosedWindows;
  readonly #memory: FoldMemory;
  readonly #layout: RowLayout;
  readonly #revision: number;
  /** Offset and bytes of a row of marks. */
  readonly #at: number;
  readonly #rowBytes: number;

  /** `partial`: which of them are not in pages whole. */
  constructor(
    memory: FoldMemory,
    view: { readonly name: string; readonly layout: RowLayout; readonly spill: Spill },
    state: { readonly root: number; readonly partial: readonly PartialWindow[] },
  ) {
    const { name, layout, spill } = view;
    const { root, partial } = state;
    this.#memory = memory;
    this.#layout = layout;
    this.#revision = must(layout.revision, "a revision in the rows");
    this.#at = layout.keysEnd;
    this.#rowBytes = layout.keysEnd + REVISION_BYTES;
    this.root = root;
    const windows = Array.from({ length: memory.pageU32(root + ROOT_WINDOWS_AT) }, (_, index) =>
      memory.call.windowAt(root, index),
    );
    const list = {
      spill,
      name: marksOf(name),
      view: name,
      layout: { keys: layout.keys, states: [], rowBytes: this.#rowBytes },
      root,
      bitsLeast: PART_BITS_LEAST,
      isClosed: () => true,
    };
    this.closed = new ClosedWindows(memory, list, { windows, partial });
  }

  /** Marks the windows that the `count` rows of a chunk correct, which `assignWindows` listed at `list`. */
  mark(compiled: CompiledView, behind: number, rows: { list: number; count: number }): void {
    const { call } = this.#memory;
    const { time, keys } = compiled;
    call.beginMarks(time, behind, rows.list, rows.count);
    for (;;) {
      const selected = call.selectMarks(this.root);
      this.closed.reach(keys, selected);
      call.findGroups(keys.address, keys.count, this.#rowBytes, selected);
      call.markLate(this.root, this.#at, selected);
      if (selected < CHUNK_ROWS) return;
    }
  }

  /** Windows that were corrected since they were put out, in order. */
  stale(): Range[] {
    const memory = this.#memory;
    const ranges: Range[] = [];
    if (memory.pageU32(this.root + ROOT_STALE_AT) === 0) return ranges;
    const count = memory.pageU32(this.root + ROOT_WINDOWS_AT);
    for (let index = 0; index < count; index++) {
      const marks = memory.call.windowAt(this.root, index);
      if (memory.pageU32(marks + WINDOW_STALE_AT) === 0) continue;
      const startUs = memory.pageI64(marks + WINDOW_START_AT);
      ranges.push({ startUs, endUs: memory.pageI64(marks + WINDOW_END_AT) });
    }
    return ranges;
  }

  /** Tags of the keys of a window that wait to be put out. */
  tags(startUs: bigint): Uint32Array {
    const memory = this.#memory;
    const { mark, u32 } = memory;
    const marks = memory.call.findWindow(this.root, startUs);
    const list = memory.take(0);
    const count = memory.call.listRows(marks, this.#rowBytes, list);
    memory.rewind(list);
    memory.take(count * 4);
    const words = memory.words();
    const at = this.#at + REVISION_NEXT_AT;
    const waiting = u32
      .subarray(list / 4, list / 4 + count)
      .filter((row) => words[(row + at) / 4] === 1);
    u32.set(waiting, list / 4);
    const { keys } = this.#layout;
    memory.call.rowTags(list, waiting.length, keyPlaces(memory, this.#layout), keys.length);
    const tags = u32.slice(list / 4, list / 4 + waiting.length);
    memory.rewind(mark);
    return tags;
  }

  /** Brings back all marks of a window. */
  reachWhole(startUs: bigint): void {
    const marks = this.#memory.call.findWindow(this.root, startUs);
    if (marks !== 0) this.closed.reachWhole(marks);
  }

  /** Writes what is marked of a window to its rows, in a window of its own; gives the rows that were corrected. */
  write(startUs: bigint, window: number): number[] {
    const marks = this.#memory.call.findWindow(this.root, startUs);
    if (marks === 0) return [];
    const memory = this.#memory;
    const { mark } = memory;
    const list = memory.take(0);
    const count = memory.call.listRows(marks, this.#rowBytes, list);
    memory.rewind(list);
    memory.take(count * 4);
    const to = { window, offset: this.#revision, rowBytes: this.#layout.rowBytes };
    this.#copy({ list, count, from: this.#at }, to);
    const words = memory.words();
    const at = this.#revision + REVISION_NEXT_AT;
    const rows = [...memory.u32.subarray(list / 4, list / 4 + count)];
    memory.rewind(mark);
    return rows.filter((row) => words[(row + at) / 4] === 1);
  }

  /** Notes of the given rows of windows of their own, window by window, whether they are out. */
  keep(groups: readonly number[]): void {
    const words = this.#memory.words();
    const windowOf = (row: number): number => must(words[(row + ROW_WINDOW_AT) / 4], "window");
    for (const [window, rows] of Map.groupBy(groups, windowOf)) this.#keep(window, rows);
  }

  #keep(from: number, groups: readonly number[]): void {
    const memory = this.#memory;
    const { mark } = memory;
    const startUs = memory.pageI64(from + WINDOW_START_AT);
    const endUs = memory.pageI64(from + WINDOW_END_AT);
    const window = memory.call.reachWindow(this.root, startUs, startUs, endUs);
    this.closed.hold(window);
    const list = memory.take(groups.length * 4);
    memory.u32.set(groups, list / 4);
    const to = { window, offset: this.#at, rowBytes: this.#rowBytes };
    this.#copy({ list, count: groups.length, from: this.#revision }, to);
    memory.rewind(mark);
  }

  /** What is marked of a window was put out. */
  settle(startUs: bigint): void {
    const marks = this.#memory.call.findWindow(this.root, startUs);
    if (marks !== 0) this.#memory.call.settleMarks(this.root, marks, this.#at, this.#rowBytes);
  }

  /** Frees the marks of windows that start before a time, or end at or before another, which says the same. None of them is stale. */
  drop(beforeUs: bigint, finalUs: bigint): void {
    if (this.closed.oldestEndUs <= finalUs) this.closed.finish(finalUs);
    this.#memory.call.dropBefore(this.root, beforeUs);
  }

  /** Copies marks from one offset of listed rows to another of the rows of a window with the same keys, which take their place in the list. */
  #copy(
    rows: { readonly list: number; readonly count: number; readonly from: number },
    to: { readonly window: number; readonly offset: number; readonly rowBytes: number },
  ): void {
    const memory = this.#memory;
    const { keys } = this.#layout;
    const keysAt = memory.take(keys.length * KEY_COLUMN_BYTES);
    keys.forEach(({ offset, kind }, index) =>
      memory.u32.set([offset, kind, 0, 0], (keysAt + index * KEY_COLUMN_BYTES) / 4),
    );
    const { list, count, from } = rows;
    const { window, offset, rowBytes } = to;
    memory.call.copyMarks(list, count, from, window, offset, rowBytes, keysAt, keys.length);
  }
}
