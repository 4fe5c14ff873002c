// Admission: which events count. Owns the id tables, the watermarks and the newest event time of every stream, and admission's own
// checkpoint. Decides in log order, synchronously; reads no clock. Does not decode, does not write the log.
//
// Order of life: addStream for each stream, restore (if there is a checkpoint), replay (log records after it), then admit.
import {
  ADMIT_PAGE_BYTES,
  COLUMN_BYTES,
  COLUMN_DICT_COUNT_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  ID_ENTRY_BYTES,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  IMAGE_MAGIC_AT,
  IMAGE_ROWS_AT,
  PHYSICAL_I64,
} from "../../kernels/abi.ts";
import type { AdmitKernels } from "../../kernels/admit.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { assert, must } from "../base/assert.ts";
import type { Files } from "../base/files.ts";
import { DEDUP_TTL_US_MAX, DELTA_IDS_DUE, DELTA_IDS_MAX } from "../limits.ts";
import { AdmitBuffers, SEGMENT_ENTRIES } from "./buffers.ts";
import {
  AdmissionFormatError,
  decodeSegment,
  decodeState,
  encodeSegment,
  encodeState,
  type AdmissionSegment,
  type HashKey,
  type StreamState,
} from "./checkpoint.ts";
import type { GenerationInfo, GenerationParts } from "./generation.ts";
import { IdRestore } from "./id-restore.ts";
import { AdmitPages } from "./pages.ts";
import { SealedIds } from "./sealed-ids.ts";
import { SegmentRooms } from "./segment-rooms.ts";
import { StreamBlock, type StreamSettings } from "./stream-block.ts";
import type { StreamClock } from "./stream-clock.ts";

/** Decoded events that ask to be admitted. Arrays may be views into another memory: they are copied. */
export interface Batch {
  /** 16 bytes a row, sipHash128 of the id; null = the stream has no ids. */
  readonly hashes: Uint8Array | null;
  /** Bitmap of rows that have an id, LSB first; null = all. A null id is never a duplicate. */
  readonly idValid: Uint8Array | null;
  /** µs since the epoch. */
  readonly eventTimes: BigInt64Array;
  /** A byte a row, 1 = it moves the watermark if it is accepted; absent = every row does. */
  readonly marks?: Uint8Array;
  readonly rowCount: number;
}

/** The verdicts on a batch. Arrays are views into admit memory, valid until the next call. */
export interface Admitted {
  readonly full: false;
  /** One of VERDICT_* a row. */
  readonly verdicts: Uint8Array;
  /** `_behind` of each row in µs, 0 for those not accepted; null = all zero. */
  readonly behind: BigInt64Array | null;
  readonly accepted: number;
  readonly duplicates: number;
  readonly future: number;
  readonly past: number;
}

/** Nothing was admitted and nothing has changed: try again later. */
export interface AdmissionFull {
  readonly full: true;
  /**
   * ids: `dedup_ids_max`; memory: the admit memory; checkpoint: DELTA_IDS_MAX ids wait for a checkpoint; partitions: no source partition
   * of SOURCE_PARTITIONS_MAX is idle.
   */
  readonly reason: "ids" | "memory" | "checkpoint" | "partitions";
}

/** Where and when a batch came from. */
export interface Arrival {
  /** The source partition. */
  readonly partition: string;
  /** A multiple of 1,000, never below the last of the stream. */
  readonly receivedAtUs: number;
}

/** Accepted events as the log holds them: an EventsRecord's image, and its watermark, which stays, whatever `out_of_orderness` is now. */
export interface ReplayedEvents extends Arrival {
  readonly watermarkUs: bigint | null;
  /** As in EventsRecord. */
  readonly markedUs?: bigint | null;
  readonly image: Uint8Array;
  /** Ordinals in the image of the event-time column (null: it is received_at), and of the id column or null. */
  readonly eventTime: number | null;
  readonly eventId: number | null;
}

/** The folder that holds the generations of all streams. */
export interface GenerationFolder {
  readonly files: Files;
  readonly path: string;
}

export class Admission {
  readonly #kernels: KernelInstance<AdmitKernels>;
  readonly #key: HashKey;
  /** What a checkpoint said of each stream: kept for those that are not declared now, or whose ids are not looked at. */
  readonly #restored = new Map<string, StreamState>();
  readonly #streams = new Map<string, StreamBlock>();
  readonly #buffers: AdmitBuffers;
  readonly #pages: AdmitPages;
  readonly #generations: GenerationFolder | null;
  readonly #sealedIds = new Map<string, SealedIds>();
  /** Full segments of ids since the last checkpoint, cut as they fill, so that a checkpoint copies little; and their ids. */
  #cut: AdmissionSegment[] = [];
  #cutIds = 0;
  readonly #rooms = new SegmentRooms();

  /**
   * `kernels`: an instance of the `admit` module of its own. `key`: what decode hashes ids with; that of the checkpoint
   * (`decodeState(body).key`) when there is one. `generations`: where sealed ids lie; null = ids are never sealed.
   */
  constructor(
    kernels: KernelInstance<AdmitKernels>,
    key: HashKey,
    generations: GenerationFolder | null = null,
  ) {
    this.#kernels = kernels;
    this.#generations = generations;
    this.#buffers = new AdmitBuffers(kernels);
    this.#pages = new AdmitPages(kernels);
    this.#key = key;
  }

  /** Declares a stream. Throws RangeError when the memory is at its maximum. */
  addStream(settings: StreamSettings): void {
    assert(!this.#streams.has(settings.name), `stream ${settings.name} is added once`);
    const stream = new StreamBlock(this.#kernels, settings);
    this.#pages.buildTable(stream, 0);
    this.#streams.set(settings.name, stream);
  }

  /** Decides on a batch, row by row. */
  admit(
    name: string,
    batch: Batch,
    { partition, receivedAtUs }: Arrival,
  ): Admitted | AdmissionFull {
    const stream = this.#stream(name);
    const rows = batch.rowCount;
    const receivedMs = this.#receivedMs(stream, receivedAtUs);
    const ids = stream.deduplicates && batch.hashes !== null ? rows : 0;
    if (!stream.clock.hasRoomFor(partition, receivedAtUs))
      return { full: true, reason: "partitions" };
    const full = this.#fullFor(stream, ids, receivedMs);
    if (full !== null) return { full: true, reason: full };
    const buffers = this.#buffers.load(batch);
    if (rows > 0) stream.beginRows(partition, receivedAtUs);
    const sealed = ids > 0 ? this.#findSealed(stream, batch, receivedMs) : null;
    if (sealed !== null) this.#kernels.u8().set(sealed, buffers.sealed);
    this.#kernels.call.admitRows(
      stream.address,
      rows,
      ids > 0 ? buffers.hashes : 0,
      batch.idValid === null ? 0 : buffers.idValid,
      sealed === null ? 0 : buffers.sealed,
      batch.marks === undefined ? 0 : buffers.marks,
      buffers.times,
      BigInt(receivedMs),
      buffers.verdicts,
      buffers.behind,
    );
    if (rows > 0) stream.endRows(partition);
    if (stream.deltaIds >= SEGMENT_ENTRIES) this.#cutSegment(stream);
    const memory = this.#kernels.memory.buffer;
    return {
      full: false,
      verdicts: new Uint8Array(memory, buffers.verdicts, rows),
      behind: stream.count(4) > 0 ? new BigInt64Array(memory, buffers.behind, rows) : null,
      accepted: stream.count(0),
      duplicates: stream.count(1),
      future: stream.count(2),
      past: stream.count(3),
    };
  }

  /** Rows whose ids are sealed and within the TTL, a byte each; null = none. */
  #findSealed(stream: StreamBlock, batch: Batch, receivedMs: number): Uint8Array | null {
    const sealed = this.#sealedIds.get(stream.settings.name);
    if (sealed === undefined || batch.hashes === null) return null;
    const { hashes, idValid, rowCount } = batch;
    const words = new Uint32Array(hashes.buffer, hashes.byteOffset, rowCount * 4);
    return sealed.find({ words, idValid, rowCount }, receivedMs, stream.ttlMs);
  }

  /**
   * Takes over the list of a stream's generations, oldest first: of a checkpoint, or when one was written (`made`), merged or dropped. Ids
   * that are in one leave the table by and by. Streams that are not declared are passed over. Throws GenerationError.
   */
  setGenerations(
    name: string,
    infos: readonly GenerationInfo[],
    made: GenerationParts | null,
  ): void {
    const stream = this.#streams.get(name);
    if (stream === undefined) return;
    const { files, path } = must(this.#generations, "a folder of generations");
    const sealed = this.#sealedIds.get(name) ?? new SealedIds(files, path);
    this.#sealedIds.set(name, sealed);
    sealed.set(infos, made);
    if (sealed.throughMs !== null) stream.sealedThrough(sealed.throughMs);
  }

  /** Why a batch of `ids` ids cannot be taken, or null. Afterwards there are pages enough for it. */
  #fullFor(stream: StreamBlock, ids: number, receivedMs: number): AdmissionFull["reason"] | null {
    if (ids === 0) return null;
    const { idsMax, dedupTtlUs } = stream.settings;
    if (stream.ids + ids > idsMax) {
      // Once in a 64th of the TTL, or when ids were sealed: who tries again at once does not cause a sweep each.
      const waitedUs = (receivedMs - stream.forcedSweepMs) * 1000;
      if (waitedUs >= (dedupTtlUs ?? 0) / 64 || stream.isSealPending) {
        this.#kernels.call.sweepAll(stream.address, BigInt(receivedMs));
        stream.swept(receivedMs);
      }
      if (stream.ids + ids > idsMax) return "ids";
    }
    if (this.deltaIds + ids > DELTA_IDS_MAX) return "checkpoint";
    return this.#pages.reserveFor(stream, ids) ? null : "memory";
  }

  /** The stream's watermark and source partitions. Records without rows, control records and ticks are told to it. */
  clock(name: string): StreamClock {
    return this.#stream(name).clock;
  }

  /** Ids in a stream's table and bytes of its pages; ids that are sealed; buckets of them that were read from disk. For metrics. */
  idTable(name: string): {
    readonly ids: number;
    readonly bytes: number;
    readonly sealedIds: number;
    readonly bucketsRead: number;
  } {
    const stream = this.#stream(name);
    const { ids: sealedIds = 0, bucketsRead = 0 } = this.#sealedIds.get(name) ?? {};
    return { ids: stream.ids, bytes: stream.pages * ADMIT_PAGE_BYTES, sealedIds, bucketsRead };
  }

  /** Ids that the next checkpoint will write. */
  get deltaIds(): number {
    let ids = this.#cutIds;
    for (const stream of this.#streams.values()) ids += stream.deltaIds;
    return ids;
  }

  /** True when so many ids wait that a checkpoint should be taken now. */
  get checkpointDue(): boolean {
    if (this.deltaIds >= DELTA_IDS_DUE) return true;
    // what is to be sealed must be in a checkpoint first: half of what a seal takes is worth one
    return [...this.#streams.values()].some(
      ({ ids, deltaIds, settings }) => ids > settings.idsMax / 2 && deltaIds > settings.idsMax / 16,
    );
  }

  /**
   * What is new since the last call, and forgets it: the caller stores body and segments in one transaction, in order, and only once
   * `position`, the last log position admitted, is durable. If that fails the process ends.
   */
  takeDelta(position: number): { body: Uint8Array; segments: AdmissionSegment[] } {
    for (const stream of this.#streams.values())
      while (stream.deltaIds > 0) this.#cutSegment(stream);
    const segments = this.#cut;
    this.#cut = [];
    this.#cutIds = 0;
    return { body: encodeState({ position, key: this.#key, streams: this.#states() }), segments };
  }

  /** Segments of `takeDelta` are saved, and nobody reads them any more: their memory is used again. */
  saved(segments: readonly Pick<AdmissionSegment, "bytes">[]): void {
    this.#rooms.giveBack(segments);
  }

  /** Moves the oldest ids of a delta, at most SEGMENT_ENTRIES, into a segment. */
  #cutSegment(stream: StreamBlock): void {
    const chunk = this.#buffers.chunk;
    const count = this.#kernels.call.takeDelta(stream.address, chunk, SEGMENT_ENTRIES);
    assert(count > 0, "a chunk holds a page of the delta");
    const memory = this.#kernels.memory.buffer;
    const entries = new Uint8Array(memory, chunk, count * ID_ENTRY_BYTES);
    const lastMs = new DataView(memory, chunk + count * ID_ENTRY_BYTES - 4).getUint32(0, true);
    const receivedMs = must(stream.receivedAtMs, "received_at of a stream with ids");
    const newestMs = receivedMs - (((receivedMs % 2 ** 32) - lastMs) >>> 0);
    const { name } = stream.settings;
    this.#cut.push(encodeSegment(name, entries, newestMs, this.#rooms.take(name, count)));
    this.#cutIds += count;
  }

  #states(): StreamState[] {
    const declared = [...this.#streams.values()].map((stream): StreamState => {
      const { name, dedupTtlUs } = stream.settings;
      const of = stream.deduplicates ? { ids: stream.ids, dedupTtlUs } : this.#restored.get(name);
      const { clock, receivedAtMs } = stream;
      return { ids: 0, ...of, name, clock: clock.state, receivedAtMs };
    });
    return [...declared, ...[...this.#restored.values()].filter((s) => !this.#streams.has(s.name))];
  }

  /** Ids that have outlived their stream's TTL, or the last that it had, at `nowUs`: a checkpoint may drop them. */
  expiredIds(nowUs: number): { readonly stream: string; readonly beforeUs: number }[] {
    return this.#states().map(({ name, dedupTtlUs }) => ({
      stream: name,
      beforeUs: nowUs - (dedupTtlUs ?? DEDUP_TTL_US_MAX),
    }));
  }

  /**
   * Takes over a checkpoint: the newest body and all segments that have not expired, in any order, but fastest stream by stream. States of streams that are not
   * declared are kept for the next checkpoints, and their segments stay there. Returns the position to replay from (exclusive). Throws AdmissionFormatError, and RangeError when the memory does not hold the ids.
   */
  restore(body: Uint8Array, segments: Iterable<Uint8Array>): number {
    const state = decodeState(body);
    if (state.key.k0 !== this.#key.k0 || state.key.k1 !== this.#key.k1)
      throw new AdmissionFormatError("the checkpoint of admission was made with another hash key");
    for (const times of state.streams) {
      this.#restored.set(times.name, times);
      const stream = this.#streams.get(times.name);
      if (stream === undefined) continue;
      assert(stream.receivedAtMs === null, "a checkpoint is restored before events are admitted");
      stream.restoreTimes(times.clock, times.receivedAtMs);
      this.#pages.buildTable(stream, times.ids);
    }
    const restore = new IdRestore(this.#kernels, this.#pages, this.#buffers.chunk);
    for (const segment of segments) {
      const { stream: name, newestMs, entries } = decodeSegment(segment);
      const stream = this.#streams.get(name);
      // earlier releases forgot the state of a stream that was removed: what is still there of its ids is left out
      if (stream?.deduplicates === true && stream.receivedAtMs !== null)
        restore.add(stream, entries, newestMs);
    }
    restore.finish();
    return state.position;
  }

  /** Repeats the accepted events of a log record after the checkpoint. Throws RangeError when the memory does not hold the ids. */
  replay(name: string, events: ReplayedEvents): void {
    const stream = this.#stream(name);
    const receivedMs = this.#receivedMs(stream, events.receivedAtUs);
    const { image } = events;
    const header = new DataView(image.buffer, image.byteOffset, image.byteLength);
    assert(header.getUint32(IMAGE_MAGIC_AT, true) === IMAGE_MAGIC, "a batch image is replayed");
    const rows = header.getUint32(IMAGE_ROWS_AT, true);
    const buffers = this.#buffers.batch(rows);
    const at = this.#buffers.loadImage(image);
    const view = new DataView(this.#kernels.memory.buffer, at, image.length);
    const descriptor = (column: number): number => {
      assert(column < view.getUint32(IMAGE_COLUMNS_AT, true), "the column is in the image");
      return IMAGE_HEADER_BYTES + column * COLUMN_BYTES;
    };
    let times = at;
    if (events.eventTime !== null) {
      const time = descriptor(events.eventTime);
      assert(view.getUint8(time + COLUMN_PHYSICAL_AT) === PHYSICAL_I64, "event times are i64");
      times += view.getUint32(time + COLUMN_VALUES_AT, true);
    }
    if (times === at) {
      const timeUs = events.eventTime === null ? BigInt(events.receivedAtUs) : 0n;
      times = buffers.times;
      new BigInt64Array(this.#kernels.memory.buffer, times, rows).fill(timeUs);
    }
    let hashes = 0;
    let idValid = 0;
    if (events.eventId !== null && stream.deduplicates) {
      if (!this.#pages.reserveFor(stream, rows))
        throw new RangeError("admit memory: ids do not fit");
      const id = descriptor(events.eventId);
      const entries = this.#buffers.entries(view.getUint32(id + COLUMN_DICT_COUNT_AT, true));
      const { k0, k1 } = this.#key;
      hashes = buffers.hashes;
      this.#kernels.call.hashIds(at, events.eventId, k0, k1, hashes, entries);
      const validity = view.getUint32(id + COLUMN_VALIDITY_AT, true);
      idValid = validity === 0 ? 0 : at + validity;
    }
    stream.beginRows(events.partition, events.receivedAtUs);
    this.#kernels.call.replayRows(stream.address, rows, hashes, idValid, times, BigInt(receivedMs));
    stream.endRows(events.partition, events.markedUs);
    stream.clock.decided(events.watermarkUs);
    if (stream.deltaIds >= SEGMENT_ENTRIES) this.#cutSegment(stream);
  }

  #stream(name: string): StreamBlock {
    return must(this.#streams.get(name), `stream ${name}`);
  }

  #receivedMs(stream: StreamBlock, receivedAtUs: number): number {
    assert(receivedAtUs % 1000 === 0, "received_at is a multiple of 1,000 µs");
    const receivedMs = receivedAtUs / 1000;
    assert(receivedMs >= (stream.receivedAtMs ?? 0), "received_at does not go back");
    return receivedMs;
  }
}
