// Source partitions that come, go, fall silent and come back: the watermark, `_behind` and states are the plain model's, and a replay of
// the log from any checkpoint gives the same.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Admission } from "../../src/admit/admission.ts";
import { StreamClock, type PartitionChange } from "../../src/admit/stream-clock.ts";
import { SOURCE_PARTITIONS_MAX } from "../../src/limits.ts";
import { ClockModel } from "./clock-model.ts";
import { admission, batchOf, imageOf, SETTINGS } from "./fixture.ts";

const START_US = 1_570_000_000_000_000;

const name = fc.constantFrom("", "a", "b", "c");
const timeUs = fc.integer({ min: -40_000, max: 10_000 }).map((ms) => BigInt(ms) * 1000n);
type Step =
  | {
      readonly kind: "events";
      readonly partition: string;
      /** Relative to received_at. */
      readonly times: readonly bigint[];
    }
  | {
      readonly kind: "change";
      readonly change: PartitionChange;
      readonly partitions: readonly string[];
    }
  | { readonly kind: "tick" }
  | { readonly kind: "checkpoint" }
  | { readonly kind: "crash" };
const changes = ["added", "connected", "disconnected", "paused", "resumed"] as const;
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("events" as const),
      partition: name,
      times: fc.array(timeUs, { maxLength: 6 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("change" as const),
      change: fc.constantFrom(...changes),
      partitions: fc.uniqueArray(name, { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom("tick" as const, "checkpoint" as const, "crash" as const)
      .map((kind) => ({ kind })),
  },
);
const run = fc.record({
  outOfOrdernessUs: fc.constantFrom(0, 5_000_000),
  idleAfterUs: fc.constantFrom(null, 3_000_000, 20_000_000),
  kind: fc.constantFrom("column", "column", "received_at", "punctuated"),
  steps: fc.array(fc.tuple(step, fc.integer({ min: 0, max: 8000 })), { maxLength: 30 }),
});

/** A record of the log: what it does to an Admission again. */
type Replay = (to: Admission) => void;

test("watermark, _behind and states are the model's, live and after any replay", () => {
  fc.assert(
    fc.property(run, ({ outOfOrdernessUs, idleAfterUs, kind, steps }) => {
      const settings = {
        ...SETTINGS,
        dedupTtlUs: null,
        outOfOrdernessUs,
        idleAfterUs,
        eventTime: kind === "received_at" ? ("received_at" as const) : ("column" as const),
      };
      const model = new ClockModel(settings);
      let live = admission([settings]);
      const log: Replay[] = [];
      let body: Uint8Array | null = null;
      let saved = 0;
      let nowUs = START_US;
      const seen = new Set<string>();
      for (const [what, waitMs] of steps) {
        nowUs += waitMs * 1000;
        const atUs = nowUs;
        const clock = live.clock("clicks");
        if (what.kind === "checkpoint") {
          body = live.takeDelta(log.length).body;
          saved = log.length;
        } else if (what.kind === "crash") {
          live = admission([settings]);
          if (body !== null) live.restore(body, []);
          for (const replay of log.slice(saved)) replay(live);
        } else if (what.kind === "tick") {
          // Only where one would change something: what it would not change, its absence does not change either.
          if (clock.dueAtUs !== null && clock.dueAtUs <= atUs) {
            clock.tick(atUs);
            model.at(atUs);
            log.push(replayOf({ atUs, watermarkUs: clock.watermarkUs }, (to) => to.tick(atUs)));
          }
        } else if (what.kind === "change") {
          clock.change(what.partitions, what.change, atUs);
          const state =
            what.change === "disconnected" || what.change === "paused" ? what.change : "connected";
          for (const partition of what.partitions) {
            seen.add(partition);
            model.heard(partition, atUs, state);
          }
          model.at(atUs);
          log.push(
            replayOf({ atUs, watermarkUs: clock.watermarkUs }, (to) =>
              to.change(what.partitions, what.change, atUs),
            ),
          );
        } else {
          seen.add(what.partition);
          log.push(admitted(live, model, { ...what, atUs, kind }));
        }
        expect(live.clock("clicks").watermarkUs).toBe(model.watermarkUs);
      }
      model.at(nowUs);
      const final = live.clock("clicks");
      final.tick(nowUs);
      expect(final.watermarkUs).toBe(model.watermarkUs);
      expect(new Map<string, string>(final.statuses().map((at) => [at.name, at.state]))).toEqual(
        new Map([...seen].map((partition) => [partition, model.stateOf(partition)])),
      );
    }),
    { numRuns: Number(process.env["RUNS"] ?? 200) },
  );
}, 180_000);

function replayOf(
  record: { readonly atUs: number; readonly watermarkUs: bigint | null },
  move: (clock: StreamClock) => void,
): Replay {
  return (to) => {
    const clock = to.clock("clicks");
    move(clock);
    // What the record says is what the same settings compute.
    expect(clock.watermarkUs).toBe(record.watermarkUs);
    clock.decided(record.watermarkUs);
  };
}

/** A record of events: admitted by the kernels and the model, event by event. */
function admitted(
  live: Admission,
  model: ClockModel,
  record: {
    readonly partition: string;
    readonly times: readonly bigint[];
    readonly atUs: number;
    readonly kind: "column" | "received_at" | "punctuated";
  },
): Replay {
  const { partition, atUs, kind } = record;
  const arrival = { partition, receivedAtUs: atUs };
  const isReceipt = kind === "received_at";
  const events = record.times.map((time) => ({
    id: null,
    time: BigInt(atUs) + (isReceipt ? 0n : time),
  }));
  const marks = record.times.map((time) => kind !== "punctuated" || time % 3000n === 0n);
  model.heard(partition, atUs);
  model.at(atUs);
  const expected = events.map(({ time }, row) => model.event(partition, time, marks[row] ?? true));
  const clock = live.clock("clicks");
  if (events.length === 0) {
    clock.heard(partition, atUs);
    return replayOf({ atUs, watermarkUs: clock.watermarkUs }, (to) => to.heard(partition, atUs));
  }
  const batch = batchOf(events);
  const marked =
    kind === "punctuated" ? { ...batch, marks: Uint8Array.from(marks, Number) } : batch;
  const result = live.admit("clicks", marked, arrival);
  if (result.full) throw new Error(`full: ${result.reason}`);
  expect(events.map((_, row) => result.behind?.[row] ?? 0n)).toEqual(expected);
  const { watermarkUs } = clock;
  const image = imageOf(events, false);
  const said = kind === "punctuated" ? { markedUs: clock.highestUs(partition) } : {};
  const eventTime = isReceipt ? null : 2;
  return (to) => {
    to.replay("clicks", { ...arrival, ...said, image, eventTime, eventId: 1, watermarkUs });
    expect(to.clock("clicks").watermarkUs).toBe(watermarkUs);
  };
}

test("beyond the bound an idle partition gives way to a new one, and none does while all are active", () => {
  const clock = new StreamClock({ outOfOrdernessUs: 0, idleAfterUs: 1_000_000 });
  for (let index = 0; index < SOURCE_PARTITIONS_MAX; index++) {
    clock.begin(`p${index}`, START_US + index * 1000);
    const seenUs = BigInt(START_US + index);
    clock.end(`p${index}`, { highestUs: seenUs, newestUs: seenUs });
  }
  const lastUs = START_US + (SOURCE_PARTITIONS_MAX - 1) * 1000;
  expect(clock.hasRoomFor("new", START_US + 999_000)).toBe(false);
  expect(clock.hasRoomFor("p7", START_US + 999_000)).toBe(true);
  // p0 is idle at lastUs, 24 ms after p24 was: it was silent for the longest time.
  expect(clock.hasRoomFor("new", lastUs)).toBe(true);
  const before = clock.watermarkUs;
  clock.heard("new", lastUs);
  const names = clock.statuses().map((partition) => partition.name);
  expect(names).toHaveLength(SOURCE_PARTITIONS_MAX);
  expect(names).not.toContain("p0");
  expect(names).toContain("new");
  expect(clock.watermarkUs).toBe(before);
  const idle = clock.statuses().filter(({ state }) => state === "idle");
  expect(idle.map((partition) => partition.name).slice(0, 2)).toEqual(["p1", "p2"]);
});

test("a replay under a longer idle_after takes what the log says: a partition beyond the bound came", () => {
  const clock = new StreamClock({ outOfOrdernessUs: 0, idleAfterUs: null });
  for (let index = 0; index <= SOURCE_PARTITIONS_MAX; index++)
    clock.heard(`p${index}`, START_US + index * 1000);
  const names = clock.statuses().map((partition) => partition.name);
  expect([names.length, names[0], names.at(-1)]).toEqual([
    SOURCE_PARTITIONS_MAX,
    "p1",
    `p${SOURCE_PARTITIONS_MAX}`,
  ]);
});

test("when every partition is idle the watermark is the newest event seen, and it does not go back", () => {
  const clock = new StreamClock({ outOfOrdernessUs: 5_000_000, idleAfterUs: 10_000_000 });
  const newest = BigInt(START_US - 1_000_000);
  clock.begin("a", START_US);
  clock.end("a", { highestUs: newest, newestUs: newest });
  expect(clock.watermarkUs).toBe(newest - 5_000_000n);
  expect(clock.dueAtUs).toBe(START_US + 10_000_000);
  clock.tick(START_US + 9_999_000);
  expect(clock.watermarkUs).toBe(newest - 5_000_000n);
  clock.tick(START_US + 10_000_000);
  expect([clock.watermarkUs, clock.dueAtUs]).toEqual([newest, null]);
  // A new partition holds it where it is; what it then brings is behind.
  clock.change(["b"], "added", START_US + 11_000_000);
  expect(clock.begin("b", START_US + 12_000_000)).toMatchObject({ watermarkUs: newest });
});
