// Owns the free pages of the admit memory: id tables and deltas take pages here and give them back. The host grants memory before
// each batch, so a page is always there when it is asked for. Knows nothing of what pages hold.
//
// The free list is a chain of runs, most recent first: u32 next run, u32 pages in this run, at the first byte of the run. A grant
// is one run, so memory that is only reserved is never touched.
import { ADMIT_PAGE_BYTES } from "../../kernels/abi";

let head: usize = 0;
let free: u32 = 0;

/** Adds `pages` pages from `address` (a multiple of ADMIT_PAGE_BYTES) to the free ones. */
export function grantPages(address: usize, pages: u32): void {
  store<u32>(address, <u32>head);
  store<u32>(address, pages, 4);
  head = address;
  free += pages;
}

/** Number of free pages. */
export function freePages(): u32 {
  return free;
}

/** A free page, its content unspecified. Traps when there is none: the host has not reserved enough. */
export function takePage(): usize {
  if (!head) unreachable();
  const left = load<u32>(head, 4) - 1;
  const page = head + <usize>left * ADMIT_PAGE_BYTES;
  if (left) store<u32>(head, left, 4);
  else head = load<u32>(head);
  free--;
  return page;
}

/** Gives a page back. */
export function releasePage(page: usize): void {
  grantPages(page, 1);
}
