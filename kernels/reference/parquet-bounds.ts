// Plain twins of assembly/export/bounds.ts.

function ends<T>(values: readonly T[], compare: (a: T, b: T) => number): [T, T] | null {
  const sorted = values.toSorted(compare);
  const [low, high] = [sorted[0], sorted.at(-1)];
  return low === undefined || high === undefined ? null : [low, high];
}

const ascending = <T extends number | bigint>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0);

export function boundsI32(values: readonly number[]): [number, number] | null {
  return ends(values, ascending);
}

export function boundsI64(values: readonly bigint[]): [bigint, bigint] | null {
  return ends(values, ascending);
}

export function boundsI128(values: readonly bigint[]): [bigint, bigint] | null {
  return ends(values, ascending);
}

/** Bounds without NaN, and the number of NaN. */
interface FloatBounds {
  readonly ends: [number, number] | null;
  readonly nans: number;
}

function floatBounds(values: readonly number[]): FloatBounds {
  const numbers = values.filter((value) => !Number.isNaN(value));
  return { ends: ends(numbers, ascending), nans: values.length - numbers.length };
}

/** Values are rounded as they are stored. */
export function boundsF32(values: readonly number[]): FloatBounds {
  return floatBounds(values.map(Math.fround));
}

export function boundsF64(values: readonly number[]): FloatBounds {
  return floatBounds(values);
}

export function boundsBits(values: readonly boolean[]): [boolean, boolean] {
  return [values.includes(false), values.includes(true)];
}

/** By UTF-8 bytes. */
export function boundsText(values: readonly string[]): [string, string] | null {
  return ends(values, (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
