// Pages of the fold memory: who owns which, what changed since the last checkpoint. All state of all views lies in pages; the page
// map lies in the first of them, so that pages alone restore everything. A window's pages form one chain and are freed together.
import {
  DIRTY_CHANGED,
  DIRTY_FREED,
  FOLD_DIRTY_AT,
  FOLD_MAP_PAGES,
  FOLD_PAGE_BITS,
  FOLD_PAGE_BYTES,
  FOLD_PAGE_COUNT_MAX,
  FOLD_PAGES_AT,
} from "../../kernels/abi";

const CHAIN_END: u32 = 1;
const WASM_PAGE_BITS: u32 = 16;
/** Memory grows by 4 MiB at a time. */
const GROW_PAGES: u32 = 64;

/** No page below this one is free. */
let lowest: u32 = FOLD_MAP_PAGES;
/** Pages from this one on were never used. */
let highest: u32 = FOLD_MAP_PAGES;
let used: u32 = 0;
let pagesMax: u32 = FOLD_PAGE_COUNT_MAX;

export function pageAddress(page: u32): u32 {
  return FOLD_PAGES_AT + (page << FOLD_PAGE_BITS);
}

/** Marks the page of an address as changed. Every store to a page is paired with a call of this. */
export function touch(address: u32): void {
  store<u8>(FOLD_DIRTY_AT + ((address - FOLD_PAGES_AT) >> FOLD_PAGE_BITS), DIRTY_CHANGED);
}

function setMap(page: u32, value: u32): void {
  const at = FOLD_PAGES_AT + (page << 2);
  touch(at);
  store<u32>(at, value);
}

function map(page: u32): u32 {
  return load<u32>(FOLD_PAGES_AT + (page << 2));
}

/** Makes the memory reach to the end of `page`. Traps when the maximum is reached: the process ends and says so. */
function reach(page: u32): void {
  const need = (((<u64>pageAddress(page)) + FOLD_PAGE_BYTES + 65535) >> WASM_PAGE_BITS) as u32;
  const have = <u32>memory.size();
  if (need <= have) return;
  if (memory.grow(max(need - have, GROW_PAGES)) < 0) {
    if (memory.grow(need - have) < 0) abort("fold memory is full");
  }
}

/** First of `count` consecutive free pages, or beyond the highest used one. */
function findRun(count: u32): u32 {
  let page = lowest;
  while (page < highest) {
    if (map(page) != 0) {
      page++;
      continue;
    }
    let end = page + 1;
    while (end < highest && end - page < count && map(end) == 0) end++;
    if (end - page == count) return page;
    page = end;
  }
  while (page > lowest && map(page - 1) == 0) page--;
  return page;
}

/** Address of `count` consecutive pages, added to the chain whose first page is stored at `chainAt`. Their bytes are not zeroed. */
export function allocatePages(count: u32, chainAt: u32): u32 {
  const first = findRun(count);
  const last = first + count - 1;
  if (last >= pagesMax) abort("fold memory is full");
  if (last >= highest) {
    highest = last + 1;
    reach(last);
  }
  // The first free page of all, or a run that begins there: none below is free now.
  if (first == lowest || count == 1) lowest = last + 1;
  let next = load<u32>(chainAt);
  if (next == 0) next = CHAIN_END;
  for (let page = last; page >= first; page--) {
    setMap(page, next);
    store<u8>(FOLD_DIRTY_AT + page, DIRTY_CHANGED);
    next = page;
  }
  store<u32>(chainAt, first);
  used += count;
  return pageAddress(first);
}

/** Frees all pages of a chain. */
export function freeChain(first: u32): void {
  let page = first;
  while (page > CHAIN_END) {
    const next = map(page);
    setMap(page, 0);
    store<u8>(FOLD_DIRTY_AT + page, DIRTY_FREED);
    if (page < lowest) lowest = page;
    used--;
    page = next;
  }
}

/** Starts with an empty page map; at most `count` pages. */
export function initPages(count: u32): void {
  pagesMax = min(count, <u32>FOLD_PAGE_COUNT_MAX);
  reach(FOLD_MAP_PAGES - 1);
  memory.fill(FOLD_DIRTY_AT, 0, FOLD_PAGE_COUNT_MAX);
  memory.fill(FOLD_PAGES_AT, 0, FOLD_MAP_PAGES * FOLD_PAGE_BYTES);
}

/** Makes room for restored pages up to `page`; the host copies them in, then calls `pagesRestored`. */
export function reachPage(page: u32): void {
  reach(page);
}

/** Recomputes what the allocator knows from the restored page map. */
export function pagesRestored(): void {
  memory.fill(FOLD_DIRTY_AT, 0, FOLD_PAGE_COUNT_MAX);
  lowest = 0;
  highest = FOLD_MAP_PAGES;
  used = 0;
  for (let page: u32 = FOLD_MAP_PAGES; page < <u32>FOLD_PAGE_COUNT_MAX; page++) {
    if (map(page) == 0) {
      if (lowest == 0) lowest = page;
      continue;
    }
    used++;
    highest = page + 1;
  }
}

/** Pages in use, without the map. */
export function pagesUsed(): u32 {
  return used;
}

/** Pages from this one on were never used. */
export function pagesHighest(): u32 {
  return highest;
}
