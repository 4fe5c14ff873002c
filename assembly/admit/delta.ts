// Owns the ids accepted since the last checkpoint, per stream, in order of acceptance: a chain of pages, each u32 next, u32 entries
// used, 8 bytes unused, then 255 entries as in the id table. The checkpoint takes it away; the log covers what comes after.
import {
  ADMIT_PAGE_BYTES,
  DELTA_PAGE_ENTRIES,
  ID_ENTRY_BYTES,
  STREAM_DELTA_HEAD_AT,
  STREAM_DELTA_IDS_AT,
  STREAM_DELTA_TAIL_AT,
} from "../../kernels/abi";
import { releasePage, takePage } from "./pool";

const HEADER: usize = 16;

// Where the next entry of the stream at hand goes, and the end of its page: between openDelta and closeDelta.
let next: usize = 0;
let end: usize = 0;
let appended: u32 = 0;

/** Makes a stream's delta the one that entries are appended to. */
export function openDelta(stream: usize): void {
  const tail: usize = load<u32>(stream, STREAM_DELTA_TAIL_AT);
  next = tail ? tail + HEADER + <usize>load<u32>(tail, 4) * ID_ENTRY_BYTES : 0;
  end = tail ? tail + ADMIT_PAGE_BYTES : 0;
  appended = 0;
}

/** Appends an entry: 96 bits of hash and received_at in ms modulo 2^32. */
// @ts-ignore: decorator.
@inline
export function appendDelta(stream: usize, high: u64, low: u32, ms: u32): void {
  if (next == end) appendPage(stream);
  store<u64>(next, high);
  store<u64>(next, <u64>low | (<u64>ms << 32), 8);
  next += ID_ENTRY_BYTES;
  appended++;
}

function appendPage(stream: usize): void {
  const page = takePage();
  const tail: usize = load<u32>(stream, STREAM_DELTA_TAIL_AT);
  store<u32>(page, 0);
  if (tail) {
    store<u32>(tail, <u32>page);
    store<u32>(tail, DELTA_PAGE_ENTRIES, 4);
  } else store<u32>(stream, <u32>page, STREAM_DELTA_HEAD_AT);
  store<u32>(stream, <u32>page, STREAM_DELTA_TAIL_AT);
  next = page + HEADER;
  end = page + ADMIT_PAGE_BYTES;
}

/** Writes down what was appended since openDelta. */
export function closeDelta(stream: usize): void {
  if (!appended) return;
  const tail: usize = load<u32>(stream, STREAM_DELTA_TAIL_AT);
  store<u32>(tail, <u32>(next - tail - HEADER) / ID_ENTRY_BYTES, 4);
  store<u32>(stream, load<u32>(stream, STREAM_DELTA_IDS_AT) + appended, STREAM_DELTA_IDS_AT);
}

/** Moves the oldest entries, at most `entriesMax` (whole pages only), to `to` and releases their pages. Returns the entries moved. */
export function takeDelta(stream: usize, to: usize, entriesMax: u32): u32 {
  let page: usize = load<u32>(stream, STREAM_DELTA_HEAD_AT);
  let moved: u32 = 0;
  while (page && moved + load<u32>(page, 4) <= entriesMax) {
    const used = load<u32>(page, 4);
    memory.copy(to + <usize>moved * ID_ENTRY_BYTES, page + HEADER, <usize>used * ID_ENTRY_BYTES);
    moved += used;
    const following: usize = load<u32>(page);
    releasePage(page);
    page = following;
  }
  store<u32>(stream, <u32>page, STREAM_DELTA_HEAD_AT);
  if (!page) store<u32>(stream, 0, STREAM_DELTA_TAIL_AT);
  store<u32>(stream, load<u32>(stream, STREAM_DELTA_IDS_AT) - moved, STREAM_DELTA_IDS_AT);
  return moved;
}
