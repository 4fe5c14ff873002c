// Noun: what a view puts out. Outputs are kept (and checkpointed) until the table's ledger covers the position that made them, so a
// replay gives them again and the ledger's position tells which are already out.

/**
 * Rows of windows that closed, or late events, at one log position. `image` is a batch image (kernels/abi.ts):
 * "rows": the view's output columns in order, then `revision` (BIGINT).
 * "late": event_time TIMESTAMPTZ, window_start TIMESTAMPTZ, window_end TIMESTAMPTZ, behind BIGINT (µs), _position BIGINT,
 * _index INTEGER, received_at TIMESTAMPTZ: one row per (view, event).
 */
export interface ViewOutput {
  readonly view: string;
  readonly kind: "rows" | "late";
  /**
   * Rows only. Absent: rows that were not there before. "upsert": they take the place of the rows with the same key (window and all key
   * columns), which may not be there. "delete": the rows with the same keys are no longer part of the view.
   */
  readonly op?: "upsert" | "delete";
  /** The log position whose events closed the window or were late. */
  readonly position: number;
  readonly rowCount: number;
  readonly image: Uint8Array;
}
