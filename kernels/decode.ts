// What the host may call in the `decode` module, with units. All functions are synchronous and work on the module's own memory.
// Structures: kernels/abi/decode.ts (room, schema block, results, rejects, rows).

/** Exports of build/decode.wasm. Addresses are byte offsets into the module's memory. */
export interface DecodeKernels {
  /** Takes the room that the host has laid out (ROOM_*). Once per instance. */
  configure(room: number): void;
  /** Takes a schema block (SCHEMA_*); before `begin` and before `parse` of that stream. */
  use(schema: number): void;
  /** Adds a name to a zeroed table of `mask + 1` slots with room; the name's bytes must stay where they are. */
  addName(table: number, mask: number, at: number, bytes: number, value: number): void;
  /** Parses one JSON value as the field of that ordinal into the row at `row`, unescaped text to `arena`. 0 = refused. */
  parseDefault(at: number, ordinal: number, row: number, arena: number): number;
  /** Starts a batch of the schema in use. */
  begin(): void;
  /** Appends the events of [from, end) to the batch; overwrites SCAN_PADDING_BYTES behind it. Returns STATUS_*, see RESULT_*. */
  parse(from: number, end: number, index: number, state: number): number;
  /** Writes ids' hashes (16 bytes a row), their validity bits, and event times (i64 µs) of all rows of the batch. */
  forAdmission(k0: bigint, k1: bigint): void;
  idsAddress(): number;
  idsValidAddress(): number;
  timesAddress(): number;
  /** Where `seal` expects one VERDICT_* byte a row, and one i64 `_behind` a row. */
  verdictsAddress(): number;
  behindAddress(): number;
  /** Writes the batch image of the accepted rows to `target`; returns their number, RESULT_STORED_BYTES has its length. */
  seal(target: number, withBehind: number): number;
}
