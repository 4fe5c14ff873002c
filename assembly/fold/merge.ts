// Merges the states of one group's row into another's, of the same layout: panes into windows, lower into upper levels of a rollup, two
// sessions that an event joins. Sums of doubles add up in the order of the merges; everything else does not depend on it.
import {
  STATE_COUNT,
  STATE_COUNT_STAR,
  STATE_HLL,
  STATE_MAX_D,
  STATE_MAX_H,
  STATE_MAX_I,
  STATE_MAX_S,
  STATE_MIN_D,
  STATE_MIN_H,
  STATE_MIN_I,
  STATE_MIN_S,
  STATE_SUM_D,
  STATE_SUM_H,
  STATE_SUM_I,
} from "../../kernels/abi";
import { mergeText } from "./aggregate";
import { compareDouble } from "./compare";
import { mergeSketch } from "./hll";
import { isPicked, mergePicked } from "./picked";
import { compare as compareWide } from "./wide";

function addCount(at: u32, from: u32): void {
  store<u64>(at, load<u64>(at) + load<u64>(from));
}

/** Adds a two's complement number of `words` u64, the lowest first. */
function addWords(at: u32, from: u32, words: u32): void {
  let carry: u64 = 0;
  for (let end = at + (words << 3); at < end; at += 8, from += 8) {
    const part = load<u64>(at) + carry;
    const sum = part + load<u64>(from);
    carry = u64(part < carry) | u64(sum < part);
    store<u64>(at, sum);
  }
}

/** Whether the value at `from` goes before (`sign` 1: min) or behind (-1: max) the one at `at`; both have one. */
function replaces(kind: u32, at: u32, from: u32): bool {
  let order: i32 = 0;
  if (kind == STATE_MIN_D || kind == STATE_MAX_D) order = compareDouble(load<f64>(from, 8), load<f64>(at, 8));
  else if (kind == STATE_MIN_I || kind == STATE_MAX_I)
    order = i32(load<i64>(from, 8) > load<i64>(at, 8)) - i32(load<i64>(from, 8) < load<i64>(at, 8));
  else order = compareWide(load<u64>(from, 8), load<i64>(from, 16), load<u64>(at, 8), load<i64>(at, 16));
  const least = kind == STATE_MIN_I || kind == STATE_MIN_D || kind == STATE_MIN_H;
  return least ? order < 0 : order > 0;
}

/** Merges one state at `offset` of row `from` into the same of `row`. The row's page is marked by the caller. */
function mergeState(kind: u32, offset: u32, row: u32, from: u32): void {
  const at = row + offset;
  const other = from + offset;
  if (kind == STATE_COUNT_STAR || kind == STATE_COUNT) addCount(at, other);
  else if (kind == STATE_SUM_I || kind == STATE_SUM_H) {
    addCount(at, other);
    addWords(at + 8, other + 8, kind == STATE_SUM_I ? 2 : 3);
  } else if (kind == STATE_SUM_D) {
    addCount(at, other);
    store<f64>(at, load<f64>(at, 8) + load<f64>(other, 8), 8);
  } else if (kind == STATE_MIN_S || kind == STATE_MAX_S) mergeText(kind, row, offset, other);
  else if (kind == STATE_HLL) mergeSketch(row, at, other);
  else if (isPicked(kind)) mergePicked(kind, row, offset, other);
  else if (load<u64>(other) != 0 && (load<u64>(at) == 0 || replaces(kind, at, other)))
    memory.copy(at, other, kind == STATE_MIN_H || kind == STATE_MAX_H ? 24 : 16);
}

/** Merges the state at `offset` of each of `n` rows at `from` into that of the row at `rows`, u32 addresses. The pages of rows are marked by the caller. */
export function mergeColumn(kind: u32, offset: u32, rows: u32, from: u32, n: u32): void {
  const isCount = kind == STATE_COUNT_STAR || kind == STATE_COUNT;
  for (let at: u32 = 0; at < n << 2; at += 4) {
    const row = load<u32>(rows + at);
    const other = load<u32>(from + at);
    if (isCount) addCount(row + offset, other + offset);
    else mergeState(kind, offset, row, other);
  }
}

/** Merges all states of row `from` into `row`: `count` pairs of u32 kind, u32 offset at `states`. The page of `row` is marked by the caller. */
export function mergeRows(states: u32, count: u32, row: u32, from: u32): void {
  for (let i: u32 = 0; i < count; i++)
    mergeState(load<u32>(states + (i << 3)), load<u32>(states + (i << 3), 4), row, from);
}
