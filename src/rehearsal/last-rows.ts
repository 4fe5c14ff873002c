// Verb: everything that a view has put out, and what it still holds -> the last state of every row, as SQL shows it.
import { imageRows, type Cell, type ImageColumn } from "../event/image.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { ViewOutput } from "../window/output.ts";
import type { Windows } from "../window/windows.ts";

/** The events need more state than there is room for, so a view stopped before the last of them. The message tells the view. */
export class NoRoomError extends Error {
  override readonly name = "NoRoomError";
}

/** Throws NoRoomError for a view that stopped: its rows would be those of some events only. */
export function refuseStopped(windows: Windows): void {
  for (const [view, { reason }] of windows.suspended)
    throw new NoRoomError(`view ${view} cannot hold these events: ${reason}`);
}

/** Columns of a view's rows: what it puts out, then `revision`. */
export function rowColumns({ output }: ViewPlan): ImageColumn[] {
  return [...output, { name: "revision", type: { kind: "BIGINT" }, nullable: false }];
}

/** Ordinals of the columns that tell rows apart: the window and the keys; without a window there are none, each row is new. */
export function keyColumns({ output, window }: ViewPlan): number[] {
  if (window === null) return [];
  return output.flatMap(({ source }, ordinal) => (source.kind === "aggregate" ? [] : [ordinal]));
}

/**
 * The rows of a view after `outputs` (all that it has put out, in order), what waits to be corrected, and its open windows; those of them to
 * `keep`. Throws NoRoomError when a view has stopped.
 */
export function lastRows(
  plan: ViewPlan,
  outputs: readonly ViewOutput[],
  windows: Windows,
  keep: (row: readonly Cell[]) => boolean = () => true,
): Cell[][] {
  refuseStopped(windows);
  const columns = rowColumns(plan);
  const keys = keyColumns(plan);
  const rows = new Map<string, Cell[]>();
  let appended = 0;
  const put = (image: Uint8Array, op: ViewOutput["op"]): void => {
    for (const row of imageRows(image, columns)) {
      if (op !== "delete" && !keep(row)) continue;
      const key = rowKey(row, keys);
      // A row that is appended is its own: were two put out with one key, both would be in the table.
      if (op === undefined) rows.set(rows.has(key) ? `${key}\u0000${appended++}` : key, row);
      else if (op === "upsert") rows.set(key, row);
      else rows.delete(key);
    }
  };
  for (const { kind, op, image } of outputs) if (kind === "rows") put(image, op);
  for (const { op, image } of windows.corrected(plan.name)) put(image, op);
  for (const { images } of windows.openWindows(plan.name))
    for (const { image } of images) put(image, undefined);
  return [...rows.values()];
}

/** A text that is the same for rows of equal keys, and for no others. */
export function rowKey(row: readonly Cell[], keys: readonly number[]): string {
  return keys.map((ordinal) => cellKey(row[ordinal] ?? null)).join(" ");
}

/** Texts and numbers of the same writing are not the same; 0 and -0 are, as in a group. A text says where it ends. */
function cellKey(cell: Cell): string {
  return typeof cell === "string" ? `s${cell.length}:${cell}` : `${typeof cell} ${String(cell)}`;
}
