// The rules of admission, event by event over plain values: which events of a file count, and `_behind` of each. Shares nothing with the
// code under test. One source partition; ids are remembered for ever (a case lasts minutes).

/** An event that counts, as its JSON text with what admission adds. */
export interface RawEvent {
  readonly json: string;
  readonly timeUs: bigint;
  readonly user: string;
  readonly receivedAtUs: bigint;
  readonly behindUs: bigint;
  /** The stream's watermark after it. */
  readonly watermarkUs: bigint;
}

export interface RawEvents {
  readonly events: readonly RawEvent[];
  readonly rejects: readonly { readonly reason: string; readonly field: string | null }[];
}

/** µs of an ISO 8601 time with Z and up to six digits of a fraction. */
export function isoUs(text: string): bigint {
  const [whole = "", fraction = ""] = text.replace("Z", "").split(".");
  return BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(fraction.padEnd(6, "0"));
}

/** `lines`: {"received_at", "event"} each. */
export function rawEvents(
  lines: readonly string[],
  options: { readonly outOfOrdernessUs: bigint; readonly maxFutureUs: bigint },
): RawEvents {
  const events: RawEvent[] = [];
  const rejects: { reason: string; field: string | null }[] = [];
  const ids = new Set<number>();
  let newestUs: bigint | null = null;
  for (const line of lines) {
    const { received_at: receivedAt, event } = JSON.parse(line) as {
      readonly received_at: string;
      readonly event: { readonly id: number; readonly time: string; readonly user?: number | null };
    };
    const timeUs = isoUs(event.time);
    const receivedAtUs = isoUs(receivedAt);
    if (ids.has(event.id)) continue;
    if (timeUs > receivedAtUs + options.maxFutureUs) {
      rejects.push({ reason: "too_far_in_future", field: "time" });
      continue;
    }
    ids.add(event.id);
    const beforeUs: bigint | null = newestUs === null ? null : newestUs - options.outOfOrdernessUs;
    const behindUs = beforeUs !== null && beforeUs > timeUs ? beforeUs - timeUs : 0n;
    const seenUs = timeUs < receivedAtUs ? timeUs : receivedAtUs;
    if (newestUs === null || seenUs > newestUs) newestUs = seenUs;
    events.push({
      json: JSON.stringify(event),
      timeUs,
      user: String(event.user ?? null),
      receivedAtUs,
      behindUs,
      watermarkUs: newestUs - options.outOfOrdernessUs,
    });
  }
  return { events, rejects };
}
