// Noun: a part of a view's keys, those whose hash has one remainder. Rows of one key are in one part, of the stream and of the batch alike.
// Owns their SQL; not what is compared.

/** The keys whose hash modulo `count` is `index`. */
export interface KeyPart {
  readonly index: number;
  readonly count: number;
}

/** Whether the keys are of the part: SQL. */
export function isOfPart(keys: readonly string[], { index, count }: KeyPart): string {
  return count === 1 ? "true" : `${hashText(keys)} % ${count} = ${index}`;
}

export function hashText(keys: readonly string[]): string {
  return `hash(${keys.join(", ")})`;
}
