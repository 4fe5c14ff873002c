// One stream's block and id table in the memory of the `admit` module, from the host's side: settings in, counts and times out.
// The kernels own what happens inside (assembly/admit).
import {
  ADMIT_PAGE_BYTES,
  DIRECTORY_SLOT_BYTES,
  ID_PAGE_SLOTS,
  STREAM_ACCEPTED_AT,
  STREAM_BYTES,
  STREAM_CAP_AT,
  STREAM_DELTA_IDS_AT,
  STREAM_DEPTH_MAX_AT,
  STREAM_HIGHEST_AT,
  STREAM_IDS_AT,
  STREAM_MAX_FUTURE_AT,
  STREAM_MAX_PAST_AT,
  STREAM_NEWEST_AT,
  STREAM_OUT_OF_ORDERNESS_AT,
  STREAM_PAGES_AT,
  STREAM_RECEIVED_MS_AT,
  STREAM_SEAL_GOAL_AT,
  STREAM_SEAL_STEP_AT,
  STREAM_SEALED_MS_AT,
  STREAM_SWEPT_AT,
  STREAM_TTL_MS_AT,
  STREAM_WATERMARK_AT,
} from "../../kernels/abi.ts";
import type { AdmitKernels } from "../../kernels/admit.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { assert } from "../base/assert.ts";
import { DEDUP_TTL_US_MAX } from "../limits.ts";
import { StreamClock, type ClockSettings, type ClockState } from "./stream-clock.ts";

/** A round of the sweeper. */
const ROUND = 2 ** 32;
/** After a seal a round takes as many rows as this share of `dedup_ids_max`: 16 slots are looked at for each row. */
const SEAL_ROUND_SHARE = 1 / 16;

/** Lowest i64: no event yet. */
const NONE = -(2n ** 63n);

/** How a stream is admitted. Durations in µs; null = not configured. */
export interface StreamSettings extends ClockSettings {
  readonly name: string;
  /** null = ids are not looked at. At most DEDUP_TTL_US_MAX. Rounded up to ms, the unit of received_at. */
  readonly dedupTtlUs: number | null;
  readonly maxFutureUs: number | null;
  readonly maxPastUs: number | null;
  /** `dedup_ids_max`: ids within the TTL; beyond it a batch is refused whole. */
  readonly idsMax: number;
}

/** Depth of a directory of one page: the least. */
const DEPTH_OF_PAGE = Math.log2(ADMIT_PAGE_BYTES / DIRECTORY_SLOT_BYTES);

/** Depth of the directory that `ids` ids never exceed: segments are split at some 420 ids, so 300 and four bits to spare. */
function depthMaxFor(ids: number): number {
  return Math.max(DEPTH_OF_PAGE, Math.ceil(Math.log2(Math.max(ids, 1) / 300)) + 4);
}

/** Depth of an empty table for `ids` ids: where they are densest three pages of a directory slot are 85 % full with them. */
function depthFor(ids: number): number {
  const densest = ids / Math.LN2;
  return Math.max(1, Math.ceil(Math.log2(densest / (3 * ID_PAGE_SLOTS * 0.85))));
}

export class StreamBlock {
  readonly settings: StreamSettings;
  /** Source partitions and watermark. */
  clock: StreamClock;
  readonly address: number;
  /** Whether ids are looked at. */
  readonly deduplicates: boolean;
  /** received_at, ms, of the last whole sweep that was forced because the table seemed full. */
  forcedSweepMs = -1;
  /** Ids were sealed since that sweep. */
  isSealPending = false;
  readonly #kernels: KernelInstance<AdmitKernels>;
  #view: DataView;

  /** Allocates the block. Throws RangeError when the memory is at its maximum. */
  constructor(kernels: KernelInstance<AdmitKernels>, settings: StreamSettings) {
    const ttlUs = settings.dedupTtlUs;
    assert(ttlUs === null || (ttlUs > 0 && ttlUs <= DEDUP_TTL_US_MAX), "dedup_ttl is in its range");
    assert(settings.outOfOrdernessUs >= 0, "out_of_orderness is not negative");
    assert((settings.maxFutureUs ?? 0) >= 0, "max_future is not negative");
    assert((settings.maxPastUs ?? 0) >= 0, "max_past is not negative");
    this.settings = settings;
    this.clock = new StreamClock(settings);
    this.deduplicates = ttlUs !== null;
    this.#kernels = kernels;
    this.address = kernels.allocate(STREAM_BYTES);
    this.#view = new DataView(kernels.memory.buffer, this.address, STREAM_BYTES);
    const put = (at: number, value: number): void =>
      this.#view.setBigInt64(at, BigInt(value), true);
    put(STREAM_OUT_OF_ORDERNESS_AT, settings.outOfOrdernessUs);
    put(STREAM_MAX_FUTURE_AT, settings.maxFutureUs ?? -1);
    put(STREAM_MAX_PAST_AT, settings.maxPastUs ?? -1);
    put(STREAM_TTL_MS_AT, Math.ceil((ttlUs ?? 0) / 1000));
    put(STREAM_RECEIVED_MS_AT, -1);
  }

  /** Makes the id table an empty one with room for `ids` ids. `reserve` makes sure of that many free pages. */
  buildTable(
    ids: number,
    reserve: (pages: number) => void,
    allocate: (pages: number) => number,
  ): void {
    if (!this.deduplicates) return;
    this.growDirectory(ids, allocate);
    const depth = depthFor(ids);
    reserve(this.#kernels.call.pagesOfTable(depth, ids));
    this.#kernels.call.buildTable(this.address, depth, ids);
  }

  /**
   * Makes sure that the directory can double as often as `ids` more ids may want: if not it moves to a place twice as large or more,
   * and its old place becomes free pages. `allocate` gives the address of that many pages in a row.
   */
  growDirectory(ids: number, allocate: (pages: number) => number): void {
    const depthMax = depthMaxFor(this.ids + ids);
    if (depthMax <= this.#view.getUint32(STREAM_DEPTH_MAX_AT, true)) return;
    const pages = 2 ** (depthMax - DEPTH_OF_PAGE);
    this.#kernels.call.moveDirectory(this.address, allocate(pages), depthMax);
  }

  /** Ids in the table: those within the TTL, and some that have expired since the sweeper was there. */
  get ids(): number {
    return this.#view.getUint32(STREAM_IDS_AT, true);
  }
  get pages(): number {
    return this.#view.getUint32(STREAM_PAGES_AT, true);
  }
  /** Ids accepted since the last checkpoint. */
  get deltaIds(): number {
    return this.#view.getUint32(STREAM_DELTA_IDS_AT, true);
  }
  /** received_at of the newest batch in ms; null = none yet. */
  get receivedAtMs(): number | null {
    const ms = Number(this.#view.getBigInt64(STREAM_RECEIVED_MS_AT, true));
    return ms < 0 ? null : ms;
  }

  get ttlMs(): number {
    return Number(this.#view.getBigInt64(STREAM_TTL_MS_AT, true));
  }

  /** Ids received up to `ms` are sealed: they leave the table within the next round of the sweeper, which is hastened. Never goes back. */
  sealedThrough(ms: number): void {
    if (BigInt(ms) <= this.#view.getBigInt64(STREAM_SEALED_MS_AT, true)) return;
    this.#view.setBigInt64(STREAM_SEALED_MS_AT, BigInt(ms), true);
    const swept = this.#view.getBigUint64(STREAM_SWEPT_AT, true);
    this.#view.setBigUint64(STREAM_SEAL_GOAL_AT, swept + BigInt(ROUND), true);
    const step = Math.ceil(ROUND / (this.settings.idsMax * SEAL_ROUND_SHARE));
    this.#view.setBigUint64(STREAM_SEAL_STEP_AT, BigInt(step), true);
    this.isSealPending = true;
  }

  /** A whole sweep was made. */
  swept(receivedMs: number): void {
    this.forcedSweepMs = receivedMs;
    this.isSealPending = false;
  }

  #setTime(at: number, us: bigint | null): void {
    this.#view.setBigInt64(at, us ?? NONE, true);
  }

  /** Before the rows of a record are admitted: tells the kernels what its events may move. */
  beginRows(partition: string, receivedAtUs: number): void {
    const { watermarkUs, newestUs, highestUs, capUs } = this.clock.begin(partition, receivedAtUs);
    this.#setTime(STREAM_WATERMARK_AT, watermarkUs);
    this.#setTime(STREAM_NEWEST_AT, newestUs);
    this.#setTime(STREAM_HIGHEST_AT, highestUs);
    this.#setTime(STREAM_CAP_AT, capUs);
  }

  /** After them: takes over what they moved. `markedUs`: the partition's highest as the log has it, where it has one. */
  endRows(partition: string, markedUs = this.#time(STREAM_HIGHEST_AT)): void {
    this.clock.end(partition, { highestUs: markedUs, newestUs: this.#time(STREAM_NEWEST_AT) });
  }

  #time(at: number): bigint | null {
    const us = this.#view.getBigInt64(at, true);
    return us === NONE ? null : us;
  }

  /** Takes over the times of a checkpoint. */
  restoreTimes(clock: ClockState, receivedAtMs: number | null): void {
    this.clock = new StreamClock(this.settings, clock);
    this.#view.setBigInt64(STREAM_RECEIVED_MS_AT, BigInt(receivedAtMs ?? -1), true);
  }

  /** One of the counts of the last batch: the `nth` u32 from STREAM_ACCEPTED_AT. */
  count(nth: number): number {
    return this.#view.getUint32(STREAM_ACCEPTED_AT + 4 * nth, true);
  }
}
