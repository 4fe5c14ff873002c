// Random streams for the whole-stack property: a schema as Avro, events as JSON texts with their times of receipt, a view's text over the
// schema from a small grammar. Values like the ends of their types; all are exact in JSON, Avro and SQL.
import fc from "fast-check";

export interface StackColumn {
  readonly name: string;
  readonly kind: Kind;
  readonly nullable: boolean;
}

type Kind =
  | "text"
  | "symbol"
  | "long"
  | "int"
  | "double"
  | "boolean"
  | "money"
  | "wide"
  | "date"
  | "time";

/** How each kind is declared, what DuckDB calls it, and JSON texts of its values. */
export const KINDS: Readonly<
  Record<Kind, { readonly avro: unknown; readonly sql: string; readonly values: readonly string[] }>
> = {
  text: {
    avro: "string",
    sql: "VARCHAR",
    values: ['"a"', '"b"', '""', '"ü 🦉"', '"a longer text, with a comma"'],
  },
  symbol: {
    avro: { type: "enum", name: "Symbol", symbols: ["x", "y", "z"] },
    sql: "VARCHAR",
    values: ['"x"', '"y"', '"z"'],
  },
  long: {
    avro: "long",
    sql: "BIGINT",
    values: ["0", "1", "-3", "9007199254740993", "9223372036854775807", "-9223372036854775808"],
  },
  int: {
    avro: "int",
    sql: "INTEGER",
    values: ["0", "1", "2", "-3", "46341", "2147483647", "-2147483648"],
  },
  double: {
    avro: "double",
    sql: "DOUBLE",
    values: ["0", "0.1", "-2.5", "1e300", "-1e300", "3.0e-7", "1e15"],
  },
  boolean: { avro: "boolean", sql: "BOOLEAN", values: ["true", "false"] },
  money: {
    avro: { type: "bytes", logicalType: "decimal", precision: 10, scale: 2 },
    sql: "DECIMAL(10,2)",
    values: ["0", "9.99", '"-0.01"', "99999999.99", "-99999999.99"],
  },
  wide: {
    avro: { type: "bytes", logicalType: "decimal", precision: 38, scale: 4 },
    sql: "DECIMAL(38,4)",
    values: ['"0.0001"', '"-123456789012345678901234567890.5"', "18446744073709551616"],
  },
  date: {
    avro: { type: "int", logicalType: "date" },
    sql: "DATE",
    values: ['"1969-12-31"', '"2024-02-29"', '"2024-01-01"'],
  },
  time: {
    avro: { type: "long", logicalType: "timestamp-micros" },
    sql: "TIMESTAMPTZ",
    values: ['"1969-12-31T23:59:59.999999Z"', '"2024-01-01T00:00:30.5Z"', '"2024-01-01T00:01:00Z"'],
  },
};

/** Some are words of SQL. */
const NAMES = ["a", "order", "c", "select", "e", "Mixed"];
const BEGIN_MS = Date.UTC(2024, 0, 1);

const columnsArbitrary: fc.Arbitrary<StackColumn[]> = fc
  .array(
    fc.record({ kind: fc.constantFrom(...(Object.keys(KINDS) as Kind[])), nullable: fc.boolean() }),
    { minLength: 1, maxLength: NAMES.length },
  )
  .map((columns) => columns.map((column, at) => ({ ...column, name: NAMES[at] ?? "z" })));

export interface StackEvent {
  readonly id: number;
  readonly timeMs: number;
  readonly receivedMs: number;
  readonly partition: string;
  readonly json: string;
}

function eventsArbitrary(
  columns: readonly StackColumn[],
  partitions: readonly string[],
): fc.Arbitrary<StackEvent[]> {
  const values = columns.map(({ kind, nullable }) => {
    const some = fc.constantFrom(...KINDS[kind].values);
    return nullable ? fc.option(some, { nil: "null", freq: 4 }) : some;
  });
  const one = fc.record({
    // Few ids: some events are there twice.
    id: fc.integer({ min: 1, max: 60 }),
    stepMs: fc.constantFrom(0, 0, 100, 900, 4_000),
    behindMs: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 2_500 }) },
      { weight: 1, arbitrary: fc.integer({ min: 2_500, max: 40_000 }) },
      { weight: 1, arbitrary: fc.constantFrom(-500, -20_000) },
    ),
    partition: fc.constantFrom(...partitions),
    values: fc.tuple(...values),
  });
  return fc.array(one, { minLength: 1, maxLength: 60 }).map((all) => {
    let nowMs = BEGIN_MS;
    return all.map(({ id, stepMs, behindMs, partition, values: cells }) => {
      nowMs += stepMs;
      const timeMs = nowMs - behindMs;
      const members = columns.map(
        ({ name }, at) => `${JSON.stringify(name)}:${cells[at] ?? "null"}`,
      );
      const json = `{"id":${id},"at_":"${new Date(timeMs).toISOString()}",${members.join(",")}}`;
      return { id, timeMs, receivedMs: nowMs, partition, json };
    });
  });
}

const quoted = (name: string): string => `"${name}"`;
const NUMBERS: readonly Kind[] = ["long", "int", "double", "money", "wide"];

function conditionOf({ name, kind }: StackColumn): fc.Arbitrary<string> {
  const column = quoted(name);
  const own = {
    text: [`${column} = 'a'`, `${column} <> ''`, `${column} IN ('a', 'b')`],
    symbol: [`${column} = 'x'`, `${column} > 'x'`],
    boolean: [column, `NOT ${column}`],
    date: [`${column} >= DATE '2024-01-01'`],
    time: [`${column} < TIMESTAMPTZ '2024-01-01 00:00:45Z'`],
    number: [`${column} > 0`, `${column} BETWEEN -3 AND 46341`, `${column} * 2 <> 2`],
  };
  const texts = own[kind as keyof typeof own] ?? own.number;
  return fc.constantFrom(
    ...texts,
    `${column} IS NULL`,
    `${column} IS NOT NULL`,
    `${column} IS DISTINCT FROM NULL`,
  );
}

function keyOf({ name, kind }: StackColumn): fc.Arbitrary<string> {
  const column = quoted(name);
  const more: Partial<Record<Kind, readonly string[]>> = {
    int: [`${column} % 3`, `${column} + 1`],
    long: [`${column} % 7`, `-${column}`],
    text: [`coalesce(${column}, 'none')`],
    time: [`date_trunc('minute', ${column})`],
    money: [`${column} * 2`],
  };
  return fc.constantFrom(column, column, `${column} IS NULL`, ...(more[kind] ?? []));
}

function aggregateOf(column: StackColumn): fc.Arbitrary<string> {
  const { name, kind } = column;
  const functions = ["count", "min", "max", "first", "last", "approx_count_distinct"];
  const all = NUMBERS.includes(kind) ? [...functions, "sum", "avg", "sum"] : functions;
  return fc
    .tuple(fc.constantFrom(...all), fc.option(conditionOf(column), { freq: 2 }))
    .map(
      ([fn, where]) => `${fn}(${quoted(name)})${where === null ? "" : ` FILTER (WHERE ${where})`}`,
    );
}

/** A view's text, and the plain columns that a session is of. */
export interface StackView {
  readonly sql: string;
  readonly session: { readonly gapUs: bigint; readonly keys: readonly string[] } | null;
}

const WINDOWS = [
  "tumble(events, at_, INTERVAL 1 SECOND)",
  "tumble(events, at_, INTERVAL 10 SECONDS)",
  "tumble(events, at_, INTERVAL 7 SECONDS, INTERVAL 3 SECONDS)",
  "tumble(events, at_, INTERVAL 1 MINUTE)",
  "hop(events, at_, INTERVAL 2 SECONDS, INTERVAL 10 SECONDS)",
  "hop(events, at_, INTERVAL 4 SECONDS, INTERVAL 14 SECONDS, INTERVAL 1 SECOND)",
];

function viewArbitrary(columns: readonly StackColumn[]): fc.Arbitrary<StackView> {
  const column = fc.constantFrom(...columns);
  const aggregates = fc.array(column.chain(aggregateOf), { maxLength: 3 });
  const where = fc.option(column.chain(conditionOf), { freq: 2 });
  const select = (keys: readonly string[], values: readonly string[]): string =>
    [
      "window_start",
      ...keys.map((key, at) => `${key} AS k${at}`),
      "count(*) AS n",
      ...values.map((value, at) => `${value} AS v${at}`),
    ].join(", ");
  const grouped = fc
    .tuple(
      fc.constantFrom(...WINDOWS),
      fc.array(column.chain(keyOf), { maxLength: 2 }),
      aggregates,
      where,
      fc.constantFrom("", "", "HAVING n > 1", "HAVING n IN (1, 3)", "top"),
    )
    .map(([window, keys, values, condition, having]): StackView => {
      const groups = ["window_start", ...keys.map((_, at) => `k${at}`)].join(", ");
      const order = ["n DESC", ...keys.map((_, at) => `k${at}`)].join(", ");
      const top = `QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY ${order}) <= 2`;
      const filter = condition === null ? "" : `WHERE ${condition}`;
      const sql = `SELECT ${select(keys, values)} FROM ${window} ${filter} GROUP BY ${groups} ${having === "top" ? top : having}`;
      return { sql, session: null };
    });
  const plain = columns.filter(({ kind }) =>
    ["text", "symbol", "int", "long", "boolean"].includes(kind),
  );
  if (plain.length === 0) return grouped;
  const session = fc
    .tuple(
      fc.constantFrom(1, 3, 10),
      fc.uniqueArray(fc.constantFrom(...plain), { minLength: 1, maxLength: 2 }),
      aggregates,
      where,
      fc.constantFrom("", "", "HAVING n > 1"),
    )
    .map(([seconds, keys, values, condition, having]): StackView => {
      const filter = condition === null ? "" : `WHERE ${condition}`;
      const names = keys.map(({ name }) => quoted(name));
      const sql = `SELECT ${select(names, values)}, window_end FROM session(events, at_, INTERVAL ${seconds} SECONDS, ${names.join(", ")}) ${filter} GROUP BY ALL ${having}`;
      return {
        sql,
        session: { gapUs: BigInt(seconds) * 1_000_000n, keys: keys.map(({ name }) => name) },
      };
    });
  return fc.oneof({ weight: 3, arbitrary: grouped }, { weight: 1, arbitrary: session });
}

export const stackArbitrary = fc
  .tuple(columnsArbitrary, fc.constantFrom([""], [""], ["", "p", "q"]))
  .chain(([columns, partitions]) =>
    fc.record({
      columns: fc.constant(columns),
      events: eventsArbitrary(columns, partitions),
      view: viewArbitrary(columns),
      bodySize: fc.constantFrom(1, 3, 1000),
      killAt: fc.option(fc.integer({ min: 0, max: 59 }), { freq: 2 }),
      outOfOrdernessUs: fc.constantFrom(0, 1_000_000, 3_000_000),
      idleAfterUs: fc.constantFrom(null, null, 1_000_000, 5_000_000),
      /** Whether only events whose id is a multiple of three move the watermark. */
      isPunctuated: fc.boolean(),
      late: fc.constantFrom("side", "side", "drop", "update"),
    }),
  );

export type Stack = typeof stackArbitrary extends fc.Arbitrary<infer T> ? T : never;
