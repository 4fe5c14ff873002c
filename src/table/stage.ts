// Batch images waiting in export memory to become data pages, and their rows sorted by day. Reads descriptors only; pages are made
// by chunk.ts.
import {
  COLUMN_BYTES,
  COLUMN_DICT_COUNT_AT,
  COLUMN_DICT_OFFSETS_AT,
  COLUMN_ENCODING_AT,
  COLUMN_TEXT_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  ENCODING_DICTIONARY,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  IMAGE_MAGIC_AT,
  IMAGE_ROWS_AT,
  IMAGE_STORED_BYTES_AT,
} from "../../kernels/abi.ts";
import { assert } from "../base/assert.ts";
import { EPOCH_DAYS_MAX, PAGE_ROWS_MAX, STAGE_BYTES } from "../limits.ts";
import { addImageDays } from "./image-days.ts";
import type { ExportRoom } from "./room.ts";

/** A value that all rows of one segment share: received_at, _position (bigint); stream, view (string). */
export type Constant = bigint | string;

/** A column of a staged image: addresses in export memory. `validity` 0 = no nulls; `values` 0 = all zero. */
export interface StagedColumn {
  readonly dictionary: boolean;
  readonly validity: number;
  readonly values: number;
  readonly text: number;
  readonly dictionaryEntries: number;
  readonly dictionaryOffsets: number;
}

/** What parts rows by its day: the ordinal of a TIMESTAMPTZ column of the images, or the first constant of each; null = nothing. */
export type DayColumn = number | "received_at" | null;

/** One staged image. */
export interface Segment {
  readonly rowCount: number;
  readonly columns: readonly StagedColumn[];
  readonly constants: readonly Constant[];
}

/** Rows of one segment: as kernels take them (kernels/export.ts), `rows` 0 or the address of ordinals. */
export interface Slice {
  readonly segment: Segment;
  readonly rows: number;
  readonly from: number;
  readonly count: number;
}

/** The rows of one day (since the epoch, UTC), in the order in which they came; null for a table without days. */
export interface DaySlices {
  readonly day: number | null;
  readonly slices: readonly Slice[];
}

const US_PER_DAY = 86_400_000_000;
const DAY_NONE = 0x7fffffffffffffffn;

/** Staged images of one table, kept by reference; they share the room's arena, which is filled and used within one `take`. */
export class Stage {
  readonly #room: ExportRoom;
  readonly #dayColumn: DayColumn;
  #images: Uint8Array[] = [];
  #constants: (readonly Constant[])[] = [];
  /** By image: the days that its rows lie on, and perhaps some others. */
  #imageDays: ReadonlySet<number>[] = [];
  #days = new Set<number>();
  rowCount = 0;
  imageBytes = 0;

  constructor(room: ExportRoom, dayColumn: DayColumn) {
    this.#room = room;
    this.#dayColumn = dayColumn;
  }

  /** Keeps an image (not copied: it must not change) until the next `take`. */
  add(image: Uint8Array, constants: readonly Constant[]): void {
    const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
    assert(view.getUint32(IMAGE_MAGIC_AT, true) === IMAGE_MAGIC, "a batch image begins with MRB1");
    this.#images.push(image);
    this.#constants.push(constants);
    this.rowCount += view.getUint32(IMAGE_ROWS_AT, true);
    this.imageBytes += view.getUint32(IMAGE_STORED_BYTES_AT, true);
    if (this.#dayColumn === null) return;
    const days = new Set<number>();
    if (this.#dayColumn === "received_at") days.add(dayOfReceipt(constants));
    else addImageDays(image, this.#dayColumn, days);
    this.#imageDays.push(days);
    for (const day of days) this.#days.add(day);
  }

  /** Whether its rows lie on more days than an epoch should have. */
  get isWide(): boolean {
    return this.#days.size > EPOCH_DAYS_MAX;
  }

  /** The days of its rows, and perhaps some others. */
  days(): ReadonlySet<number> {
    return this.#days;
  }

  /** Copies all staged images into export memory, as `take`, and picks the rows of some days; the stage keeps them all. */
  takeDays(wanted: ReadonlySet<number | null>): DaySlices[] {
    const segments = this.#load();
    const { kernels, results } = this.#room;
    const slices = new Map<number, Slice[]>();
    let selectionAt = this.#room.selection.atLeast(this.rowCount * 4 + 8);
    for (const [index, segment] of segments.entries())
      for (const day of this.#imageDays[index] ?? []) {
        if (!wanted.has(day)) continue;
        const { rowCount } = segment;
        if (this.#dayColumn === "received_at") {
          slices.set(day, [...(slices.get(day) ?? []), wholeSlice(segment)]);
          continue;
        }
        const times = this.#times(segment, this.#dayColumn ?? 0);
        const count = kernels.selectDay(times, rowCount, BigInt(day), selectionAt, results);
        if (count === 0) continue;
        const list = slices.get(day) ?? [];
        list.push({ segment, rows: selectionAt, from: 0, count });
        slices.set(day, list);
        selectionAt += count * 4;
      }
    return [...slices].map(([day, list]) => ({ day, slices: list }));
  }

  /** Copies all staged images into export memory and sorts their rows by day; the stage is empty then. Valid until the next `take` of any stage. */
  take(): DaySlices[] {
    const segments = this.#load();
    const days =
      this.#dayColumn === null ? wholeOf(segments) : this.#byDay(segments, this.#dayColumn);
    this.#images = [];
    this.#constants = [];
    this.#imageDays = [];
    this.#days = new Set();
    this.rowCount = 0;
    this.imageBytes = 0;
    return days;
  }

  #load(): Segment[] {
    let at = this.#room.arena.atLeast(Math.max(STAGE_BYTES, this.imageBytes));
    this.#room.zeros.atLeast(Math.max(PAGE_ROWS_MAX, this.rowCount) * 16 + 16);
    return this.#images.map((image, index) => {
      const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
      const storedBytes = view.getUint32(IMAGE_STORED_BYTES_AT, true);
      this.#room.bytes(at, storedBytes).set(image.subarray(0, storedBytes));
      const segment = {
        rowCount: view.getUint32(IMAGE_ROWS_AT, true),
        columns: stagedColumns(view, at),
        constants: this.#constants[index] ?? [],
      };
      at += storedBytes;
      return segment;
    });
  }

  #byDay(segments: readonly Segment[], dayColumn: number | "received_at"): DaySlices[] {
    const { kernels, results } = this.#room;
    const days = new Map<number, Slice[]>();
    const put = (day: number, slice: Slice): void => {
      const slices = days.get(day);
      if (slices === undefined) days.set(day, [slice]);
      else slices.push(slice);
    };
    // each row is in one selection; the kernel may write one ordinal past each
    let selectionAt = this.#room.selection.atLeast(this.rowCount * 4 + 8);
    for (const segment of segments) {
      if (segment.rowCount === 0) continue;
      if (dayColumn === "received_at") {
        put(dayOfReceipt(segment.constants), wholeSlice(segment));
        continue;
      }
      const times = this.#times(segment, dayColumn);
      kernels.daySpan(times, segment.rowCount, results);
      const span = this.#room.view(results, 16);
      const [first, last] = [span.getBigInt64(0, true), span.getBigInt64(8, true)];
      if (first === last) {
        put(Number(first), wholeSlice(segment));
        continue;
      }
      for (let day = first; day !== DAY_NONE;) {
        const count = kernels.selectDay(times, segment.rowCount, day, selectionAt, results);
        put(Number(day), { segment, rows: selectionAt, from: 0, count });
        selectionAt += count * 4;
        day = this.#room.view(results, 8).getBigInt64(0, true);
      }
    }
    return [...days].map(([day, slices]) => ({ day, slices }));
  }

  #times(segment: Segment, dayColumn: number): number {
    const column = segment.columns[dayColumn];
    assert(column !== undefined, "the image has its time column");
    assert(column.validity === 0, "the time that parts a table is never null");
    return column.values === 0 ? this.#room.zeros.atLeast(0) : column.values;
  }
}

function wholeOf(segments: readonly Segment[]): DaySlices[] {
  const slices = segments.filter((segment) => segment.rowCount > 0).map(wholeSlice);
  return slices.length === 0 ? [] : [{ day: null, slices }];
}

function wholeSlice(segment: Segment): Slice {
  return { segment, rows: 0, from: 0, count: segment.rowCount };
}

/** The day of the received_at that all rows of an image share: its first constant. */
function dayOfReceipt([receivedAtUs]: readonly Constant[]): number {
  assert(typeof receivedAtUs === "bigint", "the first constant is received_at");
  return Math.floor(Number(receivedAtUs) / US_PER_DAY);
}

function stagedColumns(view: DataView, base: number): StagedColumn[] {
  const columns: StagedColumn[] = [];
  for (let ordinal = 0; ordinal < view.getUint32(IMAGE_COLUMNS_AT, true); ordinal++) {
    const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    const address = (field: number): number => {
      const offset = view.getUint32(at + field, true);
      return offset === 0 ? 0 : base + offset;
    };
    columns.push({
      dictionary: view.getUint8(at + COLUMN_ENCODING_AT) === ENCODING_DICTIONARY,
      validity: address(COLUMN_VALIDITY_AT),
      values: address(COLUMN_VALUES_AT),
      text: address(COLUMN_TEXT_AT),
      dictionaryEntries: view.getUint32(at + COLUMN_DICT_COUNT_AT, true),
      dictionaryOffsets: address(COLUMN_DICT_OFFSETS_AT),
    });
  }
  return columns;
}

/** Cuts the slices of one day into pages of at most `rowsMax` rows. */
export function pagesOf(slices: readonly Slice[], rowsMax: number): Slice[][] {
  const pages: Slice[][] = [];
  let page: Slice[] = [];
  let room = rowsMax;
  for (const slice of slices) {
    let { from, count } = slice;
    while (count > 0) {
      const part = Math.min(count, room);
      page.push({ ...slice, from, count: part });
      from += part;
      count -= part;
      room -= part;
      if (room > 0) continue;
      pages.push(page);
      page = [];
      room = rowsMax;
    }
  }
  if (page.length > 0) pages.push(page);
  return pages;
}
