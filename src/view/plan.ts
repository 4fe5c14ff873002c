// Nouns: a view as a typed plan. view/ makes plans from SQL text (parse, check); window/ runs them. A plan is plain data: it can be
// sent to a thread, printed by `explain` and compared. All types equal those that DuckDB gives for the same text.
import { assert } from "../base/assert.ts";
import type { Column, SqlType } from "../event/schema.ts";

/** Functions that kernels evaluate over columns. Comparison and boolean ones give BOOLEAN with SQL's three-valued logic. */
export type ScalarFn =
  | "eq"
  | "ne"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "is_distinct"
  | "is_not_distinct"
  | "and"
  | "or"
  | "not"
  | "is_null"
  | "is_not_null"
  | "in"
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "int_div"
  | "mod"
  | "neg"
  | "date_trunc"
  | "cast"
  | "coalesce";

/** An expression over the columns of one row. */
export type Expr =
  | { readonly op: "column"; readonly column: ColumnRef; readonly type: SqlType }
  /** `value`: integers, decimals (unscaled) and times (µs, days) as decimal text, others as they are; null = NULL. */
  | {
      readonly op: "constant";
      readonly value: string | number | boolean | null;
      readonly type: SqlType;
    }
  /** Arguments are cast to a common type already, as DuckDB's binder does. date_trunc: `unit` names the unit. in: first argument is the left side, the rest are constants. */
  | {
      readonly op: "call";
      readonly fn: ScalarFn;
      readonly args: readonly Expr[];
      readonly type: SqlType;
      readonly unit?: string;
    };

/** A column of the stream's batch image by ordinal, a per-record value, or the row's own window bounds. */
export type ColumnRef =
  | { readonly from: "image"; readonly ordinal: number }
  | { readonly from: "received_at" }
  | { readonly from: "window_start" }
  | { readonly from: "window_end" }
  /** A column of the view's own output by ordinal: HAVING and top-N only. */
  | { readonly from: "output"; readonly ordinal: number };

export type AggregateFn =
  | "count_star"
  | "count"
  | "sum"
  | "avg"
  | "min"
  | "max"
  | "approx_count_distinct"
  /** The value of the event that is first (last) in log order, by (`_position`, `_index`); NULL where that event has none. */
  | "first"
  | "last";

/** One aggregate with its FILTER. `arg` is null for count_star only. */
export interface Aggregate {
  readonly fn: AggregateFn;
  readonly arg: Expr | null;
  readonly filter: Expr | null;
  /** Result type: sum of integers DECIMAL(38,0), of DECIMAL(p,s) DECIMAL(38,s), of FLOAT/DOUBLE DOUBLE; avg DOUBLE; counts BIGINT. */
  readonly type: SqlType;
}

export type OutputSource =
  | { readonly kind: "window_start" | "window_end" }
  | { readonly kind: "key"; readonly index: number }
  | { readonly kind: "aggregate"; readonly index: number }
  /** Projections only: an expression over the event. */
  | { readonly kind: "expression"; readonly expr: Expr };

/** A column of the view's relation and table. */
export interface OutputColumn extends Column {
  readonly source: OutputSource;
}

/** [start, start + sizeUs); starts are offsetUs + n * sizeUs since the epoch, 0 <= offsetUs < sizeUs. */
export interface TumbleWindow {
  readonly kind: "tumble";
  readonly sizeUs: number;
  readonly offsetUs: number;
}

/** [start, start + sizeUs) for every start = offsetUs + n * slideUs, 0 <= offsetUs < slideUs <= sizeUs. Panes: gcd(slideUs, sizeUs). */
export interface HopWindow {
  readonly kind: "hop";
  readonly slideUs: number;
  readonly sizeUs: number;
  readonly offsetUs: number;
}

/** Events of equal keys (all of the plan's keys) at most gapUs apart, inclusive: [first event, last event + gapUs). */
export interface SessionWindow {
  readonly kind: "session";
  readonly gapUs: number;
}

/** [start of a calendar day, start of the next) in a named time zone: for the upper level of a rollup only. */
export interface CalendarDayWindow {
  readonly kind: "calendar_day";
  readonly timeZone: string;
}

export type WindowPlan = TumbleWindow | HopWindow | SessionWindow | CalendarDayWindow;

/** What becomes of a late event (DESIGN: "late policy per view"). */
export interface LatePlan {
  /** side: a row in the late table. update: within allowedUs the row is published again, beyond as side. drop: counted only. */
  readonly policy: "side" | "update" | "drop";
  /** µs behind the window's end within which `update` corrects it; 0 for the others. */
  readonly allowedUs: number;
}

/** The first `limit` rows of each window by `orderBy`; ties by the group keys, ascending, NULLs last. */
export interface TopN {
  readonly limit: number;
  readonly orderBy: readonly {
    readonly ordinal: number;
    readonly descending: boolean;
    readonly nullsFirst: boolean;
  }[];
}

/** A view: one SELECT over one stream, or a rollup of one. */
export interface ViewPlan {
  readonly name: string;
  readonly stream: string;
  /** The text as the user wrote it: batch and stream run the same. */
  readonly sql: string;
  /** Null: a projection, one output row for each event that passes the filter, in log order. */
  readonly window: WindowPlan | null;
  /** The view whose states this one merges: it has the same keys and aggregates, and a window that holds whole windows of that. Null: reads the stream. */
  readonly rollupOf: string | null;
  readonly filter: Expr | null;
  /** Group keys other than the window's bounds. */
  readonly keys: readonly { readonly expr: Expr; readonly type: SqlType }[];
  readonly aggregates: readonly Aggregate[];
  /** In the order of the SELECT list. `fieldId` from 1 in this order. `revision` BIGINT follows in the table. */
  readonly output: readonly OutputColumn[];
  /** Over output columns; rows for which it is not true are not part of the view. */
  readonly having: Expr | null;
  readonly topN: TopN | null;
  readonly late: LatePlan;
}

/** Size of a plan's windows, µs. Throws for plans without windows of one size. */
export function windowSizeUs({ window }: ViewPlan): number {
  assert(window?.kind === "tumble" || window?.kind === "hop", "windows of one size");
  return window.sizeUs;
}

/** How far apart the windows of such a plan begin, µs. */
export function windowSlideUs(plan: ViewPlan): number {
  return plan.window?.kind === "hop" ? plan.window.slideUs : windowSizeUs(plan);
}

/** Ordinals of the columns of the stream's image that the expressions of a plan read. */
export function readOrdinals({ filter, keys, aggregates, output }: ViewPlan): ReadonlySet<number> {
  const found = new Set<number>();
  const visit = (expr: Expr | null): void => {
    if (expr?.op === "column" && expr.column.from === "image") found.add(expr.column.ordinal);
    if (expr?.op === "call") expr.args.forEach(visit);
  };
  visit(filter);
  for (const { expr } of keys) visit(expr);
  for (const { arg, filter: condition } of aggregates) [arg, condition].forEach(visit);
  for (const { source } of output) if (source.kind === "expression") visit(source.expr);
  return found;
}

/** Output ordinals of the group keys, in the order of the keys: what breaks ties. Every key is put out. */
export function keyOrdinals({ keys, output }: ViewPlan): number[] {
  return keys.map((_, index) =>
    output.findIndex(({ source }) => source.kind === "key" && source.index === index),
  );
}

/**
 * How far the watermark is behind a window's end when its rows are final, µs. A session is closed once the watermark is beyond its end,
 * and no late event may change it any more once its range is forgotten.
 */
function finalBehindEndUs({ window, late }: ViewPlan): number {
  if (window?.kind !== "session") return late.allowedUs;
  return Math.max(1, Math.min(late.allowedUs, window.gapUs + 1));
}

/** From when on nothing changes a row: the watermark has reached the output column plus `addUs`. "always": it is put out once. Null: no column tells. */
export type Finality = { readonly column: string; readonly addUs: number } | "always" | null;

/** When the rows of a plan are final. */
export function finalityOf(plan: ViewPlan): Finality {
  const { window, output } = plan;
  if (window === null) return "always";
  const end = output.find(({ source }) => source.kind === "window_end");
  if (end !== undefined) return { column: end.name, addUs: finalBehindEndUs(plan) };
  const start = output.find(({ source }) => source.kind === "window_start");
  // A session's start says nothing of its end; days of a time zone differ in length.
  if (start === undefined || !["tumble", "hop"].includes(window.kind)) return null;
  return { column: start.name, addUs: windowSizeUs(plan) + finalBehindEndUs(plan) };
}
