// Verbs (pure): which views can be reconciled, which of their windows are final, and how the windows to be computed anew are parted.
import { must } from "../base/assert.ts";
import { RECONCILE_CHUNK_EVENTS, RECONCILE_CHUNK_WINDOWS } from "../limits.ts";
import { windowSizeUs, type ViewPlan } from "../view/plan.ts";
import type { Range } from "../window/grid.ts";
import { rangesOf } from "../window/rollup-fold.ts";

/** Later than any event can be, µs: ten thousand years. What is final by it is never final. */
const NEVER_US = 320_000_000_000_000_000;

/** The plan under which every late event corrects its window. */
export function everCorrected(plan: ViewPlan): ViewPlan {
  return { ...plan, late: { policy: "update", allowedUs: NEVER_US } };
}

/** Why a view cannot be reconciled, for the operator; null: it can. */
export function reconcileRefusal(plan: ViewPlan): string | null {
  const { name, window, late, rollupOf } = plan;
  if (rollupOf !== null)
    return `${name} is a rollup: reconcile ${rollupOf}, and it is made anew with it`;
  if (window === null) return `${name} has no windows: no event is late for it`;
  if (window.kind === "session" && late.policy === "drop")
    return `${name} has sessions, and with late.policy: drop nothing tells which events were late for them: write side or update`;
  return null;
}

/** A view and the rollups over it, the view first, each before those over it. */
export function withRollups(plan: ViewPlan, plans: readonly ViewPlan[]): ViewPlan[] {
  const upper = plans.filter(({ rollupOf }) => rollupOf === plan.name);
  return [plan, ...upper.flatMap((rollup) => withRollups(rollup, plans))];
}

/**
 * The time before which windows start that are final once the watermark is `watermarkUs`, in the view and in each of its rollups: a rollup's
 * window that is open would close without the events that were reconciled below it.
 */
export function finalBeforeUs(plans: readonly ViewPlan[], watermarkUs: bigint): bigint {
  const bounds = plans.map((plan) => {
    const atUs = watermarkUs - BigInt(plan.late.allowedUs);
    // Windows that overlap end one by one: those that start at or before this are over.
    if (plan.window?.kind === "hop") return atUs - BigInt(windowSizeUs(plan)) + 1n;
    return rangesOf(plan.window)(atUs).startUs;
  });
  return bounds.reduce((lowest, bound) => (bound < lowest ? bound : lowest));
}

/** A window of the view that late events are missing in. */
export interface ShortWindow {
  readonly startUs: bigint;
  readonly eventCount: number;
  readonly lateCount: number;
}

/** Windows that are computed together: whole ones of the topmost rollups. */
export interface Chunk {
  /** What is read: windows that are near each other are one range, with what lies between them. */
  readonly ranges: readonly Range[];
  readonly windows: readonly ShortWindow[];
  /** How many windows of the topmost rollups they lie in. */
  readonly topCount: number;
}

/**
 * Parts windows, in the order of time: those of one window of the topmost rollup stay together. A range has as many events as if all windows
 * in it were like the first that lacks some.
 */
export function chunksOf(plans: readonly ViewPlan[], windows: readonly ShortWindow[]): Chunk[] {
  const wholes = plans.map((plan) => rangeOf(plan));
  const chunks: Growing[] = [];
  for (const window of windows) {
    const [own, ...above] = wholes.map((of) => of(window.startUs)) as [Range, ...Range[]];
    const top = above.reduce((a, b) => (lengthOf(b) > lengthOf(a) ? b : a), own);
    // Windows of rollups in between may reach beyond the topmost: hours beyond the days of India.
    const whole = above.reduce(union, own);
    const chunk = chunks.at(-1);
    const last = chunk?.ranges.at(-1);
    if (chunk !== undefined && last !== undefined && chunk.topUs === top.startUs) {
      chunk.ranges[chunk.ranges.length - 1] = union(last, whole);
      chunk.windows.push(window);
      continue;
    }
    // One question with few long ranges is cheaper than one with many short ones: what is between is read and not kept.
    const near = last !== undefined && whole.startUs - last.endUs <= lengthOf(own) ? last : null;
    const joined = near === null ? whole : union(near, whole);
    const addedUs = lengthOf(joined) - (near === null ? 0n : lengthOf(near));
    const events = window.eventCount * (Number(addedUs) / Number(lengthOf(own)));
    if (
      chunk !== undefined &&
      chunk.topCount < RECONCILE_CHUNK_WINDOWS &&
      chunk.events + events <= RECONCILE_CHUNK_EVENTS
    ) {
      if (near !== null) chunk.ranges.pop();
      chunk.ranges.push(joined);
      chunk.windows.push(window);
      chunk.events += events;
      chunk.topUs = top.startUs;
      chunk.topCount++;
    } else {
      const all = window.eventCount * (Number(lengthOf(whole)) / Number(lengthOf(own)));
      const begun = { ranges: [whole], windows: [window], events: all };
      chunks.push({ ...begun, topUs: top.startUs, topCount: 1 });
    }
  }
  return chunks;
}

/** A chunk that windows are added to. `topUs`: the window of the topmost rollup that the last one lies in. */
interface Growing extends Chunk {
  readonly ranges: Range[];
  readonly windows: ShortWindow[];
  events: number;
  topUs: bigint;
  topCount: number;
}

/**
 * The first of windows, in the order of time: those whose rows, or rows of rollups over them, may hold events from before a time, which the
 * view does not know.
 */
export function earlyWindows(
  plans: readonly ViewPlan[],
  windows: readonly ShortWindow[],
  beganUs: bigint | null,
): ShortWindow[] {
  if (beganUs === null) return [];
  const wholes = plans.map((plan) => rangeOf(plan));
  const isEarly = ({ startUs }: ShortWindow): boolean =>
    wholes.some((of) => of(startUs).startUs <= beganUs);
  return windows.slice(0, windows.findLastIndex(isEarly) + 1);
}

function lengthOf({ startUs, endUs }: Range): bigint {
  return endUs - startUs;
}

function union(a: Range, b: Range): Range {
  return {
    startUs: a.startUs < b.startUs ? a.startUs : b.startUs,
    endUs: a.endUs > b.endUs ? a.endUs : b.endUs,
  };
}

/** The window of a plan that starts at a time of the view below, or holds it. */
function rangeOf(plan: ViewPlan): (timeUs: bigint) => Range {
  if (plan.window?.kind !== "hop") return rangesOf(must(plan.window, "a window"));
  const sizeUs = BigInt(windowSizeUs(plan));
  return (startUs) => ({ startUs, endUs: startUs + sizeUs });
}
