// A bucket of an index of groups: a page of slots (u32 tag, u32 row) in lines of the cache's size. A tag's slot is in its home line, or
// when that is full in the nearest line behind it with room: a search reads one line as a rule, all its tags at once. The slots of a line
// fill from its start, so a line whose last slot is free has room.
import { BUCKET_HEADER_BYTES, BUCKET_LINE_BYTES, BUCKET_LINES, FOLD_PAGE_BYTES } from "../../kernels/abi";
import { touch } from "./pages";

/** From a line's start to its last slot. */
const LAST: u32 = BUCKET_LINE_BYTES - 8;

/** The home line of a tag: its lower 16 bits tell. */
export function lineOf(bucket: u32, tag: u32): u32 {
  return bucket + BUCKET_HEADER_BYTES + (((tag & 0xffff) * BUCKET_LINES) >> 16) * BUCKET_LINE_BYTES;
}

function pageOf(address: u32): u32 {
  return address & ~(FOLD_PAGE_BYTES - 1);
}

/** A slot or line that may be behind the last one of its bucket: then the first. */
function wrapped(at: u32): u32 {
  return (at & (FOLD_PAGE_BYTES - 1)) == 0 ? at - FOLD_PAGE_BYTES + BUCKET_HEADER_BYTES : at;
}

function isFull(line: u32): bool {
  return load<u32>(line + LAST, 4) != 0;
}

/** Bit 2k is set where slot k of a line has the tag. Free slots have tag 0. */
function tagBits(line: u32, tag: u32): u32 {
  const wanted = i32x4.splat(tag);
  const a = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(line), wanted), i32x4.eq(v128.load(line, 16), wanted));
  const b = i16x8.narrow_i32x4_s(i32x4.eq(v128.load(line, 32), wanted), i32x4.eq(v128.load(line, 48), wanted));
  return i8x16.bitmask(i8x16.narrow_i16x8_s(a, b)) & 0x5555;
}

/** The row of a tag in its home line, 0 = there is none. A line's free slots have row 0. */
export function rowAtHome(line: u32, tag: u32): u32 {
  const found = tagBits(line, tag);
  // Whether a key is new is a matter of chance: no branch asks it.
  return load<u32>(line + ((ctz(found) << 2) & LAST), 4) & -u32(found != 0);
}

// The search at hand: its tag, the line that it is in and that line's slots that are still to be told.
let wanted: u32 = 0;
let line: u32 = 0;
let bits: u32 = 0;

/** Begins a search in a bucket and those that it overflowed to: the first slot with a tag, 0 = none. One search goes on at a time. */
export function firstWith(bucket: u32, tag: u32): u32 {
  wanted = tag;
  line = lineOf(bucket, tag);
  bits = tagBits(line, tag);
  return nextWith();
}

/** Goes on with the line where slots that found no room in this one are; false = there is none. */
function goOn(): bool {
  if (isFull(line)) line = wrapped(line + BUCKET_LINE_BYTES);
  else {
    const overflow = load<u32>(pageOf(line), 8);
    if (overflow == 0) return false;
    line = lineOf(overflow, wanted);
  }
  bits = tagBits(line, wanted);
  return true;
}

/** The next slot with the tag, 0 = no more. */
export function nextWith(): u32 {
  do {
    while (bits != 0) {
      const slot = line + (ctz(bits) << 2);
      bits &= bits - 1;
      if (load<u32>(slot, 4) != 0) return slot;
    }
  } while (goOn());
  return 0;
}

/** Puts a row into a bucket that has room. */
export function put(bucket: u32, tag: u32, row: u32): void {
  let at = lineOf(bucket, tag);
  while (isFull(at)) at = wrapped(at + BUCKET_LINE_BYTES);
  while (load<u32>(at, 4) != 0) at += 8;
  store<u32>(at, tag);
  store<u32>(at, row, 4);
  store<u32>(bucket, load<u32>(bucket) + 1);
  touch(bucket);
}

/** Slots from one to another, around the end of a bucket. */
function distance(bucket: u32, from: u32, to: u32): u32 {
  return to >= from ? to - from : to + (FOLD_PAGE_BYTES - BUCKET_HEADER_BYTES) - from;
}

/** Frees a slot: others move up where that brings them no further than their home (Knuth, 6.4 R). */
export function removeSlot(slot: u32): void {
  const bucket = pageOf(slot);
  let hole = slot;
  let at = (slot & ~(BUCKET_LINE_BYTES - 1)) + LAST;
  if (load<u32>(at, 4) == 0) {
    // Nothing went over this line: its last slot goes here.
    while (load<u32>(at, 4) == 0) at -= 8;
    store<u64>(hole, load<u64>(at));
    hole = at;
  } else {
    for (at = wrapped(hole + 8); load<u32>(at, 4) != 0; at = wrapped(at + 8)) {
      const home = lineOf(bucket, load<u32>(at));
      if (distance(bucket, home, at) < distance(bucket, hole, at)) continue;
      store<u64>(hole, load<u64>(at));
      hole = at;
    }
  }
  store<u64>(hole, 0);
  store<u32>(bucket, load<u32>(bucket) - 1);
  touch(bucket);
}
