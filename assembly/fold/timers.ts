// When sessions close: a wheel of slots by time, and for the slot at hand a sorted run (timer-run.ts), with a heap for what comes to it
// later. A row has one timer. It is not moved when its session grows: a timer that comes finds the row's end and is filed again. So an
// event costs nothing here, and a session a few steps.
import {
  FOLD_PAGE_BYTES,
  SESSION_BASE_AT,
  SESSION_GRAIN_AT,
  SESSION_HEAP_AT,
  SESSION_HEAP_CAPACITY_AT,
  SESSION_HEAP_COUNT_AT,
  SESSION_WHEEL_AT,
  SESSION_WHEEL_COUNT_AT,
  TIMER_BYTES,
  WHEEL_BLOCK_BYTES,
  WHEEL_BLOCK_ROWS,
  WHEEL_SLOTS,
} from "../../kernels/abi";
import { giveBytes, takeBytes } from "./blocks";
import { floorDivide } from "./calendar";
import { touch } from "./pages";
import { addToRun, firstOfRun, isBefore, sortRun, stepRun } from "./timer-run";

const CAPACITY_LEAST: u32 = 64;

function slotHead(header: u32, slot: i64): u32 {
  return header + SESSION_WHEEL_AT + ((<u32>slot & (WHEEL_SLOTS - 1)) << 2);
}

function pushWheel(header: u32, slot: i64, row: u32): void {
  const head = slotHead(header, slot);
  let block = load<u32>(head);
  if (block == 0 || load<u32>(block, 4) == WHEEL_BLOCK_ROWS) {
    const fresh = takeBytes(header, WHEEL_BLOCK_BYTES);
    store<u32>(fresh, block);
    store<u32>(fresh, 0, 4);
    store<u32>(head, fresh);
    block = fresh;
  }
  const count = load<u32>(block, 4);
  store<u32>(block + (count << 2), row, 8);
  store<u32>(block, count + 1, 4);
  store<u32>(header, load<u32>(header, SESSION_WHEEL_COUNT_AT) + 1, SESSION_WHEEL_COUNT_AT);
  touch(block);
  touch(header);
}

function put(at: u32, time: i64, row: u32): void {
  store<i64>(at, time);
  store<u64>(at, row, 8);
  touch(at);
}

function growHeap(header: u32, count: u32): u32 {
  const old = load<u32>(header, SESSION_HEAP_AT);
  const capacity = load<u32>(header, SESSION_HEAP_CAPACITY_AT);
  const grown = max(capacity << 1, CAPACITY_LEAST);
  const heap = takeBytes(header, grown * TIMER_BYTES);
  memory.copy(heap, old, count * TIMER_BYTES);
  const end = heap + count * TIMER_BYTES;
  for (let at = heap; at < end; at += FOLD_PAGE_BYTES) touch(at);
  touch(end);
  if (old != 0) giveBytes(header, old, capacity * TIMER_BYTES);
  store<u32>(header, heap, SESSION_HEAP_AT);
  store<u32>(header, grown, SESSION_HEAP_CAPACITY_AT);
  return heap;
}

function pushHeap(header: u32, time: i64, row: u32): void {
  const count = load<u32>(header, SESSION_HEAP_COUNT_AT);
  let heap = load<u32>(header, SESSION_HEAP_AT);
  if (count == load<u32>(header, SESSION_HEAP_CAPACITY_AT)) heap = growHeap(header, count);
  let index = count;
  put(heap + index * TIMER_BYTES, time, row);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    const at = heap + index * TIMER_BYTES;
    const above = heap + parent * TIMER_BYTES;
    if (!isBefore(at, above)) break;
    put(at, load<i64>(above), load<u32>(above, 8));
    put(above, time, row);
    index = parent;
  }
  store<u32>(header, count + 1, SESSION_HEAP_COUNT_AT);
  touch(header);
}

/** Row of the earliest timer of the slot at hand if its time is before `watermark`, and takes it out; else 0. */
export function popTimer(header: u32, watermark: i64): u32 {
  const count = load<u32>(header, SESSION_HEAP_COUNT_AT);
  const heap = load<u32>(header, SESSION_HEAP_AT);
  const next = firstOfRun(header);
  if (next != 0 && (count == 0 || isBefore(next, heap))) {
    if (load<i64>(next) >= watermark) return 0;
    const row = load<u32>(next, 8);
    stepRun(header);
    return row;
  }
  return count == 0 || load<i64>(heap) >= watermark ? 0 : popHeap(header, heap, count - 1);
}

/** Takes the earliest timer out of the heap, in which `count` others stay; returns its row. */
function popHeap(header: u32, heap: u32, count: u32): u32 {
  const row = load<u32>(heap, 8);
  store<u32>(header, count, SESSION_HEAP_COUNT_AT);
  touch(header);
  if (count == 0) {
    const capacity = load<u32>(header, SESSION_HEAP_CAPACITY_AT);
    giveBytes(header, heap, capacity * TIMER_BYTES);
    store<u32>(header, 0, SESSION_HEAP_AT);
    store<u32>(header, 0, SESSION_HEAP_CAPACITY_AT);
    return row;
  }
  const last = heap + count * TIMER_BYTES;
  let index: u32 = 0;
  for (;;) {
    let child = (index << 1) + 1;
    if (child >= count) break;
    let at = heap + child * TIMER_BYTES;
    if (child + 1 < count && isBefore(at + TIMER_BYTES, at)) {
      child++;
      at += TIMER_BYTES;
    }
    if (!isBefore(at, last)) break;
    put(heap + index * TIMER_BYTES, load<i64>(at), load<u32>(at, 8));
    index = child;
  }
  put(heap + index * TIMER_BYTES, load<i64>(last), load<u32>(last, 8));
  return row;
}

/** The timer of a row: it comes once the watermark is beyond `time`, exactly. */
export function fileTimer(header: u32, time: i64, row: u32): void {
  const slot = floorDivide(time, load<i64>(header, SESSION_GRAIN_AT));
  let base = load<i64>(header, SESSION_BASE_AT);
  if (base == i64.MIN_VALUE) {
    // No watermark yet. Whatever the first one is: the heap takes what is before the slot at hand.
    base = slot - WHEEL_SLOTS / 4;
    store<i64>(header, base, SESSION_BASE_AT);
  }
  if (slot <= base) pushHeap(header, time, row);
  else pushWheel(header, min(slot, base + WHEEL_SLOTS - 1), row);
}

/** Timers were added to the run that is to be sorted. */
let added: bool = false;

/** As `fileTimer`, for a timer whose slot of the wheel has come; `sortTimers` follows. */
export function fileAgain(header: u32, time: i64, row: u32): void {
  const slot = floorDivide(time, load<i64>(header, SESSION_GRAIN_AT));
  const base = load<i64>(header, SESSION_BASE_AT);
  if (slot > base) return pushWheel(header, min(slot, base + WHEEL_SLOTS - 1), row);
  addToRun(header, time, row);
  added = true;
}

/** Ends what `turnWheel` began. */
export function sortTimers(header: u32): void {
  if (added) sortRun(header);
  added = false;
}

/** Like `fileTimer`, but it may come a slot later, and never from the heap. */
export function fileLater(header: u32, time: i64, row: u32): void {
  const base = load<i64>(header, SESSION_BASE_AT);
  const slot = floorDivide(time, load<i64>(header, SESSION_GRAIN_AT)) + 1;
  pushWheel(header, min(max(slot, base + 1), base + WHEEL_SLOTS - 1), row);
}

/** Blocks of the slot at hand that are to be given out, and slots of the wheel that are to be taken, from the one after `walked` on. */
let slotBlock: u32 = 0;
let walked: i64 = 0;
let left: i64 = 0;

/** Begins to move the wheel to the slot of `watermark`; `nextTimers` then gives the rows of all slots up to it. False when it is there. */
export function turnWheel(header: u32, watermark: i64): bool {
  const base = load<i64>(header, SESSION_BASE_AT);
  const target = floorDivide(watermark, load<i64>(header, SESSION_GRAIN_AT));
  slotBlock = 0;
  left = 0;
  if (base == i64.MIN_VALUE || target == base) return false;
  // A first guess was ahead: a slot that is taken too early does no harm.
  walked = min(base, target);
  left = min(target - walked, <i64>WHEEL_SLOTS);
  store<i64>(header, target, SESSION_BASE_AT);
  touch(header);
  return true;
}

/**
 * A block (u32 next, u32 count, rows) of rows whose timers' slots were reached, 0 when there are no more. The caller files each row again
 * or is done with it, then gives the block back by `giveTimers`.
 */
export function nextTimers(header: u32): u32 {
  while (slotBlock == 0 && left != 0 && load<u32>(header, SESSION_WHEEL_COUNT_AT) != 0) {
    left--;
    walked++;
    const head = slotHead(header, walked);
    slotBlock = load<u32>(head);
    store<u32>(head, 0);
    touch(header);
  }
  const block = slotBlock;
  if (block != 0) slotBlock = load<u32>(block);
  return block;
}

export function giveTimers(header: u32, block: u32): void {
  const count = load<u32>(header, SESSION_WHEEL_COUNT_AT) - load<u32>(block, 4);
  store<u32>(header, count, SESSION_WHEEL_COUNT_AT);
  giveBytes(header, block, WHEEL_BLOCK_BYTES);
}
