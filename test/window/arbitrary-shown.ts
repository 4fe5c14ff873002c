// Random HAVING and top-N for plans, and random projections.
import fc from "fast-check";
import type { SqlType } from "../../src/event/schema.ts";
import type { Expr, OutputColumn, ScalarFn, ViewPlan } from "../../src/view/plan.ts";
import {
  ALL,
  BIGINT,
  BOOLEAN,
  call,
  constantOf,
  DOUBLE,
  exprOf,
  planOf,
  SCHEMA,
  VARCHAR,
  windowArbitrary,
} from "./arbitrary.ts";

/** An expression over the output columns `ordinals` of a plan: some operation that may raise, compared with a constant or a column. */
function outputCondition(plan: ViewPlan, ordinals: readonly number[]): fc.Arbitrary<Expr> {
  return fc.constantFrom(...ordinals).chain((ordinal): fc.Arbitrary<Expr> => {
    const type = plan.output[ordinal]?.type ?? BOOLEAN;
    const value: Expr = { op: "column", column: { from: "output", ordinal }, type };
    const number = type.kind === "BIGINT" || type.kind === "INTEGER";
    const shown = number
      ? fc.constantFrom(value, call("add", [value, value], type), call("neg", [value], type))
      : fc.constant(value);
    return fc
      .tuple(
        shown,
        fc.oneof(constantOf(type), fc.constant(value)),
        fc.constantFrom<ScalarFn[]>("eq", "ne", "lt", "ge", "is_distinct", "is_null"),
      )
      .map(([a, b, fn]) => call(fn, fn === "is_null" ? [a] : [a, b], BOOLEAN));
  });
}

/** HAVING and the top of each window over output columns that `isFit`. */
export function shownArbitrary(
  plan: ViewPlan,
  isFit: (column: OutputColumn) => boolean,
): fc.Arbitrary<Pick<ViewPlan, "having" | "topN">> {
  const ordinals = plan.output.flatMap((column, ordinal) => (isFit(column) ? [ordinal] : []));
  const condition = outputCondition(plan, ordinals);
  return fc.record({
    having: fc.option(
      fc.oneof(
        condition,
        fc.tuple(condition, condition).map((args) => call("or", args, BOOLEAN)),
        condition.map((arg) => call("not", [arg], BOOLEAN)),
      ),
    ),
    topN: fc.option(
      fc.record({
        limit: fc.integer({ min: 1, max: 4 }),
        orderBy: fc.array(
          fc.record({
            ordinal: fc.constantFrom(...ordinals),
            descending: fc.boolean(),
            nullsFirst: fc.boolean(),
          }),
          { minLength: 1, maxLength: 2 },
        ),
      }),
    ),
  });
}

/** Projections over SCHEMA. */
export const projectionArbitrary: fc.Arbitrary<ViewPlan> = fc
  .record({
    filter: fc.option(eventExprOf(BOOLEAN, 3), { freq: 2 }),
    columns: fc.array(
      fc.constantFrom(...ALL).chain((type) => eventExprOf(type, 2).map((expr) => ({ type, expr }))),
      { minLength: 1, maxLength: 5 },
    ),
  })
  .map(({ filter, columns }) => ({
    ...planOf({ name: "v", filter, keys: [], aggregates: [] }),
    window: null,
    output: columns.map(({ type, expr }, index) => ({
      name: `x${index}`,
      type,
      nullable: true,
      fieldId: index + 1,
      source: { kind: "expression" as const, expr },
    })),
  }));

/** Expressions that know no window. */
function eventExprOf(type: SqlType, depth: number): fc.Arbitrary<Expr> {
  return exprOf(type, depth).filter((expr) => !JSON.stringify(expr).includes('"window_'));
}

/** A column of SCHEMA. */
function columnOf(name: string): Expr {
  const ordinal = SCHEMA.columns.findIndex((held) => held.name === name);
  const type = SCHEMA.columns[ordinal]?.type ?? BIGINT;
  return { op: "column", column: { from: "image", ordinal }, type };
}

/** Few groups with many events each, whose order and number corrections change. */
export const crowdedArbitrary: fc.Arbitrary<ViewPlan> = fc
  .record({
    window: windowArbitrary,
    key: fc.constantFrom("kind", "name"),
    least: fc.option(fc.constantFrom("2", "3", "5")),
    limit: fc.option(fc.integer({ min: 1, max: 3 })),
    descending: fc.boolean(),
  })
  .map(({ window, key, least, limit, descending }) => {
    const count: Expr = { op: "column", column: { from: "output", ordinal: 3 }, type: BIGINT };
    const plan = planOf({
      name: "v",
      filter: null,
      keys: [{ expr: columnOf(key), type: VARCHAR }],
      aggregates: [
        { fn: "count_star", arg: null, filter: null, type: BIGINT },
        { fn: "max", arg: columnOf("double"), filter: null, type: DOUBLE },
        { fn: "last", arg: columnOf("name"), filter: null, type: VARCHAR },
        { fn: "approx_count_distinct", arg: columnOf("big"), filter: null, type: BIGINT },
      ],
    });
    const bound: Expr = { op: "constant", value: least, type: BIGINT };
    return {
      ...plan,
      window,
      having: least === null ? null : call(descending ? "ge" : "lt", [count, bound], BOOLEAN),
      topN:
        limit === null ? null : { limit, orderBy: [{ ordinal: 3, descending, nullsFirst: false }] },
    };
  });
