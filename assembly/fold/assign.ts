// Which pane a row falls into, which rows are late or filtered. A tumbling window is one pane; the windows of a hop are runs of panes,
// and every time of a pane lies in the same windows.
import {
  RESULT_COUNTED_AT,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  RESULT_LATE_AT,
  RESULT_STOP_AT,
  ROOT_STALE_AT,
  WINDOW_APPLIED_AT,
  WINDOW_STALE_AT,
  WINDOW_VERSION_AT,
  WORK_ERRORS_AT,
  WORK_RESULT_AT,
  WORK_SELECTED_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi";
import { touch } from "./pages";
import { isValid, step, values } from "./vector";
import { endOf, openWindow, startOf, windowAt } from "./window";

let pane: i64 = 0;
let slide: i64 = 0;
let size: i64 = 0;
let offset: i64 = 0;

/** Sets the windows of the next `assignWindows`: of `s` from every o + n * `by` on, with panes of `p`, the greatest common divisor. */
export function setWindows(p: i64, by: i64, s: i64, o: i64): void {
  pane = p;
  slide = by;
  size = s;
  offset = o;
}

function plus(t: i64, by: i64): i64 {
  return t > i64.MAX_VALUE - by ? i64.MAX_VALUE : t + by;
}

/** Marks a pane whose nodes have to be made again: a row came behind the watermark. */
function markStale(root: u32, header: u32): void {
  if (load<u32>(header, WINDOW_STALE_AT) != 0) return;
  store<u32>(header, 1, WINDOW_STALE_AT);
  store<u32>(root, load<u32>(root, ROOT_STALE_AT) + 1, ROOT_STALE_AT);
  touch(root);
}

/**
 * Sorts rows `begin` to `n` of a chunk: rows without a true filter are counted as filtered; rows with time + behind >= the end of one of
 * their windows as late (their numbers in the record go to `lateTo`); rows that are not late for all of their windows are selected with
 * their panes. Stops before a row that is late for a window which is not closed yet (its end is above `closed`) and counts for
 * another: RESULT_STOP is that row, or `n`. `behind` is the address of the chunk's first value or 0; `filter` is a register or -1;
 * `firstRow` the number of the chunk's first row. Returns the count selected.
 */
export function assignWindows(root: u32, time: u32, behind: u32, filter: i32, closed: i64, begin: u32, n: u32, firstRow: u32, lateTo: u32): u32 {
  let filtered: u32 = 0;
  let late: u32 = 0;
  let failed: u32 = 0;
  let selected: u32 = 0;
  let counted: u32 = 0;
  let header: u32 = 0;
  let start: i64 = 0;
  let end: i64 = 0;
  let stop = n;
  const times = values(time);
  const filterAt = filter < 0 ? 0 : values(filter);
  const filterStep = filter < 0 ? 0 : step(filter);
  for (let i = begin; i < n; i++) {
    if (filter >= 0 && (load<u8>(filterAt + i * filterStep) == 0 || !isValid(filter, i))) {
      filtered++;
      continue;
    }
    const t = load<i64>(times + (i << 3));
    const same = t >= start && t < end;
    const rowEnd = same ? end : endOf(t, pane, offset % pane);
    let isLate = false;
    let isBehind = false;
    if (behind != 0) {
      const b = load<i64>(behind + (i << 3));
      if (b > 0) {
        const watermark = plus(t, b);
        isBehind = watermark >= rowEnd;
        const firstEnd = isBehind ? endOf(t, slide, (offset + size) % slide) : rowEnd;
        if (isBehind && watermark >= firstEnd) {
          const lastEnd = plus(startOf(t, slide, offset), size);
          isLate = true;
          // The last of its windows that the watermark had passed.
          if (watermark < lastEnd && endOf(watermark, slide, (offset + size) % slide) - slide > closed) {
            stop = i;
            break;
          }
          store<u32>(lateTo + (late << 2), firstRow + i);
          late++;
          if (watermark >= lastEnd) continue;
        }
      }
    }
    if (!same || header == 0) {
      start = startOf(t, pane, offset % pane);
      end = rowEnd;
      header = openWindow(root, start, end);
      store<u32>(header, load<u32>(header, WINDOW_VERSION_AT) + 1, WINDOW_VERSION_AT);
      touch(header);
    }
    if (isBehind) markStale(root, header);
    store<u32>(WORK_SELECTED_AT + (selected << 2), i);
    store<u32>(WORK_WINDOWS_AT + (selected << 2), header);
    selected++;
    if (isLate) continue;
    counted++;
    if (load<u8>(WORK_ERRORS_AT + i) != 0) failed++;
    else store<u64>(header, load<u64>(header, WINDOW_APPLIED_AT) + 1, WINDOW_APPLIED_AT);
  }
  store<u32>(WORK_RESULT_AT, filtered, RESULT_FILTERED_AT);
  store<u32>(WORK_RESULT_AT, late, RESULT_LATE_AT);
  store<u32>(WORK_RESULT_AT, failed, RESULT_FAILED_AT);
  store<u32>(WORK_RESULT_AT, counted, RESULT_COUNTED_AT);
  store<u32>(WORK_RESULT_AT, stop, RESULT_STOP_AT);
  return selected;
}

/** The oldest pane that is marked as stale, not any more then; 0 when there is none. */
export function takeStale(root: u32): u32 {
  const stale = load<u32>(root, ROOT_STALE_AT);
  if (stale == 0) return 0;
  let index: u32 = 0;
  while (load<u32>(windowAt(root, index), WINDOW_STALE_AT) == 0) index++;
  const header = windowAt(root, index);
  store<u32>(header, 0, WINDOW_STALE_AT);
  store<u32>(root, stale - 1, ROOT_STALE_AT);
  touch(header);
  touch(root);
  return header;
}
