// Plain twins of assembly/export/values.ts.

const US_PER_DAY = 86_400_000_000n;

function dayOf(us: bigint): bigint {
  return (us - (((us % US_PER_DAY) + US_PER_DAY) % US_PER_DAY)) / US_PER_DAY;
}

/** The lowest and the highest day of times in µs. */
export function daySpan(times: readonly bigint[]): [bigint, bigint] {
  const days = times.map(dayOf).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return [days[0] ?? 0n, days.at(-1) ?? 0n];
}

/** The ordinals of the rows on a day, and the next day that occurs, null when there is none. */
export function selectDay(
  times: readonly bigint[],
  day: bigint,
): { readonly rows: number[]; readonly next: bigint | null } {
  const later = times.map(dayOf).filter((other) => other > day);
  return {
    rows: times.flatMap((time, row) => (dayOf(time) === day ? [row] : [])),
    next: later.length === 0 ? null : later.reduce((a, b) => (a < b ? a : b)),
  };
}

/** Values of `width` bytes, gathered. */
function copyFixed(values: Uint8Array, rows: readonly number[], width: number): number[] {
  return rows.flatMap((row) => [...values.subarray(row * width, (row + 1) * width)]);
}

export function copyFixed4(values: Uint8Array, rows: readonly number[]): number[] {
  return copyFixed(values, rows, 4);
}

export function copyFixed8(values: Uint8Array, rows: readonly number[]): number[] {
  return copyFixed(values, rows, 8);
}

export function copySwapped16(values: Uint8Array, rows: readonly number[]): number[] {
  return rows.flatMap((row) => [...values.subarray(row * 16, row * 16 + 16)].toReversed());
}

export function copyBits(values: readonly boolean[], rows: readonly number[]): boolean[] {
  return rows.map((row) => values[row] === true);
}

export function fillIndex(rows: readonly number[]): number[] {
  return [...Buffer.from(Int32Array.from(rows).buffer)];
}
