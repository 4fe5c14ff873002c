// A batch image as the log stores it: columns apart, each in the form that compresses best for little time. Owns that form and nothing
// else: what goes in comes out byte for byte, whatever the bytes are.
//
// Packed form, little-endian:
//    0 u32 number of frames      4 u32 bytes of the first frame, raw
//    8 u32 for each frame: its bytes as stored, with STORED_ZSTD when it is a zstd frame
//      the frames. The first is the gathered one, raw: u32 number of pieces, u32 for each piece, from the next multiple of 8 on their bytes
// A piece is a range of the image; together, in order, they are the image. Its word: bytes in the image, form << FORM_SHIFT. Pieces of
// FORM_FRAME are a frame each, as they are; all others lie in the gathered frame, each from a multiple of 8 on:
//   FORM_BYTES    as they are
//   FORM_LENGTHS  int32 offsets as the differences to the one before, the first to 0; offsets never repeat, lengths mostly do
//   FORM_CODES    uint32 codes of dictionaries. Lengths and codes are in the fewest of 1, 2 or 4 bytes that hold all of the piece
//   FORM_PLANES   rows of equal width (numbers, texts of one length): u32 width, u32 number of planes, the first row, u16 for each
//                 position that differs between rows, and for each such position its byte of every row: a plane. Byte transposition as
//                 in Blosc (https://www.blosc.org), without the positions that are the same in all rows
//
// A bench click in records of 2,000: one frame of the whole image takes 302 ns and 48 bytes; frames, lengths and codes 273 ns and 27 bytes;
// with planes 144 ns and 22 bytes. Reading: 126, 150, 76 ns.
import { must } from "../base/assert.ts";
import { compressIfItPays, decompress } from "../base/zstd.ts";
import { FRAME_BYTES_MIN, PLANE_WIDTH_MAX, rangesOf, type Range } from "./image-ranges.ts";

/** Below this (80 clicks) a packed image takes longer than one frame of it. */
const PACK_BYTES_MIN = 12_288;
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
const FORM_PLANES = 8;
/**
 * Rows are stored in planes when at most so many positions differ. With more they are random ids: planes of these save little, and zstd
 * no longer sees that an id came before.
 */
const PLANES_MAX = 16;
const PREFIX_BYTES = 8;
const WORD_BYTES = 4;
const PLANES_HEAD_BYTES = 8;
/** Most that a piece takes in the gathered frame beyond its own bytes: its word, the head of planes with a row, and up to a multiple of 8. */
const PIECE_EXTRA_BYTES = WORD_BYTES + PLANES_HEAD_BYTES + PLANE_WIDTH_MAX + 2 * PLANES_MAX + 8;

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

  /** Makes room for the gathered frame and gives its words. */
  #reserve(imageBytes: number, rangeCount: number): Uint32Array {
    const wordsBytes = align8(WORD_BYTES * (1 + rangeCount));
    const wantedBytes = wordsBytes + imageBytes + PIECE_EXTRA_BYTES * rangeCount;
    if (this.#memory.length < wantedBytes) this.#memory = new Uint8Array(wantedBytes);
    this.#memory.fill(0, wordsBytes - WORD_BYTES, wordsBytes);
    this.#to = wordsBytes;
    return new Uint32Array(this.#memory.buffer, 0, 1 + rangeCount);
  }

  /** Puts a piece into the gathered frame, unless it gets one of its own; gives its form. */
  #add(piece: Uint8Array, { content, size }: Range): number {
    if (content === "rows" && this.#addPlanes(piece, size)) return FORM_PLANES;
    const isNumbers = content === "offsets" || content === "codes";
    if (isNumbers && (piece.length | piece.byteOffset) % WORD_BYTES === 0)
      return this.#addNumbers(piece, content, size);
    if (piece.length >= FRAME_BYTES_MIN) return FORM_FRAME;
    this.#memory.set(piece, this.#to);
    this.#advance(piece.length);
    return FORM_BYTES;
  }

  #addNumbers(piece: Uint8Array, content: "offsets" | "codes", entries: number): number {
    const { buffer } = this.#memory;
    const values = new Uint32Array(piece.buffer, piece.byteOffset, piece.length / WORD_BYTES);
    const narrow = content === "offsets" ? differences : copied;
    const first = content === "offsets" ? FORM_LENGTHS_1 : FORM_CODES_1;
    const to = this.#to;
    if (entries <= 0x100 && narrow(values, new Uint8Array(buffer, to, values.length)) < 0x100) {
      this.#advance(values.length);
      return first;
    }
    if (narrow(values, new Uint16Array(buffer, to, values.length)) < 0x1_0000) {
      this.#advance(values.length * 2);
      return first + 1;
    }
    narrow(values, new Uint32Array(buffer, to, values.length));
    this.#advance(piece.length);
    return first + 2;
  }

  /** False, and nothing is added, when planes would not pay. */
  #addPlanes(piece: Uint8Array, width: number): boolean {
    // a foreign image's ranges may overlap
    const varying = piece.length % width === 0 ? varyingPositions(piece, width) : null;
    if (varying === null) return false;
    const rowCount = (piece.length / width) | 0;
    const head = new DataView(this.#memory.buffer, this.#to);
    head.setUint32(0, width, true);
    head.setUint32(4, varying.length, true);
    this.#memory.set(piece.subarray(0, width), this.#to + PLANES_HEAD_BYTES);
    let at = PLANES_HEAD_BYTES + width;
    for (const position of varying) {
      head.setUint16(at, position, true);
      at += 2;
    }
    for (const position of varying) {
      const plane = this.#memory.subarray(this.#to + at, this.#to + at + rowCount);
      takePlane(piece, plane, { position, width });
      at += rowCount;
    }
    this.#advance(at);
    return true;
  }

  #advance(bytes: number): void {
    const end = this.#to + bytes;
    this.#to = align8(end);
    this.#memory.fill(0, end, this.#to);
  }
}

// The loops over rows are functions of their own: small ones are optimised sooner, and stay so.

/** All bits that are not the same in the words at `at` of all rows. */
function varyingBits(rows: DataView, at: number, width: number): number {
  // signed: an unsigned word would be a floating-point number to the engine
  const first = rows.getInt32(at, true);
  const end = rows.byteLength;
  let bits = 0;
  for (let from = at + width; from < end; from += width) bits |= rows.getInt32(from, true) ^ first;
  return bits;
}

interface Place {
  readonly position: number;
  readonly width: number;
}

/** Fills a plane with the byte at `position` of each row. */
function takePlane(rows: Uint8Array, plane: Uint8Array, { position, width }: Place): void {
  let from = position;
  // in range: a plane has as many bytes as there are rows
  for (let row = 0; row < plane.length; row++, from += width) plane[row] = rows[from] as number;
}

/** Puts a plane at `position` of each row. */
function putPlane(rows: Uint8Array, plane: Uint8Array, { position, width }: Place): void {
  let to = position;
  for (let row = 0; row < plane.length; row++, to += width) rows[to] = plane[row] as number;
}

/** Positions whose bytes are not the same in all rows of `width` bytes; null when planes of them would not pay. */
function varyingPositions(rows: Uint8Array, width: number): number[] | null {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
  const varying: number[] = [];
  for (let position = 0; position < width; position += WORD_BYTES) {
    // the last word may reach back over positions that were seen
    const at = Math.min(position, width - WORD_BYTES);
    const bits = varyingBits(view, at, width);
    for (let byte = position - at; byte < WORD_BYTES; byte++)
      if (((bits >>> (8 * byte)) & 0xff) !== 0) varying.push(at + byte);
    if (varying.length > PLANES_MAX) return null;
  }
  return varying;
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
  if (form === FORM_PLANES) return interleave(from, piece);
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

/** Fills rows from their planes; gives the bytes that these took. */
function interleave(from: Uint8Array, rows: Uint8Array): number {
  const head = new DataView(from.buffer, from.byteOffset, from.byteLength);
  const width = head.getInt32(0, true);
  const planeCount = head.getUint32(4, true);
  const rowCount = (rows.length / width) | 0;
  rows.set(from.subarray(PLANES_HEAD_BYTES, PLANES_HEAD_BYTES + width));
  // each turn doubles what is filled
  for (let filled = width; filled < rows.length; filled *= 2) rows.copyWithin(filled, 0, filled);
  const positionsAt = PLANES_HEAD_BYTES + width;
  let at = positionsAt + 2 * planeCount;
  for (let index = 0; index < planeCount; index++) {
    const plane = from.subarray(at, at + rowCount);
    putPlane(rows, plane, { position: head.getUint16(positionsAt + 2 * index, true), width });
    at += rowCount;
  }
  return at;
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
