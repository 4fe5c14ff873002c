// What the table tests share: a room of kernels, columns of every type, random rows that love extremes, and the plain values that a
// reader should give back.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { buildKernels } from "../../kernels/build.ts";
import { instantiateExport } from "../../kernels/export.ts";
import { unreachable } from "../../src/base/assert.ts";
import type { Cell } from "../../src/event/image.ts";
import type { Column, SqlType } from "../../src/event/schema.ts";
import { ExportRoom } from "../../src/table/room.ts";

const ROOT = join(import.meta.dir, "..", "..");

/** A room with freshly built kernels. */
export async function exportRoom(): Promise<ExportRoom> {
  await buildKernels(["export"]);
  const wasm = readFileSync(join(ROOT, "build", "export.wasm"));
  return new ExportRoom(instantiateExport(wasm, 512 * 1024 * 1024));
}

const TYPES: readonly SqlType[] = [
  { kind: "BOOLEAN" },
  { kind: "INTEGER" },
  { kind: "BIGINT" },
  { kind: "FLOAT" },
  { kind: "DOUBLE" },
  { kind: "VARCHAR" },
  { kind: "VARCHAR" },
  { kind: "DATE" },
  { kind: "TIMESTAMPTZ" },
  { kind: "DECIMAL", precision: 18, scale: 2 },
  { kind: "DECIMAL", precision: 38, scale: 4 },
];

/** A column of every type, nullable or not; `at` TIMESTAMPTZ first. */
export const ALL_COLUMNS: readonly Column[] = [
  { name: "at", type: { kind: "TIMESTAMPTZ" }, nullable: false, fieldId: 1 },
  ...TYPES.flatMap((type, index) =>
    [false, true].map((nullable) => ({
      name: `${type.kind.toLowerCase()}_${index}${nullable ? "_null" : ""}`,
      type,
      nullable,
      fieldId: 2 + index * 2 + (nullable ? 1 : 0),
    })),
  ),
];

/** Microseconds of 2019-10-01. */
export const DAY_US = 1_569_888_000_000_000n;

const TEXTS = [
  "",
  "a",
  "ab",
  "é",
  "\u{10FFFF}",
  "\u{10FFFF}".repeat(20),
  "x".repeat(70),
  "𝄞 clef",
  "\u0000",
  "null",
];
const text = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...TEXTS) },
  fc.string({ unit: "binary", maxLength: 40 }),
);

function valueOf(type: SqlType): fc.Arbitrary<Cell> {
  const ints = (bits: bigint): fc.Arbitrary<bigint> =>
    fc.oneof(
      fc.constantFrom(0n, -1n, 1n, -bits, bits - 1n),
      fc.bigInt({ min: -bits, max: bits - 1n }),
    );
  const decimals = (digits: number): fc.Arbitrary<bigint> => {
    const end = 10n ** BigInt(digits) - 1n;
    return fc.oneof(fc.constantFrom(0n, -end, end), fc.bigInt({ min: -end, max: end }));
  };
  switch (type.kind) {
    case "BOOLEAN":
      return fc.boolean();
    case "INTEGER":
      return ints(2n ** 31n).map(Number);
    case "DATE":
      return fc.integer({ min: -100_000, max: 100_000 });
    case "BIGINT":
      return ints(2n ** 63n);
    case "TIMESTAMPTZ":
      return fc.bigInt({ min: -60_000_000_000_000_000n, max: 60_000_000_000_000_000n });
    case "FLOAT":
      return fc.float();
    case "DOUBLE":
      return fc.double();
    case "VARCHAR":
      return text;
    case "DECIMAL":
      return decimals(type.precision);
    default:
      return unreachable(type);
  }
}

/** Random rows of the columns. The first column's times lie on up to three days. */
export function rowsOf(columns: readonly Column[], maxLength: number): fc.Arbitrary<Cell[][]> {
  const cells = columns.map((column, index) => {
    if (index === 0) return fc.bigInt({ min: DAY_US, max: DAY_US + 3n * 86_400_000_000n - 1n });
    const value = valueOf(column.type);
    return column.nullable ? fc.option(value, { nil: null, freq: 3 }) : value;
  });
  return fc.array(fc.tuple(...cells), { minLength: 1, maxLength });
}

/** A value as read_table.py prints it. */
export function printed(column: Column, value: Cell): unknown {
  if (value === null) return null;
  if (column.type.kind === "DECIMAL") return decimalText(BigInt(value), column.type.scale);
  if (typeof value === "bigint") return String(value);
  if (column.type.kind === "FLOAT") return printedFloat(Math.fround(Number(value)));
  return column.type.kind === "DOUBLE" ? printedFloat(Number(value)) : value;
}

function printedFloat(value: number): number | string {
  if (Number.isNaN(value)) return "nan";
  if (Number.isFinite(value)) return value;
  return value > 0 ? "inf" : "-inf";
}

/** Unscaled integer to text with all digits of the scale. */
export function decimalText(value: bigint, scale: number): string {
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, "0");
  const sign = value < 0n ? "-" : "";
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
