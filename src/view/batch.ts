// Verb: plan -> SQL that DuckDB runs over a raw relation and that gives the view's rows: the oracle for tests and verify. Operations
// that can raise are wrapped in TRY, as kernels give NULL for each by itself; columns have the types of the view's table.
import {
  eventTimeName,
  sqlTypeText,
  type EventSchema,
  IMAGE_EXTRA_COLUMNS,
} from "../event/schema.ts";
import { assert, must, unreachable } from "../base/assert.ts";
import {
  keyOrdinals,
  type Aggregate,
  type ColumnRef,
  type OutputColumn,
  type ViewPlan,
  type WindowPlan,
} from "./plan.ts";
import { quoteName, quoteText, renderExpr, type RenderOptions } from "./render.ts";

/** Places of a record: it has fewer rows. */
export const RECORD_PLACES = 1_048_576n;
/** An event's place in the log as one number. */
export const PLACE = `(_position * ${RECORD_PLACES} + _index)`;

export interface BatchOptions {
  /**
   * Name of a relation with the raw columns of the stream (`_behind`, `received_at`, `_position`, `_index` included), without a schema.
   * For sessions it must be without the late events already: which they are depends on the sessions before them.
   */
  readonly relation: string;
  readonly schema: EventSchema;
  /** count(DISTINCT) in place of approx_count_distinct: what the sketch is held against. */
  readonly exactDistinct?: boolean;
  /** For a rollup: the view at the bottom, whose windows decide what was late. */
  readonly bottom?: ViewPlan;
  /** SQL of the reconciled windows, a list as `tumble_corrected` takes it (macros.ts); absent: none was. Sessions have none: see `relation`. */
  readonly reconciled?: string;
}

/** The SELECT that computes the view; needs WINDOW_MACROS. Rows come in no order. */
export function batchText(plan: ViewPlan, options: BatchOptions): string {
  const render: RenderOptions = {
    column: (ref) => columnText(ref, options.schema),
    guarded: true,
  };
  const exact = options.exactDistinct === true;
  const items = plan.output.map(
    (column) =>
      `CAST(${sourceText(plan, column, { render, exact })} AS ${sqlTypeText(column.type)}) AS ${quoteName(column.name)}`,
  );
  const filter = plan.filter === null ? "" : `\nWHERE ${renderExpr(plan.filter, render)}`;
  const select = `SELECT ${items.join(",\n  ")}\nFROM ${fromText(plan, options)}${filter}`;
  if (plan.window === null) return select;
  const keys = plan.keys.map((key) => renderExpr(key.expr, render));
  const groups = [boundText(plan, "window_start"), boundText(plan, "window_end"), ...keys];
  return filteredText(plan, `${select}\nGROUP BY ${groups.join(", ")}`);
}

/** A SELECT of the starts of the rollup's windows that hold an event for which a condition is true. */
export function rollupStartsText(plan: ViewPlan, options: BatchOptions, condition: string): string {
  assert(plan.rollupOf !== null, "a rollup's windows have a start of their own");
  return `SELECT rollup_start FROM ${fromText(plan, options)} WHERE ${condition}`;
}

/** What the events come from, each with its window's bounds. */
function fromText(plan: ViewPlan, options: BatchOptions): string {
  const relation = quoteName(options.relation);
  const { window } = plan;
  if (window === null) return relation;
  const time = quoteName(eventTimeName(options.schema));
  if (plan.rollupOf !== null) {
    const bottom = must(options.bottom, `the view at the bottom of ${plan.name}`);
    const lower = fromText(bottom, options);
    const start = upperStart(window);
    const end = upperEnd(window);
    return `(SELECT *, ${end} AS rollup_end FROM (SELECT *, ${start} AS rollup_start FROM ${lower}))`;
  }
  const us = (value: number): string => `to_microseconds(${value})`;
  const { allowedUs } = plan.late;
  const { reconciled } = options;
  const more = reconciled === undefined ? "" : `, ${reconciled}`;
  switch (window.kind) {
    case "tumble":
      return `tumble_corrected(${relation}, ${time}, ${[window.sizeUs, window.offsetUs, allowedUs].map(us).join(", ")}${more})`;
    case "hop":
      return `hop_corrected(${relation}, ${time}, ${[window.slideUs, window.sizeUs, window.offsetUs, allowedUs].map(us).join(", ")}${more})`;
    case "session": {
      const plain: RenderOptions = {
        column: (ref) => columnText(ref, options.schema),
        guarded: true,
      };
      const keys = plan.keys.map((key) => renderExpr(key.expr, plain));
      return `session(${[relation, time, us(window.gapUs), ...keys].join(", ")})`;
    }
    case "calendar_day":
      throw new Error("calendar days are the windows of a rollup");
    default:
      return unreachable(window);
  }
}

/**
 * The first instant of a local date, a TIMESTAMP. DuckDB takes the later one of two midnights (Havana sets the clock back at one): where an hour
 * before it has the same date, that is the first.
 */
function dayBegin(zone: string, date: string): string {
  const midnight = `timezone(${zone}, ${date})`;
  const before = `${midnight} - INTERVAL 1 HOUR`;
  return `CASE WHEN ${localDate(zone, before)} = ${date} THEN ${before} ELSE ${midnight} END`;
}

function localDate(zone: string, time: string): string {
  return `date_trunc('day', timezone(${zone}, ${time}))`;
}

/** Start of the rollup's window that holds the lower window at `window_start`. */
function upperStart(window: WindowPlan): string {
  if (window.kind === "calendar_day") {
    const zone = quoteText(window.timeZone);
    const date = localDate(zone, "window_start");
    const next = dayBegin(zone, `(${date} + INTERVAL 1 DAY)`);
    // What comes again of a date once the next one has begun is in that (calendar-day.ts).
    return `CASE WHEN ${next} <= window_start THEN ${next} ELSE ${dayBegin(zone, date)} END`;
  }
  assert(window.kind === "tumble", "a rollup's windows are whole");
  const origin = `TIMESTAMPTZ '1970-01-01 00:00:00+00' + to_microseconds(${window.offsetUs})`;
  return `time_bucket(to_microseconds(${window.sizeUs}), window_start, ${origin})`;
}

function upperEnd(window: WindowPlan): string {
  if (window.kind === "calendar_day") {
    const zone = quoteText(window.timeZone);
    // The day may begin after midnight: its date counts, not its time.
    return dayBegin(zone, `(${localDate(zone, "rollup_start")} + INTERVAL 1 DAY)`);
  }
  assert(window.kind === "tumble", "a rollup's windows are whole");
  return `rollup_start + to_microseconds(${window.sizeUs})`;
}

/** The name of a bound of the view's own window: a rollup's events have that of the lower window as well. */
function boundText(plan: ViewPlan, bound: "window_start" | "window_end"): string {
  if (plan.rollupOf === null) return bound;
  return bound === "window_start" ? "rollup_start" : "rollup_end";
}

/** HAVING and top-N, over the columns that the view puts out. */
function filteredText(plan: ViewPlan, groups: string): string {
  const { having, topN, output } = plan;
  if (having === null && topN === null) return groups;
  const name = (ordinal: number): string => quoteName(must(output[ordinal], "column").name);
  const column = (ref: ColumnRef): string => {
    assert(ref.from === "output", "HAVING reads output columns");
    return name(ref.ordinal);
  };
  const where = having === null ? "" : `\nWHERE ${renderExpr(having, { column, guarded: true })}`;
  const all = `FROM (${groups})${where}`;
  if (topN === null) return all;
  const start = output.findIndex(({ source }) => source.kind === "window_start");
  const orders = [
    ...topN.orderBy.map(({ ordinal, descending, nullsFirst }) => {
      const direction = descending ? "DESC" : "ASC";
      return `${name(ordinal)} ${direction} NULLS ${nullsFirst ? "FIRST" : "LAST"}`;
    }),
    ...keyOrdinals(plan).map((ordinal) => `${name(ordinal)} ASC NULLS LAST`),
  ];
  return `${all}\nQUALIFY row_number() OVER (PARTITION BY ${name(start)} ORDER BY ${orders.join(", ")}) <= ${topN.limit}`;
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
      return boundText(plan, source.kind);
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
