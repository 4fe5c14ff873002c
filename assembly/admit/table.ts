// Owns finding and adding ids: what `verdict.ts` asks the id table. Layout: page.ts.
import { ID_ENTRY_BYTES } from "../../kernels/abi";
import { rebuild } from "./grow";
import {
  countIds, entryOf, epochOf, ERASED, groupAt, GROUPS, nextGroup, nowEpoch, nowMs, pageIn, slotOf, TAG_MASK, tagAddress, tagOf,
  tagsLike, tagsThatAre, ttlMs, writeEntry,
} from "./page";

/** An id that finds no room within this many groups makes its segment grow: pages are filled to some 95 % by then. */
const PROBES_MAX: u32 = 6;

// Where an id that `find` did not find can go: address of its tag, 0 = nowhere in its page; groups looked at until there.
let placeTag: usize = 0;
let placeProbes: u32 = 0;

/**
 * Rows in a group. There is no prefetch in WASM, and a line of a large table takes 100 to 250 ns to come: while a group is in work, the
 * home groups of the next one are loaded. (Groups of 64 rows, or loading the lines of the entries as well, gained nothing.)
 */
const AHEAD: u32 = 32;
/** Addresses of the home groups of the rows of these two groups: u32 by row modulo 64. */
const homes = memory.data(64 * 4);
/** Keeps the compiler from leaving the loads out. */
let sink: u32 = 0;

/** Address of the group where the search for an id begins. */
function homeOf(high: u64, low: u32): usize {
  return pageIn(load<u64>(slotOf(high)), high) + groupAt(low);
}

/**
 * Finds and loads the home groups of rows [from, to). The loads have a loop of their own, as short as can be: a core has some 20 to
 * 30 loads under way only if they are that close together. With the address arithmetic between them an event took 15 ns more.
 */
function loadHomes(hashes: usize, from: u32, to: u32): void {
  for (let row = from; row < to; row++) {
    const hash = hashes + <usize>row * ID_ENTRY_BYTES;
    store<u32>(homes + ((row & 63) << 2), <u32>homeOf(load<u64>(hash), load<u32>(hash, 8)));
  }
  let sum: u32 = 0;
  for (let row = from; row < to; row++) sum += load<u32>(homeOfRow(row));
  sink = sum;
}

/** To be called for each row in order, before `homeOfRow`: keeps loading ahead. */
// @ts-ignore: decorator.
@inline
export function keepAhead(hashes: usize, row: u32, rows: u32): void {
  if (row & (AHEAD - 1)) return;
  if (!row) loadHomes(hashes, 0, min(AHEAD, rows));
  if (row + AHEAD < rows) loadHomes(hashes, row + AHEAD, min(row + 2 * AHEAD, rows));
}

/** Finds the home groups again from `row`, after the row before it caused a rebuild. */
export function renewAhead(hashes: usize, row: u32, rows: u32): void {
  loadHomes(hashes, row, min(((row - 1) & ~(AHEAD - 1)) + 2 * AHEAD, rows));
}

// @ts-ignore: decorator.
@inline
export function homeOfRow(row: u32): usize {
  return load<u32>(homes + ((row & 63) << 2));
}

/** Address of the entry of an id, expired or not; 0 = not there, and a place for it is noted. `home`: its homeOf. */
export function find(home: usize, high: u64, low: u32): usize {
  const tag = i16x8.splat(tagOf(low));
  const mask = i16x8.splat(TAG_MASK);
  let group = home;
  placeTag = 0;
  for (let probes: u32 = 1; probes <= GROUPS; probes++) {
    let hits = tagsLike(group, mask, tag);
    while (hits) {
      const entry = entryOf(group + (<usize>ctz(hits) << 1));
      if (load<u64>(entry) == high && load<u32>(entry, 8) == low) return entry;
      hits &= hits - 1;
    }
    const never = tagsThatAre(group, 0);
    if (never) {
      if (!placeTag) notePlace(group, never, probes);
      return 0;
    }
    if (!placeTag) {
      const erased = tagsThatAre(group, ERASED);
      if (erased) notePlace(group, erased, probes);
    }
    group = nextGroup(group);
  }
  return 0;
}

function notePlace(group: usize, free: u32, probes: u32): void {
  placeTag = group + (<usize>ctz(free) << 1);
  placeProbes = probes;
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

/**
 * Adds the id that `find` has just not found, received at `ms` in `epoch`. True when its segment was rebuilt: home groups that were
 * computed before are void.
 */
function insertAt(high: u64, low: u32, ms: u32, epoch: u16): bool {
  let rebuilt = false;
  if (!placeTag || placeProbes > PROBES_MAX) {
    rebuild(high);
    find(homeOf(high, low), high, low);
    if (!placeTag) unreachable();
    rebuilt = true;
  }
  writeEntry(placeTag, high, low, ms, epoch);
  countIds(1);
  return rebuilt;
}

/** Adds the id that `find` has just not found, with the batch's received_at. True: call renewAhead. */
export function insert(high: u64, low: u32): bool {
  return insertAt(high, low, nowMs, nowEpoch);
}

/** Adds or renews an id of a checkpoint; an expired one is left out, the younger one stays. True: call renewAhead. */
export function restoreId(home: usize, high: u64, low: u32, receivedMs: i64): bool {
  const ms = <u32>receivedMs;
  const age = nowMs - ms;
  if (age >= ttlMs) return false;
  const entry = find(home, high, low);
  if (!entry) return insertAt(high, low, ms, epochOf(receivedMs));
  if (nowMs - load<u32>(entry, 12) > age) rewrite(entry, ms, epochOf(receivedMs));
  return false;
}
