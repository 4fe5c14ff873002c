// Which pane a row falls into, which rows are late or filtered, which closed windows they correct. A tumbling window is one pane; the windows
// of a hop are runs of panes, and every time of a pane lies in the same windows.
import {
  CHUNK_ROWS,
  RESULT_APPLIED_AT,
  RESULT_CORRECTED_AT,
  RESULT_COUNTED_AT,
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  RESULT_LATE_AT,
  RESULT_STOP_AT,
  ROOT_STALE_AT,
  ROOT_WINDOWS_AT,
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
let allowed: i64 = 0;

/**
 * Sets the windows of the next `assignWindows`: of `s` from every o + n * `by` on, with panes of `p`, the greatest common divisor. They take
 * late events until the watermark is `a` behind their end.
 */
export function setWindows(p: i64, by: i64, s: i64, o: i64, a: i64): void {
  pane = p;
  slide = by;
  size = s;
  offset = o;
  allowed = a;
}

function plus(t: i64, by: i64): i64 {
  return t > i64.MAX_VALUE - by ? i64.MAX_VALUE : t + by;
}

/** Marks a pane whose nodes have to be made again: a row came behind the watermark. */
export function markStale(root: u32, header: u32): void {
  if (load<u32>(header, WINDOW_STALE_AT) != 0) return;
  store<u32>(header, 1, WINDOW_STALE_AT);
  store<u32>(root, load<u32>(root, ROOT_STALE_AT) + 1, ROOT_STALE_AT);
  touch(root);
}

/** The time up to which windows are final, when an event of time t comes `b` behind the watermark; at most t where no window of it is. */
function finalTime(t: i64, b: i64): i64 {
  return b > allowed ? plus(t, b - allowed) : t;
}

/** End of the first window that ends after a time. */
function endAfter(t: i64): i64 {
  return endOf(t, slide, (offset + size) % slide);
}

/** End of the last window that a time lies in. */
function lastEndOf(t: i64): i64 {
  return plus(startOf(t, slide, offset), size);
}

/**
 * Sorts rows `begin` to `n` of a chunk: rows without a true filter are counted as filtered; rows with time + behind - allowed >= the end of
 * one of their windows as late (their numbers in the record go to `lateTo`); rows that are not late for all of their windows are selected
 * with their panes, and those of them whose time + behind is beyond a window's end go to `correctTo`. Stops before a row that is late for a
 * window which is not final yet (its end is above `final`) and counts for another: RESULT_STOP is that row, or `n`. `behind` is the
 * address of the chunk's first value or 0; `filter` is a register or -1; `firstRow` the number of the chunk's first row. Returns the count selected.
 */
export function assignWindows(root: u32, time: u32, behind: u32, filter: i32, final: i64, begin: u32, n: u32, firstRow: u32, lateTo: u32, correctTo: u32): u32 {
  let filtered: u32 = 0;
  let late: u32 = 0;
  let failed: u32 = 0;
  let selected: u32 = 0;
  let counted: u32 = 0;
  let corrected: u32 = 0;
  let applied: u32 = 0;
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
    let isPast = false;
    if (behind != 0) {
      const b = load<i64>(behind + (i << 3));
      const watermark = plus(t, b);
      isBehind = b > 0 && watermark >= rowEnd;
      if (isBehind && watermark >= endAfter(t)) {
        const finalUs = finalTime(t, b);
        isLate = finalUs >= endAfter(t);
        if (isLate) {
          // The last of its windows that are final.
          if (finalUs < lastEndOf(t) && endAfter(finalUs) - slide > final) {
            stop = i;
            break;
          }
          store<u32>(lateTo + (late++ << 2), firstRow + i);
          if (finalUs >= lastEndOf(t)) continue;
        }
        isPast = watermark >= lastEndOf(t);
        store<u32>(correctTo + (corrected++ << 2), i);
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
    store<u32>(WORK_WINDOWS_AT + (selected++ << 2), header);
    if (isLate) continue;
    counted++;
    if (load<u8>(WORK_ERRORS_AT + i) != 0) failed++;
    else if (isPast) applied++;
    else store<u64>(header, load<u64>(header, WINDOW_APPLIED_AT) + 1, WINDOW_APPLIED_AT);
  }
  store<u32>(WORK_RESULT_AT, filtered, RESULT_FILTERED_AT);
  store<u32>(WORK_RESULT_AT, late, RESULT_LATE_AT);
  store<u32>(WORK_RESULT_AT, failed, RESULT_FAILED_AT);
  store<u32>(WORK_RESULT_AT, counted, RESULT_COUNTED_AT);
  store<u32>(WORK_RESULT_AT, stop, RESULT_STOP_AT);
  store<u32>(WORK_RESULT_AT, corrected, RESULT_CORRECTED_AT);
  store<u32>(WORK_RESULT_AT, applied, RESULT_APPLIED_AT);
  return selected;
}

/** Index of the first pane from `from` on that is marked as stale, not any more then; the count of panes when there is none. */
export function takeStale(root: u32, from: u32): u32 {
  const count = load<u32>(root, ROOT_WINDOWS_AT);
  const stale = load<u32>(root, ROOT_STALE_AT);
  if (stale == 0) return count;
  let index = from;
  while (index < count && load<u32>(windowAt(root, index), WINDOW_STALE_AT) == 0) index++;
  if (index == count) return count;
  store<u32>(windowAt(root, index), 0, WINDOW_STALE_AT);
  store<u32>(root, stale - 1, ROOT_STALE_AT);
  touch(windowAt(root, index));
  touch(root);
  return index;
}

// Where `selectMarks` is: the rows listed, the one at hand, the end of its next window.
let rowTimes: u32 = 0;
let rowBehind: u32 = 0;
let rowList: u32 = 0;
let rowCount: u32 = 0;
let nextEnd: i64 = 0;
let lastEnd: i64 = 0;

/** Takes the next row of the list: its windows that are closed and not final end from `nextEnd` to `lastEnd`. */
function takeRow(): void {
  const i = load<u32>(rowList);
  const t = load<i64>(rowTimes + (i << 3));
  const b = load<i64>(rowBehind + (i << 3));
  nextEnd = endAfter(max(t, finalTime(t, b)));
  lastEnd = min(plus(t, b), lastEndOf(t));
}

/** Begins with the `n` rows of a chunk that `assignWindows` put into a list. `behind`: address of the chunk's first value. */
export function beginMarks(time: u32, behind: u32, list: u32, n: u32): void {
  rowTimes = values(time);
  rowBehind = behind;
  rowList = list;
  rowCount = n;
  if (n > 0) takeRow();
}

/** Selects at most CHUNK_ROWS pairs: a row, and the marks of a closed window that is not final and holds it. Returns how many. */
export function selectMarks(root: u32): u32 {
  let n: u32 = 0;
  while (rowCount > 0 && n < <u32>CHUNK_ROWS) {
    if (nextEnd <= lastEnd) {
      store<u32>(WORK_SELECTED_AT + (n << 2), load<u32>(rowList));
      store<u32>(WORK_WINDOWS_AT + (n << 2), openWindow(root, nextEnd - size, nextEnd));
      n++;
    }
    if (nextEnd < lastEnd && nextEnd <= i64.MAX_VALUE - slide) {
      nextEnd += slide;
      continue;
    }
    rowList += 4;
    rowCount--;
    if (rowCount > 0) takeRow();
  }
  return n;
}
