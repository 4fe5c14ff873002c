// Assertions for programmer errors, on in production. Operating errors (bad input, full disk, timeouts) are values or named error
// classes, never assertions.

/** Throws when `condition` is false: a broken invariant of ours, with what was broken. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`broken invariant: ${what}`);
}

/** The value, or a broken invariant when it is null or undefined. Use where the type cannot say that it is there. */
export function must<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined)
    throw new Error(`broken invariant: ${what} is missing`);
  return value;
}

/** Marks a branch of a closed union that cannot be reached. */
export function unreachable(value: never): never {
  throw new Error(`broken invariant: unexpected ${JSON.stringify(value)}`);
}
