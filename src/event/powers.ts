// The table of Eisel-Lemire (https://arxiv.org/abs/2101.11408, section 5): 128 bits of 5^q for q from -342 to 308, computed here with
// integers instead of being copied from somewhere.

/** The 128 leading bits of 5^q: cut for q >= 0, of the reciprocal rounded up below. */
function leadingBits(q: number): bigint {
  if (q >= 0) {
    const power = 5n ** BigInt(q);
    const bits = BigInt(power.toString(2).length);
    return bits <= 128n ? power << (128n - bits) : power >> (bits - 128n);
  }
  const power = 5n ** BigInt(-q);
  const z = BigInt((power - 1n).toString(2).length);
  let value = (1n << (q >= -27 ? z + 127n : 2n * z + 128n)) / power + 1n;
  while (value >= 1n << 128n) value >>= 1n;
  return value;
}

/** 651 entries of 16 bytes: high word, low word, little-endian. Takes a few milliseconds. */
export function eiselLemirePowers(): Uint8Array {
  const words = new BigUint64Array(651 * 2);
  for (let q = -342; q <= 308; q++) {
    const bits = leadingBits(q);
    words[(q + 342) * 2] = bits >> 64n;
    words[(q + 342) * 2 + 1] = BigInt.asUintN(64, bits);
  }
  return new Uint8Array(words.buffer);
}
