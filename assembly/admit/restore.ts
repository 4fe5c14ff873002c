// Owns how the ids of a checkpoint come back in bulk: first they are parted by the first bits of their hashes, which is how the table is laid
// out, then they go into the table part by part, each of which fits a cache. Straight into a table of 20 M ids every id waits for memory.
// A part is a chain of pages, newest first: u32 next, u32 entries used, 8 bytes unused, then 255 entries as in the id table.
import { DELTA_PAGE_ENTRIES, ID_ENTRY_BYTES, RESTORE_PARTS_MAX, STREAM_RECEIVED_MS_AT } from "../../kernels/abi";
import { nowMs, openTable, ttlMs } from "./page";
import { releasePage, takePage } from "./pool";
import { groupsOfRow, keepAhead, renewAhead, restoreId } from "./table";

const HEADER: usize = 16;

/** Newest page of each part (0 = none), and ids in each. */
const pages = memory.data(RESTORE_PARTS_MAX * 4);
const counts = memory.data(RESTORE_PARTS_MAX * 4);
let shift: u64 = 63;

/** Begins with 2^bits empty parts, RESTORE_PARTS_MAX at most, 2 at least. Those before must have been restored. */
export function beginParts(bits: u32): void {
  shift = 64 - <u64>bits;
  memory.fill(pages, 0, RESTORE_PARTS_MAX * 4);
  memory.fill(counts, 0, RESTORE_PARTS_MAX * 4);
}

/**
 * Parts `count` entries of a checkpoint at `entries`; their received_at lies at most 49 days before `newestMs`. Those that have outlived
 * the TTL at the stream's own received_at are left out.
 */
export function partIds(stream: usize, entries: usize, count: u32, newestMs: i64): void {
  openTable(stream, load<i64>(stream, STREAM_RECEIVED_MS_AT));
  const elapsedMs = load<i64>(stream, STREAM_RECEIVED_MS_AT) - newestMs;
  for (let i: u32 = 0; i < count; i++) {
    const entry = entries + (<usize>i << 4);
    const age = elapsedMs + <i64>(<u32>newestMs - load<u32>(entry, 12));
    if (age < <i64>ttlMs) addToPart(<u32>(load<u64>(entry) >> shift), entry);
  }
}

function addToPart(part: u32, entry: usize): void {
  let page: usize = load<u32>(pages + (<usize>part << 2));
  let used = page ? load<u32>(page, 4) : DELTA_PAGE_ENTRIES;
  if (used == DELTA_PAGE_ENTRIES) {
    const next = page;
    page = takePage();
    store<u32>(page, <u32>next);
    store<u32>(pages + (<usize>part << 2), <u32>page);
    used = 0;
  }
  v128.store(page + HEADER + <usize>used * ID_ENTRY_BYTES, v128.load(entry));
  store<u32>(page, used + 1, 4);
  const counted = counts + (<usize>part << 2);
  store<u32>(counted, load<u32>(counted) + 1);
}

/** Ids in a part. */
export function idsOfPart(part: u32): u32 {
  return load<u32>(counts + (<usize>part << 2));
}

/** Puts the ids of a part into the table of the stream that they are of, and releases the part's pages. */
export function restorePart(stream: usize, part: u32): void {
  const receivedMs = load<i64>(stream, STREAM_RECEIVED_MS_AT);
  openTable(stream, receivedMs);
  for (let page: usize = load<u32>(pages + (<usize>part << 2)); page; ) {
    restorePage(page + HEADER, load<u32>(page, 4), receivedMs);
    const next: usize = load<u32>(page);
    releasePage(page);
    page = next;
  }
}

function restorePage(entries: usize, count: u32, receivedMs: i64): void {
  for (let i: u32 = 0; i < count; i++) {
    keepAhead(entries, i, count);
    const entry = entries + (<usize>i << 4);
    const ms = receivedMs - <i64>(nowMs - load<u32>(entry, 12));
    if (restoreId(groupsOfRow(i), load<u64>(entry), load<u32>(entry, 8), ms)) renewAhead(entries, i + 1, count);
  }
}
