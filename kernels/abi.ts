// The contract between the host (TypeScript) and the kernels (AssemblyScript), in one file: both sides import these constants.
// AssemblyScript compiles this file too, so it holds integer constants only. All numbers are little-endian; all structures start
// on a multiple of 8 bytes. Addresses are byte offsets into the WASM memory of the instance at hand.
//
// ## Four modules, each with a memory of its own (assembly/<module>/index.ts is its export list; host.ts instantiates them)
//   decode   bodies of producers in, batch images out. Holds untrusted bytes: a wild store here cannot reach state.
//   admit    ids and watermarks (admission state).
//   fold     open windows of all views; batch columns that views use are copied in.
//   export   Parquet pages (export thread).
// All memories are shared ones (SharedArrayBuffer): main writes bodies into `decode`, log reads images out of it.
//
// ## Batch image
// The one layout of columns in Millrace: what decode makes, the log stores (compressed), views fold, closed rows travel in, and
// the query process reads. Offsets inside an image are relative to its first byte, so that an image can be copied anywhere.
//
//   header        IMAGE_HEADER_BYTES
//   descriptors   columnCount x COLUMN_BYTES
//   buffers       each starts on a multiple of 8; stored buffers first, transient ones (none today) after `storedBytes`
//
// Buffers follow Arrow's columnar format (https://arrow.apache.org/docs/format/Columnar.html): validity bitmaps LSB first with
// 1 = valid, booleans as bitmaps, int32 offsets with rowCount + 1 entries, dictionary codes as uint32.
// Values in null slots are zero (empty for strings), so equal batches are equal bytes.

/** "MRB1": first four bytes of a batch image. */
export const IMAGE_MAGIC = 0x3142524d;
export const IMAGE_HEADER_BYTES = 32;
/** u32 magic */
export const IMAGE_MAGIC_AT = 0;
/** u32 number of rows */
export const IMAGE_ROWS_AT = 4;
/** u32 number of columns */
export const IMAGE_COLUMNS_AT = 8;
/** u32 bytes of the image with all transient buffers; a multiple of 8 */
export const IMAGE_TOTAL_BYTES_AT = 12;
/** u32 bytes that are stored in the log; what lies after can be recomputed; a multiple of 8 */
export const IMAGE_STORED_BYTES_AT = 16;

/** Bytes 32 to 48 of a descriptor are zero. */
export const COLUMN_BYTES = 48;
/** u8 physical type, one of PHYSICAL_* */
export const COLUMN_PHYSICAL_AT = 0;
/** u8 encoding, one of ENCODING_* */
export const COLUMN_ENCODING_AT = 1;
/** u32 number of nulls; 0 = no validity buffer */
export const COLUMN_NULLS_AT = 4;
/** u32 offset of the validity bitmap; 0 = every value is valid */
export const COLUMN_VALIDITY_AT = 8;
/**
 * u32 offset of the values: fixed-width values, a bitmap (BOOL), int32 offsets (UTF8 plain), uint32 codes (UTF8 dictionary).
 * 0 = every value is zero (used by `_behind`, which is zero for nearly every batch).
 */
export const COLUMN_VALUES_AT = 12;
/** u32 offset and u32 length of the UTF-8 bytes (plain: of the rows, dictionary: of the entries) */
export const COLUMN_TEXT_AT = 16;
export const COLUMN_TEXT_BYTES_AT = 20;
/** u32 number of dictionary entries, and offset of their int32 offsets (entries + 1). A dictionary's entries are distinct. */
export const COLUMN_DICT_COUNT_AT = 24;
export const COLUMN_DICT_OFFSETS_AT = 28;

/** Fixed-width and text layouts that kernels know. SQL types map to them in src/event/schema.ts. */
export const PHYSICAL_BOOL = 1;
export const PHYSICAL_I32 = 2;
export const PHYSICAL_I64 = 3;
export const PHYSICAL_F32 = 4;
export const PHYSICAL_F64 = 5;
/** two's complement, 16 bytes, little-endian: DECIMAL of 19 to 38 digits */
export const PHYSICAL_I128 = 6;
export const PHYSICAL_UTF8 = 7;

export const ENCODING_PLAIN = 0;
export const ENCODING_DICTIONARY = 1;

// ## Addresses
// The first KERNEL_STATIC_BYTES of every memory belong to AssemblyScript's static data; the host allocates above.
export const KERNEL_STATIC_BYTES = 1048576;
/** Readable bytes that must follow any input that SIMD kernels scan: they load 32 bytes at a time and may look past the end. */
export const SCAN_PADDING_BYTES = 64;

// ## Admission verdicts, one byte per decoded row
export const VERDICT_ACCEPTED = 0;
export const VERDICT_DUPLICATE = 1;
/** event time > received_at + max_future */
export const VERDICT_FUTURE = 2;
/** event time older than max_past before the newest seen */
export const VERDICT_PAST = 3;

// ## Dictionary of a column chunk (export module): header of u32 each; the host sets all but the two counters
export const DICTIONARY_HEADER_BYTES = 32;
/** number of slots, a power of two, at least twice the entries allowed */
export const DICTIONARY_SLOT_COUNT_AT = 0;
export const DICTIONARY_ENTRIES_MAX_AT = 4;
/** entries so far; codes are 0 to entries - 1 */
export const DICTIONARY_ENTRIES_AT = 8;
export const DICTIONARY_TEXT_BYTES_MAX_AT = 12;
/** bytes of text so far, lengths included */
export const DICTIONARY_TEXT_BYTES_AT = 16;
/** addresses: slots (8 bytes each), offsets into the text (u32 each), text (u32 length and bytes per entry; 16 bytes of padding) */
export const DICTIONARY_SLOTS_AT = 20;
export const DICTIONARY_OFFSETS_AT = 24;
export const DICTIONARY_TEXT_AT = 28;

// ## Admission: the stream block
// One block per stream in the memory of `admit`, made by the host (src/admit/admission.ts), read and changed by the kernels. Times of
// events are i64 µs, `received_at` is i64 ms. Absent durations are -1; an absent watermark or newest time is the lowest i64.
export const STREAM_BYTES = 192;
/** i64 µs: max over admitted events of min(event time, received_at), minus out-of-orderness */
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
/** u32 address of the id table's directory, u32 its depth in bits, u32 the depth that it has room for */
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

/** A page of the admit memory: of an id table, or of a delta. */
export const ADMIT_PAGE_BYTES = 4096;
/** An id as stored: u64 and u32 of its hash, u32 received_at in ms modulo 2^32. */
export const ID_ENTRY_BYTES = 16;
/** Slots of an id page: 14 groups of 16. */
export const ID_PAGE_SLOTS = 224;
/** Bytes of a directory slot: u32 addresses of up to three pages, u8 number of pages, u8 depth. */
export const DIRECTORY_SLOT_BYTES = 16;
