// What the host may call in the `fold` module, with units. All functions are synchronous and work on the module's own memory; layouts:
// kernels/abi/fold.ts. Addresses are byte offsets into the memory, registers are numbers, -1 = none, times are µs.

/** Exports of build/fold.wasm. */
export interface FoldKernels {
  /** Starts with an empty page map of at most `count` pages. */
  initPages(count: number): void;
  /** Makes room up to `page`; `pagesRestored` follows once the bytes of all restored pages are in place. */
  reachPage(page: number): void;
  pagesRestored(): void;
  pagesUsed(): number;
  /** Pages from this one on were never used. */
  pagesHighest(): number;

  /** Address of the columns of the batch (BATCH_COLUMN_BYTES each) that programs read. */
  setColumns(address: number): void;
  /** Address of the registers that OP_SHARED reads. */
  setShared(registers: number): void;
  /** Runs `count` instructions over `rows` rows from row `from` on; returns the number of errors. */
  runProgram(
    address: number,
    count: number,
    registers: number,
    errors: number,
    from: number,
    rows: number,
  ): number;

  /** Coupon of bytes for HyperLogLog; reads up to 15 bytes past the end. */
  coupon(address: number, bytes: number): number;

  createRoot(): number;
  freeRoot(root: number): void;
  /** Windows of the next `assignWindows`; a tumbling window is its own pane. Late events count up to `allowedUs` behind a window's end. */
  setWindows(
    paneUs: bigint,
    slideUs: bigint,
    sizeUs: bigint,
    offsetUs: bigint,
    allowedUs: bigint,
  ): void;
  /**
   * Selects rows `begin` to `rows` of a chunk and their panes; returns how many. Counts, and where it stopped for windows to be closed
   * first: RESULT_*_AT in the work area. `finalUs`: windows that end at or before it take no event any more. `correctTo` gets the chunk's
   * rows that may correct windows.
   */
  assignWindows(
    root: number,
    time: number,
    behind: number,
    filter: number,
    finalUs: bigint,
    begin: number,
    rows: number,
    firstRow: number,
    lateTo: number,
    correctTo: number,
  ): number;
  /** Groups of the selected rows. `keys`: KEY_COLUMN_BYTES each. */
  findGroups(keys: number, keyCount: number, rowBytes: number, selected: number): void;
  /**
   * Numbers the keys of a record's rows, after the shared program ran over them: `keys` are KEY_COLUMN_BYTES each with its registers.
   * `vectors` is room for three u32 a row, `entryBytes` the bytes of a row of a group up to the end of its keys.
   */
  numberKeys(
    set: number,
    keys: number,
    keyCount: number,
    entryBytes: number,
    rows: number,
    vectors: number,
  ): void;
  /** As `findGroups`, of rows whose keys `set` has numbered; `column` is the view's, `firstRow` the number of the chunk's first row. */
  findNumbered(
    keys: number,
    keyCount: number,
    rowBytes: number,
    selected: number,
    set: number,
    column: number,
    firstRow: number,
  ): void;
  /** Where in the log the rows of the next `updateStates` are: the record's position, the number of the chunk's first row. */
  setPlace(position: number, firstRow: number): void;
  updateStates(kind: number, offset: number, arg: number, filter: number, selected: number): void;

  /** Index of a pane from `from` on that a row behind the watermark came into since the last call for it; the count of panes when there is none. */
  takeStale(root: number, from: number): number;
  closableWindows(root: number, watermarkUs: bigint): number;
  windowAt(root: number, index: number): number;
  closeWindows(root: number, count: number): void;
  /** How many windows of a list have a lower key. */
  windowsBefore(root: number, key: bigint): number;
  /** A window by its key in a list, 0 when it is not there. A window's key is its start, a node's the middle of its range. */
  findWindow(root: number, key: bigint): number;
  reachWindow(root: number, key: bigint, startUs: bigint, endUs: bigint): number;
  dropWindow(root: number, key: bigint): void;
  /** Frees the windows of a list that start before a time. */
  dropBefore(root: number, startUs: bigint): void;
  /** Root page of the list of nodes over a view's panes. */
  nodesOf(root: number): number;
  /** A window in no list. */
  createWindow(startUs: bigint, endUs: bigint): number;
  freeWindow(window: number): void;
  /**
   * Merges the groups of one window into another of the same layout. `keys`: KEY_COLUMN_BYTES each, of which offset and kind are read;
   * `states`: pairs of u32 kind, u32 offset.
   */
  mergeGroups(
    from: number,
    to: number,
    keys: number,
    keyCount: number,
    states: number,
    stateCount: number,
    rowBytes: number,
  ): void;

  /**
   * Of the `count` late rows listed at `lateAt`, selects those of windows that are not final, `allowedUs` behind their end; returns how
   * many. RESULT_LATE of them stay in the list, RESULT_FAILED of those selected failed.
   */
  assignCorrections(
    root: number,
    time: number,
    behind: number,
    sizeUs: bigint,
    offsetUs: bigint,
    allowedUs: bigint,
    firstRow: number,
    lateAt: number,
    count: number,
  ): number;
  /**
   * Counts a late event in each selected row, at offset `revision`, and lists rows of closed windows as corrected. Writes those that were not, u32
   * each; returns how many.
   */
  markCorrected(root: number, revision: number, selected: number, to: number): number;
  /** Lists rows as corrected: `count` addresses, u32 each; leaves those that were not, and returns how many. */
  listCorrected(root: number, revision: number, rows: number, count: number): number;
  /** Keeps only those of the selected events whose windows are closed; returns how many. */
  selectClosed(selected: number): number;
  /** Rows become part of what is out (`shown` = 1), or no part of it: `count` addresses, u32 each. */
  setShown(revision: number, rows: number, count: number, shown: number): void;
  /** Begins with the `count` rows of a chunk that `assignWindows` listed at `list`: see `selectMarks`. */
  beginMarks(time: number, behind: number, list: number, count: number): void;
  /** Selects pairs of such a row and the marks of a window that it corrects, in the list of marks `root`; returns how many, 0 at the end. */
  selectMarks(root: number): number;
  /** Counts a late event in each selected row of marks, at offset `marks`. */
  markLate(root: number, marks: number, selected: number): void;
  /**
   * Copies the marks of `count` rows, u32 addresses at `rows`, from offset `from` to offset `to` of the rows of `window` with the same keys,
   * which are made when they are not there; their addresses replace those at `rows`. `keys`: as for `mergeGroups`.
   */
  copyMarks(
    rows: number,
    count: number,
    from: number,
    window: number,
    to: number,
    rowBytes: number,
    keys: number,
    keyCount: number,
  ): void;
  /** What is marked in `window` of the list `root` was put out. */
  settleMarks(root: number, window: number, marks: number, rowBytes: number): void;
  /** Counts a change of a window in its version. */
  countChange(window: number): void;
  /** Addresses of the corrected rows, u32 each, the last one first; returns how many. */
  correctedRows(root: number, revision: number, to: number): number;
  /** Those rows, all that are listed, are so no more. */
  takeCorrected(root: number, revision: number, rows: number, count: number): void;
  setClosed(window: number): void;
  /** Windows that end at or before a time; they are the oldest ones. Windows of one size only. */
  windowsEndedBy(root: number, watermarkUs: bigint): number;

  /**
   * Writes a window's groups in 2^bits parts, by the highest bits of their tags: as many offsets from `to` and one more, u32 each, between
   * which the parts lie. `places`: PLACE_BYTES each, what of a row lies outside of it.
   */
  packGroups(
    window: number,
    keys: number,
    keyCount: number,
    places: number,
    placeCount: number,
    rowBytes: number,
    bits: number,
    to: number,
  ): void;
  /** Adds the groups of a part to a window that has none of them. */
  unpackGroups(
    window: number,
    keys: number,
    keyCount: number,
    places: number,
    placeCount: number,
    rowBytes: number,
    from: number,
    bytes: number,
  ): void;
  /** Tags of the selected rows, u32 each. */
  tagsOf(keys: number, keyCount: number, selected: number, to: number): void;
  /** Tags of the keys of `count` rows, u32 addresses at `rows`, which they replace. `keys`: as for `mergeGroups`. */
  rowTags(rows: number, count: number, keys: number, keyCount: number): void;

  /** Header of a view of sessions. The calls below are about one of them; what they mean: assembly/fold/session.ts. */
  createSessions(gapUs: bigint, rowBytes: number): number;
  freeSessions(header: number): void;
  /** Keys (KEY_COLUMN_BYTES each, without registers) and states (u32 kind, u32 offset) of its rows, before the calls below. */
  setSessionLayout(keys: number, keyCount: number, states: number, stateCount: number): void;
  /** Begins a chunk: hashes the keys of rows that pass the filter; returns how many. */
  beginSessions(filter: number, keys: number, keyCount: number, rows: number): number;
  /** Finds the sessions of input rows from `from` on; returns how many rows were selected. RESULT_NEXT: where to go on. */
  assignSessions(
    header: number,
    keys: number,
    keyCount: number,
    time: number,
    behind: number,
    allowedUs: bigint,
    from: number,
    count: number,
    firstRow: number,
    lateTo: number,
    removedTo: number,
  ): number;
  /** Moves timers up to the watermark; before `closeSessions`. */
  turnTimers(header: number, watermarkUs: bigint): void;
  /** Closes at most `limit` sessions whose time has come and lists their rows, u32 each; returns how many. */
  closeSessions(header: number, watermarkUs: bigint, to: number, limit: number): number;
  /** Those rows, closed before, are no part of the view. */
  hideSessions(list: number, count: number): void;
  /** Those rows are put out; `keep` = 1: their states stay. Returns the events applied in them. */
  releaseSessions(
    header: number,
    watermarkUs: bigint,
    list: number,
    count: number,
    keep: number,
  ): number;
  /** Addresses of the rows of sessions in a state, u32 each; returns how many. */
  listBlocks(header: number, state: number, to: number): number;

  /** Addresses of a window's rows, u32 each; returns how many. */
  listRows(window: number, rowBytes: number, to: number): number;
  /** Lists the rows of a chunk for which a filter (-1: none) is true; returns how many. Counts: RESULT_*_AT in the work area. */
  selectRows(filter: number, rows: number): number;
  /** Runs a program beside the one at hand; writes a byte for each row: 1 where `register` is true. */
  maskRows(
    address: number,
    count: number,
    registers: number,
    errors: number,
    from: number,
    rows: number,
    register: number,
    to: number,
  ): void;
  /** A register of fixed width for the selected rows, as a column; returns the number of nulls. */
  project(register: number, selected: number, physical: number, to: number, bits: number): number;
  projectTextBytes(register: number, selected: number): bigint;
  /** A register of text for the selected rows, as a column; returns the number of nulls. */
  projectText(register: number, selected: number, to: number, text: number, bits: number): number;
  /** One output column of fixed width; returns the number of nulls. */
  extract(
    rows: number,
    count: number,
    source: number,
    offset: number,
    x: number,
    physical: number,
    to: number,
    bits: number,
  ): number;
  textBytes(rows: number, count: number, source: number, offset: number, x: number): bigint;
  /** One output column of text; returns the number of nulls. */
  extractText(
    rows: number,
    count: number,
    source: number,
    offset: number,
    x: number,
    to: number,
    text: number,
    bits: number,
  ): number;
}
