// Noun: a batch image in memory, its columns' places looked up once however many questions read it. Owns that memory; the layout is
// event/image.ts's.
import { PHYSICAL_UTF8 } from "../../kernels/abi.ts";
import { addressOf } from "../base/address.ts";
import { columnParts, ImageError, readImageHeader, type ColumnParts } from "../event/image.ts";
import { physicalOf, sqlTypeText, type SqlType } from "../event/schema.ts";

export class BatchImage {
  readonly bytes: Uint8Array;
  readonly rowCount: number;
  readonly #parts: (ColumnParts | undefined)[] = [];
  #address = 0;

  /** Throws ImageError when the header is not one. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.rowCount = readImageHeader(bytes).rowCount;
  }

  /** Where a column lies. Throws ImageError when it lies outside or is of another type. */
  parts(ordinal: number, type: SqlType): ColumnParts {
    const known = this.#parts[ordinal];
    if (known !== undefined) return known;
    const parts = columnParts(this.bytes, ordinal);
    if (parts.physical !== physicalOf(type))
      throw new ImageError(`batch image: column ${ordinal} is not ${sqlTypeText(type)}`);
    this.#parts[ordinal] = parts;
    return parts;
  }

  /** Address in memory of the first byte. */
  address(): number {
    if (this.#address === 0) this.#address = addressOf(this.bytes);
    return this.#address;
  }

  /** False when no row of the text column can be `text` (UTF-8): its bytes occur nowhere in the column's texts. */
  mayHold(ordinal: number, type: SqlType, text: Buffer): boolean {
    const { physical, textAt, textBytes } = this.parts(ordinal, type);
    if (physical !== PHYSICAL_UTF8 || text.byteLength === 0) return true;
    const { buffer, byteOffset } = this.bytes;
    return Buffer.from(buffer, byteOffset + textAt, textBytes).includes(text);
  }
}
