// Verb: what `millrace preview` prints of a view's rows, and which plans a view needs. Over a file of events or events of the past.
import { counted } from "../base/counted.ts";
import { must } from "../base/assert.ts";
import type { Cell } from "../event/image.ts";
import { ROWS_SHOWN_MAX } from "../limits.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteText } from "../view/render.ts";
import type { PastRange } from "./past.ts";
import { cellText, type Relation } from "./relation.ts";

/** A view behind those that it is a rollup of, the lowest first. */
export function withLower(plan: ViewPlan, plans: readonly ViewPlan[]): ViewPlan[] {
  if (plan.rollupOf === null) return [plan];
  const lower = must(
    plans.find(({ name }) => name === plan.rollupOf),
    `view ${plan.rollupOf}`,
  );
  return [...withLower(lower, plans), plan];
}

/** Rows as texts in the order of their columns, as far as they are shown. */
export function shownRows(relation: Relation): {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly (string | null)[])[];
} {
  const { columns, rows } = relation;
  const sorted = rows.toSorted((a, b) => {
    for (const [at, cell] of a.entries()) {
      const order = orderOf(cell, b[at] ?? null);
      if (order !== 0) return order;
    }
    return 0;
  });
  return {
    columns: columns.map(({ name, type }) => ({ name, type: type.kind })),
    rows: sorted
      .slice(0, ROWS_SHOWN_MAX)
      .map((row) =>
        row.map((cell, at) =>
          cell === null ? null : cellText(cell, must(columns[at], "column").type),
        ),
      ),
  };
}

/** NULL last. */
function orderOf(a: Cell, b: Cell): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The line below the rows. */
export function previewSummary(
  relation: Relation,
  counts: {
    readonly accepted: number;
    readonly filtered: number;
    readonly late: number;
    readonly failed: number;
  },
): string {
  const { length } = relation.rows;
  const shown = length > ROWS_SHOWN_MAX ? `, the first ${ROWS_SHOWN_MAX} shown` : "";
  const parts = [
    `${counted(counts.accepted, "event")} read`,
    `${counted(counts.filtered, "event")} filtered`,
  ];
  if (counts.late > 0) parts.push(`${counted(counts.late, "event")} late`);
  if (counts.failed > 0)
    parts.push(`${counted(counts.failed, "event")} with an expression that failed`);
  return `${counted(length, "row")}${shown}; ${parts.join(", ")}`;
}

/** SQL of how many late events of the past a reconcile has brought into a view: `plans` are the view behind those that it is a rollup of. */
export function reconciledCountText(
  plans: readonly ViewPlan[],
  range: PastRange | null,
  position: number,
): string {
  const conditions = [
    `view = ${quoteText(must(plans[0], "a view").name)}`,
    "reconciled",
    `_position <= ${position}`,
  ];
  if (range !== null)
    conditions.push(
      `event_time >= make_timestamptz(${range.fromUs})`,
      `event_time < make_timestamptz(${range.toUs})`,
    );
  return `SELECT count(*) FROM millrace.late_events WHERE ${conditions.join(" AND ")}`;
}

/** What is said of these events, which were late when they came; null: there are none. Only sessions are shown without them. */
export function reconciledNote(plans: readonly ViewPlan[], count: number): string | null {
  if (count === 0) return null;
  const { name, window } = must(plans.at(-1), "a view");
  const events = `${counted(count, "late event")} that reconcile has brought in since`;
  return window?.kind === "session"
    ? `without ${events}; SELECT * FROM ${name} has them`
    : `with ${events}`;
}
