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

/** Sorts `n` timers at `from` by merging, with room for as many at `spare`; returns where they are then, one of both. */
function sortByMerging(from: u32, spare: u32, n: u32): u32 {
  let to = spare;
  for (let width: u32 = 1; width < n; width <<= 1) {
    for (let at: u32 = 0; at < n; at += width << 1) {
      const middle = min(at + width, n);
      const end = min(middle + width, n);
      mergeRuns(from + at * TIMER_BYTES, from + middle * TIMER_BYTES, from + end * TIMER_BYTES, to + at * TIMER_BYTES);
    }
    const sorted = to;
    to = from;
    from = sorted;
  }
  return from;
}

/** Sorts `n` timers in their place: few. */
function sortFew(first: u32, n: u32): void {
  const end = first + n * TIMER_BYTES;
  for (let next = first + TIMER_BYTES; next < end; next += TIMER_BYTES) {
    const timer = v128.load(next);
    const time = load<i64>(next);
    const row = load<u32>(next, 8);
    let at = next;
    for (; at > first; at -= TIMER_BYTES) {
      const before = load<i64>(at - TIMER_BYTES);
      if (before < time || (before == time && load<u32>(at - TIMER_BYTES, 8) < row)) break;
      v128.store(at, v128.load(at - TIMER_BYTES));
    }
    v128.store(at, timer);
  }
}

/** Timers are dealt into at most so many parts by their time; a part of so many is sorted in its place. */
const PARTS_MAX: u32 = 4096;
const FEW: u32 = 16;
/** Where each part ends, u32. */
const ends: u32 = <u32>memory.data(PARTS_MAX * 4);

/** Deals `n` timers at `from` into parts of equal length of time at `to`, then sorts each. */
function sortByParts(from: u32, to: u32, n: u32): void {
  let least = i64.MAX_VALUE;
  let most = i64.MIN_VALUE;
  for (let at = from; at < from + n * TIMER_BYTES; at += TIMER_BYTES) {
    least = min(least, load<i64>(at));
    most = max(most, load<i64>(at));
  }
  // As many parts as timers, about.
  const bits = min(31 - clz(n), 31 - clz(PARTS_MAX));
  const shift = max<i64>(0, 64 - clz(most - least) - bits);
  const parts: u32 = 1 << bits;
  memory.fill(ends, 0, parts << 2);
  for (let at = from; at < from + n * TIMER_BYTES; at += TIMER_BYTES) {
    const end = ends + ((<u32>(<u64>(load<i64>(at) - least) >> shift)) << 2);
    store<u32>(end, load<u32>(end) + 1);
  }
  let begin: u32 = 0;
  for (let end = ends; end < ends + (parts << 2); end += 4) {
    const count = load<u32>(end);
    store<u32>(end, begin);
    begin += count;
  }
  for (let at = from; at < from + n * TIMER_BYTES; at += TIMER_BYTES) {
    const end = ends + ((<u32>(<u64>(load<i64>(at) - least) >> shift)) << 2);
    const place = load<u32>(end);
    v128.store(to + place * TIMER_BYTES, v128.load(at));
    store<u32>(end, place + 1);
  }
  begin = 0;
  for (let part: u32 = 0; part < parts; part++) {
    const first = to + begin * TIMER_BYTES;
    const count = load<u32>(ends + (part << 2)) - begin;
    if (count <= FEW) sortFew(first, count);
    else if (sortByMerging(first, from + begin * TIMER_BYTES, count) != first) memory.copy(first, from + begin * TIMER_BYTES, count * TIMER_BYTES);
    begin += count;
  }
}

/** Sorts the timers that have not come, after some were added. */
export function sortRun(header: u32): void {
  const first = load<u32>(header, SESSION_RUN_FROM_AT);
  const n = load<u32>(header, SESSION_RUN_COUNT_AT) - first;
  const capacity = load<u32>(header, SESSION_RUN_CAPACITY_AT);
  if (capacity == 0) return;
  const old = load<u32>(header, SESSION_RUN_AT);
  const sorted = takeBytes(header, capacity * TIMER_BYTES);
  if (n > 0) sortByParts(old + first * TIMER_BYTES, sorted, n);
  for (let at = sorted; at < sorted + n * TIMER_BYTES; at += FOLD_PAGE_BYTES) touch(at);
  if (n > 0) touch(sorted + n * TIMER_BYTES - 1);
  giveBytes(header, old, capacity * TIMER_BYTES);
  setRun(header, sorted, 0, n, capacity);
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
