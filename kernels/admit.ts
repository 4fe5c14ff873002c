// What the host may call in the `admit` module, with units. All functions are synchronous and work on the module's own memory; the
// host reserves free pages before each call that may take some. Stream block, page and entry layouts: abi.ts.

/** Exports of build/admit.wasm. Addresses are byte offsets into the module's memory. */
export interface AdmitKernels {
  /** Adds `pages` pages of ADMIT_PAGE_BYTES from `address`, a multiple of that, to the free ones. */
  grantPages(address: number, pages: number): void;
  freePages(): number;
  /** Makes the id table an empty one for `ids` ids with 2^depth directory slots. Takes `pagesOfTable(depth, ids)` pages. */
  buildTable(stream: number, depth: number, ids: number): void;
  pagesOfTable(depth: number, ids: number): number;
  /**
   * Moves the id table's directory, if there is one, to `to`, a multiple of ADMIT_PAGE_BYTES, with room for 2^depthMax slots, a whole
   * number of pages; the old place becomes free pages. 1 MB is copied at 24 M ids.
   */
  moveDirectory(stream: number, to: number, depthMax: number): void;
  /** Erases all ids that have outlived the TTL, and all that are sealed. Some 50 ms at 24 M ids. */
  sweepAll(stream: number, receivedMs: bigint): void;
  /** Verdicts for `rows` events; see assembly/admit/verdict.ts. `hashes`, `idValid`, `sealed`, `marks`: 0 = none. */
  admitRows(
    stream: number,
    rows: number,
    hashes: number,
    idValid: number,
    sealed: number,
    marks: number,
    times: number,
    receivedMs: bigint,
    verdicts: number,
    behind: number,
  ): void;
  /** Repeats accepted events of the log. */
  replayRows(
    stream: number,
    rows: number,
    hashes: number,
    idValid: number,
    times: number,
    receivedMs: bigint,
  ): void;
  /** Begins to bring ids of one stream back: 2^bits parts by the first bits of their hashes, 2 to RESTORE_PARTS_MAX. */
  beginParts(bits: number): void;
  /** Adds entries of a checkpoint segment to the parts. Takes a page for each 255 ids, and for each part that has an id. */
  partIds(stream: number, entries: number, count: number, newestMs: bigint): void;
  idsOfPart(part: number): number;
  /** Puts the ids of a part into the table; the part's pages are free then. */
  restorePart(stream: number, part: number): void;
  /** Moves the oldest delta entries to `to`, at most `entriesMax`, whole pages only; returns the number moved. */
  takeDelta(stream: number, to: number, entriesMax: number): number;
  /** Hashes of an image's id column: 16 bytes a row to `to`; `entries`: room for 16 bytes a dictionary entry. */
  hashIds(image: number, column: number, k0: bigint, k1: bigint, to: number, entries: number): void;
}
