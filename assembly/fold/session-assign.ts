// Which session an event belongs to, row by row of a chunk: it is late, it joins an open session, it bridges two, or it opens one. The
// rule is DESIGN's, the plain twin kernels/reference/session.ts. Where an event is behind the watermark, that is time + behind exactly;
// where it is not, the watermark is at most its time, and no session that it touches can be closed.
import {
  FOLD_PAGE_BYTES,
  HEAP_ROW_BYTES_AT,
  KEY_FIXED8,
  LATE_RANGE_BYTES,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  RESULT_LATE_AT,
  RESULT_NEXT_AT,
  RESULT_REMOVED_AT,
  RESULT_REOPENED_AT,
  ROW_NULLS_AT,
  SESSION_APPLIED_AT,
  SESSION_CLOSED,
  SESSION_DEAD,
  SESSION_END_AT,
  SESSION_GAP_AT,
  SESSION_NEWER_AT,
  SESSION_OLDER_AT,
  SESSION_OPEN,
  SESSION_REVISION_AT,
  SESSION_START_AT,
  SESSION_STATE_AT,
  WINDOW_VERSION_AT,
  WORK_ERRORS_AT,
  WORK_HASHES_AT,
  WORK_INPUT_AT,
  WORK_NULLS_AT,
  WORK_RESULT_AT,
  WORK_ROWS_2_AT,
  WORK_ROWS_AT,
  WORK_SELECTED_2_AT,
  WORK_SELECTED_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi";
import { readAhead, readRowsAhead } from "./ahead";
import { firstWith, lineOf, nextWith, rowAtHome } from "./bucket";
import { bucketOf, sameKeys, storeKeys, tagKeys } from "./group";
import { mergeRows } from "./merge";
import { touch } from "./pages";
import { nextRows } from "./spare-rows";
import { buryRow, insertSession, later, openSession, setBounds, stateCount, states } from "./session";
import { isValid, step, values } from "./vector";

/** Rows whose sessions are read ahead together: their cache misses overlap, and what they read stays in the cache. */
const TILE: u32 = 256;

/** Lists the rows of a chunk that pass the filter (a register or -1) and hashes their keys; returns how many. RESULT_FILTERED counts the others. */
export function beginSessions(filter: i32, keys: u32, keyCount: u32, n: u32): u32 {
  const filterAt = filter < 0 ? 0 : values(filter);
  const filterStep = filter < 0 ? 0 : step(filter);
  let taken: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    store<u32>(WORK_SELECTED_AT + (taken << 2), i);
    taken += filter < 0 || (load<u8>(filterAt + i * filterStep) != 0 && isValid(filter, i)) ? 1 : 0;
  }
  tagKeys(keys, keyCount, taken);
  memory.copy(WORK_INPUT_AT, WORK_SELECTED_AT, taken << 2);
  store<u32>(WORK_RESULT_AT, n - taken, RESULT_FILTERED_AT);
  return taken;
}

function tagOf(j: u32): u32 {
  return load<u32>(WORK_HASHES_AT + (j << 3));
}

/**
 * Reads what the rows from `from` to `to` will read, and notes for each a row of the same tag, 0 = none: the newest session as a rule.
 * What is read is found first: in those loops no branch is a matter of chance.
 */
function reach(header: u32, times: u32, from: u32, to: u32): void {
  const bytes = load<u32>(header, HEAP_ROW_BYTES_AT);
  const list = WORK_ROWS_2_AT + (from << 2);
  for (let j = from; j < to; j++) {
    const tag = tagOf(j);
    store<u32>(WORK_ROWS_2_AT + (j << 2), lineOf(bucketOf(header, tag), tag));
  }
  readAhead(list, to - from, 0);
  let added: u32 = 0;
  for (let j = from; j < to; j++) {
    const line = load<u32>(WORK_ROWS_2_AT + (j << 2));
    const row = rowAtHome(line, tagOf(j));
    store<u32>(WORK_WINDOWS_AT + (j << 2), row);
    // The page of the line counts its rows.
    store<u32>(WORK_SELECTED_2_AT + (added << 2), line & ~(FOLD_PAGE_BYTES - 1));
    added += u32(row == 0);
  }
  readRowsAhead(WORK_WINDOWS_AT + (from << 2), to - from, bytes);
  readAhead(WORK_SELECTED_2_AT, added, 0);
  // What sessions that begin will be written to.
  let begun: u32 = 0;
  for (let j = from; j < to; j++) {
    const row = load<u32>(WORK_WINDOWS_AT + (j << 2));
    const t = load<i64>(times + (load<u32>(WORK_INPUT_AT + (j << 2)) << 3));
    begun += u32(row == 0) | u32(t > load<i64>(row, SESSION_END_AT));
  }
  nextRows(header, list, begun);
  readRowsAhead(list, begun, bytes);
}

/** Where the only key of 8 bytes lies in rows, and its form register's values; 0 = the keys are others. */
let keyAt: u32 = 0;
let keyForms: u32 = 0;
let keyStep: u32 = 0;

function setKey(keys: u32, keyCount: u32): void {
  keyAt = keyCount == 1 && load<u32>(keys, 4) == KEY_FIXED8 ? load<u32>(keys) : 0;
  if (keyAt == 0) return;
  keyForms = values(load<u32>(keys, 8));
  keyStep = step(load<u32>(keys, 8));
}

function isKey(keys: u32, keyCount: u32, row: u32, i: u32, nulls: u32): bool {
  if (keyAt == 0 || nulls != 0) return sameKeys(keys, keyCount, row, i, nulls);
  return load<u32>(row, ROW_NULLS_AT) == 0 && load<u64>(row + keyAt) == load<u64>(keyForms + i * keyStep);
}

/** The newest session of the keys of input row j, 0 = none. */
function find(header: u32, keys: u32, keyCount: u32, j: u32, i: u32): u32 {
  const nulls = load<u32>(WORK_NULLS_AT + (j << 2));
  const noted = load<u32>(WORK_WINDOWS_AT + (j << 2));
  if (noted != 0 && load<u32>(noted, SESSION_NEWER_AT) == 0 && load<u32>(noted, SESSION_STATE_AT) != SESSION_DEAD)
    if (isKey(keys, keyCount, noted, i, nulls)) return noted;
  const tag = tagOf(j);
  for (let slot = firstWith(bucketOf(header, tag), tag); slot != 0; slot = nextWith()) {
    const row = load<u32>(slot, 4);
    if (isKey(keys, keyCount, row, i, nulls)) return row;
  }
  return 0;
}

// What `look` finds for an event: the sessions that it touches, two at most, and the neighbours of a session of its own.
let closed: u32 = 0;
let older: u32 = 0;
let newer: u32 = 0;
let after: u32 = 0;
let next: u32 = 0;
let held: bool = false;

/**
 * Walks a key's sessions, the newest first. `closed`: one whose range is kept; `newer`, `older`: open ones, `newer` first; `held`: the
 * event lies in one of them; `after`: the oldest session beyond the event; `next`: the newest before it.
 */
function look(newest: u32, t: i64, watermark: i64, gap: i64): void {
  closed = 0;
  older = 0;
  newer = 0;
  after = 0;
  held = false;
  let row = newest;
  for (; row != 0; row = load<u32>(row, SESSION_OLDER_AT)) {
    const start = load<i64>(row, SESSION_START_AT);
    const end = load<i64>(row, SESSION_END_AT);
    if (t > end) break;
    if (start > t) after = row;
    if (start > later(t, gap)) continue;
    if (watermark > end) {
      if (watermark <= later(end, gap)) closed = row;
    } else {
      if (newer == 0) newer = row;
      else older = row;
      held = held || start <= t;
    }
  }
  next = row;
}

/** Whether `update` takes a late event into the closed session that it touches. */
function corrects(t: i64, watermark: i64, gap: i64, allowed: i64): bool {
  if (closed == 0 || allowed < 0 || watermark >= later(load<i64>(closed, SESSION_END_AT), allowed)) return false;
  return load<i64>(closed, SESSION_START_AT) <= t || watermark <= later(t, gap);
}

/** Puts a late event into the list, with the range of the sessions that it would have touched, or its own. */
function listLate(to: u32, row: u32, t: i64, gap: i64): void {
  let start = i64.MAX_VALUE;
  let end = i64.MIN_VALUE;
  for (let k = 0; k < 3; k++) {
    const session = k == 0 ? closed : k == 1 ? newer : older;
    if (session == 0) continue;
    start = min(start, load<i64>(session, SESSION_START_AT));
    end = max(end, load<i64>(session, SESSION_END_AT));
  }
  const own = start > end;
  store<u64>(to, row);
  store<i64>(to, own ? t : start, 8);
  store<i64>(to, own ? later(t, gap) : end, 16);
}

/** Merges session `from` into `row`, of the same key. */
function takeIn(header: u32, row: u32, from: u32): void {
  mergeRows(states, stateCount, row, from);
  store<u64>(row, load<u64>(row, SESSION_APPLIED_AT) + load<u64>(from, SESSION_APPLIED_AT), SESSION_APPLIED_AT);
  store<u64>(row, load<u64>(row, SESSION_REVISION_AT) + load<u64>(from, SESSION_REVISION_AT), SESSION_REVISION_AT);
  setBounds(
    row,
    min(load<i64>(row, SESSION_START_AT), load<i64>(from, SESSION_START_AT)),
    max(load<i64>(row, SESSION_END_AT), load<i64>(from, SESSION_END_AT)),
  );
  buryRow(header, from);
}

/** A new session of the keys of selected row i, with its place in the chain beside what `look` found. */
function begin(header: u32, keys: u32, keyCount: u32, j: u32, t: i64, gap: i64): u32 {
  const row = openSession(header, tagOf(j), t, later(t, gap));
  const i = load<u32>(WORK_INPUT_AT + (j << 2));
  storeKeys(header, row, keys, keyCount, i, load<u32>(WORK_NULLS_AT + (j << 2)));
  if (closed == 0) insertSession(header, row, after, next);
  else insertSession(header, row, load<u32>(closed, SESSION_NEWER_AT), closed);
  return row;
}

/** A session of its own for a late event that corrects: it takes in all that the event touches. Returns the events of it that count as applied. */
function correct(header: u32, row: u32): u64 {
  const out = load<u32>(closed, SESSION_STATE_AT) != SESSION_OPEN ? load<u64>(closed, SESSION_APPLIED_AT) : 0;
  takeIn(header, row, closed);
  if (newer != 0) takeIn(header, row, newer);
  if (older != 0) takeIn(header, row, older);
  store<u64>(row, load<u64>(row, SESSION_REVISION_AT) + 1, SESSION_REVISION_AT);
  return out;
}

/** The session that takes the event in: one that it joins, merged with another that it touches, or a new one. */
function join(header: u32, t: i64, gap: i64): u32 {
  const row = newer;
  if (older != 0) takeIn(header, row, older);
  const start = load<i64>(row, SESSION_START_AT);
  const end = load<i64>(row, SESSION_END_AT);
  const until = later(t, gap);
  if (t < start || until > end) setBounds(row, min(t, start), max(until, end));
  else touch(row);
  return row;
}

/** Whether an event lies in a session that is open and the newest of its key: it touches no other then. */
function isIn(newest: u32, t: i64, watermark: i64): bool {
  if (newest == 0 || t < load<i64>(newest, SESSION_START_AT)) return false;
  const end = load<i64>(newest, SESSION_END_AT);
  return t <= end && watermark <= end;
}

function extend(row: u32, t: i64, gap: i64): void {
  const end = later(t, gap);
  if (end > load<i64>(row, SESSION_END_AT)) store<i64>(row, end, SESSION_END_AT);
  touch(row);
}

/** Closed sessions that had been put out and are corrected, and the events in them. */
let removed: u32 = 0;
let reopened: u64 = 0;

/** The session of input row j after `look`, which is not late. */
function settle(header: u32, keys: u32, keyCount: u32, j: u32, t: i64, gap: i64, removedTo: u32): u32 {
  if (closed != 0) {
    const row = begin(header, keys, keyCount, j, t, gap);
    store<u32>(removedTo + (removed << 2), closed);
    removed += load<u32>(closed, SESSION_STATE_AT) == SESSION_CLOSED ? 1 : 0;
    reopened += correct(header, row);
    return row;
  }
  return newer != 0 ? join(header, t, gap) : begin(header, keys, keyCount, j, t, gap);
}

/**
 * Takes the input rows from number `from` on, `count` in all; returns how many were selected, with their sessions in the work area. It
 * stops before a row that merges sessions while rows before it are not in their states yet: RESULT_NEXT says where to go on. Late rows
 * go to the list at `lateTo`, sessions that were put out and are corrected (`allowed` >= 0 µs behind their end) to `removedTo`.
 */
export function assignSessions(header: u32, keys: u32, keyCount: u32, time: u32, behind: u32, allowed: i64, from: u32, count: u32, firstRow: u32, lateTo: u32, removedTo: u32): u32 {
  const gap = load<i64>(header, SESSION_GAP_AT);
  const times = values(time);
  setKey(keys, keyCount);
  let selected: u32 = 0;
  let late: u32 = 0;
  let failed: u32 = 0;
  let ahead = from;
  let j = from;
  removed = 0;
  reopened = 0;
  for (; j < count; j++) {
    if (j == ahead) {
      ahead = min(j + TILE, count);
      reach(header, times, j, ahead);
    }
    const i = load<u32>(WORK_INPUT_AT + (j << 2));
    const t = load<i64>(times + (i << 3));
    const by = behind == 0 ? 0 : load<i64>(behind + (i << 3));
    const watermark = by > 0 ? later(t, by) : i64.MIN_VALUE;
    let row = find(header, keys, keyCount, j, i);
    if (isIn(row, t, watermark)) extend(row, t, gap);
    else {
      look(row, t, watermark, gap);
      const isLate = closed != 0 || (watermark > later(t, gap) && !held);
      if (isLate && !corrects(t, watermark, gap, allowed)) {
        listLate(lateTo + late * LATE_RANGE_BYTES, firstRow + i, t, gap);
        late++;
        continue;
      }
      if ((older != 0 || closed != 0) && selected > 0) break;
      row = settle(header, keys, keyCount, j, t, gap, removedTo);
    }
    store<u32>(WORK_SELECTED_AT + (selected << 2), i);
    store<u32>(WORK_ROWS_AT + (selected << 2), row);
    selected++;
    if (load<u8>(WORK_ERRORS_AT + i) != 0) failed++;
    else store<u64>(row, load<u64>(row, SESSION_APPLIED_AT) + 1, SESSION_APPLIED_AT);
  }
  store<u32>(header, load<u32>(header, WINDOW_VERSION_AT) + 1, WINDOW_VERSION_AT);
  touch(header);
  store<u32>(WORK_RESULT_AT, late, RESULT_LATE_AT);
  store<u32>(WORK_RESULT_AT, failed, RESULT_FAILED_AT);
  store<u32>(WORK_RESULT_AT, j, RESULT_NEXT_AT);
  store<u32>(WORK_RESULT_AT, removed, RESULT_REMOVED_AT);
  store<u64>(WORK_RESULT_AT, reopened, RESULT_REOPENED_AT);
  return selected;
}
