// Plain twin of assembly/fold/hll.ts and of the coupons of assembly/fold/hash.ts, in bigint.
const MASK = (1n << 64n) - 1n;
const C1 = 0x87c37b91114253d5n;
const C2 = 0x4cf5ad432745937fn;

function rotate(x: bigint, by: bigint): bigint {
  return ((x << by) | (x >> (64n - by))) & MASK;
}

function mix(x: bigint): bigint {
  let h = x ^ (x >> 33n);
  h = (h * 0xff51afd7ed558ccdn) & MASK;
  h ^= h >> 33n;
  h = (h * 0xc4ceb9fe1a85ec53n) & MASK;
  return h ^ (h >> 33n);
}

/** MurmurHash3 x64 128 of bytes under a seed (Austin Appleby). */
export function murmur128(bytes: Uint8Array, seed: bigint): readonly [bigint, bigint] {
  const word = (at: number): bigint => {
    let value = 0n;
    for (let i = Math.min(8, bytes.byteLength - at) - 1; i >= 0; i--)
      value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
    return value;
  };
  const left = (k: bigint): bigint => (rotate((k * C1) & MASK, 31n) * C2) & MASK;
  const right = (k: bigint): bigint => (rotate((k * C2) & MASK, 33n) * C1) & MASK;
  let [a, b] = [seed, seed];
  let at = 0;
  for (; at + 16 <= bytes.byteLength; at += 16) {
    a = ((rotate(a ^ left(word(at)), 27n) + b) * 5n + 0x52dce729n) & MASK;
    b = ((rotate(b ^ right(word(at + 8)), 31n) + a) * 5n + 0x38495ab5n) & MASK;
  }
  if (bytes.byteLength - at > 8) b ^= right(word(at + 8));
  if (bytes.byteLength > at) a ^= left(word(at));
  a ^= BigInt(bytes.byteLength);
  b ^= BigInt(bytes.byteLength);
  a = (a + b) & MASK;
  b = (b + a) & MASK;
  [a, b] = [mix(a), mix(b)];
  a = (a + b) & MASK;
  return [a, (b + a) & MASK];
}

/** The coupon of bytes: 26 bits of address, above them 1 + leading zeros, at most 63 (datasketches-java, BaseHllSketch.coupon). */
export function coupon(bytes: Uint8Array): number {
  const [address, zeros] = murmur128(bytes, 9001n);
  const leading = zeros === 0n ? 64 : 64 - zeros.toString(2).length;
  return (Math.min(leading, 62) + 1) * 2 ** 26 + Number(address & 0x3ffffffn);
}

/** Coupons beyond which a sketch of lgK 12 keeps registers: 3/4 of a SET of 512. */
export const SET_COUPONS_MAX = 384;

/** The estimate of a sketch that has seen these distinct coupons. */
export function estimate(coupons: ReadonlySet<number>): number {
  if (coupons.size <= SET_COUPONS_MAX) return coupons.size;
  const registers = new Uint8Array(4096);
  for (const each of coupons) {
    const slot = each & 4095;
    registers[slot] = Math.max(registers[slot] ?? 0, each >>> 26);
  }
  return Math.round(ertl(registers));
}

/** Ertl's improved estimator ("New cardinality estimation algorithms for HyperLogLog sketches", 2017), q = 62. */
function ertl(registers: Uint8Array): number {
  const m = registers.length;
  const counts = Array.from({ length: 64 }, () => 0);
  for (const value of registers) counts[value] = (counts[value] ?? 0) + 1;
  let z = m * tau(1 - (counts[63] ?? 0) / m);
  for (let k = 62; k >= 1; k--) z = 0.5 * (z + (counts[k] ?? 0));
  z += m * sigma((counts[0] ?? 0) / m);
  return (0.7213475204444817 * m * m) / z;
}

function sigma(start: number): number {
  if (start === 1) return Infinity;
  let [x, y, z, before] = [start, 1, start, -1];
  while (z !== before) {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  }
  return z;
}

function tau(start: number): number {
  if (start === 0 || start === 1) return 0;
  let [x, y, z, before] = [start, 1, 1 - start, -1];
  while (z !== before) {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) ** 2 * y;
  }
  return z / 3;
}
