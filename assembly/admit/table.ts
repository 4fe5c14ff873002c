// Owns finding and adding ids: what `verdict.ts` asks the id table. Layout: page.ts.
import { ID_ENTRY_BYTES } from "../../kernels/abi";
import { rebuild } from "./grow";
import {
  countIds, entryOf, epochOf, firstGroup, groupIn, keepLoads, nowEpoch, nowMs, nthPage, pageNumber, pagesOf, purge, secondGroup, slotOf,
  TAG_MASK, tagAddress, tagOf, tagsLike, tagsThatAre, ttlMs, writeEntry,
} from "./page";

/** Where an id that `find` did not find can go: address of its tag, 0 = both of its groups are full. */
let placeTag: usize = 0;

/**
 * Rows in a tile. There is no prefetch in WASM, and a line of a large table takes 100 to 250 ns to come: the groups of a whole tile are
 * loaded before its rows are decided on, 16 KB of memory.
 */
const TILE: u32 = 128;
/** One of so many rows sees to it that what has expired leaves its groups: a group is met some ten times a TTL. */
const PURGED_ROWS: u32 = 4;
/** The two groups of each row of the tile: the address of the first (u32), of the second (u32). */
const homes = memory.data(128 * 8);

/** Addresses of the two groups where an id may be, from its directory slot: the first in the low half. */
// @ts-ignore: decorator.
@inline
function groupsOf(slot: usize, high: u64, low: u32): u64 {
  const segment = load<u64>(slot);
  const page = nthPage(segment, pageNumber(high, pagesOf(segment)));
  const first = firstGroup(low);
  return <u64>groupIn(page, first) | (<u64>groupIn(page, secondGroup(low, first)) << 32);
}

/**
 * Finds and loads the groups of rows [from, to). The loads have loops of their own, as short as can be: a core has some 20 to
 * 30 loads under way only if they are that close together.
 */
function loadGroups(hashes: usize, from: u32, to: u32): void {
  let sum: u32 = 0;
  for (let row = from; row < to; row++) {
    store<u64>(homes + ((row & (TILE - 1)) << 3), slotOf(load<u64>(hashes + <usize>row * ID_ENTRY_BYTES)));
  }
  for (let row = from; row < to; row++) sum += load<u32>(<usize>groupsOfRow(row));
  for (let row = from; row < to; row++) {
    const hash = hashes + <usize>row * ID_ENTRY_BYTES;
    const home = homes + ((row & (TILE - 1)) << 3);
    store<u64>(home, groupsOf(<usize>load<u64>(home), load<u64>(hash), load<u32>(hash, 8)));
  }
  for (let row = from; row < to; row++) {
    const groups = groupsOfRow(row);
    sum += load<u32>(<usize>(groups & 0xffffffff)) + load<u32>(<usize>(groups >> 32));
  }
  keepLoads(sum);
}

/** To be called for each row in order, before `groupsOfRow`: loads ahead. */
// @ts-ignore: decorator.
@inline
export function keepAhead(hashes: usize, row: u32, rows: u32): void {
  if (!(row & (TILE - 1))) loadGroups(hashes, row, min(row + TILE, rows));
}

/** Finds the groups again from `row`, after the row before it caused a rebuild. */
export function renewAhead(hashes: usize, row: u32, rows: u32): void {
  loadGroups(hashes, row, min(((row - 1) & ~(TILE - 1)) + TILE, rows));
}

/** Addresses of the groups of a row, as of `groupsOf`. */
// @ts-ignore: decorator.
@inline
export function groupsOfRow(row: u32): u64 {
  return load<u64>(homes + ((row & (TILE - 1)) << 3));
}

/** Address of the entry of an id, expired or not; 0 = not there, and a place for it is noted. `groups`: its groupsOf. */
// @ts-ignore: decorator.
@inline
export function find(groups: u64, high: u64, low: u32): usize {
  const tag = i16x8.splat(tagOf(low));
  const mask = i16x8.splat(TAG_MASK);
  const first = <usize>(groups & 0xffffffff);
  const second = <usize>(groups >> 32);
  // Both groups are compared before the first branch.
  let hits = <u64>tagsLike(first, mask, tag) | (<u64>tagsLike(second, mask, tag) << 32);
  while (hits) {
    const bit = <usize>ctz(hits);
    const entry = entryOf((bit < 32 ? first : second) + ((bit & 31) << 1));
    if (load<u64>(entry) == high && load<u32>(entry, 8) == low) return entry;
    hits &= hits - 1;
  }
  const firstFree = tagsThatAre(first, 0);
  const secondFree = tagsThatAre(second, 0);
  const intoFirst = popcnt(firstFree) >= popcnt(secondFree);
  const free = intoFirst ? firstFree : secondFree;
  placeTag = free ? (intoFirst ? first : second) + (<usize>ctz(free) << 1) : 0;
  return 0;
}

/** Writes a new received_at into an entry found. */
function rewrite(entry: usize, ms: u32, epoch: u16): void {
  store<u32>(entry, ms, 12);
  const tag = tagAddress(entry);
  store<u16>(tag, (load<u16>(tag) & TAG_MASK) | epoch);
}

/** Gives an entry found the batch's received_at. */
export function renew(entry: usize): void {
  rewrite(entry, nowMs, nowEpoch);
}

/** Erases what has expired in an id's groups. */
// @ts-ignore: decorator.
@inline
function purgeBoth(groups: u64): void {
  countIds(-(purge(<usize>(groups & 0xffffffff)) + purge(<usize>(groups >> 32))));
}

/** Makes a place for an id that `find` found none for. True when its segment was rebuilt. */
function makePlace(groups: u64, high: u64, low: u32): bool {
  purgeBoth(groups);
  find(groups, high, low);
  if (placeTag) return false;
  do {
    rebuild(high);
    find(groupsOf(slotOf(high), high, low), high, low);
  } while (!placeTag);
  return true;
}

/**
 * Adds the id that `find` has just not found, received at `ms` in `epoch`. True when its segment was rebuilt: groups that were
 * computed before are void.
 */
// @ts-ignore: decorator.
@inline
function insertAt(groups: u64, high: u64, low: u32, ms: u32, epoch: u16): bool {
  const rebuilt = !placeTag && makePlace(groups, high, low);
  writeEntry(placeTag, high, low, ms, epoch);
  countIds(1);
  return rebuilt;
}

/** Adds the id that `find` has just not found, with the batch's received_at. True: call renewAhead. */
// @ts-ignore: decorator.
@inline
export function insert(row: u32, high: u64, low: u32): bool {
  const groups = groupsOfRow(row);
  if (!(row & (PURGED_ROWS - 1))) purgeBoth(groups);
  return insertAt(groups, high, low, nowMs, nowEpoch);
}

/** Adds or renews an id of a checkpoint; an expired one is left out, the younger one stays. */
// @ts-ignore: decorator.
@inline
export function restoreId(high: u64, low: u32, receivedMs: i64): void {
  const ms = <u32>receivedMs;
  const age = nowMs - ms;
  if (age >= ttlMs) return;
  const groups = groupsOf(slotOf(high), high, low);
  const entry = find(groups, high, low);
  if (!entry) insertAt(groups, high, low, ms, epochOf(receivedMs));
  else if (nowMs - load<u32>(entry, 12) > age) rewrite(entry, ms, epochOf(receivedMs));
}
