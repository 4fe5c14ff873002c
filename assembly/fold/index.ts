// Export list of the `fold` module: every function that the host may call. Twins: kernels/reference/fold.ts (windows, groups, aggregates),
// expression.ts (programs), average.ts, hll.ts.
export { updateStates } from "./aggregate";
export { extract, extractText, listRows, textBytes } from "./extract";
export { findGroups } from "./group";
export { coupon } from "./hash";
export { setColumns } from "./load";
export { initPages, pagesHighest, pagesRestored, pagesUsed, reachPage } from "./pages";
export { setPlace } from "./picked";
export { runProgram } from "./program";
export { assignWindows, closableWindows, closeWindows, createRoot, freeRoot, windowAt } from "./window";

/** The highest min(time, receivedAt) of `n` times at `at`, or `floor` when that is higher. Watermarks move by it. */
export function highestTime(at: u32, n: u32, receivedAt: i64, floor: i64): i64 {
  let highest = floor;
  for (let i: u32 = 0; i < n; i++) highest = max(highest, min(load<i64>(at + (i << 3)), receivedAt));
  return highest;
}
