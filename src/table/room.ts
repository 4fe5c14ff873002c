// The export module's memory, in use: the kernels, growing scratch buffers, and dictionaries of column chunks with a free list per
// size. Owned by the export thread, shared by all tables (one page is encoded at a time). Knows nothing of Parquet.
import {
  DICTIONARY_ENTRIES_AT,
  DICTIONARY_ENTRIES_MAX_AT,
  DICTIONARY_HEADER_BYTES,
  DICTIONARY_OFFSETS_AT,
  DICTIONARY_SLOTS_AT,
  DICTIONARY_SLOT_COUNT_AT,
  DICTIONARY_TEXT_AT,
  DICTIONARY_TEXT_BYTES_AT,
  DICTIONARY_TEXT_BYTES_MAX_AT,
  EXPORT_PADDING_BYTES,
} from "../../kernels/abi.ts";
import type { ExportKernels } from "../../kernels/export.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { must } from "../base/assert.ts";
import { DICTIONARIES_BYTES_MAX } from "../limits.ts";

/** A buffer that is replaced by a larger one when needed. Its contents are lost then: fill it anew. */
export class ScratchBuffer {
  readonly #instance: KernelInstance<ExportKernels>;
  #address = 0;
  #bytes = 0;

  constructor(instance: KernelInstance<ExportKernels>) {
    this.#instance = instance;
  }

  /** Address of at least `bytes` bytes and padding. The same address as long as nothing larger is asked for. */
  atLeast(bytes: number): number {
    if (bytes > this.#bytes || this.#address === 0) {
      this.#bytes = Math.max(65_536, 2 ** Math.ceil(Math.log2(bytes + 1)));
      this.#address = this.#instance.allocate(this.#bytes + EXPORT_PADDING_BYTES);
    }
    return this.#address;
  }
}

/** Entries and text bytes of a dictionary, by size. The next size is taken when one is full. */
const DICTIONARY_SIZES = [
  { entries: 4_096, textBytes: 262_144 },
  { entries: 16_384, textBytes: 1_048_576 },
  { entries: 65_536, textBytes: 4_194_304 },
  { entries: 131_072, textBytes: 16_777_216 },
] as const;

/** A dictionary in export memory: `address` is its header (kernels/abi.ts). */
export interface Dictionary {
  readonly address: number;
  readonly size: number;
}

/** The export module's instance with its scratch buffers. */
export class ExportRoom {
  readonly instance: KernelInstance<ExportKernels>;
  readonly kernels: ExportKernels;
  /** Staged batch images. */
  readonly arena: ScratchBuffer;
  /** Row ordinals by day. */
  readonly selection: ScratchBuffer;
  /** Row ordinals of values that are not null. */
  readonly picked: ScratchBuffer;
  readonly levels: ScratchBuffer;
  /** The page being encoded. */
  readonly page: ScratchBuffer;
  readonly codes: ScratchBuffer;
  readonly entryMap: ScratchBuffer;
  readonly entryUsed: ScratchBuffer;
  /** Never written: stands for columns whose values are all zero. */
  readonly zeros: ScratchBuffer;
  /** Small results of kernels: 64 bytes. */
  readonly results: number;
  readonly #free: number[][] = DICTIONARY_SIZES.map(() => []);
  #dictionaryBytes = 0;

  constructor(instance: KernelInstance<ExportKernels>) {
    this.instance = instance;
    this.kernels = instance.call;
    this.arena = new ScratchBuffer(instance);
    this.selection = new ScratchBuffer(instance);
    this.picked = new ScratchBuffer(instance);
    this.levels = new ScratchBuffer(instance);
    this.page = new ScratchBuffer(instance);
    this.codes = new ScratchBuffer(instance);
    this.entryMap = new ScratchBuffer(instance);
    this.entryUsed = new ScratchBuffer(instance);
    this.zeros = new ScratchBuffer(instance);
    this.results = instance.allocate(64);
  }

  /** A view of export memory; valid until the next allocation. */
  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.instance.memory.buffer, address, length);
  }

  view(address: number, length: number): DataView {
    return new DataView(this.instance.memory.buffer, address, length);
  }

  /** An empty dictionary of the smallest size, or null when DICTIONARIES_BYTES_MAX is reached. */
  takeDictionary(): Dictionary | null {
    return this.#take(0);
  }

  /** Moves a full dictionary to the next size and gives the old one back; null when there is none or no room: it stays as it is. */
  growDictionary(dictionary: Dictionary): Dictionary | null {
    const larger = this.#take(dictionary.size + 1);
    if (larger === null) return null;
    this.kernels.dictionaryMove(dictionary.address, larger.address);
    this.giveDictionary(dictionary);
    return larger;
  }

  giveDictionary(dictionary: Dictionary): void {
    must(this.#free[dictionary.size], "dictionary size").push(dictionary.address);
  }

  dictionaryEntries(dictionary: Dictionary): number {
    return this.view(dictionary.address, DICTIONARY_HEADER_BYTES).getUint32(
      DICTIONARY_ENTRIES_AT,
      true,
    );
  }

  /** Address and length of the entries as Parquet's PLAIN strings. */
  dictionaryText(dictionary: Dictionary): { readonly address: number; readonly bytes: number } {
    const header = this.view(dictionary.address, DICTIONARY_HEADER_BYTES);
    return {
      address: header.getUint32(DICTIONARY_TEXT_AT, true),
      bytes: header.getUint32(DICTIONARY_TEXT_BYTES_AT, true),
    };
  }

  #take(size: number): Dictionary | null {
    const shape = DICTIONARY_SIZES[size];
    if (shape === undefined) return null;
    const address = must(this.#free[size], "dictionary size").pop() ?? this.#build(shape);
    if (address === null) return null;
    this.kernels.dictionaryClear(address);
    return { address, size };
  }

  #build(shape: { readonly entries: number; readonly textBytes: number }): number | null {
    const slots = shape.entries * 2;
    const bytes = DICTIONARY_HEADER_BYTES + slots * 8 + shape.entries * 4 + shape.textBytes;
    if (this.#dictionaryBytes + bytes > DICTIONARIES_BYTES_MAX) return null;
    this.#dictionaryBytes += bytes;
    const address = this.instance.allocate(bytes + EXPORT_PADDING_BYTES);
    const header = this.view(address, DICTIONARY_HEADER_BYTES);
    const slotsAt = address + DICTIONARY_HEADER_BYTES;
    const offsetsAt = slotsAt + slots * 8;
    header.setUint32(DICTIONARY_SLOT_COUNT_AT, slots, true);
    header.setUint32(DICTIONARY_ENTRIES_MAX_AT, shape.entries, true);
    header.setUint32(DICTIONARY_TEXT_BYTES_MAX_AT, shape.textBytes, true);
    header.setUint32(DICTIONARY_SLOTS_AT, slotsAt, true);
    header.setUint32(DICTIONARY_OFFSETS_AT, offsetsAt, true);
    header.setUint32(DICTIONARY_TEXT_AT, offsetsAt + shape.entries * 4, true);
    return address;
  }
}
