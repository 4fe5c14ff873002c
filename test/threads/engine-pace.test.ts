// The pace of catching up in a model of the engine's thread: bodies come at a rate and cost time, the rest is pieces or nothing.
import { expect, test } from "bun:test";
import { CatchUpPace } from "../../src/threads/engine-pace.ts";

/** Bodies that the engine takes at most before it looks at anything else: one for each of its images. */
const TURN_BODIES = 12;

/** A second of a thread that takes `bodies` bodies of one record each. Gives records caught up, and the share of time that it took. */
function second(load: {
  readonly bodies: number;
  readonly bodyUs: number;
  readonly recordUs: number;
}): { readonly taken: number; readonly folded: number; readonly share: number } {
  const pace = new CatchUpPace(0);
  let nowUs = 0;
  let taken = 0;
  let folded = 0;
  let caughtUpUs = 0;
  while (nowUs < 1_000_000) {
    const due = Math.floor((nowUs * load.bodies) / 1_000_000);
    const most = taken + TURN_BODIES;
    for (; taken < Math.min(due, most); taken++) {
      const beganUs = nowUs;
      nowUs += load.bodyUs;
      pace.tookBodies(beganUs, nowUs);
      pace.durable(1, nowUs);
    }
    if (pace.mayGoOn(nowUs)) {
      const records = Math.max(1, Math.floor(pace.pieceUs(nowUs) / load.recordUs));
      const beganUs = nowUs;
      nowUs += records * load.recordUs;
      pace.caughtUp(records, beganUs, nowUs);
      folded += records;
      caughtUpUs += nowUs - beganUs;
    } else nowUs += 1000;
  }
  return { taken, folded, share: caughtUpUs / nowUs };
}

test("nobody else: all of the time", () => {
  expect(second({ bodies: 0, bodyUs: 0, recordUs: 200 }).share).toBeGreaterThan(0.95);
});

test("a few bodies take little from it", () => {
  expect(second({ bodies: 20, bodyUs: 400, recordUs: 200 }).share).toBeGreaterThan(0.9);
});

test("many bodies: twice their rate, and time is left for others", () => {
  const { folded, share } = second({ bodies: 500, bodyUs: 500, recordUs: 200 });
  expect(folded).toBeGreaterThanOrEqual(2 * 500 * 0.95);
  expect(share).toBeLessThan(0.35);
});

test("records that cost a lot: twice the rate, whatever share that takes", () => {
  const { folded, share } = second({ bodies: 300, bodyUs: 500, recordUs: 1000 });
  expect(folded).toBeGreaterThanOrEqual(2 * 300 * 0.95);
  expect(share).toBeLessThan(0.7);
});

test("more bodies than it can take: views do not fall behind further", () => {
  const { taken, folded } = second({ bodies: 10_000, bodyUs: 500, recordUs: 250 });
  expect(taken).toBeGreaterThan(500);
  expect(folded).toBeGreaterThan(1.25 * taken);
});

test("a pause is over: what came before it does not count", () => {
  const pace = new CatchUpPace(0);
  pace.tookBodies(0, 100_000);
  pace.caughtUp(100, 100_000, 150_000);
  expect(pace.mayGoOn(150_000)).toBe(false);
  pace.durable(0, 10_000_000);
  expect(pace.mayGoOn(10_000_000)).toBe(true);
});
