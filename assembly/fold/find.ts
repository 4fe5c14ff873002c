// How the groups of a chunk's rows are found, a tile of rows at a time. State is larger than the caches as a rule: what all rows of a tile
// will read is found first, then read by loops that do nothing else, so that their misses go on at the same time; keys are compared
// after that, column by column. A row for which this finds no group looks for it alone.
import {
  KEY_COLUMN_BYTES,
  KEY_FIXED8,
  KEY_TEXT,
  ROW_NULLS_AT,
  TEXT_INLINE_BYTES,
  WORK_HASHES_AT,
  WORK_NULLS_AT,
  WORK_ROWS_AT,
  WORK_SELECTED_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi";
import { readAhead, readRowsAhead } from "./ahead";
import { firstWith, lineOf, nextWith, rowAtHome } from "./bucket";
import { compareText } from "./compare";
import { addGroup, addRow, bucketOf, sameKeys, tagKeys } from "./group";
import { touch } from "./pages";
import { step, values } from "./vector";

/** Rows of a tile. */
const TILE: u32 = 512;
/** For each row of the tile, u32: the line of the index to look at; whether the row found there has other keys; whether the key at hand differs; its text. */
const lines: u32 = <u32>memory.data(TILE * 4);
const differences: u32 = <u32>memory.data(TILE * 4);
const unequal: u32 = <u32>memory.data(TILE * 4);
const texts: u32 = <u32>memory.data(TILE * 4);

function rowOf(j: u32): u32 {
  return load<u32>(WORK_ROWS_AT + (j << 2));
}

function tagOf(j: u32): u32 {
  return load<u32>(WORK_HASHES_AT + (j << 3));
}

/** Notes for selected rows `from` to `end` a row of their tag, 0 = none, and reads it. */
function reach(rowBytes: u32, from: u32, end: u32): void {
  for (let j = from; j < end; j++) {
    const bucket = bucketOf(load<u32>(WORK_WINDOWS_AT + (j << 2)), tagOf(j));
    store<u32>(lines + ((j - from) << 2), lineOf(bucket, tagOf(j)));
  }
  readAhead(lines, end - from, 0);
  for (let j = from; j < end; j++)
    store<u32>(WORK_ROWS_AT + (j << 2), rowAtHome(load<u32>(lines + ((j - from) << 2)), tagOf(j)));
  readRowsAhead(WORK_ROWS_AT + (from << 2), end - from, rowBytes);
}

/** For each row of the tile: whether the form of a key, `a` is its offset, is another in the row that stands for it. Returns whether there are long texts. */
function compareForms(a: u32, forms: u32, width: u32, kind: u32, from: u32, end: u32): bool {
  let longest: u32 = 0;
  for (let j = from; j < end; j++) {
    const x = rowOf(j) + a;
    const y = forms + load<u32>(WORK_SELECTED_AT + (j << 2)) * width;
    let other = load<u64>(x) ^ load<u64>(y);
    if (kind != KEY_FIXED8) {
      const bytes = kind == KEY_TEXT ? load<u32>(y) : 0;
      other |= select<u64>(0, load<u64>(x, 8) ^ load<u64>(y, 8), bytes > <u32>TEXT_INLINE_BYTES);
      longest = max(longest, bytes);
    }
    store<u32>(unequal + ((j - from) << 2), u32(other != 0));
  }
  return longest > <u32>TEXT_INLINE_BYTES;
}

/** Goes on with long texts that begin as those of the row do. */
function compareTexts(a: u32, forms: u32, width: u32, from: u32, end: u32): void {
  for (let j = from; j < end; j++) {
    const y = forms + load<u32>(WORK_SELECTED_AT + (j << 2)) * width;
    const text = (load<u32>(unequal + ((j - from) << 2)) | load<u32>(differences + ((j - from) << 2))) == 0 && load<u32>(y) > <u32>TEXT_INLINE_BYTES ? load<u32>(rowOf(j) + a, 8) : 0;
    store<u32>(texts + ((j - from) << 2), text);
  }
  readAhead(texts, end - from, 0);
  for (let j = from; j < end; j++) {
    const text = load<u32>(texts + ((j - from) << 2));
    if (text == 0) continue;
    const y = forms + load<u32>(WORK_SELECTED_AT + (j << 2)) * width;
    const order = compareText(text, load<u32>(y), load<u32>(y, 8), load<u32>(y));
    store<u32>(unequal + ((j - from) << 2), u32(order != 0));
  }
}

/** Notes for each row of the tile whether the row that stands for it has other keys. */
function compareKeys(keys: u32, keyCount: u32, from: u32, end: u32): void {
  for (let j = from; j < end; j++) {
    const other = u32(rowOf(j) == 0) | (load<u32>(rowOf(j), ROW_NULLS_AT) ^ load<u32>(WORK_NULLS_AT + (j << 2)));
    store<u32>(differences + ((j - from) << 2), other);
  }
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    const kind = load<u32>(key, 4);
    const form = load<u32>(key, 8);
    const at = load<u32>(key);
    if (compareForms(at, values(form), step(form), kind, from, end)) compareTexts(at, values(form), step(form), from, end);
    for (let j = from; j < end; j++) {
      // What a key that is NULL has in its place means nothing.
      const isNull = (load<u32>(WORK_NULLS_AT + (j << 2)) >> k) & 1;
      const at = (j - from) << 2;
      store<u32>(differences + at, load<u32>(differences + at) | (load<u32>(unequal + at) & (isNull ^ 1)));
    }
  }
}

/** Finds or makes the group of selected row `j`, whose tag is in the place of its hash. */
export function findGroup(keys: u32, keyCount: u32, rowBytes: u32, j: u32): u32 {
  const header = load<u32>(WORK_WINDOWS_AT + (j << 2));
  const nulls = load<u32>(WORK_NULLS_AT + (j << 2));
  const i = load<u32>(WORK_SELECTED_AT + (j << 2));
  const tag = tagOf(j);
  for (let slot = firstWith(bucketOf(header, tag), tag); slot != 0; slot = nextWith()) {
    const candidate = load<u32>(slot, 4);
    if (sameKeys(keys, keyCount, candidate, i, nulls)) return candidate;
  }
  const row = addGroup(header, keys, keyCount, i, nulls, rowBytes);
  addRow(header, tag, row);
  return row;
}

/** As `findGroups`, of rows whose tags and masks of nulls are in the work area. */
export function findTagged(keys: u32, keyCount: u32, rowBytes: u32, n: u32): void {
  for (let from: u32 = 0; from < n; from += TILE) {
    const end = min(from + TILE, n);
    reach(rowBytes, from, end);
    compareKeys(keys, keyCount, from, end);
    for (let j = from; j < end; j++) {
      let row = rowOf(j);
      if (load<u32>(differences + ((j - from) << 2)) != 0) row = findGroup(keys, keyCount, rowBytes, j);
      touch(row);
      store<u32>(WORK_ROWS_AT + (j << 2), row);
    }
  }
}

/** Finds or makes the groups of the `n` selected rows; their addresses go to the work area. Rows' pages are marked as changed. */
export function findGroups(keys: u32, keyCount: u32, rowBytes: u32, n: u32): void {
  tagKeys(keys, keyCount, n);
  findTagged(keys, keyCount, rowBytes, n);
}
