// Part of kernels/abi.ts: what the export module and its host (src/table) share.

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

/** Padding after every buffer of export memory: text kernels copy 16 and read 8 bytes at a time. */
export const EXPORT_PADDING_BYTES = 64;
