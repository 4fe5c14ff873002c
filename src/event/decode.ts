// Verb: bodies of producers to a batch image of events, through the decode kernel. Owns the decode memory's working room, the
// batch that is being made, and the words for people in a reject. Knows nothing of duplicates, watermarks or the log: admission's
// verdicts come in by argument.
import * as L from "../../kernels/abi.ts";
import type { DecodeKernels } from "../../kernels/decode.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { assert, must } from "../base/assert.ts";
import {
  BODY_REJECTS_MAX,
  EVENT_BYTES_MAX,
  REJECT_RAW_BYTES_MAX,
  RECORD_REJECTS_MAX,
  RECORD_REJECT_BYTES_MAX,
} from "../limits.ts";
import { eiselLemirePowers } from "./powers.ts";
import type { Reject } from "./reject.ts";
import { rejectOf, type RejectedEvent } from "./refuse.ts";
import { eventTimeName, type EventSchema } from "./schema.ts";
import { SchemaBlock } from "./schema-block.ts";

export interface DecoderOptions {
  /** Rows of one batch at most. */
  readonly rowsMax: number;
  /** Bytes of one batch image at most; every target of `seal` has this room. Must hold one event of `eventBytesMax`. */
  readonly imageBytesMax: number;
  /** Bytes of one event at most; larger ones are refused as too_large. */
  readonly eventBytesMax?: number;
  /** Rejects of one body at most; what follows them is one more, unread. */
  readonly bodyRejectsMax?: number;
}

/** A request's body in the decode memory; SCAN_PADDING_BYTES behind it belong to the decoder, which zeroes them. */
export interface EncodedBody {
  readonly address: number;
  readonly bytes: number;
  readonly format: "json" | "ndjson";
}

/** Where a body goes on in the next batch. */
export interface DecodeCursor {
  /** Bytes of the body that are used up. */
  readonly offset: number;
  /** Events seen so far. */
  readonly index: number;
  /** STATE_* of kernels/abi.ts, and how many rejects it had. */
  readonly state: number;
}

/** What one body (or part of one) gave to the batch. */
export interface DecodedBody {
  /** Its rows in the batch are [firstRow, firstRow + rowCount). */
  readonly firstRow: number;
  readonly rowCount: number;
  readonly rejects: readonly Reject[];
  /** Events of this part: rows and rejects. */
  readonly events: number;
  /** Not null when the batch is full: go on from here in the next one. */
  readonly cursor: DecodeCursor | null;
}

/** What admission asks of a batch. Views into the decode memory, valid until the next call. */
export interface AdmissionBatch {
  readonly rowCount: number;
  /** 16 bytes a row, sipHash128 of the id; null when the stream has no ids. */
  readonly hashes: Uint8Array | null;
  /** Bitmap of rows that have an id, LSB first; null when the stream has no ids. */
  readonly idValid: Uint8Array | null;
  /** µs since the epoch. */
  readonly eventTimes: BigInt64Array;
}

/** The batch image that `seal` wrote. `storedBytes` = `totalBytes`: decode writes no hashes. Both 0 when no row was accepted. */
export interface SealedBatch {
  readonly rowCount: number;
  readonly storedBytes: number;
  readonly totalBytes: number;
}

/** The text of a checked JSON string without its quotes. */
function unquoted(text: string): string {
  const value: unknown = JSON.parse(`"${text}"`);
  return String(value);
}

/** Makes batches, one at a time: `begin`, `add` bodies, `forAdmission`, `seal`. Several streams share its room. */
export class Decoder {
  readonly #instance: KernelInstance<DecodeKernels>;
  readonly #options: Required<DecoderOptions>;
  readonly #schemas = new Map<string, SchemaBlock>();
  readonly #rowsAt: number;
  readonly #resultAt: number;
  readonly #rejectsAt: number;
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #current: SchemaBlock | null = null;
  #buffer: ArrayBufferLike;
  #u8: Uint8Array;
  #u32: Uint32Array;
  #rejectsTaken = 0;

  constructor(instance: KernelInstance<DecodeKernels>, options: DecoderOptions) {
    this.#instance = instance;
    const rowsMax = Math.ceil(options.rowsMax / 64) * 64;
    const eventBytesMax = options.eventBytesMax ?? EVENT_BYTES_MAX;
    const bodyRejectsMax = options.bodyRejectsMax ?? BODY_REJECTS_MAX;
    this.#options = { ...options, rowsMax, eventBytesMax, bodyRejectsMax };
    const rowsBytes = rowsMax * 256;
    const arenaBytes = options.imageBytesMax + eventBytesMax + 128;
    this.#rowsAt = instance.allocate(rowsBytes);
    this.#resultAt = instance.allocate(L.RESULT_BYTES);
    this.#rejectsAt = instance.allocate(RECORD_REJECTS_MAX * L.REJECT_BYTES);
    const room = instance.allocate(L.ROOM_BYTES);
    const powers = eiselLemirePowers();
    const powersAt = instance.allocate(powers.byteLength);
    const words: Readonly<Record<number, number>> = {
      [L.ROOM_ROWS_AT]: this.#rowsAt,
      [L.ROOM_ROWS_BYTES]: rowsBytes,
      [L.ROOM_ROWS_MAX]: options.rowsMax,
      [L.ROOM_ARENA_AT]: instance.allocate(arenaBytes),
      [L.ROOM_ARENA_BYTES]: arenaBytes,
      [L.ROOM_NAMES_AT]: instance.allocate(eventBytesMax + 128),
      [L.ROOM_REJECTS_AT]: this.#rejectsAt,
      [L.ROOM_REJECTS_MAX]: RECORD_REJECTS_MAX,
      [L.ROOM_SCRATCH_AT]: instance.allocate(L.SCRATCH_BYTES),
      [L.ROOM_GATHER_AT]: instance.allocate(rowsMax * L.GATHER_BYTES_PER_ROW + L.GATHER_BYTES),
      [L.ROOM_GATHER_ROWS]: rowsMax,
      [L.ROOM_EVENT_BYTES_MAX]: eventBytesMax,
      [L.ROOM_IMAGE_BYTES_MAX]: options.imageBytesMax,
      [L.ROOM_POWERS_AT]: powersAt,
      [L.ROOM_RESULT_AT]: this.#resultAt,
      [L.ROOM_RAW_BYTES_MAX]: REJECT_RAW_BYTES_MAX,
      [L.ROOM_RAW_TOTAL_MAX]: RECORD_REJECT_BYTES_MAX,
      [L.ROOM_BODY_REJECTS_MAX]: bodyRejectsMax,
    };
    const u32 = instance.u32();
    for (const [at, value] of Object.entries(words)) u32[(room + Number(at)) >>> 2] = value;
    instance.u8().set(powers, powersAt);
    instance.call.configure(room);
    this.#buffer = instance.memory.buffer;
    this.#u8 = instance.u8();
    this.#u32 = instance.u32();
  }

  /** The decode memory: bodies lie in it, images are written into it. */
  get memory(): SharedArrayBuffer {
    return this.#instance.memory.buffer as unknown as SharedArrayBuffer;
  }

  /** Declares a stream, or gives it another schema. Memory of a schema is not taken back: schemas change rarely. */
  setSchema(stream: string, schema: EventSchema): void {
    const block = new SchemaBlock(this.#instance, schema);
    const { eventBytesMax, imageBytesMax } = this.#options;
    assert(
      block.imageFixedBytes + block.imageRowBytes + eventBytesMax <= imageBytesMax,
      `one event of ${stream} fits a batch image`,
    );
    this.#schemas.set(stream, block);
    this.#current = null;
  }

  /** Starts a batch of one stream; what an earlier batch held is forgotten. */
  begin(stream: string): void {
    const block = must(this.#schemas.get(stream), `schema of stream ${stream}`);
    if (this.#current !== block) this.#instance.call.use(block.address);
    this.#current = block;
    this.#rejectsTaken = 0;
    this.#instance.call.begin();
    this.#views();
  }

  /**
   * Appends a body's events to the batch, from `cursor` on when it is the rest of one. The body must stay where it is until the batch
   * is sealed and its rejects' raw bytes are read.
   */
  add(body: EncodedBody, cursor: DecodeCursor | null = null): DecodedBody {
    const { call } = this.#instance;
    const end = body.address + body.bytes;
    const firstRow = this.#result(L.RESULT_ROWS);
    const firstIndex = cursor?.index ?? 0;
    let next = body.address + (cursor?.offset ?? 0);
    let index = firstIndex;
    let state = cursor?.state ?? (body.format === "ndjson" ? L.STATE_NDJSON : L.STATE_JSON);
    let status: number;
    do {
      status = call.parse(next, end, index, state);
      next = this.#result(L.RESULT_NEXT);
      index = this.#result(L.RESULT_INDEX);
      state = this.#result(L.RESULT_STATE);
      if (status === L.STATUS_NEED_DOUBLES) this.#convertDoubles();
    } while (status === L.STATUS_NEED_DOUBLES);
    return {
      firstRow,
      rowCount: this.#result(L.RESULT_ROWS) - firstRow,
      rejects: this.#takeRejects(),
      events: index - firstIndex,
      cursor: status === L.STATUS_ROOM ? { offset: next - body.address, index, state } : null,
    };
  }

  /** Ids' hashes under `key` and event times of all rows of the batch; `receivedAtUs` for streams whose event time that is. */
  forAdmission(
    key: { readonly k0: bigint; readonly k1: bigint },
    receivedAtUs: number,
  ): AdmissionBatch {
    const { call } = this.#instance;
    const rowCount = this.#result(L.RESULT_ROWS);
    call.forAdmission(key.k0, key.k1);
    const { eventId, eventTime } = this.#schema();
    const hasIds = eventId !== null;
    const eventTimes = new BigInt64Array(this.#buffer, call.timesAddress() >>> 0, rowCount);
    if (eventTime === null) eventTimes.fill(BigInt(receivedAtUs));
    const ids = call.idsAddress() >>> 0;
    const valid = call.idsValidAddress() >>> 0;
    return {
      rowCount,
      hashes: hasIds ? this.#u8.subarray(ids, ids + rowCount * 16) : null,
      idValid: hasIds ? this.#u8.subarray(valid, valid + Math.ceil(rowCount / 8)) : null,
      eventTimes,
    };
  }

  /**
   * Writes the batch image of the rows whose verdict is VERDICT_ACCEPTED to `target` (a multiple of 8, `imageBytesMax` of room).
   * `verdicts`: one VERDICT_* a row. `behind`: `_behind` of each row in µs, null = all zero. Rows stay readable until `begin`.
   */
  seal(verdicts: Uint8Array, behind: BigInt64Array | null, target: number): SealedBatch {
    const { call } = this.#instance;
    const rowCount = this.#result(L.RESULT_ROWS);
    assert(verdicts.length === rowCount, "a verdict for every row");
    assert(target % 8 === 0, "an image begins on a multiple of 8");
    this.#u8.set(verdicts, call.verdictsAddress() >>> 0);
    if (behind !== null)
      new BigInt64Array(this.#buffer, call.behindAddress() >>> 0, rowCount).set(behind);
    const sealedRows = call.seal(target, behind === null ? 0 : 1);
    const storedBytes = this.#result(L.RESULT_STORED_BYTES);
    assert(storedBytes <= this.#options.imageBytesMax, "the image has room");
    return { rowCount: sealedRows, storedBytes, totalBytes: storedBytes };
  }

  /** As `seal` of all rows, accepted or not: what they look like before admission. A later `seal` may write over it. */
  preview(target: number): Uint8Array {
    const rowCount = this.#result(L.RESULT_ROWS);
    const { storedBytes } = this.seal(
      new Uint8Array(rowCount).fill(L.VERDICT_ACCEPTED),
      null,
      target,
    );
    return this.#u8.subarray(target, target + storedBytes);
  }

  /** Which event of its request a row is, counted from 0. */
  eventIndexOf(row: number): number {
    return must(this.#u32[(this.#rowAt(row) + L.ROW_INDEX) >>> 2], "row");
  }

  /** The text of a row's event as it was sent, cut to REJECT_RAW_BYTES_MAX. A copy. */
  rawOf(row: number): Uint8Array {
    const at = this.#rowAt(row) >>> 2;
    const from = must(this.#u32[at], "row");
    return this.#raw(from, must(this.#u32[at + 1], "row"));
  }

  /** Name of the event-time column of the batch's stream. */
  eventTimeName(): string {
    return eventTimeName(this.#schema());
  }

  #schema(): EventSchema {
    return must(this.#current, "a batch: call begin first").schema;
  }

  #rowAt(row: number): number {
    assert(row >= 0 && row < this.#result(L.RESULT_ROWS), `row ${row} of the batch`);
    const stride = must(this.#current, "batch").address + L.SCHEMA_STRIDE;
    return this.#rowsAt + row * must(this.#u32[stride >>> 2], "stride");
  }

  /** Takes views anew when the memory has grown. */
  #views(): void {
    if (this.#buffer === this.#instance.memory.buffer) return;
    this.#buffer = this.#instance.memory.buffer;
    this.#u8 = this.#instance.u8();
    this.#u32 = this.#instance.u32();
  }

  #result(at: number): number {
    return must(this.#u32[(this.#resultAt + at) >>> 2], "result");
  }

  #raw(from: number, bytes: number): Uint8Array {
    return this.#u8.slice(from, from + Math.min(bytes, REJECT_RAW_BYTES_MAX));
  }

  #text(from: number, bytes: number): string {
    return this.#utf8.decode(this.#u8.slice(from, from + bytes));
  }

  /** Converts the numbers that the kernel listed: those whose nearest double more than 19 digits decide. */
  #convertDoubles(): void {
    const listAt = this.#result(L.RESULT_DOUBLES_AT);
    const values = this.#instance.f64();
    for (let entry = 0; entry < this.#result(L.RESULT_DOUBLES); entry++) {
      const at = (listAt + entry * L.DOUBLE_BYTES) >>> 2;
      const text = this.#text(must(this.#u32[at], "number"), must(this.#u32[at + 1], "number"));
      values[at / 2 + L.DOUBLE_VALUE / 8] = Number(text);
    }
  }

  /** The raw bytes of all rejects that came since the last call, one after the other: one buffer, as thousands would burden every heap. */
  #rejectedRaws(count: number): Uint8Array {
    const words = this.#u32;
    const at = (reject: number, field: number): number =>
      must(words[(this.#rejectsAt + reject * L.REJECT_BYTES + field) >>> 2], "reject");
    let total = 0;
    for (let reject = this.#rejectsTaken; reject < count; reject++)
      total += Math.min(at(reject, L.REJECT_RAW_BYTES), REJECT_RAW_BYTES_MAX);
    const raws = new Uint8Array(total);
    let end = 0;
    for (let reject = this.#rejectsTaken; reject < count; reject++) {
      const from = at(reject, L.REJECT_RAW_AT);
      const bytes = Math.min(at(reject, L.REJECT_RAW_BYTES), REJECT_RAW_BYTES_MAX);
      raws.set(this.#u8.subarray(from, from + bytes), end);
      end += bytes;
    }
    return raws;
  }

  /** The rejects that came since the last call. */
  #takeRejects(): Reject[] {
    const count = this.#result(L.RESULT_REJECTS);
    const rejects: Reject[] = [];
    const raws = this.#rejectedRaws(count);
    let rawsAt = 0;
    for (; this.#rejectsTaken < count; this.#rejectsTaken++) {
      const at = (this.#rejectsAt + this.#rejectsTaken * L.REJECT_BYTES) >>> 2;
      const word = (offset: number): number => must(this.#u32[at + offset / 4], "reject");
      const bytes = word(L.REJECT_RAW_BYTES);
      const raw = raws.subarray(rawsAt, rawsAt + Math.min(bytes, REJECT_RAW_BYTES_MAX));
      rawsAt += raw.length;
      const event: RejectedEvent = {
        reason: word(L.REJECT_REASON),
        field: word(L.REJECT_FIELD),
        index: word(L.REJECT_INDEX),
        offset: word(L.REJECT_OFFSET),
        bytes,
        raw,
        name: word(L.REJECT_NAME_AT)
          ? unquoted(this.#text(word(L.REJECT_NAME_AT), word(L.REJECT_NAME_BYTES)))
          : null,
      };
      rejects.push(rejectOf(event, this.#schema(), this.#options));
    }
    return rejects;
  }
}
