// Thrift's compact protocol, writing only: what Parquet's footer and page headers are made of. Structs are written field by field in
// ascending order. Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

const TYPE_TRUE = 1;
const TYPE_FALSE = 2;
const TYPE_I8 = 3;
const TYPE_I16 = 4;
export const THRIFT_I32 = 5;
const TYPE_I64 = 6;
export const THRIFT_BINARY = 8;
const TYPE_LIST = 9;
export const THRIFT_STRUCT = 12;

/** Bytes of one thrift struct, growing. `id`s are field ids; integers must be below 2^52 in size. */
export class ThriftWriter {
  #bytes = new Uint8Array(256);
  #length = 0;
  #lastId = 0;
  readonly #outer: number[] = [];

  /** The bytes so far. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  bool(id: number, value: boolean): void {
    this.#field(id, value ? TYPE_TRUE : TYPE_FALSE);
  }
  i8(id: number, value: number): void {
    this.#field(id, TYPE_I8);
    this.#byte(value & 0xff);
  }
  i16(id: number, value: number): void {
    this.#field(id, TYPE_I16);
    this.#zigzag(value);
  }
  i32(id: number, value: number): void {
    this.#field(id, THRIFT_I32);
    this.#zigzag(value);
  }
  i64(id: number, value: number): void {
    this.#field(id, TYPE_I64);
    this.#zigzag(value);
  }
  binary(id: number, value: Uint8Array | string): void {
    this.#field(id, THRIFT_BINARY);
    this.binaryElement(value);
  }
  /** Begins a list; its elements follow. */
  list(id: number, elementType: number, count: number): void {
    this.#field(id, TYPE_LIST);
    if (count < 15) this.#byte((count << 4) | elementType);
    else {
      this.#byte(0xf0 | elementType);
      this.#varint(count);
    }
  }
  i32Element(value: number): void {
    this.#zigzag(value);
  }
  binaryElement(value: Uint8Array | string): void {
    const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
    this.#varint(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }
  /** Begins a struct: a field with an id, a list element without one. */
  open(id: number | null = null): void {
    if (id !== null) this.#field(id, THRIFT_STRUCT);
    this.#outer.push(this.#lastId);
    this.#lastId = 0;
  }
  close(): void {
    this.#byte(0);
    this.#lastId = this.#outer.pop() ?? 0;
  }

  #field(id: number, type: number): void {
    const step = id - this.#lastId;
    if (step > 0 && step <= 15) this.#byte((step << 4) | type);
    else {
      this.#byte(type);
      this.#zigzag(id);
    }
    this.#lastId = id;
  }
  #zigzag(value: number): void {
    this.#varint(value >= 0 ? value * 2 : -value * 2 - 1);
  }
  #varint(value: number): void {
    let left = value;
    for (; left >= 128; left = Math.floor(left / 128)) this.#byte((left % 128) | 128);
    this.#byte(left);
  }
  #byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }
  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}
