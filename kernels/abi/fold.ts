// Part of kernels/abi.ts: what the fold module and its host (src/window) share: the memory's layout and the words of programs.
// Memory map: static data | dirty bytes (FOLD_DIRTY_AT) | scratch (from WORK_RESULT_AT on: columns of the batch, registers, outputs; never
// in a checkpoint) | pages (FOLD_PAGES_AT: all state). Addresses of pages never change: a checkpoint stores them by number.
// A change of anything that lies in pages is a new FOLD_LAYOUT_VERSION.

/** Version of everything that lies in pages: page map, window lists, windows, groups, states of aggregates. */
export const FOLD_LAYOUT_VERSION = 5;
/**
 * The earliest version that is read: one without spare rows of sessions, whose place in a header is zero. In version 4 panes and marks of hops are all in
 * pages.
 */
export const FOLD_LAYOUT_VERSION_LEAST = 3;

export const FOLD_PAGE_BITS = 14;
export const FOLD_PAGE_BYTES = 16384;
/** One byte per page: 0 as in the last checkpoint, or DIRTY_* */
export const FOLD_DIRTY_AT = 1048576;
export const FOLD_PAGES_AT = 268435456;
/** (4 GiB - 256 MiB) / 16 KiB, less the last 64 KiB, so that no address wraps. */
export const FOLD_PAGE_COUNT_MAX = 245756;
/** Pages that hold the page map: a u32 per page, 0 = free, 1 = last of its chain, else the next page of the chain. */
export const FOLD_MAP_PAGES = 60;

export const DIRTY_CHANGED = 1;
export const DIRTY_FREED = 2;

/** Rows that one call of the row kernels handles. */
export const CHUNK_ROWS = 2048;

// ## Registers of expression programs: vectors in scratch. 32 bytes each.
export const REGISTER_BYTES = 32;
/** u32 address of the values */
export const REGISTER_VALUES_AT = 0;
/** u32 address of the validity bytes (1 = valid); 0 = all valid */
export const REGISTER_VALID_AT = 4;
/** u32 bytes from a value to the next; 0 = a constant */
export const REGISTER_STEP_AT = 8;
/** u32 bytes from a validity byte to the next: 1, or 0 for a constant */
export const REGISTER_VALID_STEP_AT = 12;
/** u32 addresses of the register's own buffers */
export const REGISTER_OWN_AT = 16;
export const REGISTER_OWN_VALID_AT = 20;

// ## Instructions. 32 bytes: u32 op, u32 dst, u32 a, u32 b, u32 x, u32 y, i64 imm
export const INSTRUCTION_BYTES = 32;
export const INSTRUCTION_IMM_AT = 24;

// ## Batch columns, as the host copied them. 40 bytes each: u32 values, validity (0 = all valid), text, dictionary offsets,
// dictionary count, physical, address of the error bytes of the dictionary's entries (0 = none)
export const BATCH_COLUMN_BYTES = 40;
export const BATCH_VALUES_AT = 0;
export const BATCH_VALIDITY_AT = 4;
export const BATCH_TEXT_AT = 8;
export const BATCH_DICT_OFFSETS_AT = 12;
export const BATCH_DICT_COUNT_AT = 16;
export const BATCH_PHYSICAL_AT = 20;
export const BATCH_ERRORS_AT = 24;

// ## Classes of vectors: B byte, I i64, D f64, H i128, S text (u32 address, u32 bytes), K key form (16 bytes)
// ## Operations
/** dst = column x from row `imm` on, in its class; dictionary columns give codes, u32, with the entry count where null */
export const OP_LOAD = 1;
/** dst = the entries of dictionary column x, class S, and one null after them */
export const OP_LOAD_ENTRIES = 2;
/** dst = register b of the dictionary's domain, by the codes in a; x = width in bytes; y = column of the codes */
export const OP_GATHER = 3;
/** dst = a as I: B to I */
export const OP_WIDEN = 4;
/** dst = window start of time a; imm = size in µs; b, y = offset in µs, its high and low 32 bits; x = 1: the window's end */
export const OP_WINDOW = 5;
/** dst = comparison of a and b; x = class (CLASS_*), y = mask of the outcomes that are true (COMPARE_*), imm = 1: nulls compare */
export const OP_COMPARE = 6;
export const OP_AND = 7;
export const OP_OR = 8;
export const OP_NOT = 9;
/** dst = a is null; x = 1: is not null */
export const OP_IS_NULL = 10;
/** dst = a where valid, else b; x = width in bytes */
export const OP_COALESCE = 11;
/** dst = a (y: ADD, ...) b in class x; imm = range of the result (RANGE_*) */
export const OP_ARITHMETIC = 12;
/** dst = -a in class x; imm = range */
export const OP_NEGATE = 13;
/** dst = date_trunc(a); x = unit (TRUNC_*) */
export const OP_DATE_TRUNC = 14;
/** dst = cast of a; x = CAST_*, y = scale or shift, imm = range */
export const OP_CAST = 15;
/** dst = coupon of a, as I; x = class */
export const OP_COUPON = 16;
/** dst = key form of S a, as K */
export const OP_KEY_TEXT = 17;
/** dst = canonical bits of D a, as I: one NaN, no -0.0 */
export const OP_KEY_DOUBLE = 18;
/** dst = hash of key form a, as I; x = class I, H, or S for a form of text */
export const OP_KEY_HASH = 19;
/** dst = register x of the shared program, which has a value for each row of the record */
export const OP_SHARED = 20;

export const CLASS_B = 1;
export const CLASS_I = 2;
export const CLASS_D = 3;
export const CLASS_H = 4;
export const CLASS_S = 5;

export const COMPARE_LESS = 1;
export const COMPARE_EQUAL = 2;
export const COMPARE_GREATER = 4;

export const ARITHMETIC_ADD = 1;
export const ARITHMETIC_SUB = 2;
export const ARITHMETIC_MUL = 3;
export const ARITHMETIC_DIV = 4;
export const ARITHMETIC_INT_DIV = 5;
export const ARITHMETIC_MOD = 6;

/** Range of a result: 1 to 38 = decimal digits; else one of these. */
export const RANGE_I64 = 64;
export const RANGE_I32 = 65;
export const RANGE_F64 = 66;
export const RANGE_F32 = 67;

export const TRUNC_MICROSECONDS = 1;
export const TRUNC_MILLISECONDS = 2;
export const TRUNC_SECOND = 3;
export const TRUNC_MINUTE = 4;
export const TRUNC_HOUR = 5;
export const TRUNC_DAY = 6;
export const TRUNC_WEEK = 7;
export const TRUNC_MONTH = 8;
export const TRUNC_QUARTER = 9;
export const TRUNC_YEAR = 10;
export const TRUNC_DECADE = 11;
export const TRUNC_CENTURY = 12;
export const TRUNC_MILLENNIUM = 13;

/** I or H times 10^y, or divided with rounding half away from zero when y has bit 31; classes by name */
export const CAST_I_RESCALE = 1;
export const CAST_H_RESCALE = 2;
export const CAST_I_TO_H = 3;
export const CAST_H_TO_I = 4;
/** integer with scale y to D; range says F32 or F64 */
export const CAST_I_TO_D = 5;
export const CAST_H_TO_D = 6;
/** half to even, then range */
export const CAST_D_TO_I = 7;
/** times 10^y, half away from zero, then range; y with bit 31: a FLOAT */
export const CAST_D_TO_DECIMAL_I = 8;
export const CAST_D_TO_DECIMAL_H = 9;
export const CAST_D_TO_F32 = 10;
export const CAST_I_TO_B = 11;
export const CAST_D_TO_B = 12;
export const CAST_H_TO_B = 13;
/** TIMESTAMPTZ to DATE and back */
export const CAST_TIME_TO_DATE = 14;
export const CAST_DATE_TO_TIME = 15;
export const CAST_DOWN = 2147483648;

// ## States of aggregates, at an offset of the group's row
export const STATE_COUNT_STAR = 1;
export const STATE_COUNT = 2;
/** u64 count, i128 sum */
export const STATE_SUM_I = 3;
/** u64 count, i192 sum */
export const STATE_SUM_H = 4;
/** u64 count, f64 sum */
export const STATE_SUM_D = 5;
/** u64 1 when there is a value, the value; text: u32 1, u32 bytes, u32 capacity, u32 address */
export const STATE_MIN_I = 6;
export const STATE_MAX_I = 7;
export const STATE_MIN_D = 8;
export const STATE_MAX_D = 9;
export const STATE_MIN_H = 10;
export const STATE_MAX_H = 11;
export const STATE_MIN_S = 12;
export const STATE_MAX_S = 13;
/** u32 coupon count (LIST, SET) or HLL_DENSE, u32 address of the block (0 = LIST), 8 x u32 coupons of the LIST */
export const STATE_HLL = 14;
export const HLL_DENSE = 4294967295;
/** first, last: u32 PICKED_* (0 = no event yet), u32 index, u64 position, then the value: 8 or 16 bytes; text: u32 bytes, u32 capacity, u32 address, u32 0 */
export const STATE_FIRST_8 = 15;
export const STATE_FIRST_16 = 16;
export const STATE_FIRST_S = 17;
export const STATE_LAST_8 = 18;
export const STATE_LAST_16 = 19;
export const STATE_LAST_S = 20;
export const PICKED_NULL = 1;
export const PICKED_VALUE = 2;

// ## What of a row lies outside of it, for packed groups. 8 bytes: u32 kind (PLACE_KEY: a key of text; STATE_*: text, sketch), u32 offset
export const PLACE_BYTES = 8;
export const PLACE_KEY = 0;

// ## Window header, at the start of the window's first page
export const WINDOW_START_AT = 0;
export const WINDOW_END_AT = 8;
/** u32 first page of the chain of all pages of the window */
export const WINDOW_CHAIN_AT = 16;
/** u32 counted up by each chunk of rows that changed the window */
export const WINDOW_VERSION_AT = 20;
export const WINDOW_GROUPS_AT = 24;
/** u64 events applied without a failure */
export const WINDOW_APPLIED_AT = 32;
export const WINDOW_DIRECTORY_AT = 40;
export const WINDOW_DEPTH_AT = 44;
/** u32 the directory while its depth is 0: one bucket */
export const WINDOW_FIRST_BUCKET_AT = 48;
export const WINDOW_LAST_SEGMENT_AT = 52;
export const WINDOW_TEXT_AT = 56;
export const WINDOW_TEXT_END_AT = 60;
/** u32 heads of the free blocks of 128 << i bytes, i < 6 */
export const WINDOW_BLOCKS_AT = 64;
/** u32 pages of the window */
export const WINDOW_PAGES_AT = 88;
/** u32 1: the window was put out and is kept for late events that correct it */
export const WINDOW_CLOSED_AT = 92;
/** u32 1: a pane that a row behind the watermark came into: its nodes are to be made again; marks that were not put out */
export const WINDOW_STALE_AT = 96;
/** the first segment of rows: u32 next segment, u32 rows in it, rows */
export const WINDOW_SEGMENT_AT = 248;

// ## Root page of a view: u32 address of the window list, u32 windows, u32 capacity, u32 chain of the list when it is not in the root
// page, u32 chain of the root page. The list starts at ROOT_LIST_AT until it outgrows the page: by start, entries of 16 bytes: i64
// start, u32 header address, u32 zero.
export const ROOT_LIST_ADDRESS_AT = 0;
export const ROOT_WINDOWS_AT = 4;
export const ROOT_CAPACITY_AT = 8;
export const ROOT_LIST_CHAIN_AT = 12;
export const ROOT_CHAIN_AT = 16;
/** u32 the corrected row that was marked last; 0 = none */
export const ROOT_CORRECTED_AT = 28;
/** u32 root page of the list of nodes over panes, whose entries are by the middle of the node's range; 0 = none */
export const ROOT_NODES_AT = 20;
/** u32 panes, or marks of windows, that are marked as stale */
export const ROOT_STALE_AT = 24;
export const ROOT_LIST_AT = 32;
export const WINDOW_ENTRY_BYTES = 16;

// ## Groups. A row: u32 mask of null keys, u32 window header, keys, states of aggregates. Text keys: u32 bytes, then the text if
// it has at most 12 bytes, else its first 4 bytes, u32 address, u32 zero.
export const ROW_NULLS_AT = 0;
export const ROW_WINDOW_AT = 4;
export const ROW_KEYS_AT = 8;
export const TEXT_INLINE_BYTES = 12;
/**
 * Rows of views that correct closed windows end with: u64 late events in the row, u32 next corrected row (0 = not listed; of a hop: 1 =
 * corrected), u32 1: the row is out, where HAVING or a top-N decides which are. The marks of a hop's closed window are rows of keys and these.
 */
export const REVISION_BYTES = 16;
export const REVISION_NEXT_AT = 8;
export const REVISION_SHOWN_AT = 12;
/** Next row of the row at the end of the list of corrected ones. */
export const CORRECTED_LAST = 1;
/** A bucket of the index is a page: u32 entries, u32 depth, u32 overflow bucket, zeros, then lines of 8 slots: u32 tag, u32 row (0 = free). */
export const BUCKET_HEADER_BYTES = 64;
export const BUCKET_LINE_BYTES = 64;
export const BUCKET_LINES = 255;
/** Three fifths of its slots: beyond that many lines are full, and searches go on in lines that nobody has read ahead. */
export const BUCKET_ENTRIES_MAX = 1224;
export const DIRECTORY_DEPTH_MAX = 16;

// ## Work area at the start of scratch: vectors of one chunk
export const WORK_RESULT_AT = 2097152;
export const WORK_HASHES_AT = 2097408;
export const WORK_SELECTED_AT = 2113792;
export const WORK_WINDOWS_AT = 2121984;
export const WORK_ROWS_AT = 2130176;
export const WORK_NULLS_AT = 2138368;
export const WORK_SELECTED_2_AT = 2146560;
export const WORK_ROWS_2_AT = 2154752;
/** Error bytes of the chunk's rows. */
export const WORK_ERRORS_AT = 2162944;
/** Copy of a bucket while it splits. */
export const WORK_SPLIT_AT = 2164992;
/** From here on the host hands out scratch. */
export const WORK_END_AT = 2228224;
// Results of `assign`, u32 each
export const RESULT_FILTERED_AT = 0;
export const RESULT_LATE_AT = 4;
export const RESULT_FAILED_AT = 8;
/** Written by `assign`: the row that it stopped at. */
export const RESULT_STOP_AT = 16;
/** Written by `assign`: selected rows that are not late. */
export const RESULT_COUNTED_AT = 20;
/** Written by `assign`: selected rows that may correct windows. */
export const RESULT_CORRECTED_AT = 24;
/** Written by `assign`: rows that are not late and did not fail, all of whose windows are closed. */
export const RESULT_APPLIED_AT = 28;

// ## Key columns of a view for `group`. 16 bytes: u32 offset in the row, u32 kind (KEY_*), u32 form register, u32 hash register
export const KEY_COLUMN_BYTES = 16;
export const KEY_FIXED8 = 1;
export const KEY_FIXED16 = 2;
export const KEY_TEXT = 3;

// ## Key sets: the distinct keys that the batches of a stream had lately, each with a number, for views with the same keys. In scratch: what
// rows they find does not depend on them. A set: u32 numbers given, u32 generation (counted up when it begins anew), u32 bytes of texts, u32
// records to rest, u32 rows since it began anew, u32 addresses of the record's tags, masks of nulls and numbers (0 = none: it rests); slots of
// u32 number + 1; entries, as rows of groups begin, with the tag in the place of the window; texts.
export const KEY_SET_USED_AT = 0;
export const KEY_SET_GENERATION_AT = 4;
export const KEY_SET_TEXT_AT = 8;
export const KEY_SET_REST_AT = 12;
export const KEY_SET_ROWS_AT = 16;
export const KEY_SET_TAGS_AT = 20;
export const KEY_SET_NULLS_AT = 24;
export const KEY_SET_NUMBERS_AT = 28;
export const KEY_SET_SLOTS_AT = 64;
export const KEY_SET_SLOTS = 65536;
export const KEY_SET_ENTRIES_AT = 262208;
export const KEY_SET_KEYS_MAX = 32768;
export const KEY_SET_TEXT_BYTES = 1048576;
/** A set that had to begin anew before each of its keys came this often, on average, rests for so many records. */
export const KEY_SET_REUSE_MIN = 4;
export const KEY_SET_REST_RECORDS = 256;
/** A view's column of a set: u32 generation of the set, u32 count of freed windows that it is good for, then a row of a group for each number; 0 = none */
export const KEY_COLUMN_ROWS_AT = 8;

// ## Sources of output columns for `extract`
/** a key of class I, D, B: 8 bytes; x = its ordinal */
export const SOURCE_KEY_8 = 1;
export const SOURCE_KEY_16 = 2;
export const SOURCE_COUNT = 3;
/** i128 sums, NULL without rows; STATE_SUM_H also when it has more than 38 digits */
export const SOURCE_SUM_I = 4;
export const SOURCE_SUM_H = 5;
export const SOURCE_SUM_D = 6;
/** x = decimal scale, with bit 31: one rounding only (DuckDB's way for 16-bit decimals) */
export const SOURCE_AVG_I = 7;
export const SOURCE_AVG_H = 8;
export const SOURCE_AVG_D = 9;
export const SOURCE_EXTREME_8 = 10;
export const SOURCE_EXTREME_16 = 11;
export const SOURCE_DISTINCT = 12;
export const SOURCE_KEY_TEXT = 13;
export const SOURCE_EXTREME_TEXT = 14;
export const SOURCE_PICKED_8 = 15;
export const SOURCE_PICKED_16 = 16;
export const SOURCE_PICKED_TEXT = 17;
