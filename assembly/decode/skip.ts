// The grammar checker: walks over one JSON value of any shape (RFC 8259) without recursion. Says where grammar broke, and notes
// faults that leave the grammar intact.
import { DEPTH_HARD_MAX, DEPTH_MAX, REASON_TOO_DEEP, SCRATCH_STACK } from "../../kernels/abi";
import * as S from "./state";
import { space, stringEnd } from "./text";

const OBJECT: u32 = 1;
const ARRAY: u32 = 2;

/** True when it was the depth that ended the last failed `skip`. */
export let stackEnded: bool = false;

function broken(p: usize): usize {
  S.setHardAt(p);
  return 0;
}

/** The end of the number at `p`, or 0. */
export function numberEnd(p: usize): usize {
  if (load<u8>(p) == 45) p++;
  let c = <u32>load<u8>(p) - 48;
  if (c > 9) return broken(p);
  p++;
  if (c != 0) while (<u32>load<u8>(p) - 48 <= 9) p++;
  if (load<u8>(p) == 46) {
    p++;
    if (<u32>load<u8>(p) - 48 > 9) return broken(p);
    while (<u32>load<u8>(p) - 48 <= 9) p++;
  }
  if ((load<u8>(p) | 32) == 101) {
    p++;
    c = <u32>load<u8>(p);
    if (c == 43 || c == 45) p++;
    if (<u32>load<u8>(p) - 48 > 9) return broken(p);
    while (<u32>load<u8>(p) - 48 <= 9) p++;
  }
  // 00, 1.2.3, 1e5e5, 1-2: one broken number, not a number and something behind it.
  c = load<u8>(p);
  return c - 48 <= 9 || (c | 32) == 101 || (c - 43 <= 3 && c != 44) ? broken(p) : p;
}

/** The end of the literal or number at `p`, or 0. */
function scalarEnd(p: usize): usize {
  const word = load<u32>(p);
  if (word == 0x65757274 || word == 0x6c6c756e) return p + 4;
  if (word == 0x736c6166 && load<u8>(p, 4) == 101) return p + 5;
  return numberEnd(p);
}

/** From the first quote of a member's name to the first byte of its value, or 0. */
function memberValue(p: usize): usize {
  if (load<u8>(p) != 34) return broken(p);
  p = stringEnd(p + 1);
  if (p == 0) return 0;
  p = space(p + 1);
  return load<u8>(p) == 58 ? space(p + 1) : broken(p);
}

/**
 * The byte after the value at `p`, or 0 when grammar breaks (`hardAt` says where). `depth` is the number of objects and arrays around the value.
 */
export function skip(p: usize, depth: u32): usize {
  const bottom = S.scratchAt + SCRATCH_STACK + depth;
  const limit = S.scratchAt + SCRATCH_STACK + DEPTH_HARD_MAX;
  let top = bottom;
  stackEnded = false;
  p = space(p);
  while (true) {
    let c = <u32>load<u8>(p);
    let closed = true;
    if (c == 34) {
      p = stringEnd(p + 1);
      if (p == 0) return 0;
      p++;
    } else if (c == 123 || c == 91) {
      if (top >= limit) {
        stackEnded = true;
        return broken(p);
      }
      store<u8>(top++, c == 123 ? OBJECT : ARRAY);
      if (<i32>(top - S.scratchAt - SCRATCH_STACK) > DEPTH_MAX && S.softReason == 0)
        S.setSoftReason(REASON_TOO_DEEP);
      p = space(p + 1);
      closed = load<u8>(p) == c + 2;
      if (closed) {
        p++;
        top--;
      } else if (c == 123) {
        p = memberValue(p);
        if (p == 0) return 0;
      }
    } else {
      p = scalarEnd(p);
      if (p == 0) return 0;
    }
    if (!closed) continue;
    // A value has ended: close what it closes, or go on to the next one.
    while (true) {
      if (top == bottom) return p;
      p = space(p);
      c = load<u8>(p);
      const inObject = load<u8>(top - 1) == OBJECT;
      if (c == 44) {
        p = space(p + 1);
        if (inObject) {
          p = memberValue(p);
          if (p == 0) return 0;
        }
        break;
      }
      if (c != (inObject ? 125 : 93)) return broken(p);
      p++;
      top--;
    }
  }
}
