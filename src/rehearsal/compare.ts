// Verb (pure): a relation against expected rows -> differences that a person reads. Rows have no order; only the columns that are expected
// are compared. DOUBLE and FLOAT within the digits that people write, everything else exactly.
import type { Cell } from "../event/image.ts";
import type { SqlType } from "../event/schema.ts";
import type { ExpectedRows } from "./expected.ts";
import { cellOf, cellText, type Relation } from "./relation.ts";

const DOUBLE_BOUND = 1e-9;
const FLOAT_BOUND = 1e-6;

interface Column {
  readonly name: string;
  readonly type: SqlType;
  readonly ordinal: number;
  readonly isKey: boolean;
}

/** One line for each difference; empty: the same. */
export function differencesFrom(relation: Relation, expected: ExpectedRows): string[] {
  const columns: Column[] = [];
  const faults: string[] = [];
  for (const name of expected.columns) {
    const ordinal = relation.columns.findIndex((column) => column.name === name);
    const column = relation.columns[ordinal];
    if (column !== undefined)
      columns.push({ name, type: column.type, ordinal, isKey: relation.keys.includes(ordinal) });
    else {
      const names = relation.columns.map((known) => known.name).join(", ");
      faults.push(`${relation.name} has no column ${JSON.stringify(name)}; it has ${names}`);
    }
  }
  if (faults.length > 0) return faults;
  const wanted = expected.rows.map((row, at) =>
    row.map((text, index): Cell => {
      const { name, type } = columns[index] as Column;
      const cell = text === null ? null : cellOf(text, type);
      if (cell !== undefined) return cell;
      faults.push(`row ${at + 1}: ${name} ${JSON.stringify(text)} is not a ${typeName(type)}`);
      return null;
    }),
  );
  if (faults.length > 0) return faults;
  const found = relation.rows.map((row) => columns.map(({ ordinal }) => row[ordinal] ?? null));
  return unmatched(columns, wanted, found);
}

function typeName(type: SqlType): string {
  return type.kind === "DECIMAL" ? `DECIMAL(${type.precision},${type.scale})` : type.kind;
}

/** Takes away the rows that are on both sides, then pairs those of one key. */
function unmatched(
  columns: readonly Column[],
  wanted: readonly (readonly Cell[])[],
  found: readonly (readonly Cell[])[],
): string[] {
  const isSame = (a: readonly Cell[], b: readonly Cell[]): boolean =>
    columns.every(({ type }, index) => sameCell(a[index] ?? null, b[index] ?? null, type));
  const left = new Map<string, (readonly Cell[])[]>();
  for (const row of found)
    left.set(keyText(columns, row), [...(left.get(keyText(columns, row)) ?? []), row]);
  const take = (key: string, fits: (row: readonly Cell[]) => boolean): readonly Cell[] | null => {
    const rows = left.get(key) ?? [];
    const at = rows.findIndex(fits);
    const [row] = at < 0 ? [] : rows.splice(at, 1);
    return row ?? null;
  };
  const missing = wanted.filter(
    (row) => take(keyText(columns, row), (other) => isSame(row, other)) === null,
  );
  const hasKey = columns.some(({ isKey }) => isKey);
  const lines = missing.flatMap((row) => {
    const other = hasKey ? take(keyText(columns, row), () => true) : null;
    if (other === null) return [`- ${rowText(columns, row)}  (expected, not there)`];
    return columns.flatMap(({ name, type }, index) => {
      const [a, b] = [row[index] ?? null, other[index] ?? null];
      if (sameCell(a, b, type)) return [];
      return [
        `~ ${keyText(columns, row)}  ${name}: expected ${cellText(a, type)}, got ${cellText(b, type)}`,
      ];
    });
  });
  const extra = [...left.values()]
    .flat()
    .map((row) => `+ ${rowText(columns, row)}  (there, not expected)`);
  return [...lines, ...extra];
}

function sameCell(a: Cell, b: Cell, type: SqlType): boolean {
  if (typeof a !== "number" || typeof b !== "number") return a === b;
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  if (type.kind !== "DOUBLE" && type.kind !== "FLOAT") return false;
  const bound = type.kind === "DOUBLE" ? DOUBLE_BOUND : FLOAT_BOUND;
  return Math.abs(a - b) <= bound * Math.max(Math.abs(a), Math.abs(b));
}

function keyText(columns: readonly Column[], row: readonly Cell[]): string {
  return textOf(columns, row, (column) => column.isKey);
}

function rowText(columns: readonly Column[], row: readonly Cell[]): string {
  return textOf(columns, row, () => true);
}

function textOf(
  columns: readonly Column[],
  row: readonly Cell[],
  isShown: (column: Column) => boolean,
): string {
  return columns
    .flatMap((column, index) =>
      isShown(column) ? [`${column.name}=${cellText(row[index] ?? null, column.type)}`] : [],
    )
    .join(" ");
}
