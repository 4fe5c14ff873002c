// Plain twin of assembly/base/siphash.ts: SipHash with 128-bit output in bigint arithmetic, by the paper (Aumasson and Bernstein,
// 2012). The numbers of rounds are parameters, so that the published vectors of SipHash-2-4 vouch for it; Millrace uses 1-3.

const MASK = 2n ** 64n - 1n;

function rotl(x: bigint, bits: bigint): bigint {
  return ((x << bits) | (x >> (64n - bits))) & MASK;
}

type State = [bigint, bigint, bigint, bigint];

function round([v0, v1, v2, v3]: State): State {
  let [a, b, c, d] = [(v0 + v1) & MASK, rotl(v1, 13n), (v2 + v3) & MASK, rotl(v3, 16n)];
  b ^= a;
  d ^= c;
  a = rotl(a, 32n);
  c = (c + b) & MASK;
  a = (a + d) & MASK;
  b = rotl(b, 17n) ^ c;
  d = rotl(d, 21n) ^ a;
  c = rotl(c, 32n);
  return [a, b, c, d];
}

function rounds(state: State, count: number): State {
  let next = state;
  for (let i = 0; i < count; i++) next = round(next);
  return next;
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((word, byte) => (word << 8n) | BigInt(byte), 0n);
}

/** The hash of `bytes` under the key (k0, k1): two 64-bit words, which are stored little-endian one after the other. */
export function sipHash128(
  bytes: Uint8Array,
  key: { readonly k0: bigint; readonly k1: bigint },
  variant: { readonly compress: number; readonly finish: number } = { compress: 1, finish: 3 },
): readonly [bigint, bigint] {
  let state: State = [
    key.k0 ^ 0x736f6d6570736575n,
    key.k1 ^ 0x646f72616e646f6dn ^ 0xeen,
    key.k0 ^ 0x6c7967656e657261n,
    key.k1 ^ 0x7465646279746573n,
  ];
  const absorb = (word: bigint): void => {
    state[3] ^= word;
    state = rounds(state, variant.compress);
    state[0] ^= word;
  };
  const whole = bytes.length - (bytes.length % 8);
  for (let from = 0; from < whole; from += 8) absorb(littleEndian(bytes.subarray(from, from + 8)));
  absorb((BigInt(bytes.length % 256) << 56n) | littleEndian(bytes.subarray(whole)));
  state[2] ^= 0xeen;
  state = rounds(state, variant.finish);
  const first = state[0] ^ state[1] ^ state[2] ^ state[3];
  state[1] ^= 0xddn;
  state = rounds(state, variant.finish);
  return [first, state[0] ^ state[1] ^ state[2] ^ state[3]];
}
