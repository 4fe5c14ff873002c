// Work by steps in slices: as much at a stretch as there is time for, so that bodies that have come do not wait for all of it.
import type { Clock } from "../base/clock.ts";

/** Longest time at a stretch, µs; the step that ends it comes on top. */
const SLICE_US = 3000;

/** What a slice came to. */
export interface Slice<Result> {
  /** Null: there are steps left. */
  readonly result: Result | null;
  readonly tookUs: number;
}

/** Takes steps until the last one or until the time for a slice is over. */
export function takeSlice<Result extends object>(
  steps: Iterator<void, Result>,
  clock: Clock,
): Slice<Result> {
  const beganUs = clock.monotonicUs();
  for (;;) {
    const { done, value } = steps.next();
    const tookUs = clock.monotonicUs() - beganUs;
    if (done === true) return { result: value, tookUs };
    if (tookUs >= SLICE_US) return { result: null, tookUs };
  }
}
