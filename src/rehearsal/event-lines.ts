// Verb: a file of events -> lines as they come in. A line is an event's JSON, or {"received_at": "...", "event": {...}} (with "partition" if
// it matters): then it says when it was received and from which source partition. Owns that envelope; what an event is, decode says.
import { isoTime, timeUs } from "../base/iso-time.ts";

/** An event as it comes in. */
export interface EventLine {
  readonly text: string;
  /** µs since the epoch: its own, else that of the line before, else the first in the file; null: the file does not say. */
  readonly receivedAtUs: number | null;
  /** Source partition; "" is the one of requests that name none. */
  readonly partition: string;
}

/** A line that is an envelope with something else in it, or too long. */
export class EventLineError extends Error {
  override readonly name = "EventLineError";
}

/** Times of receipt are whole numbers below 2^53, in whole ms: up to June of the year 2255. */
export const RECEIVED_AT_US_MAX = BigInt(Number.MAX_SAFE_INTEGER - 991);

/** The event's text stays as it is written: its numbers keep their digits. */
const ENVELOPE =
  /^\s*\{\s*"received_at"\s*:\s*"([^"\\]*)"\s*,(?:\s*"partition"\s*:\s*"([^"\\]*)"\s*,)?\s*"event"\s*:(.*)\}\s*$/s;

/** Some editors begin a file of UTF-8 with it. */
const BYTE_ORDER_MARK = /^\uFEFF/;

/** A file's text as it was meant. */
export function withoutMark(text: string): string {
  return text.replace(BYTE_ORDER_MARK, "");
}

/** Lines in order; empty ones are passed over. Throws EventLineError. */
export function readEventLines(text: string): EventLine[] {
  const lines: EventLine[] = [];
  let last: number | null = null;
  for (const [index, line] of withoutMark(text).split("\n").entries()) {
    if (line.trim() === "") continue;
    const [, receivedAt, partition = "", event = ""] = ENVELOPE.exec(line) ?? [];
    if (receivedAt === undefined) {
      lines.push({ text: line, receivedAtUs: last, partition: "" });
      continue;
    }
    const us = timeUs(receivedAt);
    if (us === null || us % 1000n !== 0n)
      throw new EventLineError(
        `line ${index + 1}: received_at ${JSON.stringify(receivedAt)} is not a time in whole ms; write 2019-10-01T00:30:00.250Z`,
      );
    if (us > RECEIVED_AT_US_MAX)
      throw new EventLineError(
        `line ${index + 1}: received_at ${receivedAt} is beyond ${isoTime(RECEIVED_AT_US_MAX)}, where times of receipt end`,
      );
    if (last !== null && Number(us) < last)
      throw new EventLineError(
        `line ${index + 1}: received_at ${receivedAt} is before that of a line above: lines stand in the order in which they come in`,
      );
    last = Number(us);
    lines.push({ text: event.trim(), receivedAtUs: last, partition });
  }
  const first = lines.find(({ receivedAtUs }) => receivedAtUs !== null)?.receivedAtUs ?? null;
  return lines.map((line) => ({ ...line, receivedAtUs: line.receivedAtUs ?? first }));
}
