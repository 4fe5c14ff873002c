// The timers of the wheel's slot at hand, sorted once when the slot is reached: taking the next is a step in an array, where in a heap it
// is a walk through the levels. Timers that come to the slot later lie in a heap (timers.ts).
import {
  FOLD_PAGE_BYTES,
  SESSION_RUN_AT,
  SESSION_RUN_CAPACITY_AT,
  SESSION_RUN_COUNT_AT,
  SESSION_RUN_FROM_AT,
  TIMER_BYTES,
} from "../../kernels/abi";
import { giveBytes, takeBytes } from "./blocks";
import { touch } from "./pages";

const CAPACITY_LEAST: u32 = 64;

function setRun(header: u32, run: u32, from: u32, count: u32, capacity: u32): void {
  store<u32>(header, run, SESSION_RUN_AT);
  store<u32>(header, from, SESSION_RUN_FROM_AT);
  store<u32>(header, count, SESSION_RUN_COUNT_AT);
  store<u32>(header, capacity, SESSION_RUN_CAPACITY_AT);
  touch(header);
}

/** Puts a timer behind the others; `sortRun` follows before any is taken. */
export function addToRun(header: u32, time: i64, row: u32): void {
  const count = load<u32>(header, SESSION_RUN_COUNT_AT);
  const capacity = load<u32>(header, SESSION_RUN_CAPACITY_AT);
  if (count == capacity) growRun(header, max(capacity << 1, CAPACITY_LEAST));
  const at = load<u32>(header, SESSION_RUN_AT) + count * TIMER_BYTES;
  store<i64>(at, time);
  store<u64>(at, row, 8);
  store<u32>(header, count + 1, SESSION_RUN_COUNT_AT);
}

function growRun(header: u32, capacity: u32): void {
  const old = load<u32>(header, SESSION_RUN_AT);
  const oldCapacity = load<u32>(header, SESSION_RUN_CAPACITY_AT);
  const count = load<u32>(header, SESSION_RUN_COUNT_AT);
  const run = takeBytes(header, capacity * TIMER_BYTES);
  memory.copy(run, old, count * TIMER_BYTES);
  if (old != 0) giveBytes(header, old, oldCapacity * TIMER_BYTES);
  setRun(header, run, load<u32>(header, SESSION_RUN_FROM_AT), count, capacity);
}

/** Whether the timer at a comes before the one at b: by time, then by row. */
export function isBefore(a: u32, b: u32): bool {
  const timeA = load<i64>(a);
  const timeB = load<i64>(b);
  return (timeA < timeB) | ((timeA == timeB) & (load<u32>(a, 8) < load<u32>(b, 8)));
}

/** Merges the sorted timers [a, b) and [b, end) to `to`. Which one goes next is a matter of chance: no branch asks it. */
function mergeRuns(a: u32, b: u32, end: u32, to: u32): void {
  const middle = b;
  while (a < middle && b < end) {
    const step: u32 = u32(isBefore(b, a)) * TIMER_BYTES;
    v128.store(to, v128.load(step != 0 ? b : a));
    to += TIMER_BYTES;
    a += TIMER_BYTES - step;
    b += step;
  }
  memory.copy(to, a, middle - a);
  memory.copy(to + (middle - a), b, end - b);
}

/** Sorts the timers that have not come, after some were added. */
export function sortRun(header: u32): void {
  const first = load<u32>(header, SESSION_RUN_FROM_AT);
  const n = load<u32>(header, SESSION_RUN_COUNT_AT) - first;
  const capacity = load<u32>(header, SESSION_RUN_CAPACITY_AT);
  if (capacity == 0) return;
  const old = load<u32>(header, SESSION_RUN_AT);
  const spare = takeBytes(header, capacity * TIMER_BYTES);
  let from = old + first * TIMER_BYTES;
  let to = spare;
  for (let width: u32 = 1; width < n || from != spare; width <<= 1) {
    for (let at: u32 = 0; at < n; at += width << 1) {
      const middle = min(at + width, n);
      const end = min(middle + width, n);
      mergeRuns(from + at * TIMER_BYTES, from + middle * TIMER_BYTES, from + end * TIMER_BYTES, to + at * TIMER_BYTES);
    }
    const sorted = to;
    to = from;
    from = sorted;
  }
  for (let at = spare; at < spare + n * TIMER_BYTES; at += FOLD_PAGE_BYTES) touch(at);
  if (n > 0) touch(spare + n * TIMER_BYTES - 1);
  giveBytes(header, old, capacity * TIMER_BYTES);
  setRun(header, spare, 0, n, capacity);
}

/** The timer that comes next; 0 when there is none. */
export function firstOfRun(header: u32): u32 {
  const from = load<u32>(header, SESSION_RUN_FROM_AT);
  if (from == load<u32>(header, SESSION_RUN_COUNT_AT)) return 0;
  return load<u32>(header, SESSION_RUN_AT) + from * TIMER_BYTES;
}

/** Takes the timer that comes next out. */
export function stepRun(header: u32): void {
  const from = load<u32>(header, SESSION_RUN_FROM_AT) + 1;
  store<u32>(header, from, SESSION_RUN_FROM_AT);
  touch(header);
  if (from < load<u32>(header, SESSION_RUN_COUNT_AT)) return;
  giveBytes(header, load<u32>(header, SESSION_RUN_AT), load<u32>(header, SESSION_RUN_CAPACITY_AT) * TIMER_BYTES);
  setRun(header, 0, 0, 0, 0);
}
