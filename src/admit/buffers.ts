// Room in the memory of the `admit` module for what is copied in and out: batches, images, entries of segments. What
// every stream needs is there from the start, so that a memory full of ids can still be worked with. A larger buffer replaces a
// smaller one, whose room is given up. Addresses hold until the next call of the same method.
import { DELTA_PAGE_ENTRIES, ID_ENTRY_BYTES } from "../../kernels/abi.ts";
import type { AdmitKernels } from "../../kernels/admit.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { RECORD_ROWS_MAX } from "../limits.ts";
import type { Batch } from "./admission.ts";

/** Entries that go through the buffer at a time: 256 pages of the delta. */
export const CHUNK_ENTRIES = 256 * DELTA_PAGE_ENTRIES;
/** Entries of the largest segment, 64 pages of the delta: the batch that cuts it copies 256 KB, which the core's cache holds. */
export const SEGMENT_ENTRIES = 64 * DELTA_PAGE_ENTRIES;

/** Addresses of the buffers of a batch of at most `rowsMax` rows. */
export interface BatchBuffers {
  readonly rowsMax: number;
  readonly hashes: number;
  readonly idValid: number;
  readonly sealed: number;
  readonly marks: number;
  readonly times: number;
  readonly verdicts: number;
  readonly behind: number;
}

/** All methods throw RangeError when the memory is at its maximum. */
export class AdmitBuffers {
  readonly #kernels: KernelInstance<AdmitKernels>;
  #batch: BatchBuffers;
  /** Address of room for CHUNK_ENTRIES entries. */
  readonly chunk: number;
  #image = { address: 0, bytesMax: 0 };
  #entries = { address: 0, bytesMax: 0 };

  constructor(kernels: KernelInstance<AdmitKernels>) {
    this.#kernels = kernels;
    this.#batch = this.#makeBatch(RECORD_ROWS_MAX);
    this.chunk = kernels.allocate(CHUNK_ENTRIES * ID_ENTRY_BYTES);
  }

  /** Buffers for a batch, larger ones when needed: batches above RECORD_ROWS_MAX are rare, old buffers are given up. */
  batch(rows: number): BatchBuffers {
    if (this.#batch.rowsMax < rows) this.#batch = this.#makeBatch(2 ** Math.ceil(Math.log2(rows)));
    return this.#batch;
  }

  /** Copies a batch in. */
  load(batch: Batch): BatchBuffers {
    const rows = batch.rowCount;
    const buffers = this.batch(rows);
    const memory = this.#kernels.memory.buffer;
    if (batch.hashes !== null)
      new Uint8Array(memory, buffers.hashes, rows * 16).set(batch.hashes.subarray(0, rows * 16));
    if (batch.idValid !== null) {
      const bytes = Math.ceil(rows / 8);
      new Uint8Array(memory, buffers.idValid, bytes).set(batch.idValid.subarray(0, bytes));
    }
    if (batch.marks !== undefined)
      new Uint8Array(memory, buffers.marks, rows).set(batch.marks.subarray(0, rows));
    new BigInt64Array(memory, buffers.times, rows).set(batch.eventTimes.subarray(0, rows));
    return buffers;
  }

  #makeBatch(rowsMax: number): BatchBuffers {
    const hashes = this.#kernels.allocate(rowsMax * 16);
    const idValid = this.#kernels.allocate(rowsMax / 8);
    const sealed = this.#kernels.allocate(rowsMax);
    const marks = this.#kernels.allocate(rowsMax);
    const times = this.#kernels.allocate(rowsMax * 8);
    const verdicts = this.#kernels.allocate(rowsMax);
    const behind = this.#kernels.allocate(rowsMax * 8);
    return { rowsMax, hashes, idValid, sealed, marks, times, verdicts, behind };
  }

  /** Room for 16 bytes for each of `count` dictionary entries. */
  entries(count: number): number {
    this.#entries = this.#atLeast(this.#entries, count * 16);
    return this.#entries.address;
  }

  /** Copies a batch image in; its address. */
  loadImage(image: Uint8Array): number {
    this.#image = this.#atLeast(this.#image, image.length);
    new Uint8Array(this.#kernels.memory.buffer, this.#image.address, image.length).set(image);
    return this.#image.address;
  }

  #atLeast(
    buffer: { readonly address: number; readonly bytesMax: number },
    bytes: number,
  ): { address: number; bytesMax: number } {
    if (bytes <= buffer.bytesMax) return buffer;
    const bytesMax = 2 ** Math.ceil(Math.log2(Math.max(bytes, 65_536)));
    return { address: this.#kernels.allocate(bytesMax), bytesMax };
  }
}
