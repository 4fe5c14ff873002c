// Part of kernels/abi.ts: what the admit module and its host (src/admit) share: verdicts, the stream block, pages of ids.

// ## Admission verdicts, one byte per decoded row
export const VERDICT_ACCEPTED = 0;
export const VERDICT_DUPLICATE = 1;
/** event time > received_at + max_future */
export const VERDICT_FUTURE = 2;
/** event time older than max_past before the newest seen */
export const VERDICT_PAST = 3;

// ## Admission: the stream block
// One block per stream in the memory of `admit`, made by the host (src/admit/admission.ts), read and changed by the kernels. Times of
// events are i64 µs, `received_at` is i64 ms. Absent durations are -1; an absent watermark or newest time is the lowest i64.
export const STREAM_BYTES = 192;
/** i64 µs: the stream's watermark (src/admit/stream-clock.ts) */
export const STREAM_WATERMARK_AT = 0;
/** i64 µs: max over admitted events of min(event time, received_at) */
export const STREAM_NEWEST_AT = 8;
/** i64 µs settings: out-of-orderness, max_future, max_past */
export const STREAM_OUT_OF_ORDERNESS_AT = 16;
export const STREAM_MAX_FUTURE_AT = 24;
export const STREAM_MAX_PAST_AT = 32;
/** i64 ms: dedup_ttl; 0 = the stream has no id table */
export const STREAM_TTL_MS_AT = 40;
/** i64 ms: received_at of the newest batch of the stream; -1 = none yet */
export const STREAM_RECEIVED_MS_AT = 48;
/** u32 address of the id table's directory (whole pages), u32 its depth in bits, u32 the depth that it has room for */
export const STREAM_DIRECTORY_AT = 56;
export const STREAM_DEPTH_AT = 60;
export const STREAM_DEPTH_MAX_AT = 64;
/** u32 ids in the table (expired ones that no sweep has met yet included), u32 pages of the table */
export const STREAM_IDS_AT = 68;
export const STREAM_PAGES_AT = 72;
/** u64 place of the sweeper on the ring of hash prefixes (32 bits) counted over all rounds, and the place it should have reached */
export const STREAM_SWEPT_AT = 80;
export const STREAM_SWEEP_TARGET_AT = 88;
/** u32 oldest and newest page of the delta (ids since the last checkpoint), u32 ids in it */
export const STREAM_DELTA_HEAD_AT = 96;
export const STREAM_DELTA_TAIL_AT = 100;
export const STREAM_DELTA_IDS_AT = 104;
/** u32 counts of the last batch: accepted, duplicates, future, past, and rows whose `_behind` is not zero */
export const STREAM_ACCEPTED_AT = 112;
export const STREAM_DUPLICATES_AT = 116;
export const STREAM_FUTURE_AT = 120;
export const STREAM_PAST_AT = 124;
export const STREAM_BEHIND_ROWS_AT = 128;
/**
 * i64 µs, given with each batch: max over admitted events of its source partition of min(event time, received_at); and what the other
 * partitions allow the watermark to be: the lowest i64 = it cannot move, the highest = anything
 */
export const STREAM_HIGHEST_AT = 136;
export const STREAM_CAP_AT = 144;
/** i64 ms: ids received up to here are sealed on disk and leave the table as the sweeper passes; 0 = none */
export const STREAM_SEALED_MS_AT = 152;
/** u64 place that the sweeper should reach for it, u64 how far it goes for each row of a batch until then */
export const STREAM_SEAL_GOAL_AT = 160;
export const STREAM_SEAL_STEP_AT = 168;

/** A page of the admit memory: of an id table, or of a delta. */
export const ADMIT_PAGE_BYTES = 4096;
/** An id as stored: u64 and u32 of its hash, u32 received_at in ms modulo 2^32. */
export const ID_ENTRY_BYTES = 16;
/** Entries of a page of the delta, behind 16 bytes of header; `takeDelta` moves whole pages. */
export const DELTA_PAGE_ENTRIES = 255;
/** Parts, by the first bits of their hashes, that ids of a checkpoint are put back in. */
export const RESTORE_PARTS_MAX = 1024;
/** Slots of an id page: 7 groups of 32. */
export const ID_PAGE_SLOTS = 224;
/** Bytes of a directory slot: the numbers of two or three pages (address / ADMIT_PAGE_BYTES), 20 bits each from the lowest; 0 = no third. */
export const DIRECTORY_SLOT_BYTES = 8;
