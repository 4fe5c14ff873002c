// Owns the decision for each event, in order: duplicate, too far in the future, too far in the past, or accepted, and the watermark
// that moves with every accepted event. Only accepted events change anything: a reject leaves no id behind, so that the corrected
// event with the same id is accepted; a duplicate of an accepted event is a duplicate whatever its own time says.
// Twin: kernels/reference/admit.ts.
import {
  STREAM_ACCEPTED_AT,
  STREAM_BEHIND_ROWS_AT,
  STREAM_CAP_AT,
  STREAM_DUPLICATES_AT,
  STREAM_FUTURE_AT,
  STREAM_HIGHEST_AT,
  STREAM_MAX_FUTURE_AT,
  STREAM_MAX_PAST_AT,
  STREAM_NEWEST_AT,
  STREAM_OUT_OF_ORDERNESS_AT,
  STREAM_PAST_AT,
  STREAM_RECEIVED_MS_AT,
  STREAM_TTL_MS_AT,
  STREAM_WATERMARK_AT,
  VERDICT_ACCEPTED,
  VERDICT_DUPLICATE,
  VERDICT_FUTURE,
  VERDICT_PAST,
} from "../../kernels/abi";
import { appendDelta, closeDelta, openDelta } from "./delta";
import { isExpired, openTable } from "./page";
import { sweep } from "./sweep";
import { find, groupsOfRow, insert, keepAhead, renew, renewAhead } from "./table";

const NONE: i64 = i64.MIN_VALUE;

// The watermark of the batch at hand, the newest clamped event time of its stream and of its source partition; written back at its end.
let watermark: i64 = NONE;
let newest: i64 = NONE;
let highest: i64 = NONE;
/** What the other partitions allow the watermark to be. */
let cap: i64 = NONE;

/** a - b for b >= 0, at the lowest i64 instead of below it. */
function minus(a: i64, b: i64): i64 {
  const difference = a - b;
  return difference > a ? i64.MIN_VALUE : difference;
}

/** a + b for b >= 0, at the highest i64 instead of above it. */
function plus(a: i64, b: i64): i64 {
  const sum = a + b;
  return sum < a ? i64.MAX_VALUE : sum;
}

// @ts-ignore: decorator.
@inline
function isValid(bitmap: usize, row: u32): bool {
  return !bitmap || ((load<u8>(bitmap + (row >> 3)) >> <u8>(row & 7)) & 1) != 0;
}

/** An event that counts is seen; one that `moves` moves its partition's watermark, and with it the stream's. */
function see(time: i64, received: i64, outOfOrderness: i64, moves: bool): void {
  const clamped = min(time, received);
  newest = max(newest, clamped);
  if (!moves) return;
  highest = max(highest, clamped);
  watermark = max(watermark, min(minus(highest, outOfOrderness), cap));
}

function beginBatch(stream: usize, receivedMs: i64, rows: u32): void {
  watermark = load<i64>(stream, STREAM_WATERMARK_AT);
  newest = load<i64>(stream, STREAM_NEWEST_AT);
  highest = load<i64>(stream, STREAM_HIGHEST_AT);
  cap = load<i64>(stream, STREAM_CAP_AT);
  if (!load<i64>(stream, STREAM_TTL_MS_AT)) {
    store<i64>(stream, receivedMs, STREAM_RECEIVED_MS_AT);
    return;
  }
  sweep(stream, receivedMs, rows);
  openTable(stream, receivedMs);
  openDelta(stream);
}

function endBatch(stream: usize): void {
  store<i64>(stream, watermark, STREAM_WATERMARK_AT);
  store<i64>(stream, newest, STREAM_NEWEST_AT);
  store<i64>(stream, highest, STREAM_HIGHEST_AT);
  if (load<i64>(stream, STREAM_TTL_MS_AT)) closeDelta(stream);
}

/**
 * Decides on `rows` events. `hashes`: 16 bytes a row, or 0 = no event has an id; `idValid`: bitmap of rows that have one, or 0 = all.
 * `sealed`: a byte a row, 1 = its id was accepted within the TTL and is sealed on disk; or 0 = no row's was.
 * `marks`: a byte a row, 1 = it moves the watermark; or 0 = every row does. `times`: i64 µs a row. Writes a verdict byte and `_behind` (i64 µs) a row, and the counts into the stream block.
 */
export function admitRows(
  stream: usize, rows: u32, hashes: usize, idValid: usize, sealed: usize, marks: usize, times: usize, receivedMs: i64,
  verdicts: usize, behind: usize,
): void {
  beginBatch(stream, receivedMs, rows);
  const received = receivedMs * 1000;
  const outOfOrderness = load<i64>(stream, STREAM_OUT_OF_ORDERNESS_AT);
  const maxFuture = load<i64>(stream, STREAM_MAX_FUTURE_AT);
  const maxPast = load<i64>(stream, STREAM_MAX_PAST_AT);
  const latest = maxFuture < 0 ? i64.MAX_VALUE : plus(received, maxFuture);
  if (!load<i64>(stream, STREAM_TTL_MS_AT)) hashes = 0;
  const ms = <u32>receivedMs;
  let accepted: u32 = 0;
  let duplicates: u32 = 0;
  let future: u32 = 0;
  let past: u32 = 0;
  let behindRows: u32 = 0;
  for (let row: u32 = 0; row < rows; row++) {
    if (hashes) keepAhead(hashes, row, rows);
    const time = load<i64>(times + (<usize>row << 3));
    store<i64>(behind + (<usize>row << 3), 0);
    const hasId = hashes != 0 && isValid(idValid, row);
    let high: u64 = 0;
    let low: u32 = 0;
    let entry: usize = 0;
    if (hasId) {
      high = load<u64>(hashes + (<usize>row << 4));
      low = load<u32>(hashes + (<usize>row << 4), 8);
      entry = find(groupsOfRow(row), high, low);
      if ((entry && !isExpired(entry)) || (sealed && load<u8>(sealed + row))) {
        store<u8>(verdicts + row, VERDICT_DUPLICATE);
        duplicates++;
        continue;
      }
    }
    if (time > latest) {
      store<u8>(verdicts + row, VERDICT_FUTURE);
      future++;
      continue;
    }
    if (maxPast >= 0 && time < minus(newest, maxPast)) {
      store<u8>(verdicts + row, VERDICT_PAST);
      past++;
      continue;
    }
    store<u8>(verdicts + row, VERDICT_ACCEPTED);
    accepted++;
    if (hasId) {
      if (entry) renew(entry);
      else if (insert(row, high, low)) renewAhead(hashes, row + 1, rows);
      appendDelta(stream, high, low, ms);
    }
    if (time < watermark) {
      const difference = watermark - time;
      store<i64>(behind + (<usize>row << 3), difference < 0 ? i64.MAX_VALUE : difference);
      behindRows++;
    }
    see(time, received, outOfOrderness, !marks || load<u8>(marks + row) != 0);
  }
  endBatch(stream);
  store<u32>(stream, accepted, STREAM_ACCEPTED_AT);
  store<u32>(stream, duplicates, STREAM_DUPLICATES_AT);
  store<u32>(stream, future, STREAM_FUTURE_AT);
  store<u32>(stream, past, STREAM_PAST_AT);
  store<u32>(stream, behindRows, STREAM_BEHIND_ROWS_AT);
}

/**
 * Does again what `admitRows` did for events that it accepted: recovery from the log. Arguments as there. Every row moves the partition's
 * highest: the host has that of a punctuated stream from the log.
 */
export function replayRows(
  stream: usize, rows: u32, hashes: usize, idValid: usize, times: usize, receivedMs: i64,
): void {
  beginBatch(stream, receivedMs, rows);
  const received = receivedMs * 1000;
  const outOfOrderness = load<i64>(stream, STREAM_OUT_OF_ORDERNESS_AT);
  if (!load<i64>(stream, STREAM_TTL_MS_AT)) hashes = 0;
  for (let row: u32 = 0; row < rows; row++) {
    if (hashes) keepAhead(hashes, row, rows);
    if (hashes && isValid(idValid, row)) {
      const high = load<u64>(hashes + (<usize>row << 4));
      const low = load<u32>(hashes + (<usize>row << 4), 8);
      const entry = find(groupsOfRow(row), high, low);
      if (entry) renew(entry);
      else if (insert(row, high, low)) renewAhead(hashes, row + 1, rows);
      appendDelta(stream, high, low, <u32>receivedMs);
    }
    see(load<i64>(times + (<usize>row << 3)), received, outOfOrderness, true);
  }
  endBatch(stream);
}
