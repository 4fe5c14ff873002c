// Verb: late events into final windows of a view. Asks which windows lack late events, computes their rows anew by the kernels over the raw
// events, and publishes a control record for each chunk of windows with the rows that differ: what is published is done, and a run that ended
// half-way is gone on with by the next. Knows nothing of threads and HTTP.
import type { Cell } from "../event/image.ts";
import type { EventSchema } from "../event/schema.ts";
import { must } from "../base/assert.ts";
import { isoTime } from "../base/iso-time.ts";
import { RECONCILE_ROWS_BYTES_MAX } from "../limits.ts";
import { reconcileControl, type ReconcileControl } from "../log/reconcile-control.ts";
import { NoRoomError, rowColumns } from "../rehearsal/last-rows.ts";
import { Past } from "../rehearsal/past.ts";
import { askedCell } from "../rehearsal/relation.ts";
import type { ViewPlan } from "../view/plan.ts";
import { rangesOf } from "../window/rollup-fold.ts";
import { withRange, type ReconciledRange } from "../window/reconciled.ts";
import { changesOf } from "./changes.ts";
import {
  countingText,
  eventsText,
  lackingText,
  presentText,
  shortWindowsOf,
  standingOf,
  standingText,
  type Standing,
} from "./questions.ts";
import {
  chunksOf,
  earlyWindows,
  everCorrected,
  finalBeforeUs,
  type Chunk,
  type ShortWindow,
} from "./scope.ts";

/** What is to be done. Plain data: it is posted to a thread. */
export interface ReconcileOrder {
  /** The view, then its rollups, each before those over it. */
  readonly plans: readonly ViewPlan[];
  readonly schema: EventSchema;
  /** Windows that start in [fromUs, toUs). */
  readonly fromUs: bigint;
  readonly toUs: bigint;
  /** Say what would be done. */
  readonly isDry: boolean;
}

/** What `reconcile` cannot do for itself. */
export interface ReconcilePorts {
  readonly foldModule: Uint8Array;
  /** Pages for the state of what is computed together; absent: as many as the engine has. */
  readonly pagesMax?: number;
  /** Rows of a question about what the appliance holds; with `after` they hold that log position. */
  ask(sql: string, after: number | null): Promise<readonly (readonly unknown[])[]>;
  /** Appends a control record to the log; gives its position, which need not be durable yet. */
  publish(control: ReturnType<typeof reconcileControl>): Promise<number>;
  tell(progress: ReconcileProgress): void;
}

export interface ReconcileProgress {
  readonly windowsDone: number;
  readonly windowsAll: number;
}

/** Windows that were not reconciled, and why. */
export interface Skipped {
  readonly windows: number;
  readonly lateEvents: number;
  readonly why: string;
}

export interface ReconcileReport {
  readonly view: string;
  /** Up to this log position late events were looked at. */
  readonly rawPosition: number;
  readonly windows: number;
  readonly lateEvents: number;
  readonly rows: readonly {
    readonly view: string;
    readonly changed: number;
    readonly removed: number;
  }[];
  readonly skipped: readonly Skipped[];
}

/** It cannot be done; the message says why. */
export class ReconcileError extends Error {
  override readonly name = "ReconcileError";
}

/** Reconciles. Rejects with ReconcileError, and as the ports do. */
export async function reconcile(
  order: ReconcileOrder,
  ports: ReconcilePorts,
): Promise<ReconcileReport> {
  const plan = must(order.plans[0], "a view");
  const standing = standingOf(plan.name, await ports.ask(standingText(plan, order.schema), null));
  if (standing.missingCount > 0)
    throw new ReconcileError(
      `${standing.missingCount} of the events that ${plan.name} counted are no longer among the raw events (export.raw was off for a while): its windows cannot be computed anew`,
    );
  const run = new Run(order, ports, standing);
  const { watermarkUs } = standing;
  if (watermarkUs === null || order.fromUs >= order.toUs) return run.report;
  const short = await shortWindows(order, ports, standing);
  const early = earlyWindows(order.plans, short, standing.beganUs);
  run.skip(early, `they may hold events from before ${plan.name} began`);
  const last = early.at(-1);
  const known = short.slice(early.length);
  const bound = finalBeforeUs(order.plans, watermarkUs);
  const toUs = bound < order.toUs ? bound : order.toUs;
  await run.reconcile(
    known.filter(({ startUs }) => startUs < toUs),
    { fromUs: last === undefined ? order.fromUs : last.startUs + 1n, toUs },
  );
  run.skip(
    known.filter(({ startUs }) => startUs >= toUs),
    order.plans.length > 1
      ? "not final, or in a window of a rollup that is not"
      : "not final: late events may still correct them",
  );
  return run.report;
}

/** The windows of the range that lack late events, in the order of time. */
async function shortWindows(
  order: ReconcileOrder,
  ports: ReconcilePorts,
  standing: Standing,
): Promise<ShortWindow[]> {
  const plan = must(order.plans[0], "a view");
  const scope = { schema: order.schema, standing };
  const { rawPosition } = standing;
  const lacking = await ports.ask(lackingText(plan, order, scope), rawPosition);
  const [first, last] = [lacking[0], lacking.at(-1)];
  if (first === undefined || last === undefined) return [];
  const within = { fromUs: BigInt(String(first[0])), toUs: BigInt(String(last[0])) + 1n };
  return shortWindowsOf(lacking, await ports.ask(eventsText(plan, within, scope), rawPosition));
}

class Run {
  readonly #order: ReconcileOrder;
  readonly #ports: ReconcilePorts;
  readonly #plan: ViewPlan;
  readonly #standing: Standing;
  /** As it is once what this run has published is folded. */
  #reconciled: readonly ReconciledRange[];
  /** The last position published, which the rows that are asked for must hold. */
  #after: number;
  #windows = 0;
  #lateEvents = 0;
  readonly #rows = new Map<string, { changed: number; removed: number }>();
  readonly #skipped: Skipped[] = [];

  constructor(order: ReconcileOrder, ports: ReconcilePorts, standing: Standing) {
    this.#order = order;
    this.#ports = ports;
    this.#plan = must(order.plans[0], "a view");
    this.#standing = standing;
    this.#reconciled = standing.reconciled;
    this.#after = standing.rawPosition;
  }

  get report(): ReconcileReport {
    return {
      view: this.#plan.name,
      rawPosition: this.#standing.rawPosition,
      windows: this.#windows,
      lateEvents: this.#lateEvents,
      rows: [...this.#rows].map(([view, counts]) => ({ view, ...counts })),
      skipped: this.#skipped,
    };
  }

  skip(windows: readonly ShortWindow[], why: string): void {
    if (windows.length === 0) return;
    this.#skipped.push({ windows: windows.length, lateEvents: lateOf(windows), why });
  }

  /** All these windows of a range, in the order of time; those between them lack nothing and count as reconciled too. */
  async reconcile(
    windows: readonly ShortWindow[],
    range: { readonly fromUs: bigint; readonly toUs: bigint },
  ): Promise<void> {
    const chunks = chunksOf(this.#order.plans, windows);
    let { fromUs } = range;
    for (const [index, chunk] of chunks.entries()) {
      const last = must(chunk.windows.at(-1), "a window").startUs;
      const endUs = index === chunks.length - 1 ? range.toUs : last + 1n;
      if (await this.#chunk(chunk, { fromUs, toUs: endUs })) fromUs = endUs;
      else fromUs = last + 1n;
      this.#ports.tell({ windowsDone: this.#windows, windowsAll: windows.length });
    }
  }

  /** Whether the chunk was reconciled: by halves when its rows are too many for a record. */
  async #chunk(
    chunk: Chunk,
    range: { readonly fromUs: bigint; readonly toUs: bigint },
  ): Promise<boolean> {
    const { rawPosition } = this.#standing;
    const newer = { view: this.#plan.name, ...range, position: rawPosition };
    const reconciled = withRange(this.#reconciled, newer);
    const rows = await this.#changes(chunk, { ...this.#standing, reconciled });
    if (typeof rows === "string") return this.#tooLarge(chunk, range, rows);
    const bytes = rows.reduce((sum, { image }) => sum + image.byteLength, 0);
    if (bytes > RECONCILE_ROWS_BYTES_MAX) return this.#halves(chunk, range);
    const said: ReconcileControl = { view: this.#plan.name, ...range, rawPosition, rows };
    if (!this.#order.isDry) await this.#publish(said);
    this.#reconciled = reconciled;
    this.#windows += chunk.windows.length;
    this.#lateEvents += lateOf(chunk.windows);
    for (const { view, op, rowCount } of rows) {
      const counts = this.#rows.get(view) ?? { changed: 0, removed: 0 };
      if (op === "upsert") counts.changed += rowCount;
      else counts.removed += rowCount;
      this.#rows.set(view, counts);
    }
    return true;
  }

  /** What is told as done is durable: an answer that holds a position is. */
  async #publish(said: ReconcileControl): Promise<void> {
    this.#after = await this.#ports.publish(reconcileControl(said));
    await this.#ports.ask("SELECT 1", this.#after);
  }

  /** There is no room for the state of a chunk: fewer windows of rollups may do. */
  #tooLarge(
    chunk: Chunk,
    range: { readonly fromUs: bigint; readonly toUs: bigint },
    why: string,
  ): Promise<boolean> {
    if (chunk.ranges.length > 1) return this.#halves(chunk, range);
    this.skip(chunk.windows, why);
    return Promise.resolve(false);
  }

  async #halves(
    { windows }: Chunk,
    range: { readonly fromUs: bigint; readonly toUs: bigint },
  ): Promise<boolean> {
    const first = windows.slice(0, Math.ceil(windows.length / 2));
    const second = windows.slice(first.length);
    const middleUs = must(first.at(-1), "a window").startUs + 1n;
    if (second.length === 0) {
      const [{ startUs }] = first as [ShortWindow];
      this.skip(
        first,
        `the window at ${isoTime(startUs)} has more changed rows than one record takes`,
      );
      return false;
    }
    const whole = (part: readonly ShortWindow[]): Chunk => {
      const ranges = chunksOf(this.#order.plans, part).flatMap((chunk) => chunk.ranges);
      return { ranges, windows: part };
    };
    const isDone = await this.#chunk(whole(first), { fromUs: range.fromUs, toUs: middleUs });
    const rest = { fromUs: middleUs, toUs: range.toUs };
    return (await this.#chunk(whole(second), rest)) && isDone;
  }

  /** The rows of the chunk's windows, and of those above them, that are other than they are. A string: why they cannot be computed. */
  async #changes(
    { ranges, windows }: Chunk,
    standing: Standing,
  ): Promise<ReconcileControl["rows"] | string> {
    const { plans, schema } = this.#order;
    const { foldModule, pagesMax } = this.#ports;
    const past = new Past(foldModule, plans.map(everCorrected), schema, pagesMax);
    const where = countingText(this.#plan, ranges, { schema, standing });
    try {
      await past.read((sql) => this.#ports.ask(sql, this.#after), { range: null, where });
    } catch (error) {
      if (error instanceof NoRoomError) return error.message;
      throw error;
    }
    const changes = [];
    for (const plan of plans) {
      const rangeOf = plan === this.#plan ? null : rangesOf(plan.window);
      const starts = new Set(
        windows.map(({ startUs }) => (rangeOf === null ? startUs : rangeOf(startUs).startUs)),
      );
      const isWhole = plan.having !== null || plan.topN !== null;
      const start = plan.output.findIndex(({ source }) => source.kind === "window_start");
      const keep = (row: readonly Cell[]): boolean => {
        const at = row[start];
        return typeof at === "bigint" && starts.has(at) && (isWhole || row.at(-1) !== 0n);
      };
      const wanted = past.rows(everCorrected(plan), keep).rows;
      const sql = presentText(plan, [...starts], isWhole);
      const present = (await this.#ports.ask(sql, this.#after)).map((row) =>
        presentCells(plan, row),
      );
      changes.push(...changesOf(plan, wanted, present));
    }
    return changes;
  }
}

/** FLOAT is told by its shortest digits: the number that a float is, as images have it. */
function presentCells(plan: ViewPlan, row: readonly unknown[]): Cell[] {
  return rowColumns(plan).map((column, at) => {
    const cell = askedCell(row[at], column);
    return column.type.kind === "FLOAT" && typeof cell === "number" ? Math.fround(cell) : cell;
  });
}

function lateOf(windows: readonly ShortWindow[]): number {
  return windows.reduce((sum, { lateCount }) => sum + lateCount, 0);
}
