// What is known while a body is parsed: where the room is, which schema is in use, and why the event at hand fails. Set by `configure`
// and `use`; no logic.
import {
  FIELD_NONE,
  ROOM_ARENA_AT,
  ROOM_ARENA_BYTES,
  ROOM_BODY_REJECTS_MAX,
  ROOM_EVENT_BYTES_MAX,
  ROOM_GATHER_AT,
  ROOM_GATHER_ROWS,
  ROOM_IMAGE_BYTES_MAX,
  ROOM_NAMES_AT,
  ROOM_POWERS_AT,
  ROOM_RAW_BYTES_MAX,
  ROOM_RAW_TOTAL_MAX,
  ROOM_REJECTS_AT,
  ROOM_REJECTS_MAX,
  ROOM_RESULT_AT,
  ROOM_ROWS_AT,
  ROOM_ROWS_BYTES,
  ROOM_ROWS_MAX,
  ROOM_SCRATCH_AT,
  SCHEMA_FIELDS_AT,
  SCHEMA_FIELD_COUNT,
  SCHEMA_STRIDE,
  SCHEMA_TEMPLATE_AT,
  SCHEMA_WORDS,
} from "../../kernels/abi";

export let rowsAt: usize = 0;
export let rowsBytes: u32 = 0;
export let rowsMax: u32 = 0;
export let arenaEnd: usize = 0;
export let arenaAt: usize = 0;
export let namesAt: usize = 0;
export let rejectsAt: usize = 0;
export let rejectsMax: u32 = 0;
export let scratchAt: usize = 0;
export let gatherAt: usize = 0;
export let eventBytesMax: u32 = 0;
export let imageBytesMax: u32 = 0;
export let powersAt: usize = 0;
export let resultAt: usize = 0;
export let gatherRows: u32 = 0;
export let rawBytesMax: u32 = 0;
export let rawTotalMax: u32 = 0;
export let bodyRejectsMax: u32 = 0;

export let schemaAt: usize = 0;
export let fieldCount: u32 = 0;
export let fieldsAt: usize = 0;
export let stride: u32 = 0;
export let words: u32 = 0;
export let templateAt: usize = 0;
export let rowsRoom: u32 = 0;

/** Next free byte of the arena. */
export let arenaNext: usize = 0;
/** Why the event at hand is refused, and which member is at fault. */
export let failReason: u32 = 0;
export let failField: u32 = 0;
export let failNameAt: usize = 0;
export let failNameBytes: u32 = 0;
/** First fault that leaves the grammar intact: bad UTF-8, a lone surrogate, too deep. */
export let softReason: u32 = 0;
/** Where grammar broke. */
export let hardAt: usize = 0;
/** True where line ends are white space: in JSON bodies, not within a line of NDJSON. */
export let newlineIsSpace: bool = false;

/** Takes the addresses of the room that the host has laid out (ROOM_*). */
export function configure(room: usize): void {
  rowsAt = load<u32>(room, ROOM_ROWS_AT);
  rowsBytes = load<u32>(room, ROOM_ROWS_BYTES);
  rowsMax = load<u32>(room, ROOM_ROWS_MAX);
  arenaAt = load<u32>(room, ROOM_ARENA_AT);
  arenaEnd = arenaAt + load<u32>(room, ROOM_ARENA_BYTES);
  namesAt = load<u32>(room, ROOM_NAMES_AT);
  rejectsAt = load<u32>(room, ROOM_REJECTS_AT);
  rejectsMax = load<u32>(room, ROOM_REJECTS_MAX);
  scratchAt = load<u32>(room, ROOM_SCRATCH_AT);
  gatherAt = load<u32>(room, ROOM_GATHER_AT);
  eventBytesMax = load<u32>(room, ROOM_EVENT_BYTES_MAX);
  imageBytesMax = load<u32>(room, ROOM_IMAGE_BYTES_MAX);
  powersAt = load<u32>(room, ROOM_POWERS_AT);
  resultAt = load<u32>(room, ROOM_RESULT_AT);
  gatherRows = load<u32>(room, ROOM_GATHER_ROWS);
  rawBytesMax = load<u32>(room, ROOM_RAW_BYTES_MAX);
  rawTotalMax = load<u32>(room, ROOM_RAW_TOTAL_MAX);
  bodyRejectsMax = load<u32>(room, ROOM_BODY_REJECTS_MAX);
}

/** Takes the schema block (SCHEMA_*) of the stream whose bodies come next. */
export function use(schema: usize): void {
  schemaAt = schema;
  fieldCount = load<u32>(schema, SCHEMA_FIELD_COUNT);
  fieldsAt = load<u32>(schema, SCHEMA_FIELDS_AT);
  stride = load<u32>(schema, SCHEMA_STRIDE);
  words = load<u32>(schema, SCHEMA_WORDS);
  templateAt = load<u32>(schema, SCHEMA_TEMPLATE_AT);
  rowsRoom = min(rowsMax, rowsBytes / stride);
}

export function setArenaNext(at: usize): void {
  arenaNext = at;
}

export function setArenaEnd(at: usize): void {
  arenaEnd = at;
}

export function setNewlineIsSpace(value: bool): void {
  newlineIsSpace = value;
}

export function setSoftReason(reason: u32): void {
  softReason = reason;
}

export function setHardAt(at: usize): void {
  hardAt = at;
}

/** Notes why the event at hand is refused. Returns 0, so that a parser can `return fail(...)`. */
export function fail(reason: u32, field: u32): usize {
  failReason = reason;
  failField = field;
  failNameAt = 0;
  failNameBytes = 0;
  return 0;
}

/** Like `fail` for an undeclared member. */
export function failName(reason: u32, at: usize, bytes: u32): usize {
  failReason = reason;
  failField = FIELD_NONE;
  failNameAt = at;
  failNameBytes = bytes;
  return 0;
}
