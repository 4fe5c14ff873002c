// A batch image as the log stores it: columns apart, each in a zstd frame of its own, and numbers of text columns narrow. Owns that
// form and nothing else: what goes in comes out byte for byte, whatever the bytes are.
//
// One frame for the whole image made 48 bytes of a bench click, this form makes 27 of it in less time: a frame for each large buffer has
// a Huffman table and matches of its own kind, and offsets, which never repeat, become lengths, which mostly do.
//
// Packed form, little-endian:
//    0 u32 number of frames      4 u32 bytes of the first frame, raw
//    8 u32 for each frame: its bytes as stored, with STORED_ZSTD when it is a zstd frame
//      the frames. The first is the gathered one, raw: u32 number of pieces, u32 for each piece, from the next multiple of 8 on their bytes
// A piece is a range of the image; together, in order, they are the image. Its word: bytes in the image, form << FORM_SHIFT. Pieces of
// FORM_FRAME are a frame each, as they are; all others lie in the gathered frame, each from a multiple of 8 on. FORM_BYTES: as they are.
// FORM_LENGTHS: int32 offsets as the differences to the one before, first to 0. FORM_CODES: uint32 codes of dictionaries. Both in the
// fewest of 1, 2 or 4 bytes that hold all of the piece.
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
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { compressIfItPays, decompress } from "../base/zstd.ts";

/** Below this a packed image is hardly smaller than one frame of it, and takes longer. */
const PACK_BYTES_MIN = 8192;
/** From here on a buffer has a frame of its own: with 4 KB records of 1,000 clicks took 25 ns more an event, and 1.5 bytes less. */
const FRAME_BYTES_MIN = 12_288;
/** Above this an image is not packed: its lengths would reach the bits of the forms. */
const PACK_BYTES_MAX = 0x0800_0000;

const STORED_ZSTD = 0x8000_0000;
const FORM_SHIFT = 27;
const FORM_FRAME = 0;
const FORM_BYTES = 1;
const FORM_LENGTHS_1 = 2;
const FORM_LENGTHS_2 = 3;
const FORM_LENGTHS_4 = 4;
const FORM_CODES_1 = 5;
const FORM_CODES_2 = 6;
const FORM_CODES_4 = 7;
const PREFIX_BYTES = 8;
const WORD_BYTES = 4;

/** What a range of the image holds. */
type Content = "bytes" | "offsets" | "codes";

/** A range of the image that begins at `at`; the next one ends it. */
interface Range {
  readonly at: number;
  readonly content: Content;
  /** Dictionary codes: their number of entries; a hint only. */
  readonly entries: number;
}

/** Packs images, one after another, through memory that it keeps. */
export class ImagePacker {
  #memory: Uint8Array = new Uint8Array(0);
  #to = 0;

  /** The parts of the packed form, in order, valid until the next call; null when the image is better compressed in one piece. */
  pack(image: Uint8Array): Uint8Array[] | null {
    if (image.length < PACK_BYTES_MIN || image.length >= PACK_BYTES_MAX) return null;
    const ranges = rangesOf(image);
    if (ranges === null) return null;
    const frames: Uint8Array[] = [];
    const words = this.#reserve(image.length, ranges.length);
    words[0] = ranges.length;
    for (const [index, range] of ranges.entries()) {
      const bytes = (ranges[index + 1]?.at ?? image.length) - range.at;
      const form = this.#add(image.subarray(range.at, range.at + bytes), range);
      words[1 + index] = (bytes | (form << FORM_SHIFT)) >>> 0;
      if (form === FORM_FRAME) frames.push(image.subarray(range.at, range.at + bytes));
    }
    return join([this.#memory.subarray(0, this.#to), ...frames]);
  }

  /** Room for the gathered frame: at most the image and, for each piece, its word and seven bytes up to a multiple of 8. */
  #reserve(imageBytes: number, rangeCount: number): Uint32Array {
    const wordsBytes = align8(WORD_BYTES * (1 + rangeCount));
    const wantedBytes = wordsBytes + imageBytes + 8 * rangeCount;
    if (this.#memory.length < wantedBytes) this.#memory = new Uint8Array(wantedBytes);
    this.#memory.fill(0, wordsBytes - WORD_BYTES, wordsBytes);
    this.#to = wordsBytes;
    return new Uint32Array(this.#memory.buffer, 0, 1 + rangeCount);
  }

  /** Puts a piece into the gathered frame, unless it gets one of its own; gives its form. */
  #add(piece: Uint8Array, { content, entries }: Range): number {
    if (content === "bytes" && piece.length >= FRAME_BYTES_MIN) return FORM_FRAME;
    const { buffer } = this.#memory;
    const from = this.#to;
    let form = FORM_BYTES;
    let bytes = piece.length;
    if (content === "bytes" || (piece.length | piece.byteOffset) % WORD_BYTES !== 0)
      this.#memory.set(piece, from);
    else {
      const values = new Uint32Array(piece.buffer, piece.byteOffset, piece.length / WORD_BYTES);
      const narrow = content === "offsets" ? differences : copied;
      const first = content === "offsets" ? FORM_LENGTHS_1 : FORM_CODES_1;
      if (entries <= 0x100 && narrow(values, new Uint8Array(buffer, from, values.length)) < 0x100) {
        form = first;
        bytes = values.length;
      } else if (narrow(values, new Uint16Array(buffer, from, values.length)) < 0x1_0000) {
        form = first + 1;
        bytes = values.length * 2;
      } else {
        form = first + 2;
        narrow(values, new Uint32Array(buffer, from, values.length));
      }
    }
    this.#to = align8(from + bytes);
    this.#memory.fill(0, from + bytes, this.#to);
    return form;
  }
}

/** The image of `imageBytes` bytes, in memory of its own. Throws Error when these bytes are not what `pack` made. */
export function unpackImage(packed: Uint8Array, imageBytes: number): Uint8Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const frameCount = view.getUint32(0, true);
  let frameAt = PREFIX_BYTES + WORD_BYTES * frameCount;
  let frame = 0;
  const nextFrame = (rawBytes: number): Uint8Array => {
    const word = view.getUint32(PREFIX_BYTES + WORD_BYTES * frame++, true);
    const storedBytes = word & ~STORED_ZSTD;
    const stored = packed.subarray(frameAt, (frameAt += storedBytes));
    if ((word & STORED_ZSTD) !== 0) return decompress(stored, rawBytes);
    if (stored.length !== rawBytes)
      throw new Error(`a frame has ${stored.length} bytes instead of ${rawBytes}`);
    return stored;
  };
  const gathered = aligned(nextFrame(view.getUint32(4, true)));
  const image = new Uint8Array(imageBytes);
  const [pieceCount = 0] = new Uint32Array(gathered.buffer, gathered.byteOffset, 1);
  const words = new Uint32Array(gathered.buffer, gathered.byteOffset + WORD_BYTES, pieceCount);
  let at = 0;
  let from = align8(WORD_BYTES * (1 + pieceCount));
  for (const word of words) {
    const bytes = word & (PACK_BYTES_MAX - 1);
    const form = word >>> FORM_SHIFT;
    const piece = image.subarray(at, at + bytes);
    if (form === FORM_FRAME) image.set(nextFrame(bytes), at);
    else from = align8(from + widen(gathered.subarray(from), form, piece));
    at += bytes;
  }
  if (at !== imageBytes || frame !== frameCount || frameAt !== packed.length)
    throw new Error(`a packed image ends at ${at} of ${imageBytes} bytes`);
  return image;
}

/** Fills a piece of the image from the gathered frame; gives the bytes that it took. */
function widen(from: Uint8Array, form: number, piece: Uint8Array): number {
  if (form === FORM_BYTES) {
    piece.set(from.subarray(0, piece.length));
    return piece.length;
  }
  const values = new Uint32Array(piece.buffer, piece.byteOffset, piece.length / WORD_BYTES);
  const count = values.length;
  switch (form) {
    case FORM_LENGTHS_1:
    case FORM_CODES_1: {
      const narrow = from.subarray(0, count);
      if (form === FORM_LENGTHS_1) summed(narrow, values);
      else copied(narrow, values);
      return count;
    }
    case FORM_LENGTHS_2:
    case FORM_CODES_2: {
      const narrow = new Uint16Array(from.buffer, from.byteOffset, count);
      if (form === FORM_LENGTHS_2) summed(narrow, values);
      else copied(narrow, values);
      return count * 2;
    }
    case FORM_LENGTHS_4:
    case FORM_CODES_4: {
      const narrow = new Uint32Array(from.buffer, from.byteOffset, count);
      if (form === FORM_LENGTHS_4) summed(narrow, values);
      else copied(narrow, values);
      return count * 4;
    }
    default:
      throw new Error(`form ${form} of a packed piece is not known`);
  }
}

type Unsigned = Uint8Array | Uint16Array | Uint32Array;

/** Writes the difference of each value to the one before; gives all bits of all differences, to see whether they fitted. */
function differences(values: Uint32Array, to: Unsigned): number {
  let bits = 0;
  let before = 0;
  for (let index = 0; index < values.length; index++) {
    // the index is in range: the loop ends at the length
    const value = values[index] as number;
    const difference = value - before;
    to[index] = difference;
    bits |= difference;
    before = value;
  }
  return bits >>> 0;
}

/** Writes each value; gives all bits of all values, to see whether they fitted. */
function copied(values: Unsigned, to: Unsigned): number {
  let bits = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    to[index] = value;
    bits |= value;
  }
  return bits >>> 0;
}

function summed(differencesOf: Unsigned, to: Uint32Array): void {
  let sum = 0;
  for (let index = 0; index < to.length; index++) {
    sum = (sum + (differencesOf[index] as number)) | 0;
    to[index] = sum;
  }
}

/**
 * Cuts an image where its buffers begin, and where those of numbers end; null when it is none. Nothing depends on where the cuts are but
 * how well the pieces compress.
 */
function rangesOf(image: Uint8Array): Range[] | null {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const rowCount = view.getUint32(IMAGE_ROWS_AT, true);
  const columnCount = view.getUint32(IMAGE_COLUMNS_AT, true);
  const bodyAt = IMAGE_HEADER_BYTES + columnCount * COLUMN_BYTES;
  if (
    view.getUint32(IMAGE_MAGIC_AT, true) !== IMAGE_MAGIC ||
    bodyAt > image.length ||
    image.byteOffset % 8 !== 0
  )
    return null;
  const ranges: Range[] = [{ at: 0, content: "bytes", entries: 0 }];
  const cut = (at: number, content: Content, count: number, entries: number): void => {
    if (at === 0) return;
    ranges.push({ at, content, entries });
    if (content !== "bytes")
      ranges.push({ at: at + count * WORD_BYTES, content: "bytes", entries });
  };
  for (let at = IMAGE_HEADER_BYTES; at < bodyAt; at += COLUMN_BYTES) {
    const isText = view.getUint8(at + COLUMN_PHYSICAL_AT) === PHYSICAL_UTF8;
    const isCodes = view.getUint8(at + COLUMN_ENCODING_AT) === ENCODING_DICTIONARY;
    const entries = view.getUint32(at + COLUMN_DICT_COUNT_AT, true);
    const valuesAt = view.getUint32(at + COLUMN_VALUES_AT, true);
    cut(view.getUint32(at + COLUMN_VALIDITY_AT, true), "bytes", 0, 0);
    if (!isText) cut(valuesAt, "bytes", 0, 0);
    else if (isCodes) cut(valuesAt, "codes", rowCount, entries);
    else cut(valuesAt, "offsets", rowCount + 1, 0);
    cut(view.getUint32(at + COLUMN_DICT_OFFSETS_AT, true), "offsets", entries + 1, 0);
    cut(view.getUint32(at + COLUMN_TEXT_AT, true), "bytes", 0, 0);
  }
  return inOrder(ranges, image.length);
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

/** Count, lengths and frames, each compressed where that pays. */
function join(frames: readonly Uint8Array[]): Uint8Array[] {
  const prefix = new Uint32Array(PREFIX_BYTES / WORD_BYTES + frames.length);
  prefix[0] = frames.length;
  prefix[1] = must(frames[0], "gathered frame").length;
  const parts = frames.map((raw, index) => {
    const frame = compressIfItPays(raw);
    const part = frame ?? raw;
    prefix[2 + index] = frame === null ? part.length : (part.length | STORED_ZSTD) >>> 0;
    return part;
  });
  return [new Uint8Array(prefix.buffer), ...parts];
}

const align8 = (at: number): number => (at + 7) & ~7;

/** The same bytes where numbers can be read: from a multiple of 8 on. */
const aligned = (bytes: Uint8Array): Uint8Array =>
  bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
