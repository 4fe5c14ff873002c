// Late events that correct windows which are closed and not final (late policy `update`), and the list of the rows that they changed.
// A row of such a view ends with its revision (kernels/abi/fold.ts): the number of late events in it, and its place in the list.
import {
  CORRECTED_LAST,
  RESULT_FAILED_AT,
  RESULT_LATE_AT,
  REVISION_NEXT_AT,
  REVISION_SHOWN_AT,
  ROOT_CORRECTED_AT,
  ROOT_LIST_ADDRESS_AT,
  ROOT_STALE_AT,
  ROOT_WINDOWS_AT,
  ROW_WINDOW_AT,
  WINDOW_CLOSED_AT,
  WINDOW_END_AT,
  WINDOW_ENTRY_BYTES,
  WINDOW_SEGMENT_AT,
  WINDOW_STALE_AT,
  WINDOW_VERSION_AT,
  WORK_ERRORS_AT,
  WORK_RESULT_AT,
  WORK_ROWS_AT,
  WORK_SELECTED_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi";
import { markStale } from "./assign";
import { touch } from "./pages";
import { values } from "./vector";
import { endOf, openWindow, startOf } from "./window";

/** t + by, cut at the highest time. */
function later(t: i64, by: i64): i64 {
  return t > i64.MAX_VALUE - by ? i64.MAX_VALUE : t + by;
}

/**
 * Of the `n` late rows that `assignWindows` listed at `lateAt`, selects those whose window is not final (time + behind < its end + allowed)
 * with their windows, which are made when they are not there; the others stay in the list: RESULT_LATE. `behind` is the address of the
 * chunk's first value, `firstRow` the number of the chunk's first row. Returns the count selected.
 */
export function assignCorrections(root: u32, time: u32, behind: u32, size: i64, offset: i64, allowed: i64, firstRow: u32, lateAt: u32, n: u32): u32 {
  const times = values(time);
  let beyond: u32 = 0;
  let failed: u32 = 0;
  let selected: u32 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const row = load<u32>(lateAt + (j << 2));
    const i = row - firstRow;
    const t = load<i64>(times + (i << 3));
    const end = endOf(t, size, offset);
    if (later(t, load<i64>(behind + (i << 3))) >= later(end, allowed)) {
      store<u32>(lateAt + (beyond << 2), row);
      beyond++;
      continue;
    }
    const header = openWindow(root, startOf(t, size, offset), end);
    store<u32>(header, load<u32>(header, WINDOW_VERSION_AT) + 1, WINDOW_VERSION_AT);
    touch(header);
    store<u32>(WORK_SELECTED_AT + (selected << 2), i);
    store<u32>(WORK_WINDOWS_AT + (selected << 2), header);
    selected++;
    failed += load<u8>(WORK_ERRORS_AT + i) != 0 ? 1 : 0;
  }
  store<u32>(WORK_RESULT_AT, beyond, RESULT_LATE_AT);
  store<u32>(WORK_RESULT_AT, failed, RESULT_FAILED_AT);
  return selected;
}

/** Lists a row as corrected, once; returns 1 when it was not listed. */
function list(root: u32, row: u32, revision: u32): u32 {
  const at = row + revision;
  if (load<u32>(at, REVISION_NEXT_AT) != 0) return 0;
  const head = load<u32>(root, ROOT_CORRECTED_AT);
  store<u32>(at, head == 0 ? CORRECTED_LAST : head, REVISION_NEXT_AT);
  store<u32>(root, row, ROOT_CORRECTED_AT);
  touch(at);
  touch(root);
  return 1;
}

/**
 * Counts a late event in the rows of the `n` selected events; those of closed windows are listed as corrected, once. Writes the addresses of the
 * rows that were not listed, u32 each; returns how many.
 */
export function markCorrected(root: u32, revision: u32, n: u32, to: u32): u32 {
  let listed: u32 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const row = load<u32>(WORK_ROWS_AT + (j << 2));
    const at = row + revision;
    store<u64>(at, load<u64>(at) + 1);
    if (load<u32>(load<u32>(row, ROW_WINDOW_AT), WINDOW_CLOSED_AT) == 0) continue;
    store<u32>(to + (listed << 2), row);
    listed += list(root, row, revision);
  }
  return listed;
}

/** Lists the `n` rows whose addresses are at `rows` as corrected; leaves there those that were not listed, and returns how many. */
export function listCorrected(root: u32, revision: u32, rows: u32, n: u32): u32 {
  let listed: u32 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const row = load<u32>(rows + (j << 2));
    store<u32>(rows + (listed << 2), row);
    listed += list(root, row, revision);
  }
  return listed;
}

/** Keeps only those of the `n` selected events whose windows are closed; returns how many. */
export function selectClosed(n: u32): u32 {
  let kept: u32 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const header = load<u32>(WORK_WINDOWS_AT + (j << 2));
    if (load<u32>(header, WINDOW_CLOSED_AT) == 0) continue;
    store<u32>(WORK_SELECTED_AT + (kept << 2), load<u32>(WORK_SELECTED_AT + (j << 2)));
    store<u32>(WORK_WINDOWS_AT + (kept << 2), header);
    kept++;
  }
  return kept;
}

/** Counts a change of a window. */
export function countChange(header: u32): void {
  store<u32>(header, load<u32>(header, WINDOW_VERSION_AT) + 1, WINDOW_VERSION_AT);
  touch(header);
}

/** Writes the addresses of the corrected rows, the last one first, as u32; returns how many. Each is a cache miss behind the one before. */
export function correctedRows(root: u32, revision: u32, to: u32): u32 {
  let n: u32 = 0;
  for (let row = load<u32>(root, ROOT_CORRECTED_AT); row != 0 && row != <u32>CORRECTED_LAST; n++) {
    store<u32>(to + (n << 2), row);
    row = load<u32>(row + revision, REVISION_NEXT_AT);
  }
  return n;
}

/** The `n` rows whose addresses are at `rows`, which are all that are listed, are so no more. */
export function takeCorrected(root: u32, revision: u32, rows: u32, n: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + revision;
    store<u32>(at, 0, REVISION_NEXT_AT);
    touch(at);
  }
  store<u32>(root, 0, ROOT_CORRECTED_AT);
  touch(root);
}

/** The `n` rows whose addresses are at `rows` are out from now on, or not. */
export function setShown(revision: u32, rows: u32, n: u32, shown: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const at = load<u32>(rows + (j << 2)) + revision;
    store<u32>(at, shown, REVISION_SHOWN_AT);
    touch(at);
  }
}

/** Counts a late event in the marks of the `n` selected pairs, in list `root`. */
export function markLate(root: u32, marks: u32, n: u32): void {
  for (let j: u32 = 0; j < n; j++) {
    const row = load<u32>(WORK_ROWS_AT + (j << 2));
    const at = row + marks;
    store<u64>(at, load<u64>(at) + 1);
    store<u32>(at, 1, REVISION_NEXT_AT);
    touch(at);
    const header = load<u32>(row, ROW_WINDOW_AT);
    markStale(root, header);
    touch(header);
  }
}

/** The marks of a window of list `root` were put out. */
export function settleMarks(root: u32, header: u32, marks: u32, rowBytes: u32): void {
  if (load<u32>(header, WINDOW_STALE_AT) == 0) return;
  for (let segment = header + WINDOW_SEGMENT_AT; segment != 0; segment = load<u32>(segment)) {
    const end = segment + 8 + load<u32>(segment, 4) * rowBytes;
    for (let row = segment + 8; row < end; row += rowBytes) store<u32>(row + marks, 0, REVISION_NEXT_AT);
    touch(segment);
  }
  store<u32>(header, 0, WINDOW_STALE_AT);
  touch(header);
  store<u32>(root, load<u32>(root, ROOT_STALE_AT) - 1, ROOT_STALE_AT);
  touch(root);
}

/** Marks a window as closed: its rows are put out, what changes from now on is a correction. */
export function setClosed(header: u32): void {
  store<u32>(header, 1, WINDOW_CLOSED_AT);
  touch(header);
}

/** How many windows, the oldest first, end at or before `watermark`: as `closableWindows`, by halves. All windows have one size. */
export function windowsEndedBy(root: u32, watermark: i64): u32 {
  const list = load<u32>(root, ROOT_LIST_ADDRESS_AT);
  let from: u32 = 0;
  let to = load<u32>(root, ROOT_WINDOWS_AT);
  while (from < to) {
    const middle = (from + to) >> 1;
    const header = load<u32>(list + middle * WINDOW_ENTRY_BYTES, 8);
    if (load<i64>(header, WINDOW_END_AT) <= watermark) from = middle + 1;
    else to = middle;
  }
  return from;
}
