// Owns how the ids of a checkpoint come back in bulk: first they are parted by the first bits of their hashes, which is how the table is laid
// out, then they go into the table part by part, each of which fits a cache. Straight into a table of 20 M ids every id waits for memory.
// A part is a chain of pages, newest first: u32 the page before (0 = none), 12 bytes unused, then 255 entries as in the id table.
import { ADMIT_PAGE_BYTES, DELTA_PAGE_ENTRIES, ID_ENTRY_BYTES, RESTORE_PARTS_MAX, STREAM_RECEIVED_MS_AT } from "../../kernels/abi";
import { nowMs, openTable, ttlMs } from "./page";
import { releasePage, takePage } from "./pool";
import { restoreId } from "./table";

const HEADER: usize = 16;

/** Address in each part of where its next entry goes (u32), the end of its newest page when that is full, 0 = no page; and pages of each. */
const ends = memory.data(RESTORE_PARTS_MAX * 4);
const pages = memory.data(RESTORE_PARTS_MAX * 4);
let shift: u64 = 63;

/** Begins with 2^bits empty parts, RESTORE_PARTS_MAX at most, 2 at least. Those before must have been restored. */
export function beginParts(bits: u32): void {
  shift = 64 - <u64>bits;
  memory.fill(ends, 0, RESTORE_PARTS_MAX * 4);
  memory.fill(pages, 0, RESTORE_PARTS_MAX * 4);
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

// @ts-ignore: decorator.
@inline
function addToPart(part: u32, entry: usize): void {
  let end: usize = load<u32>(ends + (<usize>part << 2));
  if (!(end & (ADMIT_PAGE_BYTES - 1))) end = nextPage(part, end);
  v128.store(end, v128.load(entry));
  store<u32>(ends + (<usize>part << 2), <u32>(end + ID_ENTRY_BYTES));
}

/** Gives a part a page more, the last one being full up to `end`. Where the next entry goes. */
function nextPage(part: u32, end: usize): usize {
  const page = takePage();
  store<u32>(page, end ? <u32>(end - ADMIT_PAGE_BYTES) : 0);
  const taken = pages + (<usize>part << 2);
  store<u32>(taken, load<u32>(taken) + 1);
  return page + HEADER;
}

/** The newest page of a part, which has one. */
function newestPage(end: usize): usize {
  return (end - 1) & ~(<usize>ADMIT_PAGE_BYTES - 1);
}

/** Ids in a part. */
export function idsOfPart(part: u32): u32 {
  const end: usize = load<u32>(ends + (<usize>part << 2));
  if (!end) return 0;
  const used = <u32>(end - newestPage(end) - HEADER) / ID_ENTRY_BYTES;
  return (load<u32>(pages + (<usize>part << 2)) - 1) * DELTA_PAGE_ENTRIES + used;
}

/** Puts the ids of a part into the table of the stream that they are of, and releases the part's pages. */
export function restorePart(stream: usize, part: u32): void {
  const receivedMs = load<i64>(stream, STREAM_RECEIVED_MS_AT);
  openTable(stream, receivedMs);
  const end: usize = load<u32>(ends + (<usize>part << 2));
  if (!end) return;
  let page = newestPage(end);
  let count = <u32>(end - page - HEADER) / ID_ENTRY_BYTES;
  while (page) {
    restorePage(page + HEADER, count, receivedMs);
    const before: usize = load<u32>(page);
    releasePage(page);
    page = before;
    count = DELTA_PAGE_ENTRIES;
  }
}

function restorePage(entries: usize, count: u32, receivedMs: i64): void {
  for (let i: u32 = 0; i < count; i++) {
    const entry = entries + (<usize>i << 4);
    restoreId(load<u64>(entry), load<u32>(entry, 8), receivedMs - <i64>(nowMs - load<u32>(entry, 12)));
  }
}
