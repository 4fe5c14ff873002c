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
  countIds, directory, ENTRIES_AT, entryOf, ERASED, GROUP_BYTES, groupAt, mayLeave, nextGroup, openDirectory, openTable, pageIn, shift, slotOf, stream,
  writeEntry,
} from "./page";
import { grantPages, releasePage, takePage } from "./pool";

/** A segment that is below this share (of 256) after its expired entries are gone stays as it is. */
const FILL_AFTER_PURGE: u32 = 180;
/** No page is built with more entries than this, so that there is room after every rebuild. */
const BUILD_MAX: u32 = 208;

/** Entries and epochs of a segment while it is rebuilt: three full pages. The second half of a split goes to `half`. */
const scratch = memory.data(672 * 16);
const scratchEpochs = memory.data(672);
const half = memory.data(672 * 16);
const halfEpochs = memory.data(672);

function newPage(): usize {
  const page = takePage();
  memory.fill(page, 0, ENTRIES_AT);
  store<u32>(stream, load<u32>(stream, STREAM_PAGES_AT) + 1, STREAM_PAGES_AT);
  return page;
}

/** Replaces the table, if there is one, by an empty one: 2^depth segments of `pages` pages, in the stream's directory. */
export function buildTable(table: usize, depth: u32, pages: u32): void {
  dropTable(table);
  store<u32>(table, depth, STREAM_DEPTH_AT);
  openTable(table, 0);
  for (let i: u32 = 0; i < 1 << depth; i++) {
    const slot = directory + <usize>i * DIRECTORY_SLOT_BYTES;
    store<u32>(slot, (depth << 8) | pages, 12);
    for (let nth: u32 = 0; nth < pages; nth++) store<u32>(slot + (<usize>nth << 2), <u32>newPage());
  }
}

/** Gives all pages of a table back, if it has any. */
function dropTable(table: usize): void {
  if (!load<u32>(table, STREAM_PAGES_AT)) return;
  const from: usize = load<u32>(table, STREAM_DIRECTORY_AT);
  const depth = load<u32>(table, STREAM_DEPTH_AT);
  for (let i: u32 = 0; i < 1 << depth; ) {
    const slot = from + <usize>i * DIRECTORY_SLOT_BYTES;
    const pages = <u32>load<u8>(slot, 12);
    for (let nth: u32 = 0; nth < pages; nth++) releasePage(load<u32>(slot + (<usize>nth << 2)));
    i += 1 << (depth - <u32>load<u8>(slot, 13));
  }
  store<u32>(table, 0, STREAM_PAGES_AT);
  store<u32>(table, 0, STREAM_IDS_AT);
}

/** Copies the entries of a segment that must stay in the table to scratch. Returns their number. */
function collect(slot: usize): u32 {
  let count: u32 = 0;
  const pages = <u32>load<u8>(slot, 12);
  for (let nth: u32 = 0; nth < pages; nth++) {
    const page: usize = load<u32>(slot + (<usize>nth << 2));
    for (let at = page; at < page + ENTRIES_AT; at += GROUP_BYTES) {
      let used = i8x16.bitmask(i8x16.gt_u(v128.load(at), i8x16.splat(ERASED)));
      while (used) {
        const lane = <u32>ctz(used);
        const entry = entryOf(at + lane);
        if (!mayLeave(entry)) {
          v128.store(scratch + (<usize>count << 4), v128.load(entry));
          store<u8>(scratchEpochs + count, load<u8>(at + lane, 16));
          count++;
        } else countIds(-1);
        used &= used - 1;
      }
    }
  }
  return count;
}

/** True when `count` entries at `from` spread over `pages` pages without overfilling one. */
function fits(from: usize, count: u32, pages: u32): bool {
  let first: u32 = 0;
  let second: u32 = 0;
  let third: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const nth = <u32>((<u64>load<u32>(from + (<usize>i << 4)) * <u64>pages) >> 32);
    first += u32(nth == 0);
    second += u32(nth == 1);
    third += u32(nth == 2);
  }
  return max(max(first, second), third) <= BUILD_MAX;
}

/** Puts entries into a segment whose pages are empty. */
function fill(slot: usize, from: usize, epochs: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const entry = from + (<usize>i << 4);
    const high = load<u64>(entry);
    const low = load<u32>(entry, 8);
    const page = pageIn(slot, high);
    let group = page + groupAt(low);
    let free: i32 = 0;
    while (true) {
      free = i8x16.bitmask(i8x16.eq(v128.load(group), i8x16.splat(0)));
      if (free) break;
      group = nextGroup(group);
    }
    writeEntry(group + ctz(free), high, low, load<u32>(entry, 12), load<u8>(epochs + i));
  }
}

/** Makes room in the segment of a hash: drops expired entries; if that is not enough adds a page or splits. Some µs. */
export function rebuild(high: u64): void {
  const slot = slotOf(high);
  const pages = <u32>load<u8>(slot, 12);
  const count = collect(slot);
  for (let nth: u32 = 0; nth < pages; nth++) memory.fill(load<u32>(slot + (<usize>nth << 2)), 0, ENTRIES_AT);
  if ((count << 8) <= FILL_AFTER_PURGE * pages * ID_PAGE_SLOTS && fits(scratch, count, pages)) {
    fill(slot, scratch, scratchEpochs, count);
  } else if (pages == 2 && fits(scratch, count, 3)) {
    writeSegment(high, load<u8>(slot, 13), load<u32>(slot), load<u32>(slot, 4), <u32>newPage());
    fill(slotOf(high), scratch, scratchEpochs, count);
  } else split(high, count);
}

/** Splits the segment of a hash, whose `count` entries are in scratch and whose pages are empty, by the next bit of the hash. */
function split(high: u64, count: u32): void {
  let slot = slotOf(high);
  const depth = <u32>load<u8>(slot, 13);
  const first: usize = load<u32>(slot);
  const second: usize = load<u32>(slot, 4);
  const third: usize = <u32>load<u8>(slot, 12) == 3 ? load<u32>(slot, 8) : newPage();
  if (depth == load<u32>(stream, STREAM_DEPTH_AT)) doubleDirectory();
  const bit = (<u64>1) << (63 - depth);
  let zeros: u32 = 0;
  let ones: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const entry = v128.load(scratch + (<usize>i << 4));
    const epoch = load<u8>(scratchEpochs + i);
    if (i64x2.extract_lane(entry, 0) & bit) {
      v128.store(half + (<usize>ones << 4), entry);
      store<u8>(halfEpochs + ones, epoch);
      ones++;
    } else {
      v128.store(scratch + (<usize>zeros << 4), entry);
      store<u8>(scratchEpochs + zeros, epoch);
      zeros++;
    }
  }
  buildHalf(high & ~bit, depth + 1, first, second);
  fillHalf(high & ~bit, scratch, scratchEpochs, zeros);
  buildHalf(high | bit, depth + 1, third, newPage());
  fillHalf(high | bit, half, halfEpochs, ones);
}

function buildHalf(high: u64, depth: u32, first: usize, second: usize): void {
  writeSegment(high, depth, <u32>first, <u32>second, 0);
}

function fillHalf(high: u64, from: usize, epochs: usize, count: u32): void {
  const slot = slotOf(high);
  if (!fits(from, count, 2)) {
    // Some 1 in 100,000 splits: chance has put too many of them into one page.
    if (!fits(from, count, 3)) unreachable();
    writeSegment(high, load<u8>(slot, 13), load<u32>(slot), load<u32>(slot, 4), <u32>newPage());
  }
  fill(slotOf(high), from, epochs, count);
}

/** Writes all directory slots of a segment of `depth` bits. */
function writeSegment(high: u64, depth: u32, first: u32, second: u32, third: u32): void {
  const slots: u32 = 1 << (load<u32>(stream, STREAM_DEPTH_AT) - depth);
  let slot = directory + (<usize>(high >> shift) & ~(<usize>slots - 1)) * DIRECTORY_SLOT_BYTES;
  for (let i: u32 = 0; i < slots; i++, slot += DIRECTORY_SLOT_BYTES) {
    store<u32>(slot, first);
    store<u32>(slot, second, 4);
    store<u32>(slot, third, 8);
    store<u32>(slot, (depth << 8) | (third ? 3 : 2), 12);
  }
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

/** One more bit of depth, in place, from the end: 2 MB at 24 M ids, well below a ms. Traps if hashes are not uniform. */
function doubleDirectory(): void {
  const depth = load<u32>(stream, STREAM_DEPTH_AT);
  if (depth == load<u32>(stream, STREAM_DEPTH_MAX_AT)) unreachable();
  for (let i: i32 = (1 << depth) - 1; i >= 0; i--) {
    const slot = v128.load(directory + <usize>i * DIRECTORY_SLOT_BYTES);
    v128.store(directory + (<usize>i << 1) * DIRECTORY_SLOT_BYTES, slot);
    v128.store(directory + ((<usize>i << 1) + 1) * DIRECTORY_SLOT_BYTES, slot);
  }
  store<u32>(stream, depth + 1, STREAM_DEPTH_AT);
  openDirectory();
}

