// What a table function over our memory writes: types by their text, values by their type. The rest of a scan is in duckdb.ts.
import type { DuckDBType, DuckDBValue } from "@duckdb/node-api";
import type { DuckDbModule } from "./duckdb-native.ts";

/**
 * A value for a column of a memory table: BOOLEAN boolean; INTEGER, FLOAT, DOUBLE number; DATE number of days since the epoch; BIGINT,
 * TIMESTAMPs bigint (µs); DECIMAL bigint (unscaled); VARCHAR string.
 */
export type WritableValue = null | boolean | number | bigint | string;

/** A type from its text in SQL. Throws for a type that memory tables do not have. */
export function typeOfText(module: DuckDbModule, text: string): DuckDBType {
  const decimal = /^DECIMAL\((\d+), *(\d+)\)$/.exec(text);
  if (decimal !== null) return module.DECIMAL(Number(decimal[1]), Number(decimal[2]));
  switch (text) {
    case "BOOLEAN":
      return module.BOOLEAN;
    case "INTEGER":
      return module.INTEGER;
    case "BIGINT":
      return module.BIGINT;
    case "FLOAT":
      return module.FLOAT;
    case "DOUBLE":
      return module.DOUBLE;
    case "VARCHAR":
      return module.VARCHAR;
    case "DATE":
      return module.DATE;
    case "TIMESTAMP":
      return module.TIMESTAMP;
    case "TIMESTAMPTZ":
    case "TIMESTAMP WITH TIME ZONE":
      return module.TIMESTAMPTZ;
    default:
      throw new Error(`broken invariant: a memory table has no type ${text}`);
  }
}

/** The value in the form that the vector of `type` takes. */
export function vectorValue(
  module: DuckDbModule,
  type: DuckDBType,
  value: WritableValue,
): DuckDBValue {
  if (typeof value === "bigint") {
    if (type instanceof module.DuckDBTimestampTZType)
      return new module.DuckDBTimestampTZValue(value);
    if (type instanceof module.DuckDBTimestampType) return new module.DuckDBTimestampValue(value);
    if (type instanceof module.DuckDBDecimalType)
      return new module.DuckDBDecimalValue(value, type.width, type.scale);
  }
  if (typeof value === "number" && type instanceof module.DuckDBDateType)
    return new module.DuckDBDateValue(value);
  return value;
}
