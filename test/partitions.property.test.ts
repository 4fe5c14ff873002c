// Source partitions that come, go and fall silent, with ticks and control records between their events: whatever the engine had at the end,
// a replay of the log has too, from its beginning or from a checkpoint: outputs with their positions, open windows, clocks, sums.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { AppliedConfiguration } from "../src/admit/applied.ts";
import { must } from "../src/base/assert.ts";
import { NO_CHECKPOINT, type CheckpointChange } from "../src/checkpoint/store.ts";
import { Engine } from "../src/engine.ts";
import { checkpointChange, replayLog, restoreEngine, WINDOWS_READER } from "../src/engine-state.ts";
import { MemoryLog } from "../src/log/memory-log.ts";
import { Pipeline, pipelineBodyBytes } from "../src/pipeline.ts";
import { unaccounted } from "../src/reader/accounting.ts";
import { decodeRoot } from "../src/window/root.ts";
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

/** How the streams and views of a run are configured. */
interface Kind {
  readonly isPunctuated: boolean;
  /** Late events correct windows. */
  readonly isCorrected: boolean;
}

function newEngine({ isPunctuated }: Kind): Engine {
  const punctuated = isPunctuated ? { punctuated: VIEWS_ONLY } : {};
  return new Engine({
    modules: MODULES,
    idKey: { k0: 1n, k1: 2n },
    streams: [{ ...EXAMPLE_PLANS.stream, ...punctuated, idleAfterUs: IDLE_AFTER_US }],
    bodiesBytes: pipelineBodyBytes(1024 * 1024),
  });
}

/** An engine that starts on a checkpoint, if there is one, and the log behind it. */
function started(log: MemoryLog, saved: CheckpointChange | null, kind: Kind): Engine {
  const engine = newEngine(kind);
  const late = { policy: "update", allowedUs: 86_400_000_000 } as const;
  const views = EXAMPLE_PLANS.plans.map((plan) => ({
    plan: kind.isCorrected && plan.window !== null ? { ...plan, late } : plan,
    since: 0,
  }));
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

/** Views with corrections that are not put out yet. */
function waiting({ windows }: Engine): string[] {
  const names = windows.stats().map(({ view }) => view);
  return names.filter((name) => windows.corrected(name).length > 0);
}

/** The same as a checkpoint has it. */
function savedAsWaiting(engine: Engine): string[] {
  const { readers } = checkpointChange(engine, APPLIED);
  const { body } = must(
    readers.find(({ name }) => name === WINDOWS_READER),
    "the views' state",
  );
  const views = decodeRoot(body).views.filter(({ state }) => state.waits === true);
  return views.map(({ plan }) => plan.name);
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
  waitUs: fc
    .oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 15_000 }))
    .map((ms) => ms * 1000),
});

test("a replay has the outputs, windows, clocks and sums that the engine had", () => {
  let closed = 0;
  let late = 0;
  let ticks = 0;
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 4, maxLength: 25 }),
      fc.record({ isPunctuated: fc.boolean(), isCorrected: fc.boolean() }),
      (steps, kind) => {
        const log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
        const engine = started(log, null, kind);
        const pipeline = new Pipeline(engine, log.openWriter(), null);
        let saved: CheckpointChange | null = null;
        let nowUs = START_US;
        for (const at of steps) {
          nowUs += at.waitUs;
          for (const tick of engine.ticks(nowUs)) {
            pipeline.control(tick);
            ticks++;
          }
          // a tick puts out what is due
          const dueAtUs = engine.correctionsDueAtUs("clicks");
          expect(dueAtUs > nowUs).toBe(true);
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
        expect(savedAsWaiting(engine)).toEqual(waiting(engine));
        const expected = facts(engine);
        expect(facts(started(log, null, kind))).toEqual(expected);
        if (saved !== null) expect(facts(started(log, saved, kind))).toEqual(expected);
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

test("ticks of several streams come together: corrections that wait in one do not hold up those of another", () => {
  const { stream, plans } = EXAMPLE_PLANS;
  const names = ["clicks", "taps"];
  const engine = new Engine({
    modules: MODULES,
    idKey: { k0: 1n, k1: 2n },
    streams: names.map((name) => ({ ...stream, name })),
    bodiesBytes: pipelineBodyBytes(1024 * 1024),
  });
  const late = { policy: "update", allowedUs: 86_400_000_000 } as const;
  const plan = must(
    plans.find(({ name }) => name === "page_views_minute"),
    "the view",
  );
  const views = names.map((name) => ({
    plan: { ...plan, name: `${name}_minute`, stream: name, late },
    since: 0,
  }));
  engine.addViews(views, []);
  const log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
  const pipeline = new Pipeline(engine, log.openWriter(), null);
  // late ones make windows, the first corrections go out at once, those behind them wait
  const lateClicks = [0, 1, 2].map((part) =>
    CLICKS.slice(0, 100).filter((_, at) => at % 3 === part),
  );
  for (const clicks of [CLICKS.slice(-50), ...lateClicks]) {
    const body = { bytes: bodyOf(clicks, "ndjson"), format: "ndjson", partition: "" } as const;
    for (const name of names) pipeline.turn(name, body, START_US);
  }
  expect(waiting(engine)).toEqual(["clicks_minute", "taps_minute"]);
  const ticks = engine.ticks(START_US + 1_000_000);
  expect(ticks.map((tick) => [tick.stream, tick.control])).toEqual(
    names.map((name) => [name, "clock_tick"]),
  );
  for (const tick of ticks) pipeline.control(tick);
  expect(waiting(engine)).toEqual([]);
});

test("corrections that wait in a quiet stream are put out by a tick, a second after those before", () => {
  const log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
  const engine = started(log, null, { isPunctuated: false, isCorrected: true });
  const pipeline = new Pipeline(engine, log.openWriter(), null);
  const send = (clicks: readonly string[], nowUs: number): void => {
    const bytes = bodyOf(clicks, "ndjson");
    pipeline.turn("clicks", { bytes, format: "ndjson", partition: "" }, nowUs);
  };
  const first = CLICKS.slice(0, 100);
  send(CLICKS.slice(-50), START_US);
  // late by hours: they make windows, then the first corrections go out at once, then some wait
  expect(engine.ticks(START_US + 5_000_000)).toEqual([]);
  for (let part = 0; part < 3; part++) {
    send(
      first.filter((_, at) => at % 3 === part),
      START_US + part * 10_000,
    );
  }
  expect(waiting(engine)).toEqual(
    expect.arrayContaining(["page_views_minute", "trend_ten_minutes"]),
  );
  expect(savedAsWaiting(engine)).toEqual(waiting(engine));
  expect(engine.ticks(START_US + 999_000)).toEqual([]);
  const ticks = engine.ticks(START_US + 1_010_000);
  expect(ticks.map(({ control }) => control)).toEqual(["clock_tick"]);
  expect(engine.ticks(START_US + 1_010_000)).toEqual([]);
  for (const tick of ticks) pipeline.control(tick);
  expect(waiting(engine)).toEqual([]);
  expect(savedAsWaiting(engine)).toEqual([]);
  expect(facts(started(log, null, { isPunctuated: false, isCorrected: true }))).toEqual(
    facts(engine),
  );
});
