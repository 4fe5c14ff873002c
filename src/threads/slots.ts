// Where bodies lie in the decode memory while they travel from main to engine: a fixed number of slots, each with a small table of
// parts (one per request) and the bytes behind it. Main fills a slot and hands over its number in a message; engine hands it back
// once its events are in a record. Wiring only: no decisions.
import { SCAN_PADDING_BYTES } from "../../kernels/abi.ts";
import { BODY_BYTES_MAX, SLOT_BYTES, SLOT_COUNT, SLOT_PARTS_MAX } from "../limits.ts";
import type { BodyFormat, Offer } from "../serve/deps.ts";

const PART_BYTES = 16;

/** How a body is to be read: the code stands in a slot's table. */
const BODY_FORMATS: readonly BodyFormat[] = ["json", "ndjson"];

/** One request's body in a slot. `address` is absolute in the decode memory. */
export interface SlotPart {
  readonly request: number;
  readonly address: number;
  readonly bytes: number;
  readonly format: BodyFormat;
  /** Ordinal of its source partition among those of the slot. */
  readonly partition: number;
}

/** Bytes of one slot: table of parts, bodies, readable padding for SIMD scans. */
function slotStride(bodyBytes: number): number {
  return SLOT_PARTS_MAX * PART_BYTES + bodyBytes + SCAN_PADDING_BYTES;
}

/** Bytes of all slots: SLOT_COUNT small ones and one for the largest body. */
export const SLOTS_BYTES = SLOT_COUNT * slotStride(SLOT_BYTES) + slotStride(BODY_BYTES_MAX);

/** The number of the one slot that takes bodies above SLOT_BYTES. */
export const LARGE_SLOT = SLOT_COUNT;

/** Views of the slots that begin at `base` in a shared memory. Both threads make one of their own. */
export class Slots {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #base: number;
  readonly #fill = new Int32Array(SLOT_COUNT + 1);
  readonly #parts = new Int32Array(SLOT_COUNT + 1);

  constructor(memory: SharedArrayBuffer, base: number) {
    this.#bytes = new Uint8Array(memory);
    this.#words = new Uint32Array(memory);
    this.#base = base;
  }

  /** Number of parts that were put into a slot since it was emptied. */
  partCount(slot: number): number {
    return this.#parts[slot] ?? 0;
  }

  /** Forgets a slot's parts: main calls it before filling the slot anew. */
  empty(slot: number): void {
    this.#fill[slot] = 0;
    this.#parts[slot] = 0;
  }

  /** Copies a body in, for a request and a source partition of the slot. False when the slot has no room for it. */
  put(
    slot: number,
    offer: Pick<Offer, "body" | "bytes" | "format">,
    part: Pick<SlotPart, "request" | "partition">,
  ): boolean {
    const capacity = slot === LARGE_SLOT ? BODY_BYTES_MAX : SLOT_BYTES;
    const at = this.#fill[slot] ?? 0;
    const count = this.#parts[slot] ?? 0;
    if (at + offer.bytes > capacity || count === SLOT_PARTS_MAX) return false;
    const address = this.#bodyBase(slot) + at;
    let end = address;
    for (const piece of offer.body) {
      this.#bytes.set(piece, end);
      end += piece.length;
    }
    const entry = (this.#slotBase(slot) + count * PART_BYTES) >>> 2;
    this.#words[entry] = part.request;
    this.#words[entry + 1] = address;
    this.#words[entry + 2] = offer.bytes;
    this.#words[entry + 3] = BODY_FORMATS.indexOf(offer.format) | (part.partition << 8);
    this.#parts[slot] = count + 1;
    // The next body starts on a multiple of 64 behind some padding: a scan past one body's end reads no other's first bytes.
    this.#fill[slot] = Math.min(capacity, (at + offer.bytes + SCAN_PADDING_BYTES + 63) & ~63);
    return true;
  }

  /** The first `count` parts of a slot. */
  parts(slot: number, count: number): SlotPart[] {
    return Array.from({ length: count }, (_, part) => {
      const entry = (this.#slotBase(slot) + part * PART_BYTES) >>> 2;
      return {
        request: this.#words[entry] ?? 0,
        address: this.#words[entry + 1] ?? 0,
        bytes: this.#words[entry + 2] ?? 0,
        format: BODY_FORMATS[(this.#words[entry + 3] ?? 0) & 0xff] ?? "json",
        partition: (this.#words[entry + 3] ?? 0) >>> 8,
      };
    });
  }

  #slotBase(slot: number): number {
    return this.#base + slot * slotStride(SLOT_BYTES);
  }

  #bodyBase(slot: number): number {
    return this.#slotBase(slot) + SLOT_PARTS_MAX * PART_BYTES;
  }
}
