// The plain twin of the fold module (assembly/fold: windows, groups, aggregates): rows of values, Maps and bigint, event at a time. Shares
// nothing with the kernels but the plan and the rules.
import { average } from "./average.ts";
import {
  Evaluator,
  floorTo,
  order,
  type Cell,
  type ReferenceExpr,
  type ReferenceType,
} from "./expression.ts";
import { coupon, estimate } from "./hll.ts";

/** One aggregate with its FILTER, as src/view/plan.ts has it. */
export interface ReferenceAggregate {
  readonly fn: string;
  readonly arg: ReferenceExpr | null;
  readonly filter: ReferenceExpr | null;
}

/** A view, as src/view/plan.ts has it: what of it decides rows. */
export interface ReferenceView {
  /** Windows start at offsetUs + n * slideUs; a tumbling window's slide is its size. */
  readonly window: {
    readonly sizeUs: number;
    readonly slideUs?: number;
    readonly offsetUs?: number;
  };
  /** A rollup: the range that holds a window of `window`, and into which its events go; absent: that window itself. */
  readonly above?: (startUs: bigint) => { readonly startUs: bigint; readonly endUs: bigint };
  /** µs behind a window's end within which a late event still counts in it (policy `update`); absent: not at all. */
  readonly allowedUs?: number;
  readonly filter: ReferenceExpr | null;
  readonly keys: readonly { readonly expr: ReferenceExpr }[];
  readonly aggregates: readonly ReferenceAggregate[];
  readonly output: readonly {
    readonly source:
      | { readonly kind: "window_start" | "window_end" }
      | { readonly kind: "key" | "aggregate"; readonly index: number }
      | { readonly kind: "expression"; readonly expr: ReferenceExpr };
  }[];
}

/** The coupon of a value of a type. */
export function couponOf(value: Exclude<Cell, null>, type: ReferenceType): number {
  if (typeof value === "string") return coupon(new TextEncoder().encode(value));
  const wide = type.kind === "DECIMAL" && type.precision > 18;
  const bytes = new Uint8Array(wide ? 16 : 8);
  const view = new DataView(bytes.buffer);
  if (type.kind === "DOUBLE" || type.kind === "FLOAT") {
    // One zero, and one of the many NaNs: JavaScript's 0 % 0 has another sign than its NaN.
    const canonical = Number.isNaN(value) ? Number.NaN : Number(value);
    view.setFloat64(0, canonical === 0 ? 0 : canonical, true);
    return coupon(bytes);
  }
  view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  if (wide) view.setBigInt64(8, BigInt(value) >> 64n, true);
  return coupon(bytes);
}

/** The value of an aggregate over the values of a group. */
export function aggregateValue({ fn, arg }: ReferenceAggregate, values: readonly Cell[]): Cell {
  const held = values.filter((value) => value !== null);
  if (fn === "count_star") return BigInt(values.length);
  if (fn === "count") return BigInt(held.length);
  if (fn === "approx_count_distinct") {
    const type = arg?.type ?? { kind: "BIGINT" };
    return BigInt(estimate(new Set(held.map((value) => couponOf(value, type)))));
  }
  if (fn === "first") return values[0] ?? null;
  if (fn === "last") return values.at(-1) ?? null;
  if (held.length === 0) return null;
  if (fn === "min") return held.reduce((a, b) => (order(b, a) < 0 ? b : a));
  if (fn === "max") return held.reduce((a, b) => (order(b, a) > 0 ? b : a));
  const doubles = arg?.type.kind === "DOUBLE" || arg?.type.kind === "FLOAT";
  if (doubles) {
    const sum = held.reduce<number>((a, b) => a + Number(b), 0);
    return fn === "sum" ? sum : sum / held.length;
  }
  const sum = held.reduce<bigint>((a, b) => a + BigInt(b), 0n);
  // DuckDB refuses to add beyond 127 bits; the kernels give NULL for a sum that has no 38 digits.
  if (fn === "sum") return sum < 10n ** 38n && sum > -(10n ** 38n) ? sum : null;
  if (sum >= 2n ** 127n || sum < -(2n ** 127n)) return null;
  const scale = arg?.type.kind === "DECIMAL" ? arg.type.scale : 0;
  const short = arg?.type.kind === "DECIMAL" && arg.type.precision <= 4;
  if (short) return Number(sum) / (held.length * 10 ** scale);
  return average(sum, BigInt(held.length), scale);
}

interface Group {
  readonly keys: readonly Cell[];
  readonly values: Cell[][];
  /** Late events in it. */
  revision: bigint;
}

interface Window {
  readonly startUs: bigint;
  readonly endUs: bigint;
  readonly groups: Map<string, Group>;
  applied: number;
  /** The watermark has reached its end; it is kept until no late event counts in it any more. */
  isClosed: boolean;
}

/** An output row: the window, and the values of the output columns and revision. */
export interface ReferenceOutput {
  readonly startUs: bigint;
  readonly row: readonly Cell[];
}

/** An event that was late for some of its windows: from the start of the first of these to the end of the last. */
export interface ReferenceLate {
  readonly timeUs: bigint;
  readonly position: number;
  readonly index: number;
  readonly startUs: bigint;
  readonly endUs: bigint;
}

/** One view, event at a time. */
export class ReferenceFold {
  readonly plan: ReferenceView;
  readonly counts = { accepted: 0, filtered: 0, late: 0, failed: 0, applied: 0, pending: 0 };
  readonly closed: ReferenceOutput[] = [];
  readonly late: ReferenceLate[] = [];
  readonly #open = new Map<bigint, Window>();
  readonly #outOfOrdernessUs: bigint;
  readonly #columns: { readonly eventTime: number; readonly behind: number };
  #highestUs: bigint | null = null;

  constructor(
    plan: ReferenceView,
    outOfOrdernessUs: number,
    columns: { eventTime: number; behind: number },
  ) {
    this.plan = plan;
    this.#outOfOrdernessUs = BigInt(outOfOrdernessUs);
    this.#columns = columns;
  }

  /** One event, and then every window that it closes. */
  fold(
    cells: readonly Cell[],
    at: { receivedAtUs: number; position: number; index: number },
  ): void {
    const timeUs = cells[this.#columns.eventTime] as bigint;
    this.counts.accepted++;
    this.#apply(cells, timeUs, at);
    const seen = timeUs < BigInt(at.receivedAtUs) ? timeUs : BigInt(at.receivedAtUs);
    if (this.#highestUs === null || seen > this.#highestUs) this.#highestUs = seen;
    const watermark = this.#highestUs - this.#outOfOrdernessUs;
    for (const window of [...this.#open.values()].toSorted((a, b) =>
      Number(a.startUs - b.startUs),
    )) {
      if (window.endUs > watermark) continue;
      if (!window.isClosed) {
        this.counts.applied += window.applied;
        this.counts.pending -= window.applied;
      }
      window.isClosed = true;
      if (window.endUs + this.#allowedUs > watermark) continue;
      this.closed.push(...this.#rows(window));
      this.#open.delete(window.startUs);
    }
  }

  #apply(
    cells: readonly Cell[],
    timeUs: bigint,
    at: { receivedAtUs: number; position: number; index: number },
  ): void {
    const { plan, counts } = this;
    const windows = this.#windowsOf(timeUs);
    const [first] = windows;
    if (first === undefined) throw new Error("every time has a window");
    const row = new Evaluator({ cells, receivedAtUs: BigInt(at.receivedAtUs), ...first });
    const passes = plan.filter === null || row.value(plan.filter) === true;
    const keys = plan.keys.map(({ expr }) => row.value(expr));
    const parts = plan.aggregates.map(({ arg, filter }) => ({
      takes: filter === null || row.value(filter) === true,
      value: arg === null ? 1 : row.value(arg),
    }));
    if (!passes) {
      counts.filtered++;
      return;
    }
    const reachedUs = timeUs + (cells[this.#columns.behind] as bigint);
    const refused = windows.filter(({ endUs }) => reachedUs >= endUs + this.#allowedUs);
    const last = refused.at(-1);
    if (last !== undefined) {
      counts.late++;
      const { position, index } = at;
      this.late.push({ timeUs, position, index, startUs: first.startUs, endUs: last.endUs });
    } else if (row.failed) counts.failed++;
    const canonical = keys.map((key) => (key === 0 ? 0 : key));
    const name = canonical.map((key) => `${typeof key} ${String(key)}`).join("\u0000");
    windows.slice(refused.length).forEach((own, ordinal, taken) => {
      const { startUs, endUs } = plan.above?.(own.startUs) ?? own;
      const window = this.#open.get(startUs) ?? {
        startUs,
        endUs,
        groups: new Map<string, Group>(),
        applied: 0,
        isClosed: false,
      };
      this.#open.set(startUs, window);
      const isLate = reachedUs >= own.endUs;
      // An event is pending as long as its last window is open.
      if (last === undefined && !row.failed && ordinal === taken.length - 1) {
        if (isLate) counts.applied++;
        else {
          window.applied++;
          counts.pending++;
        }
      }
      const group = window.groups.get(name) ?? {
        keys: canonical,
        values: plan.aggregates.map(() => []),
        revision: 0n,
      };
      window.groups.set(name, group);
      if (isLate) group.revision++;
      parts.forEach(({ takes, value }, index) => {
        if (takes) group.values[index]?.push(value);
      });
    });
  }

  /** The windows of a time, in order. */
  #windowsOf(timeUs: bigint): { readonly startUs: bigint; readonly endUs: bigint }[] {
    const { sizeUs, slideUs = sizeUs, offsetUs = 0 } = this.plan.window;
    const offset = BigInt(offsetUs);
    const windows: { readonly startUs: bigint; readonly endUs: bigint }[] = [];
    let startUs = floorTo(timeUs - offset, BigInt(slideUs)) + offset;
    for (; startUs + BigInt(sizeUs) > timeUs; startUs -= BigInt(slideUs))
      windows.unshift({ startUs, endUs: startUs + BigInt(sizeUs) });
    return windows;
  }

  get #allowedUs(): bigint {
    return BigInt(this.plan.allowedUs ?? 0);
  }

  /** Rows of all windows that may still change. */
  open(): ReferenceOutput[] {
    return [...this.#open.values()].flatMap((window) => this.#rows(window));
  }

  #rows(window: Window): ReferenceOutput[] {
    return [...window.groups.values()].map(({ keys, values, revision }) => {
      const row = this.plan.output.map(({ source }): Cell => {
        switch (source.kind) {
          case "key":
            return keys[source.index] ?? null;
          case "aggregate": {
            const aggregate = this.plan.aggregates[source.index];
            if (aggregate === undefined) return null;
            return aggregateValue(aggregate, values[source.index] ?? []);
          }
          case "expression":
            throw new Error("a projection has no windows");
          default:
            return source.kind === "window_start" ? window.startUs : window.endUs;
        }
      });
      return { startUs: window.startUs, row: [...row, revision] };
    });
  }
}
