// Brings the ids of a checkpoint back: entries of segments go into parts by their hashes, and from there into the table, part by part
// (assembly/admit/restore.ts). Owns how many ids wait in parts, and that there are pages for them.
import { DELTA_PAGE_ENTRIES, ID_ENTRY_BYTES, RESTORE_PARTS_MAX } from "../../kernels/abi.ts";
import type { AdmitKernels } from "../../kernels/admit.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import { RESTORE_IDS_MAX } from "../limits.ts";
import { CHUNK_ENTRIES } from "./buffers.ts";
import type { AdmitPages } from "./pages.ts";
import type { StreamBlock } from "./stream-block.ts";

export class IdRestore {
  readonly #kernels: KernelInstance<AdmitKernels>;
  readonly #pages: AdmitPages;
  /** Address of room for CHUNK_ENTRIES entries. */
  readonly #chunk: number;
  /** Whose ids are in the parts. */
  #stream: StreamBlock | null = null;
  #bits = 0;
  #ids = 0;

  constructor(kernels: KernelInstance<AdmitKernels>, pages: AdmitPages, chunk: number) {
    this.#kernels = kernels;
    this.#pages = pages;
    this.#chunk = chunk;
  }

  /**
   * Adds the entries of a segment, the newest received at `newestMs`; those that have outlived the TTL are left out. Throws RangeError when
   * the memory does not hold them.
   */
  add(stream: StreamBlock, entries: Uint8Array, newestMs: number): void {
    if ((stream.receivedAtMs ?? 0) - newestMs >= stream.ttlMs) return;
    const step = CHUNK_ENTRIES * ID_ENTRY_BYTES;
    for (let from = 0; from < entries.length; from += step) {
      const part = entries.subarray(from, from + step);
      const count = part.length / ID_ENTRY_BYTES;
      if (stream !== this.#stream || this.#ids + count > RESTORE_IDS_MAX) this.#begin(stream);
      this.#ids += count;
      this.#pages.reserve(2 ** this.#bits + Math.ceil(count / DELTA_PAGE_ENTRIES));
      new Uint8Array(this.#kernels.memory.buffer, this.#chunk, part.length).set(part);
      this.#kernels.call.partIds(stream.address, this.#chunk, count, BigInt(newestMs));
    }
  }

  /** Puts what waits into the table. */
  finish(): void {
    const stream = this.#stream;
    if (stream === null) return;
    for (let part = 0; part < 2 ** this.#bits; part++) {
      const ids = this.#kernels.call.idsOfPart(part);
      if (ids === 0) continue;
      if (!this.#pages.reserveFor(stream, ids))
        throw new RangeError("admit memory: ids do not fit");
      this.#kernels.call.restorePart(stream.address, part);
    }
    this.#stream = null;
  }

  /** Parts of some twenty pages each, when RESTORE_IDS_MAX ids come; fewer for a table that is small. */
  #begin(stream: StreamBlock): void {
    this.finish();
    this.#stream = stream;
    this.#ids = 0;
    this.#bits = Math.min(
      Math.log2(RESTORE_PARTS_MAX),
      Math.max(1, Math.ceil(Math.log2(stream.pages / 32))),
    );
    this.#kernels.call.beginParts(this.#bits);
  }
}
