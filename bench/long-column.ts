// A column of 64-bit integers in a batch image, to be set anew for each pass. Written as two halves: a BigInt for each value is garbage
// whose collection would be measured with the kernels.
import { COLUMN_BYTES, COLUMN_VALUES_AT, IMAGE_HEADER_BYTES } from "../kernels/abi.ts";

export class LongColumn {
  readonly #words: Uint32Array;

  /** Column `ordinal` of an image of `rows` rows. */
  constructor(image: Uint8Array, ordinal: number, rows: number) {
    const view = new DataView(image.buffer, image.byteOffset);
    const at = view.getUint32(IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES + COLUMN_VALUES_AT, true);
    this.#words = new Uint32Array(image.buffer, image.byteOffset + at, rows * 2);
  }

  /** `value`: a whole number, exact in a double. */
  set(row: number, value: number): void {
    this.#words[2 * row] = value % 0x1_0000_0000;
    this.#words[2 * row + 1] = Math.floor(value / 0x1_0000_0000);
  }
}
