// DuckDB's values as plain ones: what a result's rows hold. Owns the table type -> value; knows nothing of JSON or CSV.
import type { DuckDBType, DuckDBValue, DuckDBValueConverter } from "@duckdb/node-api";
import type { DuckDbModule } from "./duckdb-native.ts";

/** A DECIMAL with all its digits, e.g. "12.50". */
export class DuckDecimal {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toString(): string {
    return this.text;
  }
}

/**
 * A value of a result by its type: BOOLEAN boolean; integers up to 32 bits, FLOAT, DOUBLE number (NaN and infinities included); wider
 * integers bigint; DECIMAL DuckDecimal; TIMESTAMPTZ "2019-10-01T00:00:00.5Z", other TIMESTAMPs the same without Z, "infinity";
 * DATE "2019-10-01"; LIST and ARRAY arrays; STRUCT objects; MAP arrays of {key, value}; everything else its text in SQL.
 */
export type DuckValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | DuckDecimal
  | readonly DuckValue[]
  | { readonly [member: string]: DuckValue };

/** A VARCHAR of a result; anything else is a broken invariant. */
export function duckText(value: DuckValue | undefined): string {
  if (typeof value !== "string") throw new Error("broken invariant: DuckDB gives a text");
  return value;
}

/** A converter for `convertRows` of this module's results. */
export function plainConverter(module: DuckDbModule): DuckDBValueConverter<DuckValue> {
  const convert: DuckDBValueConverter<DuckValue> = (value, type, inner) => {
    if (value === null || value === undefined) return null;
    if (typeof value === "boolean" || typeof value === "number" || typeof value === "bigint")
      return value;
    if (typeof value === "string") return value;
    return objectValue(module, value, { type, inner });
  };
  return convert;
}

function objectValue(
  module: DuckDbModule,
  value: NonNullable<DuckDBValue>,
  context: { readonly type: DuckDBType; readonly inner: DuckDBValueConverter<DuckValue> },
): DuckValue {
  const { type, inner } = context;
  if (value instanceof module.DuckDBDecimalValue) return new DuckDecimal(value.toString());
  if (value instanceof module.DuckDBTimestampTZValue)
    return (
      commonTime(value.micros, "Z") ??
      isoTime(new module.DuckDBTimestampValue(value.micros).toString(), "Z")
    );
  if (value instanceof module.DuckDBTimestampValue)
    return commonTime(value.micros, "") ?? isoTime(value.toString(), "");
  if (value instanceof module.DuckDBListValue && type instanceof module.DuckDBListType)
    return value.items.map((item) => inner(item, type.valueType, inner));
  if (value instanceof module.DuckDBArrayValue && type instanceof module.DuckDBArrayType)
    return value.items.map((item) => inner(item, type.valueType, inner));
  if (value instanceof module.DuckDBStructValue && type instanceof module.DuckDBStructType) {
    const members: [string, DuckValue][] = type.entryNames.map((name, index) => [
      name,
      inner(value.entries[name] ?? null, type.entryTypes[index] ?? module.VARCHAR, inner),
    ]);
    return Object.fromEntries(members);
  }
  if (value instanceof module.DuckDBMapValue && type instanceof module.DuckDBMapType)
    return value.entries.map((entry) => ({
      key: inner(entry.key, type.keyType, inner),
      value: inner(entry.value, type.valueType, inner),
    }));
  return String(value);
}

/** Times of the years 1684 to 2255, whose µs are exact as numbers, at less than half the cost of DuckDB's own text; null for others. */
function commonTime(micros: bigint, zone: string): string | null {
  const us = Number(micros);
  if (!Number.isSafeInteger(us)) return null;
  const ms = Math.floor(us / 1000);
  const iso = new Date(ms).toISOString();
  const fraction = (us - Math.floor(us / 1_000_000) * 1_000_000).toString();
  if (fraction === "0") return iso.slice(0, 19) + zone;
  return `${iso.slice(0, 20)}${fraction.padStart(6, "0").replace(/0+$/, "")}${zone}`;
}

/** "2019-10-01 00:00:00.5" -> "2019-10-01T00:00:00.5Z"; infinities and years before Christ stay as DuckDB writes them. */
function isoTime(text: string, zone: string): string {
  return /^\d+-\d\d-\d\d [\d:.]+$/.test(text) ? `${text.replace(" ", "T")}${zone}` : text;
}
