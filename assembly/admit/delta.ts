// Owns the ids accepted since the last checkpoint, per stream, in order of acceptance: a chain of pages, each u32 next, u32 entries
// used, 8 bytes unused, then 255 entries as in the id table. The checkpoint takes it away; the log covers what comes after.
import {
  ADMIT_PAGE_BYTES,
  ID_ENTRY_BYTES,
  STREAM_DELTA_HEAD_AT,
  STREAM_DELTA_IDS_AT,
  STREAM_DELTA_TAIL_AT,
} from "../../kernels/abi";
import { releasePage, takePage } from "./pool";

const HEADER: usize = 16;
const ENTRIES: u32 = (ADMIT_PAGE_BYTES - 16) / ID_ENTRY_BYTES;

/** Appends an entry: 96 bits of hash and received_at in ms modulo 2^32. */
export function appendDelta(stream: usize, high: u64, low: u32, ms: u32): void {
  let tail: usize = load<u32>(stream, STREAM_DELTA_TAIL_AT);
  if (!tail || load<u32>(tail, 4) == ENTRIES) {
    const page = takePage();
    store<u64>(page, 0);
    if (tail) store<u32>(tail, <u32>page);
    else store<u32>(stream, <u32>page, STREAM_DELTA_HEAD_AT);
    store<u32>(stream, <u32>page, STREAM_DELTA_TAIL_AT);
    tail = page;
  }
  const used = load<u32>(tail, 4);
  const entry = tail + HEADER + <usize>used * ID_ENTRY_BYTES;
  store<u64>(entry, high);
  store<u32>(entry, low, 8);
  store<u32>(entry, ms, 12);
  store<u32>(tail, used + 1, 4);
  store<u32>(stream, load<u32>(stream, STREAM_DELTA_IDS_AT) + 1, STREAM_DELTA_IDS_AT);
}

/** Moves the oldest entries, at most `entriesMax` (whole pages only), to `to` and releases their pages. Returns the entries moved. */
export function takeDelta(stream: usize, to: usize, entriesMax: u32): u32 {
  let page: usize = load<u32>(stream, STREAM_DELTA_HEAD_AT);
  let moved: u32 = 0;
  while (page && moved + load<u32>(page, 4) <= entriesMax) {
    const used = load<u32>(page, 4);
    memory.copy(to + <usize>moved * ID_ENTRY_BYTES, page + HEADER, <usize>used * ID_ENTRY_BYTES);
    moved += used;
    const next: usize = load<u32>(page);
    releasePage(page);
    page = next;
  }
  store<u32>(stream, <u32>page, STREAM_DELTA_HEAD_AT);
  if (!page) store<u32>(stream, 0, STREAM_DELTA_TAIL_AT);
  store<u32>(stream, load<u32>(stream, STREAM_DELTA_IDS_AT) - moved, STREAM_DELTA_IDS_AT);
  return moved;
}
