// Source partitions that come, go and fall silent, with ticks and control records between their events: whatever the engine had at the end,
// a replay of the log has too, from its beginning or from a checkpoint: outputs with their positions, open windows, clocks, sums.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { AppliedConfiguration } from "../src/admit/applied.ts";
import { NO_CHECKPOINT, type CheckpointChange } from "../src/checkpoint/store.ts";
import { Engine } from "../src/engine.ts";
import { checkpointChange, replayLog, restoreEngine } from "../src/engine-state.ts";
import { MemoryLog } from "../src/log/memory-log.ts";
import { Pipeline, pipelineBodyBytes } from "../src/pipeline.ts";
import { unaccounted } from "../src/reader/accounting.ts";
import { bodyOf, CLICKS, conditionOf, EXAMPLE_PLANS, MODULES } from "./one-thread.ts";

const START_US = Date.UTC(2019, 9, 2) * 1000;
const APPLIED: AppliedConfiguration = {
  version: 1,
  streams: {},
  views: {},
  formerViews: {},
  text: "",
};
const IDLE_AFTER_US = 20_000_000;

/** Only views move the watermark of a punctuated stream. */
const VIEWS_ONLY = await conditionOf("event_type = 'view'");

function newEngine(isPunctuated: boolean): Engine {
  const punctuated = isPunctuated ? { punctuated: VIEWS_ONLY } : {};
  return new Engine({
    modules: MODULES,
    idKey: { k0: 1n, k1: 2n },
    streams: [{ ...EXAMPLE_PLANS.stream, ...punctuated, idleAfterUs: IDLE_AFTER_US }],
    bodiesBytes: pipelineBodyBytes(1024 * 1024),
  });
}

/** An engine that starts on a checkpoint, if there is one, and the log behind it. */
function started(log: MemoryLog, saved: CheckpointChange | null, isPunctuated: boolean): Engine {
  const engine = newEngine(isPunctuated);
  const views = EXAMPLE_PLANS.plans.map((plan) => ({ plan, since: 0 }));
  restoreEngine(engine, { ...NO_CHECKPOINT, ...saved }, views);
  const positionOf = (name: string): number =>
    saved?.readers.find((reader) => reader.name === name)?.position ?? 0;
  replayLog(engine, log.openReader(), {
    from: positionOf("windows"),
    admitted: positionOf("admission"),
    last: log.last,
    receivedAtUs: log.lastReceivedAtUs,
  });
  return engine;
}

/** Everything that depends on the log alone. */
function facts(engine: Engine): unknown {
  return {
    clock: engine.admission.clock("clicks").state,
    accounts: engine.accounts,
    position: engine.folded,
    views: EXAMPLE_PLANS.plans.map(({ name }) => ({
      watermarkUs: engine.windows.watermarkUs(name),
      outputs: engine.windows.pending(name),
      open: engine.windows.openWindows(name).map(({ startUs, images }) => [startUs, images]),
    })),
  };
}

const partition = fc.constantFrom("", "a", "b", "c");
const step = fc.record({
  what: fc.constantFrom(
    "events" as const,
    "events" as const,
    "events" as const,
    "change" as const,
    "all" as const,
    "checkpoint" as const,
  ),
  partition,
  count: fc.integer({ min: 1, max: 400 }),
  /** Where in the day the partition is: each may be hours behind another. */
  from: fc.integer({ min: 0, max: CLICKS.length - 400 }),
  to: fc.constantFrom("added", "connected", "disconnected", "paused", "resumed"),
  all: fc.constantFrom("connected", "paused", "resumed"),
  waitUs: fc.integer({ min: 0, max: 15_000 }).map((ms) => ms * 1000),
});

test("a replay has the outputs, windows, clocks and sums that the engine had", () => {
  let closed = 0;
  let late = 0;
  let ticks = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 4, maxLength: 25 }),
      fc.boolean(),
      (steps, isPunctuated) => {
        const log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
        const engine = started(log, null, isPunctuated);
        const pipeline = new Pipeline(engine, log.openWriter(), null);
        let saved: CheckpointChange | null = null;
        let nowUs = START_US;
        for (const at of steps) {
          nowUs += at.waitUs;
          for (const tick of engine.ticks(nowUs)) {
            pipeline.control(tick);
            ticks++;
          }
          if (at.what === "events") {
            const bytes = bodyOf(CLICKS.slice(at.from, at.from + at.count), "ndjson");
            pipeline.turn("clicks", { bytes, format: "ndjson", partition: at.partition }, nowUs);
          } else if (at.what === "change") {
            const change = { names: [at.partition], to: at.to };
            pipeline.control(engine.changePartitions("clicks", change, nowUs));
          } else if (at.what === "all") {
            for (const record of engine.changeAllPartitions(at.all, nowUs))
              pipeline.control(record);
          } else if (saved === null) {
            // The first change of a store is all there is; the engine goes on.
            saved = checkpointChange(engine, APPLIED);
          }
        }
        const expected = facts(engine);
        expect(facts(started(log, null, isPunctuated))).toEqual(expected);
        if (saved !== null) expect(facts(started(log, saved, isPunctuated))).toEqual(expected);
        const [stream] = engine.accounts.streams;
        for (const account of engine.accounts.views) {
          expect(unaccounted(account)).toBe(0);
          expect(account.accepted).toBe(stream?.accepted ?? 0);
          closed += account.applied;
          late += account.late;
        }
      },
    ),
    { numRuns: Number(process.env["RUNS"] ?? 20) },
  );
  // The runs are about something: windows closed, events were late, partitions fell idle.
  expect([closed > 0, late > 0, ticks > 0]).toEqual([true, true, true]);
}, 120_000);
