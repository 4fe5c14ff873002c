// Owns when expired ids are erased: a round over the whole table every quarter of the TTL, a few segments a batch, so that the
// number of ids in the table is on average an eighth above those within the TTL. More rounds cost 2 ns an event each.
import {
  STREAM_IDS_AT,
  STREAM_RECEIVED_MS_AT,
  STREAM_SWEEP_TARGET_AT,
  STREAM_SWEPT_AT,
  STREAM_TTL_MS_AT,
} from "../../kernels/abi";
import { buildTable } from "./grow";
import { countIds, ENTRIES_AT, ERASED, GROUP_BYTES, nowEpoch, openTable, slotOf, TTL_EPOCHS } from "./page";

const ROUND: u64 = (<u64>1) << 32;
const ROUNDS_PER_TTL: i64 = 4;

/** Sweeps as many segments as time has passed since the stream's last batch. */
export function sweep(stream: usize, receivedMs: i64): void {
  const last = load<i64>(stream, STREAM_RECEIVED_MS_AT);
  store<i64>(stream, receivedMs, STREAM_RECEIVED_MS_AT);
  if (last < 0 || receivedMs == last || emptied(stream, receivedMs - last)) return;
  const ttl = load<i64>(stream, STREAM_TTL_MS_AT);
  const swept = load<u64>(stream, STREAM_SWEPT_AT);
  const step = min<u64>(<u64>((receivedMs - last) * ROUNDS_PER_TTL) * (ROUND / <u64>ttl + 1), ROUND);
  const target = min<u64>(load<u64>(stream, STREAM_SWEEP_TARGET_AT) + step, swept + ROUND);
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
  const limit = i8x16.splat(<u8>TTL_EPOCHS);
  const now = i8x16.splat(nowEpoch);
  const erased = i8x16.splat(ERASED);
  let purged: i32 = 0;
  for (let nth: u32 = 0; nth < pages; nth++) {
    const page: usize = load<u32>(slot + (<usize>nth << 2));
    for (let at = page; at < page + ENTRIES_AT; at += GROUP_BYTES) {
      const tags = v128.load(at);
      const old = i8x16.gt_u(i8x16.sub(now, v128.load(at, 16)), limit);
      const gone = v128.and(old, i8x16.gt_u(tags, erased));
      if (!v128.any_true(gone)) continue;
      purged += popcnt(i8x16.bitmask(gone));
      // A group with room has always had it since the page was built: no search went past it, so its slots are as never used.
      const never = i8x16.bitmask(i8x16.eq(tags, i8x16.splat(0))) != 0;
      v128.store(at, v128.or(v128.andnot(tags, gone), never ? i8x16.splat(0) : v128.and(gone, erased)));
    }
  }
  countIds(-purged);
  return (<u64>1) << (32 - <u64>load<u8>(slot, 13));
}
