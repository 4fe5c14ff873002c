// Every cast of a plan is DuckDB's: for random expressions over columns DuckDB's binder prints what the plan says, cast by cast.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { sqlTypeText } from "../../src/event/schema.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import type { Expr } from "../../src/view/plan.ts";
import { parse, SCHEMA } from "./fixture.ts";

let parser: ViewParser;
let db: DuckDb;
let duckdb: DuckConnection;

beforeAll(async () => {
  parser = await ViewParser.open();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    "PRAGMA disable_optimizer",
    "PRAGMA explain_output = 'optimized_only'",
    `CREATE TABLE clicks (${columnList(SCHEMA)})`,
  ]);
});
afterAll(() => {
  parser.close();
  duckdb.close();
  db.close();
});

/** The bound expression as DuckDB prints it, with every cast. */
async function bound(expression: string): Promise<string> {
  const { rows } = await duckdb.run(`EXPLAIN (FORMAT json) SELECT ${expression} FROM clicks`);
  const plan = JSON.parse(String(rows[0]?.[1])) as { extra_info: { Expressions: unknown } }[];
  return String(plan[0]?.extra_info.Expressions);
}

/** DuckDB leaves out a cast of an arithmetic operand that changes neither its scale nor the width of the integer that holds it. */
function withoutWidening(expr: Expr): Expr {
  const child = expr.op === "call" && expr.fn === "cast" ? expr.args[0] : undefined;
  if (expr.type.kind !== "DECIMAL" || child?.type.kind !== "DECIMAL") return expr;
  const width = (precision: number): number =>
    [4, 9, 18, 38].findIndex((digits) => precision <= digits);
  const isSame =
    expr.type.scale === child.type.scale &&
    width(expr.type.precision) === width(child.type.precision);
  return isSame ? child : expr;
}

/** A plan's expression in the form in which DuckDB prints bound ones. */
function printed(expr: Expr): string {
  if (expr.op === "column")
    return expr.column.from === "image"
      ? (SCHEMA.columns[expr.column.ordinal]?.name ?? "")
      : expr.column.from;
  if (expr.op === "constant") return String(expr.value);
  const isArithmetic = ["add", "sub", "mul", "mod"].includes(expr.fn);
  const args = expr.args.map((arg) => printed(isArithmetic ? withoutWidening(arg) : arg));
  if (expr.fn === "cast") return `CAST(${args[0]} AS ${sqlTypeText(expr.type)})`;
  if (expr.fn === "coalesce") return `COALESCE(${args.join(", ")})`;
  if (expr.fn === "neg") return `-(${args[0]})`;
  const operators: Partial<Record<typeof expr.fn, string>> = {
    add: "+",
    sub: "-",
    mul: "*",
    div: "/",
    int_div: "//",
    mod: "%",
    and: "AND",
    eq: "=",
    ne: "!=",
    lt: "<",
    le: "<=",
    ge: ">=",
    is_distinct: "IS DISTINCT FROM",
  };
  return `(${args.join(` ${operators[expr.fn]} `)})`;
}

const decimals = [
  [4, 1],
  [9, 9],
  [18, 0],
  [18, 4],
  [18, 17],
  [19, 19],
  [25, 3],
  [38, 0],
  [38, 2],
  [38, 30],
  [38, 38],
].map(([precision, scale]) => `r::DECIMAL(${precision},${scale})`);
const column = fc.constantFrom("i", "l", "f", "d", "p", "q", "r", ...decimals, ...decimals);
const number = fc.letrec<{ number: string }>((tie) => ({
  number: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    column,
    fc
      .tuple(tie("number"), fc.constantFrom("+", "-", "*", "/", "%", "//"), tie("number"))
      .map(([a, op, b]) => `(${a} ${op} ${b})`),
    tie("number").map((x) => `(- ${x})`),
    fc
      .tuple(tie("number"), tie("number"), tie("number"))
      .map(([a, b, c]) => `coalesce(${a}, ${b}, ${c})`),
  ),
})).number;
const expression = fc.oneof(
  number,
  fc
    .tuple(number, fc.constantFrom("=", "<", ">=", "<>", "IS DISTINCT FROM"), number)
    .map(([a, op, b]) => `${a} ${op} ${b}`),
  fc.tuple(number, number, number).map(([a, b, c]) => `${a} BETWEEN ${b} AND ${c}`),
);

test("casts are those of DuckDB's binder", async () => {
  let planned = 0;
  const check = async (text: string): Promise<void> => {
    const sql = `SELECT window_start, ${text} AS k, count(*) AS n
      FROM tumble(clicks, event_time, INTERVAL 1 HOUR) GROUP BY ALL`;
    const result = await parse(parser, sql);
    if (result.kind === "faults") return;
    const key = result.plan.keys[0];
    if (key === undefined) return;
    planned++;
    expect(printed(key.expr)).toBe(await bound(text));
  };
  await fc.assert(fc.asyncProperty(expression, check), { numRuns: 600 });
  expect(planned).toBeGreaterThan(150);
}, 180_000);
