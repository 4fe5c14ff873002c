// Owns the layout of the id table: which directory slot, page, group and entry belong to a hash; and the table at hand. Finding,
// growing and sweeping are beside it: table.ts, grow.ts, sweep.ts.
//
// Extendible hashing (Fagin, Nievergelt, Pippenger, Strong, 1979) with partial expansions (Larson, 1980), so that growth is a few µs
// at a time: a directory slot, chosen by the first bits of the hash's place, names a segment of two or three pages. Places are twice as
// dense at their beginning as at their end, so that segments do not all grow at the same time (`placeOf`). Within a page groups of
// 32 tags, a line of memory each, are compared at once (as in Abseil's Swiss tables). An id is in one of two groups of its page, and
// goes to the emptier (Azar, Broder, Karlin, Upfal, Balanced Allocations, 1994): which lines a search needs is known before it begins,
// and an erased slot is as good as one never used.
//
// Page: 7 groups of 32 tags (u16), 224 entries of 16 bytes, and in a segment's first page u8 the segment's depth in bits. Its 64 lines are
// exchanged by the page's number (`placeIn`): lines at one place of every page share one of the 64 sets of a core's cache. Tag 0 = free,
// else 11 bits of the hash (1 at least) below 5 bits of epoch. An epoch is received_at in units of an eighth of the TTL, modulo 32: by it
// expired entries are told without touching them. received_at in ms is modulo 2^32 (49.7 days): the host bounds the TTL at 20 days, and a
// table without any batch for a whole TTL is emptied, so ages below 2^32 ms are all that occur.
import {
  ADMIT_PAGE_BYTES,
  DIRECTORY_SLOT_BYTES,
  ID_PAGE_SLOTS,
  STREAM_DEPTH_AT,
  STREAM_DIRECTORY_AT,
  STREAM_IDS_AT,
  STREAM_SEALED_MS_AT,
  STREAM_TTL_MS_AT,
} from "../../kernels/abi";

export const GROUP_SLOTS: u32 = 32;
export const GROUPS: u32 = ID_PAGE_SLOTS / GROUP_SLOTS;
export const GROUP_BYTES: usize = 64;
const ENTRIES_AT: usize = GROUPS * GROUP_BYTES;
/** Where a segment's first page has its depth. */
const DEPTH_AT: usize = ENTRIES_AT + <usize>ID_PAGE_SLOTS * 16;
/** The bits of a tag that are of the hash; the epoch lies above. */
export const TAG_MASK: u16 = 0x7ff;
const EPOCH_SHIFT: u16 = 11;
/** 2^x - 1 = x (c1 + x (c2 + x c3)) within 0.0002, in units of 2^-32; exactly 1 for x = 1. */
const PLACE_1: u64 = 2988867741;
const PLACE_2: u64 = 965508648;
const PLACE_3: u64 = 340590907;
/** TTL in epochs. */
const TTL_EPOCHS: i64 = 8;
/** Epochs that only an expired entry has gone through. No age comes near 32: at 22 the sweeper has met every entry. */
export const EXPIRED_EPOCHS: u16 = (<u16>TTL_EPOCHS + 1) << EPOCH_SHIFT;

// The table at hand, and the time of the batch at hand: set by openTable.
export let stream: usize = 0;
export let directory: usize = 0;
/** A place's bits below those that choose its directory slot. */
export let shift: u32 = 31;
export let nowMs: u32 = 0;
export let ttlMs: u32 = 0;
/** Epochs as in a tag: shifted, modulo 2^16. */
export let nowEpoch: u16 = 0;
/** Age from which an entry may leave the table: the TTL, or less when it is sealed on disk; and the epochs that it has gone through by then. */
export let holdMs: u32 = 0;
export let holdEpochs: u16 = 0;
let epochMs: i64 = 1;
let lastMs: i64 = -1;
let lastEpoch: u16 = 0;

/** Makes `table` the one that the other functions work on, at received_at `receivedMs`. */
export function openTable(table: usize, receivedMs: i64): void {
  stream = table;
  openDirectory();
  const ttl = load<i64>(table, STREAM_TTL_MS_AT);
  ttlMs = <u32>ttl;
  epochMs = max<i64>((ttl + TTL_EPOCHS - 1) / TTL_EPOCHS, 1);
  lastMs = -1;
  nowMs = <u32>receivedMs;
  nowEpoch = epochOf(receivedMs);
  const sealed = load<i64>(table, STREAM_SEALED_MS_AT);
  holdMs = sealed <= 0 ? ttlMs : <u32>min<i64>(ttl, max<i64>(receivedMs - sealed, 0));
  holdEpochs = <u16>(<i64>holdMs / epochMs) << EPOCH_SHIFT;
}

/** Takes note of the directory of the table at hand, whose depth has changed. */
export function openDirectory(): void {
  directory = load<u32>(stream, STREAM_DIRECTORY_AT);
  shift = 32 - load<u32>(stream, STREAM_DEPTH_AT);
}

/** Epoch of received_at, as in a tag. Remembers the last one: a checkpoint's entries come in order of acceptance. */
export function epochOf(ms: i64): u16 {
  if (ms != lastMs) {
    lastMs = ms;
    lastEpoch = <u16>(ms / epochMs) << EPOCH_SHIFT;
  }
  return lastEpoch;
}

/** Adds to the number of ids in the table. */
export function countIds(more: i32): void {
  store<u32>(stream, load<u32>(stream, STREAM_IDS_AT) + more, STREAM_IDS_AT);
}

/**
 * The place of a hash in the table. Of the first 32 bits as a fraction x it is 2^x - 1, by a polynomial: with evenly dense places nearly all
 * segments have as many ids, and grow within the same tenth of the table's growth; so as many grow at any time (Martin, Spiral Storage, 1979).
 */
// @ts-ignore: decorator.
@inline
export function placeOf(high: u64): u32 {
  const x = high >> 32;
  return <u32>((x * (PLACE_1 + ((x * (PLACE_2 + ((x * PLACE_3) >> 32))) >> 32))) >> 32);
}

/** How dense places are where the fraction `y` of them lies before: 1 on average. */
export function densityAt(y: f64): f64 {
  return 1 / (Math.LN2 * (1 + y));
}

/** Address of the directory slot of a place. */
// @ts-ignore: decorator.
@inline
export function slotAt(place: u32): usize {
  return directory + (<usize>place >> shift) * DIRECTORY_SLOT_BYTES;
}

/** Address of the directory slot of a hash. */
// @ts-ignore: decorator.
@inline
export function slotOf(high: u64): usize {
  return slotAt(placeOf(high));
}

/** Pages of the segment whose directory slot is `segment`. */
// @ts-ignore: decorator.
@inline
export function pagesOf(segment: u64): u32 {
  return 2 + u32(segment >> 40 != 0);
}

/** Address of a page of a segment. */
// @ts-ignore: decorator.
@inline
export function nthPage(segment: u64, nth: u32): usize {
  return (<usize>(segment >> <u64>(nth * 20)) & 0xfffff) << 12;
}

/** Address of the byte `at` a place in a page: its lines are exchanged by the low bits of the page's number. */
// @ts-ignore: decorator.
@inline
function placeIn(page: usize, at: usize): usize {
  return page | (at ^ ((page >> 6) & 0xfc0));
}

/** Address of a page's group. */
// @ts-ignore: decorator.
@inline
export function groupIn(page: usize, group: u32): usize {
  return placeIn(page, <usize>group * GROUP_BYTES);
}

/** Address of the tag of a page's slot. */
// @ts-ignore: decorator.
@inline
export function tagIn(page: usize, slot: u32): usize {
  return placeIn(page, <usize>slot << 1);
}

/** Address of the entry of a page's slot. */
// @ts-ignore: decorator.
@inline
export function entryIn(page: usize, slot: u32): usize {
  return placeIn(page, ENTRIES_AT + (<usize>slot << 4));
}

/** Depth of a segment in bits. */
export function depthOf(segment: u64): u32 {
  return <u32>load<u8>(placeIn(nthPage(segment, 0), DEPTH_AT));
}

export function writeDepth(segment: u64, depth: u32): void {
  store<u8>(placeIn(nthPage(segment, 0), DEPTH_AT), <u8>depth);
}

/** Number of the page of a hash in a segment of `pages` pages. */
// @ts-ignore: decorator.
@inline
export function pageNumber(high: u64, pages: u32): u32 {
  return <u32>(((high & 0xffffffff) * <u64>pages) >> 32);
}

/** Number, in its page, of the first of the two groups where an id may be. */
// @ts-ignore: decorator.
@inline
export function firstGroup(low: u32): u32 {
  return <u32>((<u64>low * GROUPS) >> 32);
}

/** Number of the other one, `first` being the first. */
// @ts-ignore: decorator.
@inline
export function secondGroup(low: u32, first: u32): u32 {
  const second = first + 1 + <u32>((<u64>(low * GROUPS) * (GROUPS - 1)) >> 32);
  return second >= GROUPS ? second - GROUPS : second;
}

/** The bits of the hash in an id's tag. */
// @ts-ignore: decorator.
@inline
export function tagOf(low: u32): u16 {
  const tag = <u16>low & TAG_MASK;
  return tag ? tag : 1;
}

/** The lanes of two vectors of u16 that are all ones, a bit each. */
// @ts-ignore: decorator.
@inline
function lanes(first: v128, second: v128): u32 {
  return <u32>i8x16.bitmask(i8x16.narrow_i16x8_s(first, second));
}

/** The tags of a group whose bits in `mask` are `wanted`, a bit each. */
// @ts-ignore: decorator.
@inline
export function tagsLike(group: usize, mask: v128, wanted: v128): u32 {
  const first = lanes(
    i16x8.eq(v128.and(v128.load(group), mask), wanted), i16x8.eq(v128.and(v128.load(group, 16), mask), wanted));
  const second = lanes(
    i16x8.eq(v128.and(v128.load(group, 32), mask), wanted), i16x8.eq(v128.and(v128.load(group, 48), mask), wanted));
  return first | (second << 16);
}

/** The tags of a group that are `tag`, a bit each. */
// @ts-ignore: decorator.
@inline
export function tagsThatAre(group: usize, tag: u16): u32 {
  return tagsLike(group, i16x8.splat(-1), i16x8.splat(tag));
}

/** Address of the entry that belongs to the tag at an address. */
// @ts-ignore: decorator.
@inline
export function entryOf(tag: usize): usize {
  const page = tag & ~(<usize>ADMIT_PAGE_BYTES - 1);
  return placeIn(page, ENTRIES_AT + ((placeIn(page, tag - page) - page) << 3));
}

/** Address of the tag of the entry at an address. */
export function tagAddress(entry: usize): usize {
  const page = entry & ~(<usize>ADMIT_PAGE_BYTES - 1);
  return placeIn(page, (placeIn(page, entry - page) - page - ENTRIES_AT) >> 3);
}

/** Writes an entry, and its tag with its epoch at `tag`. */
// @ts-ignore: decorator.
@inline
export function writeEntry(tag: usize, high: u64, low: u32, ms: u32, epoch: u16): void {
  store<u16>(tag, tagOf(low) | epoch);
  const entry = entryOf(tag);
  store<u64>(entry, high);
  store<u64>(entry, <u64>low | (<u64>ms << 32), 8);
}

/** True when an entry found has outlived the TTL. */
export function isExpired(entry: usize): bool {
  return nowMs - load<u32>(entry, 12) >= ttlMs;
}

/** True when an entry need not be in the table any more: it has outlived the TTL, or is sealed. */
export function mayLeave(entry: usize): bool {
  return nowMs - load<u32>(entry, 12) >= holdMs;
}

/** Of eight tags those of an age of `limit` epochs at least. */
// @ts-ignore: decorator.
@inline
function isOld(tags: usize, limit: u16): v128 {
  const all = v128.load(tags);
  const epochs = v128.and(all, i16x8.splat(~TAG_MASK));
  const old = i16x8.ge_u(i16x8.sub(i16x8.splat(nowEpoch), epochs), i16x8.splat(limit));
  return v128.and(old, i16x8.ne(all, i16x8.splat(0)));
}

/** The tags of a group of an age of `limit` epochs (as in a tag) at least, a bit each. */
// @ts-ignore: decorator.
@inline
export function oldTags(group: usize, limit: u16): u32 {
  const first = lanes(isOld(group, limit), isOld(group + 16, limit));
  return first | (lanes(isOld(group + 32, limit), isOld(group + 48, limit)) << 16);
}

/** Erases the entries of a group whose epoch says that they have expired. Returns how many they were. */
// @ts-ignore: decorator.
@inline
export function purge(group: usize): u32 {
  const expired = popcnt(oldTags(group, EXPIRED_EPOCHS));
  if (!expired) return 0;
  for (let tags = group; tags < group + GROUP_BYTES; tags += 16) {
    v128.store(tags, v128.andnot(v128.load(tags), isOld(tags, EXPIRED_EPOCHS)));
  }
  return expired;
}

/** Loads the `lines` lines of memory at `from`, all at once: their sum is for `keepLoads`. */
export function loadLines(from: usize, lines: u32): u32 {
  let sum: u32 = 0;
  for (let line: u32 = 0; line < lines; line++) sum += load<u32>(from + (<usize>line << 6));
  return sum;
}

let kept: u32 = 0;

/** Keeps the compiler from leaving out loads that only fetch memory. */
// @ts-ignore: decorator.
@inline
export function keepLoads(sum: u32): void {
  kept = sum;
}
