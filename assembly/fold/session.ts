// Sessions of a view in pages: rows of keys in an index, each key's sessions in a chain, the newest first; and how they close. An event
// finds its session in session-assign.ts; when a session is due is told by timers.ts.
import {
  BUCKET_ENTRIES_MAX,
  FOLD_PAGE_BYTES,
  HEAP_ROW_BYTES_AT,
  KEY_COLUMN_BYTES,
  KEY_TEXT,
  ROW_NULLS_AT,
  ROW_WINDOW_AT,
  SESSION_APPLIED_AT,
  SESSION_BASE_AT,
  SESSION_CLOSED,
  SESSION_DEAD,
  SESSION_HIDDEN,
  SESSION_END_AT,
  SESSION_GAP_AT,
  SESSION_GRAIN_AT,
  SESSION_NEWER_AT,
  SESSION_OLDER_AT,
  SESSION_OPEN,
  SESSION_OPEN_AT,
  SESSION_START_AT,
  SESSION_STATE_AT,
  SESSION_TAG_AT,
  SESSION_WHEEL_COUNT_AT,
  STATE_FIRST_S,
  STATE_HLL,
  STATE_LAST_S,
  STATE_MAX_S,
  STATE_MIN_S,
  TEXT_INLINE_BYTES,
  WINDOW_CHAIN_AT,
  WINDOW_DIRECTORY_AT,
  WINDOW_FIRST_BUCKET_AT,
  WINDOW_GROUPS_AT,
  WINDOW_PAGES_AT,
  WHEEL_BLOCK_ROWS,
  WINDOW_VERSION_AT,
  WORK_RESULT_AT,
} from "../../kernels/abi";
import { readAhead, readRowsAhead } from "./ahead";
import { freeHeap, giveBytes } from "./blocks";
import { firstWith, lineOf, nextWith, put, removeSlot } from "./bucket";
import { bucketOf, emptyBucket, freeBuckets, mergeBuckets, split } from "./group";
import { sketchBytes } from "./hll";
import { allocatePages, freeChain, touch } from "./pages";
import { giveRow, keepSpareRows, roomForSpareRows, takeRow } from "./spare-rows";
import { fileAgain, fileLater, fileTimer, giveTimers, nextTimers, popTimer, sortTimers, turnWheel } from "./timers";

/** Slots of the wheel for one gap: a session is looked at some three times, in groups of a 64th of all. */
const SLOTS_PER_GAP: i64 = 64;

/** Keys (KEY_COLUMN_BYTES each, without registers) and states (u32 kind, u32 offset) of the rows of the view at hand. */
let keys: u32 = 0;
let keyCount: u32 = 0;
export let states: u32 = 0;
export let stateCount: u32 = 0;

/** Says how rows of the view are laid out that the next calls are about. */
export function setSessionLayout(keysAt: u32, keyColumns: u32, statesAt: u32, stateColumns: u32): void {
  keys = keysAt;
  keyCount = keyColumns;
  states = statesAt;
  stateCount = stateColumns;
}

/** t + by, cut at the highest time. */
export function later(t: i64, by: i64): i64 {
  return t > i64.MAX_VALUE - by ? i64.MAX_VALUE : t + by;
}

/** Makes the header of a view of sessions and returns its address. */
export function createSessions(gap: i64, rowBytes: u32): u32 {
  store<u32>(WORK_RESULT_AT, 0, 64);
  const header = allocatePages(1, WORK_RESULT_AT + 64);
  memory.fill(header, 0, FOLD_PAGE_BYTES);
  store<u32>(header, load<u32>(WORK_RESULT_AT, 64), WINDOW_CHAIN_AT);
  store<u32>(header, 1, WINDOW_PAGES_AT);
  store<u32>(header, header + WINDOW_FIRST_BUCKET_AT, WINDOW_DIRECTORY_AT);
  store<u32>(header, rowBytes, HEAP_ROW_BYTES_AT);
  store<i64>(header, gap, SESSION_GAP_AT);
  store<i64>(header, max<i64>(1, gap / SLOTS_PER_GAP), SESSION_GRAIN_AT);
  store<i64>(header, i64.MIN_VALUE, SESSION_BASE_AT);
  store<u32>(header, emptyBucket(header, 0, 0), WINDOW_FIRST_BUCKET_AT);
  return header;
}

/** Gives back all memory of a view of sessions. */
export function freeSessions(header: u32): void {
  freeHeap(header);
  freeBuckets(header);
  freeChain(load<u32>(header, WINDOW_CHAIN_AT));
}

/** Slot of the index that has `row`, as an address. The row is the newest session of its key. */
function slotOf(header: u32, row: u32): u32 {
  const tag = load<u32>(row, SESSION_TAG_AT);
  for (let slot = firstWith(bucketOf(header, tag), tag); slot != 0; slot = nextWith()) if (load<u32>(slot, 4) == row) return slot;
  return unreachable();
}

function countGroups(header: u32, by: i64): void {
  store<i64>(header, load<i64>(header, WINDOW_GROUPS_AT) + by, WINDOW_GROUPS_AT);
  touch(header);
}

/** A new open session, not in a chain yet: a zeroed row with its bounds and its timer. */
export function openSession(header: u32, tag: u32, start: i64, end: i64): u32 {
  const row = takeRow(header);
  const bytes = load<u32>(header, HEAP_ROW_BYTES_AT);
  for (let at = row; at < row + bytes; at += 32) {
    v128.store(at, i64x2.splat(0));
    v128.store(at, i64x2.splat(0), 16);
  }
  store<u32>(row, header, ROW_WINDOW_AT);
  store<u32>(row, tag, SESSION_TAG_AT);
  store<u32>(row, SESSION_OPEN, SESSION_STATE_AT);
  setBounds(row, start, end);
  fileTimer(header, end, row);
  store<u32>(header, load<u32>(header, SESSION_OPEN_AT) + 1, SESSION_OPEN_AT);
  return row;
}

export function setBounds(row: u32, start: i64, end: i64): void {
  store<i64>(row, start, SESSION_START_AT);
  store<i64>(row, end, SESSION_END_AT);
  touch(row);
}

/** Puts a session into its key's chain between `newer` and `older`; without either the key is new to the index. */
export function insertSession(header: u32, row: u32, newer: u32, older: u32): void {
  store<u32>(row, older, SESSION_OLDER_AT);
  store<u32>(row, newer, SESSION_NEWER_AT);
  if (newer != 0) {
    store<u32>(newer, row, SESSION_OLDER_AT);
    touch(newer);
  } else if (older != 0) {
    const slot = slotOf(header, older);
    store<u32>(slot, row, 4);
    touch(slot);
  } else {
    const tag = load<u32>(row, SESSION_TAG_AT);
    let bucket = bucketOf(header, tag);
    while (load<u32>(bucket) >= <u32>BUCKET_ENTRIES_MAX) {
      split(header, tag);
      bucket = bucketOf(header, tag);
    }
    put(bucket, tag, row);
    countGroups(header, 1);
  }
  if (older != 0) {
    store<u32>(older, row, SESSION_NEWER_AT);
    touch(older);
  }
}

/** Takes a session out of its key's chain, and the key out of the index when it has no other. */
function removeSession(header: u32, row: u32): void {
  const newer = load<u32>(row, SESSION_NEWER_AT);
  const older = load<u32>(row, SESSION_OLDER_AT);
  if (newer != 0) {
    store<u32>(newer, older, SESSION_OLDER_AT);
    touch(newer);
  } else {
    const slot = slotOf(header, row);
    if (older != 0) {
      store<u32>(slot, older, 4);
      touch(slot);
    } else {
      removeSlot(slot);
      mergeBuckets(header, load<u32>(row, SESSION_TAG_AT));
      countGroups(header, -1);
    }
  }
  if (older == 0) return;
  store<u32>(older, newer, SESSION_NEWER_AT);
  touch(older);
}

/** Gives back texts and sketches of a row's states; those states are empty then. */
function freeStates(header: u32, row: u32): void {
  for (let i: u32 = 0; i < stateCount; i++) {
    const kind = load<u32>(states + (i << 3));
    const at = row + load<u32>(states + (i << 3), 4);
    if (kind == STATE_HLL) {
      const block = load<u32>(at, 4);
      if (block != 0) giveBytes(header, block, sketchBytes(at));
      store<u64>(at, 0);
    } else if (kind == STATE_MIN_S || kind == STATE_MAX_S) {
      const capacity = load<u32>(at, 8);
      if (capacity != 0) giveBytes(header, load<u32>(at, 12), capacity);
      store<u32>(at, 0);
      store<u32>(at, 0, 8);
    } else if (kind == STATE_FIRST_S || kind == STATE_LAST_S) {
      const capacity = load<u32>(at, 20);
      if (capacity != 0) giveBytes(header, load<u32>(at, 24), capacity);
      store<u32>(at, 0);
      store<u32>(at, 0, 20);
    }
  }
  touch(row);
}

/** Takes a session out whose states another one has taken in. Its row stays until its timer comes. */
export function buryRow(header: u32, row: u32): void {
  freeStates(header, row);
  removeSession(header, row);
  if (load<u32>(row, SESSION_STATE_AT) == SESSION_OPEN)
    store<u32>(header, load<u32>(header, SESSION_OPEN_AT) - 1, SESSION_OPEN_AT);
  store<u32>(row, SESSION_DEAD, SESSION_STATE_AT);
  touch(row);
  touch(header);
}

/** Gives back a row with all that belongs to it. */
function freeRow(header: u32, row: u32): void {
  freeStates(header, row);
  const nulls = load<u32>(row, ROW_NULLS_AT);
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    if (load<u32>(key, 4) != KEY_TEXT || (nulls >> k) & 1) continue;
    const at = row + load<u32>(key);
    const bytes = load<u32>(at);
    if (bytes > <u32>TEXT_INLINE_BYTES) giveBytes(header, load<u32>(at, 8), bytes);
  }
  store<u32>(row, 0, SESSION_STATE_AT);
  giveRow(header, row);
}

/** A closed session whose range may go: it is forgotten once the watermark is beyond its end + gap. */
function forget(header: u32, row: u32, watermark: i64): void {
  const until = later(load<i64>(row, SESSION_END_AT), load<i64>(header, SESSION_GAP_AT));
  if (watermark <= until) return fileLater(header, until, row);
  removeSession(header, row);
  freeRow(header, row);
}

/** What the rows of a block of timers that may be forgotten will read, u32 addresses: themselves, lines of the index, what is beside those and them. */
const closed: u32 = <u32>memory.data(WHEEL_BLOCK_ROWS * 4);
const lines: u32 = <u32>memory.data(WHEEL_BLOCK_ROWS * 4);
const beside: u32 = <u32>memory.data(WHEEL_BLOCK_ROWS * 4);

/** Reads what `turnTimers` will read of `n` rows at `rows`, so that the cache misses overlap. */
function reach(header: u32, rows: u32, n: u32): void {
  readAhead(rows, n, SESSION_END_AT);
  readAhead(rows, n, SESSION_STATE_AT);
  let count: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const row = load<u32>(rows + (i << 2));
    const tag = load<u32>(row, SESSION_TAG_AT);
    store<u32>(closed + (count << 2), row);
    store<u32>(lines + (count << 2), lineOf(bucketOf(header, tag), tag));
    store<u32>(beside + (count << 2), load<u32>(row, SESSION_NEWER_AT));
    count += u32(load<u32>(row, SESSION_STATE_AT) != SESSION_OPEN);
  }
  readAhead(closed, count, 0);
  readAhead(lines, count, 0);
  readAhead(beside, count, SESSION_OLDER_AT);
  // Heads of pages too: they lie at multiples of a page and throw each other out of the cache.
  for (let i: u32 = 0; i < count; i++) store<u32>(beside + (i << 2), load<u32>(lines + (i << 2)) & ~(FOLD_PAGE_BYTES - 1));
  readAhead(beside, count, 0);
  const kept = min(count, roomForSpareRows(header));
  for (let i = kept; i < count; i++) store<u32>(beside + (i << 2), load<u32>(closed + (i << 2)) & ~(FOLD_PAGE_BYTES - 1));
  readAhead(beside + (kept << 2), count - kept, 0);
}

/** Moves timers up to the watermark: sessions that may be due come to the sorted run, forgotten and buried ones give their rows back. */
export function turnTimers(header: u32, watermark: i64): void {
  if (turnWheel(header, watermark)) keepSpareRows(header, load<u32>(header, SESSION_WHEEL_COUNT_AT));
  for (let block = nextTimers(header); block != 0; block = nextTimers(header)) {
    const n = load<u32>(block, 4);
    reach(header, block + 8, n);
    for (let i: u32 = 0; i < n; i++) {
      const row = load<u32>(block + (i << 2), 8);
      const state = load<u32>(row, SESSION_STATE_AT);
      if (state == SESSION_OPEN) fileAgain(header, load<i64>(row, SESSION_END_AT), row);
      else if (state == SESSION_DEAD) freeRow(header, row);
      else forget(header, row, watermark);
    }
    giveTimers(header, block);
  }
  sortTimers(header);
}

/** Takes at most `limit` rows whose timers are due, and reads what closing them will read. */
function popTimers(header: u32, watermark: i64, to: u32, limit: u32): u32 {
  let n: u32 = 0;
  for (; n < limit; n++) {
    const row = popTimer(header, watermark);
    if (row == 0) break;
    store<u32>(to + (n << 2), row);
  }
  readRowsAhead(to, n, load<u32>(header, HEAP_ROW_BYTES_AT));
  return n;
}

/**
 * Writes the addresses of at most `limit` sessions that end before `watermark`, by their end, as u32; returns how many. They are closed
 * then. Fewer than `limit` may come although more are due; none when none is.
 */
export function closeSessions(header: u32, watermark: i64, to: u32, limit: u32): u32 {
  let n: u32 = 0;
  for (;;) {
    const popped = popTimers(header, watermark, to, limit);
    for (let i: u32 = 0; i < popped; i++) {
      const row = load<u32>(to + (i << 2));
      const end = load<i64>(row, SESSION_END_AT);
      if (load<u32>(row, SESSION_STATE_AT) == SESSION_DEAD) freeRow(header, row);
      else if (end >= watermark) fileTimer(header, end, row);
      else {
        store<u32>(row, SESSION_CLOSED, SESSION_STATE_AT);
        touch(row);
        store<u32>(to + (n++ << 2), row);
      }
    }
    if (popped == 0 || n > 0) break;
  }
  store<u32>(header, load<u32>(header, SESSION_OPEN_AT) - n, SESSION_OPEN_AT);
  if (n > 0) store<u32>(header, load<u32>(header, WINDOW_VERSION_AT) + 1, WINDOW_VERSION_AT);
  touch(header);
  return n;
}

/** The rows of `n` closed sessions at `list` are no part of the view: they are not put out. */
export function hideSessions(list: u32, n: u32): void {
  for (let i: u32 = 0; i < n; i++) {
    const row = load<u32>(list + (i << 2));
    store<u32>(row, SESSION_HIDDEN, SESSION_STATE_AT);
    touch(row);
  }
}

/**
 * The rows of `n` sessions at `list` that `closeSessions` gave are put out: their range stays while it is kept, and their states if
 * `keep` (late events may still correct them). Returns the events applied in them.
 */
export function releaseSessions(header: u32, watermark: i64, list: u32, n: u32, keep: bool): f64 {
  let applied: u64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const row = load<u32>(list + (i << 2));
    applied += load<u64>(row, SESSION_APPLIED_AT);
    if (!keep) freeStates(header, row);
    forget(header, row, watermark);
  }
  return <f64>applied;
}
