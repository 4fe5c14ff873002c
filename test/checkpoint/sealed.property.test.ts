// Duplicates over memory, sealed generations and merges, across checkpoints and crashes at every step: the verdicts of a Map.
import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { ReferenceAdmission } from "../../kernels/reference/admit.ts";
import type { StreamSettings } from "../../src/admit/stream-block.ts";
import { SETTINGS, type TestEvent } from "../admit/fixture.ts";
import { SealedRig } from "./sealed-fixture.ts";

setDefaultTimeout(120_000);

const START_US = 1_570_000_000_000_000;

type Step =
  | {
      readonly kind: "admit";
      readonly isRound: boolean;
      readonly ids: readonly number[];
      readonly stepMs: number;
    }
  | { readonly kind: "checkpoint" }
  | { readonly kind: "crash" }
  | { readonly kind: "seal"; readonly steps: number };

const admitStep = fc.record({
  kind: fc.constant("admit" as const),
  /** With a checkpoint after it, and all that can be sealed then. */
  isRound: fc.boolean(),
  ids: fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 40 }),
  stepMs: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 30 }) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }) },
  ),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: admitStep },
  { weight: 1, arbitrary: fc.constant({ kind: "checkpoint" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("seal" as const),
      steps: fc.integer({ min: 1, max: 200 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "crash" as const }) },
);

const settings: fc.Arbitrary<StreamSettings> = fc
  .record({
    ttlMs: fc.oneof(fc.integer({ min: 50, max: 400 }), fc.integer({ min: 2000, max: 60_000 })),
    idsMax: fc.integer({ min: 40, max: 200 }),
  })
  .map(({ ttlMs, idsMax }) => ({ ...SETTINGS, dedupTtlUs: ttlMs * 1000, idsMax }));

const seen = { sealed: 0, merged: 0, duplicates: 0 };

function run(stream: StreamSettings, steps: readonly Step[]): void {
  const rig = new SealedRig(stream);
  try {
    const twin = new ReferenceAdmission(stream);
    let receivedAtUs = START_US;
    for (const next of steps) {
      if (next.kind === "checkpoint") rig.checkpoint();
      else if (next.kind === "seal") rig.seal(next.steps);
      else if (next.kind === "crash") rig.restart();
      else {
        receivedAtUs += next.stepMs * 1000;
        const events = next.ids.map((id): TestEvent => ({
          id: `e${id}`,
          time: BigInt(receivedAtUs),
        }));
        const result = rig.admit(events, receivedAtUs);
        // 503: nothing has changed
        if (!result.full) {
          const expected = events.map(
            ({ id, time }) => twin.admit({ id, time }, receivedAtUs).verdict,
          );
          expect([...result.verdicts]).toEqual(expected);
          seen.duplicates += result.duplicates;
        }
        if (next.isRound) {
          rig.checkpoint();
          rig.seal();
        }
      }
      if (rig.admission.idTable(stream.name).sealedIds > 0) seen.sealed++;
    }
  } finally {
    seen.merged += rig.merges;
    rig.close();
  }
}

test("sealed, merged, dropped, killed: the verdicts are those of a Map, exact to the ms", () => {
  fc.assert(fc.property(settings, fc.array(step, { minLength: 30, maxLength: 160 }), run), {
    numRuns: 60,
  });
  expect(seen.sealed).toBeGreaterThan(100);
  expect(seen.merged).toBeGreaterThan(5);
  expect(seen.duplicates).toBeGreaterThan(1000);
});
