// Owns when expired ids are erased that no insertion has met (table.ts): a round over the whole table every half of the TTL, a few segments
// a batch. In a table whose ids come as fast as they go there are on average an eighth more than those within the TTL.
import {
  STREAM_IDS_AT,
  STREAM_RECEIVED_MS_AT,
  STREAM_SEAL_GOAL_AT,
  STREAM_SEAL_STEP_AT,
  STREAM_SWEEP_TARGET_AT,
  STREAM_SWEPT_AT,
  STREAM_TTL_MS_AT,
} from "../../kernels/abi";
import { buildTable } from "./grow";
import {
  countIds, depthOf, entryOf, groupIn, GROUPS, holdEpochs, holdMs, keepLoads, mayLeave, nthPage, oldTags, openTable, pagesOf,
  purge, shift, slotAt, ttlMs,
} from "./page";

const ROUND: u64 = (<u64>1) << 32;
/** An age of 9/8 of the TTL, half a TTL until the sweeper comes, and less than half a TTL without a batch (else it sweeps all): 2.125 TTLs at most. */
const ROUNDS_PER_TTL: i64 = 2;
/** Pages whose tags are fetched at once: 140 lines of memory. */
const FETCH_PAGES: u32 = 20;

/** Sweeps as many segments as time has passed since the stream's last batch; after a generation was sealed by the batch's rows too. */
export function sweep(stream: usize, receivedMs: i64, rows: u32): void {
  const last = load<i64>(stream, STREAM_RECEIVED_MS_AT);
  store<i64>(stream, receivedMs, STREAM_RECEIVED_MS_AT);
  if (last < 0 || emptied(stream, receivedMs - last)) return;
  const ttl = load<i64>(stream, STREAM_TTL_MS_AT);
  const swept = load<u64>(stream, STREAM_SWEPT_AT);
  const step = min<u64>(<u64>((receivedMs - last) * ROUNDS_PER_TTL) * (ROUND / <u64>ttl + 1), ROUND);
  let target = min<u64>(load<u64>(stream, STREAM_SWEEP_TARGET_AT) + step, swept + ROUND);
  const goal = load<u64>(stream, STREAM_SEAL_GOAL_AT);
  if (swept < goal) target = max(target, min(swept + <u64>rows * load<u64>(stream, STREAM_SEAL_STEP_AT), goal));
  store<u64>(stream, target, STREAM_SWEEP_TARGET_AT);
  if (target <= swept) return;
  openTable(stream, receivedMs);
  sweepTo(stream, target, holdMs < ttlMs);
}

/** A whole round at once, exact to the ms: some 50 ms at 24 M ids. For a table that seems full. */
export function sweepAll(stream: usize, receivedMs: i64): void {
  const last = load<i64>(stream, STREAM_RECEIVED_MS_AT);
  if (last >= 0 && emptied(stream, receivedMs - last)) return;
  const target = load<u64>(stream, STREAM_SWEPT_AT) + ROUND;
  store<u64>(stream, target, STREAM_SWEEP_TARGET_AT);
  openTable(stream, receivedMs);
  sweepTo(stream, target, true);
}

/** When no batch came for a whole TTL every id has expired: the table is emptied, and true returned. */
function emptied(stream: usize, elapsedMs: i64): bool {
  if (elapsedMs < load<i64>(stream, STREAM_TTL_MS_AT)) return false;
  if (load<u32>(stream, STREAM_IDS_AT)) buildTable(stream, 1, 0);
  return true;
}

/** `exact`: entries are asked whether they may leave; else only those go whose epoch tells. */
function sweepTo(stream: usize, target: u64, exact: bool): void {
  let swept = load<u64>(stream, STREAM_SWEPT_AT);
  let fetched = swept;
  while (swept < target) {
    if (swept >= fetched) fetched = fetch(swept, target);
    // A segment that has split since begins at or before this place.
    const width = sweepSegment(<u32>swept, exact);
    swept = (swept & ~(width - 1)) + width;
  }
  store<u64>(stream, swept, STREAM_SWEPT_AT);
}

/** Loads the tags of the segments from place `from` on, some twenty pages at once. Returns the place after them. */
function fetch(from: u64, target: u64): u64 {
  const step = (<u64>1) << <u64>shift;
  let last: u64 = 0;
  let sum: u32 = 0;
  let fetched: u32 = 0;
  for (; from < target && fetched < FETCH_PAGES; from += step) {
    const segment = load<u64>(slotAt(<u32>from));
    if (segment == last) continue;
    last = segment;
    const pages = pagesOf(segment);
    for (let nth: u32 = 0; nth < pages; nth++) {
      for (let i: u32 = 0; i < GROUPS; i++) sum += load<u32>(groupIn(nthPage(segment, nth), i));
    }
    fetched += pages;
  }
  keepLoads(sum);
  return from;
}

/** Erases the entries that may leave of the segment at a place. Returns how many places the segment has. */
function sweepSegment(place: u32, exact: bool): u64 {
  const segment = load<u64>(slotAt(place));
  const pages = pagesOf(segment);
  let purged: u32 = 0;
  for (let nth: u32 = 0; nth < pages; nth++) {
    const page = nthPage(segment, nth);
    for (let i: u32 = 0; i < GROUPS; i++) purged += exact ? purgeExactly(groupIn(page, i)) : purge(groupIn(page, i));
  }
  countIds(-purged);
  return (<u64>1) << (32 - <u64>depthOf(segment));
}

/** Erases the entries of a group that may leave: by their epochs, then to the ms. Returns how many did. */
function purgeExactly(group: usize): u32 {
  let erased = purge(group);
  for (let old = oldTags(group, holdEpochs); old; old &= old - 1) {
    const tag = group + (<usize>ctz(old) << 1);
    if (!mayLeave(entryOf(tag))) continue;
    store<u16>(tag, 0);
    erased++;
  }
  return erased;
}
