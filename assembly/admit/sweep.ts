// Owns when expired ids are erased: a round over the whole table every quarter of the TTL, a few segments a batch, so that the
// number of ids in the table is on average an eighth above those within the TTL. More rounds cost 2 ns an event each.
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
  countIds, ENTRIES_AT, entryOf, ERASED, GROUP_BYTES, holdEpochs, holdMs, mayLeave, nowEpoch, openTable, slotOf, ttlMs,
} from "./page";

const ROUND: u64 = (<u64>1) << 32;
const ROUNDS_PER_TTL: i64 = 4;

const chosen = memory.data(16);

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
  sweepTo(stream, target);
}

/** A whole round at once: 15 ms at 24 M ids. For a table that seems full. */
export function sweepAll(stream: usize, receivedMs: i64): void {
  const last = load<i64>(stream, STREAM_RECEIVED_MS_AT);
  if (last >= 0 && emptied(stream, receivedMs - last)) return;
  const target = load<u64>(stream, STREAM_SWEPT_AT) + ROUND;
  store<u64>(stream, target, STREAM_SWEEP_TARGET_AT);
  openTable(stream, receivedMs);
  sweepTo(stream, target);
}

/** When no batch came for a whole TTL every id has expired: the table is emptied, and true returned. */
function emptied(stream: usize, elapsedMs: i64): bool {
  if (elapsedMs < load<i64>(stream, STREAM_TTL_MS_AT)) return false;
  if (load<u32>(stream, STREAM_IDS_AT)) buildTable(stream, 1, 2);
  return true;
}

function sweepTo(stream: usize, target: u64): void {
  let swept = load<u64>(stream, STREAM_SWEPT_AT);
  while (swept < target) {
    // A segment that has split since begins at or before this place.
    const width = sweepSegment(<u32>swept);
    swept = (swept & ~(width - 1)) + width;
  }
  store<u64>(stream, swept, STREAM_SWEPT_AT);
}

/** Erases the expired entries of the segment at place `ring` (32 bits) of the hash ring. Returns the ring's width of the segment. */
function sweepSegment(ring: u32): u64 {
  const slot = slotOf(<u64>ring << 32);
  const pages = <u32>load<u8>(slot, 12);
  const limit = i8x16.splat(holdEpochs);
  const exact = holdMs < ttlMs;
  const now = i8x16.splat(nowEpoch);
  const erased = i8x16.splat(ERASED);
  let purged: i32 = 0;
  for (let nth: u32 = 0; nth < pages; nth++) {
    const page: usize = load<u32>(slot + (<usize>nth << 2));
    for (let at = page; at < page + ENTRIES_AT; at += GROUP_BYTES) {
      const tags = v128.load(at);
      const old = i8x16.ge_u(i8x16.sub(now, v128.load(at, 16)), limit);
      let gone = v128.and(old, i8x16.gt_u(tags, erased));
      if (!v128.any_true(gone)) continue;
      if (exact) gone = leaving(at, gone);
      purged += popcnt(i8x16.bitmask(gone));
      // A group with room has always had it since the page was built: no search went past it, so its slots are as never used.
      const never = i8x16.bitmask(i8x16.eq(tags, i8x16.splat(0))) != 0;
      v128.store(at, v128.or(v128.andnot(tags, gone), never ? i8x16.splat(0) : v128.and(gone, erased)));
    }
  }
  countIds(-purged);
  return (<u64>1) << (32 - <u64>load<u8>(slot, 13));
}

/** Of the lanes set in `lanes` those whose entries may leave: after a seal the TTL's epochs are too coarse to tell. */
function leaving(group: usize, lanes: v128): v128 {
  v128.store(chosen, lanes);
  for (let used = i8x16.bitmask(lanes); used; used &= used - 1) {
    const lane = <usize>ctz(used);
    if (!mayLeave(entryOf(group + lane))) store<u8>(chosen + lane, 0);
  }
  return v128.load(chosen);
}
