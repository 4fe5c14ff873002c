// Verb: rows -> the bytes that a client gets. JSON, NDJSON and CSV; every value digit for digit as DuckDB has it.
// Values: BIGINT, HUGEINT and DECIMAL are JSON numbers with all their digits; NaN and infinities strings; times ISO-8601 (TIMESTAMPTZ
// in UTC with Z; the fraction as long as needed, absent when zero); BLOB DuckDB's text (\xAB for bytes that are not ASCII); LIST, STRUCT JSON; MAP
// an array of {"key", "value"}; INTERVAL, UUID, TIME and all others their text.
import { DuckDecimal, type DuckColumn, type DuckValue } from "../base/duckdb.ts";
import { unreachable } from "../base/assert.ts";

export type ResultFormat = "json" | "ndjson" | "csv";

/** Encodes a result piece by piece; the pieces in order are the body. */
export interface Encoder {
  readonly contentType: string;
  head(columns: readonly DuckColumn[]): string;
  rows(rows: readonly (readonly DuckValue[])[]): string;
  tail(position: number): string;
}

/** The shortest decimal text of a 32-bit float: as many digits as tell it from its neighbours. */
function floatText(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === value) return text;
  }
  return String(value);
}

function numberText(value: number, isFloat: boolean): string {
  if (Object.is(value, -0)) return "-0.0";
  return isFloat ? floatText(value) : String(value);
}

/** A value as JSON. `isFloat`: the column's type is FLOAT. */
function jsonText(value: DuckValue, isFloat: boolean): string {
  if (value === null) return "null";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number")
    return Number.isFinite(value) ? numberText(value, isFloat) : `"${value}"`;
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof DuckDecimal) return value.text;
  if (Array.isArray(value))
    return `[${value.map((item: DuckValue) => jsonText(item, isFloat)).join(",")}]`;
  const members = Object.entries(value as { readonly [member: string]: DuckValue });
  return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${jsonText(item, isFloat)}`).join(",")}}`;
}

/** A field of RFC 4180: quoted when it must be. NULL is an empty field, the empty string "". */
function csvText(value: DuckValue, isFloat: boolean): string {
  if (value === null) return "";
  if (typeof value === "number") return numberText(value, isFloat);
  const nested = typeof value === "object" && !(value instanceof DuckDecimal);
  const text = nested ? jsonText(value, isFloat) : String(value);
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** FLOAT, or a list or struct of it: printed with the digits of 32 bits. */
function isFloatColumn(column: DuckColumn): boolean {
  return column.type.includes("FLOAT");
}

class JsonEncoder implements Encoder {
  readonly contentType = "application/json";
  #float: boolean[] = [];
  #rowCount = 0;
  head(columns: readonly DuckColumn[]): string {
    this.#float = columns.map(isFloatColumn);
    return `{"columns":${JSON.stringify(columns.map(({ name, type }) => ({ name, type })))},"rows":[`;
  }
  rows(rows: readonly (readonly DuckValue[])[]): string {
    const texts = rows.map(
      (row) =>
        `[${row.map((value, index) => jsonText(value, this.#float[index] === true)).join(",")}]`,
    );
    const separator = this.#rowCount > 0 && texts.length > 0 ? "," : "";
    this.#rowCount += texts.length;
    return separator + texts.join(",");
  }
  tail(position: number): string {
    return `],"row_count":${this.#rowCount},"position":${position}}\n`;
  }
}

/** Names as members of one object: a second `a` becomes `a_1`. */
function distinctNames(columns: readonly DuckColumn[]): string[] {
  const taken = new Set<string>();
  return columns.map(({ name }) => {
    let free = name;
    for (let count = 1; taken.has(free); count++) free = `${name}_${count}`;
    taken.add(free);
    return free;
  });
}

class NdjsonEncoder implements Encoder {
  readonly contentType = "application/x-ndjson";
  #float: boolean[] = [];
  #keys: string[] = [];
  head(columns: readonly DuckColumn[]): string {
    this.#float = columns.map(isFloatColumn);
    this.#keys = distinctNames(columns).map((name) => `${JSON.stringify(name)}:`);
    return "";
  }
  rows(rows: readonly (readonly DuckValue[])[]): string {
    return rows
      .map((row) => {
        const members = row.map(
          (value, index) =>
            (this.#keys[index] ?? "") + jsonText(value, this.#float[index] === true),
        );
        return `{${members.join(",")}}\n`;
      })
      .join("");
  }
  tail(): string {
    return "";
  }
}

class CsvEncoder implements Encoder {
  readonly contentType = "text/csv; charset=utf-8; header=present";
  #float: boolean[] = [];
  head(columns: readonly DuckColumn[]): string {
    this.#float = columns.map(isFloatColumn);
    return `${columns.map(({ name }) => csvText(name, false)).join(",")}\r\n`;
  }
  rows(rows: readonly (readonly DuckValue[])[]): string {
    return rows
      .map(
        (row) =>
          `${row.map((value, index) => csvText(value, this.#float[index] === true)).join(",")}\r\n`,
      )
      .join("");
  }
  tail(): string {
    return "";
  }
}

/** A fresh encoder: one result each. */
export function encoderFor(format: ResultFormat): Encoder {
  switch (format) {
    case "json":
      return new JsonEncoder();
    case "ndjson":
      return new NdjsonEncoder();
    case "csv":
      return new CsvEncoder();
    default:
      return unreachable(format);
  }
}
