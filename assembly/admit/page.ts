// Owns the layout of the id table: which directory slot, page, group and entry belong to a hash; and the table at hand. Finding,
// growing and sweeping are beside it: table.ts, grow.ts, sweep.ts.
//
// Extendible hashing (Fagin, Nievergelt, Pippenger, Strong, 1979) with partial expansions (Larson, 1980), so that growth is a few µs
// at a time: a directory slot, chosen by the first bits of the hash, names a segment of two or three pages. Within a page groups of
// 16 tags are compared at once (as in Abseil's Swiss tables).
//
// Page: 14 groups of (16 tags, 16 epochs), 224 entries of 16 bytes, 64 bytes unused. Tag 0 = never used since the page was built,
// 1 = erased, else 8 bits of the hash. An epoch is received_at in units of a 64th of the TTL, modulo 256: the sweeper tells
// expired entries by it, without touching the entries. received_at in ms is modulo 2^32 (49.7 days): the host bounds the TTL
// at 20 days, and a table without any batch for a whole TTL is emptied, so ages below 2^32 ms are all that occur.
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

export const GROUPS: u32 = ID_PAGE_SLOTS / 16;
export const GROUP_BYTES: usize = 32;
export const ENTRIES_AT: usize = 448;
export const ERASED: u8 = 1;
/** TTL in epochs. */
export const TTL_EPOCHS: u32 = 64;

// The table at hand, and the time of the batch at hand: set by openTable.
export let stream: usize = 0;
export let directory: usize = 0;
export let shift: u64 = 63;
export let nowMs: u32 = 0;
export let ttlMs: u32 = 0;
export let nowEpoch: u8 = 0;
/** Age from which an entry may leave the table: the TTL, or less when it is sealed on disk; and epochs that it has gone through at least. */
export let holdMs: u32 = 0;
export let holdEpochs: u8 = 0;
let epochMs: i64 = 1;
let lastMs: i64 = -1;
let lastEpoch: u8 = 0;

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
  holdEpochs = holdMs == ttlMs ? <u8>TTL_EPOCHS + 1 : <u8>(<i64>holdMs / epochMs);
}

/** Takes note of the directory of the table at hand, whose depth has changed. */
export function openDirectory(): void {
  directory = load<u32>(stream, STREAM_DIRECTORY_AT);
  shift = 64 - <u64>load<u32>(stream, STREAM_DEPTH_AT);
}

/** Epoch byte of received_at. Remembers the last one: a checkpoint's entries come in order of acceptance. */
export function epochOf(ms: i64): u8 {
  if (ms != lastMs) {
    lastMs = ms;
    lastEpoch = <u8>(ms / epochMs);
  }
  return lastEpoch;
}

/** Adds to the number of ids in the table. */
export function countIds(more: i32): void {
  store<u32>(stream, load<u32>(stream, STREAM_IDS_AT) + more, STREAM_IDS_AT);
}

/** Address of the directory slot of a hash. */
// @ts-ignore: decorator.
@inline
export function slotOf(high: u64): usize {
  return directory + <usize>(high >> shift) * DIRECTORY_SLOT_BYTES;
}

/** Address of the page of a hash in the segment of `slot`. */
// @ts-ignore: decorator.
@inline
export function pageIn(slot: usize, high: u64): usize {
  const nth = ((high & 0xffffffff) * <u64>load<u8>(slot, 12)) >> 32;
  return load<u32>(slot + (<usize>nth << 2));
}

/** Address, from its page, of the group where the search for an id begins. */
// @ts-ignore: decorator.
@inline
export function groupAt(low: u32): usize {
  return <usize>((<u64>low * GROUPS) >> 32) * GROUP_BYTES;
}

// @ts-ignore: decorator.
@inline
export function tagOf(low: u32): u8 {
  const tag = <u8>low;
  return tag > ERASED ? tag : tag + 2;
}

/** Address of the group after one in its page, the first after the last. */
// @ts-ignore: decorator.
@inline
export function nextGroup(group: usize): usize {
  const page = group & ~(<usize>ADMIT_PAGE_BYTES - 1);
  return group + GROUP_BYTES == page + ENTRIES_AT ? page : group + GROUP_BYTES;
}

/** Address of the entry that belongs to the tag at an address. */
// @ts-ignore: decorator.
@inline
export function entryOf(tag: usize): usize {
  const page = tag & ~(<usize>ADMIT_PAGE_BYTES - 1);
  const at = tag & (<usize>ADMIT_PAGE_BYTES - 1);
  return page + ENTRIES_AT + ((at >> 5) << 8) + ((at & 15) << 4);
}

/** Address of the epoch byte of the entry at an address. */
export function epochAddress(entry: usize): usize {
  const page = entry & ~(<usize>ADMIT_PAGE_BYTES - 1);
  const index = <u32>(entry - page - ENTRIES_AT) >> 4;
  return page + <usize>(index >> 4) * GROUP_BYTES + 16 + (index & 15);
}

/** Writes an entry, its epoch and its tag at `tag`. */
// @ts-ignore: decorator.
@inline
export function writeEntry(tag: usize, high: u64, low: u32, ms: u32, epoch: u8): void {
  store<u8>(tag, tagOf(low));
  store<u8>(tag, epoch, 16);
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
