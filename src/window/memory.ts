// The fold memory as the host uses it: the fixed parts of scratch and one view per element type. Scratch never moves, so that its views
// stay good when the memory grows; pages are read through `pages()`, taken anew after each growth.
import { FOLD_DIRTY_AT, FOLD_PAGES_AT, WORK_END_AT } from "../../kernels/abi.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import type { KernelInstance } from "../../kernels/host.ts";

/** Programs and their constants, 14 MB: some 300 views of 20 expressions. When full all programs are compiled anew as needed. */
export const PROGRAMS_AT = WORK_END_AT;
/** Registers' vectors, 32 MB: 800 registers of 2,048 rows. */
export const VECTORS_AT = 16 * 1024 * 1024;
/** Key sets, 32 MB: ten of two text keys with 32,768 entries, and a column for each of fifty views. */
export const KEY_SETS_AT = 48 * 1024 * 1024;
/** Where key sets end: columns of the batch, then dictionaries' vectors, late rows and output images: 176 MB up to the pages. */
export const BATCH_AT = 80 * 1024 * 1024;

/** The module's instance, its calls, and views of its memory. */
export class FoldMemory {
  readonly call: FoldKernels;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i64: BigInt64Array;
  readonly data: DataView;
  readonly #memory: WebAssembly.Memory;
  #pages: Uint8Array;
  #words: Uint32Array;
  #next = BATCH_AT;
  #columns = 0;

  /** `pageCountMax`: pages that all views may take together. */
  constructor(instance: KernelInstance<FoldKernels>, pageCountMax: number) {
    this.call = instance.call;
    this.#memory = instance.memory;
    const missing = FOLD_PAGES_AT - instance.memory.buffer.byteLength;
    if (missing > 0) instance.memory.grow(missing / 65_536);
    this.call.initPages(pageCountMax);
    const scratch = instance.memory.buffer;
    this.u8 = new Uint8Array(scratch, 0, FOLD_PAGES_AT);
    this.u32 = new Uint32Array(scratch, 0, FOLD_PAGES_AT / 4);
    this.i64 = new BigInt64Array(scratch, 0, FOLD_PAGES_AT / 8);
    this.data = new DataView(scratch, 0, FOLD_PAGES_AT);
    this.#pages = new Uint8Array(instance.memory.buffer);
    this.#words = new Uint32Array(instance.memory.buffer);
  }

  /** The whole memory, pages included, as it is now. */
  pages(): Uint8Array {
    const { buffer } = this.#memory;
    if (buffer !== this.#pages.buffer) this.#pages = new Uint8Array(buffer);
    return this.#pages;
  }

  /** The whole memory as u32 words, for loops over many rows. */
  words(): Uint32Array {
    const { buffer } = this.#memory;
    if (buffer !== this.#words.buffer) this.#words = new Uint32Array(buffer);
    return this.#words;
  }

  /** The dirty bytes of pages 0 to `count`. */
  dirty(count: number): Uint8Array {
    return this.u8.subarray(FOLD_DIRTY_AT, FOLD_DIRTY_AT + count);
  }

  /** A little-endian u32 in a page. */
  pageU32(address: number): number {
    return this.#view(address).getUint32(0, true);
  }
  pageI64(address: number): bigint {
    return this.#view(address).getBigInt64(0, true);
  }
  #view(address: number): DataView {
    return new DataView(this.pages().buffer, address, 8);
  }

  /** Address of the columns of the batch that programs read. */
  get columns(): number {
    return this.#columns;
  }
  setColumns(address: number): void {
    this.#columns = address;
    this.call.setColumns(address);
  }

  /** Frees all scratch that `take` gave out. */
  clearScratch(): void {
    this.#next = BATCH_AT;
  }
  /** Where the next `take` begins; give it to `rewind` to free what was taken since. */
  get mark(): number {
    return this.#next;
  }
  rewind(mark: number): void {
    this.#next = mark;
  }
  /** Bytes of scratch left. */
  get room(): number {
    return FOLD_PAGES_AT - this.#next;
  }
  /** `bytes` bytes of scratch on a multiple of 16, not zeroed, with room behind them for kernels that read ahead. */
  take(bytes: number): number {
    const address = this.#next;
    this.#next = address + (bytes + 31 - ((bytes + 15) % 16));
    if (this.#next > FOLD_PAGES_AT) throw new RangeError("fold scratch is full");
    return address;
  }
}
