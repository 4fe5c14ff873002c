// Nouns: what an event looks like. A stream's columns, their SQL and physical types. Made from Avro by avro.ts; every later stage
// reads columns by these types. Owns the type table; knows nothing of JSON or bytes.
import {
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_F64,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  PHYSICAL_UTF8,
} from "../../kernels/abi.ts";
import { must, unreachable } from "../base/assert.ts";

/** A SQL type as DuckDB names it. Times are µs since the epoch, UTC. */
export type SqlType =
  | {
      readonly kind:
        | "BOOLEAN"
        | "INTEGER"
        | "BIGINT"
        | "FLOAT"
        | "DOUBLE"
        | "VARCHAR"
        | "DATE"
        | "TIMESTAMPTZ";
    }
  | { readonly kind: "DECIMAL"; readonly precision: number; readonly scale: number };

/** The text that DuckDB prints for a type: `DECIMAL(18,2)`, `TIMESTAMP WITH TIME ZONE`. */
export function sqlTypeText(type: SqlType): string {
  if (type.kind === "DECIMAL") return `DECIMAL(${type.precision},${type.scale})`;
  return type.kind === "TIMESTAMPTZ" ? "TIMESTAMP WITH TIME ZONE" : type.kind;
}

/** The kernel layout of a SQL type, one of PHYSICAL_*. DECIMAL is I64 up to 18 digits, I128 with 38; no other widths exist. */
export function physicalOf(type: SqlType): number {
  switch (type.kind) {
    case "BOOLEAN":
      return PHYSICAL_BOOL;
    case "INTEGER":
    case "DATE":
      return PHYSICAL_I32;
    case "BIGINT":
    case "TIMESTAMPTZ":
      return PHYSICAL_I64;
    case "FLOAT":
      return PHYSICAL_F32;
    case "DOUBLE":
      return PHYSICAL_F64;
    case "VARCHAR":
      return PHYSICAL_UTF8;
    case "DECIMAL":
      return type.precision <= 18 ? PHYSICAL_I64 : PHYSICAL_I128;
    default:
      return unreachable(type);
  }
}

/** How JSON text becomes a value of a column, beyond its SQL type. */
export type Decoding =
  | { readonly kind: "plain" }
  /** Avro timestamp-millis: JSON integers are ms; ISO-8601 strings are accepted for every timestamp. */
  | { readonly kind: "epoch_ms" }
  | { readonly kind: "epoch_us" }
  /** Avro enum: the value must be one of the symbols. */
  | { readonly kind: "enum"; readonly symbols: readonly string[] };

/** A column of a stream or table. `fieldId` is Iceberg's, from 1, never used twice in a table. */
export interface Column {
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
  readonly fieldId: number;
}

/** A declared member of an event. */
export interface EventColumn extends Column {
  readonly decoding: Decoding;
  /** Value for an absent member as JSON, when Avro declares a default; undefined = absent is null or, if not nullable, a reject. */
  readonly defaultJson?: string;
}

/**
 * A stream's schema. A batch image of the stream has, in order: one column per declared member, then `attrs` (VARCHAR, null when
 * there is no undeclared member), then `_behind` (BIGINT µs). `_index` is the row's ordinal in the record, `_position` and
 * `received_at` are one value per record: these three are not in the image.
 */
export interface EventSchema {
  /** From 1, per stream, counted up with each schema version in the log. */
  readonly id: number;
  readonly columns: readonly EventColumn[];
  /** Ordinal of the event-time column: TIMESTAMPTZ, not nullable. null: the event time is `received_at`. */
  readonly eventTime: number | null;
  /** Ordinal of the event-id column (VARCHAR, BIGINT or INTEGER), or null. */
  readonly eventId: number | null;
}

/** Name of the column of the raw relation that is the event time. */
export function eventTimeName({ columns, eventTime }: EventSchema): string {
  if (eventTime === null) return RECEIVED_AT;
  return must(columns[eventTime], "the event-time column").name;
}

/** As a configuration says `event_time: received_at`, and the name of the column. */
export const RECEIVED_AT = "received_at";

/** Names that a schema may not declare, because relations add them. */
export const RESERVED_NAMES: readonly string[] = [
  "_position",
  "_index",
  "_behind",
  "received_at",
  "attrs",
  "window_start",
  "window_end",
  "is_final",
  "revision",
];

/** Columns that follow the declared ones in every batch image of a stream. */
export const IMAGE_EXTRA_COLUMNS: readonly {
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
}[] = [
  { name: "attrs", type: { kind: "VARCHAR" }, nullable: true },
  { name: "_behind", type: { kind: "BIGINT" }, nullable: false },
];

/** Columns of the raw relation and table after those of the image, in order: received_at, _position, _index. */
export const ADMISSION_COLUMNS: readonly {
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
}[] = [
  { name: "received_at", type: { kind: "TIMESTAMPTZ" }, nullable: false },
  { name: "_position", type: { kind: "BIGINT" }, nullable: false },
  { name: "_index", type: { kind: "INTEGER" }, nullable: false },
];
