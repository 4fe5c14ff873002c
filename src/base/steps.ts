// Work by steps: a generator that yields where its caller may do something else, and returns the result.

/** Takes all steps that are left, one after the other. */
export function lastOf<Result>(steps: Iterator<unknown, Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
