// Verbs (pure): which sessions events make once late ones count, whether these are final, and how many late events they hold. The rule is
// DESIGN's: events of a key at most `gap` apart are one session.
import { ReferenceSessions } from "../../kernels/reference/session.ts";
import type { Cell } from "../event/image.ts";
import { must } from "../base/assert.ts";
import { rowKey } from "../rehearsal/last-rows.ts";
import type { ViewPlan } from "../view/plan.ts";
import { SESSION_CHUNK_LATE, SESSION_CHUNK_US } from "./session-limits.ts";
import type { TimeRange } from "./tally.ts";

/** An event of a session. `place`: its place in the log as one number. */
export interface SessionEvent {
  readonly place: bigint;
  readonly timeUs: bigint;
  readonly behindUs: bigint;
  readonly keys: readonly Cell[];
}

/** A late event that counts for no session yet. */
export interface LateEvent {
  readonly place: bigint;
  readonly timeUs: bigint;
}

/** A session as it is when all its events count, the late ones too. `events`: in the order of time. */
export interface Island {
  readonly keys: readonly Cell[];
  readonly startUs: bigint;
  readonly lastUs: bigint;
  readonly events: readonly SessionEvent[];
}

/** A text that is the same for equal keys, and for no others. */
export function keyName(keys: readonly Cell[]): string {
  return rowKey(
    keys,
    keys.map((_, index) => index),
  );
}

/** The gap of a view of sessions, µs. */
export function gapOf({ window }: ViewPlan): bigint {
  return BigInt(must(window?.kind === "session" ? window.gapUs : null, "a view of sessions"));
}

/** The sessions of events, each key's in the order of time. */
export function islandsOf(events: readonly SessionEvent[], gapUs: bigint): Island[] {
  const islands: { keys: readonly Cell[]; events: SessionEvent[] }[] = [];
  for (const ofKey of Map.groupBy(events, ({ keys }) => keyName(keys)).values()) {
    let lastUs: bigint | null = null;
    for (const event of ofKey.toSorted((a, b) => compare(a.timeUs, b.timeUs))) {
      if (lastUs !== null && event.timeUs - lastUs <= gapUs) islands.at(-1)?.events.push(event);
      else islands.push({ keys: event.keys, events: [event] });
      lastUs = event.timeUs;
    }
  }
  return islands.map((island) => ({
    ...island,
    startUs: must(island.events[0], "an event").timeUs,
    lastUs: must(island.events.at(-1), "an event").timeUs,
  }));
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Why a session cannot be computed anew yet; null: it can. An event that is not late lies in an open session, or is at most the gap behind the
 * watermark: from when that is more than twice the gap beyond a session's last event, none comes near it. Sessions that are open are at most the gap
 * behind the watermark, so those that are not part of this one stay so.
 */
export function heldBecause(
  { startUs, lastUs }: Pick<Island, "startUs" | "lastUs">,
  facts: {
    readonly view: string;
    readonly gapUs: bigint;
    readonly watermarkUs: bigint;
    readonly beganUs: bigint | null;
  },
): string | null {
  const { gapUs, watermarkUs, beganUs } = facts;
  if (beganUs !== null && startUs - gapUs <= beganUs)
    return `they may hold events from before ${facts.view} began`;
  if (watermarkUs > lastUs + 2n * gapUs) return null;
  return "not final: events may still come near them";
}

/** How many late events a session holds, those that `update` took in and those that are reconciled: its row's revision. */
export function revisionOf({ events }: Island, plan: ViewPlan): bigint {
  const allowedUs = plan.late.policy === "update" ? BigInt(plan.late.allowedUs) : null;
  const model = new ReferenceSessions<null>(gapOf(plan), allowedUs, false);
  let revision = 0n;
  for (const { timeUs, behindUs } of events.toSorted((a, b) => compare(a.place, b.place))) {
    // An event that is not behind touches nothing that the watermark has passed.
    if (behindUs > 0n) model.advance(timeUs + behindUs);
    if (model.add("", timeUs, null).kind !== "applied") revision++;
  }
  return revision;
}

/** Late events of a range of time that are brought in together. */
export interface LateChunk {
  readonly late: readonly LateEvent[];
  readonly range: TimeRange;
}

/** Parts late events, in the order of time, and the range that they lie in. Those of one moment stay together. */
export function lateChunks(late: readonly LateEvent[], range: TimeRange): LateChunk[] {
  const parts: LateEvent[][] = [];
  for (const event of late) {
    const part = parts.at(-1);
    const [first, last] = [part?.[0], part?.at(-1)];
    const isNear = first !== undefined && event.timeUs - first.timeUs <= SESSION_CHUNK_US;
    const hasRoom = part !== undefined && part.length < SESSION_CHUNK_LATE;
    if (part !== undefined && (last?.timeUs === event.timeUs || (isNear && hasRoom)))
      part.push(event);
    else parts.push([event]);
  }
  let { fromUs } = range;
  return parts.map((part, index) => {
    const toUs = parts[index + 1]?.[0]?.timeUs ?? range.toUs;
    const chunk = { late: part, range: { fromUs, toUs } };
    fromUs = toUs;
    return chunk;
  });
}

/** What is left of a chunk without some moments: parts between them, those with late events. */
export function withoutMoments(
  { late, range }: LateChunk,
  moments: ReadonlySet<bigint>,
): LateChunk[] {
  const cuts = [...moments].toSorted(compare);
  const parts = [range.fromUs, ...cuts.map((cutUs) => cutUs + 1n)].map((fromUs, index) => ({
    fromUs,
    toUs: cuts[index] ?? range.toUs,
  }));
  return parts.flatMap((part) => {
    const within = late.filter(({ timeUs }) => timeUs >= part.fromUs && timeUs < part.toUs);
    return within.length === 0 ? [] : [{ late: within, range: part }];
  });
}

/** The earlier and the later half of a chunk; null when it is of one moment. */
export function halvesOf({ late, range }: LateChunk): readonly [LateChunk, LateChunk] | null {
  const first = must(late[0], "a late event").timeUs;
  const middle = must(late[late.length >> 1], "a late event").timeUs;
  const cutUs = middle > first ? middle : late.find(({ timeUs }) => timeUs > first)?.timeUs;
  if (cutUs === undefined) return null;
  const part = (of: TimeRange): LateChunk => ({
    late: late.filter(({ timeUs }) => timeUs >= of.fromUs && timeUs < of.toUs),
    range: of,
  });
  return [part({ fromUs: range.fromUs, toUs: cutUs }), part({ fromUs: cutUs, toUs: range.toUs })];
}
