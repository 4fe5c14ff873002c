// Part of kernels/abi.ts: sessions in the pages of the fold memory. A change of anything here is a new FOLD_LAYOUT_VERSION.
// A view of sessions has one header, its root page. It begins like a window's header (abi/fold.ts: chain, version, groups, directory,
// pages); rows, texts and sketches lie in blocks that are given back one by one.

/** u32 bytes of a row; 0 in a window's header. Texts and sketches of a heap are blocks. */
export const HEAP_ROW_BYTES_AT = 100;
/** u32 first of the list of all pages of blocks */
export const HEAP_PAGES_AT = 104;
/** u32 for each kind of block: first of the list of its pages that have room */
export const HEAP_ROOM_AT = 112;
/** Kinds of blocks: kind k holds 16 << k bytes, up to 4,096; then rows; a larger block has a run of pages of its own. */
export const BLOCK_KIND_ROW = 9;
export const BLOCK_KIND_RUN = 10;
/** A page of blocks: u32 kind, u32 blocks in use, u32 first free block (its first word: the next), u32 first block never used, then the
 * next and the previous page with room, the next and the previous page of the heap; from here on blocks. */
export const BLOCK_PAGE_HEADER_BYTES = 32;

/** i64 gap, µs */
export const SESSION_GAP_AT = 256;
/** i64 µs of a slot of the timer wheel */
export const SESSION_GRAIN_AT = 264;
/** i64 number of the wheel's slot at hand: floor(watermark / grain), or less before the first watermark */
export const SESSION_BASE_AT = 272;
/** u32 rows in the wheel */
export const SESSION_WHEEL_COUNT_AT = 280;
/** u32 address, count and capacity of the heap of timers for the slot at hand: entries of i64 time, u32 row, u32 zero */
export const SESSION_HEAP_AT = 284;
export const SESSION_HEAP_COUNT_AT = 288;
export const SESSION_HEAP_CAPACITY_AT = 292;
/** u32 sessions that are open */
export const SESSION_OPEN_AT = 296;
/** u32 address, count and capacity of the timers of the slot at hand in order, entries like those of the heap; u32 number of the first that has not come */
export const SESSION_RUN_AT = 300;
export const SESSION_RUN_COUNT_AT = 304;
export const SESSION_RUN_CAPACITY_AT = 308;
export const SESSION_RUN_FROM_AT = 312;
/** u32 first block of the list of spare rows (blocks like those of the wheel), u32 how many they are, how many at most, how many rows were taken since that was set */
export const SPARE_ROWS_AT = 316;
export const SPARE_ROWS_COUNT_AT = 320;
export const SPARE_ROWS_MAX_AT = 324;
export const SPARE_ROWS_TAKEN_AT = 328;
export const SESSION_WHEEL_AT = 512;
export const WHEEL_SLOTS = 256;
/** A block of the wheel: u32 next, u32 rows in it, rows */
export const WHEEL_BLOCK_ROWS = 126;
export const WHEEL_BLOCK_BYTES = 512;
export const TIMER_BYTES = 16;

// ## A row: like that of a group, with these between the window (here: the header) and the keys
/** i64 time of the first event */
export const SESSION_START_AT = 8;
/** i64 time of the last event + gap */
export const SESSION_END_AT = 16;
/** u32 next older and next newer session of the key; the newest one is in the index */
export const SESSION_OLDER_AT = 24;
export const SESSION_NEWER_AT = 28;
/** u32 tag in the index */
export const SESSION_TAG_AT = 32;
/** u32 SESSION_* state; 0 = a free block */
export const SESSION_STATE_AT = 36;
/** u64 events applied without a failure */
export const SESSION_APPLIED_AT = 40;
/** u64 late events in it */
export const SESSION_REVISION_AT = 48;
export const SESSION_KEYS_AT = 56;
export const SESSION_OPEN = 1;
/** Put out; its range is kept. */
export const SESSION_CLOSED = 2;
/** Merged into another one; its row is free once its timer has come. */
export const SESSION_DEAD = 3;
/** Closed as SESSION_CLOSED, and no part of the view: WHERE is true for none of its events, or HAVING is not for it. */
export const SESSION_HIDDEN = 4;

/** Rows of the chunk that pass the filter, u32, while `assignSessions` takes them in parts. */
export const WORK_INPUT_AT = 2181376;
/** Results of `assignSessions`: u32 number of the input row to go on with, u32 corrected sessions that had been put out, u64 events in those. */
export const RESULT_NEXT_AT = 16;
export const RESULT_REMOVED_AT = 20;
export const RESULT_REOPENED_AT = 24;
/** A late event in the list: u32 row, u32 zero, i64 start, i64 end of the sessions that it would have touched. */
export const LATE_RANGE_BYTES = 24;
