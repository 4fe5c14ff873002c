// The dictionary of one column chunk, merged from the dictionaries of the batch images: open addressing with linear probes over
// 8-byte slots (u32 hash, u32 entry + 1), entries kept as Parquet's PLAIN strings so that the dictionary page is the text itself.
// Layout of the header: kernels/abi.ts (DICTIONARY_*). Twin: kernels/reference/parquet-text.ts.
import {
  DICTIONARY_ENTRIES_AT,
  DICTIONARY_ENTRIES_MAX_AT,
  DICTIONARY_OFFSETS_AT,
  DICTIONARY_SLOTS_AT,
  DICTIONARY_SLOT_COUNT_AT,
  DICTIONARY_TEXT_AT,
  DICTIONARY_TEXT_BYTES_AT,
  DICTIONARY_TEXT_BYTES_MAX_AT,
} from "../../kernels/abi";
import { storeText } from "./text";

/** Longest run of occupied slots that is searched: beyond it the dictionary counts as full, whoever chose the strings. */
const PROBES_MAX: u32 = 256;
const NOT_FOUND: u32 = 0xffffffff;

// @ts-ignore: decorator.
@inline
function rowAt(rows: usize, i: u32): usize {
  return rows == 0 ? <usize>i : <usize>load<u32>(rows + ((<usize>i) << 2));
}

// @ts-ignore: decorator.
@inline
function wordAt(at: usize, bytes: u32): u64 {
  return load<u64>(at) & (bytes >= 8 ? ~(<u64>0) : ((<u64>1) << (bytes << 3)) - 1);
}

/** 32-bit hash of a string: multiply and fold, 8 bytes at a time. May read up to 7 bytes past the end. */
function hashOf(at: usize, bytes: u32): u32 {
  let h: u64 = (<u64>bytes) * 0x9e3779b97f4a7c15;
  let left = <i32>bytes;
  for (; left > 0; left -= 8, at += 8) {
    h = (h ^ wordAt(at, left)) * 0xff51afd7ed558ccd;
    h ^= h >> 32;
  }
  h = (h ^ (h >> 29)) * 0xc4ceb9fe1a85ec53;
  return <u32>(h >> 32);
}

// @ts-ignore: decorator.
@inline
function equalText(a: usize, b: usize, bytes: u32): bool {
  let left = <i32>bytes;
  for (; left > 0; left -= 8, a += 8, b += 8) if (wordAt(a, left) != wordAt(b, left)) return false;
  return true;
}

/** The code of a string, which is added if it is new; NOT_FOUND when there is no room. */
function codeOf(dictionary: usize, at: usize, bytes: u32): u32 {
  const slots = load<u32>(dictionary, DICTIONARY_SLOTS_AT);
  const mask = load<u32>(dictionary, DICTIONARY_SLOT_COUNT_AT) - 1;
  const offsets = load<u32>(dictionary, DICTIONARY_OFFSETS_AT);
  const text = load<u32>(dictionary, DICTIONARY_TEXT_AT);
  const hash = hashOf(at, bytes);
  let slot = hash & mask;
  for (let probes: u32 = 0; probes < PROBES_MAX; probes++, slot = (slot + 1) & mask) {
    const address = slots + (slot << 3);
    const entry = load<u32>(address, 4);
    if (entry == 0) {
      const code = load<u32>(dictionary, DICTIONARY_ENTRIES_AT);
      const used = load<u32>(dictionary, DICTIONARY_TEXT_BYTES_AT);
      if (code >= load<u32>(dictionary, DICTIONARY_ENTRIES_MAX_AT)) return NOT_FOUND;
      if ((<u64>used) + bytes + 4 > load<u32>(dictionary, DICTIONARY_TEXT_BYTES_MAX_AT))
        return NOT_FOUND;
      store<u32>(address, hash);
      store<u32>(address, code + 1, 4);
      store<u32>(offsets + (code << 2), used);
      storeText(at, bytes, text + used);
      store<u32>(dictionary, code + 1, DICTIONARY_ENTRIES_AT);
      store<u32>(dictionary, used + bytes + 4, DICTIONARY_TEXT_BYTES_AT);
      return code;
    }
    if (load<u32>(address) == hash) {
      const known = text + load<u32>(offsets + ((entry - 1) << 2));
      if (load<u32>(known) == bytes && equalText(known + 4, at, bytes)) return entry - 1;
    }
  }
  return NOT_FOUND;
}

/** Empties a dictionary whose addresses and limits are set. */
export function dictionaryClear(dictionary: usize): void {
  store<u32>(dictionary, 0, DICTIONARY_ENTRIES_AT);
  store<u32>(dictionary, 0, DICTIONARY_TEXT_BYTES_AT);
  const slots = load<u32>(dictionary, DICTIONARY_SLOTS_AT);
  memory.fill(slots, 0, (<usize>load<u32>(dictionary, DICTIONARY_SLOT_COUNT_AT)) << 3);
}

/** Moves all entries into an empty, larger dictionary, under the same codes. */
export function dictionaryMove(from: usize, to: usize): void {
  const entries = load<u32>(from, DICTIONARY_ENTRIES_AT);
  const bytes = load<u32>(from, DICTIONARY_TEXT_BYTES_AT);
  memory.copy(load<u32>(to, DICTIONARY_TEXT_AT), load<u32>(from, DICTIONARY_TEXT_AT), bytes);
  memory.copy(
    load<u32>(to, DICTIONARY_OFFSETS_AT),
    load<u32>(from, DICTIONARY_OFFSETS_AT),
    (<usize>entries) << 2,
  );
  store<u32>(to, entries, DICTIONARY_ENTRIES_AT);
  store<u32>(to, bytes, DICTIONARY_TEXT_BYTES_AT);
  const slots = load<u32>(to, DICTIONARY_SLOTS_AT);
  const mask = load<u32>(to, DICTIONARY_SLOT_COUNT_AT) - 1;
  const end = load<u32>(from, DICTIONARY_SLOTS_AT) + (load<u32>(from, DICTIONARY_SLOT_COUNT_AT) << 3);
  for (let at = load<u32>(from, DICTIONARY_SLOTS_AT); at < end; at += 8) {
    const entry = load<u32>(at, 4);
    if (entry == 0) continue;
    const hash = load<u32>(at);
    let slot = hash & mask;
    while (load<u32>(slots + (slot << 3), 4) != 0) slot = (slot + 1) & mask;
    store<u32>(slots + (slot << 3), hash);
    store<u32>(slots + (slot << 3), entry, 4);
  }
}

/** Marks in `used` (one byte per entry of an image's dictionary) the entries that the rows name. */
export function markUsed(
  codes: usize,
  entries: u32,
  rows: usize,
  from: u32,
  count: u32,
  used: usize,
): void {
  memory.fill(used, 0, entries);
  for (let i: u32 = 0; i < count; i++)
    store<u8>(used + load<u32>(codes + (rowAt(rows, from + i) << 2)), 1);
}

/** Adds the used entries of an image's dictionary; `map` (u32 each) gets their codes. False when there was no room. */
export function dictionaryMerge(
  dictionary: usize,
  offsets: usize,
  text: usize,
  entries: u32,
  used: usize,
  map: usize,
): bool {
  for (let i: u32 = 0; i < entries; i++) {
    if (load<u8>(used + i) == 0) continue;
    const at = offsets + ((<usize>i) << 2);
    const start = load<u32>(at);
    const code = codeOf(dictionary, text + start, load<u32>(at, 4) - start);
    if (code == NOT_FOUND) return false;
    store<u32>(map + ((<usize>i) << 2), code);
  }
  return true;
}

/** Adds strings of a plain column, row by row; `to` (u32 each) gets their codes. False when there was no room. */
export function dictionaryAddRows(
  dictionary: usize,
  offsets: usize,
  text: usize,
  rows: usize,
  from: u32,
  count: u32,
  to: usize,
): bool {
  for (let i: u32 = 0; i < count; i++) {
    const at = offsets + (rowAt(rows, from + i) << 2);
    const start = load<u32>(at);
    const code = codeOf(dictionary, text + start, load<u32>(at, 4) - start);
    if (code == NOT_FOUND) return false;
    store<u32>(to + ((<usize>i) << 2), code);
  }
  return true;
}

/** Writes the chunk's code of each row's entry to `to` (u32 each). */
export function mapCodes(
  codes: usize,
  map: usize,
  rows: usize,
  from: u32,
  count: u32,
  to: usize,
): void {
  for (let i: u32 = 0; i < count; i++) {
    const entry = <usize>load<u32>(codes + (rowAt(rows, from + i) << 2));
    store<u32>(to + ((<usize>i) << 2), load<u32>(map + (entry << 2)));
  }
}

/**
 * Encodes codes below 2^width as the values of a dictionary page: a byte with the width, then one bit-packed run, padded with
 * zeros to a multiple of 8 values. Returns the bytes written at `to`.
 */
export function packCodes(codes: usize, count: u32, width: u32, to: usize): u32 {
  let out = to;
  store<u8>(out++, width);
  const groups = (count + 7) >> 3;
  let header = (groups << 1) | 1;
  while (header >= 128) {
    store<u8>(out++, (header & 127) | 128);
    header >>= 7;
  }
  store<u8>(out++, header);
  const end = out + (<usize>groups) * width;
  let bits: u64 = 0;
  let filled: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    bits |= (<u64>load<u32>(codes + ((<usize>i) << 2))) << filled;
    filled += width;
    if (filled >= 32) {
      store<u32>(out, <u32>bits);
      out += 4;
      bits >>= 32;
      filled -= 32;
    }
  }
  for (; out < end; out++) {
    store<u8>(out, <u8>bits);
    bits >>= 8;
  }
  return <u32>(end - to);
}
