// Verb: rows of a view over events of the past with the late events that were reconciled: what `preview` shows. Windows that lack none are as the
// view's own rule makes them; the others are computed as a run of reconcile computes them. Sessions are left as they were.
import { must } from "../base/assert.ts";
import type { Cell } from "../event/image.ts";
import type { EventSchema } from "../event/schema.ts";
import { Past, type PastRange } from "../rehearsal/past.ts";
import type { Ask } from "../rehearsal/past-rows.ts";
import type { Relation } from "../rehearsal/relation.ts";
import { windowSizeUs, type ViewPlan } from "../view/plan.ts";
import { quoteText } from "../view/render.ts";
import type { Range } from "../window/grid.ts";
import type { ReconciledRange } from "../window/reconciled.ts";
import { countingText, type Standing } from "./questions.ts";
import { everCorrected } from "./scope.ts";

/** A calendar day where clocks are set back, µs: the longest. */
const LONGEST_DAY_US = 26 * 3_600_000_000;

/** The past that is looked at. */
export interface PastOrder {
  readonly foldModule: Uint8Array;
  /** The view behind those that it is a rollup of, the lowest first. */
  readonly plans: readonly ViewPlan[];
  readonly schema: EventSchema;
  readonly range: PastRange | null;
  /** Events up to this log position. */
  readonly position: number;
}

/** Reads the ranges that were reconciled for the view at the bottom. */
async function reconciledRanges(
  ask: Ask,
  { plans, position }: PastOrder,
): Promise<ReconciledRange[]> {
  const view = must(plans[0], "a view").name;
  const bounds = ["window_from", "window_to"].map((bound) => `CAST(epoch_us(${bound}) AS VARCHAR)`);
  const rows = await ask(
    `SELECT ${bounds.join(", ")}, CAST(raw_position AS VARCHAR) FROM millrace.reconciled WHERE view = ${quoteText(view)} AND raw_position <= ${position}`,
  );
  return rows.map(([from, to, rawPosition]) => ({
    view,
    fromUs: BigInt(String(from)),
    toUs: BigInt(String(to)),
    position: Number(rawPosition),
  }));
}

/**
 * The rows with those of reconciled windows in their place. Rejects as `ask` does, and with NoRoomError when there is no room for the state of
 * these windows, which are kept until all is read.
 */
export async function withReconciled(ask: Ask, order: PastOrder, own: Relation): Promise<Relation> {
  const plan = must(order.plans.at(-1), "a view");
  if (plan.window === null || plan.window.kind === "session") return own;
  const start = plan.output.findIndex(({ source }) => source.kind === "window_start");
  let { rows } = own;
  for (const part of partsOf(order.plans, await reconciledRanges(ask, order))) {
    const keep = (row: readonly Cell[]): boolean => isWithin(part.windows, row[start]);
    const past = new Past(order.foldModule, order.plans.map(everCorrected), order.schema);
    await past.read(ask, { range: order.range, where: conditionsOf(order, part) });
    const anew = past.rows(everCorrected(plan), keep).rows;
    rows = [...rows.filter((row) => !keep(row)), ...anew];
  }
  return { ...own, rows };
}

/** Windows of the view that are computed together. */
interface Part {
  /** What they start in. */
  readonly windows: readonly Range[];
  /** Where their events are. */
  readonly events: readonly Range[];
  /** Those whose late events count. */
  readonly reconciled: readonly ReconciledRange[];
  /** Of the last event that is in them; null: the rule says of each event whether it is. */
  readonly position: number | null;
}

/**
 * An event of a tumbling window counts or does not, for that window and all rollups over it. An event of a hop may count for some of its windows
 * only: those of one position are computed together, of all events up to it, since a reconciled window was final.
 */
function partsOf(plans: readonly ViewPlan[], ranges: readonly ReconciledRange[]): Part[] {
  const lengthUs = plans.reduce((sum, plan) => sum + lengthOf(plan), 0n);
  const eventsOf = (of: readonly ReconciledRange[]): Range[] =>
    of.map(({ fromUs, toUs }) => ({ startUs: fromUs - lengthUs, endUs: toUs + lengthUs }));
  if (must(plans[0], "a view").window?.kind !== "hop") {
    if (ranges.length === 0) return [];
    // a window of a rollup begins before the one of the range that it holds
    const windows = ranges.map(({ fromUs, toUs }) => ({
      startUs: fromUs - lengthUs,
      endUs: toUs,
    }));
    return [{ windows, events: eventsOf(ranges), reconciled: ranges, position: null }];
  }
  return [...Map.groupBy(ranges, ({ position }) => position)].map(([position, of]) => ({
    windows: of.map(({ fromUs, toUs }) => ({ startUs: fromUs, endUs: toUs })),
    events: eventsOf(of),
    reconciled: of,
    position,
  }));
}

function lengthOf(plan: ViewPlan): bigint {
  return BigInt(plan.window?.kind === "calendar_day" ? LONGEST_DAY_US : windowSizeUs(plan));
}

function conditionsOf({ plans, schema, position }: PastOrder, part: Part): string[] {
  const standing: Standing = {
    since: 0,
    beganUs: null,
    rawPosition: part.position ?? position,
    watermarkUs: null,
    missingCount: 0,
    reconciled: part.reconciled,
  };
  return countingText(must(plans[0], "a view"), part.events, { schema, standing });
}

function isWithin(ranges: readonly Range[], start: Cell | undefined): boolean {
  return (
    typeof start === "bigint" &&
    ranges.some(({ startUs, endUs }) => start >= startUs && start < endUs)
  );
}
