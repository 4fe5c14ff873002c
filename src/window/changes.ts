// Verb: rows of closed windows that late events changed -> what is to be put out again, and what is no longer part of the view. Where HAVING or
// a top-N decides which rows are part of it, each row tells whether it is out (REVISION_SHOWN_AT), so that only the difference is put out.
import { REVISION_SHOWN_AT, ROW_WINDOW_AT } from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { groupsOf, rowImages, shownGroups, windowImages, type RowsImage } from "./images.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";

/** Rows that take the place of those with the same keys, or that go away. */
export interface ChangedRows extends RowsImage {
  readonly op: "upsert" | "delete";
}

/** Addresses of rows, window by window. */
export interface Changes {
  readonly upserts: readonly number[];
  readonly deletes: readonly number[];
}

/**
 * What changes in the view now that the rows `touched`, window by window, have changed: a top-N may let in or push out others of their
 * windows.
 */
export function changesOf(
  memory: FoldMemory,
  layout: RowLayout,
  touched: readonly number[],
): Changes {
  if (layout.shown === null || touched.length === 0) return { upserts: touched, deletes: [] };
  const isTop = layout.shown.topN !== null;
  const rows = isTop ? groupsOf(memory, layout, windowsOf(memory, touched)) : touched;
  const shown = new Set(shownGroups(memory, layout, rows));
  const changed = new Set(touched);
  const words = memory.words();
  const at = must(layout.revision, "a revision in the rows") + REVISION_SHOWN_AT;
  const isOut = (row: number): boolean => words[(row + at) / 4] === 1;
  return {
    upserts: rows.filter((row) => shown.has(row) && (changed.has(row) || !isOut(row))),
    deletes: rows.filter((row) => !shown.has(row) && isOut(row)),
  };
}

/** Headers of the windows of rows, which stand window by window. */
function windowsOf(memory: FoldMemory, rows: readonly number[]): number[] {
  const words = memory.words();
  return [...new Set(rows.map((row) => must(words[(row + ROW_WINDOW_AT) / 4], "window")))];
}

/** The rows of changes as they are now. */
export function changedImages(
  memory: FoldMemory,
  layout: RowLayout,
  { upserts, deletes }: Changes,
): ChangedRows[] {
  const images = (rows: readonly number[], op: ChangedRows["op"]): ChangedRows[] =>
    rowImages(memory, layout, rows).map((image) => ({ op, ...image }));
  return [...images(deletes, "delete"), ...images(upserts, "upsert")];
}

/** From now on what changes is out. */
export function markOut(
  memory: FoldMemory,
  layout: RowLayout,
  { upserts, deletes }: Changes,
): void {
  if (layout.shown === null) return;
  setShown(memory, layout, upserts, 1);
  setShown(memory, layout, deletes, 0);
}

/** The rows of windows that are put out for the first time and kept. `out`: those that are marked as out, where not all are part of the view. */
export function closedImages(
  memory: FoldMemory,
  layout: RowLayout,
  windows: readonly number[],
): { readonly images: readonly RowsImage[]; readonly out: readonly number[] } {
  if (layout.shown === null) return { images: windowImages(memory, layout, windows), out: [] };
  const out = shownGroups(memory, layout, groupsOf(memory, layout, windows));
  setShown(memory, layout, out, 1);
  return { images: rowImages(memory, layout, out), out };
}

function setShown(
  memory: FoldMemory,
  layout: RowLayout,
  rows: readonly number[],
  value: 0 | 1,
): void {
  const { mark } = memory;
  const list = memory.take(rows.length * 4);
  memory.u32.set(rows, list / 4);
  const revision = must(layout.revision, "a revision in the rows");
  memory.call.setShown(revision, list, rows.length, value);
  memory.rewind(mark);
}

/** Changed rows as outputs of a view at a position. */
export function changeOutputs(
  rows: readonly ChangedRows[],
  view: string,
  position: number,
): ViewOutput[] {
  return rows.map((row) => ({ view, kind: "rows", position, ...row }));
}
