// The plain twin of the fold module's expression programs (assembly/fold/program.ts and what it calls): one event's values in bigint and
// number, SQL's three-valued logic, DuckDB's rounding. What raises in DuckDB is NULL here and noted.

/** A value of a row, as src/event/image.ts has it: decimals unscaled, times in µs, dates in days. */
export type Cell = string | number | bigint | boolean | null;

/** A type, as src/event/schema.ts has it. */
export type ReferenceType =
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

/** An expression, as src/view/plan.ts has it. */
export type ReferenceExpr =
  | {
      readonly op: "column";
      readonly column:
        /** `cells` of the row: of the event, or of the output row (HAVING). */
        | { readonly from: "image" | "output"; readonly ordinal: number }
        | { readonly from: "received_at" | "window_start" | "window_end" };
      readonly type: ReferenceType;
    }
  | {
      readonly op: "constant";
      readonly value: string | number | boolean | null;
      readonly type: ReferenceType;
    }
  | {
      readonly op: "call";
      readonly fn: string;
      readonly args: readonly ReferenceExpr[];
      readonly type: ReferenceType;
      readonly unit?: string;
    };

/** What an expression sees of an event. */
export interface ModelRow {
  readonly cells: readonly Cell[];
  readonly receivedAtUs: bigint;
  readonly startUs: bigint;
  readonly endUs: bigint;
}

const I32 = 2n ** 31n;
const I64 = 2n ** 63n;

/** Values of text compare by UTF-8 bytes. */
export function order(a: Cell, b: Cell): number {
  if (typeof a === "string" && typeof b === "string")
    return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (typeof a === "number" && typeof b === "number") {
    const [x, y] = [Number.isNaN(a), Number.isNaN(b)];
    if (x || y) return Number(x) - Number(y);
  }
  const [x, y] = [a as number, b as number];
  return x < y ? -1 : Number(x > y);
}

/** Evaluates one event's expressions; `failed` tells whether an operation raised. */
export class Evaluator {
  failed = false;
  readonly #row: ModelRow;

  constructor(row: ModelRow) {
    this.#row = row;
  }

  value(expr: ReferenceExpr): Cell {
    if (expr.op === "constant") return constant(expr.value, expr.type);
    if (expr.op === "column") {
      if (expr.column.from === "image" || expr.column.from === "output")
        return this.#row.cells[expr.column.ordinal] ?? null;
      if (expr.column.from === "received_at") return this.#row.receivedAtUs;
      return expr.column.from === "window_start" ? this.#row.startUs : this.#row.endUs;
    }
    // Every argument is evaluated: what fails in one that would not matter counts as well.
    const args = expr.args.map((arg) => this.value(arg));
    return this.#call(expr, args);
  }

  #fail(): null {
    this.failed = true;
    return null;
  }

  #call(call: Extract<ReferenceExpr, { op: "call" }>, args: readonly Cell[]): Cell {
    const { fn, type } = call;
    const [a, b] = [args[0] ?? null, args[1] ?? null];
    switch (fn) {
      case "and":
        if (args.includes(false)) return false;
        return args.includes(null) ? null : true;
      case "or":
        if (args.includes(true)) return true;
        return args.includes(null) ? null : false;
      case "is_null":
        return a === null;
      case "is_not_null":
        return a !== null;
      case "coalesce":
        return args.find((arg) => arg !== null) ?? null;
      case "is_distinct":
      case "is_not_distinct": {
        const same = a === null || b === null ? a === b : order(a, b) === 0;
        return same === (fn === "is_not_distinct");
      }
      case "in": {
        if (a === null) return null;
        if (args.slice(1).some((item) => item !== null && order(a, item) === 0)) return true;
        return args.slice(1).includes(null) ? null : false;
      }
      case "not":
        return a === null ? null : !a;
      case "cast":
        return a === null ? null : this.#cast(a, call.args[0]?.type ?? type, type);
      case "neg":
        if (a === null) return null;
        return this.#range(typeof a === "bigint" ? -a : -(a as number), type);
      case "date_trunc":
        return a === null ? null : truncate(a as bigint, call.unit ?? "");
      default:
        return a === null || b === null ? null : this.#binary(fn, [a, b], type);
    }
  }

  #binary(fn: string, [a, b]: readonly [Cell, Cell], type: ReferenceType): Cell {
    const c = order(a, b);
    switch (fn) {
      case "eq":
        return c === 0;
      case "ne":
        return c !== 0;
      case "lt":
        return c < 0;
      case "le":
        return c <= 0;
      case "gt":
        return c > 0;
      case "ge":
        return c >= 0;
      default:
    }
    if (type.kind === "DOUBLE" || type.kind === "FLOAT") {
      const [x, y] = [Number(a), Number(b)];
      if (fn === "int_div" && y === 0) return null;
      const results = { add: x + y, sub: x - y, mul: x * y, mod: x % y };
      const r = fn in results ? results[fn as "add"] : x / y;
      return type.kind === "FLOAT" ? Math.fround(r) : r;
    }
    const [x, y] = [BigInt(a as number), BigInt(b as number)];
    if (y === 0n && (fn === "int_div" || fn === "mod")) return null;
    const least = type.kind === "INTEGER" ? -I32 : type.kind === "BIGINT" ? -I64 : null;
    if (fn === "mod" && y === -1n && x === least) return this.#fail();
    if (fn === "add") return this.#range(x + y, type);
    if (fn === "sub") return this.#range(x - y, type);
    if (fn === "mul") return this.#range(x * y, type);
    return this.#range(fn === "mod" ? x % y : x / y, type);
  }

  /** An integer as a value of a type, or a failure when it does not fit. */
  #range(value: bigint | number, type: ReferenceType): Cell {
    if (type.kind === "DOUBLE" || type.kind === "FLOAT") return Number(value);
    const integer = BigInt(value);
    if (type.kind === "DECIMAL") {
      const bound = 10n ** BigInt(type.precision);
      return integer < bound && integer > -bound ? integer : this.#fail();
    }
    const bound = type.kind === "INTEGER" || type.kind === "DATE" ? I32 : I64;
    if (integer >= bound || integer < -bound) return this.#fail();
    return bound === I32 ? Number(integer) : integer;
  }

  #cast(value: Cell, from: ReferenceType, to: ReferenceType): Cell {
    if (from.kind === to.kind && from.kind !== "DECIMAL") return value;
    if (to.kind === "BOOLEAN") return Number(value) !== 0;
    if (from.kind === "DATE") return this.#range(BigInt(value as number) * 86_400_000_000n, to);
    if (to.kind === "DATE")
      return Number(floorTo(value as bigint, 86_400_000_000n) / 86_400_000_000n);
    const scale = to.kind === "DECIMAL" ? to.scale : 0;
    if (from.kind === "DOUBLE" || from.kind === "FLOAT")
      return this.#fromDouble(Number(value), to, { scale, single: from.kind === "FLOAT" });
    const integer = BigInt(value as bigint | number);
    const fromScale = from.kind === "DECIMAL" ? from.scale : 0;
    if (to.kind === "DOUBLE" || to.kind === "FLOAT") return toDouble(integer, fromScale, to);
    if (scale >= fromScale) return this.#range(integer * 10n ** BigInt(scale - fromScale), to);
    const divisor = 10n ** BigInt(fromScale - scale);
    const size = integer < 0n ? -integer : integer;
    const rounded = (size + divisor / 2n) / divisor;
    return this.#range(integer < 0n ? -rounded : rounded, to);
  }

  #fromDouble(
    value: number,
    to: ReferenceType,
    { scale, single }: { scale: number; single: boolean },
  ): Cell {
    if (to.kind === "DOUBLE") return value;
    if (to.kind === "FLOAT") {
      const rounded = Math.fround(value);
      return Number.isFinite(value) && !Number.isFinite(rounded) ? this.#fail() : rounded;
    }
    const scaled =
      to.kind === "DECIMAL" ? roundAway(value * Number(10n ** BigInt(scale))) : roundEven(value);
    if (!Number.isFinite(scaled)) return this.#fail();
    // DuckDB compares doubles: the one nearest to 10^38 is out of range, though it is a little less.
    if (to.kind === "DECIMAL" && Math.abs(scaled) >= Number(10n ** BigInt(to.precision)))
      return this.#fail();
    if (to.kind !== "DECIMAL" || !single) return this.#range(BigInt(scaled), to);
    return this.#range(BigInt(scaled), to) === null ? null : BigInt(Math.fround(scaled));
  }
}

function toDouble(integer: bigint, scale: number, to: ReferenceType): number {
  const fround = to.kind === "FLOAT" ? Math.fround : (x: number): number => x;
  const power = 10n ** BigInt(scale);
  const exact = to.kind === "FLOAT" ? 2n ** 24n : 2n ** 53n;
  const divisor = fround(Number(power));
  if (scale === 0 || (integer <= exact && integer >= -exact))
    return fround(fround(Number(integer)) / divisor);
  const whole = fround(Number(integer / power));
  return fround(whole + fround(fround(Number(integer % power)) / divisor));
}

function roundAway(value: number): number {
  const whole = Math.trunc(value);
  return Math.abs(value - whole) >= 0.5 ? whole + Math.sign(value) : whole;
}

function roundEven(value: number): number {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

function constant(value: string | number | boolean | null, type: ReferenceType): Cell {
  if (value === null) return null;
  if (type.kind === "BIGINT" || type.kind === "TIMESTAMPTZ" || type.kind === "DECIMAL")
    return BigInt(value);
  if (type.kind === "BOOLEAN") return value === true || value === "true";
  return type.kind === "VARCHAR" ? String(value) : Number(value);
}

/** The multiple of `unit` at or below a value. */
export function floorTo(value: bigint, unit: bigint): bigint {
  return value - (((value % unit) + unit) % unit);
}

function truncate(timeUs: bigint, unit: string): bigint {
  const fixed: Record<string, bigint> = {
    microsecond: 1n,
    millisecond: 1000n,
    second: 1_000_000n,
    minute: 60_000_000n,
    hour: 3_600_000_000n,
    day: 86_400_000_000n,
  };
  const size = fixed[unit];
  if (size !== undefined) return floorTo(timeUs, size);
  if (unit === "week")
    return floorTo(timeUs + 3n * 86_400_000_000n, 7n * 86_400_000_000n) - 3n * 86_400_000_000n;
  const date = new Date(Number(floorTo(timeUs, 1000n) / 1000n));
  const months: Record<string, number> = { month: 1, quarter: 3, year: 12 };
  const span = months[unit] ?? 12;
  const month = Math.floor(date.getUTCMonth() / span) * span;
  const first = new Date(0);
  first.setUTCFullYear(date.getUTCFullYear(), month, 1);
  return BigInt(first.getTime()) * 1000n;
}
