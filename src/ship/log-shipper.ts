// Verb: the log as it grows -> segments in the store. Reads what is durable; keeps no file of the log from being trimmed: what was trimmed before it was
// shipped is a gap, behind which only a shipment goes on.
import { durablyAway } from "../base/failpoints.ts";
import { isMissingFile } from "../log/log-file.ts";
import type { EncodedRecord } from "../log/log.ts";
import { logMoment, recordPieces } from "../savepoint/copy-log.ts";
import { logFolderOf } from "../log/data-folder.ts";
import { confirmOwner, type Claimed, type ShippingFolder } from "./claim.ts";
import { currentTerm, type Owner } from "./owner.ts";
import { encodeSegment } from "./segment.ts";
import { SEGMENT_BYTES } from "./ship-limits.ts";
import type { ObjectStore } from "./store.ts";

/** What a claim says of the log. */
type LogClaim = Pick<Claimed, "owner" | "next" | "runFirst" | "restorable">;

export class LogShipper {
  readonly #store: ObjectStore;
  readonly #folder: ShippingFolder;
  readonly #owner: Owner;
  /** Called between two pieces, and told the bytes that went out. */
  readonly #pause: (bytes: number) => Promise<void>;
  #next: number;
  #runFirst: number;
  /** Where a restore ends that cannot get to `runFirst`; null: it can. */
  #endsAt: number | null;
  #completeAtUs = 0;
  #missed = 0;
  #step: Promise<void> | null = null;

  constructor(
    store: ObjectStore,
    folder: ShippingFolder,
    { owner, next, runFirst, restorable }: LogClaim,
    pause: (bytes: number) => Promise<void>,
  ) {
    this.#store = store;
    this.#folder = folder;
    this.#owner = owner;
    this.#next = next;
    this.#runFirst = runFirst;
    this.#endsAt = restorable !== null && restorable >= next - 1 ? null : (restorable ?? 0);
    this.#pause = pause;
  }

  /** Every record from `runFirst` to `last` is in the store, and nobody has taken the prefix over since it was put there. */
  get shipped(): { readonly runFirst: number; readonly last: number } {
    return { runFirst: this.#runFirst, last: this.#next - 1 };
  }

  /** A restore from the store gets up to here: `shipped.last`, but for records that are in no segment and no shipment. */
  get position(): number {
    return this.#endsAt ?? this.#next - 1;
  }

  /** There is a shipment of this log position, whose log began at or behind `shipped.runFirst` then. */
  join(position: number): void {
    if (this.#endsAt === null) return;
    // records may have been trimmed unshipped since
    this.#endsAt = this.#runFirst <= position + 1 ? null : Math.max(this.#endsAt, position);
  }

  /** A restore from the store gets all that was durable at this moment; 0: not yet. */
  get completeAtUs(): number {
    return this.#completeAtUs;
  }

  /** Records that were trimmed before they could be shipped, since the start: none, but for a store that was away for long. */
  get missed(): number {
    return this.#missed;
  }

  /**
   * Ships what is durable now, or waits for the step that is under way. Rejects with ClaimRefusedError, StoreError; then what was not confirmed is
   * shipped again.
   */
  step(): Promise<void> {
    this.#step ??= this.#run().finally(() => (this.#step = null));
    return this.#step;
  }

  async #run(): Promise<void> {
    const atUs = this.#folder.nowUs();
    const { dataFolder, jobId, files } = this.#folder;
    const moment = logMoment(logFolderOf(dataFolder), files);
    if (moment.first > this.#next) {
      this.#missed += moment.first - this.#next;
      this.#endsAt ??= this.#next - 1;
      this.#next = this.#runFirst = moment.first;
    }
    let waiting: EncodedRecord[] = [];
    let bytes = 0;
    try {
      for (const piece of recordPieces({ ...moment, first: this.#next }, jobId)) {
        for (const record of piece) {
          waiting.push(record);
          bytes += record.header.length + record.payload.length;
          if (bytes < SEGMENT_BYTES) continue;
          await this.#put(waiting);
          waiting = [];
          bytes = 0;
        }
      }
    } catch (error) {
      // trimmed since: the next step sees where the log begins now
      if (isMissingFile(error)) return;
      throw error;
    }
    if (waiting.length > 0) await this.#put(waiting);
    if (this.#endsAt === null) this.#completeAtUs = atUs;
  }

  async #put(records: readonly EncodedRecord[]): Promise<void> {
    const { segment, bytes } = encodeSegment(records, currentTerm(this.#owner).id);
    await durablyAway(this.#folder.files, "ship.segment.put", () =>
      this.#store.put(segment.key, bytes),
    );
    // whoever took over before this saw the segment in its listing, or this sees that it did
    await confirmOwner(this.#store, this.#owner);
    this.#next = segment.last + 1;
    await this.#pause(bytes.length);
  }
}
