// Free pages of the `admit` module: sees to it that the kernels never run out of them in the middle of a batch.
import { ADMIT_PAGE_BYTES } from "../../kernels/abi.ts";
import type { AdmitKernels } from "../../kernels/admit.ts";
import type { KernelInstance } from "../../kernels/host.ts";
import type { StreamBlock } from "./stream-block.ts";

/** Pages are reserved by this many at least: 4 MB of address space. */
const RESERVE_PAGES_MIN = 1024;

export class AdmitPages {
  readonly #kernels: KernelInstance<AdmitKernels>;

  constructor(kernels: KernelInstance<AdmitKernels>) {
    this.#kernels = kernels;
  }

  /** Makes a stream's table an empty one with room for `ids` ids. Throws RangeError when the memory is at its maximum. */
  buildTable(stream: StreamBlock, ids: number): void {
    stream.buildTable(
      ids,
      (pages) => this.reserve(pages),
      (pages) => this.#allocate(pages),
    );
  }

  /**
   * Makes sure of the directory and the pages that `ids` more ids can take: each full segment grows once at most, a new page takes dozens of ids before
   * it can be full, and the delta takes them in order. False when the memory is at its maximum.
   */
  reserveFor(stream: StreamBlock, ids: number): boolean {
    try {
      stream.growDirectory(ids, (pages) => this.#allocate(pages));
      this.reserve(Math.min(ids, stream.pages) + Math.ceil(ids / 32) + 8);
      return true;
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  }

  /** Makes sure of `pages` free pages. Throws RangeError when the memory is at its maximum. */
  reserve(pages: number): void {
    const missing = pages - this.#kernels.call.freePages();
    if (missing <= 0) return;
    const granted = Math.max(missing, RESERVE_PAGES_MIN);
    this.#kernels.call.grantPages(this.#allocate(granted), granted);
  }

  /** Address of `pages` new pages in a row. Throws RangeError when the memory is at its maximum. */
  #allocate(pages: number): number {
    const address = this.#kernels.allocate((pages + 1) * ADMIT_PAGE_BYTES);
    return Math.ceil(address / ADMIT_PAGE_BYTES) * ADMIT_PAGE_BYTES;
  }
}
