// Verb: which of the rows that were put together are part of the view: those for which HAVING is true, then the first of each window. A
// function over output images, so that closed windows and open pictures, of whatever kind of window, share it.
import { CHUNK_ROWS } from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { readColumn, type Cell } from "../event/image.ts";
import type { SqlType } from "../event/schema.ts";
import { keyOrdinals, type Expr, type TopN, type ViewPlan } from "../view/plan.ts";
import { Batch } from "./batch.ts";
import { Lowering } from "./lower.ts";
import type { FoldMemory } from "./memory.ts";
import { VECTOR_BYTES } from "./program.ts";
import type { RowsImage } from "./scratch-image.ts";

/** What a plan says of its rows; null: all are part of the view. */
export interface ShownRows {
  readonly having: Expr | null;
  readonly topN: TopN | null;
  /** Ordinals of the group keys in the output: they break ties. */
  readonly keys: readonly number[];
  /** Types of the output columns. */
  readonly types: readonly SqlType[];
}

export function shownRows(plan: ViewPlan): ShownRows | null {
  const { having, topN, output } = plan;
  if (having === null && topN === null) return null;
  return { having, topN, keys: keyOrdinals(plan), types: output.map(({ type }) => type) };
}

/**
 * Numbers of the rows that are part of the view, ascending, out of all rows of `images` one behind the other. `windows`: numbers of the
 * first row of each window; each window is whole.
 */
export function shownOf(
  memory: FoldMemory,
  shown: ShownRows,
  images: readonly RowsImage[],
  windows: readonly number[],
): number[] {
  const rows: Row[] = [];
  let first = 0;
  for (const { image, rowCount } of images) {
    const mask = shown.having === null ? null : havingMask(memory, shown.having, image, rowCount);
    const columns = new Columns(image, shown.types);
    for (let row = 0; row < rowCount; row++)
      if (mask === null || mask[row] === 1) rows.push({ number: first + row, row, columns });
    first += rowCount;
  }
  const { topN } = shown;
  if (topN === null) return rows.map(({ number }) => number);
  const compare = rowOrder(topN, shown.keys);
  const kept: number[] = [];
  let at = 0;
  windows.forEach((_, index) => {
    const end = windows[index + 1] ?? first;
    const top: Row[] = [];
    for (; at < rows.length && must(rows[at], "row").number < end; at++)
      insert(top, must(rows[at], "row"), { limit: topN.limit, compare });
    kept.push(...top.map(({ number }) => number).toSorted((a, b) => a - b));
  });
  return kept;
}

/** A byte for each row of an image: 1 where the condition is true. Scratch is as before, and so are the columns that programs read. */
function havingMask(
  memory: FoldMemory,
  having: Expr,
  image: Uint8Array,
  rowCount: number,
): Uint8Array {
  const mark = memory.mark;
  const former = memory.columns;
  const batch = new Batch(memory);
  batch.open(image, rowCount);
  const lowering = new Lowering({
    eventTime: -1,
    window: null,
    dictionaries: new Set(),
    shared: null,
  });
  const register = lowering.rows(having, "value");
  for (const ordinal of lowering.columns) batch.load(ordinal);
  // The vectors of the program at hand may still be read: this one has its own.
  const room = {
    take: (bytes: number) => memory.take(bytes),
    vector: () => memory.take(VECTOR_BYTES),
  };
  const program = must(lowering.builder.finish(memory, room), "scratch for a program");
  const errors = memory.take(CHUNK_ROWS);
  memory.u8.fill(0, errors, errors + CHUNK_ROWS);
  const mask = memory.take(rowCount);
  const { address, count } = program.rows;
  for (let row = 0; row < rowCount; row += CHUNK_ROWS) {
    const rows = Math.min(CHUNK_ROWS, rowCount - row);
    memory.call.maskRows(
      address,
      count,
      program.registers,
      errors,
      row,
      rows,
      register,
      mask + row,
    );
  }
  const answer = memory.u8.slice(mask, mask + rowCount);
  memory.setColumns(former);
  memory.rewind(mark);
  return answer;
}

/** Columns of an image, read as values when they are first asked for. */
class Columns {
  readonly #image: Uint8Array;
  readonly #types: readonly SqlType[];
  readonly #values = new Map<number, readonly Cell[]>();

  constructor(image: Uint8Array, types: readonly SqlType[]) {
    this.#image = image;
    this.#types = types;
  }

  cell(ordinal: number, row: number): Cell {
    let values = this.#values.get(ordinal);
    if (values === undefined) {
      values = readColumn(this.#image, ordinal, must(this.#types[ordinal], "type"));
      this.#values.set(ordinal, values);
    }
    return values[row] ?? null;
  }
}

interface Row {
  /** Within all images. */
  readonly number: number;
  /** Within its image. */
  readonly row: number;
  readonly columns: Columns;
}

type Compare = (a: Row, b: Row) => number;

function rowOrder({ orderBy }: TopN, keys: readonly number[]): Compare {
  const orders = [
    ...orderBy,
    ...keys.map((ordinal) => ({ ordinal, descending: false, nullsFirst: false })),
  ];
  return (a, b) => {
    for (const { ordinal, descending, nullsFirst } of orders) {
      const [x, y] = [a.columns.cell(ordinal, a.row), b.columns.cell(ordinal, b.row)];
      if (x === null || y === null) {
        if (x !== y) return (x === null) === nullsFirst ? -1 : 1;
        continue;
      }
      const order = compareCells(x, y);
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  };
}

/** DuckDB's order: text by its UTF-8 bytes, NaN above all numbers and equal to itself. */
function compareCells(a: Exclude<Cell, null>, b: Exclude<Cell, null>): number {
  if (typeof a === "string" && typeof b === "string")
    return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (a < b) return -1;
  if (a > b) return 1;
  return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
}

/** Keeps the first `limit` rows in order. */
function insert(
  top: Row[],
  row: Row,
  { limit, compare }: { readonly limit: number; readonly compare: Compare },
): void {
  const last = top.at(-1);
  if (top.length === limit && last !== undefined && compare(row, last) >= 0) return;
  let [from, to] = [0, top.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (compare(must(top[middle], "row"), row) <= 0) from = middle + 1;
    else to = middle;
  }
  top.splice(from, 0, row);
  if (top.length > limit) top.pop();
}
