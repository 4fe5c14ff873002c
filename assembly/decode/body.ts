// A body to rows and rejects, resumable: lines of NDJSON, or the events of one JSON text (an object, an array, an envelope). A bad
// event is one reject and spoils no neighbour; where a JSON text's grammar breaks, or after too many rejects, the rest is one reject.
import { answerDoubles, forgetDoubles, listedDoubles, waitingDoubles } from "./double";
import { parseAny, parseLikeLast } from "./event";
import {
  FIELD_NONE,
  REASON_BAD_JSON,
  REASON_TOO_DEEP,
  REASON_TOO_LARGE,
  REASON_TOO_MANY_REJECTS,
  REJECT_BYTES,
  REJECT_FIELD,
  REJECT_INDEX,
  REJECT_NAME_AT,
  REJECT_NAME_BYTES,
  REJECT_OFFSET,
  REJECT_RAW_AT,
  REJECT_RAW_BYTES,
  REJECT_REASON,
  RESULT_DOUBLES,
  RESULT_DOUBLES_AT,
  RESULT_INDEX,
  RESULT_NEXT,
  RESULT_REJECTS,
  RESULT_ROWS,
  RESULT_STATE,
  ROW_EVENT_AT,
  ROW_EVENT_BYTES,
  ROW_INDEX,
  SCHEMA_EVENTS_DECLARED,
  SCHEMA_IMAGE_FIXED,
  SCHEMA_IMAGE_PER_ROW,
  SCRATCH_DOUBLES,
  STATE_AFTER,
  STATE_ARRAY_ELEMENT,
  STATE_ARRAY_FIRST,
  STATE_ARRAY_NEXT,
  STATE_ENVELOPE,
  STATE_JSON,
  STATE_NDJSON,
  STATE_REJECTS_SHIFT,
  STATE_SINGLE,
  STATUS_DONE,
  STATUS_NEED_DOUBLES,
  STATUS_ROOM,
} from "../../kernels/abi";
import { skip, stackEnded } from "./skip";
import * as S from "./state";
import { space } from "./text";

/** `"events"` with its quotes, as one little-endian word. */
const EVENTS_NAME: u64 = 0x2273746e65766522;

let rowCount: u32 = 0;
let rejectCount: u32 = 0;
let rawTotal: u32 = 0;
let imageBytes: u32 = 0;
let eventIndex: u32 = 0;
let bodyEnd: usize = 0;
/** Rejects of the body at hand, in earlier batches too. */
let bodyRejects: u32 = 0;

/** What became of one event: beyond the end of it, or one of these. */
const FULL: usize = 1;
const STOP: usize = 2;

/** Starts a batch of the schema in use. */
export function begin(): void {
  rowCount = 0;
  rejectCount = 0;
  rawTotal = 0;
  imageBytes = load<u32>(S.schemaAt, SCHEMA_IMAGE_FIXED);
  S.setArenaNext(S.arenaAt);
  forgetDoubles();
  store<u32>(S.resultAt, 0, RESULT_ROWS);
  store<u32>(S.resultAt, 0, RESULT_REJECTS);
}

export function rows(): u32 {
  return rowCount;
}

function isFull(): bool {
  return rowCount == S.rowsRoom || rejectCount == S.rejectsMax || rawTotal >= S.rawTotalMax;
}

/** Notes a reject of the text [from, to) for the reason in `failReason`. */
function reject(from: usize, to: usize, offset: u32): void {
  const at = S.rejectsAt + rejectCount * REJECT_BYTES;
  const bytes = <u32>(to - from);
  store<u32>(at, S.failReason, REJECT_REASON);
  store<u32>(at, S.failField, REJECT_FIELD);
  store<u32>(at, eventIndex, REJECT_INDEX);
  store<u32>(at, <u32>from, REJECT_RAW_AT);
  store<u32>(at, bytes, REJECT_RAW_BYTES);
  store<u32>(at, <u32>S.failNameAt, REJECT_NAME_AT);
  store<u32>(at, S.failNameBytes, REJECT_NAME_BYTES);
  store<u32>(at, offset, REJECT_OFFSET);
  rejectCount++;
  bodyRejects++;
  rawTotal += min(bytes, S.rawBytesMax);
  eventIndex++;
}

/** Keeps the row of the event [from, to). False when the image has no room left for it. */
function keep(row: usize, from: usize, to: usize): bool {
  const bytes = <u32>(to - from) + load<u32>(S.schemaAt, SCHEMA_IMAGE_PER_ROW);
  if (imageBytes + bytes > S.imageBytesMax) return false;
  imageBytes += bytes;
  store<u32>(row, <u32>from, ROW_EVENT_AT);
  store<u32>(row, <u32>(to - from), ROW_EVENT_BYTES);
  store<u32>(row, eventIndex, ROW_INDEX);
  rowCount++;
  eventIndex++;
  return true;
}

function lineEnd(p: usize): usize {
  const newline = i8x16.splat(10);
  while (p < bodyEnd) {
    const mask = i8x16.bitmask(i8x16.eq(v128.load(p), newline));
    if (mask) return min(p + ctz(mask), bodyEnd);
    p += 16;
  }
  return bodyEnd;
}

function isBlank(c: u32): bool {
  return c == 32 || c == 9 || c == 13;
}

/** Refuses the line [from, end): finds out whether grammar is at fault or what the parser said. */
function refuseLine(from: usize, end: usize): void {
  while (end > from && isBlank(load<u8>(end - 1))) end--;
  let offset: u32 = 0;
  if (end - from > S.eventBytesMax) {
    S.fail(REASON_TOO_LARGE, FIELD_NONE);
  } else {
    S.setSoftReason(0);
    const stop = skip(from, 0);
    if (stop != end) {
      offset = <u32>((stop ? stop : S.hardAt) - from);
      S.fail(stop == 0 && stackEnded ? REASON_TOO_DEEP : REASON_BAD_JSON, FIELD_NONE);
    } else if (S.softReason) S.fail(S.softReason, FIELD_NONE);
  }
  reject(from, end, offset);
}

/** The end of the line whose event ends at `p`, or 0 when more than white space follows. */
// @ts-ignore: decorator
@inline
function afterEvent(p: usize): usize {
  if (load<u8>(p) == 10) return p;
  p = space(p);
  return load<u8>(p) == 10 || p == bodyEnd ? p : 0;
}

/** Parses the line that begins with the event at `p`. Returns the line's end, FULL or STOP. */
function parseLine(p: usize): usize {
  const row = S.rowsAt + rowCount * S.stride;
  const arena = S.arenaNext;
  let end = parseLikeLast(p, row);
  let stop = end ? afterEvent(end) : 0;
  if (stop == 0) {
    S.setArenaNext(arena);
    end = parseAny(p, row);
    stop = end ? afterEvent(end) : 0;
  }
  if (stop && waitingDoubles()) {
    S.setArenaNext(arena);
    return STOP;
  }
  if (stop && end - p <= S.eventBytesMax) {
    if (keep(row, p, end)) return stop;
    S.setArenaNext(arena);
    return FULL;
  }
  S.setArenaNext(arena);
  const newline = lineEnd(p);
  refuseLine(p, newline);
  return newline;
}

function finish(status: u32, next: usize, state: u32): u32 {
  const at = S.resultAt;
  store<u32>(at, <u32>next, RESULT_NEXT);
  store<u32>(at, eventIndex, RESULT_INDEX);
  store<u32>(at, state | (bodyRejects << STATE_REJECTS_SHIFT), RESULT_STATE);
  store<u32>(at, rowCount, RESULT_ROWS);
  store<u32>(at, rejectCount, RESULT_REJECTS);
  store<u32>(at, <u32>(S.scratchAt + SCRATCH_DOUBLES), RESULT_DOUBLES_AT);
  store<u32>(at, listedDoubles(), RESULT_DOUBLES);
  return status;
}

/** Refuses everything from `p` on unread: the body has had too many rejects. */
function refuseUnread(p: usize): usize {
  S.fail(REASON_TOO_MANY_REJECTS, FIELD_NONE);
  reject(p, bodyEnd, 0);
  return bodyEnd;
}

function parseLines(p: usize): u32 {
  while (true) {
    S.setNewlineIsSpace(true);
    p = space(p);
    S.setNewlineIsSpace(false);
    if (p >= bodyEnd) return finish(STATUS_DONE, p, STATE_NDJSON);
    if (isFull()) return finish(STATUS_ROOM, p, STATE_NDJSON);
    if (bodyRejects >= S.bodyRejectsMax)
      return finish(STATUS_DONE, refuseUnread(p), STATE_NDJSON);
    const next = parseLine(p);
    if (next == FULL) return finish(STATUS_ROOM, p, STATE_NDJSON);
    if (next == STOP) return finish(STATUS_NEED_DOUBLES, p, STATE_NDJSON);
    forgetDoubles();
    p = next;
  }
}

/** True once the rest of the body was refused. */
let restRefused: bool = false;

/** Refuses everything from `p` on for the reason in `failReason`: the JSON text's grammar is broken at `hardAt`. */
function refuseRest(p: usize): usize {
  restRefused = true;
  reject(p, bodyEnd, <u32>(S.hardAt - p));
  return bodyEnd;
}

/** Refuses everything from `p` on: it is not what must follow. */
function refuseFrom(p: usize): usize {
  S.setHardAt(p);
  S.fail(REASON_BAD_JSON, FIELD_NONE);
  return refuseRest(p);
}

/** Refuses the event at `p` of a JSON text. Returns its end, or the body's when grammar is broken. */
function refuseElement(p: usize): usize {
  S.setSoftReason(0);
  const end = skip(p, 0);
  if (end == 0) {
    S.fail(stackEnded ? REASON_TOO_DEEP : REASON_BAD_JSON, FIELD_NONE);
    return refuseRest(p);
  }
  if (end - p > S.eventBytesMax) S.fail(REASON_TOO_LARGE, FIELD_NONE);
  else if (S.softReason) S.fail(S.softReason, FIELD_NONE);
  reject(p, end, 0);
  return end;
}

/** Parses the event at `p` of a JSON text. Returns its end (the body's when all the rest was refused), FULL or STOP. */
function parseElement(p: usize): usize {
  const row = S.rowsAt + rowCount * S.stride;
  const arena = S.arenaNext;
  let end = parseLikeLast(p, row);
  if (end == 0) {
    S.setArenaNext(arena);
    end = parseAny(p, row);
  }
  if (end && waitingDoubles()) {
    S.setArenaNext(arena);
    return STOP;
  }
  if (end && end - p <= S.eventBytesMax) {
    if (keep(row, p, end)) return end;
    S.setArenaNext(arena);
    return FULL;
  }
  S.setArenaNext(arena);
  return refuseElement(p);
}

/** Where the array of an envelope at `p` begins (behind its bracket), or 0 when it is no envelope. */
function envelope(p: usize): usize {
  if (load<u8>(p) != 123 || load<u32>(S.schemaAt, SCHEMA_EVENTS_DECLARED)) return 0;
  p = space(p + 1);
  if (load<u64>(p) != EVENTS_NAME) return 0;
  p = space(p + 8);
  if (load<u8>(p) != 58) return 0;
  p = space(p + 1);
  return load<u8>(p) == 91 ? p + 1 : 0;
}

/** What follows the last event: nothing, or a reject of it. */
function parseAfter(p: usize): usize {
  p = space(p);
  if (p < bodyEnd) {
    p = refuseFrom(p);
  }
  return p;
}

/** Steps between the events of an array, at `p`. Returns the next byte; `jsonState` is the next state. */
let jsonState: u32 = 0;

function arrayStep(p: usize, inEnvelope: u32): usize {
  p = space(p);
  const c = load<u8>(p);
  const first = jsonState == STATE_ARRAY_FIRST;
  if (c == 93) {
    jsonState = STATE_AFTER;
    if (!inEnvelope) return p + 1;
    p = space(p + 1);
    if (load<u8>(p) == 125) return p + 1;
  } else if (first || c == 44) {
    jsonState = STATE_ARRAY_ELEMENT;
    return first ? p : space(p + 1);
  }
  jsonState = STATE_AFTER;
  return refuseFrom(p);
}

function parseJson(p: usize, state: u32): u32 {
  S.setNewlineIsSpace(true);
  const inEnvelope = state & STATE_ENVELOPE;
  let around = inEnvelope;
  jsonState = state & 15;
  while (true) {
    if (jsonState == STATE_JSON) {
      p = space(p);
      if (p == bodyEnd) return finish(STATUS_DONE, p, jsonState);
      const array = load<u8>(p) == 91 ? p + 1 : envelope(p);
      around = array != 0 && load<u8>(p) != 91 ? STATE_ENVELOPE : 0;
      jsonState = array ? STATE_ARRAY_FIRST : STATE_SINGLE;
      if (array) p = array;
    }
    if (jsonState == STATE_AFTER && space(p) == bodyEnd)
      return finish(STATUS_DONE, bodyEnd, jsonState);
    if (isFull()) return finish(STATUS_ROOM, p, jsonState | around);
    if (jsonState == STATE_AFTER) {
      p = parseAfter(p);
    } else if (jsonState == STATE_ARRAY_FIRST || jsonState == STATE_ARRAY_NEXT) {
      p = arrayStep(p, around);
    } else if (bodyRejects >= S.bodyRejectsMax) {
      p = refuseUnread(p);
      jsonState = STATE_AFTER;
    } else {
      const next = parseElement(p);
      if (next == FULL) return finish(STATUS_ROOM, p, jsonState | around);
      if (next == STOP) return finish(STATUS_NEED_DOUBLES, p, jsonState | around);
      forgetDoubles();
      p = next;
      jsonState = jsonState == STATE_SINGLE || restRefused ? STATE_AFTER : STATE_ARRAY_NEXT;
    }
  }
}

/**
 * Parses the body [p, end) from a cursor (`index`, `state`; STATE_NDJSON or STATE_JSON with index 0 at first). Rows and rejects are
 * appended to the batch. Overwrites the SCAN_PADDING_BYTES behind the body with zeros. Returns a STATUS_*, the rest in RESULT_*.
 */
export function parse(p: usize, end: usize, index: u32, state: u32): u32 {
  memory.fill(end, 0, 64);
  bodyEnd = end;
  eventIndex = index;
  restRefused = false;
  bodyRejects = state >> STATE_REJECTS_SHIFT;
  answerDoubles();
  const at = state & ((1 << STATE_REJECTS_SHIFT) - 1);
  return at == STATE_NDJSON ? parseLines(p) : parseJson(p, at);
}
