// Owns how the id table grows: a segment that overflows drops its expired entries; if that is not enough it gets a third page, then
// splits into two segments of two. Each takes some µs, so growth to any size never stalls a batch. Layout: page.ts.
import {
  ADMIT_PAGE_BYTES,
  DIRECTORY_SLOT_BYTES,
  ID_PAGE_SLOTS,
  STREAM_DEPTH_AT,
  STREAM_DEPTH_MAX_AT,
  STREAM_DIRECTORY_AT,
  STREAM_IDS_AT,
  STREAM_PAGES_AT,
} from "../../kernels/abi";
import {
  countIds, densityAt, depthOf, directory, entryIn, firstGroup, GROUP_BYTES, GROUP_SLOTS, groupIn, GROUPS, keepLoads, loadLines, mayLeave,
  nthPage, openDirectory, openTable, pageNumber, pagesOf, placeOf, secondGroup, slotAt, stream, tagIn, writeDepth,
} from "./page";
import { grantPages, releasePage, takePage } from "./pool";

/** A segment that is below this share (of 256) after its expired entries are gone stays as it is. */
const FILL_AFTER_PURGE: u32 = 180;

/** Entries and tags of a segment while it is rebuilt: three full pages. The second half of a split goes to `half`. */
const scratch = memory.data(672 * 16);
const scratchTags = memory.data(672 * 2);
const half = memory.data(672 * 16);
const halfTags = memory.data(672 * 2);
/** Entries put into each group of a segment that is filled (u32). */
const filled = memory.data(3 * 7 * 4);

/** The directory slot of a segment of two pages. */
function segmentOf(first: usize, second: usize): u64 {
  return (<u64>first >> 12) | ((<u64>second >> 12) << 20);
}

/** The directory slot of a segment with a third page. */
function withThird(segment: u64, third: usize): u64 {
  return segment | ((<u64>third >> 12) << 40);
}

/** Makes all slots of a segment free. */
function clearPages(segment: u64): void {
  const pages = pagesOf(segment);
  for (let nth: u32 = 0; nth < pages; nth++) {
    for (let i: u32 = 0; i < GROUPS; i++) memory.fill(groupIn(nthPage(segment, nth), i), 0, GROUP_BYTES);
  }
}

/** A page for the table at hand, its content unspecified. */
function newPage(): usize {
  const page = takePage();
  store<u32>(stream, load<u32>(stream, STREAM_PAGES_AT) + 1, STREAM_PAGES_AT);
  return page;
}

/** Pages that `ids` ids fill to 85 %, where their share in the nth of `count` equal parts of all places lies. */
function pagesWanted(ids: u32, nth: u32, count: u32): f64 {
  const share = densityAt((<f64>nth + 0.5) / <f64>count) / <f64>count;
  return <f64>ids * share / (<f64>ID_PAGE_SLOTS * 0.85);
}

/**
 * Depth of the first segment at the nth of 2^depth directory slots, n even, in an empty table for `ids` ids: where places are less dense
 * two slots share a segment.
 */
function depthFor(ids: u32, nth: u32, depth: u32): u32 {
  return depth - u32(depth > 1 && pagesWanted(ids, nth >> 1, 1 << (depth - 1)) <= 3);
}

/** Pages of the segment of `depth` bits whose places are the nth of 2^depth parts. */
function pagesFor(ids: u32, nth: u32, depth: u32): u32 {
  return pagesWanted(ids, nth, 1 << depth) > 2 ? 3 : 2;
}

/** Pages of an empty table for `ids` ids with 2^depth directory slots. */
export function pagesOfTable(depth: u32, ids: u32): u32 {
  let pages: u32 = 0;
  for (let i: u32 = 0; i < 1 << depth; ) {
    const own = depthFor(ids, i & ~1, depth);
    pages += pagesFor(ids, i >> (depth - own), own);
    i += 1 << (depth - own);
  }
  return pages;
}

/** Replaces the table, if there is one, by an empty one for `ids` ids with 2^depth directory slots, of `pagesOfTable` pages. */
export function buildTable(table: usize, depth: u32, ids: u32): void {
  dropTable(table);
  store<u32>(table, depth, STREAM_DEPTH_AT);
  openTable(table, 0);
  for (let i: u32 = 0; i < 1 << depth; ) {
    const own = depthFor(ids, i & ~1, depth);
    let segment = segmentOf(newPage(), newPage());
    if (pagesFor(ids, i >> (depth - own), own) == 3) segment = withThird(segment, newPage());
    clearPages(segment);
    writeSegment(i << (32 - depth), own, segment);
    i += 1 << (depth - own);
  }
}

/** Gives all pages of a table back, if it has any. */
function dropTable(table: usize): void {
  if (!load<u32>(table, STREAM_PAGES_AT)) return;
  const from: usize = load<u32>(table, STREAM_DIRECTORY_AT);
  const depth = load<u32>(table, STREAM_DEPTH_AT);
  for (let i: u32 = 0; i < 1 << depth; ) {
    const segment = load<u64>(from + <usize>i * DIRECTORY_SLOT_BYTES);
    const next = i + (1 << (depth - depthOf(segment)));
    const pages = pagesOf(segment);
    for (let nth: u32 = 0; nth < pages; nth++) releasePage(nthPage(segment, nth));
    i = next;
  }
  store<u32>(table, 0, STREAM_PAGES_AT);
  store<u32>(table, 0, STREAM_IDS_AT);
}

/** Copies the entries of a segment that must stay in the table to scratch. Returns their number. */
function collect(segment: u64): u32 {
  const pages = pagesOf(segment);
  let sum: u32 = 0;
  for (let nth: u32 = 0; nth < pages; nth++) sum += loadLines(nthPage(segment, nth), ADMIT_PAGE_BYTES >> 6);
  keepLoads(sum);
  let count: u32 = 0;
  let left: i32 = 0;
  for (let nth: u32 = 0; nth < pages; nth++) {
    const page = nthPage(segment, nth);
    for (let slot: u32 = 0; slot < <u32>ID_PAGE_SLOTS; slot++) {
      const value = load<u16>(tagIn(page, slot));
      if (!value) continue;
      const entry = entryIn(page, slot);
      v128.store(scratch + (<usize>count << 4), v128.load(entry));
      store<u16>(scratchTags + (<usize>count << 1), value);
      const leaves = mayLeave(entry);
      left += i32(leaves);
      count += u32(!leaves);
    }
  }
  countIds(-left);
  return count;
}

/**
 * Empties the pages of a segment and puts entries into it, each into the emptier of its groups. False when one has found both full:
 * then the segment's content is undefined.
 */
function fill(segment: u64, from: usize, tags: usize, count: u32): bool {
  const pages = pagesOf(segment);
  clearPages(segment);
  memory.fill(filled, 0, 3 * 7 * 4);
  for (let i: u32 = 0; i < count; i++) {
    const entry = from + (<usize>i << 4);
    const nth = pageNumber(load<u64>(entry), pages);
    const low = load<u32>(entry, 8);
    const first = firstGroup(low);
    const second = secondGroup(low, first);
    const counts = filled + <usize>((nth * GROUPS) << 2);
    const group = load<u32>(counts + <usize>(first << 2)) <= load<u32>(counts + <usize>(second << 2)) ? first : second;
    const used = counts + <usize>(group << 2);
    const place = load<u32>(used);
    if (place == GROUP_SLOTS) return false;
    store<u32>(used, place + 1);
    const page = nthPage(segment, nth);
    const slot = group * GROUP_SLOTS + place;
    store<u16>(tagIn(page, slot), load<u16>(tags + (<usize>i << 1)));
    v128.store(entryIn(page, slot), v128.load(entry));
  }
  return true;
}

/** Makes room in the segment of a hash: drops expired entries; if that is not enough adds a page, or splits. Some µs. */
export function rebuild(high: u64): void {
  const place = placeOf(high);
  const segment = load<u64>(slotAt(place));
  const pages = pagesOf(segment);
  const before = load<u32>(stream, STREAM_IDS_AT);
  const count = collect(segment);
  const isEnough = before > load<u32>(stream, STREAM_IDS_AT) && (count << 8) <= FILL_AFTER_PURGE * pages * ID_PAGE_SLOTS;
  if (isEnough && fill(segment, scratch, scratchTags, count)) return;
  if (pages == 2) {
    const wider = withThird(segment, newPage());
    writeSegment(place, depthOf(segment), wider);
    if (fill(wider, scratch, scratchTags, count)) return;
    split(place, wider, count);
  } else split(place, segment, count);
}

/** Splits the segment at a place, of three pages, whose `count` entries are in scratch, by the next bit of their places. */
function split(place: u32, segment: u64, count: u32): void {
  const depth = depthOf(segment);
  if (depth == load<u32>(stream, STREAM_DEPTH_AT)) doubleDirectory();
  const bit: u32 = 1 << (31 - depth);
  let zeros: u32 = 0;
  let ones: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const entry = v128.load(scratch + (<usize>i << 4));
    const tag = load<u16>(scratchTags + (<usize>i << 1));
    if (placeOf(i64x2.extract_lane(entry, 0)) & bit) {
      v128.store(half + (<usize>ones << 4), entry);
      store<u16>(halfTags + (<usize>ones << 1), tag);
      ones++;
    } else {
      v128.store(scratch + (<usize>zeros << 4), entry);
      store<u16>(scratchTags + (<usize>zeros << 1), tag);
      zeros++;
    }
  }
  const zeroHalf = segmentOf(nthPage(segment, 0), nthPage(segment, 1));
  buildHalf(place & ~bit, depth + 1, zeroHalf, scratch, scratchTags, zeros);
  buildHalf(place | bit, depth + 1, segmentOf(nthPage(segment, 2), newPage()), half, halfTags, ones);
}

function buildHalf(place: u32, depth: u32, segment: u64, from: usize, tags: usize, count: u32): void {
  if (!fill(segment, from, tags, count)) {
    // Chance has put too many of them into one half, or one page.
    segment = withThird(segment, newPage());
    if (!fill(segment, from, tags, count)) unreachable();
  }
  writeSegment(place, depth, segment);
}

/** Writes all directory slots of the segment of `depth` bits at a place. */
function writeSegment(place: u32, depth: u32, segment: u64): void {
  writeDepth(segment, depth);
  const slots: u32 = 1 << (load<u32>(stream, STREAM_DEPTH_AT) - depth);
  const slot = slotAt(place & ~((1 << (32 - depth)) - 1));
  for (let i: u32 = 0; i < slots; i++) store<u64>(slot + <usize>i * DIRECTORY_SLOT_BYTES, segment);
}

/** The room for a directory, in pages. */
function directoryPages(depthMax: u32): u32 {
  return <u32>((<usize>1 << depthMax) * DIRECTORY_SLOT_BYTES / ADMIT_PAGE_BYTES);
}

/** Moves the directory of a table, if it has one, to where it has room for 2^depthMax slots. The old place becomes free pages. */
export function moveDirectory(table: usize, to: usize, depthMax: u32): void {
  const from: usize = load<u32>(table, STREAM_DIRECTORY_AT);
  if (from) {
    memory.copy(to, from, <usize>DIRECTORY_SLOT_BYTES << load<u32>(table, STREAM_DEPTH_AT));
    grantPages(from, directoryPages(load<u32>(table, STREAM_DEPTH_MAX_AT)));
  }
  store<u32>(table, <u32>to, STREAM_DIRECTORY_AT);
  store<u32>(table, depthMax, STREAM_DEPTH_MAX_AT);
}

/** One more bit of depth, in place, from the end: 1 MB at 24 M ids, well below a ms. Traps if hashes are not uniform. */
function doubleDirectory(): void {
  const depth = load<u32>(stream, STREAM_DEPTH_AT);
  if (depth == load<u32>(stream, STREAM_DEPTH_MAX_AT)) unreachable();
  for (let i: i32 = (1 << depth) - 1; i >= 0; i--) {
    const segment = load<u64>(directory + <usize>i * DIRECTORY_SLOT_BYTES);
    store<u64>(directory + (<usize>i << 1) * DIRECTORY_SLOT_BYTES, segment);
    store<u64>(directory + ((<usize>i << 1) + 1) * DIRECTORY_SLOT_BYTES, segment);
  }
  store<u32>(stream, depth + 1, STREAM_DEPTH_AT);
  openDirectory();
}

