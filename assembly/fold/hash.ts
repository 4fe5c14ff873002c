// Hashes: coupons of Apache DataSketches' HyperLogLog, and the hash and form of group keys.
import { CLASS_D, CLASS_S, TEXT_INLINE_BYTES } from "../../kernels/abi";
import { copyValid, own, step, values } from "./vector";

const C1: u64 = 0x87c37b91114253d5;
const C2: u64 = 0x4cf5ad432745937f;
const SEED: u64 = 9001;

/** MurmurHash3's finaliser: a bijection that spreads every bit. */
export function mix64(x: u64): u64 {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccd;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

/** The next `n` (0 to 8) bytes as a little-endian word. Reads 8 bytes. */
function tail(at: u32, n: u32): u64 {
  if (n == 0) return 0;
  return load<u64>(at) & (u64.MAX_VALUE >> (64 - (n << 3)));
}

/**
 * Coupon of bytes: the lower 26 bits of MurmurHash3 x64 128's first half (seed 9001), above them the leading zeros of the second half
 * plus 1, at most 63 (datasketches-java, BaseHllSketch.coupon). Reads up to 15 bytes past the end.
 */
export function coupon(at: u32, bytes: u32): u32 {
  let h1 = SEED;
  let h2 = SEED;
  const end = at + (bytes & ~15);
  for (; at < end; at += 16) {
    h1 ^= rotl(load<u64>(at) * C1, 31) * C2;
    h1 = (rotl(h1, 27) + h2) * 5 + 0x52dce729;
    h2 ^= rotl(load<u64>(at, 8) * C2, 33) * C1;
    h2 = (rotl(h2, 31) + h1) * 5 + 0x38495ab5;
  }
  const left = bytes & 15;
  if (left > 8) h2 ^= rotl(tail(at + 8, left - 8) * C2, 33) * C1;
  if (left > 0) h1 ^= rotl(tail(at, min(left, <u32>8)) * C1, 31) * C2;
  h1 ^= bytes;
  h2 ^= bytes;
  h1 += h2;
  h2 += h1;
  h1 = mix64(h1);
  h2 = mix64(h2);
  h1 += h2;
  h2 += h1;
  return (((<u32>min<u64>(clz(h2), 62)) + 1) << 26) | (<u32>h1 & 0x3ffffff);
}

/** Bits of a double with one NaN and without -0.0. */
function canonical(value: f64): u64 {
  if (value != value) return 0x7ff8000000000000;
  return value == 0 ? 0 : reinterpret<u64>(value);
}

/** dst = coupon of each value of a, class I, D, H or S. `spare` is 16 bytes of room. */
export function coupons(dst: u32, a: u32, kind: u32, width: u32, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  copyValid(dst, a, n);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    const slot = to + (i << 3);
    let c: u32 = 0;
    if (kind == CLASS_S) c = coupon(load<u32>(at), load<u32>(at, 4));
    else if (kind == CLASS_D) {
      store<u64>(slot, canonical(load<f64>(at)));
      c = coupon(slot, 8);
    } else c = coupon(at, width);
    store<u64>(slot, c);
  }
}

/** dst = 16-byte forms of the texts in a (layout: abi.ts, groups). */
export function textForms(dst: u32, a: u32, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 16);
  copyValid(dst, a, n);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    const form = to + (i << 4);
    const text = load<u32>(at);
    const bytes = load<u32>(at, 4);
    store<u32>(form, bytes);
    if (bytes > <u32>TEXT_INLINE_BYTES) {
      store<u32>(form, load<u32>(text), 4);
      store<u64>(form, text, 8);
    } else {
      store<u32>(form, <u32>tail(text, min(bytes, <u32>4)), 4);
      store<u64>(form, bytes > 4 ? tail(text + 4, bytes - 4) : 0, 8);
    }
  }
}

/** dst = canonical bits of the doubles in a. */
export function doubleForms(dst: u32, a: u32, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  copyValid(dst, a, n);
  for (let i: u32 = 0; i < n; i++, at += stepA) store<u64>(to + (i << 3), canonical(load<f64>(at)));
}

function hashText(at: u32, bytes: u32): u64 {
  let h: u64 = bytes;
  const end = at + (bytes & ~7);
  for (; at < end; at += 8) h = rotl((h ^ load<u64>(at)) * C1, 29) * C2;
  return mix64(h ^ tail(at, bytes & 7));
}

/** Hash of a key form: of 8 bytes, of 16 bytes (`width`), or of text. */
export function formHash(at: u32, text: bool, width: u32): u64 {
  if (width == 8) return mix64(load<u64>(at));
  if (text && load<u32>(at) > <u32>TEXT_INLINE_BYTES) return hashText(load<u32>(at, 8), load<u32>(at));
  return mix64(load<u64>(at) * C1 + mix64(load<u64>(at, 8)));
}

/** dst = hash of the key forms in a: of 8 bytes, or of 16 bytes (`width`), or of text. */
export function keyHashes(dst: u32, a: u32, kind: u32, width: u32, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  copyValid(dst, a, n);
  const text = kind == CLASS_S;
  for (let i: u32 = 0; i < n; i++, at += stepA) store<u64>(to + (i << 3), formHash(at, text, width));
}
