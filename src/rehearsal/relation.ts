// Noun: rows with named, typed columns, and a cell's text: what SQL's CSV would write, and back.
import type { Cell, ImageColumn } from "../event/image.ts";
import type { SqlType } from "../event/schema.ts";
import { must } from "../base/assert.ts";
import { DAY_US, isoTime, timeUs } from "../base/iso-time.ts";
import { decimalText, quoteName } from "../view/render.ts";

export interface Relation {
  readonly name: string;
  readonly columns: readonly ImageColumn[];
  /** Ordinals of the columns that tell rows apart. */
  readonly keys: readonly number[];
  readonly rows: readonly (readonly Cell[])[];
}

/** A value as text: times ISO 8601 with Z, decimals with all digits, NULL for null. */
export function cellText(cell: Cell, type: SqlType): string {
  if (cell === null) return "NULL";
  switch (type.kind) {
    case "TIMESTAMPTZ":
      return isoTime(BigInt(cell));
    case "DATE":
      return isoTime(BigInt(cell) * DAY_US).slice(0, 10);
    case "DECIMAL":
      return decimalText(String(cell), type.scale);
    default:
      return String(cell);
  }
}

/** The value that a text means for a column; undefined when it means none. */
export function cellOf(text: string, type: SqlType): Cell | undefined {
  switch (type.kind) {
    case "VARCHAR":
      return text;
    case "BOOLEAN":
      return text === "true" ? true : text === "false" ? false : undefined;
    case "INTEGER":
      return /^-?\d+$/.test(text) ? Number(text) : undefined;
    case "BIGINT":
      return /^-?\d+$/.test(text) ? BigInt(text) : undefined;
    case "FLOAT":
    case "DOUBLE": {
      const value = Number(text.replace(/^(-?)inf$/i, "$1Infinity").replace(/^nan$/i, "NaN"));
      return text.trim() === "" || (Number.isNaN(value) && !/^nan$/i.test(text))
        ? undefined
        : value;
    }
    case "TIMESTAMPTZ":
      return timeUs(text) ?? undefined;
    case "DATE": {
      const us = /^\d{4}-\d{2}-\d{2}$/.test(text) ? timeUs(text) : null;
      return us === null ? undefined : Number(us / DAY_US);
    }
    case "DECIMAL":
      return unscaledOf(text, type.scale);
    default:
      return undefined;
  }
}

/** SQL of a column as `askedCell` reads it. */
export function askedText({ name, type }: Pick<ImageColumn, "name" | "type">): string {
  const column = quoteName(name);
  return `CAST(${type.kind === "TIMESTAMPTZ" ? `epoch_us(${column})` : column} AS VARCHAR)`;
}

/** A value of a column that SQL gave as text, or NULL. Throws for a text that means none. */
export function askedCell(value: unknown, { name, type }: ImageColumn): Cell {
  if (typeof value !== "string") return null;
  const cell = type.kind === "TIMESTAMPTZ" ? BigInt(value) : cellOf(value, type);
  return must(cell, `a value of ${name}: ${value}`);
}

/** `12.5` with scale 2 -> 1250n; undefined when a digit that is not zero lies beyond the scale. */
function unscaledOf(text: string, scale: number): bigint | undefined {
  const [, sign = "", whole = "", fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === "" || /[1-9]/.test(fraction.slice(scale))) return undefined;
  const value = BigInt(whole + fraction.slice(0, scale).padEnd(scale, "0"));
  return sign === "-" ? -value : value;
}
