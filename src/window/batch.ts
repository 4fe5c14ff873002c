// Verb: copies the columns of a batch image that views use into the fold memory and describes them to the kernels.
import {
  BATCH_COLUMN_BYTES,
  BATCH_DICT_COUNT_AT,
  BATCH_DICT_OFFSETS_AT,
  BATCH_ERRORS_AT,
  BATCH_PHYSICAL_AT,
  BATCH_TEXT_AT,
  BATCH_VALIDITY_AT,
  BATCH_VALUES_AT,
  COLUMN_BYTES,
  COLUMN_DICT_COUNT_AT,
  COLUMN_DICT_OFFSETS_AT,
  COLUMN_ENCODING_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_TEXT_AT,
  COLUMN_TEXT_BYTES_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  ENCODING_DICTIONARY,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import type { FoldMemory } from "./memory.ts";

/** The batch at hand: addresses of its columns' descriptors, and how many dictionary entries each has (-1 = no dictionary). */
export class Batch {
  rowCount = 0;
  readonly #memory: FoldMemory;
  #image: Uint8Array = new Uint8Array();
  #view: DataView = new DataView(new ArrayBuffer(0));
  #columns = 0;

  constructor(memory: FoldMemory) {
    this.#memory = memory;
  }

  /** Begins a batch of `rowCount` rows. All scratch of the batch before is free then. */
  begin(image: Uint8Array, rowCount: number): void {
    this.#memory.clearScratch();
    this.open(image, rowCount);
  }

  /** Begins a batch beside what scratch holds. */
  open(image: Uint8Array, rowCount: number): void {
    const memory = this.#memory;
    this.rowCount = rowCount;
    this.#image = image;
    this.#view = new DataView(image.buffer, image.byteOffset, image.byteLength);
    const count = this.#view.getUint32(IMAGE_COLUMNS_AT, true);
    this.#columns = memory.take(count * BATCH_COLUMN_BYTES);
    memory.u8.fill(0, this.#columns, this.#columns + count * BATCH_COLUMN_BYTES);
    memory.setColumns(this.#columns);
  }

  /** Entries of the dictionary of a column, or -1 when it has none. */
  entryCount(ordinal: number): number {
    const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    if (this.#view.getUint8(at + COLUMN_ENCODING_AT) !== ENCODING_DICTIONARY) return -1;
    return this.#view.getUint32(at + COLUMN_DICT_COUNT_AT, true);
  }

  /** Address of the values of a copied column of fixed width. */
  valuesAt(ordinal: number): number {
    return this.#memory.data.getUint32(this.#at(ordinal) + BATCH_VALUES_AT, true);
  }

  /** Whether every value of a column is zero, so that it need not be copied. */
  isZero(ordinal: number): boolean {
    const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    return this.#view.getUint32(at + COLUMN_VALUES_AT, true) === 0;
  }

  /** Gives the error bytes of a dictionary's entries to the kernels; 0 = none. */
  setErrors(ordinal: number, address: number): void {
    this.#memory.data.setUint32(this.#at(ordinal) + BATCH_ERRORS_AT, address, true);
  }

  /** Copies a column in. */
  load(ordinal: number): void {
    const view = this.#view;
    const at = IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    const physical = view.getUint8(at + COLUMN_PHYSICAL_AT);
    const dictionary = view.getUint8(at + COLUMN_ENCODING_AT) === ENCODING_DICTIONARY;
    const validity = view.getUint32(at + COLUMN_VALIDITY_AT, true);
    const values = view.getUint32(at + COLUMN_VALUES_AT, true);
    const to = this.#at(ordinal);
    const out = this.#memory.data;
    out.setUint32(to + BATCH_PHYSICAL_AT, physical, true);
    if (validity !== 0)
      out.setUint32(to + BATCH_VALIDITY_AT, this.#copy(validity, (this.rowCount + 7) >> 3), true);
    out.setUint32(
      to + BATCH_VALUES_AT,
      this.#copy(values, this.#valueBytes(physical, dictionary)),
      true,
    );
    if (physical !== PHYSICAL_UTF8) return;
    const text = view.getUint32(at + COLUMN_TEXT_AT, true);
    const textBytes = view.getUint32(at + COLUMN_TEXT_BYTES_AT, true);
    out.setUint32(to + BATCH_TEXT_AT, this.#copy(text, textBytes), true);
    if (!dictionary) return;
    const count = view.getUint32(at + COLUMN_DICT_COUNT_AT, true);
    const offsets = this.#copy(view.getUint32(at + COLUMN_DICT_OFFSETS_AT, true), count * 4 + 4);
    out.setUint32(to + BATCH_DICT_OFFSETS_AT, offsets, true);
    out.setUint32(to + BATCH_DICT_COUNT_AT, count, true);
  }

  #at(ordinal: number): number {
    return this.#columns + ordinal * BATCH_COLUMN_BYTES;
  }

  #valueBytes(physical: number, dictionary: boolean): number {
    const rows = this.rowCount;
    if (physical === PHYSICAL_BOOL) return (rows + 7) >> 3;
    if (physical === PHYSICAL_UTF8) return rows * 4 + (dictionary ? 0 : 4);
    if (physical === PHYSICAL_I128) return rows * 16;
    return physical === PHYSICAL_I32 || physical === PHYSICAL_F32 ? rows * 4 : rows * 8;
  }

  /** Copies bytes of the image (zeros for offset 0); returns their address. */
  #copy(from: number, bytes: number): number {
    const memory = this.#memory;
    const address = memory.take(bytes);
    if (from === 0) memory.u8.fill(0, address, address + bytes);
    else memory.u8.set(this.#image.subarray(from, from + bytes), address);
    return address;
  }
}
