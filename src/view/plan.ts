// Nouns: a view as a typed plan. view/ makes plans from SQL text (parse, check); window/ runs them. A plan is plain data: it can be
// sent to a thread, printed by `explain` and compared. All types equal those that DuckDB gives for the same text.
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
  | { readonly from: "window_end" };

export type AggregateFn =
  | "count_star"
  | "count"
  | "sum"
  | "avg"
  | "min"
  | "max"
  | "approx_count_distinct";

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
  | { readonly kind: "aggregate"; readonly index: number };

/** A column of the view's relation and table. */
export interface OutputColumn extends Column {
  readonly source: OutputSource;
}

/** A tumbling window aligned to the epoch: [start, start + sizeUs). */
export interface TumbleWindow {
  readonly kind: "tumble";
  readonly sizeUs: number;
}

/** A view: one SELECT over one stream. */
export interface ViewPlan {
  readonly name: string;
  readonly stream: string;
  /** The text as the user wrote it: batch and stream run the same. */
  readonly sql: string;
  readonly window: TumbleWindow;
  readonly filter: Expr | null;
  /** Group keys other than the window's bounds. */
  readonly keys: readonly { readonly expr: Expr; readonly type: SqlType }[];
  readonly aggregates: readonly Aggregate[];
  /** In the order of the SELECT list. `fieldId` from 1 in this order. `revision` BIGINT follows in the table. */
  readonly output: readonly OutputColumn[];
  readonly late: { readonly policy: "side" };
}
