// The rules of admission, event by event over plain values: which events of a file count, and `_behind` of each. Shares nothing with the
// code under test. One source partition; ids are remembered for ever (a case lasts minutes).

/** What the rules look at. */
export interface ArrivedEvent {
  readonly id: number;
  readonly timeUs: bigint;
  readonly receivedAtUs: bigint;
}

/** An event that counts, with what admission adds. */
export interface RawEvent<E> {
  readonly event: E;
  readonly behindUs: bigint;
  /** The stream's watermark after it; null: none. */
  readonly watermarkUs: bigint | null;
}

/** µs of an ISO 8601 time with Z and up to six digits of a fraction. */
export function isoUs(text: string): bigint {
  const [whole = "", fraction = ""] = text.replace("Z", "").split(".");
  return BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(fraction.padEnd(6, "0"));
}

/** Events in the order in which they arrived: those that count, and those that were too far in the future. */
export function rawEvents<E extends ArrivedEvent>(
  arrived: readonly E[],
  options: {
    readonly outOfOrdernessUs: bigint;
    readonly maxFutureUs: bigint;
    /** Which events move the watermark; absent: all. */
    readonly moves?: (event: E) => boolean;
  },
): { readonly events: readonly RawEvent<E>[]; readonly future: readonly E[] } {
  const events: RawEvent<E>[] = [];
  const future: E[] = [];
  const ids = new Set<number>();
  let newestUs: bigint | null = null;
  for (const event of arrived) {
    const { id, timeUs, receivedAtUs } = event;
    if (ids.has(id)) continue;
    if (timeUs > receivedAtUs + options.maxFutureUs) {
      future.push(event);
      continue;
    }
    ids.add(id);
    const beforeUs: bigint | null = newestUs === null ? null : newestUs - options.outOfOrdernessUs;
    const behindUs = beforeUs !== null && beforeUs > timeUs ? beforeUs - timeUs : 0n;
    const seenUs = timeUs < receivedAtUs ? timeUs : receivedAtUs;
    const moves = options.moves?.(event) ?? true;
    if (moves && (newestUs === null || seenUs > newestUs)) newestUs = seenUs;
    const watermarkUs = newestUs === null ? null : newestUs - options.outOfOrdernessUs;
    events.push({ event, behindUs, watermarkUs });
  }
  return { events, future };
}
