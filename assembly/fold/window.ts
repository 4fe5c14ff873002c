// Windows of a view: which window a row falls into, which rows are late or filtered, which windows are open; and memory inside a
// window: rows in order of arrival, text, blocks for sketches. A window owns a chain of pages that is freed at once.
import {
  FOLD_PAGE_BYTES,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  RESULT_LATE_AT,
  ROOT_CAPACITY_AT,
  ROOT_CHAIN_AT,
  ROOT_LIST_ADDRESS_AT,
  ROOT_LIST_AT,
  ROOT_LIST_CHAIN_AT,
  ROOT_WINDOWS_AT,
  ROW_WINDOW_AT,
  WINDOW_APPLIED_AT,
  WINDOW_BLOCKS_AT,
  WINDOW_CHAIN_AT,
  WINDOW_DEPTH_AT,
  WINDOW_DIRECTORY_AT,
  WINDOW_END_AT,
  WINDOW_ENTRY_BYTES,
  WINDOW_FIRST_BUCKET_AT,
  WINDOW_LAST_SEGMENT_AT,
  WINDOW_PAGES_AT,
  WINDOW_SEGMENT_AT,
  WINDOW_START_AT,
  WINDOW_TEXT_AT,
  WINDOW_TEXT_END_AT,
  WINDOW_VERSION_AT,
  WORK_ERRORS_AT,
  WORK_RESULT_AT,
  WORK_SELECTED_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi";
import { giveBytes, isHeap, takeBytes } from "./blocks";
import { floorDivide } from "./calendar";
import { allocatePages, freeChain, touch } from "./pages";
import { isValid, own, copyValid, step, values } from "./vector";

/** Start of the window of t; the lowest window starts at the lowest time. */
export function startOf(t: i64, size: i64): i64 {
  const rest = t % size;
  const down = rest < 0 ? rest + size : rest;
  return t < i64.MIN_VALUE + down ? i64.MIN_VALUE : t - down;
}

/** Exclusive end of the window of t; the highest window ends at the highest time. */
export function endOf(t: i64, size: i64): i64 {
  const rest = t % size;
  const up = size - (rest < 0 ? rest + size : rest);
  return t > i64.MAX_VALUE - up ? i64.MAX_VALUE : t + up;
}

/** dst = start (or end) of the window of each time in a. */
export function windowBounds(dst: u32, a: u32, ends: bool, size: i64, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  copyValid(dst, a, n);
  for (let i: u32 = 0; i < n; i++, at += stepA)
    store<i64>(to + (i << 3), ends ? endOf(load<i64>(at), size) : startOf(load<i64>(at), size));
}

/** Makes the root page of a view and returns its address. */
export function createRoot(): u32 {
  store<u32>(WORK_RESULT_AT, 0);
  const root = allocatePages(1, WORK_RESULT_AT);
  memory.fill(root, 0, FOLD_PAGE_BYTES);
  store<u32>(root, load<u32>(WORK_RESULT_AT), ROOT_CHAIN_AT);
  store<u32>(root, root + ROOT_LIST_AT, ROOT_LIST_ADDRESS_AT);
  store<u32>(root, (FOLD_PAGE_BYTES - ROOT_LIST_AT) / WINDOW_ENTRY_BYTES, ROOT_CAPACITY_AT);
  return root;
}

/** Frees a view: its windows and its root. */
export function freeRoot(root: u32): void {
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  for (let i: u32 = 0; i < load<u32>(root, ROOT_WINDOWS_AT); i++)
    freeChain(load<u32>(windowOf(list, i), WINDOW_CHAIN_AT));
  freeChain(load<u32>(root, ROOT_LIST_CHAIN_AT));
  freeChain(load<u32>(root, ROOT_CHAIN_AT));
}

/** Index of the first window of the list that starts at `start` or later. */
function position(root: u32, start: i64): u32 {
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  let from: u32 = 0;
  let to = load<u32>(root, ROOT_WINDOWS_AT);
  while (from < to) {
    const middle = (from + to) >> 1;
    if (load<i64>(list + middle * WINDOW_ENTRY_BYTES) < start) from = middle + 1;
    else to = middle;
  }
  return from;
}

function growList(root: u32): void {
  const old = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  const oldChain = load<u32>(root, ROOT_LIST_CHAIN_AT);
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  const capacity = load<u32>(root, ROOT_CAPACITY_AT) << 1;
  const pages = (capacity * WINDOW_ENTRY_BYTES + FOLD_PAGE_BYTES - 1) / FOLD_PAGE_BYTES;
  store<u32>(root, 0, ROOT_LIST_CHAIN_AT);
  const list = allocatePages(pages, root + ROOT_LIST_CHAIN_AT);
  memory.copy(list, old, count * WINDOW_ENTRY_BYTES);
  store<u32>(root, list, ROOT_LIST_ADDRESS_AT);
  store<u32>(root, (pages * FOLD_PAGE_BYTES) / WINDOW_ENTRY_BYTES, ROOT_CAPACITY_AT);
  freeChain(oldChain);
}

/** Marks the entries of the list from index `from` on as changed. */
function touchList(root: u32, from: u32): void {
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  touch(root);
  const end = list + load<u32>(root, ROOT_WINDOWS_AT) * WINDOW_ENTRY_BYTES;
  let at = list + from * WINDOW_ENTRY_BYTES;
  for (; at < end; at += FOLD_PAGE_BYTES) touch(at);
  if (end > list) touch(end - 1);
}

function createWindow(start: i64, end: i64): u32 {
  store<u32>(WORK_RESULT_AT, 0, 64);
  const header = allocatePages(1, WORK_RESULT_AT + 64);
  memory.fill(header, 0, WINDOW_SEGMENT_AT + 8);
  store<i64>(header, start, WINDOW_START_AT);
  store<i64>(header, end, WINDOW_END_AT);
  store<u32>(header, load<u32>(WORK_RESULT_AT, 64), WINDOW_CHAIN_AT);
  store<u32>(header, 1, WINDOW_PAGES_AT);
  store<u32>(header, header + WINDOW_SEGMENT_AT, WINDOW_LAST_SEGMENT_AT);
  store<u32>(header, header + WINDOW_FIRST_BUCKET_AT, WINDOW_DIRECTORY_AT);
  store<u32>(header, 0, WINDOW_DEPTH_AT);
  const bucket = windowPages(header, 1);
  memory.fill(bucket, 0, FOLD_PAGE_BYTES);
  store<u32>(header, bucket, WINDOW_FIRST_BUCKET_AT);
  return header;
}

/** Header of the window that starts at `start`, made when it is not open. */
export function openWindow(root: u32, start: i64, end: i64): u32 {
  const at = position(root, start);
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  let entry = load<u32>(root, ROOT_LIST_ADDRESS_AT) + at * WINDOW_ENTRY_BYTES;
  if (at < count && load<i64>(entry) == start) return load<u32>(entry, 8);
  if (count == load<u32>(root, ROOT_CAPACITY_AT)) {
    growList(root);
    entry = load<u32>(root, ROOT_LIST_ADDRESS_AT) + at * WINDOW_ENTRY_BYTES;
  }
  const header = createWindow(start, end);
  memory.copy(entry + WINDOW_ENTRY_BYTES, entry, (count - at) * WINDOW_ENTRY_BYTES);
  store<i64>(entry, start);
  store<u64>(entry, header, 8);
  store<u32>(root, count + 1, ROOT_WINDOWS_AT);
  touchList(root, at);
  return header;
}

/** How many windows, the oldest first, end at or before `watermark`. */
export function closableWindows(root: u32, watermark: i64): u32 {
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  let n: u32 = 0;
  while (n < count && load<i64>(windowOf(list, n), WINDOW_END_AT) <= watermark) n++;
  return n;
}

function windowOf(list: u32, index: u32): u32 {
  return load<u32>(list + index * WINDOW_ENTRY_BYTES, 8);
}

/** Header of a view's window by its index, the oldest first. */
export function windowAt(root: u32, index: u32): u32 {
  return windowOf(load<u32>(root, ROOT_LIST_ADDRESS_AT), index);
}

/** Frees the oldest `n` windows: the caller has taken their rows. */
export function closeWindows(root: u32, n: u32): void {
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  for (let i: u32 = 0; i < n; i++) freeChain(load<u32>(windowOf(list, i), WINDOW_CHAIN_AT));
  touchList(root, 0);
  memory.copy(list, list + n * WINDOW_ENTRY_BYTES, (count - n) * WINDOW_ENTRY_BYTES);
  store<u32>(root, count - n, ROOT_WINDOWS_AT);
}

/**
 * Sorts the `n` rows of a chunk: rows without a true filter are counted as filtered, rows with time + behind >= the window's end as late
 * (their numbers in the record go to `lateTo`), the others are selected with their windows. `behind` is the address of the chunk's
 * first value or 0; `filter` is a register or -1; `firstRow` the number of the chunk's first row. Returns the count selected.
 */
export function assignWindows(root: u32, time: u32, behind: u32, filter: i32, size: i64, n: u32, firstRow: u32, lateTo: u32): u32 {
  let filtered: u32 = 0;
  let late: u32 = 0;
  let failed: u32 = 0;
  let selected: u32 = 0;
  let header: u32 = 0;
  let start: i64 = 0;
  let end: i64 = 0;
  const times = values(time);
  const filterAt = filter < 0 ? 0 : values(filter);
  const filterStep = filter < 0 ? 0 : step(filter);
  for (let i: u32 = 0; i < n; i++) {
    if (filter >= 0 && (load<u8>(filterAt + i * filterStep) == 0 || !isValid(filter, i))) {
      filtered++;
      continue;
    }
    const t = load<i64>(times + (i << 3));
    const same = t >= start && t < end;
    const rowEnd = same ? end : endOf(t, size);
    if (behind != 0) {
      const b = load<i64>(behind + (i << 3));
      if (b > 0 && (t > i64.MAX_VALUE - b || t + b >= rowEnd)) {
        store<u32>(lateTo + (late << 2), firstRow + i);
        late++;
        continue;
      }
    }
    if (!same || header == 0) {
      start = startOf(t, size);
      end = rowEnd;
      header = openWindow(root, start, end);
      store<u32>(header, load<u32>(header, WINDOW_VERSION_AT) + 1, WINDOW_VERSION_AT);
      touch(header);
    }
    store<u32>(WORK_SELECTED_AT + (selected << 2), i);
    store<u32>(WORK_WINDOWS_AT + (selected << 2), header);
    selected++;
    if (load<u8>(WORK_ERRORS_AT + i) != 0) failed++;
    else store<u64>(header, load<u64>(header, WINDOW_APPLIED_AT) + 1, WINDOW_APPLIED_AT);
  }
  store<u32>(WORK_RESULT_AT, filtered, RESULT_FILTERED_AT);
  store<u32>(WORK_RESULT_AT, late, RESULT_LATE_AT);
  store<u32>(WORK_RESULT_AT, failed, RESULT_FAILED_AT);
  return selected;
}

/** `count` consecutive pages for a window; their bytes are not zeroed. */
export function windowPages(header: u32, count: u32): u32 {
  const address = allocatePages(count, header + WINDOW_CHAIN_AT);
  store<u32>(header, load<u32>(header, WINDOW_PAGES_AT) + count, WINDOW_PAGES_AT);
  touch(header);
  return address;
}

/** A zeroed row of `bytes` bytes at the end of the window's rows. */
export function appendRow(header: u32, bytes: u32): u32 {
  let segment = load<u32>(header, WINDOW_LAST_SEGMENT_AT);
  let rows = load<u32>(segment, 4);
  let row = segment + 8 + rows * bytes;
  const pageEnd = (segment & ~(FOLD_PAGE_BYTES - 1)) + FOLD_PAGE_BYTES;
  if (row + bytes > pageEnd) {
    const next = windowPages(header, 1);
    store<u32>(next, 0);
    store<u32>(segment, next);
    touch(segment);
    store<u32>(header, next, WINDOW_LAST_SEGMENT_AT);
    segment = next;
    rows = 0;
    row = segment + 8;
  }
  store<u32>(segment, rows + 1, 4);
  touch(segment);
  memory.fill(row, 0, bytes);
  store<u32>(row, header, ROW_WINDOW_AT);
  return row;
}

/** Room for a text of a window. Texts beyond a quarter of a page have pages of their own. */
export function allocateText(header: u32, bytes: u32): u32 {
  if (isHeap(header)) return takeBytes(header, bytes);
  if (bytes > <u32>FOLD_PAGE_BYTES / 4)
    return windowPages(header, (bytes + FOLD_PAGE_BYTES - 1) / FOLD_PAGE_BYTES);
  let at = load<u32>(header, WINDOW_TEXT_AT);
  if (at + bytes > load<u32>(header, WINDOW_TEXT_END_AT)) {
    at = windowPages(header, 1);
    store<u32>(header, at + FOLD_PAGE_BYTES, WINDOW_TEXT_END_AT);
  }
  store<u32>(header, at + ((bytes + 7) & ~7), WINDOW_TEXT_AT);
  touch(header);
  return at;
}

/** Room for a text of `capacity` bytes instead of that of `oldCapacity` bytes at `old`, which a window keeps until it closes. 0 = none. */
export function replaceText(header: u32, old: u32, oldCapacity: u32, capacity: u32): u32 {
  if (oldCapacity != 0 && isHeap(header)) giveBytes(header, old, oldCapacity);
  return allocateText(header, capacity);
}

/** Copies a text to a place in pages, which may span several. */
export function storeText(to: u32, from: u32, bytes: u32): void {
  memory.copy(to, from, bytes);
  for (let at = to; at < to + bytes; at += FOLD_PAGE_BYTES) touch(at);
  touch(to + bytes - 1);
}

/** A block of 128 << size bytes, not zeroed. */
export function allocateBlock(header: u32, size: u32): u32 {
  if (isHeap(header)) return takeBytes(header, 128 << size);
  const head = header + WINDOW_BLOCKS_AT + (size << 2);
  let block = load<u32>(head);
  touch(header);
  if (block == 0) {
    const page = windowPages(header, 1);
    const bytes: u32 = 128 << size;
    for (let at = page + FOLD_PAGE_BYTES - bytes; at >= page; at -= bytes) {
      store<u32>(at, block);
      block = at;
    }
  }
  store<u32>(head, load<u32>(block));
  touch(block);
  return block;
}

export function freeBlock(header: u32, block: u32, size: u32): void {
  if (isHeap(header)) return giveBytes(header, block, 128 << size);
  const head = header + WINDOW_BLOCKS_AT + (size << 2);
  store<u32>(block, load<u32>(head));
  touch(block);
  store<u32>(head, block);
  touch(header);
}
