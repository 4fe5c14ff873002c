// States of aggregates in the rows of groups, updated column by column: first the rows that count for the aggregate (FILTER true,
// argument not NULL), then one tight loop. The pages of rows are marked by `findGroups`.
import {
  ROW_WINDOW_AT,
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
  WORK_ROWS_2_AT,
  WORK_ROWS_AT,
  WORK_SELECTED_2_AT,
  WORK_SELECTED_AT,
} from "../../kernels/abi";
import { readAhead } from "./ahead";
import { compareDouble, compareText } from "./compare";
import { addCoupon, entryOf } from "./hll";
import { isPicked, updatePicked } from "./picked";
import { step, valid, validStep, values } from "./vector";
import { compare as compareWide } from "./wide";
import { replaceText, storeText } from "./window";

let rows: u32 = 0;
let selected: u32 = 0;

/** Sets `rows` and `selected` to the selected rows that count for an aggregate, and returns how many. Registers or -1. */
function select(arg: i32, filter: i32, n: u32): u32 {
  rows = WORK_ROWS_AT;
  selected = WORK_SELECTED_AT;
  const argValid = arg < 0 ? 0 : valid(arg);
  if (filter < 0 && argValid == 0) return n;
  const argStep = arg < 0 ? 0 : validStep(arg);
  const filterAt = filter < 0 ? 0 : values(filter);
  const filterStep = filter < 0 ? 0 : step(filter);
  const filterValid = filter < 0 ? 0 : valid(filter);
  const filterValidStep = filter < 0 ? 0 : validStep(filter);
  let m: u32 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const i = load<u32>(WORK_SELECTED_AT + (j << 2));
    store<u32>(WORK_SELECTED_2_AT + (m << 2), i);
    store<u32>(WORK_ROWS_2_AT + (m << 2), load<u32>(WORK_ROWS_AT + (j << 2)));
    let takes: u32 = 1;
    if (argValid != 0) takes = load<u8>(argValid + i * argStep);
    if (filterAt != 0) takes &= load<u8>(filterAt + i * filterStep);
    if (filterValid != 0) takes &= load<u8>(filterValid + i * filterValidStep);
    m += takes;
  }
  rows = WORK_ROWS_2_AT;
  selected = WORK_SELECTED_2_AT;
  return m;
}

function count(offset: u32, n: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + offset;
    store<u64>(at, load<u64>(at) + 1);
  }
}

function sumIntegers(offset: u32, arg: u32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + offset;
    const value = load<i64>(from + load<u32>(selected + (j << 2)) * width);
    const sum = load<u64>(at, 8) + <u64>value;
    store<u64>(at, load<u64>(at) + 1);
    store<i64>(at, load<i64>(at, 16) + (value >> 63) + i64(sum < <u64>value), 16);
    store<u64>(at, sum, 8);
  }
}

function sumWides(offset: u32, arg: u32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + offset;
    const value = from + load<u32>(selected + (j << 2)) * width;
    const vHigh = load<i64>(value, 8);
    const sum0 = load<u64>(at, 8) + load<u64>(value);
    const carry0 = u64(sum0 < load<u64>(value));
    const part = load<u64>(at, 16) + <u64>vHigh;
    const sum1 = part + carry0;
    const carry1 = i64(part < <u64>vHigh) + i64(sum1 < part);
    store<u64>(at, load<u64>(at) + 1);
    store<u64>(at, sum0, 8);
    store<u64>(at, sum1, 16);
    store<i64>(at, load<i64>(at, 24) + (vHigh >> 63) + carry1, 24);
  }
}

function sumDoubles(offset: u32, arg: u32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + offset;
    store<u64>(at, load<u64>(at) + 1);
    store<f64>(at, load<f64>(at, 8) + load<f64>(from + load<u32>(selected + (j << 2)) * width), 8);
  }
}

/** min (`sign` 1) and max (`sign` -1) of 8-byte values. */
function extremes8(offset: u32, arg: u32, double: bool, sign: i32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + offset;
    const value = from + load<u32>(selected + (j << 2)) * width;
    if (load<u64>(at) != 0) {
      let order: i32 = 0;
      if (double) order = compareDouble(load<f64>(value), load<f64>(at, 8));
      else order = i32(load<i64>(value) > load<i64>(at, 8)) - i32(load<i64>(value) < load<i64>(at, 8));
      if (order * sign >= 0) continue;
    }
    store<u64>(at, 1);
    store<u64>(at, load<u64>(value), 8);
  }
}

function extremesWide(offset: u32, arg: u32, sign: i32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + offset;
    const value = from + load<u32>(selected + (j << 2)) * width;
    const l = load<u64>(value);
    const h = load<i64>(value, 8);
    if (load<u64>(at) != 0 && compareWide(l, h, load<u64>(at, 8), load<i64>(at, 16)) * sign >= 0) continue;
    store<u64>(at, 1);
    store<u64>(at, l, 8);
    store<i64>(at, h, 16);
  }
}

/** Replaces the text of a min (`sign` 1) or max (-1) at `offset` of a row when `text` goes before (behind) it. */
function extremeText(row: u32, offset: u32, sign: i32, text: u32, bytes: u32): void {
  const at = row + offset;
  if (load<u32>(at) != 0 && compareText(text, bytes, load<u32>(at, 12), load<u32>(at, 4)) * sign >= 0) return;
  store<u32>(at, 1);
  store<u32>(at, bytes, 4);
  if (bytes > load<u32>(at, 8)) {
    // Room for twice the old text at least: what replaced texts leave behind stays below the size of the last one.
    const capacity = max(bytes, max(<u32>16, load<u32>(at, 8) << 1));
    const room = replaceText(load<u32>(row, ROW_WINDOW_AT), load<u32>(at, 12), load<u32>(at, 8), capacity);
    store<u32>(at, capacity, 8);
    store<u32>(at, room, 12);
  }
  if (bytes > 0) storeText(load<u32>(at, 12), text, bytes);
}

function extremesText(offset: u32, arg: u32, sign: i32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  for (let j: u32 = 0; j < n; j++) {
    const value = from + load<u32>(selected + (j << 2)) * width;
    extremeText(load<u32>(rows + (j << 2)), offset, sign, load<u32>(value), load<u32>(value, 4));
  }
}

/** Merges the min or max of text at `from` of another row into the one at `offset` of `row`. */
export function mergeText(kind: u32, row: u32, offset: u32, from: u32): void {
  if (load<u32>(from) == 0) return;
  extremeText(row, offset, kind == STATE_MIN_S ? 1 : -1, load<u32>(from, 12), load<u32>(from, 4));
}

/** Rows whose sketches are read ahead together: their cache misses overlap. */
const TILE: u32 = 512;
/** What each of them reads first, u32 addresses. */
const entries: u32 = <u32>memory.data(TILE * 4);

/** First what every row will read is found, then it is read by a loop that does nothing else: many misses go on at a time. */
function coupons(offset: u32, arg: u32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  for (let first: u32 = 0; first < n; first += TILE) {
    const end = min(first + TILE, n);
    for (let j = first; j < end; j++) {
      const coupon = load<u32>(from + load<u32>(selected + (j << 2)) * width);
      store<u32>(entries + ((j - first) << 2), entryOf(load<u32>(rows + (j << 2)) + offset, coupon));
    }
    readAhead(entries, end - first, 0);
    for (let j = first; j < end; j++) {
      const row = load<u32>(rows + (j << 2));
      addCoupon(row, row + offset, load<u32>(from + load<u32>(selected + (j << 2)) * width));
    }
  }
}

/** Adds the `n` selected rows to the states of `kind` at `offset` of their groups. `arg` and `filter` are registers or -1. */
export function updateStates(kind: u32, offset: u32, arg: i32, filter: i32, n: u32): void {
  const m = select(kind == STATE_COUNT_STAR || isPicked(kind) ? -1 : arg, filter, n);
  if (kind == STATE_COUNT_STAR || kind == STATE_COUNT) count(offset, m);
  else if (kind == STATE_SUM_I) sumIntegers(offset, arg, m);
  else if (kind == STATE_SUM_H) sumWides(offset, arg, m);
  else if (kind == STATE_SUM_D) sumDoubles(offset, arg, m);
  else if (kind == STATE_MIN_I || kind == STATE_MAX_I)
    extremes8(offset, arg, false, kind == STATE_MIN_I ? 1 : -1, m);
  else if (kind == STATE_MIN_D || kind == STATE_MAX_D)
    extremes8(offset, arg, true, kind == STATE_MIN_D ? 1 : -1, m);
  else if (kind == STATE_MIN_H || kind == STATE_MAX_H)
    extremesWide(offset, arg, kind == STATE_MIN_H ? 1 : -1, m);
  else if (kind == STATE_MIN_S || kind == STATE_MAX_S)
    extremesText(offset, arg, kind == STATE_MIN_S ? 1 : -1, m);
  else if (kind == STATE_HLL) coupons(offset, arg, m);
  else if (isPicked(kind)) updatePicked(kind, offset, arg, rows, selected, m);
}
