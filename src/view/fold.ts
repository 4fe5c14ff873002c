// Verb: parts of an expression without columns -> constants, evaluated by DuckDB itself ('2019-10-01' as a TIMESTAMPTZ, 60 * 60).
import type { DuckConnection, DuckValue } from "../base/duckdb.ts";
import { sqlTypeText, type SqlType } from "../event/schema.ts";
import { duckError } from "./duck-error.ts";
import type { Lowering } from "./lower.ts";
import type { Expr } from "./plan.ts";
import { renderExpr } from "./render.ts";

/** Folds the constants of one view. `fold` gives null after a fault. */
export class Folding {
  readonly #connection: DuckConnection;
  readonly #lowering: Lowering;

  constructor(connection: DuckConnection, lowering: Lowering) {
    this.#connection = connection;
    this.#lowering = lowering;
  }

  async fold(expr: Expr): Promise<Expr | null> {
    if (expr.op !== "call") return expr;
    const args: Expr[] = [];
    for (const arg of expr.args) {
      const folded = await this.fold(arg);
      if (folded === null) return null;
      args.push(folded);
    }
    const call: Expr = { ...expr, args };
    if (args.some((arg) => arg.op !== "constant")) return call;
    return this.#evaluate(call, this.#lowering.places.get(expr) ?? null);
  }

  async #evaluate(
    expr: Expr,
    place: Parameters<Lowering["faults"]["add"]>[0],
  ): Promise<Expr | null> {
    const text = renderExpr(expr, { column: () => "NULL", guarded: false });
    const { type } = expr;
    try {
      const { rows } = await this.#connection.run(
        `SELECT e IS NULL, ${valueText(type)} FROM (SELECT ${text} AS e)`,
      );
      const [isNull, value] = rows[0] ?? [];
      if (isNull === true) return { op: "constant", value: null, type };
      const constant = constantOf(value ?? null, type);
      if (constant !== null) return { op: "constant", value: constant, type };
      return this.#lowering.faults.add(place, `the constant is no finite ${sqlTypeText(type)}`);
    } catch (error) {
      return this.#lowering.faults.add(place, duckError(error).message);
    }
  }
}

/** SQL that gives `e` in the form that plans hold. */
function valueText(type: SqlType): string {
  switch (type.kind) {
    case "DATE":
      return "CAST(date_diff('day', DATE '1970-01-01', e) AS VARCHAR)";
    case "TIMESTAMPTZ":
      return "CAST(epoch_us(e) AS VARCHAR)";
    case "INTEGER":
    case "BIGINT":
    case "DECIMAL":
      return "CAST(e AS VARCHAR)";
    default:
      return "e";
  }
}

/** Null for values that plans cannot hold: infinities and NaN. */
function constantOf(value: DuckValue, type: SqlType): string | number | boolean | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value === "boolean") return value;
  if (typeof value !== "string") return null;
  return type.kind === "DECIMAL" ? String(BigInt(value.replace(".", ""))) : value;
}
