// Merges all groups of one window into another of the same layout: panes into nodes and windows, windows into the upper level of a rollup.
// Brings the marks of a hop's closed window to its rows and back.
import {
  KEY_COLUMN_BYTES,
  KEY_FIXED8,
  KEY_TEXT,
  REVISION_BYTES,
  ROW_NULLS_AT,
  TEXT_INLINE_BYTES,
  WINDOW_APPLIED_AT,
  WINDOW_GROUPS_AT,
  WINDOW_SEGMENT_AT,
  WINDOW_VERSION_AT,
} from "../../kernels/abi";
import { readAhead } from "./ahead";
import { firstWith, lineOf, nextWith, rowAtHome } from "./bucket";
import { compareText } from "./compare";
import { addRow, bucketOf, joinHash, NULL_HASH } from "./group";
import { formHash, mix64 } from "./hash";
import { mergeColumn } from "./merge";
import { touch } from "./pages";
import { allocateText, appendRow, storeText } from "./window";

/** Rows that are looked for together. */
const TILE: u32 = 256;
/** Of a tile: rows, u32; hashes of their keys, u64, then their tags; lines of the index, then the rows there of the same tag, u32, 0 = none. */
const sources: u32 = <u32>memory.data(TILE * 4);
const hashes: u32 = <u32>memory.data(TILE * 8, 8);
const targets: u32 = <u32>memory.data(TILE * 4);

/** The tag of a row's keys, as `findGroups` computes it from their registers. */
export function tagOf(row: u32, keys: u32, keyCount: u32): u32 {
  const nulls = load<u32>(row, ROW_NULLS_AT);
  let hash: u64 = 0;
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    const kind = load<u32>(key, 4);
    const isNull = (nulls >> k) & 1;
    const at = row + load<u32>(key);
    hash = joinHash(hash, isNull ? NULL_HASH : formHash(at, kind == KEY_TEXT, kind == KEY_FIXED8 ? 8 : 16));
  }
  return <u32>(mix64(hash) >> 32);
}

function sameRowKeys(a: u32, b: u32, keys: u32, keyCount: u32): bool {
  if (load<u32>(a, ROW_NULLS_AT) != load<u32>(b, ROW_NULLS_AT)) return false;
  // The bytes of a key that is NULL are zero in both.
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    const kind = load<u32>(key, 4);
    const x = a + load<u32>(key);
    const y = b + load<u32>(key);
    if (load<u64>(x) != load<u64>(y)) return false;
    if (kind == KEY_FIXED8) continue;
    if (kind == KEY_TEXT && load<u32>(x) > <u32>TEXT_INLINE_BYTES) {
      const bytes = load<u32>(x);
      if (compareText(load<u32>(x, 8), bytes, load<u32>(y, 8), bytes) != 0) return false;
    } else if (load<u64>(x, 8) != load<u64>(y, 8)) return false;
  }
  return true;
}

function findLike(header: u32, row: u32, tag: u32, keys: u32, keyCount: u32): u32 {
  for (let slot = firstWith(bucketOf(header, tag), tag); slot != 0; slot = nextWith()) {
    const candidate = load<u32>(slot, 4);
    if (sameRowKeys(candidate, row, keys, keyCount)) return candidate;
  }
  return 0;
}

/** A row of `header` with the keys of `row` and empty states. */
function addLike(header: u32, row: u32, keys: u32, keyCount: u32, rowBytes: u32): u32 {
  const made = appendRow(header, rowBytes);
  store<u32>(made, load<u32>(row, ROW_NULLS_AT), ROW_NULLS_AT);
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    const kind = load<u32>(key, 4);
    const from = row + load<u32>(key);
    const to = made + load<u32>(key);
    store<u64>(to, load<u64>(from));
    if (kind == KEY_FIXED8) continue;
    store<u64>(to, load<u64>(from, 8), 8);
    const bytes = load<u32>(from);
    if (kind != KEY_TEXT || bytes <= <u32>TEXT_INLINE_BYTES) continue;
    const text = allocateText(header, bytes);
    storeText(text, load<u32>(from, 8), bytes);
    store<u32>(to, text, 8);
  }
  store<u64>(header, load<u64>(header, WINDOW_GROUPS_AT) + 1, WINDOW_GROUPS_AT);
  return made;
}

function hashTile(keys: u32, keyCount: u32, n: u32): void {
  memory.fill(hashes, 0, n << 3);
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    const isText = load<u32>(key, 4) == KEY_TEXT;
    const width: u32 = load<u32>(key, 4) == KEY_FIXED8 ? 8 : 16;
    const offset = load<u32>(key);
    for (let j: u32 = 0; j < n; j++) {
      const row = load<u32>(sources + (j << 2));
      const isNull = (load<u32>(row, ROW_NULLS_AT) >> k) & 1;
      const hash = isNull ? NULL_HASH : formHash(row + offset, isText, width);
      store<u64>(hashes + (j << 3), joinHash(load<u64>(hashes + (j << 3)), hash));
    }
  }
  for (let j: u32 = 0; j < n; j++) store<u64>(hashes + (j << 3), mix64(load<u64>(hashes + (j << 3))) >> 32);
}

/** Makes the rows of `to`, which has none of them, for the `n` rows of the tile. */
function addTile(to: u32, keys: u32, keyCount: u32, rowBytes: u32, n: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const target = addLike(to, load<u32>(sources + (j << 2)), keys, keyCount, rowBytes);
    addRow(to, load<u32>(hashes + (j << 3)), target);
    store<u32>(targets + (j << 2), target);
    touch(target);
  }
}

/** Finds or makes the rows of `to` with the keys of the `n` rows of the tile, which are all different. */
function findTile(to: u32, keys: u32, keyCount: u32, rowBytes: u32, n: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const tag = load<u32>(hashes + (j << 3));
    store<u32>(targets + (j << 2), lineOf(bucketOf(to, tag), tag));
  }
  readAhead(targets, n, 0);
  for (let j: u32 = 0; j < n; j++) {
    const target = targets + (j << 2);
    store<u32>(target, rowAtHome(load<u32>(target), load<u32>(hashes + (j << 3))));
  }
  readAhead(targets, n, 0);
  readAhead(targets, n, rowBytes - 4);
  for (let j: u32 = 0; j < n; j++) {
    const row = load<u32>(sources + (j << 2));
    const tag = load<u32>(hashes + (j << 3));
    let target = load<u32>(targets + (j << 2));
    if (target == 0 || !sameRowKeys(target, row, keys, keyCount)) target = findLike(to, row, tag, keys, keyCount);
    if (target == 0) {
      target = addLike(to, row, keys, keyCount, rowBytes);
      addRow(to, tag, target);
    }
    store<u32>(targets + (j << 2), target);
    touch(target);
  }
}

/**
 * Merges the groups of window `from` into those of window `to`, in the order of their rows, and adds its count of applied events.
 * `keys`: KEY_COLUMN_BYTES each, of which offset and kind are read; `states`: `stateCount` pairs of u32 kind, u32 offset.
 */
export function mergeGroups(from: u32, to: u32, keys: u32, keyCount: u32, states: u32, stateCount: u32, rowBytes: u32): void {
  const isEmpty = load<u64>(to, WINDOW_GROUPS_AT) == 0;
  for (let segment = from + WINDOW_SEGMENT_AT; segment != 0; segment = load<u32>(segment)) {
    const end = segment + 8 + load<u32>(segment, 4) * rowBytes;
    for (let row = segment + 8; row < end; ) {
      let n: u32 = 0;
      for (; n < TILE && row < end; row += rowBytes) store<u32>(sources + (n++ << 2), row);
      hashTile(keys, keyCount, n);
      if (isEmpty) addTile(to, keys, keyCount, rowBytes, n);
      else findTile(to, keys, keyCount, rowBytes, n);
      for (let i: u32 = 0; i < stateCount; i++)
        mergeColumn(load<u32>(states + (i << 3)), load<u32>(states + (i << 3), 4), targets, sources, n);
    }
  }
  store<u64>(to, load<u64>(to, WINDOW_APPLIED_AT) + load<u64>(from, WINDOW_APPLIED_AT), WINDOW_APPLIED_AT);
  store<u32>(to, load<u32>(to, WINDOW_VERSION_AT) + 1, WINDOW_VERSION_AT);
  touch(to);
}

/**
 * Copies the marks (REVISION_BYTES) of `n` rows, whose addresses are at `rows`, from offset `from` to offset `to` of the rows of `header` with
 * the same keys, made where they are not there. Their addresses replace those at `rows`.
 */
export function copyMarks(rows: u32, n: u32, from: u32, header: u32, to: u32, rowBytes: u32, keys: u32, keyCount: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const row = load<u32>(rows + (j << 2));
    const tag = tagOf(row, keys, keyCount);
    let target = findLike(header, row, tag, keys, keyCount);
    if (target == 0) {
      target = addLike(header, row, keys, keyCount, rowBytes);
      addRow(header, tag, target);
    }
    memory.copy(target + to, row + from, REVISION_BYTES);
    touch(target + to);
    store<u32>(rows + (j << 2), target);
  }
}
