// The clock that received_at comes from, over readings that the test sets.
import { expect, test } from "bun:test";
import { systemClock, wallClock } from "../../src/base/clock.ts";

const START_US = 1_570_000_000_000_000;

/** A machine whose two clocks are moved by hand, and the clock over them. */
function machine() {
  const at = { wallUs: START_US, monotonicUs: 5_000_000 };
  const clock = systemClock({ wallUs: () => at.wallUs, monotonicUs: () => at.monotonicUs });
  /** Lets time pass as the wall clock and as the monotonic clock have it. */
  const pass = (wallUs: number, monotonicUs: number): number => {
    at.wallUs += wallUs;
    at.monotonicUs += monotonicUs;
    return clock.nowUs() - START_US;
  };
  return { clock, pass };
}

test("the wall clock goes back when it is put back", () => {
  const at = { wallUs: START_US, monotonicUs: 0 };
  const clock = wallClock({ wallUs: () => at.wallUs, monotonicUs: () => at.monotonicUs });
  at.wallUs -= 3_600_000_000;
  expect(clock.nowUs()).toBe(START_US - 3_600_000_000);
});

test("after a suspend the clock jumps to the wall clock, once, and goes on from there", () => {
  const { clock, pass } = machine();
  expect(pass(2_000_000, 2_000_000)).toBe(2_000_000);
  // An hour asleep: the monotonic clock stood still.
  expect(pass(3_600_000_000, 1000)).toBe(3_602_000_000);
  expect(pass(500, 500)).toBe(3_602_000_500);
  expect(clock.monotonicUs()).toBe(7_001_500);
});

test("a wall clock ahead by a second or less is not followed, one that is put back neither", () => {
  const { pass } = machine();
  expect(pass(1_000_000, 0)).toBe(0);
  expect(pass(1, 0)).toBe(1_000_001);
  expect(pass(-86_400_000_000, 250)).toBe(1_000_251);
  expect(pass(1000, 1000)).toBe(1_001_251);
  // Set right again: it is where it was, no jump.
  expect(pass(86_400_000_000, 0)).toBe(1_001_251);
});

test("whatever the wall clock does, the clock never goes back and never waits more than a second behind it", () => {
  const { clock, pass } = machine();
  let lastUs = clock.nowUs() - START_US;
  let wallUs = 0;
  const steps = [0, -5_000_000, 9_000_000, 999_999, 3, -1, 60_000_000, -60_000_000, 1_500_000];
  for (const [nth, step] of [...steps, ...steps].entries()) {
    wallUs += step;
    const us = pass(step, (nth * 7919) % 2_000_000);
    expect(us).toBeGreaterThanOrEqual(lastUs);
    expect(us).toBeGreaterThanOrEqual(wallUs - 1_000_000);
    lastUs = us;
  }
});
