// Avro object container files, as far as Iceberg's manifests need them: any schema to read (foreign writers' files too), ours to
// write. Values are plain; longs above 2^53 are bigint. Source: https://avro.apache.org/docs/1.11.1/specification/

/** A schema in Avro's JSON form. */
export type AvroSchema =
  | string
  | readonly AvroSchema[]
  | { readonly type: AvroSchema; readonly [attribute: string]: unknown };

/** long: number when safe, else bigint. bytes and fixed: Uint8Array. Unions: the value itself. */
export type AvroValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly AvroValue[]
  | AvroRecord;

export interface AvroRecord {
  readonly [field: string]: AvroValue;
}

/** The bytes are not an Avro file that we can read. */
export class AvroError extends Error {
  override readonly name = "AvroError";
}

const MAGIC = Buffer.from([0x4f, 0x62, 0x6a, 1]);
const SYNC_BYTES = 16;
const METADATA_SCHEMA: AvroSchema = { type: "map", values: "bytes" };

interface Field {
  readonly name: string;
  readonly type: AvroSchema;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

interface Shape {
  readonly type: string;
  readonly fields: readonly Field[];
  readonly inner: AvroSchema;
  readonly size: number;
  readonly symbols: readonly string[];
  readonly name: string;
}

/** Attributes of a complex schema; a bare name stands for itself. */
function shapeOf(schema: AvroSchema): Shape {
  const outer = typeof schema === "string" ? { type: schema } : (schema as Record<string, unknown>);
  if (typeof outer["type"] === "object") return shapeOf(outer["type"] as AvroSchema);
  return {
    type: textOf(outer["type"]),
    fields: (outer["fields"] ?? []) as readonly Field[],
    inner: (outer["items"] ?? outer["values"] ?? "null") as AvroSchema,
    size: Number(outer["size"] ?? 0),
    symbols: (outer["symbols"] ?? []) as readonly string[],
    name: textOf(outer["name"]),
  };
}

/** Shapes of the schemas of one file: each is asked for once a value. */
class Shapes {
  readonly #known = new Map<AvroSchema, Shape>();

  of(schema: AvroSchema): Shape {
    let shape = this.#known.get(schema);
    if (shape === undefined) {
      shape = shapeOf(schema);
      this.#known.set(schema, shape);
    }
    return shape;
  }
}

/** Grows as values are written. */
class AvroWriter {
  readonly #shapes = new Shapes();
  #bytes = Buffer.alloc(4096);
  #length = 0;

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }
  long(value: number | bigint): void {
    this.#room(10);
    // most are small
    if (typeof value === "number" && value >= 0 && value < 2 ** 30) {
      let left = value * 2;
      for (; left >= 128; left >>= 7) this.#bytes[this.#length++] = (left & 127) | 128;
      this.#bytes[this.#length++] = left;
      return;
    }
    let left = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
    for (; left >= 128n; left >>= 7n) this.#bytes[this.#length++] = Number(left & 127n) | 128;
    this.#bytes[this.#length++] = Number(left);
  }
  value(schema: AvroSchema, value: AvroValue): void {
    if (Array.isArray(schema)) return this.#union(schema as readonly AvroSchema[], value);
    const shape = this.#shapes.of(schema);
    switch (shape.type) {
      case "null":
        return;
      case "boolean":
        return this.raw(Uint8Array.of(value === true ? 1 : 0));
      case "int":
      case "long":
        return this.long(value as number | bigint);
      case "string":
      case "bytes": {
        const bytes =
          typeof value === "string" ? Buffer.from(value, "utf8") : (value as Uint8Array);
        this.long(bytes.length);
        return this.raw(bytes);
      }
      case "record":
        for (const field of shape.fields)
          this.value(field.type, (value as AvroRecord)[field.name] ?? null);
        return;
      case "array": {
        const items = value as readonly AvroValue[];
        if (items.length > 0) this.long(items.length);
        for (const item of items) this.value(shape.inner, item);
        return this.long(0);
      }
      case "map": {
        const members = Object.entries(value as AvroRecord);
        if (members.length > 0) this.long(members.length);
        for (const [key, member] of members) {
          this.value("string", key);
          this.value(shape.inner, member);
        }
        return this.long(0);
      }
      default:
        throw new AvroError(`avro: cannot write ${shape.type}`);
    }
  }
  #union(branches: readonly AvroSchema[], value: AvroValue): void {
    const index = branches.findIndex((branch) => (branch === "null") === (value === null));
    this.long(index);
    this.value(branches[index] ?? "null", value);
  }
  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.max(this.#bytes.length * 2, this.#length + bytes));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

class AvroReader {
  readonly #shapes = new Shapes();
  readonly #bytes: Uint8Array;
  readonly #named = new Map<string, AvroSchema>();
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  raw(length: number): Uint8Array {
    if (length < 0 || this.at + length > this.#bytes.length) throw new AvroError("avro: cut short");
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }
  #byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new AvroError("avro: cut short");
    return byte;
  }
  long(): number | bigint {
    const first = this.#byte();
    // most are small
    if (first < 128) return first & 1 ? -((first + 1) / 2) : first / 2;
    let value = BigInt(first & 127);
    for (let shift = 7n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    const signed = BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    const small = Number(signed);
    return Number.isSafeInteger(small) ? small : signed;
  }
  value(schema: AvroSchema): AvroValue {
    if (Array.isArray(schema)) {
      const branch = (schema as readonly AvroSchema[])[Number(this.long())];
      if (branch === undefined) throw new AvroError("avro: unknown branch of a union");
      return this.value(branch);
    }
    const shape = this.#shapes.of(schema);
    if (shape.name !== "" && shape.type !== shape.name) this.#named.set(shape.name, schema);
    switch (shape.type) {
      case "null":
        return null;
      case "boolean":
        return this.raw(1)[0] === 1;
      case "int":
      case "long":
        return this.long();
      case "float":
        return Buffer.from(this.raw(4)).readFloatLE();
      case "double":
        return Buffer.from(this.raw(8)).readDoubleLE();
      case "bytes":
        return this.raw(Number(this.long())).slice();
      case "string":
        return Buffer.from(this.raw(Number(this.long()))).toString("utf8");
      case "fixed":
        return this.raw(shape.size).slice();
      case "enum":
        return shape.symbols[Number(this.long())] ?? null;
      case "record":
        return Object.fromEntries(shape.fields.map(({ name, type }) => [name, this.value(type)]));
      case "array":
        return this.#blocks(() => this.value(shape.inner));
      case "map":
        return Object.fromEntries(
          this.#blocks(() => [textOf(this.value("string")), this.value(shape.inner)] as const),
        );
      default: {
        const named = this.#named.get(shape.type);
        if (named === undefined) throw new AvroError(`avro: cannot read ${shape.type}`);
        return this.value(named);
      }
    }
  }
  #blocks<T>(read: () => T): T[] {
    const items: T[] = [];
    for (;;) {
      let count = Number(this.long());
      if (count === 0) return items;
      if (count < 0) {
        count = -count;
        this.long();
      }
      for (let i = 0; i < count; i++) items.push(read());
    }
  }
}

/** A container file of one block, deflated. `metadata` beside the schema and codec is free. */
export function writeAvro(
  schema: AvroSchema,
  metadata: Readonly<Record<string, string>>,
  records: readonly AvroRecord[],
): Uint8Array {
  const out = new AvroWriter();
  const sync = crypto.getRandomValues(new Uint8Array(SYNC_BYTES));
  out.raw(MAGIC);
  out.value(METADATA_SCHEMA, {
    "avro.schema": JSON.stringify(schema),
    "avro.codec": "deflate",
    ...metadata,
  });
  out.raw(sync);
  if (records.length > 0) {
    const block = new AvroWriter();
    for (const record of records) block.value(schema, record);
    const data = Bun.deflateSync(block.finish() as Uint8Array<ArrayBuffer>);
    out.long(records.length);
    out.long(data.length);
    out.raw(data);
    out.raw(sync);
  }
  return out.finish().slice();
}

/** The metadata and records of a container file. Throws AvroError when it is cut short or of a codec that we do not know. */
export function readAvro(bytes: Uint8Array): {
  readonly metadata: ReadonlyMap<string, string>;
  readonly records: AvroRecord[];
} {
  const reader = new AvroReader(bytes);
  if (Buffer.compare(reader.raw(4), MAGIC) !== 0) throw new AvroError("avro: not a container file");
  const members = Object.entries(reader.value(METADATA_SCHEMA) as AvroRecord);
  const metadata = new Map(
    members.map(([key, value]) => [key, Buffer.from(value as Uint8Array).toString("utf8")]),
  );
  reader.raw(SYNC_BYTES);
  const schema = JSON.parse(metadata.get("avro.schema") ?? '"null"') as AvroSchema;
  const codec = metadata.get("avro.codec") ?? "null";
  const records: AvroRecord[] = [];
  while (reader.at < bytes.length) {
    const count = Number(reader.long());
    const block = new AvroReader(inflate(codec, reader.raw(Number(reader.long()))));
    for (let i = 0; i < count; i++) records.push(block.value(schema) as AvroRecord);
    reader.raw(SYNC_BYTES);
  }
  return { metadata, records };
}

function inflate(codec: string, data: Uint8Array): Uint8Array {
  if (codec === "null") return data;
  if (codec === "deflate") return Bun.inflateSync(data.slice());
  if (codec === "zstandard") return Bun.zstdDecompressSync(data.slice());
  throw new AvroError(`avro: cannot read codec ${codec}`);
}
