// Key sets: the keys of a record's rows are looked up once for all views that group by them. Each distinct key has a number, and each view a
// column with the row of its group for each number, so that a view reads one word instead of an index, keys and texts. Layout:
// kernels/abi/fold.ts. All of it may be forgotten at any time: a row that is not noted is looked for in the index of its window.
import {
  CHUNK_ROWS,
  KEY_COLUMN_BYTES,
  KEY_COLUMN_ROWS_AT,
  KEY_SET_ENTRIES_AT,
  KEY_SET_GENERATION_AT,
  KEY_SET_KEYS_MAX,
  KEY_SET_NULLS_AT,
  KEY_SET_NUMBERS_AT,
  KEY_SET_REST_AT,
  KEY_SET_REST_RECORDS,
  KEY_SET_REUSE_MIN,
  KEY_SET_ROWS_AT,
  KEY_SET_SLOTS,
  KEY_SET_SLOTS_AT,
  KEY_SET_TAGS_AT,
  KEY_SET_TEXT_AT,
  KEY_SET_TEXT_BYTES,
  KEY_SET_USED_AT,
  KEY_TEXT,
  ROW_WINDOW_AT,
  TEXT_INLINE_BYTES,
  WORK_HASHES_AT,
  WORK_NULLS_AT,
  WORK_ROWS_AT,
  WORK_SELECTED_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi";
import { readAhead, readRowsAhead } from "./ahead";
import { findGroup, findTagged } from "./find";
import { longText, sameKeys, storeForms, tagKeys } from "./group";
import { touch } from "./pages";
import { freedWindows } from "./window";

/** Rows whose entries are read ahead together: their cache misses overlap. */
const TILE: u32 = 256;
/** Their long texts, u32 addresses; 0 = none. */
const texts: u32 = <u32>memory.data(TILE * 4);

function begin(set: u32): void {
  memory.fill(set + KEY_SET_SLOTS_AT, 0, KEY_SET_SLOTS << 2);
  store<u32>(set, 0, KEY_SET_USED_AT);
  store<u32>(set, 0, KEY_SET_TEXT_AT);
  store<u32>(set, 0, KEY_SET_ROWS_AT);
  store<u32>(set, load<u32>(set, KEY_SET_GENERATION_AT) + 1, KEY_SET_GENERATION_AT);
}

/** Whether a set numbers the keys of a record of `n` rows. One that is full begins anew, or rests first when it was of little use. */
function isUsed(set: u32, n: u32): bool {
  const rest = load<u32>(set, KEY_SET_REST_AT);
  if (rest > 0) {
    store<u32>(set, rest - 1, KEY_SET_REST_AT);
    return false;
  }
  if (n > <u32>KEY_SET_KEYS_MAX) return false;
  const rows = load<u32>(set, KEY_SET_ROWS_AT);
  const used = load<u32>(set, KEY_SET_USED_AT);
  if (used + n > <u32>KEY_SET_KEYS_MAX || load<u32>(set, KEY_SET_TEXT_AT) > <u32>KEY_SET_TEXT_BYTES) {
    const wasOfUse = rows >= used * KEY_SET_REUSE_MIN;
    begin(set);
    if (!wasOfUse) {
      store<u32>(set, KEY_SET_REST_RECORDS, KEY_SET_REST_AT);
      return false;
    }
  } else if (load<u32>(set, KEY_SET_GENERATION_AT) == 0) begin(set);
  store<u32>(set, load<u32>(set, KEY_SET_ROWS_AT) + n, KEY_SET_ROWS_AT);
  return true;
}

function entryOf(set: u32, number: u32, entryBytes: u32): u32 {
  return set + KEY_SET_ENTRIES_AT + number * entryBytes;
}

function slotOf(set: u32, tag: u32): u32 {
  return set + KEY_SET_SLOTS_AT + ((tag & (KEY_SET_SLOTS - 1)) << 2);
}

/** Gives an entry texts of its own. One that finds no room keeps those of the batch: they last for the record, and the next begins anew. */
function ownTexts(set: u32, entry: u32, entryBytes: u32, keys: u32, keyCount: u32, nulls: u32): void {
  const texts = entryOf(set, <u32>KEY_SET_KEYS_MAX, entryBytes);
  for (let k: u32 = 0; k < keyCount; k++) {
    const form = longText(entry, keys, k, nulls);
    if (form == 0) continue;
    const bytes = load<u32>(form);
    const at = load<u32>(set, KEY_SET_TEXT_AT);
    if (at > <u32>KEY_SET_TEXT_BYTES) return;
    store<u32>(set, at + ((min<u32>(bytes, KEY_SET_TEXT_BYTES) + 7) & ~7), KEY_SET_TEXT_AT);
    if (load<u32>(set, KEY_SET_TEXT_AT) > <u32>KEY_SET_TEXT_BYTES) continue;
    memory.copy(texts + at, load<u32>(form, 8), bytes);
    store<u32>(form, texts + at, 8);
  }
}

/** The number of the keys of selected row `i`, given when they are new. */
function numberOf(set: u32, entryBytes: u32, keys: u32, keyCount: u32, i: u32, tag: u32, nulls: u32): u32 {
  let slot = slotOf(set, tag);
  const end = set + KEY_SET_ENTRIES_AT;
  for (let held = load<u32>(slot); held != 0; held = load<u32>(slot)) {
    const entry = entryOf(set, held - 1, entryBytes);
    if (load<u32>(entry, ROW_WINDOW_AT) == tag && sameKeys(keys, keyCount, entry, i, nulls)) return held - 1;
    slot += 4;
    if (slot == end) slot = set + KEY_SET_SLOTS_AT;
  }
  const number = load<u32>(set, KEY_SET_USED_AT);
  const entry = entryOf(set, number, entryBytes);
  storeForms(entry, keys, keyCount, i, nulls);
  ownTexts(set, entry, entryBytes, keys, keyCount, nulls);
  store<u32>(entry, tag, ROW_WINDOW_AT);
  store<u32>(slot, number + 1);
  store<u32>(set, number + 1, KEY_SET_USED_AT);
  return number;
}

/** Reads the slots, entries and texts that numbering rows `from` to `end` of a chunk will read. */
function reach(set: u32, entryBytes: u32, keys: u32, keyCount: u32, tags: u32, from: u32, end: u32): void {
  const list = WORK_ROWS_AT + (from << 2);
  const n = end - from;
  for (let j = from; j < end; j++) store<u32>(WORK_ROWS_AT + (j << 2), slotOf(set, load<u32>(tags + (j << 2))));
  readAhead(list, n, 0);
  for (let j = from; j < end; j++) {
    const held = load<u32>(load<u32>(WORK_ROWS_AT + (j << 2)));
    store<u32>(WORK_ROWS_AT + (j << 2), select<u32>(0, entryOf(set, held - 1, entryBytes), held == 0));
  }
  readAhead(list, n, 0);
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    if (load<u32>(key, 4) != KEY_TEXT) continue;
    for (let j: u32 = 0; j < n; j++) {
      const text = load<u32>(list + (j << 2)) + load<u32>(key);
      const isLong = load<u32>(list + (j << 2)) != 0 && load<u32>(text) > <u32>TEXT_INLINE_BYTES;
      store<u32>(texts + (j << 2), select<u32>(load<u32>(text, 8), 0, isLong));
    }
    readAhead(texts, n, 0);
  }
}

/** Numbers the keys of a record's `n` rows; tags, masks of nulls and numbers, u32 each, go to `vectors`. */
export function numberKeys(set: u32, keys: u32, keyCount: u32, entryBytes: u32, n: u32, vectors: u32): void {
  const isNumbered = isUsed(set, n);
  store<u32>(set, vectors, KEY_SET_TAGS_AT);
  store<u32>(set, vectors + (n << 2), KEY_SET_NULLS_AT);
  store<u32>(set, isNumbered ? vectors + (n << 3) : 0, KEY_SET_NUMBERS_AT);
  for (let first: u32 = 0; first < n; first += CHUNK_ROWS) {
    const rows = min<u32>(CHUNK_ROWS, n - first);
    for (let j: u32 = 0; j < rows; j++) store<u32>(WORK_SELECTED_AT + (j << 2), first + j);
    tagKeys(keys, keyCount, rows);
    const tags = vectors + (first << 2);
    memory.copy(tags + (n << 2), WORK_NULLS_AT, rows << 2);
    for (let j: u32 = 0; j < rows; j++) store<u32>(tags + (j << 2), load<u32>(WORK_HASHES_AT + (j << 3)));
    if (!isNumbered) continue;
    for (let from: u32 = 0; from < rows; from += TILE) {
      const end = min(from + TILE, rows);
      reach(set, entryBytes, keys, keyCount, tags, from, end);
      for (let j = from; j < end; j++) {
        const nulls = load<u32>(WORK_NULLS_AT + (j << 2));
        const number = numberOf(set, entryBytes, keys, keyCount, first + j, load<u32>(tags + (j << 2)), nulls);
        store<u32>(tags + (n << 3) + (j << 2), number);
      }
    }
  }
}

/** Makes a column one that is good for the set and the windows as they are now: without rows, unless it is. */
function refresh(set: u32, column: u32): void {
  const generation = load<u32>(set, KEY_SET_GENERATION_AT);
  if (load<u32>(column) == generation && load<u32>(column, 4) == freedWindows) return;
  store<u32>(column, generation);
  store<u32>(column, freedWindows, 4);
  memory.fill(column + KEY_COLUMN_ROWS_AT, 0, KEY_SET_KEYS_MAX << 2);
}

/** Gives selected row `j` what `findGroup` reads of it. */
function takeTag(set: u32, j: u32, row: u32): void {
  store<u64>(WORK_HASHES_AT + (j << 3), load<u32>(load<u32>(set, KEY_SET_TAGS_AT) + (row << 2)));
  store<u32>(WORK_NULLS_AT + (j << 2), load<u32>(load<u32>(set, KEY_SET_NULLS_AT) + (row << 2)));
}

/** Puts the rows that a column has for selected rows `from` to `end` into the work area; 0 where it has none of the row's window. */
function noted(numbers: u32, column: u32, rowBytes: u32, from: u32, end: u32): void {
  for (let j = from; j < end; j++) {
    const number = load<u32>(numbers + (load<u32>(WORK_SELECTED_AT + (j << 2)) << 2));
    store<u32>(WORK_ROWS_AT + (j << 2), load<u32>(column + (number << 2), KEY_COLUMN_ROWS_AT));
  }
  readRowsAhead(WORK_ROWS_AT + (from << 2), end - from, rowBytes);
  for (let j = from; j < end; j++) {
    const row = load<u32>(WORK_ROWS_AT + (j << 2));
    const isOf = load<u32>(row, ROW_WINDOW_AT) == load<u32>(WORK_WINDOWS_AT + (j << 2));
    store<u32>(WORK_ROWS_AT + (j << 2), select<u32>(row, 0, isOf));
  }
}

/** As `findGroups`, by the numbers of the rows' keys. `firstRow` is the number of the chunk's first row in the record. */
export function findNumbered(keys: u32, keyCount: u32, rowBytes: u32, n: u32, set: u32, column: u32, firstRow: u32): void {
  if (load<u32>(set, KEY_SET_NUMBERS_AT) == 0) {
    for (let j: u32 = 0; j < n; j++) takeTag(set, j, firstRow + load<u32>(WORK_SELECTED_AT + (j << 2)));
    return findTagged(keys, keyCount, rowBytes, n);
  }
  refresh(set, column);
  const numbers = load<u32>(set, KEY_SET_NUMBERS_AT) + (firstRow << 2);
  for (let from: u32 = 0; from < n; from += TILE) {
    const end = min(from + TILE, n);
    noted(numbers, column, rowBytes, from, end);
    for (let j = from; j < end; j++) {
      let row = load<u32>(WORK_ROWS_AT + (j << 2));
      if (row == 0) {
        const i = load<u32>(WORK_SELECTED_AT + (j << 2));
        takeTag(set, j, firstRow + i);
        row = findGroup(keys, keyCount, rowBytes, j);
        store<u32>(WORK_ROWS_AT + (j << 2), row);
        store<u32>(column + (load<u32>(numbers + (i << 2)) << 2), row, KEY_COLUMN_ROWS_AT);
      }
      touch(row);
    }
  }
}
