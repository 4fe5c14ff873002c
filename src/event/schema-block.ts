// A stream's schema as the decode kernel reads it: fields, table of names, defaults, room for the template. Layout:
// kernels/abi.ts. Written once per schema; decides nothing.
import * as L from "../../kernels/abi.ts";
import {
  COLUMN_BYTES,
  IMAGE_HEADER_BYTES,
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import type { DecodeKernels } from "../../kernels/decode.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { assert, unreachable } from "../base/assert.ts";
import { physicalOf, type EventColumn, type EventSchema } from "./schema.ts";

/** KIND_* of a column: how the kernel reads its JSON. */
export function kindOf(column: EventColumn): number {
  switch (column.type.kind) {
    case "BOOLEAN":
      return L.KIND_BOOL;
    case "INTEGER":
      return L.KIND_INT;
    case "BIGINT":
      return L.KIND_LONG;
    case "FLOAT":
      return L.KIND_FLOAT;
    case "DOUBLE":
      return L.KIND_DOUBLE;
    case "VARCHAR":
      return column.decoding.kind === "enum" ? L.KIND_ENUM : L.KIND_STRING;
    case "DATE":
      return L.KIND_DATE;
    case "TIMESTAMPTZ":
      return column.decoding.kind === "epoch_ms" ? L.KIND_TIME_MS : L.KIND_TIME_US;
    case "DECIMAL":
      return column.type.precision <= 18 ? L.KIND_DECIMAL64 : L.KIND_DECIMAL128;
    default:
      return unreachable(column.type);
  }
}

/** Bytes that one row adds to an image at most, without its text: values or codes, dictionary offset, validity bit (as a byte). */
function imageBytesPerRow(physical: number): number {
  if (physical === PHYSICAL_UTF8 || physical === PHYSICAL_I128)
    return physical === PHYSICAL_I128 ? 17 : 9;
  if (physical === PHYSICAL_BOOL) return 2;
  return physical === PHYSICAL_I32 || physical === PHYSICAL_F32 ? 5 : 9;
}

/** A default of null is none: an absent member is null anyway. */
function hasDefault(column: EventColumn): boolean {
  return column.defaultJson !== undefined && column.defaultJson !== "null";
}

/** A schema in decode memory. */
export class SchemaBlock {
  readonly schema: EventSchema;
  readonly address: number;
  /** Bytes of an image of this schema without rows, and what a row adds at most beyond the bytes of its event. */
  readonly imageFixedBytes: number;
  readonly imageRowBytes: number;
  readonly #instance: KernelInstance<DecodeKernels>;
  readonly #encoder = new TextEncoder();

  constructor(instance: KernelInstance<DecodeKernels>, schema: EventSchema) {
    assert(schema.columns.length <= L.COLUMNS_MAX, "a stream has at most 256 columns");
    this.#instance = instance;
    this.schema = schema;
    const count = schema.columns.length;
    const words = Math.ceil((count + 1) / 64);
    const fieldsAt = instance.allocate((count + 1) * L.FIELD_BYTES);
    const requiredAt = instance.allocate(words * 8);
    let slot = L.ROW_VALID + words * 8;
    let rowBytes = 9 + 9;
    schema.columns.forEach((column, ordinal) => {
      this.#writeField(fieldsAt, ordinal, slot);
      const physical = physicalOf(column.type);
      slot += physical === PHYSICAL_I128 ? 16 : 8;
      rowBytes += imageBytesPerRow(physical);
      if (hasDefault(column)) rowBytes += column.defaultJson?.length ?? 0;
      else if (!column.nullable) {
        const byte = requiredAt + (ordinal >> 3);
        const bytes = instance.u8();
        bytes[byte] = (bytes[byte] ?? 0) | (1 << (ordinal & 7));
      }
    });
    this.#writeAttrs(fieldsAt + count * L.FIELD_BYTES, count, slot);
    const stride = slot + 8;
    this.imageRowBytes = rowBytes;
    this.imageFixedBytes = IMAGE_HEADER_BYTES + (count + 2) * (COLUMN_BYTES + 48) + 64;
    const namesMask = 2 ** Math.ceil(Math.log2(count * 4 + 4)) - 1;
    this.address = instance.allocate(L.SCHEMA_BYTES);
    this.#write(this.address, {
      [L.SCHEMA_FIELD_COUNT]: count,
      [L.SCHEMA_FIELDS_AT]: fieldsAt,
      [L.SCHEMA_STRIDE]: stride,
      [L.SCHEMA_WORDS]: words,
      [L.SCHEMA_NAMES_AT]: this.#names(
        schema.columns.map((column) => column.name),
        namesMask,
      ).table,
      [L.SCHEMA_NAMES_MASK]: namesMask,
      [L.SCHEMA_DEFAULTS_AT]: instance.allocate(stride),
      [L.SCHEMA_REQUIRED_AT]: requiredAt,
      [L.SCHEMA_TEMPLATE_AT]: instance.allocate(L.TEMPLATE_BYTES + (count + 1) * L.STEP_BYTES),
      [L.SCHEMA_EVENTS_DECLARED]: schema.columns.some(({ name }) => name === "events") ? 1 : 0,
      // Without a column the host writes the times: it knows when the events were received.
      [L.SCHEMA_TIME_FIELD]: schema.eventTime ?? 0,
      [L.SCHEMA_ID_FIELD]: schema.eventId ?? L.FIELD_NONE,
      [L.SCHEMA_IMAGE_FIXED]: this.imageFixedBytes,
      [L.SCHEMA_IMAGE_PER_ROW]: this.imageRowBytes,
    });
    this.#parseDefaults();
  }

  #write(address: number, words: Readonly<Record<number, number>>): void {
    const u32 = this.#instance.u32();
    for (const [at, value] of Object.entries(words)) u32[(address + Number(at)) >>> 2] = value;
  }

  #text(bytes: Uint8Array): number {
    const at = this.#instance.allocate(bytes.byteLength + 16);
    this.#instance.u8().set(bytes, at);
    return at;
  }

  /** A table of names, each with its ordinal, and the list of (address, bytes). */
  #names(names: readonly string[], mask: number): { table: number; texts: number } {
    const table = this.#instance.allocate((mask + 1) * L.NAME_BYTES);
    const texts = this.#instance.allocate(names.length * 8);
    names.forEach((name, ordinal) => {
      const bytes = this.#encoder.encode(name);
      const at = this.#text(bytes);
      this.#instance.call.addName(table, mask, at, bytes.byteLength, ordinal);
      this.#write(texts + ordinal * 8, { 0: at, 4: bytes.byteLength });
    });
    return { table, texts };
  }

  #writeField(fieldsAt: number, ordinal: number, slot: number): void {
    const column = this.schema.columns[ordinal];
    assert(column !== undefined, "a column of the schema");
    const at = fieldsAt + ordinal * L.FIELD_BYTES;
    const { type, decoding } = column;
    const scale = type.kind === "DECIMAL" ? type.scale : 0;
    const head = [kindOf(column), column.nullable ? 1 : 0, scale, physicalOf(type)];
    this.#instance.u8().set(head, at);
    this.#write(at, { [L.FIELD_SLOT]: slot, [L.FIELD_ORDINAL]: ordinal });
    if (decoding.kind === "enum") {
      const { symbols } = decoding;
      const mask = 2 ** Math.ceil(Math.log2(symbols.length * 4 + 4)) - 1;
      const { table, texts } = this.#names(symbols, mask);
      this.#write(at, {
        [L.FIELD_SYMBOLS_AT]: table,
        [L.FIELD_SYMBOLS_MASK]: mask,
        [L.FIELD_SYMBOL_TEXTS_AT]: texts,
        [L.FIELD_SYMBOL_COUNT]: symbols.length,
      });
    }
    if (type.kind === "DECIMAL") {
      const largest = 10n ** BigInt(type.precision) - 1n;
      const words = this.#instance.i64();
      words[(at + L.FIELD_DECIMAL_MAX) / 8] = BigInt.asIntN(64, largest);
      words[(at + L.FIELD_DECIMAL_MAX) / 8 + 1] = largest >> 64n;
    }
  }

  #writeAttrs(at: number, ordinal: number, slot: number): void {
    this.#instance.u8().set([L.KIND_STRING, 1, 0, PHYSICAL_UTF8], at);
    this.#write(at, { [L.FIELD_SLOT]: slot, [L.FIELD_ORDINAL]: ordinal });
  }

  /** Lets the kernel itself read the defaults: what it would refuse in an event is refused here. */
  #parseDefaults(): void {
    const { call } = this.#instance;
    const row = this.#instance.u32()[(this.address + L.SCHEMA_DEFAULTS_AT) >>> 2] ?? 0;
    call.use(this.address);
    this.schema.columns.forEach((column, ordinal) => {
      if (!hasDefault(column)) return;
      const bytes = this.#encoder.encode(column.defaultJson);
      const at = this.#text(bytes);
      const arena = this.#instance.allocate(bytes.byteLength + 64);
      const end = call.parseDefault(at, ordinal, row, arena);
      assert(end === at + bytes.byteLength, `the default of ${column.name} fits its type`);
    });
  }
}
