// The engine's figures as main asks for them: for system relations and /metrics.
import type { Engine } from "../engine.ts";
import type { EngineBacklog } from "../engine-backlog.ts";
import type { Suspension } from "../window/fold.ts";
import type { EngineStatus, ReaderState } from "./messages.ts";

function textOf(us: bigint | null): string | null {
  return us === null ? null : us.toString();
}

/** The longest steps of the engine's thread since the start, µs: of catching up, of copying a checkpoint, of making a picture. */
export interface LongestSteps {
  catchUpUs: number;
  checkpointUs: number;
  pictureUs: number;
}

function stateOf(suspended: Suspension | undefined, isCatchingUp: boolean): ReaderState {
  if (suspended === undefined) return "running";
  if (isCatchingUp) return "catching up";
  return suspended.boundBytes === null ? "given up" : "suspended";
}

/** Positions, counts and sizes of now. Times are decimal text: they may exceed 2^53. */
export function engineStatus(
  engine: Engine,
  backlog: EngineBacklog,
  longest: Readonly<LongestSteps>,
): EngineStatus {
  const { suspended } = engine.windows;
  return {
    admitted: engine.lastPosition,
    position: engine.folded,
    // Views fold together: each stands where the engine does, control records included, unless it is suspended.
    views: engine.windows.stats().map(({ view, counts, groups, windows }) => ({
      view,
      position: suspended.get(view)?.at ?? engine.folded,
      since: engine.since(view),
      state: stateOf(suspended.get(view), engine.windows.laggards.has(view)),
      groups,
      windows,
      ...counts,
    })),
    streams: engine.streamNames.map((stream) => ({
      stream,
      movedBy: engine.movedBy(stream),
      watermarkUs: textOf(engine.admission.clock(stream).watermarkUs),
      newestEventTimeUs: textOf(engine.admission.clock(stream).newestUs),
      partitions: engine.admission
        .clock(stream)
        .statuses()
        .map((partition) => ({
          partition: partition.name,
          state: partition.state,
          watermarkUs: textOf(partition.watermarkUs),
          newestEventTimeUs: textOf(partition.newestUs),
          idleAtUs: partition.idleAtUs === null ? null : String(partition.idleAtUs),
        })),
      liveIds: engine.admission.idTable(stream).ids,
      sealedIds: engine.admission.idTable(stream).sealedIds,
    })),
    accounts: engine.accounts,
    suspended: [...suspended].map(([view, { at, reason, boundBytes }]) => ({
      view,
      at,
      reason,
      boundBytes,
      isCatchingUp: engine.windows.laggards.has(view),
    })),
    keys: { kept: engine.answers.rows, replays: engine.answers.replays },
    foldBytes: engine.windows.stateBytes,
    pendingOutputBytes: engine.windows.pendingBytes,
    isWaiting: backlog.isWaiting,
    longest: { ...longest },
  };
}
