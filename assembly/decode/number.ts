// Integers, and the digits that all numbers are made of: eight at a time (Lemire, "Quickly parsing eight digits", 2018).
import { FIELD_NONE, REASON_OUT_OF_RANGE, REASON_WRONG_TYPE } from "../../kernels/abi";
import * as S from "./state";

/** The value that the last successful parser of this module found. */
export let integer: i64 = 0;

/** The value of 1 to 8 digits at `p`. */
// @ts-ignore: decorator
@inline
export function digits8(p: usize, count: u32): u64 {
  let word = (load<u64>(p) ^ 0x3030303030303030) << (64 - ((<u64>count) << 3));
  word = word * 10 + (word >> 8);
  return (
    ((word & 0x000000ff000000ff) * 0x000f424000000064 +
      ((word >> 16) & 0x000000ff000000ff) * 0x0000271000000001) >>
    32
  );
}

/** The value of 1 to 16 digits at `p`. */
// @ts-ignore: decorator
@inline
export function digits16(p: usize, count: u32): u64 {
  if (count <= 8) return digits8(p, count);
  return digits8(p, count - 8) * 100000000 + digits8(p + count - 8, 8);
}

/** Bits of the first 16 bytes at `p` that are no digits, with bit 16 set. */
// @ts-ignore: decorator
@inline
export function nonDigits(p: usize): u32 {
  return (
    i8x16.bitmask(i8x16.gt_u(i8x16.sub(v128.load(p), i8x16.splat(48)), i8x16.splat(9))) | 0x10000
  );
}

/**
 * The byte after the integer at `p`, its value in `integer`; 0 when it is none or not within 64 bits (the reason is noted, without
 * a field). A fraction or an exponent makes a number no integer.
 */
export function parseLong(p: usize): usize {
  const negative = load<u8>(p) == 45;
  if (negative) p++;
  let count = <u32>ctz(nonDigits(p));
  let value: u64;
  if (count < 16) {
    if (count == 0) return S.fail(REASON_WRONG_TYPE, FIELD_NONE);
    value = digits16(p, count);
  } else {
    value = digits16(p, 16);
    while (<u32>load<u8>(p + count) - 48 <= 9) {
      if (count == 19) return tooLarge(p);
      value = value * 10 + (load<u8>(p + count) - 48);
      count++;
    }
  }
  const next = <u32>load<u8>(p + count);
  if (next == 46 || (next | 32) == 101) return S.fail(REASON_WRONG_TYPE, FIELD_NONE);
  if (load<u8>(p) == 48 && count > 1) return S.fail(REASON_WRONG_TYPE, FIELD_NONE);
  if (value > <u64>i64.MAX_VALUE + <u64>negative) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
  integer = negative ? <i64>(0 - value) : <i64>value;
  return p + count;
}

/** More than 19 digits: out of range, unless a fraction or an exponent follows. */
function tooLarge(p: usize): usize {
  while (<u32>load<u8>(p) - 48 <= 9) p++;
  const c = <u32>load<u8>(p);
  return S.fail(c == 46 || (c | 32) == 101 ? REASON_WRONG_TYPE : REASON_OUT_OF_RANGE, FIELD_NONE);
}
