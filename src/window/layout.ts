// Pure: where keys and states of aggregates lie in the rows of a view's groups, and which source each output column has. Follows from
// the plan alone: it is part of the checkpoint's format.
import * as abi from "../../kernels/abi.ts";
import { assert, must, unreachable } from "../base/assert.ts";
import { physicalOf, type SqlType } from "../event/schema.ts";
import type { Aggregate, Expr, OutputColumn, ViewPlan } from "../view/plan.ts";
import { classOf, scaleOf, textKey } from "./classes.ts";
import { shownRows, type ShownRows } from "./emit.ts";

export interface KeyLayout {
  readonly expr: Expr;
  readonly offset: number;
  /** KEY_* */
  readonly kind: number;
}

/** A state that aggregates with the same argument and filter share. */
export interface StateLayout {
  readonly kind: number;
  readonly offset: number;
  readonly arg: Expr | null;
  readonly filter: Expr | null;
}

/** Where an output column comes from: SOURCE_* at an offset of the row, or a bound of the window. */
export type OutputLayout =
  | { readonly from: "window_start" | "window_end"; readonly physical: number }
  | {
      readonly from: "row";
      readonly physical: number;
      readonly source: number;
      readonly offset: number;
      readonly x: number;
    };

export interface RowLayout {
  readonly rowBytes: number;
  readonly keys: readonly KeyLayout[];
  readonly states: readonly StateLayout[];
  readonly outputs: readonly OutputLayout[];
  /** Offset of the number of events for which WHERE is true, where others make the group too: in sessions. Null: every event of a group is counted. */
  readonly passing: number | null;
  /** Offset behind the keys. */
  readonly keysEnd: number;
  /** Offset of the revision (REVISION_BYTES); null: late events never change a row. */
  readonly revision: number | null;
  /** Which rows are part of the view; null: all. */
  readonly shown: ShownRows | null;
}

/** Of what groups nothing: a projection, a condition. */
export const NO_GROUPS: RowLayout = {
  rowBytes: 0,
  keys: [],
  states: [],
  outputs: [],
  passing: null,
  keysEnd: 0,
  revision: null,
  shown: null,
};

const STATE_BYTES: Readonly<Record<number, number>> = {
  [abi.STATE_COUNT_STAR]: 8,
  [abi.STATE_COUNT]: 8,
  [abi.STATE_SUM_I]: 24,
  [abi.STATE_SUM_H]: 32,
  [abi.STATE_SUM_D]: 16,
  [abi.STATE_MIN_I]: 16,
  [abi.STATE_MAX_I]: 16,
  [abi.STATE_MIN_D]: 16,
  [abi.STATE_MAX_D]: 16,
  [abi.STATE_MIN_H]: 24,
  [abi.STATE_MAX_H]: 24,
  [abi.STATE_MIN_S]: 16,
  [abi.STATE_MAX_S]: 16,
  [abi.STATE_HLL]: 40,
  [abi.STATE_FIRST_8]: 24,
  [abi.STATE_FIRST_16]: 32,
  [abi.STATE_FIRST_S]: 32,
  [abi.STATE_LAST_8]: 24,
  [abi.STATE_LAST_16]: 32,
  [abi.STATE_LAST_S]: 32,
};

/** A session's bounds are in its row. */
const SESSION_BOUNDS = {
  window_start: abi.SESSION_START_AT,
  window_end: abi.SESSION_END_AT,
} as const;

/** One bit per key in a row's mask of nulls. */
const KEYS_MAX = 32;

function pick(kind: number, choice: { I: number; D: number; H: number; S?: number }): number {
  if (kind === abi.CLASS_D) return choice.D;
  if (kind === abi.CLASS_H) return choice.H;
  if (kind === abi.CLASS_S) return must(choice.S, "aggregate of text");
  return choice.I;
}

function stateKind({ fn, arg }: Aggregate): number {
  if (fn === "count_star") return abi.STATE_COUNT_STAR;
  const kind = classOf(must(arg, "argument").type);
  switch (fn) {
    case "count":
      return abi.STATE_COUNT;
    case "sum":
    case "avg":
      return pick(kind, { I: abi.STATE_SUM_I, D: abi.STATE_SUM_D, H: abi.STATE_SUM_H });
    case "min":
      return pick(kind, {
        I: abi.STATE_MIN_I,
        D: abi.STATE_MIN_D,
        H: abi.STATE_MIN_H,
        S: abi.STATE_MIN_S,
      });
    case "max":
      return pick(kind, {
        I: abi.STATE_MAX_I,
        D: abi.STATE_MAX_D,
        H: abi.STATE_MAX_H,
        S: abi.STATE_MAX_S,
      });
    case "approx_count_distinct":
      return abi.STATE_HLL;
    case "first":
      return pick(kind, {
        I: abi.STATE_FIRST_8,
        D: abi.STATE_FIRST_8,
        H: abi.STATE_FIRST_16,
        S: abi.STATE_FIRST_S,
      });
    case "last":
      return pick(kind, {
        I: abi.STATE_LAST_8,
        D: abi.STATE_LAST_8,
        H: abi.STATE_LAST_16,
        S: abi.STATE_LAST_S,
      });
    default:
      return unreachable(fn);
  }
}

/** DuckDB averages DECIMALs of up to 4 digits in double, all others in long double: one rounding or two. */
function averageParameter(type: SqlType): number {
  return scaleOf(type) + (type.kind === "DECIMAL" && type.precision <= 4 ? abi.CAST_DOWN : 0);
}

function aggregateSource({ fn, arg }: Aggregate): { source: number; x: number } {
  if (fn === "count_star" || fn === "count") return { source: abi.SOURCE_COUNT, x: 0 };
  if (fn === "approx_count_distinct") return { source: abi.SOURCE_DISTINCT, x: 0 };
  const { type } = must(arg, "argument");
  const kind = classOf(type);
  if (fn === "sum")
    return {
      source: pick(kind, { I: abi.SOURCE_SUM_I, D: abi.SOURCE_SUM_D, H: abi.SOURCE_SUM_H }),
      x: 0,
    };
  if (fn === "avg")
    return {
      source: pick(kind, { I: abi.SOURCE_AVG_I, D: abi.SOURCE_AVG_D, H: abi.SOURCE_AVG_H }),
      x: averageParameter(type),
    };
  if (fn === "first" || fn === "last") {
    const picked = {
      I: abi.SOURCE_PICKED_8,
      D: abi.SOURCE_PICKED_8,
      H: abi.SOURCE_PICKED_16,
      S: abi.SOURCE_PICKED_TEXT,
    };
    return { source: pick(kind, picked), x: 0 };
  }
  const source = pick(kind, {
    I: abi.SOURCE_EXTREME_8,
    D: abi.SOURCE_EXTREME_8,
    H: abi.SOURCE_EXTREME_16,
    S: abi.SOURCE_EXTREME_TEXT,
  });
  return { source, x: 0 };
}

/** Counts events. */
const EVENTS: Aggregate = { fn: "count_star", arg: null, filter: null, type: { kind: "BIGINT" } };

/** Both conditions; null: none. */
function both(a: Expr | null, b: Expr | null): Expr | null {
  if (a === null || b === null) return a ?? b;
  return { op: "call", fn: "and", args: [a, b], type: { kind: "BOOLEAN" } };
}

/** The layout of a view's groups. Throws when a row exceeds a page or has more than 32 keys. */
export function rowLayout(plan: ViewPlan): RowLayout {
  assert(plan.keys.length <= KEYS_MAX, `view ${plan.name}: more than ${KEYS_MAX} keys`);
  const isSession = plan.window?.kind === "session";
  let offset = isSession ? abi.SESSION_KEYS_AT : abi.ROW_KEYS_AT;
  const keys = plan.keys.map(({ expr, type }): KeyLayout => {
    const kind = classOf(type);
    const at = offset;
    offset += kind === abi.CLASS_H || kind === abi.CLASS_S ? 16 : 8;
    const wide = kind === abi.CLASS_H ? abi.KEY_FIXED16 : abi.KEY_FIXED8;
    return { expr, offset: at, kind: kind === abi.CLASS_S ? abi.KEY_TEXT : wide };
  });
  const keysEnd = offset;
  const states: StateLayout[] = [];
  const places = new Map<string, number>();
  const stateFor = (aggregate: Aggregate): number => {
    const kind = stateKind(aggregate);
    const { arg } = aggregate;
    // All events of a key make its sessions: WHERE decides which of them are counted.
    const filter = isSession ? both(plan.filter, aggregate.filter) : aggregate.filter;
    const key = textKey([kind, arg, filter]);
    const known = places.get(key);
    if (known !== undefined) return known;
    const at = offset;
    offset += must(STATE_BYTES[kind], "bytes of a state");
    states.push({ kind, offset: at, arg, filter });
    places.set(key, at);
    return at;
  };
  const stateAt = plan.aggregates.map(stateFor);
  const passing = isSession && plan.filter !== null ? stateFor(EVENTS) : null;
  const revision = plan.late.policy === "update" ? offset : null;
  if (revision !== null && !isSession) offset += abi.REVISION_BYTES;
  // Sessions lie in blocks: rows do not straddle more cache lines than they must.
  if (isSession) offset = Math.ceil(offset / 32) * 32;
  assert(offset <= abi.FOLD_PAGE_BYTES / 4, `view ${plan.name}: its rows have ${offset} bytes`);
  const outputs = plan.output.map((column) => outputLayout(plan, keys, stateAt, column));
  return {
    rowBytes: offset,
    keys,
    states,
    outputs,
    passing,
    keysEnd,
    revision: isSession ? abi.SESSION_REVISION_AT : revision,
    shown: shownRows(plan),
  };
}

function outputLayout(
  plan: ViewPlan,
  keys: readonly KeyLayout[],
  stateAt: readonly number[],
  { source, type }: OutputColumn,
): OutputLayout {
  const physical = physicalOf(type);
  switch (source.kind) {
    case "window_start":
    case "window_end":
      return plan.window?.kind === "session"
        ? {
            from: "row",
            physical,
            source: abi.SOURCE_COUNT,
            offset: SESSION_BOUNDS[source.kind],
            x: 0,
          }
        : { from: source.kind, physical };
    case "key": {
      const key = must(keys[source.index], "key");
      const wide = key.kind === abi.KEY_FIXED16 ? abi.SOURCE_KEY_16 : abi.SOURCE_KEY_8;
      const from = key.kind === abi.KEY_TEXT ? abi.SOURCE_KEY_TEXT : wide;
      return { from: "row", physical, source: from, offset: key.offset, x: source.index };
    }
    case "aggregate": {
      const aggregate = must(plan.aggregates[source.index], "aggregate");
      const offset = must(stateAt[source.index], "state");
      return { from: "row", physical, offset, ...aggregateSource(aggregate) };
    }
    case "expression":
      throw new Error("projections are not in this release");
    default:
      return unreachable(source);
  }
}
