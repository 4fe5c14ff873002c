// Group tables, one per window: an extendible hash index over rows. The directory has 2^depth entries that point at buckets, each a
// page; a full bucket splits in two by the next bit of the tag, so growth never moves more than a page at a time. The highest bits of
// the tag choose the bucket, the lower 16 the line in it (bucket.ts). (Fagin et al., "Extendible hashing", 1979.)
import {
  BUCKET_ENTRIES_MAX,
  BUCKET_HEADER_BYTES,
  DIRECTORY_DEPTH_MAX,
  FOLD_PAGE_BYTES,
  KEY_COLUMN_BYTES,
  KEY_FIXED8,
  KEY_TEXT,
  ROW_NULLS_AT,
  TEXT_INLINE_BYTES,
  WINDOW_DEPTH_AT,
  WINDOW_DIRECTORY_AT,
  WINDOW_GROUPS_AT,
  WORK_HASHES_AT,
  WORK_NULLS_AT,
  WORK_SELECTED_AT,
  WORK_SPLIT_AT,
} from "../../kernels/abi";
import { givePage, isHeap, takePage } from "./blocks";
import { put } from "./bucket";
import { compareText } from "./compare";
import { mix64 } from "./hash";
import { touch } from "./pages";
import { step, valid, validStep, values } from "./vector";
import { allocateText, appendRow, storeText, windowPages } from "./window";

/** Hash of a key that is NULL. */
export const NULL_HASH: u64 = 0x9ae16a3b2f90404f;

/** Doubles the directory: each entry becomes two. */
function doubleDirectory(header: u32): void {
  const depth = load<u32>(header, WINDOW_DEPTH_AT);
  const from = load<u32>(header, WINDOW_DIRECTORY_AT);
  let to = from;
  // The first page serves depths 1 to 12, later ones have a run of pages each.
  if (depth == 0) to = windowPages(header, 1);
  else if (depth >= 12) to = windowPages(header, 1 << (depth - 11));
  for (let i: i32 = (1 << depth) - 1; i >= 0; i--) {
    const bucket = load<u32>(from + (i << 2));
    store<u32>(to + (i << 3), bucket);
    store<u32>(to + (i << 3), bucket, 4);
  }
  const bytes: u32 = 8 << depth;
  for (let at: u32 = 0; at < bytes; at += FOLD_PAGE_BYTES) touch(to + at);
  store<u32>(header, to, WINDOW_DIRECTORY_AT);
  store<u32>(header, depth + 1, WINDOW_DEPTH_AT);
  touch(header);
}

export function emptyBucket(header: u32, depth: u32, overflow: u32): u32 {
  const bucket = isHeap(header) ? takePage(header) : windowPages(header, 1);
  memory.fill(bucket, 0, FOLD_PAGE_BYTES);
  store<u32>(bucket, depth, 4);
  store<u32>(bucket, overflow, 8);
  return bucket;
}

/** Index of a tag in the directory. */
function directoryIndex(tag: u32, depth: u32): u32 {
  return depth == 0 ? 0 : tag >> (32 - depth);
}

/** Entries of two buckets of a heap's index that become one: far fewer than a bucket that was split has. */
const MERGED_ENTRIES_MAX: u32 = BUCKET_ENTRIES_MAX / 4;

/** Makes one bucket of that of `tag` and its buddy when few entries are left in them; the other's page goes back. For heaps only. */
export function mergeBuckets(header: u32, tag: u32): void {
  const depth = load<u32>(header, WINDOW_DEPTH_AT);
  const directory = load<u32>(header, WINDOW_DIRECTORY_AT);
  const index = directoryIndex(tag, depth);
  const bucket = load<u32>(directory + (index << 2));
  const local = load<u32>(bucket, 4);
  if (local == 0 || load<u32>(bucket) * 2 > MERGED_ENTRIES_MAX) return;
  const span: u32 = 1 << (depth - local);
  const first = index & ~(span - 1);
  const buddy = load<u32>(directory + ((first ^ span) << 2));
  if (load<u32>(buddy, 4) != local || (load<u32>(bucket, 8) | load<u32>(buddy, 8)) != 0) return;
  if (load<u32>(bucket) + load<u32>(buddy) > MERGED_ENTRIES_MAX) return;
  for (let slot = bucket + BUCKET_HEADER_BYTES; slot < bucket + FOLD_PAGE_BYTES; slot += 8) {
    const row = load<u32>(slot, 4);
    if (row != 0) put(buddy, load<u32>(slot), row);
  }
  store<u32>(buddy, local - 1, 4);
  touch(buddy);
  for (let i: u32 = 0; i < span; i++) {
    const entry = directory + ((first + i) << 2);
    store<u32>(entry, buddy);
    touch(entry);
  }
  givePage(header, bucket);
}

/** Gives back the buckets of a heap's index. */
export function freeBuckets(header: u32): void {
  const depth = load<u32>(header, WINDOW_DEPTH_AT);
  const directory = load<u32>(header, WINDOW_DIRECTORY_AT);
  for (let i: u32 = 0; i < <u32>1 << depth; ) {
    let bucket = load<u32>(directory + (i << 2));
    i += 1 << (depth - load<u32>(bucket, 4));
    while (bucket != 0) {
      const next = load<u32>(bucket, 8);
      givePage(header, bucket);
      bucket = next;
    }
  }
}

/** Makes room in the bucket of `tag`: splits it, or at the greatest depth puts an empty bucket before it. */
export function split(header: u32, tag: u32): void {
  let depth = load<u32>(header, WINDOW_DEPTH_AT);
  let entry = load<u32>(header, WINDOW_DIRECTORY_AT) + (directoryIndex(tag, depth) << 2);
  const bucket = load<u32>(entry);
  const local = load<u32>(bucket, 4);
  if (local == DIRECTORY_DEPTH_MAX) {
    store<u32>(entry, emptyBucket(header, local, bucket));
    touch(entry);
    return;
  }
  if (local == depth) {
    doubleDirectory(header);
    depth++;
  }
  const one = emptyBucket(header, local + 1, 0);
  memory.copy(WORK_SPLIT_AT, bucket, FOLD_PAGE_BYTES);
  memory.fill(bucket, 0, FOLD_PAGE_BYTES);
  store<u32>(bucket, local + 1, 4);
  for (let slot: u32 = WORK_SPLIT_AT + BUCKET_HEADER_BYTES; slot < <u32>WORK_SPLIT_AT + FOLD_PAGE_BYTES; slot += 8) {
    const row = load<u32>(slot, 4);
    if (row == 0) continue;
    const moved = load<u32>(slot);
    put((moved >> (31 - local)) & 1 ? one : bucket, moved, row);
  }
  touch(bucket);
  const directory = load<u32>(header, WINDOW_DIRECTORY_AT);
  const span: u32 = 1 << (depth - local - 1);
  const first = directoryIndex(tag, local) << (depth - local);
  for (let i: u32 = 0; i < span; i++) {
    entry = directory + ((first + span + i) << 2);
    store<u32>(entry, one);
    touch(entry);
  }
}

/** Adds a row that is not in the index, and makes room for it. */
export function addRow(header: u32, tag: u32, row: u32): void {
  let bucket = bucketOf(header, tag);
  while (load<u32>(bucket) >= <u32>BUCKET_ENTRIES_MAX) {
    split(header, tag);
    bucket = bucketOf(header, tag);
  }
  put(bucket, tag, row);
}

/** The hash of a row's keys with one more. */
export function joinHash(hash: u64, key: u64): u64 {
  return rotl(hash * 0x9e3779b97f4a7c15, 31) ^ key;
}

/** Bit k of the work area's null masks = key k is NULL; the hashes of all keys become tags of the index. */
export function tagKeys(keys: u32, keyCount: u32, n: u32): void {
  if (keyCount == 0) {
    memory.fill(WORK_NULLS_AT, 0, n << 2);
    memory.fill(WORK_HASHES_AT, 0, n << 3);
  }
  for (let k: u32 = 0; k < keyCount; k++) {
    const key = keys + k * KEY_COLUMN_BYTES;
    const hash = load<u32>(key, 12);
    const at = values(hash);
    const stepAt = step(hash);
    const validAt = valid(hash);
    const stepValid = validStep(hash);
    for (let j: u32 = 0; j < n; j++) {
      const i = load<u32>(WORK_SELECTED_AT + (j << 2));
      const nulls = WORK_NULLS_AT + (j << 2);
      const to = WORK_HASHES_AT + (j << 3);
      const isNull = validAt != 0 && load<u8>(validAt + i * stepValid) == 0;
      const own = isNull ? NULL_HASH : load<u64>(at + i * stepAt);
      const all = k == 0 ? own : joinHash(load<u64>(to), own);
      store<u32>(nulls, (k == 0 ? 0 : load<u32>(nulls)) | (u32(isNull) << k));
      store<u64>(to, k + 1 == keyCount ? mix64(all) >> 32 : all);
    }
  }
}

/** Whether a row has the keys of selected row `i`. */
export function sameKeys(keys: u32, keyCount: u32, row: u32, i: u32, nulls: u32): bool {
  if (load<u32>(row, ROW_NULLS_AT) != nulls) return false;
  for (let k: u32 = 0; k < keyCount; k++) {
    if ((nulls >> k) & 1) continue;
    const key = keys + k * KEY_COLUMN_BYTES;
    const kind = load<u32>(key, 4);
    const form = load<u32>(key, 8);
    const a = row + load<u32>(key);
    const b = values(form) + i * step(form);
    if (load<u64>(a) != load<u64>(b)) return false;
    if (kind == KEY_FIXED8) continue;
    if (kind == KEY_TEXT && load<u32>(a) > <u32>TEXT_INLINE_BYTES) {
      const bytes = load<u32>(a);
      if (compareText(load<u32>(a, 8), bytes, load<u32>(b, 8), bytes) != 0) return false;
    } else if (load<u64>(a, 8) != load<u64>(b, 8)) return false;
  }
  return true;
}

/** Copies the forms of the keys of selected row `i` into a row: those of long texts have the address of the batch's. */
export function storeForms(row: u32, keys: u32, keyCount: u32, i: u32, nulls: u32): void {
  store<u32>(row, nulls, ROW_NULLS_AT);
  for (let k: u32 = 0; k < keyCount; k++) {
    if ((nulls >> k) & 1) continue;
    const key = keys + k * KEY_COLUMN_BYTES;
    const kind = load<u32>(key, 4);
    const form = load<u32>(key, 8);
    const a = row + load<u32>(key);
    const b = values(form) + i * step(form);
    store<u64>(a, load<u64>(b));
    if (kind == KEY_FIXED8) continue;
    store<u64>(a, load<u64>(b, 8), 8);
  }
}

/** Address of the form of text key `k` of a row when the text is long, else 0. */
export function longText(row: u32, keys: u32, k: u32, nulls: u32): u32 {
  const key = keys + k * KEY_COLUMN_BYTES;
  const form = row + load<u32>(key);
  const isLong = load<u32>(key, 4) == KEY_TEXT && ((nulls >> k) & 1) == 0 && load<u32>(form) > <u32>TEXT_INLINE_BYTES;
  return isLong ? form : 0;
}

/** Copies the keys of selected row `i` into a row; long texts into room of `header`. */
export function storeKeys(header: u32, row: u32, keys: u32, keyCount: u32, i: u32, nulls: u32): void {
  storeForms(row, keys, keyCount, i, nulls);
  for (let k: u32 = 0; k < keyCount; k++) {
    const form = longText(row, keys, k, nulls);
    if (form == 0) continue;
    const text = allocateText(header, load<u32>(form));
    storeText(text, load<u32>(form, 8), load<u32>(form));
    store<u32>(form, text, 8);
  }
}

/** A new group of the keys of selected row `i`, which is not in the index yet. */
export function addGroup(header: u32, keys: u32, keyCount: u32, i: u32, nulls: u32, rowBytes: u32): u32 {
  const row = appendRow(header, rowBytes);
  storeKeys(header, row, keys, keyCount, i, nulls);
  store<u64>(header, load<u64>(header, WINDOW_GROUPS_AT) + 1, WINDOW_GROUPS_AT);
  touch(header);
  return row;
}

/** The first bucket of a tag. */
export function bucketOf(header: u32, tag: u32): u32 {
  const index = directoryIndex(tag, load<u32>(header, WINDOW_DEPTH_AT));
  return load<u32>(load<u32>(header, WINDOW_DIRECTORY_AT) + (index << 2));
}
