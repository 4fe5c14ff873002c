// Verb: groups of windows -> batch images of the view's output columns and `revision`; which of the groups are part of the view (emit.ts).
// The kernels fill the columns in scratch.
import {
  PHYSICAL_I64,
  PHYSICAL_UTF8,
  ROW_WINDOW_AT,
  SOURCE_COUNT,
  WINDOW_END_AT,
  WINDOW_START_AT,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { lastOf } from "../base/steps.ts";
import { OUTPUT_IMAGE_BYTES_MAX, OUTPUT_ROWS_MAX } from "../limits.ts";
import { shownOf } from "./emit.ts";
import type { OutputLayout, RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { ScratchImage, type RowsImage } from "./scratch-image.ts";

export type { RowsImage };

/** Rows of one window within the list of row addresses: numbers `from` to `to` (exclusive). */
interface Segment {
  readonly startUs: bigint;
  readonly endUs: bigint;
  readonly from: number;
  to: number;
}

type RowOutput = Extract<OutputLayout, { from: "row" }>;

/** The groups of windows that are part of the view, in order, as images of at most OUTPUT_ROWS_MAX rows. */
export function windowImages(
  memory: FoldMemory,
  layout: RowLayout,
  windows: readonly number[],
): RowsImage[] {
  return lastOf(windowImageSteps(memory, layout, windows));
}

/** The same by steps of some ms at most, but for the one that finds which groups are part of the view. Between them nobody may use scratch or change a page. */
export function* windowImageSteps(
  memory: FoldMemory,
  layout: RowLayout,
  windows: readonly number[],
): Generator<void, RowsImage[]> {
  const mark = memory.mark;
  const list = listWindows(memory, layout, windows);
  yield;
  const images = yield* imageSteps(memory, layout, list);
  memory.rewind(mark);
  return images;
}

/** The groups at the given addresses, which stand window by window, as images: all of them. */
export function rowImages(
  memory: FoldMemory,
  layout: RowLayout,
  groups: readonly number[],
): RowsImage[] {
  const mark = memory.mark;
  const images = lastOf(writeImages(memory, layout, listGroups(memory, groups)));
  memory.rewind(mark);
  return images;
}

/** Addresses of all groups of windows, in order. */
export function groupsOf(
  memory: FoldMemory,
  layout: RowLayout,
  windows: readonly number[],
): number[] {
  const mark = memory.mark;
  const { rows, count } = listWindows(memory, layout, windows);
  const groups = [...memory.u32.subarray(rows / 4, rows / 4 + count)];
  memory.rewind(mark);
  return groups;
}

/** Those of the groups at the given addresses that are part of the view; for a top-N they are whole windows. */
export function shownGroups(
  memory: FoldMemory,
  layout: RowLayout,
  groups: readonly number[],
): readonly number[] {
  if (layout.shown === null || groups.length === 0) return groups;
  const mark = memory.mark;
  const list = listGroups(memory, groups);
  const images = lastOf(writeImages(memory, layout, list));
  const kept = shownOf(memory, layout.shown, images, firstsOf(list));
  memory.rewind(mark);
  return kept.map((number) => must(groups[number], "group"));
}

/** Lists the groups of windows in scratch. */
function listWindows(memory: FoldMemory, layout: RowLayout, windows: readonly number[]): RowList {
  const rows = memory.take(0);
  const segments: Segment[] = [];
  let count = 0;
  for (const window of windows) {
    const from = count;
    count += memory.call.listRows(window, layout.rowBytes, rows + from * 4);
    segments.push({
      startUs: memory.pageI64(window + WINDOW_START_AT),
      endUs: memory.pageI64(window + WINDOW_END_AT),
      from,
      to: count,
    });
  }
  memory.rewind(rows);
  memory.take(count * 4);
  return { rows, count, segments };
}

/** Lists groups in scratch. */
function listGroups(memory: FoldMemory, groups: readonly number[]): RowList {
  const rows = memory.take(groups.length * 4);
  memory.u32.set(groups, rows / 4);
  const segments: Segment[] = [];
  const words = memory.words();
  let window = 0;
  groups.forEach((row, index) => {
    const header = words[(row + ROW_WINDOW_AT) / 4] ?? 0;
    const last = segments.at(-1);
    if (header === window && last !== undefined) last.to = index + 1;
    else
      segments.push({
        startUs: memory.pageI64(header + WINDOW_START_AT),
        endUs: memory.pageI64(header + WINDOW_END_AT),
        from: index,
        to: index + 1,
      });
    window = header;
  });
  return { rows, count: groups.length, segments };
}

/** The rows whose addresses are listed at `rows`, as images, by steps as windowImageSteps. Their layout has the bounds of windows in the rows. */
export function listedImageSteps(
  memory: FoldMemory,
  layout: RowLayout,
  list: { readonly rows: number; readonly count: number },
): Generator<void, RowsImage[]> {
  return imageSteps(memory, layout, { ...list, segments: [] });
}

/** Rows whose addresses are listed, and whose windows they are. */
interface RowList {
  readonly rows: number;
  readonly count: number;
  readonly segments: readonly Segment[];
}

function* imageSteps(
  memory: FoldMemory,
  layout: RowLayout,
  list: RowList,
): Generator<void, RowsImage[]> {
  const images = yield* writeImages(memory, layout, list);
  if (layout.shown === null || list.count === 0) return images;
  const kept = shownOf(memory, layout.shown, images, firstsOf(list));
  if (kept.length === list.count) return images;
  const mark = memory.mark;
  const shown = yield* writeImages(memory, layout, keptRows(memory, list, kept));
  memory.rewind(mark);
  return shown;
}

/** Numbers of the first row of each window. */
function firstsOf({ segments }: RowList): number[] {
  return segments.map(({ from }) => from);
}

/** The rows of a list with the given numbers, in scratch. */
function keptRows(memory: FoldMemory, list: RowList, kept: readonly number[]): RowList {
  const rows = memory.take(kept.length * 4);
  kept.forEach((number, index) => {
    memory.u32[rows / 4 + index] = must(memory.u32[list.rows / 4 + number], "row");
  });
  let at = 0;
  const segments = list.segments.map((segment): Segment => {
    const from = at;
    while (at < kept.length && must(kept[at], "row") < segment.to) at++;
    return { ...segment, from, to: at };
  });
  return { rows, count: kept.length, segments };
}

function* writeImages(
  memory: FoldMemory,
  layout: RowLayout,
  list: RowList,
): Generator<void, RowsImage[]> {
  const images: RowsImage[] = [];
  const writer = new ImageWriter(memory, layout, list.rows, list.segments);
  for (let from = 0; from < list.count; from += OUTPUT_ROWS_MAX)
    yield* writer.write(images, from, Math.min(list.count, from + OUTPUT_ROWS_MAX));
  return images;
}

/** Rows `from` to `to` of the list. */
interface Range {
  readonly from: number;
  readonly to: number;
}

class ImageWriter {
  readonly #memory: FoldMemory;
  readonly #layout: RowLayout;
  readonly #rows: number;
  readonly #segments: readonly Segment[];

  constructor(memory: FoldMemory, layout: RowLayout, rows: number, segments: readonly Segment[]) {
    this.#memory = memory;
    this.#layout = layout;
    this.#rows = rows;
    this.#segments = segments;
  }

  /** Appends the image of rows `from` to `to`, or of their halves when it would be too large. */
  *write(images: RowsImage[], from: number, to: number): Generator<void, void> {
    if (to - from > 1 && this.#bytes(from, to) > OUTPUT_IMAGE_BYTES_MAX) {
      const middle = (from + to) >> 1;
      yield* this.write(images, from, middle);
      yield* this.write(images, middle, to);
      return;
    }
    const { outputs } = this.#layout;
    const columns = outputs.length + 1;
    const image = new ScratchImage(this.#memory, { rows: to - from, columns });
    for (const [ordinal, output] of outputs.entries()) {
      const { physical } = output;
      if (output.from !== "row")
        image.fixed(ordinal, physical, (values) => this.#bounds(output, { from, to }, values));
      else if (physical === PHYSICAL_UTF8)
        image.text(ordinal, this.#textBytes(output, from, to), (offsets, text, bits) =>
          this.#text(output, { from, to }, { offsets, text, bits }),
        );
      else
        image.fixed(ordinal, physical, (values, bits) =>
          this.#fixed(output, { from, to }, { values, bits }),
        );
      yield;
    }
    image.fixed(outputs.length, PHYSICAL_I64, (values, bits) =>
      this.#revision({ from, to }, { values, bits }),
    );
    images.push(image.finish());
    yield;
  }

  /** About the bytes of an image. */
  #bytes(from: number, to: number): number {
    let bytes = 0;
    for (const output of this.#layout.outputs) {
      bytes += (to - from) * 17;
      if (output.from === "row" && output.physical === PHYSICAL_UTF8)
        bytes += this.#textBytes(output, from, to);
    }
    return bytes;
  }

  #textBytes({ source, offset, x }: RowOutput, from: number, to: number): number {
    return Number(this.#memory.call.textBytes(this.#rows + from * 4, to - from, source, offset, x));
  }

  /** The number of late events in each row. */
  #revision(
    { from, to }: Range,
    { values, bits }: { readonly values: number; readonly bits: number },
  ): number {
    const { revision } = this.#layout;
    if (revision === null) return 0;
    const { call } = this.#memory;
    const rows = this.#rows + from * 4;
    return call.extract(rows, to - from, SOURCE_COUNT, revision, 0, PHYSICAL_I64, values, bits);
  }

  #bounds(output: OutputLayout, { from, to }: Range, values: number): number {
    for (const segment of this.#segments) {
      const first = Math.max(segment.from, from) - from;
      const last = Math.min(segment.to, to) - from;
      const value = output.from === "window_start" ? segment.startUs : segment.endUs;
      if (first < last) this.#memory.i64.fill(value, values / 8 + first, values / 8 + last);
    }
    return 0;
  }

  #fixed(
    { source, offset, x, physical }: RowOutput,
    { from, to }: Range,
    { values, bits }: { readonly values: number; readonly bits: number },
  ): number {
    const rows = this.#rows + from * 4;
    return this.#memory.call.extract(rows, to - from, source, offset, x, physical, values, bits);
  }

  #text(
    { source, offset, x }: RowOutput,
    { from, to }: Range,
    room: { readonly offsets: number; readonly text: number; readonly bits: number },
  ): number {
    return this.#memory.call.extractText(
      this.#rows + from * 4,
      to - from,
      source,
      offset,
      x,
      room.offsets,
      room.text,
      room.bits,
    );
  }
}
