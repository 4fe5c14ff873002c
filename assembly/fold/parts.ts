// Groups of a closed window as bytes without addresses, and back: how they leave the pages and return. A window is cut into 2^bits parts by
// the highest bits of its groups' tags, so that a late event brings back the part that its group is in, not the window.
import {
  PLACE_BYTES,
  PLACE_KEY,
  ROW_WINDOW_AT,
  STATE_HLL,
  STATE_MAX_S,
  STATE_MIN_S,
  TEXT_INLINE_BYTES,
  WINDOW_GROUPS_AT,
  WINDOW_SEGMENT_AT,
  WORK_HASHES_AT,
} from "../../kernels/abi";
import { addRow, tagKeys } from "./group";
import { sketchBytes } from "./hll";
import { tagOf } from "./merge-groups";
import { touch } from "./pages";
import { allocateBlock, allocateText, appendRow, storeText } from "./window";

/** Where the address of what lies outside of the row is, from the start of its key or state. */
function addressAt(kind: u32): u32 {
  if (kind == PLACE_KEY) return 8;
  if (kind == STATE_HLL) return 4;
  return kind == STATE_MIN_S || kind == STATE_MAX_S ? 12 : 24;
}

/** Bytes of it; 0 = nothing lies outside. */
function bytesAt(kind: u32, at: u32): u32 {
  if (kind == PLACE_KEY) return load<u32>(at) > <u32>TEXT_INLINE_BYTES ? load<u32>(at) : 0;
  if (kind == STATE_HLL) return load<u32>(at, 4) == 0 ? 0 : sketchBytes(at);
  // The room of a text: what of it is not in use is packed as well.
  return load<u32>(at + addressAt(kind) - 4);
}

function padded(bytes: u32): u32 {
  return (bytes + 7) & ~7;
}

function packedBytes(row: u32, places: u32, placeCount: u32, rowBytes: u32): u32 {
  let bytes = rowBytes;
  for (let p: u32 = 0; p < placeCount; p++) {
    const place = places + p * PLACE_BYTES;
    bytes += padded(bytesAt(load<u32>(place), row + load<u32>(place, 4)));
  }
  return bytes;
}

/**
 * Writes the groups of a window by part, those of a part in the order of their rows: 2^bits + 1 offsets from `to`, u32 each, of the parts'
 * ends, the first of them where the first part begins, then the parts. `keys`: as `mergeGroups`; `places`: PLACE_BYTES each.
 */
export function packGroups(header: u32, keys: u32, keyCount: u32, places: u32, placeCount: u32, rowBytes: u32, bits: u32, to: u32): void {
  const parts: u32 = 1 << bits;
  memory.fill(to, 0, (parts + 1) << 2);
  for (let segment = header + WINDOW_SEGMENT_AT; segment != 0; segment = load<u32>(segment)) {
    const end = segment + 8 + load<u32>(segment, 4) * rowBytes;
    for (let row = segment + 8; row < end; row += rowBytes) {
      const at = to + (partOf(tagOf(row, keys, keyCount), bits) << 2);
      store<u32>(at, load<u32>(at, 4) + packedBytes(row, places, placeCount, rowBytes), 4);
    }
  }
  // Lengths become the parts' beginnings, which move on as rows are written.
  let at = padded((parts + 1) << 2);
  store<u32>(to, at);
  for (let part: u32 = 0; part < parts; part++) {
    const length = load<u32>(to + (part << 2), 4);
    store<u32>(to + (part << 2), at, 4);
    at += length;
  }
  for (let segment = header + WINDOW_SEGMENT_AT; segment != 0; segment = load<u32>(segment)) {
    const end = segment + 8 + load<u32>(segment, 4) * rowBytes;
    for (let row = segment + 8; row < end; row += rowBytes) {
      const part = to + (partOf(tagOf(row, keys, keyCount), bits) << 2);
      store<u32>(part, packRow(row, places, placeCount, rowBytes, to + load<u32>(part, 4)) - to, 4);
    }
  }
}

/** The part of a tag. */
function partOf(tag: u32, bits: u32): u32 {
  return bits == 0 ? 0 : tag >> (32 - bits);
}

/** Writes a row and what lies outside of it; returns the end. */
function packRow(row: u32, places: u32, placeCount: u32, rowBytes: u32, to: u32): u32 {
  memory.copy(to, row, rowBytes);
  to += rowBytes;
  for (let p: u32 = 0; p < placeCount; p++) {
    const kind = load<u32>(places + p * PLACE_BYTES);
    const at = row + load<u32>(places + p * PLACE_BYTES, 4);
    const bytes = bytesAt(kind, at);
    if (bytes == 0) continue;
    memory.copy(to, load<u32>(at + addressAt(kind)), bytes);
    to += padded(bytes);
  }
  return to;
}

/** Adds the groups in `bytes` bytes at `from`, a part of `packGroups`, to a window that has none of them. */
export function unpackGroups(header: u32, keys: u32, keyCount: u32, places: u32, placeCount: u32, rowBytes: u32, from: u32, bytes: u32): void {
  const end = from + bytes;
  let made: u64 = 0;
  for (; from < end; made++) {
    const row = appendRow(header, rowBytes);
    memory.copy(row, from, rowBytes);
    store<u32>(row, header, ROW_WINDOW_AT);
    from += rowBytes;
    for (let p: u32 = 0; p < placeCount; p++) {
      const kind = load<u32>(places + p * PLACE_BYTES);
      const at = row + load<u32>(places + p * PLACE_BYTES, 4);
      const size = bytesAt(kind, at);
      if (size == 0) continue;
      store<u32>(at + addressAt(kind), unpackOutside(header, kind, at, from, size));
      from += padded(size);
    }
    addRow(header, tagOf(row, keys, keyCount), row);
  }
  store<u64>(header, load<u64>(header, WINDOW_GROUPS_AT) + made, WINDOW_GROUPS_AT);
  touch(header);
}

/** Room in the window for what lies outside of a row, filled; its address. */
function unpackOutside(header: u32, kind: u32, at: u32, from: u32, bytes: u32): u32 {
  if (kind == STATE_HLL) {
    const block = allocateBlock(header, 31 - clz(bytes >> 7));
    memory.copy(block, from, bytes);
    return block;
  }
  const text = allocateText(header, bytes);
  storeText(text, from, bytes);
  return text;
}

/** Writes the tags of the `n` selected rows, u32 each. */
export function tagsOf(keys: u32, keyCount: u32, n: u32, to: u32): void {
  tagKeys(keys, keyCount, n);
  for (let j: u32 = 0; j < n; j++) store<u32>(to + (j << 2), load<u32>(WORK_HASHES_AT + (j << 3)));
}

/** Tags of the keys of `n` rows, u32 addresses at `rows`, in their place. `keys`: as `mergeGroups`. */
export function rowTags(rows: u32, n: u32, keys: u32, keyCount: u32): void {
  for (let at = rows; at < rows + (n << 2); at += 4) store<u32>(at, tagOf(load<u32>(at), keys, keyCount));
}
