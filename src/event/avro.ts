// Verb: an Avro schema (https://avro.apache.org/docs/1.12.0/specification/) to an event schema, or every fault at once with its place.
// avsc checks that the text is Avro; logical types, precision and scale are read from the JSON itself, because avsc drops them.
import avro from "avsc";
import { DAY_US, YEAR_1_US, YEAR_10000_US } from "../base/iso-time.ts";
import { ENUM_SYMBOLS_MAX, EVENT_COLUMNS_MAX } from "../limits.ts";
import {
  RECEIVED_AT,
  RESERVED_NAMES,
  type Decoding,
  type EventColumn,
  type EventSchema,
  type SqlType,
} from "./schema.ts";

/** Which member is the event time, which the id, and the schema's number in the log. */
export interface AvroChoice {
  readonly eventTime: string;
  readonly eventId: string | null;
  /** From 1, per stream. */
  readonly id: number;
}

/** `path` is a JSONPath into the schema's text. */
export interface AvroFault {
  readonly path: string;
  readonly message: string;
}

export type ParsedAvro =
  | { readonly schema: EventSchema }
  | { readonly faults: readonly AvroFault[] };

type Json = Readonly<Record<string, unknown>>;

/** What a column is, before its name and its place. */
interface ColumnType {
  readonly type: SqlType;
  readonly decoding: Decoding;
}

interface Reading {
  readonly faults: AvroFault[];
  /** Enums and fixed types by name: a later field may use the name alone. */
  readonly named: Map<string, unknown>;
}

const PLAIN: Decoding = { kind: "plain" };

const PRIMITIVES = new Map<string, SqlType>([
  ["boolean", { kind: "BOOLEAN" }],
  ["int", { kind: "INTEGER" }],
  ["long", { kind: "BIGINT" }],
  ["float", { kind: "FLOAT" }],
  ["double", { kind: "DOUBLE" }],
  ["string", { kind: "VARCHAR" }],
]);

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Most digits that a fixed of `size` bytes holds. */
function fixedDigits(size: number): number {
  return (2n ** BigInt(size * 8 - 1) - 1n).toString().length - 1;
}

function decimalType(json: Json, path: string, reading: Reading): ColumnType | null {
  const { precision, scale = 0, size } = json;
  const fault = (message: string): null => {
    reading.faults.push({ path, message });
    return null;
  };
  if (typeof precision !== "number" || !Number.isInteger(precision) || precision < 1)
    return fault("a decimal needs a precision of at least 1");
  if (typeof scale !== "number" || !Number.isInteger(scale) || scale < 0 || scale > precision)
    return fault("the scale of a decimal must lie between 0 and its precision");
  if (precision > 38) return fault("decimals of more than 38 digits are not in this release");
  if (typeof size === "number" && precision > fixedDigits(size))
    return fault(`fixed of ${size} bytes holds ${fixedDigits(size)} digits at most`);
  // Widths between 18 and 38 digits do not exist in the kernels, nor (19 to 35) in Parquet as others write them.
  const stored = precision <= 18 ? precision : 38;
  return { type: { kind: "DECIMAL", precision: stored, scale }, decoding: PLAIN };
}

/** A logical type, null when it is refused, undefined when it is none that we know: then Avro says to ignore it. */
function logicalType(json: Json, path: string, reading: Reading): ColumnType | null | undefined {
  const { type, logicalType: logical } = json;
  const refuse = (advice: string): null => {
    reading.faults.push({
      path,
      message: `logical type ${String(logical)} is not in this release; ${advice}`,
    });
    return null;
  };
  switch (logical) {
    case "decimal":
      return type === "bytes" || type === "fixed" ? decimalType(json, path, reading) : undefined;
    case "date":
      return type === "int" ? { type: { kind: "DATE" }, decoding: PLAIN } : undefined;
    case "timestamp-millis":
    case "timestamp-micros": {
      if (type !== "long") return undefined;
      const kind = logical === "timestamp-millis" ? "epoch_ms" : "epoch_us";
      return { type: { kind: "TIMESTAMPTZ" }, decoding: { kind } };
    }
    case "timestamp-nanos":
    case "local-timestamp-millis":
    case "local-timestamp-micros":
    case "local-timestamp-nanos":
      return refuse("use timestamp-millis or timestamp-micros (times are UTC)");
    case "time-millis":
    case "time-micros":
      return refuse("leave the logical type out to keep the number");
    case "duration":
      return refuse("use a long");
    default:
      return undefined;
  }
}

function enumType(json: Json, path: string, reading: Reading): ColumnType | null {
  const { symbols } = json;
  if (!Array.isArray(symbols)) return null;
  if (symbols.length > ENUM_SYMBOLS_MAX) {
    const message = `an enum has at most ${ENUM_SYMBOLS_MAX} symbols; use a string`;
    reading.faults.push({ path, message });
    return null;
  }
  return { type: { kind: "VARCHAR" }, decoding: { kind: "enum", symbols: symbols.map(String) } };
}

/** The type of a field that is not a union; null after noting a fault. */
function columnType(avroType: unknown, path: string, reading: Reading): ColumnType | null {
  if (typeof avroType === "string") {
    const primitive = PRIMITIVES.get(avroType);
    if (primitive) return { type: primitive, decoding: PLAIN };
    const named = reading.named.get(avroType);
    if (named !== undefined) return columnType(named, path, reading);
  }
  if (isObject(avroType)) {
    if (typeof avroType["name"] === "string") reading.named.set(avroType["name"], avroType);
    const logical = logicalType(avroType, path, reading);
    if (logical !== undefined) return logical;
    if (avroType["type"] === "enum") return enumType(avroType, path, reading);
    const primitive = PRIMITIVES.get(String(avroType["type"]));
    if (primitive) return { type: primitive, decoding: PLAIN };
    if (isObject(avroType["type"])) return columnType(avroType["type"], path, reading);
  }
  reading.faults.push({ path, message: unsupported(avroType) });
  return null;
}

/** Says what a type is that we do not take, and what to do. */
function unsupported(avroType: unknown): string {
  const kind = isObject(avroType) ? avroType["type"] : avroType;
  if (Array.isArray(avroType))
    return "a union of other than null and one type is not in this release; declare one type";
  switch (kind) {
    case "map":
    case "array":
    case "record":
      return `type ${kind} is not in this release; leave the field out and it is kept as JSON in attrs`;
    case "bytes":
    case "fixed":
      return `type ${kind} is taken for decimals only; use a string`;
    case "null":
      return "type null alone holds nothing; use a union of null and a type";
    default:
      return `type ${String(kind)} is not in this release; use a primitive type, an enum or a logical type`;
  }
}

/** The JSON text that an event would have in place of an absent member: Avro writes decimals as bytes. */
function defaultText(value: unknown, type: SqlType): string {
  if (type.kind !== "DECIMAL" || typeof value !== "string") return JSON.stringify(value);
  const unscaled = BigInt.asIntN(
    Math.max(value.length, 1) * 8,
    [...value].reduce((sum, char) => sum * 256n + BigInt(char.charCodeAt(0)), 0n),
  );
  return `${unscaled}e-${type.scale}`;
}

/** Faults of a default that avsc lets pass, because it does not know of logical types. */
function defaultFault(text: string, { type, decoding }: ColumnType): string | null {
  if (type.kind === "TIMESTAMPTZ" || type.kind === "DATE") {
    const unitUs = type.kind === "DATE" ? DAY_US : decoding.kind === "epoch_ms" ? 1000n : 1n;
    const us = BigInt(text) * unitUs;
    if (us < YEAR_1_US || us >= YEAR_10000_US)
      return "the default lies outside of the years 1 to 9999";
  }
  if (type.kind === "DECIMAL") {
    const digits = text.slice(0, text.indexOf("e")).replace("-", "");
    if (digits.length > type.precision) return `the default does not fit ${type.precision} digits`;
  }
  if (type.kind === "FLOAT" && !Number.isFinite(Math.fround(Number(text))))
    return "the default does not fit FLOAT";
  return null;
}

function column(field: Json, ordinal: number, reading: Reading): EventColumn | null {
  const path = `$.fields[${ordinal}]`;
  const name = String(field["name"]);
  if (RESERVED_NAMES.includes(name.toLowerCase()))
    reading.faults.push({ path, message: `"${name}" is the name of a column that Millrace adds` });
  const union = Array.isArray(field["type"]) ? (field["type"] as unknown[]) : null;
  const others = union?.filter((member) => member !== "null") ?? [];
  const nullable = union !== null && others.length < union.length;
  const single = union !== null && others.length === 1 ? others[0] : field["type"];
  const found = columnType(single, `${path}.type`, reading);
  if (found === null) return null;
  const base = { name, nullable, fieldId: ordinal + 1, ...found };
  const value = field["default"];
  if (value === undefined || value === null) return base;
  const defaultJson = defaultText(value, found.type);
  const fault = defaultFault(defaultJson, found);
  if (fault !== null) reading.faults.push({ path: `${path}.default`, message: fault });
  return { ...base, defaultJson };
}

/** Ordinals of the event time and the event id; notes faults when they cannot be. */
function chosen(
  columns: readonly EventColumn[],
  choice: AvroChoice,
  faults: AvroFault[],
): { eventTime: number | null; eventId: number | null } {
  const find = (name: string, role: string): number => {
    const ordinal = columns.findIndex((candidate) => candidate.name === name);
    if (ordinal < 0)
      faults.push({ path: "$.fields", message: `${role} "${name}" is not a field of this schema` });
    return ordinal;
  };
  const isReceipt = choice.eventTime === RECEIVED_AT;
  const eventTime = isReceipt ? null : find(choice.eventTime, "event_time");
  const time = eventTime === null ? undefined : columns[eventTime];
  if (time && (time.type.kind !== "TIMESTAMPTZ" || time.nullable)) {
    const message = `event_time "${time.name}" must be a timestamp-millis or timestamp-micros that is not null`;
    faults.push({ path: `$.fields[${eventTime}].type`, message });
  }
  if (choice.eventId === null) return { eventTime, eventId: null };
  const eventId = find(choice.eventId, "event_id");
  const id = columns[eventId];
  const fits = id && ["VARCHAR", "INTEGER", "BIGINT"].includes(id.type.kind);
  if (id && (!fits || id.decoding.kind !== "plain")) {
    const message = `event_id "${id.name}" must be a string, an int or a long`;
    faults.push({ path: `$.fields[${eventId}].type`, message });
  }
  return { eventTime, eventId };
}

/** The schema's JSON when it is a record that avsc accepts; notes a fault and returns null otherwise. */
function readRecord(text: string, faults: AvroFault[]): Json | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    faults.push({ path: "$", message: `not JSON: ${errorText(error)}` });
    return null;
  }
  if (!isObject(json) || json["type"] !== "record" || !Array.isArray(json["fields"])) {
    faults.push({ path: "$", message: 'an event schema is an Avro record: {"type":"record",...}' });
    return null;
  }
  try {
    // avsc changes what it is given.
    avro.Type.forSchema(structuredClone(json) as unknown as avro.Schema);
  } catch (error) {
    faults.push({ path: "$", message: `not an Avro schema: ${errorText(error)}` });
    return null;
  }
  return json;
}

/** Reads a schema. All faults are reported, not the first only; a text that is no Avro record has one fault at `$`. */
export function parseAvroSchema(text: string, choice: AvroChoice): ParsedAvro {
  const faults: AvroFault[] = [];
  const json = readRecord(text, faults);
  if (json === null) return { faults };
  const fields = json["fields"] as readonly Json[];
  if (fields.length > EVENT_COLUMNS_MAX) {
    const message = `a stream has at most ${EVENT_COLUMNS_MAX} fields, this one ${fields.length}`;
    return { faults: [{ path: "$.fields", message }] };
  }
  const reading: Reading = { faults, named: new Map() };
  const names = new Map<string, number>();
  const columns: EventColumn[] = [];
  fields.forEach((field, ordinal) => {
    const name = String(field["name"]).toLowerCase();
    const earlier = names.get(name);
    if (earlier !== undefined) {
      const message = `"${String(field["name"])}" differs from $.fields[${earlier}] in case only; SQL knows no case`;
      faults.push({ path: `$.fields[${ordinal}].name`, message });
    }
    names.set(name, ordinal);
    const made = column(field, ordinal, reading);
    if (made !== null) columns.push(made);
  });
  // A field that was refused would be said to be missing as well.
  if (columns.length < fields.length) return { faults };
  const roles = chosen(columns, choice, faults);
  return faults.length > 0 ? { faults } : { schema: { id: choice.id, columns, ...roles } };
}
