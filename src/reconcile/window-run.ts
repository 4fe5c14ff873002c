// Verb: late events into final windows that lie on a grid, tumbling ones and hops, and the rollups over them. Asks which windows lack late
// events, computes their rows anew by the kernels over the raw events, and publishes a control record for each chunk of windows with the rows
// that differ.
import { must } from "../base/assert.ts";
import { isoTime } from "../base/iso-time.ts";
import type { Cell } from "../event/image.ts";
import { RECONCILE_ROWS_BYTES_MAX } from "../limits.ts";
import type { ReconciledRows } from "../log/reconcile-control.ts";
import { NoRoomError } from "../rehearsal/last-rows.ts";
import { Past } from "../rehearsal/past.ts";
import type { ViewPlan } from "../view/plan.ts";
import { rangesOf } from "../window/rollup-fold.ts";
import { changesOf, presentCells } from "./changes.ts";
import {
  countingText,
  eventsText,
  lackingText,
  presentText,
  shortWindowsOf,
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
import {
  Tally,
  type ReconcileOrder,
  type ReconcilePorts,
  type ReconcileReport,
  type TimeRange,
} from "./tally.ts";

/** Reconciles windows that all rows of the view, and of its rollups, belong to. */
export async function reconcileWindows(
  order: ReconcileOrder,
  ports: ReconcilePorts,
  standing: Standing,
): Promise<ReconcileReport> {
  const plan = must(order.plans[0], "a view");
  const run = new Run(order, ports, standing);
  const { watermarkUs } = standing;
  if (watermarkUs === null) return run.report;
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
  readonly #tally: Tally;

  constructor(order: ReconcileOrder, ports: ReconcilePorts, standing: Standing) {
    this.#order = order;
    this.#ports = ports;
    this.#plan = must(order.plans[0], "a view");
    this.#standing = standing;
    this.#tally = new Tally(order, ports, standing);
  }

  get report(): ReconcileReport {
    return this.#tally.report;
  }

  skip(windows: readonly ShortWindow[], why: string): void {
    this.#tally.skip({ windows: windows.length, lateEvents: lateOf(windows), why });
  }

  /** All these windows of a range, in the order of time; those between them lack nothing and count as reconciled too. */
  async reconcile(windows: readonly ShortWindow[], range: TimeRange): Promise<void> {
    const chunks = chunksOf(this.#order.plans, windows);
    let { fromUs } = range;
    for (const [index, chunk] of chunks.entries()) {
      const last = must(chunk.windows.at(-1), "a window").startUs;
      const endUs = index === chunks.length - 1 ? range.toUs : last + 1n;
      if (await this.#chunk(chunk, { fromUs, toUs: endUs })) fromUs = endUs;
      else fromUs = last + 1n;
      this.#tally.tell(lateOf(windows));
    }
  }

  /** Whether the chunk was reconciled: by halves when its rows are too many for a record. */
  async #chunk(chunk: Chunk, range: TimeRange): Promise<boolean> {
    const reconciled = this.#tally.withRange(range);
    const rows = await this.#changes(chunk, { ...this.#standing, reconciled });
    if (typeof rows === "string") return this.#tooLarge(chunk, range, rows);
    const bytes = rows.reduce((sum, { image }) => sum + image.byteLength, 0);
    if (bytes > RECONCILE_ROWS_BYTES_MAX) return this.#halves(chunk, range);
    const counts = { windows: chunk.windows.length, lateEvents: lateOf(chunk.windows) };
    await this.#tally.publish(range, rows, counts);
    return true;
  }

  /** There is no room for the state of a chunk: fewer windows of rollups may do. */
  #tooLarge(chunk: Chunk, range: TimeRange, why: string): Promise<boolean> {
    if (chunk.topCount > 1) return this.#halves(chunk, range);
    this.skip(chunk.windows, why);
    return Promise.resolve(false);
  }

  async #halves({ windows }: Chunk, range: TimeRange): Promise<boolean> {
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
      const chunks = chunksOf(this.#order.plans, part);
      const topCount = chunks.reduce((sum, chunk) => sum + chunk.topCount, 0);
      return { ranges: chunks.flatMap(({ ranges }) => ranges), windows: part, topCount };
    };
    const isDone = await this.#chunk(whole(first), { fromUs: range.fromUs, toUs: middleUs });
    const rest = { fromUs: middleUs, toUs: range.toUs };
    return (await this.#chunk(whole(second), rest)) && isDone;
  }

  /** The rows of the chunk's windows, and of those above them, that are other than they are. A string: why they cannot be computed. */
  async #changes(
    { ranges, windows }: Chunk,
    standing: Standing,
  ): Promise<readonly ReconciledRows[] | string> {
    const { plans, schema } = this.#order;
    const { foldModule, pagesMax } = this.#ports;
    const past = new Past(foldModule, plans.map(everCorrected), schema, pagesMax);
    const where = countingText(this.#plan, ranges, { schema, standing });
    try {
      await past.read((sql) => this.#ports.ask(sql, this.#tally.after), { range: null, where });
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
      const present = (await this.#ports.ask(sql, this.#tally.after)).map((row) =>
        presentCells(plan, row),
      );
      changes.push(...changesOf(plan, wanted, present));
    }
    return changes;
  }
}

function lateOf(windows: readonly ShortWindow[]): number {
  return windows.reduce((sum, { lateCount }) => sum + lateCount, 0);
}
