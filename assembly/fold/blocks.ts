// Blocks that are given back one by one: rows, texts and sketches of sessions. A page holds blocks of one kind; it goes back to the pool
// when its last block is free. A view's heap is described in its header (kernels/abi/session.ts).
import {
  BLOCK_KIND_ROW,
  BLOCK_KIND_RUN,
  BLOCK_PAGE_HEADER_BYTES,
  FOLD_PAGES_AT,
  FOLD_PAGE_BITS,
  FOLD_PAGE_BYTES,
  HEAP_PAGES_AT,
  HEAP_ROOM_AT,
  HEAP_ROW_BYTES_AT,
  SESSION_STATE_AT,
  WINDOW_PAGES_AT,
  WORK_RESULT_AT,
} from "../../kernels/abi";
import { allocatePages, freeChain, touch } from "./pages";

const USED: u32 = 4;
const FREE: u32 = 8;
const UNUSED: u32 = 12;
/** Links of the list of pages with room, and of the list of all pages: next, then previous. */
const ROOM: u32 = 16;
const ALL: u32 = 24;

/** Whether a header is that of a heap: its texts and sketches are blocks. */
export function isHeap(header: u32): bool {
  return load<u32>(header, HEAP_ROW_BYTES_AT) != 0;
}

function link(page: u32, links: u32, head: u32): void {
  const next = load<u32>(head);
  store<u32>(page + links, next);
  store<u32>(page + links, 0, 4);
  if (next != 0) {
    store<u32>(next + links, page, 4);
    touch(next);
  }
  store<u32>(head, page);
  touch(page);
  touch(head);
}

function unlink(page: u32, links: u32, head: u32): void {
  const next = load<u32>(page + links);
  const before = load<u32>(page + links, 4);
  if (next != 0) {
    store<u32>(next + links, before, 4);
    touch(next);
  }
  if (before == 0) store<u32>(head, next);
  else store<u32>(before + links, next);
  touch(before == 0 ? head : before);
}

function roomList(header: u32, kind: u32): u32 {
  return header + HEAP_ROOM_AT + (kind << 2);
}

function bytesOf(header: u32, kind: u32): u32 {
  return kind == BLOCK_KIND_ROW ? load<u32>(header, HEAP_ROW_BYTES_AT) : <u32>16 << kind;
}

/** A run of pages with a page header, in the list of all. */
function addPages(header: u32, kind: u32, count: u32): u32 {
  store<u32>(WORK_RESULT_AT, 0, 64);
  const page = allocatePages(count, WORK_RESULT_AT + 64);
  store<u32>(page, kind);
  store<u32>(page, 0, USED);
  store<u32>(page, 0, FREE);
  store<u32>(page, page + BLOCK_PAGE_HEADER_BYTES, UNUSED);
  link(page, ALL, header + HEAP_PAGES_AT);
  store<u32>(header, load<u32>(header, WINDOW_PAGES_AT) + count, WINDOW_PAGES_AT);
  return page;
}

function freePages(header: u32, page: u32, count: u32): void {
  unlink(page, ALL, header + HEAP_PAGES_AT);
  freeChain((page - FOLD_PAGES_AT) >> FOLD_PAGE_BITS);
  store<u32>(header, load<u32>(header, WINDOW_PAGES_AT) - count, WINDOW_PAGES_AT);
  touch(header);
}

function hasRoom(page: u32, bytes: u32): bool {
  return load<u32>(page, FREE) != 0 || load<u32>(page, UNUSED) + bytes <= page + FOLD_PAGE_BYTES;
}

/** A block of a kind below BLOCK_KIND_RUN, not zeroed. */
export function takeBlock(header: u32, kind: u32): u32 {
  let page = load<u32>(roomList(header, kind));
  const bytes = bytesOf(header, kind);
  if (page == 0) {
    page = addPages(header, kind, 1);
    link(page, ROOM, roomList(header, kind));
  }
  let block = load<u32>(page, FREE);
  if (block != 0) store<u32>(page, load<u32>(block), FREE);
  else {
    block = load<u32>(page, UNUSED);
    store<u32>(page, block + bytes, UNUSED);
  }
  store<u32>(page, load<u32>(page, USED) + 1, USED);
  touch(page);
  if (!hasRoom(page, bytes)) unlink(page, ROOM, roomList(header, kind));
  return block;
}

/** The block that `takeBlock` gives after those that `nextBlock` has told, and its page; 0 = not known. */
let aheadPage: u32 = 0;
let aheadBlock: u32 = 0;
let aheadBytes: u32 = 0;

function aheadIn(page: u32): void {
  aheadPage = page;
  aheadBlock = page == 0 ? 0 : load<u32>(page, FREE);
}

/** Begins to tell the blocks of a kind that `takeBlock` will give, for `nextBlock`. */
export function lookAhead(header: u32, kind: u32): void {
  aheadBytes = bytesOf(header, kind);
  aheadIn(load<u32>(roomList(header, kind)));
}

/** The next block that `takeBlock` will give; 0 when it is one that was never used. Reads the one behind it. */
export function nextBlock(): u32 {
  const block = aheadBlock;
  if (block == 0) return 0;
  aheadBlock = load<u32>(block);
  if (aheadBlock == 0 && load<u32>(aheadPage, UNUSED) + aheadBytes > aheadPage + FOLD_PAGE_BYTES) aheadIn(load<u32>(aheadPage, ROOM));
  return block;
}

/** Gives a block back. */
export function giveBlock(header: u32, kind: u32, block: u32): void {
  const page = block & ~(FOLD_PAGE_BYTES - 1);
  const hadRoom = hasRoom(page, bytesOf(header, kind));
  const used = load<u32>(page, USED) - 1;
  if (used == 0) {
    if (hadRoom) unlink(page, ROOM, roomList(header, kind));
    return freePages(header, page, 1);
  }
  store<u32>(block, load<u32>(page, FREE));
  store<u32>(page, block, FREE);
  store<u32>(page, used, USED);
  touch(page);
  if (!hadRoom) link(page, ROOM, roomList(header, kind));
}

/** A page without a header that `givePage` gives back, not zeroed; its owner keeps its address. */
export function takePage(header: u32): u32 {
  store<u32>(WORK_RESULT_AT, 0, 64);
  store<u32>(header, load<u32>(header, WINDOW_PAGES_AT) + 1, WINDOW_PAGES_AT);
  touch(header);
  return allocatePages(1, WORK_RESULT_AT + 64);
}

export function givePage(header: u32, page: u32): void {
  freeChain((page - FOLD_PAGES_AT) >> FOLD_PAGE_BITS);
  store<u32>(header, load<u32>(header, WINDOW_PAGES_AT) - 1, WINDOW_PAGES_AT);
  touch(header);
}

function pagesOf(bytes: u32): u32 {
  return (bytes + BLOCK_PAGE_HEADER_BYTES + FOLD_PAGE_BYTES - 1) / FOLD_PAGE_BYTES;
}

/** The least kind whose blocks hold `bytes` bytes. */
function kindOf(bytes: u32): u32 {
  if (bytes <= 16) return 0;
  return min(28 - clz(bytes - 1), <u32>BLOCK_KIND_RUN);
}

/** `bytes` bytes that `giveBytes` gives back, not zeroed. */
export function takeBytes(header: u32, bytes: u32): u32 {
  const kind = kindOf(bytes);
  if (kind < <u32>BLOCK_KIND_ROW) return takeBlock(header, kind);
  return addPages(header, BLOCK_KIND_RUN, pagesOf(bytes)) + BLOCK_PAGE_HEADER_BYTES;
}

/** `bytes` as they were taken. */
export function giveBytes(header: u32, block: u32, bytes: u32): void {
  const kind = kindOf(bytes);
  if (kind < <u32>BLOCK_KIND_ROW) giveBlock(header, kind, block);
  else freePages(header, block - BLOCK_PAGE_HEADER_BYTES, pagesOf(bytes));
}

/** Writes the addresses of all rows in a state (SESSION_*) as u32; returns how many. */
export function listBlocks(header: u32, state: u32, to: u32): u32 {
  const bytes = load<u32>(header, HEAP_ROW_BYTES_AT);
  let n: u32 = 0;
  for (let page = load<u32>(header, HEAP_PAGES_AT); page != 0; page = load<u32>(page, ALL)) {
    if (load<u32>(page) != BLOCK_KIND_ROW) continue;
    const end = load<u32>(page, UNUSED);
    for (let row = page + BLOCK_PAGE_HEADER_BYTES; row < end; row += bytes)
      if (load<u32>(row, SESSION_STATE_AT) == state) store<u32>(to + (n++ << 2), row);
  }
  return n;
}

/** Gives back all pages of the heap. */
export function freeHeap(header: u32): void {
  let page = load<u32>(header, HEAP_PAGES_AT);
  while (page != 0) {
    const next = load<u32>(page, ALL);
    freeChain((page - FOLD_PAGES_AT) >> FOLD_PAGE_BITS);
    page = next;
  }
}
