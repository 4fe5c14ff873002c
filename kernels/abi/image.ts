// Part of kernels/abi.ts: the batch image.
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
