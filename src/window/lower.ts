// Verb: an expression -> instructions. What depends on one dictionary column only runs over its entries, once per batch, and is
// gathered by the codes of the rows; equal subexpressions are computed once. Owns which operation gives DuckDB's result for which types.
import * as abi from "../../kernels/abi.ts";
import { assert, must, unreachable } from "../base/assert.ts";
import type { SqlType } from "../event/schema.ts";
import type { Expr, TumbleWindow } from "../view/plan.ts";
import { canRaise } from "../view/render.ts";
import { lowerCast } from "./lower-cast.ts";
import { classOf, rangeOf, textKey, widthOf } from "./classes.ts";
import { ProgramBuilder, ROWS } from "./program.ts";

type Call = Extract<Expr, { op: "call" }>;
type Constant = Extract<Expr, { op: "constant" }>;

/**
 * What is wanted of an expression: its value; booleans as integers; its coupon; the form in which a key is stored and compared; the
 * hash of that form.
 */
export type Want = "value" | "integer" | "coupon" | "form" | "hash";

const COMPARISONS: ReadonlyMap<string, { readonly mask: number; readonly distinct: boolean }> =
  new Map([
    ["eq", { mask: abi.COMPARE_EQUAL, distinct: false }],
    ["ne", { mask: abi.COMPARE_LESS | abi.COMPARE_GREATER, distinct: false }],
    ["lt", { mask: abi.COMPARE_LESS, distinct: false }],
    ["le", { mask: abi.COMPARE_LESS | abi.COMPARE_EQUAL, distinct: false }],
    ["gt", { mask: abi.COMPARE_GREATER, distinct: false }],
    ["ge", { mask: abi.COMPARE_GREATER | abi.COMPARE_EQUAL, distinct: false }],
    ["is_distinct", { mask: abi.COMPARE_LESS | abi.COMPARE_GREATER, distinct: true }],
    ["is_not_distinct", { mask: abi.COMPARE_EQUAL, distinct: true }],
  ]);

const ARITHMETIC: ReadonlyMap<string, number> = new Map([
  ["add", abi.ARITHMETIC_ADD],
  ["sub", abi.ARITHMETIC_SUB],
  ["mul", abi.ARITHMETIC_MUL],
  ["div", abi.ARITHMETIC_DIV],
  ["int_div", abi.ARITHMETIC_INT_DIV],
  ["mod", abi.ARITHMETIC_MOD],
]);

const UNITS: ReadonlyMap<string, number> = new Map([
  ["microsecond", abi.TRUNC_MICROSECONDS],
  ["millisecond", abi.TRUNC_MILLISECONDS],
  ["second", abi.TRUNC_SECOND],
  ["minute", abi.TRUNC_MINUTE],
  ["hour", abi.TRUNC_HOUR],
  ["day", abi.TRUNC_DAY],
  ["week", abi.TRUNC_WEEK],
  ["month", abi.TRUNC_MONTH],
  ["quarter", abi.TRUNC_QUARTER],
  ["year", abi.TRUNC_YEAR],
  ["decade", abi.TRUNC_DECADE],
  ["century", abi.TRUNC_CENTURY],
  ["millennium", abi.TRUNC_MILLENNIUM],
]);

/** Registers with a value for each row of the record, which the views of a stream share. */
export interface SharedRegisters {
  /** The register that has what is wanted of `expr`, which no row can fail for. */
  register(expr: Expr, want: Want): number;
}

export interface LowerOptions {
  /** Ordinal of the event-time column; null: it is received_at. */
  readonly eventTime: number | null;
  /** Null: expressions of the plan have no window bounds. */
  readonly window: TumbleWindow | null;
  /** Ordinals of the columns that are dictionaries in this batch. */
  readonly dictionaries: ReadonlySet<number>;
  /** Null: nobody shares this program's expressions. */
  readonly shared: SharedRegisters | null;
}

/** Lowers the expressions of one view for batches of one shape. */
export class Lowering {
  readonly builder = new ProgramBuilder();
  /** Ordinals of all columns that are read: of the stream's image, or of the output's. */
  readonly columns = new Set<number>();
  /** Register of received_at, which the host sets for each record; null when it is not read. */
  receivedAt: number | null = null;
  readonly #options: LowerOptions;
  readonly #made = new Map<string, number>();

  constructor(options: LowerOptions) {
    this.#options = options;
  }

  /** The register that has what is wanted of `expr`, a value per row. */
  rows(expr: Expr, want: Want): number {
    return this.#lower(expr, want, ROWS);
  }

  #lower(expr: Expr, want: Want, domain: number): number {
    const key = `${domain} ${want} ${textKey(expr)}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const { shared } = this.#options;
    const register =
      shared !== null && domain === ROWS && isShareable(expr)
        ? this.builder.emit(ROWS, 16, { op: abi.OP_SHARED, x: shared.register(expr, want) })
        : this.#make(expr, want, domain);
    this.#made.set(key, register);
    return register;
  }

  #make(expr: Expr, want: Want, domain: number): number {
    const kind = classOf(expr.type);
    const dictionary = domain === ROWS ? this.#dictionaryOf(expr) : null;
    if (dictionary !== null) {
      const entries = this.#lower(expr, want, dictionary);
      const width = wantedWidth(want, kind);
      return this.builder.emit(ROWS, width, {
        op: abi.OP_GATHER,
        a: this.#codes(dictionary),
        b: entries,
        x: width,
        y: dictionary,
      });
    }
    const wide = kind === abi.CLASS_H ? 16 : 8;
    switch (want) {
      case "value":
        return this.#value(expr, domain);
      case "integer": {
        const a = this.#lower(expr, "value", domain);
        return kind === abi.CLASS_B ? this.builder.emit(domain, 8, { op: abi.OP_WIDEN, a }) : a;
      }
      case "coupon": {
        const a = this.#lower(expr, "integer", domain);
        return this.builder.emit(domain, 8, { op: abi.OP_COUPON, a, x: kind, y: wide });
      }
      case "form": {
        const a = this.#lower(expr, "integer", domain);
        if (kind === abi.CLASS_S) return this.builder.emit(domain, 16, { op: abi.OP_KEY_TEXT, a });
        if (kind !== abi.CLASS_D) return a;
        return this.builder.emit(domain, 8, { op: abi.OP_KEY_DOUBLE, a });
      }
      case "hash": {
        const a = this.#lower(expr, "form", domain);
        const y = wantedWidth("form", kind);
        return this.builder.emit(domain, 8, { op: abi.OP_KEY_HASH, a, x: kind, y });
      }
      default:
        return unreachable(want);
    }
  }

  /** The dictionary column that alone decides an expression's value, or null. */
  #dictionaryOf(expr: Expr): number | null {
    const ordinals = new Set<number>();
    const collect = (part: Expr): void => {
      if (part.op === "call") part.args.forEach(collect);
      else if (part.op === "column")
        ordinals.add(part.column.from === "image" ? part.column.ordinal : ROWS);
    };
    collect(expr);
    const [only] = ordinals;
    if (ordinals.size !== 1 || only === undefined) return null;
    return this.#options.dictionaries.has(only) ? only : null;
  }

  /** The codes of a dictionary column, one per row. */
  #codes(ordinal: number): number {
    const key = `codes ${ordinal}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    this.columns.add(ordinal);
    const register = this.builder.emit(ROWS, 4, { op: abi.OP_LOAD, x: ordinal });
    this.#made.set(key, register);
    return register;
  }

  #value(expr: Expr, domain: number): number {
    if (expr.op === "constant") return this.#constant(expr);
    if (expr.op === "call") return this.#call(expr, domain);
    const { column } = expr;
    switch (column.from) {
      case "image":
      case "output":
        this.columns.add(column.ordinal);
        return this.builder.emit(domain, widthOf(classOf(expr.type)), {
          op: domain === ROWS ? abi.OP_LOAD : abi.OP_LOAD_ENTRIES,
          x: column.ordinal,
        });
      case "received_at":
        this.receivedAt ??= this.builder.constant(new Uint8Array(8));
        return this.receivedAt;
      case "window_start":
      case "window_end": {
        const { sizeUs, offsetUs } = must(this.#options.window, "one window for each event");
        return this.builder.emit(domain, 8, {
          op: abi.OP_WINDOW,
          a: this.time(),
          b: Math.floor(offsetUs / 2 ** 32),
          x: column.from === "window_end" ? 1 : 0,
          y: offsetUs % 2 ** 32,
          imm: BigInt(sizeUs),
        });
      }
      default:
        return unreachable(column);
    }
  }

  /** The register of the event time. */
  time(): number {
    const type: SqlType = { kind: "TIMESTAMPTZ" };
    const { eventTime } = this.#options;
    if (eventTime !== null)
      return this.rows(
        { op: "column", column: { from: "image", ordinal: eventTime }, type },
        "value",
      );
    // Kernels read times row by row; received_at is one value.
    const receipt: Expr = { op: "column", column: { from: "received_at" }, type };
    return this.rows(
      { op: "call", fn: "date_trunc", args: [receipt], type, unit: "microsecond" },
      "value",
    );
  }

  #constant({ value, type }: Constant): number {
    if (value === null) return this.builder.constant(null);
    if (type.kind === "VARCHAR")
      return this.builder.textConstant(new TextEncoder().encode(String(value)));
    return this.builder.constant(constantBytes(value, type));
  }

  #call(call: Call, domain: number): number {
    const { fn, args, type } = call;
    const [first] = args;
    assert(first !== undefined, `${fn} without arguments`);
    const kind = classOf(first.type);
    const arithmetic = ARITHMETIC.get(fn);
    const comparison = COMPARISONS.get(fn);
    if (comparison !== undefined) return this.#comparison(args, comparison, domain);
    if (arithmetic !== undefined) return this.#arithmetic(call, arithmetic, domain);
    switch (fn) {
      case "and":
      case "or": {
        const op = fn === "and" ? abi.OP_AND : abi.OP_OR;
        return this.#chain(args, domain, (a, b) => this.builder.emit(domain, 1, { op, a, b }));
      }
      case "not":
        return this.builder.emit(domain, 1, { op: abi.OP_NOT, a: this.#arg(first, domain) });
      case "is_null":
      case "is_not_null": {
        const a = this.#arg(first, domain);
        return this.builder.emit(domain, 1, {
          op: abi.OP_IS_NULL,
          a,
          x: fn === "is_null" ? 0 : 1,
        });
      }
      case "in":
        return this.#in(args, domain);
      case "neg": {
        const imm = BigInt(rangeOf(type));
        const a = this.#arg(first, domain);
        return this.builder.emit(domain, widthOf(kind), { op: abi.OP_NEGATE, a, x: kind, imm });
      }
      case "date_trunc": {
        assert(first.type.kind === "TIMESTAMPTZ", "date_trunc of a TIMESTAMPTZ");
        const x = must(UNITS.get(call.unit ?? ""), `date_trunc unit ${call.unit}`);
        return this.builder.emit(domain, 8, {
          op: abi.OP_DATE_TRUNC,
          a: this.#arg(first, domain),
          x,
        });
      }
      case "coalesce": {
        const x = widthOf(kind);
        return this.#chain(args, domain, (a, b) =>
          this.builder.emit(domain, x, { op: abi.OP_COALESCE, a, b, x }),
        );
      }
      default:
        assert(fn === "cast", `unknown function ${fn}`);
        return this.#cast(first, type, domain);
    }
  }

  #arg(expr: Expr, domain: number): number {
    return this.#lower(expr, "value", domain);
  }

  /** Joins arguments from the left, two at a time. */
  #chain(args: readonly Expr[], domain: number, join: (a: number, b: number) => number): number {
    return args.map((arg) => this.#arg(arg, domain)).reduce(join);
  }

  #cast(from: Expr, to: SqlType, domain: number): number {
    const a = this.#lower(from, "integer", domain);
    const instruction = lowerCast(from.type, to, a);
    if (instruction === null)
      return from.type.kind === "BOOLEAN" && to.kind === "BOOLEAN" ? this.#arg(from, domain) : a;
    return this.builder.emit(domain, widthOf(classOf(to)), instruction);
  }

  #comparison(
    args: readonly Expr[],
    { mask, distinct }: { readonly mask: number; readonly distinct: boolean },
    domain: number,
  ): number {
    const [left, right] = args;
    assert(left !== undefined && right !== undefined, "comparison of two");
    const kind = classOf(left.type);
    assert(kind === classOf(right.type), "comparison of one type");
    return this.builder.emit(domain, 1, {
      op: abi.OP_COMPARE,
      a: this.#lower(left, "integer", domain),
      b: this.#lower(right, "integer", domain),
      x: kind === abi.CLASS_B ? abi.CLASS_I : kind,
      y: mask,
      imm: distinct ? 1n : 0n,
    });
  }

  #arithmetic({ args, type }: Call, y: number, domain: number): number {
    const [left, right] = args;
    assert(left !== undefined && right !== undefined, "arithmetic on two");
    const x = classOf(type);
    assert(x === classOf(left.type) && x === classOf(right.type), "arithmetic in one class");
    return this.builder.emit(domain, widthOf(x), {
      op: abi.OP_ARITHMETIC,
      a: this.#arg(left, domain),
      b: this.#arg(right, domain),
      x,
      y,
      imm: BigInt(rangeOf(type)),
    });
  }

  /** x IN (a, b, ...) = (x = a OR x = b OR ...), in three registers however long the list is. */
  #in(args: readonly Expr[], domain: number): number {
    const [left, ...others] = args;
    const [first, ...rest] = others;
    assert(left !== undefined && first !== undefined, "in of something");
    const equal = { mask: abi.COMPARE_EQUAL, distinct: false };
    let found = this.#comparison([left, first], equal, domain);
    const spare = [this.builder.register(domain, 1), this.builder.register(domain, 1)];
    const one = this.builder.register(domain, 1);
    const kind = classOf(left.type);
    const a = this.#lower(left, "integer", domain);
    rest.forEach((item, index) => {
      const b = this.#lower(item, "integer", domain);
      const x = kind === abi.CLASS_B ? abi.CLASS_I : kind;
      this.builder.emitTo(one, { op: abi.OP_COMPARE, a, b, x, y: equal.mask });
      const next = must(spare[index % 2], "register");
      this.builder.emitTo(next, { op: abi.OP_OR, a: found, b: one });
      found = next;
    });
    return found;
  }
}

/** Whether an expression has the same value for every view of a stream, and no row can fail for it. */
export function isShareable(expr: Expr): boolean {
  if (expr.op === "column") return expr.column.from === "image";
  if (expr.op === "constant") return false;
  return !canRaise(expr) && expr.args.every((arg) => arg.op === "constant" || isShareable(arg));
}

function wantedWidth(want: Want, kind: number): number {
  if (want === "value") return widthOf(kind);
  if (want === "form") return kind === abi.CLASS_S || kind === abi.CLASS_H ? 16 : 8;
  return want === "integer" && kind === abi.CLASS_H ? 16 : 8;
}

/** The bytes of a constant in its class. */
function constantBytes(value: string | number | boolean, type: SqlType): Uint8Array {
  const kind = classOf(type);
  const bytes = new Uint8Array(widthOf(kind));
  const view = new DataView(bytes.buffer);
  if (kind === abi.CLASS_B) view.setUint8(0, value === true || value === "true" ? 1 : 0);
  else if (kind === abi.CLASS_D)
    view.setFloat64(0, type.kind === "FLOAT" ? Math.fround(Number(value)) : Number(value), true);
  else {
    const integer = BigInt(value);
    view.setBigUint64(0, BigInt.asUintN(64, integer), true);
    if (kind === abi.CLASS_H) view.setBigInt64(8, integer >> 64n, true);
  }
  return bytes;
}
