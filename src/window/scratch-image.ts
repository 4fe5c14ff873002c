// A batch image (kernels/abi.ts) while it is put together in scratch: descriptors first, then the columns' buffers one behind the other.
// Knows no sources of values: whoever has a column's buffer fills it.
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
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import type { FoldMemory } from "./memory.ts";

/** An image of output rows. */
export interface RowsImage {
  readonly rowCount: number;
  readonly image: Uint8Array;
}

export class ScratchImage {
  readonly #memory: FoldMemory;
  readonly #mark: number;
  readonly #base: number;
  readonly #rowCount: number;
  readonly #columnCount: number;

  constructor(memory: FoldMemory, size: { readonly rows: number; readonly columns: number }) {
    this.#memory = memory;
    this.#mark = memory.mark;
    this.#rowCount = size.rows;
    this.#columnCount = size.columns;
    this.#base = this.#zeroed(IMAGE_HEADER_BYTES + size.columns * COLUMN_BYTES);
  }

  /** A column of fixed width: `fill` gets zeroed values and validity bits, and gives the number of nulls. */
  fixed(ordinal: number, physical: number, fill: (values: number, bits: number) => number): void {
    const at = this.#begin(ordinal, physical);
    const values = this.#zeroed(valueBytes(physical, this.#rowCount));
    this.#memory.data.setUint32(at + COLUMN_VALUES_AT, values - this.#base, true);
    this.#validity(at, fill);
  }

  /** A column of text of `bytes` bytes in all: `fill` gets room for offsets and bytes, and gives the number of nulls. */
  text(
    ordinal: number,
    bytes: number,
    fill: (offsets: number, text: number, bits: number) => number,
  ): void {
    const at = this.#begin(ordinal, PHYSICAL_UTF8);
    const { data } = this.#memory;
    const offsets = this.#zeroed((this.#rowCount + 1) * 4);
    const text = this.#zeroed(bytes);
    data.setUint32(at + COLUMN_VALUES_AT, offsets - this.#base, true);
    data.setUint32(at + COLUMN_TEXT_AT, text - this.#base, true);
    data.setUint32(at + COLUMN_TEXT_BYTES_AT, bytes, true);
    this.#validity(at, (_, bits) => fill(offsets, text, bits));
  }

  /** Copies the image out; its scratch is free again. */
  finish(): RowsImage {
    const memory = this.#memory;
    const bytes = memory.mark - this.#base;
    const word = (offset: number, value: number): void =>
      memory.data.setUint32(this.#base + offset, value, true);
    word(IMAGE_MAGIC_AT, IMAGE_MAGIC);
    word(IMAGE_ROWS_AT, this.#rowCount);
    word(IMAGE_COLUMNS_AT, this.#columnCount);
    word(IMAGE_TOTAL_BYTES_AT, bytes);
    word(IMAGE_STORED_BYTES_AT, bytes);
    // shared: the export thread gets it, twice when a checkpoint has it too, without a copy
    const image = new Uint8Array(new SharedArrayBuffer(bytes));
    image.set(memory.u8.subarray(this.#base, memory.mark));
    memory.rewind(this.#mark);
    return { rowCount: this.#rowCount, image };
  }

  /** Address of a column's descriptor, with its type in it. */
  #begin(ordinal: number, physical: number): number {
    const at = this.#base + IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES;
    this.#memory.data.setUint8(at + COLUMN_PHYSICAL_AT, physical);
    return at;
  }

  /** The validity bits follow a column's other buffers; their room is given back when every value is valid. */
  #validity(at: number, fill: (values: number, bits: number) => number): void {
    const { data } = this.#memory;
    const bits = this.#zeroed(Math.ceil(this.#rowCount / 8));
    const values = data.getUint32(at + COLUMN_VALUES_AT, true) + this.#base;
    const nulls = fill(values, bits);
    if (nulls === 0) return this.#memory.rewind(bits);
    data.setUint32(at + COLUMN_NULLS_AT, nulls, true);
    data.setUint32(at + COLUMN_VALIDITY_AT, bits - this.#base, true);
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
}

function valueBytes(physical: number, count: number): number {
  if (physical === PHYSICAL_BOOL) return Math.ceil(count / 8);
  if (physical === PHYSICAL_I128) return count * 16;
  return physical === PHYSICAL_I32 || physical === PHYSICAL_F32 ? count * 4 : count * 8;
}
