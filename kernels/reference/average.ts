// Plain twin of assembly/fold/average.ts: DuckDB's avg of exact sums on x86-64, in bigint.

/** A positive number as mantissa x 2^exponent, the mantissa rounded half to even to `bits` bits. `sticky`: something follows. */
function rounded(value: bigint, bits: number, sticky = false): { mantissa: bigint; shift: number } {
  const length = value.toString(2).length;
  const shift = length - bits;
  if (shift <= 0) return { mantissa: value, shift: 0 };
  const kept = value >> BigInt(shift);
  const rest = value - (kept << BigInt(shift));
  const half = 1n << BigInt(shift - 1);
  const up = rest > half || (rest === half && (sticky || (kept & 1n) === 1n));
  return { mantissa: up ? kept + 1n : kept, shift };
}

/** sum / (count x 10^scale): both as `long double` (64 bits of mantissa), divided, then rounded to a double. */
export function average(sum: bigint, count: bigint, scale: number): number {
  if (sum === 0n) return 0;
  const top = rounded(sum < 0n ? -sum : sum, 64);
  const bottom = rounded(count * 10n ** BigInt(scale), 64);
  // 200 bits more than the quotient needs: what is cut off shows in `sticky`.
  const extra = 200;
  const dividend = top.mantissa << BigInt(extra);
  const quotient = dividend / bottom.mantissa;
  const long = rounded(quotient, 64, quotient * bottom.mantissa !== dividend);
  const double = rounded(long.mantissa, 53);
  const exponent = double.shift + long.shift + top.shift - bottom.shift - extra;
  const value = Number(double.mantissa) * 2 ** exponent;
  return sum < 0n ? -value : value;
}
