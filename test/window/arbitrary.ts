// Random streams and plans for the property tests: a fixed schema with every type, values that like edges, plans from a small grammar.
import fc from "fast-check";
import type { Cell } from "../../src/event/image.ts";
import {
  IMAGE_EXTRA_COLUMNS,
  type EventColumn,
  type EventSchema,
  type SqlType,
} from "../../src/event/schema.ts";
import type {
  Aggregate,
  AggregateFn,
  Expr,
  OutputSource,
  ScalarFn,
  HopWindow,
  TumbleWindow,
  ViewPlan,
} from "../../src/view/plan.ts";

export const BOOLEAN: SqlType = { kind: "BOOLEAN" };
export const INTEGER: SqlType = { kind: "INTEGER" };
export const BIGINT: SqlType = { kind: "BIGINT" };
export const FLOAT: SqlType = { kind: "FLOAT" };
export const DOUBLE: SqlType = { kind: "DOUBLE" };
export const VARCHAR: SqlType = { kind: "VARCHAR" };
export const DATE: SqlType = { kind: "DATE" };
export const TIME: SqlType = { kind: "TIMESTAMPTZ" };
export const MONEY: SqlType = { kind: "DECIMAL", precision: 10, scale: 2 };
export const WIDE: SqlType = { kind: "DECIMAL", precision: 38, scale: 4 };

/** Types that columns have, by the name of the column. */
const TYPES: Readonly<Record<string, SqlType>> = {
  event_time: TIME,
  flag: BOOLEAN,
  small: INTEGER,
  big: BIGINT,
  single: FLOAT,
  double: DOUBLE,
  name: VARCHAR,
  kind: VARCHAR,
  day: DATE,
  money: MONEY,
  wide: WIDE,
};

export const SCHEMA: EventSchema = {
  id: 1,
  columns: Object.entries(TYPES).map(([name, type], index): EventColumn => ({
    name,
    type,
    nullable: name !== "event_time",
    fieldId: index + 1,
    decoding: { kind: "plain" },
  })),
  eventTime: 0,
  eventId: null,
};

export const IMAGE_COLUMNS = [...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS];
export const BEHIND = SCHEMA.columns.length + 1;
export const WINDOW_US = 60_000_000;

const texts = [
  "",
  "a",
  "view",
  "purchase",
  "twelve bytes",
  "thirteen byte",
  "a longer text than fits",
  "ü",
  "zebra",
];

/** Values of a column that has a type; the time is relative to the stream's. */
function cellOf(name: string, type: SqlType, widest = 10n ** 38n - 1n): fc.Arbitrary<Cell> {
  const some = (): fc.Arbitrary<Cell> => {
    switch (type.kind) {
      case "BOOLEAN":
        return fc.boolean();
      case "INTEGER":
        return fc.oneof(
          fc.integer({ min: -3, max: 3 }),
          fc.constantFrom(2 ** 31 - 1, -(2 ** 31), 46341),
        );
      case "BIGINT":
        return fc.oneof(
          fc.bigInt(-3n, 3n),
          fc.constantFrom(2n ** 63n - 1n, -(2n ** 63n), 3037000500n, 2n ** 53n + 1n),
        );
      case "FLOAT":
      case "DOUBLE":
        return fc
          .oneof(
            fc.constantFrom(0, -0, NaN, Infinity, -Infinity, 1.5, 2.5, -0.5, 1e30, 0.1, 3e9, 1e300),
            fc.double({ min: -100, max: 100, noNaN: true }),
          )
          .map((value) => (type.kind === "FLOAT" ? Math.fround(value) : value));
      case "VARCHAR":
        return name === "kind" ? fc.constantFrom("view", "cart", "") : fc.constantFrom(...texts);
      case "DATE":
        return fc.integer({ min: -800, max: 20_000 });
      case "TIMESTAMPTZ":
        return fc.bigInt(-200_000_000n, 200_000_000n);
      case "DECIMAL":
        return type.precision <= 18
          ? fc.oneof(fc.bigInt(-500n, 500n), fc.constantFrom(9_999_999_999n, -9_999_999_999n))
          : fc.oneof(
              fc.bigInt(-50_000n, 50_000n),
              fc.constantFrom(widest, -widest, 2n ** 64n, 10n ** 20n + 5000n),
            );
      default:
        return fc.constant(null);
    }
  };
  return name === "event_time" ? some() : fc.option(some(), { freq: 5 });
}

/** Events without `attrs` and `_behind`; wide decimals up to `widest`. */
export function eventArbitrary(widest?: bigint): fc.Arbitrary<Cell[]> {
  return fc.tuple(...Object.entries(TYPES).map(([name, type]) => cellOf(name, type, widest)));
}

const column = (name: string): Expr => ({
  op: "column",
  column: { from: "image", ordinal: Object.keys(TYPES).indexOf(name) },
  type: TYPES[name] ?? VARCHAR,
});

export function call(fn: ScalarFn, args: readonly Expr[], type: SqlType, unit?: string): Expr {
  return { op: "call", fn, args, type, ...(unit === undefined ? {} : { unit }) };
}

/** Constants as plans hold them. */
export function constantOf(type: SqlType): fc.Arbitrary<Expr> {
  return fc.oneof(cellOf("constant", type), fc.constant(null)).map((cell) => ({
    op: "constant",
    value:
      typeof cell === "bigint" ||
      (typeof cell === "number" && type.kind !== "FLOAT" && type.kind !== "DOUBLE")
        ? String(cell)
        : cell,
    type,
  }));
}

function leaf(type: SqlType): fc.Arbitrary<Expr> {
  const columns = Object.entries(TYPES)
    .filter(([, held]) => JSON.stringify(held) === JSON.stringify(type))
    .map(([name]) => fc.constant(column(name)));
  const bounds: fc.Arbitrary<Expr>[] =
    type.kind === "TIMESTAMPTZ"
      ? (["window_start", "window_end", "received_at"] as const).map((from) =>
          fc.constant({ op: "column", column: { from }, type } as const),
        )
      : [];
  return fc.oneof(...columns, ...columns, ...columns, ...bounds, constantOf(type));
}

const NUMBERS = [INTEGER, BIGINT, FLOAT, DOUBLE, MONEY, WIDE];
export const ALL = [BOOLEAN, ...NUMBERS, VARCHAR, DATE, TIME];

function booleanOf(depth: number): fc.Arbitrary<Expr> {
  const comparison = fc
    .constantFrom(...ALL)
    .chain((type) =>
      fc
        .tuple(
          fc.constantFrom("eq", "ne", "lt", "le", "gt", "ge", "is_distinct", "is_not_distinct"),
          exprOf(type, depth - 1),
          exprOf(type, depth - 1),
        )
        .map(([fn, a, b]) => call(fn as ScalarFn, [a, b], BOOLEAN)),
    );
  const among = fc
    .constantFrom(VARCHAR, INTEGER, DOUBLE, WIDE)
    .chain((type) =>
      fc
        .tuple(exprOf(type, depth - 1), fc.array(constantOf(type), { minLength: 1, maxLength: 4 }))
        .map(([a, items]) => call("in", [a, ...items], BOOLEAN)),
    );
  const logic = fc
    .tuple(
      fc.constantFrom("and", "or"),
      fc.array(exprOf(BOOLEAN, depth - 1), { minLength: 2, maxLength: 3 }),
    )
    .map(([fn, args]) => call(fn as ScalarFn, args, BOOLEAN));
  const tests = fc
    .constantFrom(...ALL)
    .chain((type) =>
      fc
        .tuple(fc.constantFrom("is_null", "is_not_null"), exprOf(type, depth - 1))
        .map(([fn, a]) => call(fn as ScalarFn, [a], BOOLEAN)),
    );
  return fc.oneof(
    comparison,
    among,
    logic,
    tests,
    exprOf(BOOLEAN, depth - 1).map((a) => call("not", [a], BOOLEAN)),
    exprOf(BIGINT, depth - 1).map((a) => call("cast", [a], BOOLEAN)),
  );
}

function numberOf(type: SqlType, depth: number): fc.Arbitrary<Expr> {
  const floating = type.kind === "FLOAT" || type.kind === "DOUBLE";
  const functions = [
    "add",
    "sub",
    ...(type.kind === "DECIMAL" ? ["mod"] : ["mul", "mod", "int_div"]),
    ...(floating ? ["div"] : []),
  ];
  const arithmetic = fc
    .tuple(fc.constantFrom(...functions), exprOf(type, depth - 1), exprOf(type, depth - 1))
    .map(([fn, a, b]) => call(fn as ScalarFn, [a, b], type));
  const casts = fc
    .constantFrom(...NUMBERS, ...(type === INTEGER || type === BIGINT ? [BOOLEAN] : []))
    .chain((from) => exprOf(from, depth - 1).map((a) => call("cast", [a], type)));
  return fc.oneof(
    arithmetic,
    arithmetic,
    casts,
    exprOf(type, depth - 1).map((a) => call("neg", [a], type)),
  );
}

/** Expressions of a type. */
export function exprOf(type: SqlType, depth: number): fc.Arbitrary<Expr> {
  if (depth <= 0) return leaf(type);
  const coalesce = fc
    .array(exprOf(type, depth - 1), { minLength: 2, maxLength: 3 })
    .map((args) => call("coalesce", args, type));
  if (type.kind === "BOOLEAN")
    return fc.oneof(leaf(type), booleanOf(depth), booleanOf(depth), coalesce);
  if (NUMBERS.includes(type)) return fc.oneof(leaf(type), numberOf(type, depth), coalesce);
  if (type.kind === "DATE")
    return fc.oneof(
      leaf(type),
      coalesce,
      exprOf(TIME, depth - 1).map((a) => call("cast", [a], DATE)),
    );
  if (type.kind !== "TIMESTAMPTZ") return fc.oneof(leaf(type), coalesce);
  const units = [
    "microsecond",
    "millisecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
  ];
  const cut = fc
    .tuple(exprOf(type, depth - 1), fc.constantFrom(...units))
    .map(([a, unit]) => call("date_trunc", [a], type, unit));
  const midnight = exprOf(DATE, depth - 1).map((a) => call("cast", [a], TIME));
  return fc.oneof(leaf(type), cut, midnight, coalesce);
}

const aggregateArbitrary: fc.Arbitrary<Aggregate> = fc
  .tuple(
    fc.constantFrom<AggregateFn[]>(
      "count_star",
      "count",
      "sum",
      "avg",
      "min",
      "max",
      "approx_count_distinct",
      "first",
      "last",
    ),
    fc.constantFrom(...ALL),
    fc.constantFrom(...NUMBERS),
    fc.option(exprOf(BOOLEAN, 2), { freq: 2 }),
  )
  .chain(([fn, any, number, filter]): fc.Arbitrary<Aggregate> => {
    if (fn === "count_star") return fc.constant({ fn, arg: null, filter, type: BIGINT });
    const type = fn === "sum" || fn === "avg" ? number : any;
    return exprOf(type, 2).map((arg) => ({ fn, arg, filter, type: resultType(fn, type) }));
  });

function resultType(fn: AggregateFn, type: SqlType): SqlType {
  if (["min", "max", "first", "last"].includes(fn)) return type;
  if (fn === "count" || fn === "approx_count_distinct") return BIGINT;
  if (fn === "avg" || type.kind === "FLOAT" || type.kind === "DOUBLE") return DOUBLE;
  return { kind: "DECIMAL", precision: 38, scale: type.kind === "DECIMAL" ? type.scale : 0 };
}

/** Plans over SCHEMA. */
export const planArbitrary: fc.Arbitrary<ViewPlan> = fc
  .record({
    filter: fc.option(exprOf(BOOLEAN, 3), { freq: 2 }),
    keys: fc.array(
      fc.constantFrom(...ALL).chain((type) => exprOf(type, 2).map((expr) => ({ expr, type }))),
      { maxLength: 3 },
    ),
    aggregates: fc.array(aggregateArbitrary, { minLength: 1, maxLength: 4 }),
    name: fc.constantFrom("v", "w"),
  })
  .map(({ name, filter, keys, aggregates }) => planOf({ name, filter, keys, aggregates }));

/** A plan whose output is the window, the keys and the aggregates. */
export function planOf(parts: Pick<ViewPlan, "name" | "filter" | "keys" | "aggregates">): ViewPlan {
  const { keys, aggregates } = parts;
  const sources: { name: string; type: SqlType; source: OutputSource }[] = [
    { name: "window_start", type: TIME, source: { kind: "window_start" as const } },
    { name: "window_end", type: TIME, source: { kind: "window_end" as const } },
    ...keys.map(({ type }, index) => ({
      name: `k${index}`,
      type,
      source: { kind: "key" as const, index },
    })),
    ...aggregates.map(({ type }, index) => ({
      name: `a${index}`,
      type,
      source: { kind: "aggregate" as const, index },
    })),
  ];
  return {
    ...parts,
    stream: "events",
    sql: "",
    window: { kind: "tumble", sizeUs: WINDOW_US, offsetUs: 0 },
    rollupOf: null,
    output: sources.map((source, index) => ({ ...source, nullable: true, fieldId: index + 1 })),
    having: null,
    topN: null,
    late: { policy: "side", allowedUs: 0 },
  };
}

/** An expression without the bounds of the row's window: a hop's rows have several. */
function withoutBounds(expr: Expr): Expr {
  if (expr.op === "call") return { ...expr, args: expr.args.map(withoutBounds) };
  if (expr.op !== "column" || !expr.column.from.startsWith("window_")) return expr;
  return { ...expr, column: { from: "received_at" } };
}

/** A plan whose results do not depend on the order of merges: sums of doubles become maxima. */
export function mergeable(plan: ViewPlan): ViewPlan {
  const { name, filter, keys } = plan;
  const aggregates = plan.aggregates.map((aggregate): Aggregate => {
    const { fn, arg } = aggregate;
    const isDouble = arg?.type.kind === "DOUBLE" || arg?.type.kind === "FLOAT";
    return isDouble && (fn === "sum" || fn === "avg")
      ? { ...aggregate, fn: "max", type: arg.type }
      : aggregate;
  });
  return { ...planOf({ name, filter, keys, aggregates }), window: plan.window };
}

/** The plan over a hop. */
function hopping(plan: ViewPlan, window: HopWindow): ViewPlan {
  const { name, keys, aggregates, filter } = mergeable(plan);
  const parts = {
    name,
    filter: filter && withoutBounds(filter),
    keys: keys.map(({ expr, type }) => ({ expr: withoutBounds(expr), type })),
    aggregates: aggregates.map((aggregate) => ({
      ...aggregate,
      arg: aggregate.arg && withoutBounds(aggregate.arg),
      filter: aggregate.filter && withoutBounds(aggregate.filter),
    })),
  };
  return { ...planOf(parts), window };
}

const SECOND_US = 1_000_000;

/** Windows of which times of the stream have one, a few or many. */
export const windowArbitrary: fc.Arbitrary<TumbleWindow | HopWindow> = fc
  .record({
    slide: fc.constantFrom(1, 7, 20, 45, 60),
    times: fc.constantFrom(1, 1.5, 2, 3, 10, 60),
    offset: fc.double({ min: 0, max: 0.99, noNaN: true }),
    tumble: fc.boolean(),
  })
  .map(({ slide, times, offset, tumble }) => {
    const slideUs = (tumble ? 60 : slide * 2) * SECOND_US;
    const offsetUs = Math.floor(offset * slideUs);
    if (tumble) return { kind: "tumble", sizeUs: slideUs, offsetUs };
    return { kind: "hop", slideUs, sizeUs: slideUs * times, offsetUs };
  });

/** Plans over SCHEMA with tumbling or hopping windows anywhere. */
export const windowedPlanArbitrary: fc.Arbitrary<ViewPlan> = fc
  .tuple(planArbitrary, windowArbitrary)
  .map(([plan, window]) => (window.kind === "hop" ? hopping(plan, window) : { ...plan, window }));
