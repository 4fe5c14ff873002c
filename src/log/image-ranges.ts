// Where an image is cut before it is packed (image-pack.ts): at each buffer, by what it holds. Pure; owns no bytes of any format.
import {
  COLUMN_BYTES,
  COLUMN_DICT_COUNT_AT,
  COLUMN_DICT_OFFSETS_AT,
  COLUMN_ENCODING_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_TEXT_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  ENCODING_DICTIONARY,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  IMAGE_MAGIC_AT,
  IMAGE_ROWS_AT,
  COLUMN_TEXT_BYTES_AT,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";

/** From here on a buffer has a frame of its own: with 4 KB records of 1,000 clicks took 25 ns more an event, and 1.5 bytes less. */
export const FRAME_BYTES_MIN = 12_288;
/** Wider rows are texts, whose words repeat at other places than a row's beginning. */
export const PLANE_WIDTH_MAX = 256;
/** Texts of which so many lie where equal lengths put them are taken to be of one length. */
const WIDTH_SAMPLES = 16;

const WORD_BYTES = 4;

/** Bytes of a number where planes pay. Floating-point numbers differ in most bytes, and zstd finds more in them as they are. */
const NUMBER_BYTES: ReadonlyMap<number, number> = new Map([
  [PHYSICAL_I32, 4],
  [PHYSICAL_I64, 8],
  [PHYSICAL_I128, 16],
]);

/** What a range of the image holds. */
type Content = "bytes" | "offsets" | "codes" | "rows";

/** A range of the image that begins at `at`; the next one ends it. */
export interface Range {
  readonly at: number;
  readonly content: Content;
  /** Codes: entries of their dictionary, a hint only. Rows: bytes of each. */
  readonly size: number;
}

/**
 * Cuts an image where its buffers begin, and where those of numbers end; null when it is none. Nothing depends on where the cuts are but
 * how well the pieces compress.
 */
export function rangesOf(image: Uint8Array): Range[] | null {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const columnCount = view.getUint32(IMAGE_COLUMNS_AT, true);
  const bodyAt = IMAGE_HEADER_BYTES + columnCount * COLUMN_BYTES;
  if (
    view.getUint32(IMAGE_MAGIC_AT, true) !== IMAGE_MAGIC ||
    bodyAt > image.length ||
    image.byteOffset % 8 !== 0
  )
    return null;
  const ranges: Range[] = [{ at: 0, content: "bytes", size: 0 }];
  for (let at = IMAGE_HEADER_BYTES; at < bodyAt; at += COLUMN_BYTES) cutColumn(view, at, ranges);
  return inOrder(ranges, image.length);
}

/** Adds the ranges of the column whose descriptor is at `at`. */
function cutColumn(view: DataView, at: number, ranges: Range[]): void {
  const cut = (from: number, bytes: number, content: Content, size = 0): void => {
    if (from === 0) return;
    ranges.push({ at: from, content, size });
    if (content !== "bytes") ranges.push({ at: from + bytes, content: "bytes", size: 0 });
  };
  const rowCount = view.getUint32(IMAGE_ROWS_AT, true);
  const physical = view.getUint8(at + COLUMN_PHYSICAL_AT);
  const entries = view.getUint32(at + COLUMN_DICT_COUNT_AT, true);
  const valuesAt = view.getUint32(at + COLUMN_VALUES_AT, true);
  const textAt = view.getUint32(at + COLUMN_TEXT_AT, true);
  cut(view.getUint32(at + COLUMN_VALIDITY_AT, true), 0, "bytes");
  if (physical !== PHYSICAL_UTF8) {
    const width = NUMBER_BYTES.get(physical);
    if (width === undefined) cut(valuesAt, 0, "bytes");
    else cut(valuesAt, rowCount * width, "rows", width);
  } else if (view.getUint8(at + COLUMN_ENCODING_AT) === ENCODING_DICTIONARY) {
    cut(valuesAt, rowCount * WORD_BYTES, "codes", entries);
    cut(view.getUint32(at + COLUMN_DICT_OFFSETS_AT, true), (entries + 1) * WORD_BYTES, "offsets");
    cut(textAt, 0, "bytes");
  } else {
    const textBytes = view.getUint32(at + COLUMN_TEXT_BYTES_AT, true);
    const width = textWidth(view, { rowCount, valuesAt, textBytes });
    cut(valuesAt, (rowCount + 1) * WORD_BYTES, "offsets");
    if (width === 0) cut(textAt, 0, "bytes");
    else cut(textAt, textBytes, "rows", width);
  }
}

/** The length of all texts of a column, to go by a few of them; 0 when they differ, or planes would not pay. */
function textWidth(
  view: DataView,
  column: { readonly rowCount: number; readonly valuesAt: number; readonly textBytes: number },
): number {
  const { rowCount, valuesAt, textBytes } = column;
  // an integer to the engine too, which it would not be after a division: with floating-point widths the loops are five times slower
  const width = (textBytes / rowCount) | 0;
  if (width * rowCount !== textBytes || width < WORD_BYTES || width > PLANE_WIDTH_MAX) return 0;
  if (valuesAt + rowCount * WORD_BYTES > view.byteLength) return 0;
  for (let part = 1; part < WIDTH_SAMPLES; part++) {
    const row = Math.floor((rowCount * part) / WIDTH_SAMPLES);
    if (view.getUint32(valuesAt + row * WORD_BYTES, true) !== row * width) return 0;
  }
  return width;
}

/** Ranges by place, without empty ones and those outside, small neighbours as one. Where two overlap the second begins the next piece. */
function inOrder(ranges: readonly Range[], imageBytes: number): Range[] {
  const sorted = ranges
    .filter(({ at }) => at < imageBytes)
    .toSorted((one, other) => one.at - other.at);
  const kept: Range[] = [];
  for (const [index, range] of sorted.entries()) {
    const end = sorted[index + 1]?.at ?? imageBytes;
    if (end === range.at) continue;
    const before = kept.at(-1);
    const isSmall = range.content === "bytes" && end - range.at < FRAME_BYTES_MIN;
    if (isSmall && before?.content === "bytes" && range.at - before.at < FRAME_BYTES_MIN) continue;
    kept.push(range);
  }
  return kept;
}
