// Verb: a view's text -> ViewPlan or faults. DuckDB parses; select.ts and lower.ts check and lower; then DuckDB describes the same
// text over an empty relation, and a plan whose types differ is refused. Owns that order, and the DuckDB instance for it.
import { DuckDb, duckText, type DuckConnection } from "../base/duckdb.ts";
import {
  ADMISSION_COLUMNS,
  IMAGE_EXTRA_COLUMNS,
  sqlTypeText,
  type EventSchema,
  type SqlType,
} from "../event/schema.ts";
import { VIEW_TEXT_BYTES_MAX } from "../limits.ts";
import { duckError } from "./duck-error.ts";
import { Faults, type ViewFault } from "./fault.ts";
import { Folding } from "./fold.ts";
import { readFrom, type FromClause, type ViewStream } from "./from.ts";
import { aliasesOf } from "./items.ts";
import { Lowering, type ReadableColumn } from "./lower.ts";
import { WINDOW_MACROS } from "./macros.ts";
import type { Aggregate, ColumnRef, Expr, OutputColumn, ViewPlan, WindowPlan } from "./plan.ts";
import { readProjection } from "./projection.ts";
import { quoteName } from "./render.ts";
import { readSelect, refuseClauses, type SelectParts } from "./select.ts";
import { keywordAt, nodeOf, parseText, type Node } from "./tree.ts";
import { decimal, outputType, sameType } from "./typing.ts";

/** A view as the configuration has it, and the streams that it may read. */
export interface ViewSource {
  readonly name: string;
  readonly sql: string;
  readonly streams: readonly ViewStream[];
}

export type ViewResult =
  | { readonly kind: "plan"; readonly plan: ViewPlan }
  /** At least one, in the text's order. */
  | { readonly kind: "faults"; readonly faults: readonly ViewFault[] };

/** Parses views. One at a time: calls wait for each other. Holds a small DuckDB of its own; close it when done. */
export class ViewParser {
  readonly #db: DuckDb;
  readonly #connection: DuckConnection;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(db: DuckDb, connection: DuckConnection) {
    this.#db = db;
    this.#connection = connection;
  }

  static async open(): Promise<ViewParser> {
    const db = await DuckDb.open({ threads: "1", memory_limit: "256MB" });
    const connection = await db.connect();
    await connection.execute([
      "SET enable_external_access = false",
      "SET errors_as_json = true",
      ...WINDOW_MACROS,
    ]);
    return new ViewParser(db, connection);
  }

  /** Every fault at once, as far as they do not hide each other. Rejects only when DuckDB itself fails. */
  parse(source: ViewSource): Promise<ViewResult> {
    const result = this.#last.then(() => this.#parse(source));
    this.#last = result.catch(() => undefined);
    return result;
  }

  close(): void {
    this.#connection.close();
    this.#db.close();
  }

  async #parse(source: ViewSource): Promise<ViewResult> {
    const faults = new Faults(source.sql);
    const plan = await this.#plan(source, faults);
    if (plan !== null && faults.count === 0) return { kind: "plan", plan };
    return { kind: "faults", faults: faults.list() };
  }

  async #plan(source: ViewSource, faults: Faults): Promise<ViewPlan | null> {
    const { sql } = source;
    if (Buffer.byteLength(sql) > VIEW_TEXT_BYTES_MAX)
      return faults.add(0, `the text is longer than ${VIEW_TEXT_BYTES_MAX} bytes`, "write less");
    if (sql.includes("\0")) return faults.add(0, "the text has a NUL character", "remove it");
    const parsed = await parseText(this.#connection, sql);
    if (parsed.kind === "fault") {
      const isOther = parsed.cause === "no_select";
      return faults.add(parsed.at, isOther ? "a view is one SELECT" : parsed.message);
    }
    const { root, parameters } = parsed;
    const [parameter] = parameters;
    if (parameter !== undefined) {
      const at = keywordAt(sql, `$${parameter}`, "first") ?? keywordAt(sql, "?", "first");
      return faults.add(at, "a view has no parameters", "write the value");
    }
    if (root.type !== "SELECT_NODE")
      return faults.add(root, "a view is one SELECT", "UNION and its like are not in this release");
    const from = readFrom(nodeOf(root, "from_table"), source.streams, faults);
    if (from === null) return null;
    const lowering = new Lowering(
      {
        stream: from.stream.name,
        qualifier: from.qualifier,
        columns: readableColumns(from.stream.schema, from.window),
        bounds: boundColumns(from.window),
        aliases: aliasesOf(root),
      },
      faults,
    );
    refuseClauses(lowering, root, sql);
    const parts =
      from.window === null
        ? readProjection(lowering, root, sql)
        : readSelect(lowering, from, { root, text: sql });
    if (parts === null || faults.count > 0) return null;
    const folded = await foldParts(new Folding(this.#connection, lowering), parts);
    if (folded === null) return null;
    const plan = makePlan(source, from, folded);
    await this.#compare(plan, { root, schema: from.stream.schema, faults });
    return plan;
  }

  /** Asks DuckDB for the types of the same text; another type or a refusal is a fault. */
  async #compare(
    plan: ViewPlan,
    context: { readonly root: Node; readonly schema: EventSchema; readonly faults: Faults },
  ): Promise<void> {
    const { root, schema, faults } = context;
    const table = quoteName(plan.stream);
    const prefix = "DESCRIBE ";
    await this.#connection.run(`CREATE OR REPLACE TABLE ${table} (${columnList(schema)})`);
    try {
      const { rows } = await this.#connection.run(prefix + plan.sql);
      for (const [index, column] of plan.output.entries()) {
        const [name, described] = rows[index] ?? [];
        const text = duckText(described);
        const type = duckType(text);
        if (name === column.name && type !== null && sameType(outputType(type), column.type))
          continue;
        const item = Array.isArray(root["select_list"])
          ? (root["select_list"][index] as Node)
          : root;
        const expected = sqlTypeText(column.type);
        faults.add(
          item,
          `"${column.name}" is not in this release: DuckDB gives ${text}, the kernels ${expected}`,
          "write a CAST to the type that you need",
        );
      }
    } catch (error) {
      const { message, at } = duckError(error);
      faults.add(Math.max(0, (at ?? 0) - prefix.length), message);
    } finally {
      await this.#connection.run(`DROP TABLE ${table}`);
    }
  }
}

/** Columns that a view's expressions may read: those of the image, received_at; and the bounds of the one window of an event. */
function readableColumns(
  schema: EventSchema,
  window: WindowPlan | null,
): Map<string, ReadableColumn> {
  const columns = new Map<string, ReadableColumn>();
  const add = (
    column: { readonly name: string; readonly type: SqlType; readonly nullable: boolean },
    ref: ColumnRef,
  ): void => {
    const { name, type, nullable } = column;
    columns.set(name.toLowerCase(), { name, ref, type, nullable });
  };
  for (const [ordinal, column] of [...schema.columns, ...IMAGE_EXTRA_COLUMNS].entries())
    add(column, { from: "image", ordinal });
  const name = "received_at";
  add({ name, type: { kind: "TIMESTAMPTZ" }, nullable: false }, { from: name });
  if (window?.kind === "tumble")
    for (const [bound, column] of boundColumns(window)) columns.set(bound, column);
  return columns;
}

/** The columns that a window function adds. */
function boundColumns(window: WindowPlan | null): Map<string, ReadableColumn> {
  if (window === null) return new Map();
  const type: SqlType = { kind: "TIMESTAMPTZ" };
  return new Map(
    (["window_start", "window_end"] as const).map((name) => [
      name,
      { name, ref: { from: name }, type, nullable: false },
    ]),
  );
}

/** The raw relation's columns as DDL. */
export function columnList(schema: EventSchema): string {
  return [...schema.columns, ...IMAGE_EXTRA_COLUMNS, ...ADMISSION_COLUMNS]
    .map((column) => `${quoteName(column.name)} ${sqlTypeText(column.type)}`)
    .join(", ");
}

async function foldParts(folding: Folding, parts: SelectParts): Promise<SelectParts | null> {
  const filter = parts.filter && (await folding.fold(parts.filter));
  let complete = filter !== null || parts.filter === null;
  const keys: Expr[] = [];
  for (const key of parts.keys) {
    const folded = await folding.fold(key);
    if (folded === null) complete = false;
    else keys.push(folded);
  }
  const aggregates: Aggregate[] = [];
  for (const aggregate of parts.aggregates) {
    const arg = aggregate.arg && (await folding.fold(aggregate.arg));
    const where = aggregate.filter && (await folding.fold(aggregate.filter));
    if ((arg === null && aggregate.arg !== null) || (where === null && aggregate.filter !== null))
      complete = false;
    aggregates.push({ ...aggregate, arg, filter: where });
  }
  const output: OutputColumn[] = [];
  for (const column of parts.output) {
    const { source } = column;
    if (source.kind !== "expression") output.push(column);
    else {
      const expr = await folding.fold(source.expr);
      if (expr === null) complete = false;
      else output.push({ ...column, source: { kind: "expression", expr } });
    }
  }
  const having = parts.having && (await folding.fold(parts.having));
  if (having === null && parts.having !== null) complete = false;
  return complete ? { ...parts, filter, keys, aggregates, output, having } : null;
}

function makePlan(source: ViewSource, from: FromClause, parts: SelectParts): ViewPlan {
  return {
    name: source.name,
    stream: from.stream.name,
    sql: source.sql,
    window: from.window,
    rollupOf: null,
    filter: parts.filter,
    keys: parts.keys.map((expr) => ({ expr, type: outputType(expr.type) })),
    aggregates: parts.aggregates,
    output: parts.output,
    having: parts.having,
    topN: parts.topN,
    late: { policy: "side", allowedUs: 0 },
  };
}

/** A type as DuckDB prints it. HUGEINT is DECIMAL(38,0) here. */
function duckType(text: string): SqlType | null {
  const numbers = /^DECIMAL\((\d+),(\d+)\)$/.exec(text);
  if (numbers !== null) return decimal(Number(numbers[1]), Number(numbers[2]));
  switch (text) {
    case "BOOLEAN":
    case "INTEGER":
    case "BIGINT":
    case "FLOAT":
    case "DOUBLE":
    case "VARCHAR":
    case "DATE":
      return { kind: text };
    case "HUGEINT":
      return decimal(38, 0);
    case "TIMESTAMP WITH TIME ZONE":
      return { kind: "TIMESTAMPTZ" };
    default:
      return null;
  }
}
