// Tables of names: members of a schema, symbols of an enum. Open addressing, found by the first and the last eight bytes.
import {
  NAME_AT,
  NAME_BYTES,
  NAME_FIRST,
  NAME_LAST,
  NAME_LENGTH,
  NAME_VALUE,
} from "../../kernels/abi";
import { sameBytes } from "./text";

// @ts-ignore: decorator
@inline
function firstBytes(at: usize, bytes: u32): u64 {
  // Without branches: the lengths of names follow no pattern. Up to 7 bytes: what is shifted out at the top comes back as zeros.
  const missing = (<u64>(8 - min<u32>(bytes, 8))) << 3;
  return select<u64>((load<u64>(at) << (missing & 63)) >> (missing & 63), 0, bytes != 0);
}

// @ts-ignore: decorator
@inline
function lastBytes(at: usize, bytes: u32): u64 {
  return select<u64>(load<u64>(at + bytes - 8), 0, bytes >= 8);
}

// @ts-ignore: decorator
@inline
function slotOf(first: u64, last: u64, bytes: u32): u32 {
  return <u32>(((first ^ rotl(last, 27) ^ bytes) * 0x9e3779b97f4a7c15) >> 40);
}

/** Adds a name to a zeroed table of `mask + 1` slots that has room. The name's bytes must stay where they are. */
export function addName(table: usize, mask: u32, at: usize, bytes: u32, value: u32): void {
  const first = firstBytes(at, bytes);
  const last = lastBytes(at, bytes);
  let slot = slotOf(first, last, bytes) & mask;
  while (load<u32>(table + slot * NAME_BYTES, NAME_VALUE) != 0) slot = (slot + 1) & mask;
  const entry = table + slot * NAME_BYTES;
  store<u64>(entry, first, NAME_FIRST);
  store<u64>(entry, last, NAME_LAST);
  store<u32>(entry, <u32>at, NAME_AT);
  store<u32>(entry, bytes, NAME_LENGTH);
  store<u32>(entry, value + 1, NAME_VALUE);
}

/** The value of a name, or -1. Reads up to 7 bytes past the name. */
export function findName(table: usize, mask: u32, at: usize, bytes: u32): i32 {
  const first = firstBytes(at, bytes);
  const last = lastBytes(at, bytes);
  let slot = slotOf(first, last, bytes) & mask;
  while (true) {
    const entry = table + slot * NAME_BYTES;
    const value = load<u32>(entry, NAME_VALUE);
    if (value == 0) return -1;
    if (
      load<u64>(entry, NAME_FIRST) == first &&
      load<u64>(entry, NAME_LAST) == last &&
      load<u32>(entry, NAME_LENGTH) == bytes &&
      (bytes <= 16 || sameBytes(load<u32>(entry, NAME_AT) + 8, at + 8, bytes - 16))
    )
      return <i32>(value - 1);
    slot = (slot + 1) & mask;
  }
}

/** A 64-bit hash of a text for tables that live as long as a batch; not keyed, never stored. Reads up to 7 bytes past the text. */
export function hashText(at: usize, bytes: u32): u64 {
  let hash: u64 = (<u64>bytes) * 0xc2b2ae3d27d4eb4f;
  while (bytes >= 8) {
    hash = rotl(hash ^ (load<u64>(at) * 0x9e3779b97f4a7c15), 29) * 0xff51afd7ed558ccd;
    at += 8;
    bytes -= 8;
  }
  hash = (hash ^ firstBytes(at, bytes)) * 0xff51afd7ed558ccd;
  return hash ^ (hash >> 32);
}
