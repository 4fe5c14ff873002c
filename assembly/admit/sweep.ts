// Owns when expired ids are erased: a round over the whole table every eighth of the TTL, a few segments a batch, so that the
// number of ids in the table is on average a tenth above those within the TTL. (Rounds cost no time that shows.)
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
  countIds, depthOf, ENTRIES_AT, entryOf, ERASED, EXPIRED_EPOCHS, GROUP_BYTES, holdEpochs, holdMs, lanes, mayLeave, nowEpoch, nthPage, openTable,
  pagesOf, slotOf, TAG_MASK, tagsThatAre, ttlMs,
} from "./page";

const ROUND: u64 = (<u64>1) << 32;
const ROUNDS_PER_TTL: i64 = 8;

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
  if (target <= swept) return;
  store<u64>(stream, target, STREAM_SWEEP_TARGET_AT);
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
  if (load<u32>(stream, STREAM_IDS_AT)) buildTable(stream, 1, 2);
  return true;
}

/** `exact`: entries are asked whether they may leave; else only those go whose epoch tells. */
function sweepTo(stream: usize, target: u64, exact: bool): void {
  let swept = load<u64>(stream, STREAM_SWEPT_AT);
  while (swept < target) {
    // A segment that has split since begins at or before this place.
    const width = sweepSegment(<u32>swept, exact);
    swept = (swept & ~(width - 1)) + width;
  }
  store<u64>(stream, swept, STREAM_SWEPT_AT);
}

/** Erases the entries that may leave of the segment at place `ring` (32 bits) of the hash ring. Returns the ring's width of the segment. */
function sweepSegment(ring: u32, exact: bool): u64 {
  const segment = load<u64>(slotOf(<u64>ring << 32));
  const pages = pagesOf(segment);
  const limit = exact ? holdEpochs : EXPIRED_EPOCHS;
  let purged: i32 = 0;
  for (let nth: u32 = 0; nth < pages; nth++) {
    const page = nthPage(segment, nth);
    for (let group = page; group < page + ENTRIES_AT; group += GROUP_BYTES) {
      const first = lanes(isOld(group, limit), isOld(group + 16, limit));
      const second = lanes(isOld(group + 32, limit), isOld(group + 48, limit));
      const old = first | (second << 16);
      if (old) purged += erase(group, old, exact);
    }
  }
  countIds(-purged);
  return (<u64>1) << (32 - <u64>depthOf(segment));
}

/** Of eight tags those of an age of `limit` at least. */
// @ts-ignore: decorator.
@inline
function isOld(tags: usize, limit: u16): v128 {
  const all = v128.load(tags);
  const epochs = v128.and(all, i16x8.splat(~TAG_MASK));
  const old = i16x8.ge_u(i16x8.sub(i16x8.splat(nowEpoch), epochs), i16x8.splat(limit));
  return v128.and(old, i16x8.gt_u(v128.and(all, i16x8.splat(TAG_MASK)), i16x8.splat(ERASED)));
}

/** Erases entries of a group, a bit each, if they may leave. Returns how many did. */
function erase(group: usize, old: u32, exact: bool): i32 {
  // A group with room has always had it since the page was built: no search went past it, so its slots are as never used.
  const free: u16 = tagsThatAre(group, 0) ? 0 : ERASED;
  let erased: i32 = 0;
  for (; old; old &= old - 1) {
    const tag = group + (<usize>ctz(old) << 1);
    if (exact && !mayLeave(entryOf(tag))) continue;
    store<u16>(tag, free);
    erased++;
  }
  return erased;
}
