// Verb: plan -> SQL that DuckDB runs over a raw relation and that gives the view's rows: the oracle for tests and verify. Operations
// that can raise are wrapped in TRY, as kernels give NULL for each by itself; columns have the types of the view's table.
import { sqlTypeText, type EventSchema, IMAGE_EXTRA_COLUMNS } from "../event/schema.ts";
import { must, unreachable } from "../base/assert.ts";
import {
  windowSizeUs,
  type Aggregate,
  type ColumnRef,
  type OutputColumn,
  type ViewPlan,
} from "./plan.ts";
import { quoteName, renderExpr, type RenderOptions } from "./render.ts";

export interface BatchOptions {
  /** Name of a relation with the raw columns of the stream (`_behind` and `received_at` included), without a schema. */
  readonly relation: string;
  readonly schema: EventSchema;
  /** count(DISTINCT) in place of approx_count_distinct: what the sketch is held against. */
  readonly exactDistinct?: boolean;
}

/** The SELECT that computes the view; needs WINDOW_MACROS. Rows come in no order. */
export function batchText(plan: ViewPlan, options: BatchOptions): string {
  const render: RenderOptions = {
    column: (ref) => columnText(ref, options.schema),
    guarded: true,
  };
  const time = must(options.schema.columns[options.schema.eventTime], "event time").name;
  const items = plan.output.map(
    (column) =>
      `CAST(${sourceText(plan, column, { render, exact: options.exactDistinct === true })} AS ${sqlTypeText(column.type)}) AS ${quoteName(column.name)}`,
  );
  const groups = [
    "window_start",
    "window_end",
    ...plan.keys.map((key) => renderExpr(key.expr, render)),
  ];
  const filter = plan.filter === null ? "" : `\nWHERE ${renderExpr(plan.filter, render)}`;
  return `SELECT ${items.join(",\n  ")}
FROM tumble(${quoteName(options.relation)}, ${quoteName(time)}, to_microseconds(${windowSizeUs(plan)}))${filter}
GROUP BY ${groups.join(", ")}`;
}

/** The name of a column of the raw relation, quoted. */
export function columnText(ref: ColumnRef, schema: EventSchema): string {
  if (ref.from !== "image") return quoteName(ref.from);
  const extra = IMAGE_EXTRA_COLUMNS[ref.ordinal - schema.columns.length];
  return quoteName(must(schema.columns[ref.ordinal] ?? extra, "column of the image").name);
}

function sourceText(
  plan: ViewPlan,
  column: OutputColumn,
  options: { readonly render: RenderOptions; readonly exact: boolean },
): string {
  const { source } = column;
  switch (source.kind) {
    case "window_start":
    case "window_end":
      return source.kind;
    case "key":
      return renderExpr(must(plan.keys[source.index], "key").expr, options.render);
    case "expression":
      return renderExpr(source.expr, options.render);
    case "aggregate":
      return aggregateText(must(plan.aggregates[source.index], "aggregate"), options);
    default:
      return unreachable(source);
  }
}

function aggregateText(
  aggregate: Aggregate,
  options: { readonly render: RenderOptions; readonly exact: boolean },
): string {
  const { fn, arg, filter } = aggregate;
  const inner = arg === null ? "*" : renderExpr(arg, options.render);
  const where = filter === null ? "" : ` FILTER (WHERE ${renderExpr(filter, options.render)})`;
  if (fn === "count_star") return `count(*)${where}`;
  if (fn === "approx_count_distinct" && options.exact) return `count(DISTINCT ${inner})${where}`;
  // Ties are the log's order: DuckDB's own order of rows is none.
  if (fn === "first" || fn === "last") return `${fn}(${inner} ORDER BY _position, _index)${where}`;
  return `${fn}(${inner})${where}`;
}
