// Verb: groups of windows -> batch images of the view's output columns and `revision`. The kernels fill the columns in scratch, this
// file lays them out (kernels/abi.ts) and copies the image out.
import {
  COLUMN_BYTES,
  COLUMN_NULLS_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_TEXT_AT,
  COLUMN_TEXT_BYTES_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  IMAGE_MAGIC_AT,
  IMAGE_ROWS_AT,
  IMAGE_STORED_BYTES_AT,
  IMAGE_TOTAL_BYTES_AT,
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  PHYSICAL_UTF8,
  ROW_WINDOW_AT,
  SOURCE_COUNT,
  WINDOW_END_AT,
  WINDOW_START_AT,
} from "../../kernels/abi.ts";
import { OUTPUT_IMAGE_BYTES_MAX, OUTPUT_ROWS_MAX } from "../limits.ts";
import type { OutputLayout, RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";

/** An image of output rows. */
export interface RowsImage {
  readonly rowCount: number;
  readonly image: Uint8Array;
}

/** Rows of one window within the list of row addresses: numbers `from` to `to` (exclusive). */
interface Segment {
  readonly startUs: bigint;
  readonly endUs: bigint;
  readonly from: number;
  to: number;
}

type RowOutput = Extract<OutputLayout, { from: "row" }>;

/** The groups of windows, in order, as images of at most OUTPUT_ROWS_MAX rows. */
export function windowImages(
  memory: FoldMemory,
  layout: RowLayout,
  windows: readonly number[],
): RowsImage[] {
  const mark = memory.mark;
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
  memory.take(count * 4);
  const images = imagesOf(memory, layout, { rows, count, segments });
  memory.rewind(mark);
  return images;
}

/** The groups at the given addresses, which stand window by window, as images. */
export function rowImages(
  memory: FoldMemory,
  layout: RowLayout,
  groups: readonly number[],
): RowsImage[] {
  const mark = memory.mark;
  const rows = memory.take(groups.length * 4);
  memory.u32.set(groups, rows / 4);
  const segments: Segment[] = [];
  let window = 0;
  groups.forEach((row, index) => {
    const header = memory.pageU32(row + ROW_WINDOW_AT);
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
  const images = imagesOf(memory, layout, { rows, count: groups.length, segments });
  memory.rewind(mark);
  return images;
}

/** The rows whose addresses are listed at `rows`, as images. Their layout has the bounds of windows in the rows. */
export function listedImages(
  memory: FoldMemory,
  layout: RowLayout,
  list: { readonly rows: number; readonly count: number },
): RowsImage[] {
  return imagesOf(memory, layout, { ...list, segments: [] });
}

function imagesOf(
  memory: FoldMemory,
  layout: RowLayout,
  list: { readonly rows: number; readonly count: number; readonly segments: readonly Segment[] },
): RowsImage[] {
  const images: RowsImage[] = [];
  const writer = new ImageWriter(memory, layout, list.rows, list.segments);
  for (let from = 0; from < list.count; from += OUTPUT_ROWS_MAX)
    writer.write(images, from, Math.min(list.count, from + OUTPUT_ROWS_MAX));
  return images;
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
  write(images: RowsImage[], from: number, to: number): void {
    if (to - from > 1 && this.#bytes(from, to) > OUTPUT_IMAGE_BYTES_MAX) {
      const middle = (from + to) >> 1;
      this.write(images, from, middle);
      this.write(images, middle, to);
      return;
    }
    const memory = this.#memory;
    const mark = memory.mark;
    const columns = this.#layout.outputs.length + 1;
    const head = IMAGE_HEADER_BYTES + columns * COLUMN_BYTES;
    const base = this.#zeroed(head);
    this.#layout.outputs.forEach((output, index) => {
      const at = base + IMAGE_HEADER_BYTES + index * COLUMN_BYTES;
      memory.data.setUint8(at + COLUMN_PHYSICAL_AT, output.physical);
      if (output.from !== "row") this.#bounds(base, at, { output, from, to });
      else if (output.physical === PHYSICAL_UTF8) this.#text(base, at, { output, from, to });
      else this.#fixed(base, at, { output, from, to });
    });
    this.#revision(base, base + head - COLUMN_BYTES, { from, to });
    const bytes = memory.mark - base;
    const word = (offset: number, value: number): void =>
      memory.data.setUint32(base + offset, value, true);
    word(IMAGE_MAGIC_AT, IMAGE_MAGIC);
    word(IMAGE_ROWS_AT, to - from);
    word(IMAGE_COLUMNS_AT, columns);
    word(IMAGE_TOTAL_BYTES_AT, bytes);
    word(IMAGE_STORED_BYTES_AT, bytes);
    images.push({ rowCount: to - from, image: memory.u8.slice(base, memory.mark) });
    memory.rewind(mark);
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

  /** Zeroed bytes, a multiple of 8 of them and nothing between them and the next. */
  #zeroed(bytes: number): number {
    const memory = this.#memory;
    const address = memory.mark;
    const end = address + Math.ceil(bytes / 8) * 8;
    memory.take(end - address);
    memory.rewind(end);
    memory.u8.fill(0, address, end);
    return address;
  }

  /** The number of late events in each row. */
  #revision(base: number, at: number, { from, to }: { from: number; to: number }): void {
    const { data, call } = this.#memory;
    const values = this.#zeroed((to - from) * 8);
    data.setUint8(at + COLUMN_PHYSICAL_AT, PHYSICAL_I64);
    data.setUint32(at + COLUMN_VALUES_AT, values - base, true);
    const { revision } = this.#layout;
    if (revision === null) return;
    const rows = this.#rows + from * 4;
    const bits = this.#zeroed(Math.ceil((to - from) / 8));
    call.extract(rows, to - from, SOURCE_COUNT, revision, 0, PHYSICAL_I64, values, bits);
    this.#memory.rewind(bits);
  }

  #bounds(
    base: number,
    at: number,
    part: { output: OutputLayout; from: number; to: number },
  ): void {
    const { output, from, to } = part;
    const values = this.#zeroed((to - from) * 8);
    this.#memory.data.setUint32(at + COLUMN_VALUES_AT, values - base, true);
    for (const segment of this.#segments) {
      const first = Math.max(segment.from, from) - from;
      const last = Math.min(segment.to, to) - from;
      const value = output.from === "window_start" ? segment.startUs : segment.endUs;
      if (first < last) this.#memory.i64.fill(value, values / 8 + first, values / 8 + last);
    }
  }

  #fixed(base: number, at: number, part: { output: RowOutput; from: number; to: number }): void {
    const { output, from, to } = part;
    const count = to - from;
    const values = this.#zeroed(valueBytes(output.physical, count));
    const bits = this.#zeroed(Math.ceil(count / 8));
    const nulls = this.#memory.call.extract(
      this.#rows + from * 4,
      count,
      output.source,
      output.offset,
      output.x,
      output.physical,
      values,
      bits,
    );
    this.#memory.data.setUint32(at + COLUMN_VALUES_AT, values - base, true);
    this.#validity(base, at, { nulls, bits });
  }

  #text(base: number, at: number, part: { output: RowOutput; from: number; to: number }): void {
    const { output, from, to } = part;
    const count = to - from;
    const textBytes = this.#textBytes(output, from, to);
    const offsets = this.#zeroed((count + 1) * 4);
    const text = this.#zeroed(textBytes);
    const bits = this.#zeroed(Math.ceil(count / 8));
    const nulls = this.#memory.call.extractText(
      this.#rows + from * 4,
      count,
      output.source,
      output.offset,
      output.x,
      offsets,
      text,
      bits,
    );
    const { data } = this.#memory;
    data.setUint32(at + COLUMN_VALUES_AT, offsets - base, true);
    data.setUint32(at + COLUMN_TEXT_AT, text - base, true);
    data.setUint32(at + COLUMN_TEXT_BYTES_AT, textBytes, true);
    this.#validity(base, at, { nulls, bits });
  }

  /** Keeps the validity bitmap, the last buffer so far, or gives its room back when every value is valid. */
  #validity(base: number, at: number, part: { nulls: number; bits: number }): void {
    if (part.nulls === 0) return this.#memory.rewind(part.bits);
    this.#memory.data.setUint32(at + COLUMN_NULLS_AT, part.nulls, true);
    this.#memory.data.setUint32(at + COLUMN_VALIDITY_AT, part.bits - base, true);
  }
}

function valueBytes(physical: number, count: number): number {
  if (physical === PHYSICAL_BOOL) return Math.ceil(count / 8);
  if (physical === PHYSICAL_I128) return count * 16;
  return physical === PHYSICAL_I32 || physical === PHYSICAL_F32 ? count * 4 : count * 8;
}
