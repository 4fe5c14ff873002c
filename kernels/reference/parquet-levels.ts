// Plain twins of assembly/export/levels.ts: the same bytes, made the obvious way.

/** Row ordinals that a kernel call means: `rows[from..from+count)`, or from..from+count when `rows` is null. */
export function rowsMeant(rows: readonly number[] | null, from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) =>
    rows === null ? from + i : (rows[from + i] ?? 0),
  );
}

/** An unsigned LEB128 number. */
export function varintBytes(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varintBytes(Math.floor(value / 128))];
}

/** Bits to bytes, least significant first, padded with 0. */
export function packBits(bits: readonly boolean[]): number[] {
  return Array.from({ length: Math.ceil(bits.length / 8) }, (_, byte) =>
    bits.slice(byte * 8, byte * 8 + 8).reduce((sum, bit, i) => sum + (bit ? 2 ** i : 0), 0),
  );
}

/** The ordinals of the valid rows, and a level per row. */
export function pickValid(
  validity: readonly boolean[],
  rows: readonly number[],
): { readonly picked: number[]; readonly levels: boolean[] } {
  const levels = rows.map((row) => validity[row] === true);
  return { picked: rows.filter((_, i) => levels[i]), levels };
}

/** u32 length, then one RLE run or one bit-packed run. */
export function encodeLevels(levels: readonly boolean[]): number[] {
  const [first = false] = levels;
  const runs = levels.every((level) => level === first)
    ? [...varintBytes(levels.length * 2), first ? 1 : 0]
    : [...varintBytes(Math.ceil(levels.length / 8) * 2 + 1), ...packBits(levels)];
  return [...Buffer.from(Uint32Array.of(runs.length).buffer), ...runs];
}
