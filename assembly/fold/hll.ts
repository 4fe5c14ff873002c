// HyperLogLog with lgK = 12 in the modes of Apache DataSketches: a LIST of up to 8 coupons in the row, a SET (open addressing) from 32
// entries doubling above 3/4, from 512 entries on HLL_8 registers. What a sketch holds depends on the set of coupons only, never on
// their order; so does its estimate.
import { HLL_DENSE, ROW_WINDOW_AT } from "../../kernels/abi";
import { touch } from "./pages";
import { allocateBlock, freeBlock } from "./window";

const LIST_MAX: u32 = 8;
const REGISTERS: u32 = 4096;
/** Size class of registers and of the largest SET (128 << size bytes). */
const DENSE_SIZE: u32 = 5;
const SET_SIZE_MAX: u32 = 4;
/** The widest count of leading zeros that a coupon holds, less the one that stands for "at least". */
const Q: u32 = 62;

function entriesOf(size: u32): u32 {
  return <u32>32 << size;
}

/** Size class of a SET of `count` coupons (8 to 384): the least whose entries are at most 3/4 full. It depends on the count only. */
function sizeOf(count: u32): u32 {
  return 32 - clz((count - 1) / 24);
}

/** Number of the first entry of a SET to look at, before it is cut to the size. */
function firstEntry(coupon: u32): u32 {
  return (coupon * 0x9e3779b1) >> 8;
}

/** Address of a word that `addCoupon` will look at first for this coupon. No branch asks what is read here: it may miss the cache. */
export function entryOf(state: u32, coupon: u32): u32 {
  const count = load<u32>(state);
  const block = load<u32>(state, 4);
  const entry = (firstEntry(coupon) & (entriesOf(sizeOf(count)) - 1)) << 2;
  const place = select<u32>(coupon & (REGISTERS - 4), entry, count == HLL_DENSE);
  return select<u32>(state, block + place, block == 0);
}

/** Adds a coupon to a SET; false when it is there. */
function insert(block: u32, entries: u32, coupon: u32): bool {
  const mask = entries - 1;
  const wanted = i32x4.splat(coupon);
  let i = firstEntry(coupon);
  // Four entries at a time, those before the first one left out.
  let rest: u32 = 15 << (i & 3);
  for (; ; i += 4, rest = 15) {
    const four = block + ((i & mask & ~3) << 2);
    const held = v128.load(four);
    if ((i32x4.bitmask(i32x4.eq(held, wanted)) & rest) != 0) return false;
    const free = i32x4.bitmask(i32x4.eq(held, i32x4.splat(0))) & rest;
    if (free == 0) continue;
    const at = four + (ctz(free) << 2);
    store<u32>(at, coupon);
    touch(at);
    return true;
  }
}

function raise(block: u32, coupon: u32): void {
  const at = block + (coupon & (REGISTERS - 1));
  const value = <u8>(coupon >> 26);
  if (load<u8>(at) >= value) return;
  store<u8>(at, value);
  touch(at);
}

function listToSet(state: u32, header: u32): void {
  const block = allocateBlock(header, 0);
  memory.fill(block, 0, 128);
  for (let i: u32 = 0; i < LIST_MAX; i++) insert(block, 32, load<u32>(state + (i << 2), 8));
  memory.fill(state + 8, 0, LIST_MAX << 2);
  store<u32>(state, block, 4);
}

/** The next larger SET, or registers. */
function grow(state: u32, header: u32, size: u32): void {
  const old = load<u32>(state, 4);
  const dense = size == SET_SIZE_MAX;
  const block = allocateBlock(header, size + 1);
  memory.fill(block, 0, 256 << size);
  for (let i: u32 = 0; i < entriesOf(size); i++) {
    const coupon = load<u32>(old + (i << 2));
    if (coupon == 0) continue;
    if (dense) raise(block, coupon);
    else insert(block, entriesOf(size + 1), coupon);
  }
  freeBlock(header, old, size);
  store<u32>(state, block, 4);
  if (dense) store<u32>(state, HLL_DENSE);
}

/** Adds a coupon to the sketch at `state` of a row. The row's page is marked by the caller. */
export function addCoupon(row: u32, state: u32, coupon: u32): void {
  const count = load<u32>(state);
  const block = load<u32>(state, 4);
  if (count == HLL_DENSE) return raise(block, coupon);
  if (block == 0) {
    for (let i: u32 = 0; i < count; i++) if (load<u32>(state + (i << 2), 8) == coupon) return;
    store<u32>(state + (count << 2), coupon, 8);
    store<u32>(state, count + 1);
    if (count + 1 == LIST_MAX) listToSet(state, load<u32>(row, ROW_WINDOW_AT));
    return;
  }
  const size = sizeOf(count);
  if (!insert(block, entriesOf(size), coupon)) return;
  store<u32>(state, count + 1);
  if ((count + 1) * 4 > entriesOf(size) * 3) grow(state, load<u32>(row, ROW_WINDOW_AT), size);
}

/** Bytes of the block of the sketch at `state`, which has one. */
export function sketchBytes(state: u32): u32 {
  const count = load<u32>(state);
  return 128 << (count == HLL_DENSE ? DENSE_SIZE : sizeOf(count));
}

/** Makes the sketch at `state` registers, whatever it was. */
function makeDense(row: u32, state: u32): void {
  const header = load<u32>(row, ROW_WINDOW_AT);
  const count = load<u32>(state);
  const old = load<u32>(state, 4);
  if (count == HLL_DENSE) return;
  const block = allocateBlock(header, DENSE_SIZE);
  memory.fill(block, 0, REGISTERS);
  touch(block);
  const entries = old == 0 ? state + 8 : old;
  const end = entries + ((old == 0 ? LIST_MAX : entriesOf(sizeOf(count))) << 2);
  for (let at = entries; at < end; at += 4) if (load<u32>(at) != 0) raise(block, load<u32>(at));
  if (old == 0) memory.fill(state + 8, 0, LIST_MAX << 2);
  else freeBlock(header, old, sizeOf(count));
  store<u32>(state, HLL_DENSE);
  store<u32>(state, block, 4);
}

/** Merges the sketch at `from` of another row into the one at `state` of `row`. The row's page is marked by the caller. */
export function mergeSketch(row: u32, state: u32, from: u32): void {
  const count = load<u32>(from);
  const block = load<u32>(from, 4);
  if (count == HLL_DENSE) {
    makeDense(row, state);
    const to = load<u32>(state, 4);
    for (let i: u32 = 0; i < REGISTERS; i += 16)
      v128.store(to + i, i8x16.max_u(v128.load(to + i), v128.load(block + i)));
    touch(to);
    return;
  }
  const entries = block == 0 ? from + 8 : block;
  const end = entries + ((block == 0 ? count : entriesOf(sizeOf(count))) << 2);
  for (let at = entries; at < end; at += 4) if (load<u32>(at) != 0) addCoupon(row, state, load<u32>(at));
}

function sigma(x: f64): f64 {
  if (x == 1) return Infinity;
  let y: f64 = 1;
  let z = x;
  let before: f64 = -1;
  while (z != before) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

function tau(x: f64): f64 {
  if (x == 0 || x == 1) return 0;
  let y: f64 = 1;
  let z = 1 - x;
  let before: f64 = -1;
  while (z != before) {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  }
  return z / 3;
}

const counts: u32 = <u32>memory.data(64 * 4);

/** Ertl's improved estimator over registers ("New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6). */
function estimateRegisters(block: u32): f64 {
  const histogram = counts;
  memory.fill(histogram, 0, 256);
  for (let i: u32 = 0; i < REGISTERS; i++) {
    const at = histogram + ((<u32>load<u8>(block + i)) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  const m: f64 = REGISTERS;
  let z = m * tau(1 - <f64>load<u32>(histogram + ((Q + 1) << 2)) / m);
  for (let k = Q; k >= 1; k--) z = 0.5 * (z + <f64>load<u32>(histogram + (k << 2)));
  z += m * sigma(<f64>load<u32>(histogram) / m);
  return (0.7213475204444817 * m * m) / z;
}

/** The estimate as an integer. LIST and SET: linear counting over 2^26 addresses, which up to 384 coupons is their number. */
export function estimate(state: u32): i64 {
  const count = load<u32>(state);
  if (count != HLL_DENSE) return <i64>count;
  return <i64>nearest(estimateRegisters(load<u32>(state, 4)));
}
