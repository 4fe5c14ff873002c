// What is merged: whatever the sizes of seals, few generations stay, since each is an open file and a place where an id is looked up.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { GenerationInfo } from "../../src/admit/generation.ts";
import { sealDecision, sealIds } from "../../src/admit/seal-plan.ts";
import { SEAL_MERGE_FAN } from "../../src/limits.ts";

const IDS_MAX = 65_536;
const UNIT = sealIds(IDS_MAX);

const generation = (file: string, ids: number): GenerationInfo => ({
  file,
  stream: "s",
  ids,
  bytes: ids,
  oldestMs: 0,
  newestMs: 0,
});

/** Generations after seals of these many ids each, the oldest first, merged as long as there is something to merge. */
function sealed(sizes: readonly number[]): readonly GenerationInfo[] {
  const generations: GenerationInfo[] = [];
  for (const [at, size] of sizes.entries()) {
    generations.push(generation(`s${at}`, size));
    for (;;) {
      const decision = sealDecision({
        idsMax: IDS_MAX,
        storedIds: 0,
        generations,
        ttlMs: 86_400_000,
        diskBytesMax: Infinity,
        freeBytes: Infinity,
      });
      if (decision.kind !== "merge") break;
      const ids = decision.inputs.reduce((sum, one) => sum + one.ids, 0);
      const [first] = decision.inputs;
      const from = generations.findIndex((one) => one === first);
      generations.splice(from, decision.inputs.length, generation(`m${at}`, ids));
    }
  }
  return generations;
}

test("of any seals of one to nearly four units at most three generations of each level stay", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: UNIT, max: SEAL_MERGE_FAN * UNIT - 1 }), { maxLength: 400 }),
      (sizes) => {
        const units = sizes.reduce((sum, one) => sum + one, 0) / UNIT;
        const levels = 1 + Math.floor(Math.log(Math.max(1, units)) / Math.log(SEAL_MERGE_FAN));
        expect(sealed(sizes).length).toBeLessThanOrEqual((SEAL_MERGE_FAN - 1) * levels);
      },
    ),
  );
});
