// Verb: one expression of the syntax tree -> Expr, typed as DuckDB's binder would, or faults. Owns which expressions kernels evaluate
// and the casts between operands; constants are folded later (fold.ts), the SELECT's clauses are select.ts's.
import type { SqlType } from "../event/schema.ts";
import { sqlTypeText } from "../event/schema.ts";
import { similar } from "../base/similar.ts";
import type { Faults } from "./fault.ts";
import { calledFunction } from "./lower-function.ts";
import type { ColumnRef, Expr, ScalarFn } from "./plan.ts";
import { columnNames, listOf, nodeOf, textOf, type Node } from "./tree.ts";
import * as typing from "./typing.ts";

/** A column that a view may read, by its name in lower case. */
export interface ReadableColumn {
  readonly name: string;
  readonly ref: ColumnRef;
  readonly type: SqlType;
  readonly nullable: boolean;
}

/** What names mean in a view's text. */
export interface Scope {
  readonly stream: string;
  /** The name that may qualify columns: the alias of FROM; empty without one. */
  readonly qualifier: string;
  readonly columns: ReadonlyMap<string, ReadableColumn>;
  /** The window's bounds, which stand alone in the SELECT list, GROUP BY and HAVING; those of tumble are in `columns` too. */
  readonly bounds: ReadonlyMap<string, ReadableColumn>;
  /** Names given with AS, in lower case: for advice only. */
  readonly aliases: ReadonlySet<string>;
}

/** A lowered operand. A `string` or `null` literal takes the type of what it meets, as in DuckDB. */
export interface Operand {
  readonly expr: Expr;
  readonly literal: "string" | "null" | null;
  readonly node: Node;
}

const COMPARISONS: ReadonlyMap<string, ScalarFn> = new Map([
  ["COMPARE_EQUAL", "eq"],
  ["COMPARE_NOTEQUAL", "ne"],
  ["COMPARE_LESSTHAN", "lt"],
  ["COMPARE_LESSTHANOREQUALTO", "le"],
  ["COMPARE_GREATERTHAN", "gt"],
  ["COMPARE_GREATERTHANOREQUALTO", "ge"],
  ["COMPARE_DISTINCT_FROM", "is_distinct"],
  ["COMPARE_NOT_DISTINCT_FROM", "is_not_distinct"],
]);

/** Lowers expressions in one scope. Every method gives null after it has added a fault. */
export class Lowering {
  readonly scope: Scope;
  readonly faults: Faults;
  /** Where a call or constant stands in the text: for faults found after lowering. */
  readonly places: Map<Expr, Node>;

  constructor(scope: Scope, faults: Faults, places = new Map<Expr, Node>()) {
    this.scope = scope;
    this.faults = faults;
    this.places = places;
  }

  /** An expression with a type of its own: a literal string is VARCHAR, NULL alone is refused. */
  value(node: Node): Expr | null {
    const operand = this.operand(node);
    if (operand === null) return null;
    if (operand.literal === "null")
      return this.faults.add(node, "NULL has no type here", "write CAST(NULL AS type)");
    return operand.expr;
  }

  /** An expression as a condition: BOOLEAN, or what DuckDB casts to it. */
  condition(node: Node): Expr | null {
    const operand = this.operand(node);
    return operand === null ? null : this.coerce(operand, typing.BOOLEAN);
  }

  /** What stands by itself in the SELECT list or GROUP BY: an expression, or a bound of the window. */
  item(node: Node): Expr | null {
    const names = node.type === "COLUMN_REF" ? columnNames(node) : [];
    const { scope } = this;
    const qualifier = names.slice(0, -1).join(".").toLowerCase();
    const bound = scope.bounds.get((names.at(-1) ?? "").toLowerCase());
    if (bound !== undefined && (qualifier === "" || qualifier === scope.qualifier.toLowerCase()))
      return columnOperand(bound, node).expr;
    return this.value(node);
  }

  operand(node: Node): Operand | null {
    const comparison = COMPARISONS.get(node.type);
    if (comparison !== undefined) return this.#comparison(node, comparison);
    switch (node.type) {
      case "COLUMN_REF":
        return this.#column(node);
      case "VALUE_CONSTANT":
        return this.#constant(node);
      case "CONJUNCTION_AND":
      case "CONJUNCTION_OR":
        return this.#conditions(node, node.type === "CONJUNCTION_AND" ? "and" : "or");
      case "OPERATOR_NOT":
        return this.#conditions(node, "not");
      case "OPERATOR_IS_NULL":
      case "OPERATOR_IS_NOT_NULL": {
        const child = this.value(listOf(node, "children")[0] ?? node);
        const fn = node.type === "OPERATOR_IS_NULL" ? "is_null" : "is_not_null";
        return child && this.call(node, { fn, args: [child], type: typing.BOOLEAN });
      }
      case "OPERATOR_COALESCE":
        return this.#coalesce(node);
      case "COMPARE_IN":
      case "COMPARE_NOT_IN":
        return this.#in(node);
      case "COMPARE_BETWEEN":
        return this.#between(node);
      case "OPERATOR_CAST":
        return this.#cast(node);
      case "FUNCTION":
        return calledFunction(this, node);
      default:
        return this.faults.add(node, ...refusedNode(node));
    }
  }

  /** A call as an operand, with its place kept. */
  call(
    node: Node,
    parts: { fn: ScalarFn; args: readonly Expr[]; type: SqlType; unit?: string },
  ): Operand {
    const expr: Expr = { op: "call", ...parts };
    this.places.set(expr, node);
    return { expr, literal: null, node };
  }

  /** The operand as `type`: itself, a literal of that type, or a cast that kernels know. */
  coerce(operand: Operand, type: SqlType): Expr | null {
    const { expr, literal, node } = operand;
    if (literal === "null") return { op: "constant", value: null, type };
    if (typing.sameType(expr.type, type)) return expr;
    if (literal === "string" || typing.castable(expr.type, type))
      return this.call(node, { fn: "cast", args: [expr], type }).expr;
    const [from, to] = [sqlTypeText(expr.type), sqlTypeText(type)];
    return this.faults.add(
      node,
      `a cast from ${from} to ${to} is not in this release`,
      expr.type.kind === "VARCHAR" || type.kind === "VARCHAR"
        ? "declare the field with the type that you need in the stream's schema"
        : "",
    );
  }

  /** Operands cast to their common type; null after a fault. */
  unify(
    node: Node,
    operands: readonly Operand[],
    use: "compare" | "coalesce" = "compare",
  ): Expr[] | null {
    let common: SqlType | null = null;
    for (const operand of operands) {
      if (operand.literal !== null) continue;
      const type: SqlType = operand.expr.type;
      const next: SqlType | null = common === null ? type : typing.commonType(common, type, use);
      if (next === null) return this.#mismatch(node, common ?? type, type);
      common = next;
    }
    if (common === null && operands.some((operand) => operand.literal === "string"))
      common = typing.VARCHAR;
    if (common === null)
      return this.faults.add(node, "NULL compared with NULL", "the result is always NULL");
    const exprs: Expr[] = [];
    for (const operand of operands) {
      const expr = this.coerce(operand, common);
      if (expr === null) return null;
      exprs.push(expr);
    }
    return exprs;
  }

  #mismatch(node: Node, a: SqlType, b: SqlType): null {
    const text = a.kind === "VARCHAR" || b.kind === "VARCHAR";
    return this.faults.add(
      node,
      `${sqlTypeText(a)} and ${sqlTypeText(b)} together are not in this release`,
      text ? "write a text constant in quotes" : "write a CAST on one side",
    );
  }

  #comparison(node: Node, fn: ScalarFn): Operand | null {
    const [left, right] = [nodeOf(node, "left"), nodeOf(node, "right")];
    const a = left && this.operand(left);
    const b = right && this.operand(right);
    const args = a && b && this.unify(node, [a, b]);
    return args && this.call(node, { fn, args, type: typing.BOOLEAN });
  }

  #conditions(node: Node, fn: "and" | "or" | "not"): Operand | null {
    const args = listOf(node, "children").map((child) => this.condition(child));
    const lowered = args.filter((arg) => arg !== null);
    if (lowered.length < args.length) return null;
    return this.call(node, { fn, args: lowered, type: typing.BOOLEAN });
  }

  #operands(nodes: readonly Node[]): Operand[] | null {
    const operands = nodes.map((child) => this.operand(child));
    const lowered = operands.filter((operand) => operand !== null);
    return lowered.length < operands.length ? null : lowered;
  }

  #coalesce(node: Node): Operand | null {
    const operands = this.#operands(listOf(node, "children"));
    const args = operands && this.unify(node, operands, "coalesce");
    const [first] = args ?? [];
    if (args === null || first === undefined) return null;
    if (args.length === 1) return { expr: first, literal: null, node };
    return this.call(node, { fn: "coalesce", args, type: first.type });
  }

  #in(node: Node): Operand | null {
    const children = listOf(node, "children");
    const notConstant = children.slice(1).find((child) => mentionsColumn(child));
    if (notConstant !== undefined)
      return this.faults.add(notConstant, "IN takes constants", "write = and OR for other values");
    const operands = this.#operands(children);
    const args = operands && this.unify(node, operands);
    if (args === null) return null;
    const found = this.call(node, { fn: "in", args, type: typing.BOOLEAN });
    if (node.type === "COMPARE_IN") return found;
    return this.call(node, { fn: "not", args: [found.expr], type: typing.BOOLEAN });
  }

  #between(node: Node): Operand | null {
    const parts = [nodeOf(node, "input"), nodeOf(node, "lower"), nodeOf(node, "upper")];
    const operands = this.#operands(parts.filter((part) => part !== null));
    const [input, lower, upper] = (operands && this.unify(node, operands)) ?? [];
    if (input === undefined || lower === undefined || upper === undefined) return null;
    const type = typing.BOOLEAN;
    const above = this.call(node, { fn: "ge", args: [input, lower], type }).expr;
    const below = this.call(node, { fn: "le", args: [input, upper], type }).expr;
    return this.call(node, { fn: "and", args: [above, below], type });
  }

  #cast(node: Node): Operand | null {
    const child = nodeOf(node, "child");
    const operand = child && this.operand(child);
    if (operand === null) return null;
    if (node["try_cast"] === true)
      return this.faults.add(
        node,
        "TRY_CAST is not in this release",
        "write CAST: a value that does not fit gives NULL and is counted as failed",
      );
    const target = nodeOf(node, "cast_type");
    const type = target && sqlTypeOf(target);
    if (type === null) {
      const name = target === null ? "?" : textOf(target, "id");
      return this.faults.add(node, `a cast to ${name} is not in this release`, castAdvice(name));
    }
    const expr = this.coerce({ ...operand, node }, type);
    return expr && { expr, literal: null, node };
  }

  #column(node: Node): Operand | null {
    const names = columnNames(node);
    const name = names.at(-1) ?? "";
    const { scope } = this;
    const qualifier = names.slice(0, -1).join(".");
    if (qualifier !== "" && qualifier.toLowerCase() !== scope.qualifier.toLowerCase())
      return this.faults.add(
        node,
        `there is no relation "${qualifier}" in this view`,
        `write ${scope.qualifier === "" ? "" : `${scope.qualifier}.`}${name}`,
      );
    const column = scope.columns.get(name.toLowerCase());
    if (column !== undefined) return columnOperand(column, node);
    if (scope.bounds.has(name.toLowerCase()))
      return this.faults.add(
        node,
        `${name} stands alone in a view over hop or session`,
        "compute with it in the query over the view",
      );
    const message = `there is no column "${name}" in ${scope.stream}`;
    if (["_position", "_index"].includes(name.toLowerCase()))
      return this.faults.add(node, `${name} cannot be read by a view in this release`);
    if (scope.aliases.has(name.toLowerCase()))
      return this.faults.add(node, message, "repeat the expression that AS names");
    const meant = similar(
      name,
      [...scope.columns.values()].map((known) => known.name),
    );
    return this.faults.add(node, message, meant === null ? "" : `did you mean ${meant}?`);
  }

  #constant(node: Node): Operand | null {
    const value = nodeOf(node, "value");
    const target = value && nodeOf(value, "type");
    if (value === null || target === null) return this.faults.add(node, "unreadable constant");
    if (value["is_null"] === true)
      return {
        expr: { op: "constant", value: null, type: typing.VARCHAR },
        literal: "null",
        node,
      };
    const type = sqlTypeOf(target);
    if (type === null)
      return this.faults.add(
        node,
        `a constant of type ${textOf(target, "id")} is not in this release`,
        textOf(target, "id") === "HUGEINT" ? "whole numbers have at most 19 digits" : "",
      );
    const expr: Expr = { op: "constant", value: constantValue(value["value"], type), type };
    this.places.set(expr, node);
    return { expr, literal: type.kind === "VARCHAR" ? "string" : null, node };
  }
}

function columnOperand({ ref, type }: ReadableColumn, node: Node): Operand {
  return { expr: { op: "column", column: ref, type }, literal: null, node };
}

/** A constant of the tree as plans hold it: integers and unscaled decimals as text. HUGEINT bits come as {upper, lower}. */
function constantValue(value: unknown, type: SqlType): string | number | boolean {
  if (typing.isFloating(type)) return Number(value);
  if (typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "object" && value !== null && "upper" in value && "lower" in value)
    return String((BigInt(Number(value.upper)) << 64n) + BigInt(String(value.lower)));
  return String(value);
}

/** A type of the tree as kernels know it, or null. */
export function sqlTypeOf(target: Node): SqlType | null {
  const id = textOf(target, "id");
  switch (id) {
    case "BOOLEAN":
    case "INTEGER":
    case "BIGINT":
    case "FLOAT":
    case "DOUBLE":
    case "VARCHAR":
    case "DATE":
      return { kind: id };
    case "TIMESTAMP WITH TIME ZONE":
      return { kind: "TIMESTAMPTZ" };
    case "DECIMAL": {
      const info = nodeOf(target, "type_info");
      return typing.decimal(Number(info?.["width"] ?? 18), Number(info?.["scale"] ?? 3));
    }
    default:
      return null;
  }
}

/** Whether any column is read below a node. */
export function mentionsColumn(node: Node): boolean {
  if (node.type === "COLUMN_REF") return true;
  return Object.values(node).some((member) =>
    (Array.isArray(member) ? member : [member]).some(
      (child) => typeof child === "object" && child !== null && mentionsColumn(child as Node),
    ),
  );
}

function castAdvice(name: string): string {
  if (name.startsWith("TIMESTAMP")) return "write TIMESTAMPTZ: all times are UTC";
  if (/INT/.test(name)) return "write INTEGER or BIGINT";
  return "write BOOLEAN, INTEGER, BIGINT, FLOAT, DOUBLE, DECIMAL(p,s), DATE or TIMESTAMPTZ";
}

const REFUSED_NODES: ReadonlyMap<string, string> = new Map([
  ["CASE_EXPR", "CASE is not in this release"],
  ["SUBQUERY", "a subquery is not in this release"],
  ["STAR", "* stands for no columns of a view"],
  ["LAMBDA", "-> is not in this release"],
  ["ARRAY_EXTRACT", "[ ] is not in this release"],
]);

function refusedNode(node: Node): [string, string] {
  const message = REFUSED_NODES.get(node.type);
  if (node.type === "STAR") return [message ?? "", "name the columns"];
  if (message !== undefined) return [message, ""];
  if (node.type.startsWith("WINDOW")) return ["a window function is not in this release", ""];
  return [`${node.type.toLowerCase()} is not in this release`, ""];
}
