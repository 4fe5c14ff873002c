// SipHash-1-3 with 128-bit output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; the 128-bit variant of the
// reference implementation, https://github.com/veorq/SipHash). Keyed, so that a producer cannot choose ids that collide.
// Twin: kernels/reference/siphash.ts.

let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;

// @ts-ignore: decorator.
@inline
function round(): void {
  v0 += v1;
  v1 = rotl(v1, 13);
  v1 ^= v0;
  v0 = rotl(v0, 32);
  v2 += v3;
  v3 = rotl(v3, 16);
  v3 ^= v2;
  v0 += v3;
  v3 = rotl(v3, 21);
  v3 ^= v0;
  v2 += v1;
  v1 = rotl(v1, 17);
  v1 ^= v2;
  v2 = rotl(v2, 32);
}

/** Writes the 16-byte hash of `bytes` bytes at `from` to `to`, under the key (k0, k1). Reads no byte past the input. */
export function sipHash128(from: usize, bytes: u32, k0: u64, k1: u64, to: usize): void {
  v0 = k0 ^ 0x736f6d6570736575;
  v1 = k1 ^ 0x646f72616e646f6d ^ 0xee;
  v2 = k0 ^ 0x6c7967656e657261;
  v3 = k1 ^ 0x7465646279746573;
  const end = from + (bytes & ~7);
  for (; from < end; from += 8) {
    const word = load<u64>(from);
    v3 ^= word;
    round();
    v0 ^= word;
  }
  let last = (<u64>bytes) << 56;
  for (let i: u32 = 0, left = bytes & 7; i < left; i++) last |= (<u64>load<u8>(from + i)) << (i << 3);
  v3 ^= last;
  round();
  v0 ^= last;
  v2 ^= 0xee;
  round();
  round();
  round();
  store<u64>(to, v0 ^ v1 ^ v2 ^ v3);
  v1 ^= 0xdd;
  round();
  round();
  round();
  store<u64>(to, v0 ^ v1 ^ v2 ^ v3, 8);
}
