// Windows of a view: their bounds, the lists of those that are open (and of the nodes over panes), and memory inside a window: rows in
// order of arrival, text, blocks for sketches. A window owns a chain of pages that is freed at once.
import {
  FOLD_PAGE_BYTES,
  ROOT_CAPACITY_AT,
  ROOT_CHAIN_AT,
  ROOT_LIST_ADDRESS_AT,
  ROOT_LIST_AT,
  ROOT_LIST_CHAIN_AT,
  ROOT_NODES_AT,
  ROOT_WINDOWS_AT,
  ROW_WINDOW_AT,
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
  WORK_RESULT_AT,
} from "../../kernels/abi";
import { giveBytes, isHeap, takeBytes } from "./blocks";
import { allocatePages, freeChain, touch } from "./pages";
import { own, copyValid, step, values } from "./vector";

/** How many windows were freed: addresses of rows that were noted before may be of other rows now. */
export let freedWindows: u32 = 0;

/** Time from the start of the interval of t among those of `size` from `offset` (0 to size) on. */
function restOf(t: i64, size: i64, offset: i64): i64 {
  let rest = t % size - offset;
  while (rest < 0) rest += size;
  return rest;
}

/** Start of the interval of t; the lowest one starts at the lowest time. */
export function startOf(t: i64, size: i64, offset: i64): i64 {
  const down = restOf(t, size, offset);
  return t < i64.MIN_VALUE + down ? i64.MIN_VALUE : t - down;
}

/** Exclusive end of the interval of t; the highest one ends at the highest time. */
export function endOf(t: i64, size: i64, offset: i64): i64 {
  const up = size - restOf(t, size, offset);
  return t > i64.MAX_VALUE - up ? i64.MAX_VALUE : t + up;
}

/** dst = start (or end) of the window of each time in a. */
export function windowBounds(dst: u32, a: u32, ends: bool, size: i64, offset: i64, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  copyValid(dst, a, n);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    const t = load<i64>(at);
    store<i64>(to + (i << 3), ends ? endOf(t, size, offset) : startOf(t, size, offset));
  }
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

/** Root page of the nodes over a view's panes, made at first. */
export function nodesOf(root: u32): u32 {
  const nodes = load<u32>(root, ROOT_NODES_AT);
  if (nodes != 0) return nodes;
  const made = createRoot();
  store<u32>(root, made, ROOT_NODES_AT);
  touch(root);
  return made;
}

/** Frees a view: its windows, its nodes and its root. */
export function freeRoot(root: u32): void {
  if (load<u32>(root, ROOT_NODES_AT) != 0) freeRoot(load<u32>(root, ROOT_NODES_AT));
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  for (let i: u32 = 0; i < load<u32>(root, ROOT_WINDOWS_AT); i++)
    freeWindow(windowOf(list, i));
  freeChain(load<u32>(root, ROOT_LIST_CHAIN_AT));
  freeChain(load<u32>(root, ROOT_CHAIN_AT));
}

/** Index of the first window of the list whose key is `start` or higher. */
export function position(root: u32, start: i64): u32 {
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

/** A window of its own, in no list. */
export function createWindow(start: i64, end: i64): u32 {
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

/** Frees a window of its own. */
export function freeWindow(header: u32): void {
  freedWindows++;
  freeChain(load<u32>(header, WINDOW_CHAIN_AT));
}

/** Header of the window [start, end), made when it is not there. */
export function openWindow(root: u32, start: i64, end: i64): u32 {
  return reachWindow(root, start, start, end);
}

/** Header of the window at `key` of a list, 0 when it is not there. A window's key is its start, a node's the middle of its range. */
export function findWindow(root: u32, key: i64): u32 {
  const entry = load<u32>(root, ROOT_LIST_ADDRESS_AT) + position(root, key) * WINDOW_ENTRY_BYTES;
  const end = load<u32>(root, ROOT_LIST_ADDRESS_AT) + load<u32>(root, ROOT_WINDOWS_AT) * WINDOW_ENTRY_BYTES;
  return entry < end && load<i64>(entry) == key ? load<u32>(entry, 8) : 0;
}

/** Header of the window [start, end) at `key` of a list, made when it is not there. */
export function reachWindow(root: u32, key: i64, start: i64, end: i64): u32 {
  const at = position(root, key);
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  let entry = load<u32>(root, ROOT_LIST_ADDRESS_AT) + at * WINDOW_ENTRY_BYTES;
  if (at < count && load<i64>(entry) == key) return load<u32>(entry, 8);
  if (count == load<u32>(root, ROOT_CAPACITY_AT)) {
    growList(root);
    entry = load<u32>(root, ROOT_LIST_ADDRESS_AT) + at * WINDOW_ENTRY_BYTES;
  }
  const header = createWindow(start, end);
  memory.copy(entry + WINDOW_ENTRY_BYTES, entry, (count - at) * WINDOW_ENTRY_BYTES);
  store<i64>(entry, key);
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
  for (let i: u32 = 0; i < n; i++) freeWindow(windowOf(list, i));
  touchList(root, 0);
  memory.copy(list, list + n * WINDOW_ENTRY_BYTES, (count - n) * WINDOW_ENTRY_BYTES);
  store<u32>(root, count - n, ROOT_WINDOWS_AT);
}

/** Frees the windows of a list that start before `start`: the caller has taken their rows. */
export function dropBefore(root: u32, start: i64): void {
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  let kept: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const header = windowOf(list, i);
    if (load<i64>(header, WINDOW_START_AT) < start) freeWindow(header);
    else {
      if (kept < i) memory.copy(list + kept * WINDOW_ENTRY_BYTES, list + i * WINDOW_ENTRY_BYTES, WINDOW_ENTRY_BYTES);
      kept++;
    }
  }
  if (kept == count) return;
  touchList(root, 0);
  store<u32>(root, kept, ROOT_WINDOWS_AT);
}

/** Frees the window at `key` of a list, if it is there. */
export function dropWindow(root: u32, key: i64): void {
  const header = findWindow(root, key);
  if (header == 0) return;
  const at = position(root, key);
  const entry = load<u32>(root, ROOT_LIST_ADDRESS_AT) + at * WINDOW_ENTRY_BYTES;
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  freeWindow(header);
  touchList(root, at);
  memory.copy(entry, entry + WINDOW_ENTRY_BYTES, (count - at - 1) * WINDOW_ENTRY_BYTES);
  store<u32>(root, count - 1, ROOT_WINDOWS_AT);
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
  // Rows are short and of whole words: a loop takes less than a call that fills.
  for (let at = row; at < row + bytes; at += 8) store<u64>(at, 0);
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
