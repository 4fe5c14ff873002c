// Strings of JSON: white space, the closing quote, escapes, UTF-8 (RFC 8259, RFC 3629). SIMD finds what is special 16 bytes at a
// time; a zero byte behind every body stops all scans.
import { REASON_BAD_UTF8 } from "../../kernels/abi";
import * as S from "./state";

/** Set by `stringEnd`: the string holds escapes. */
export let escaped: bool = false;
/** Set by `unescape`: bytes written. */
export let unescapedBytes: u32 = 0;

/** The first byte at or after `p` that is no white space. */
export function space(p: usize): usize {
  while (true) {
    const c = load<u8>(p);
    if (c > 32) return p;
    if (c == 32 || c == 9 || c == 13 || (c == 10 && S.newlineIsSpace)) p++;
    else return p;
  }
}

/** The first quote, backslash, control character or byte above 127 at or after `p`. */
// @ts-ignore: decorator
@inline
export function special(p: usize): usize {
  const quote = i8x16.splat(34);
  const backslash = i8x16.splat(92);
  const control = i8x16.splat(32);
  while (true) {
    const v = v128.load(p);
    // Signed: bytes from 128 are negative, so one comparison finds them and the control characters.
    const mask = i8x16.bitmask(
      v128.or(v128.or(i8x16.eq(v, quote), i8x16.eq(v, backslash)), i8x16.lt_s(v, control)),
    );
    if (mask) return p + ctz(mask);
    p += 16;
  }
}

function hexDigit(c: u32): u32 {
  if (c - 48 <= 9) return c - 48;
  const letter = (c | 32) - 97;
  return letter <= 5 ? letter + 10 : 0xffff;
}

/** The value of four hex digits, above 0xffff when they are none. */
function hex4(p: usize): u32 {
  const a = hexDigit(load<u8>(p));
  const b = hexDigit(load<u8>(p, 1));
  const c = hexDigit(load<u8>(p, 2));
  const d = hexDigit(load<u8>(p, 3));
  return (a | b | c | d) > 15 ? 0x10000 : (a << 12) | (b << 8) | (c << 4) | d;
}

/** Bytes of the UTF-8 sequence at `p` (2 to 4), or 0 when it is none. */
function utf8Length(p: usize): u32 {
  const c = <u32>load<u8>(p);
  const d = <u32>load<u8>(p, 1);
  if (c < 0xc2 || c > 0xf4 || (d & 0xc0) != 0x80) return 0;
  if (c < 0xe0) return 2;
  if ((load<u8>(p, 2) & 0xc0) != 0x80) return 0;
  if (c < 0xf0) return (c == 0xe0 && d < 0xa0) || (c == 0xed && d >= 0xa0) ? 0 : 3;
  if ((load<u8>(p, 3) & 0xc0) != 0x80) return 0;
  return (c == 0xf0 && d < 0x90) || (c == 0xf4 && d >= 0x90) ? 0 : 4;
}

function soft(): void {
  if (S.softReason == 0) S.setSoftReason(REASON_BAD_UTF8);
}

/** Bytes of the escape at `p` (a backslash), or 0 when it is none. Notes a lone surrogate as a soft fault. */
function escapeLength(p: usize): u32 {
  const c = <u32>load<u8>(p, 1);
  if (c != 117) {
    const known =
      c == 34 || c == 92 || c == 47 || c == 98 || c == 102 || c == 110 || c == 114 || c == 116;
    return known ? 2 : 0;
  }
  const unit = hex4(p + 2);
  if (unit > 0xffff) return 0;
  if ((unit & 0xf800) != 0xd800) return 6;
  if (unit < 0xdc00 && load<u16>(p, 6) == 0x755c) {
    const low = hex4(p + 8);
    if ((low & 0xfc00) == 0xdc00 && low <= 0xffff) return 12;
  }
  soft();
  return 6;
}

/** The closing quote of the string whose text goes on at `p` (at no inside of an escape or a character); 0 when there is none (then `hardAt` says where it broke). */
export function stringEnd(p: usize): usize {
  escaped = false;
  while (true) {
    p = special(p);
    const c = <u32>load<u8>(p);
    if (c == 34) return p;
    let length: u32;
    if (c == 92) {
      escaped = true;
      length = escapeLength(p);
    } else if (c >= 128) {
      length = utf8Length(p);
      if (length == 0) {
        soft();
        length = 1;
      }
    } else {
      length = 0;
    }
    if (length == 0) {
      S.setHardAt(p);
      return 0;
    }
    p += length;
  }
}

function putUtf8(to: usize, point: u32): u32 {
  if (point < 0x80) {
    store<u8>(to, point);
    return 1;
  }
  if (point < 0x800) {
    store<u8>(to, 0xc0 | (point >> 6));
    store<u8>(to, 0x80 | (point & 63), 1);
    return 2;
  }
  if (point < 0x10000) {
    store<u8>(to, 0xe0 | (point >> 12));
    store<u8>(to, 0x80 | ((point >> 6) & 63), 1);
    store<u8>(to, 0x80 | (point & 63), 2);
    return 3;
  }
  store<u8>(to, 0xf0 | (point >> 18));
  store<u8>(to, 0x80 | ((point >> 12) & 63), 1);
  store<u8>(to, 0x80 | ((point >> 6) & 63), 2);
  store<u8>(to, 0x80 | (point & 63), 3);
  return 4;
}

/** What stands for the byte behind a backslash; 0 = no escape. `u` is not in it. */
const ESCAPES = memory.data(256);
store<u8>(ESCAPES, 34, 34);
store<u8>(ESCAPES, 47, 47);
store<u8>(ESCAPES, 92, 92);
store<u8>(ESCAPES, 8, 98);
store<u8>(ESCAPES, 12, 102);
store<u8>(ESCAPES, 10, 110);
store<u8>(ESCAPES, 13, 114);
store<u8>(ESCAPES, 9, 116);

/** Writes the character of the \u escape at `p` to `to`. Returns its bytes, or 0 when it is none. */
function putUnicode(p: usize, to: usize, length: u32): u32 {
  let point = hex4(p + 2);
  if (length == 12) point = 0x10000 + ((point & 0x3ff) << 10) + (hex4(p + 8) & 0x3ff);
  return putUtf8(to, point);
}

/**
 * Writes the text of a string without escapes to `to`, checking it on the way. `from`: its first byte; `clean`: the first that is not
 * plain. Returns the closing quote, `unescapedBytes` being the length (never more than the input's); 0 when the string is faulty or
 * the text does not end below `limit`, behind which 64 bytes may be overwritten.
 */
export function unescape(from: usize, clean: usize, to: usize, limit: usize): usize {
  if (to + (clean - from) > limit) return 0;
  const start = to;
  copyText(from, <u32>(clean - from), to);
  to += clean - from;
  let p = clean;
  while (to <= limit) {
    const c = <u32>load<u8>(p);
    if (c == 92) {
      const plain = load<u8>(ESCAPES + load<u8>(p, 1));
      if (plain) {
        store<u8>(to++, plain);
        p += 2;
      } else {
        const length = load<u8>(p, 1) == 117 ? escapeLength(p) : 0;
        if (length == 0 || S.softReason) return 0;
        to += putUnicode(p, to, length);
        p += length;
      }
    } else if (c >= 128) {
      const length = utf8Length(p);
      if (length == 0) return 0;
      store<u32>(to, load<u32>(p));
      p += length;
      to += length;
    } else if (c == 34) {
      unescapedBytes = <u32>(to - start);
      return p;
    } else return 0;
    // What follows is mostly plain: copied while the next special byte is looked for.
    while (to <= limit) {
      const v = v128.load(p);
      v128.store(to, v);
      const mask = i8x16.bitmask(
        v128.or(
          v128.or(i8x16.eq(v, i8x16.splat(34)), i8x16.eq(v, i8x16.splat(92))),
          i8x16.lt_s(v, i8x16.splat(32)),
        ),
      );
      const run: usize = mask ? ctz(mask) : 16;
      p += run;
      to += run;
      if (mask) break;
    }
  }
  return 0;
}

/** Copies `bytes` bytes, 16 at a time: reads and writes up to 15 bytes past the end. */
// @ts-ignore: decorator
@inline
export function copyText(from: usize, bytes: u32, to: usize): void {
  const end = to + bytes;
  do {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  } while (to < end);
}

/** True when two ranges of equal length hold the same bytes. */
export function sameBytes(a: usize, b: usize, bytes: u32): bool {
  while (bytes >= 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
    a += 8;
    b += 8;
    bytes -= 8;
  }
  if (bytes == 0) return true;
  return ((load<u64>(a) ^ load<u64>(b)) << (64 - ((<u64>bytes) << 3))) == 0;
}
