// Admission against its plain twin: the same verdicts, whatever the cuts into batches, across checkpoints and restarts.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { VERDICT_ACCEPTED } from "../../kernels/abi.ts";
import { ReferenceAdmission } from "../../kernels/reference/admit.ts";
import type { Admission, ReplayedEvents } from "../../src/admit/admission.ts";
import type { StreamSettings } from "../../src/admit/stream-block.ts";
import { admission, admit, imageOf, SETTINGS, type TestEvent } from "./fixture.ts";

const START_US = 1_570_000_000_000_000;

interface Arrival {
  readonly event: TestEvent;
  readonly receivedAtUs: number;
}

const durationUs = fc.oneof(
  fc.integer({ min: 1, max: 200_000 }),
  fc.integer({ min: 1, max: 60 }).map((ms) => ms * 1000),
  fc.integer({ min: 1, max: 60_000_000 }),
);

const settings: fc.Arbitrary<StreamSettings> = fc.record({
  name: fc.constant(SETTINGS.name),
  dedupTtlUs: fc.option(durationUs, { freq: 8 }),
  outOfOrdernessUs: fc.oneof(durationUs, fc.constant(0)),
  idleAfterUs: fc.constant(null),
  maxFutureUs: fc.option(fc.oneof(durationUs, fc.constant(0))),
  maxPastUs: fc.option(fc.oneof(durationUs, fc.constant(0))),
  idsMax: fc.constant(1_000_000),
});

/** Events near their receipt, and at the ends of i64. Received times stand still, go on, and leap. */
const arrivals: fc.Arbitrary<Arrival[]> = fc
  .array(
    fc.record({
      id: fc.option(fc.integer({ min: 0, max: 40 }), { freq: 8 }),
      offsetUs: fc.integer({ min: -3_000_000, max: 300_000 }),
      extreme: fc.oneof(
        { weight: 30, arbitrary: fc.constant(null) },
        {
          weight: 1,
          arbitrary: fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, 0n, -(2n ** 62n)),
        },
      ),
      /** Some streams are punctuated: of those most events do not move the watermark. */
      moves: fc.constantFrom(true, false, false),
      stepMs: fc.oneof(
        { weight: 8, arbitrary: fc.constant(0) },
        { weight: 4, arbitrary: fc.integer({ min: 1, max: 40 }) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 100_000 }) },
        { weight: 1, arbitrary: fc.constant(5_000_000_000) },
      ),
    }),
    { minLength: 1, maxLength: 250 },
  )
  .chain((steps) => fc.tuple(fc.constant(steps), fc.boolean()))
  .map(([steps, isPunctuated]) => {
    let receivedAtUs = START_US;
    return steps.map(({ id, offsetUs, extreme, stepMs, moves }) => {
      receivedAtUs += stepMs * 1000;
      const time = extreme ?? BigInt(receivedAtUs + offsetUs);
      const event = {
        id: id === null ? null : `event-${id}`,
        time,
        moves: moves || !isPunctuated,
      };
      return { event, receivedAtUs };
    });
  });

/** Cuts arrivals into batches: at every change of received_at, and wherever `cuts` says. */
function batches(all: readonly Arrival[], cuts: readonly boolean[]): Arrival[][] {
  const out: Arrival[][] = [];
  all.forEach((arrival, i) => {
    const last = out.at(-1);
    const cut = cuts[i % Math.max(cuts.length, 1)] ?? false;
    if (last === undefined || cut || last[0]?.receivedAtUs !== arrival.receivedAtUs)
      out.push([arrival]);
    else last.push(arrival);
  });
  return out;
}

/** Verdict and `_behind` of each event. */
type Outcome = readonly [number, bigint];

function admitBatch(to: Admission, batch: readonly Arrival[]): Outcome[] {
  const receivedAtUs = batch[0]?.receivedAtUs ?? 0;
  const result = admit(
    to,
    batch.map((arrival) => arrival.event),
    receivedAtUs,
  );
  const outcomes = batch.map((_, row): Outcome => {
    return [result.verdicts[row] ?? -1, result.behind?.[row] ?? 0n];
  });
  const of = (verdict: number): number => outcomes.filter(([got]) => got === verdict).length;
  expect([result.accepted, result.duplicates, result.future, result.past]).toEqual(
    [0, 1, 2, 3].map(of),
  );
  return outcomes;
}

test("verdicts, _behind and watermark are the twin's, whatever the cuts", () => {
  fc.assert(
    fc.property(settings, arrivals, fc.array(fc.boolean()), (stream, all, cuts) => {
      const twin = new ReferenceAdmission(stream);
      const expected = all.map(({ event, receivedAtUs }): Outcome => {
        const { verdict, behind } = twin.admit(event, receivedAtUs);
        return [verdict, behind];
      });
      const real = admission([stream]);
      const outcomes = batches(all, cuts).flatMap((batch) => admitBatch(real, batch));
      expect(outcomes).toEqual(expected);
      expect(real.clock(stream.name).newestUs).toBe(
        twin.newest === -(2n ** 63n) ? null : twin.newest,
      );
      expect(real.clock(stream.name).watermarkUs).toBe(
        twin.watermark === -(2n ** 63n) ? null : twin.watermark,
      );
    }),
    { numRuns: 150 },
  );
}, 180_000);

test("checkpoints and restarts at any moment change nothing", () => {
  const steps = fc.array(fc.constantFrom("go", "go", "go", "checkpoint", "crash"), {
    minLength: 3,
  });
  const input = [settings, arrivals, fc.array(fc.boolean()), steps, fc.boolean()] as const;
  fc.assert(
    fc.property(...input, (stream, all, cuts, plan, dictionary) => {
      const twin = new ReferenceAdmission(stream);
      let real = admission([stream]);
      let body: Uint8Array | null = null;
      const segments: Uint8Array[] = [];
      const log: Omit<ReplayedEvents, "eventTime" | "eventId">[] = [];
      batches(all, cuts).forEach((batch, i) => {
        const outcomes = admitBatch(real, batch);
        const expected = batch.map(({ event, receivedAtUs }): Outcome => {
          const { verdict, behind } = twin.admit(event, receivedAtUs);
          return [verdict, behind];
        });
        expect(outcomes).toEqual(expected);
        const accepted = batch.filter((_, row) => outcomes[row]?.[0] === VERDICT_ACCEPTED);
        log.push({
          partition: "",
          receivedAtUs: batch[0]?.receivedAtUs ?? 0,
          watermarkUs: real.clock(stream.name).watermarkUs,
          markedUs: real.clock(stream.name).highestUs(""),
          image: imageOf(
            accepted.map((arrival) => arrival.event),
            dictionary,
          ),
        });
        const step = plan[i % plan.length];
        if (step === "checkpoint") {
          const delta = real.takeDelta(log.length);
          body = delta.body;
          for (const segment of delta.segments) segments.push(segment.bytes);
        } else if (step === "crash") {
          real = admission([stream]);
          const from = body === null ? 0 : real.restore(body, segments.toReversed());
          for (const record of log.slice(from))
            if (record.image.length > 0)
              real.replay(stream.name, { ...record, eventTime: 2, eventId: 1 });
        }
      });
    }),
    { numRuns: 150 },
  );
}, 180_000);
