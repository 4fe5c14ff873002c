// Thrift's compact protocol, reading: the footers and page headers that thrift.ts writes. A struct becomes a map from field ids to values.
// Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

/** A value of a field. Integers are below 2^53. */
export type ThriftValue = number | boolean | Uint8Array | ThriftStruct | readonly ThriftValue[];

export type ThriftStruct = ReadonlyMap<number, ThriftValue>;

/** The bytes are not what was expected: the file is damaged. */
export class ThriftError extends Error {
  override readonly name = "ThriftError";
}

/** Reads structs from bytes, one after the other. */
export class ThriftReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** Where the next byte is read. */
  get position(): number {
    return this.#at;
  }

  struct(): ThriftStruct {
    const fields = new Map<number, ThriftValue>();
    let id = 0;
    for (;;) {
      const head = this.#byte();
      if (head === 0) return fields;
      const step = head >> 4;
      id = step === 0 ? this.#zigzag() : id + step;
      fields.set(id, this.#value(head & 15));
    }
  }

  #value(type: number): ThriftValue {
    switch (type) {
      case 1:
        return true;
      case 2:
        return false;
      case 3:
        return (this.#byte() << 24) >> 24;
      case 4:
      case 5:
      case 6:
        return this.#zigzag();
      case 8:
        return this.#binary();
      case 9:
        return this.#list();
      case 12:
        return this.struct();
      default:
        throw new ThriftError(
          `thrift type ${type} at byte ${this.#at} is not one that is written here`,
        );
    }
  }

  #list(): ThriftValue[] {
    const head = this.#byte();
    const count = head >> 4 === 15 ? this.#varint() : head >> 4;
    return Array.from({ length: count }, () => this.#value(head & 15));
  }

  #binary(): Uint8Array {
    const length = this.#varint();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #zigzag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new ThriftError("thrift ends in the middle of a value");
    return byte;
  }
}

/** Fields of a struct that must be there; throws ThriftError. */
export function numberIn(struct: ThriftStruct, id: number): number {
  const value = struct.get(id);
  if (typeof value !== "number") throw new ThriftError(`thrift field ${id} is not a number`);
  return value;
}

export function structIn(struct: ThriftStruct, id: number): ThriftStruct {
  const value = struct.get(id);
  if (!(value instanceof Map)) throw new ThriftError(`thrift field ${id} is not a struct`);
  return value as ThriftStruct;
}

export function structsIn(struct: ThriftStruct, id: number): readonly ThriftStruct[] {
  const value = struct.get(id);
  if (!Array.isArray(value)) throw new ThriftError(`thrift field ${id} is not a list`);
  return value as readonly ThriftStruct[];
}
