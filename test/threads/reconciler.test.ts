// When a view's next unattended reconcile is due.
import { expect, test } from "bun:test";
import { dueInUs } from "../../src/threads/reconciler.ts";

test.each([
  // last, every, now, due in
  [null, 100, 5000, 0],
  [5000, 100, 5000, 100],
  [4950, 100, 5000, 50],
  [4900, 100, 5000, 0],
  [10, 100, 5000, 0],
  // the clock was put back while the process was down
  [6000, 100, 5000, 100],
])("last at %p, every %d, now %d: in %d", (lastUs, everyUs, nowUs, due) => {
  expect(dueInUs({ lastUs, everyUs }, nowUs)).toBe(due);
});
