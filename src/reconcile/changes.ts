// Verb (pure): rows of a view as they should be, and as they are -> the images that change the latter into the former. A row is a function
// of its events: those in time are in both, so equal numbers of late ones (`revision`) are equal rows.
import { must } from "../base/assert.ts";
import { buildImage, type Cell } from "../event/image.ts";
import { OUTPUT_ROWS_MAX } from "../limits.ts";
import type { ReconciledRows } from "../log/reconcile-control.ts";
import { keyColumns, rowColumns, rowKey } from "../rehearsal/last-rows.ts";
import { askedCell } from "../rehearsal/relation.ts";
import type { ViewPlan } from "../view/plan.ts";

type Row = readonly Cell[];

/** Rows to put out anew, then rows that are no longer part of the view. */
export function changesOf(
  plan: ViewPlan,
  wanted: readonly Row[],
  present: readonly Row[],
): ReconciledRows[] {
  const keys = keyColumns(plan);
  const revisionOf = (row: Row): Cell => must(row.at(-1), "revision");
  const before = new Map(present.map((row) => [rowKey(row, keys), row]));
  const upserts = wanted.filter((row) => {
    const key = rowKey(row, keys);
    const known = before.get(key);
    before.delete(key);
    return known === undefined || revisionOf(known) !== revisionOf(row);
  });
  return [...imagesOf(plan, "upsert", upserts), ...imagesOf(plan, "delete", [...before.values()])];
}

function imagesOf(
  plan: ViewPlan,
  op: ReconciledRows["op"],
  rows: readonly Row[],
): ReconciledRows[] {
  const images: ReconciledRows[] = [];
  for (let from = 0; from < rows.length; from += OUTPUT_ROWS_MAX) {
    const part = rows.slice(from, from + OUTPUT_ROWS_MAX);
    const image = buildImage(rowColumns(plan), part);
    images.push({ view: plan.name, op, rowCount: part.length, image });
  }
  return images;
}

/** Cells of a row that was asked for. FLOAT is told by its shortest digits: the number that a float is, as images have it. */
export function presentCells(plan: ViewPlan, row: readonly unknown[]): Cell[] {
  return rowColumns(plan).map((column, at) => {
    const cell = askedCell(row[at], column);
    return column.type.kind === "FLOAT" && typeof cell === "number" ? Math.fround(cell) : cell;
  });
}
