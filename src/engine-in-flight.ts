// Records on their way to durability, and what they hold of memory beside the ring of images: rejects, with the bytes of their events. A synchronous
// step; what waits when there is no room is the caller's.
import type { DurableRecord } from "./engine-backlog.ts";
import { RECORD_REJECT_BYTES_MAX } from "./limits.ts";

/**
 * Bytes of rejects on their way to the log: 32 MB, eight records of the most that one may have. The log thread has each twice, as it came and
 * encoded: 64 MB. With syncs of 200 ms 80 MB/s of them become durable. Beyond it bodies stay in their slots, as when the ring of images is full.
 */
export const IN_FLIGHT_REJECT_BYTES_MAX = 8 * RECORD_REJECT_BYTES_MAX;

/** What a reject takes beside its event: objects, a sentence, and the same in an answer. */
const REJECT_BYTES = 512;

export class RecordsInFlight {
  /** In the order of their positions. */
  readonly #records: { readonly record: DurableRecord; readonly rejectBytes: number }[] = [];
  #rejectBytes = 0;

  get isEmpty(): boolean {
    return this.#records.length === 0;
  }

  /** Whether a further record may be made. It may go beyond the bound by what one record may have. */
  get hasRoom(): boolean {
    return this.#rejectBytes < IN_FLIGHT_REJECT_BYTES_MAX;
  }

  add(...records: readonly DurableRecord[]): void {
    for (const record of records) {
      const rejectBytes = rejectBytesOf(record);
      this.#records.push({ record, rejectBytes });
      this.#rejectBytes += rejectBytes;
    }
  }

  /** Those up to `position` are durable: takes them out. */
  settle(position: number): DurableRecord[] {
    const beyond = this.#records.findIndex(({ record }) => record.position > position);
    const count = beyond === -1 ? this.#records.length : beyond;
    const settled = this.#records.splice(0, count);
    for (const { rejectBytes } of settled) this.#rejectBytes -= rejectBytes;
    return settled.map(({ record }) => record);
  }
}

function rejectBytesOf(record: DurableRecord): number {
  if ("control" in record) return 0;
  return record.rejects.reduce((sum, { raw }) => sum + REJECT_BYTES + raw.length, 0);
}
