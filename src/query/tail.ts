// Noun: the log's tail as questions read it: records beyond what the tables hold, decoded once and kept between questions. One tail
// per stream (its batches), one for rejects. Owns the cache and its bound; the log itself is the log room's.
import type { LogReader } from "../log/log.ts";
import type { LogRecord } from "../log/record.ts";
import { QUERY_TAIL_READ_BYTES } from "../limits.ts";

/** What a tail keeps of a record: something with a size, or null when the record is nothing to it. */
export interface TailPart {
  readonly bytes: number;
}

/** Room shared by all tails of a process. When it is full a tail still reads, it only does not keep. */
export interface TailBudget {
  bytes: number;
  readonly bytesMax: number;
}

/** The log does not hold what a pin says: it was trimmed under a question, or is damaged. */
export class TailError extends Error {
  override readonly name = "TailError";
}

interface Kept<T> {
  readonly position: number;
  readonly part: T;
}

/** Parts of consecutive records. Positions that hold nothing of interest are covered all the same. */
export class Tail<T extends TailPart> {
  readonly #partOf: (record: LogRecord) => T | null;
  readonly #budget: TailBudget;
  #kept: Kept<T>[] = [];
  /** The cache covers positions in (#after, #last]. */
  #after = 0;
  #last = 0;

  constructor(budget: TailBudget, partOf: (record: LogRecord) => T | null) {
    this.#budget = budget;
    this.#partOf = partOf;
  }

  /** Parts of the records in (after, upTo], in order. Reads what is not kept from the log, a slice at a time. Throws TailError. */
  *parts(log: LogReader, after: number, upTo: number): Generator<T> {
    let next = after + 1;
    while (next <= upTo) {
      if (next > this.#after && next <= this.#last) {
        const end = Math.min(this.#last, upTo);
        // A copy: while the caller is at work another question may drop the head.
        const slice = this.#kept.filter(({ position }) => position >= next && position <= end);
        next = end + 1;
        for (const { part } of slice) yield part;
        continue;
      }
      const records = this.#read(log, next);
      const parts = records.map((record) => this.#keep(record));
      next += records.length;
      for (const entry of parts) if (entry !== null && entry.position <= upTo) yield entry.part;
    }
  }

  /** Forgets what tables hold by now. */
  dropThrough(position: number): void {
    if (position <= this.#after) return;
    const keepFrom = this.#kept.findIndex((entry) => entry.position > position);
    const dropped = keepFrom < 0 ? this.#kept : this.#kept.slice(0, keepFrom);
    for (const { part } of dropped) this.#budget.bytes -= part.bytes;
    this.#kept = keepFrom < 0 ? [] : this.#kept.slice(keepFrom);
    this.#after = position;
    this.#last = Math.max(this.#last, position);
  }

  /** Forgets everything. */
  clear(): void {
    for (const { part } of this.#kept) this.#budget.bytes -= part.bytes;
    this.#kept = [];
    this.#after = 0;
    this.#last = 0;
  }

  #read(log: LogReader, position: number): LogRecord[] {
    const records = log.read(position, QUERY_TAIL_READ_BYTES);
    if (records[0]?.position === position) return records;
    const { first, last } = log.bounds();
    throw new TailError(`the log holds positions ${first} to ${last}, not ${position}`);
  }

  /** Keeps the record's part when it continues the cache and there is room. */
  #keep(record: LogRecord): Kept<T> | null {
    const part = this.#partOf(record);
    const entry = part === null ? null : { position: record.position, part };
    if (this.#kept.length === 0 && this.#last < record.position - 1) {
      this.#after = record.position - 1;
      this.#last = this.#after;
    }
    const bytes = part?.bytes ?? 0;
    if (record.position !== this.#last + 1 || this.#budget.bytes + bytes > this.#budget.bytesMax)
      return entry;
    this.#last = record.position;
    if (entry !== null) this.#kept.push(entry);
    this.#budget.bytes += bytes;
    return entry;
  }
}
