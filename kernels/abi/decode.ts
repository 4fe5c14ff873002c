// Part of kernels/abi.ts: the structures that the decode module and its host (src/event/decode*.ts) share. Fields are u32 unless said
// otherwise. Addresses are absolute in the decode memory.

// ## Room: one per instance, written by the host once, read by `configure`.
/** rows of the batch being parsed, and their bytes */
export const ROOM_ROWS_AT = 0;
export const ROOM_ROWS_BYTES = 4;
export const ROOM_ROWS_MAX = 8;
/** unescaped strings and `attrs` texts of the batch: at least image bytes + event bytes + 64 */
export const ROOM_ARENA_AT = 12;
export const ROOM_ARENA_BYTES = 16;
/** unescaped member names of one event: at least event bytes + 64 */
export const ROOM_NAMES_AT = 20;
/** rejects of one batch: ROOM_REJECTS_MAX x REJECT_BYTES */
export const ROOM_REJECTS_AT = 24;
export const ROOM_REJECTS_MAX = 28;
/** SCRATCH_BYTES of working room, and GATHER_BYTES_PER_ROW x rowsMax + GATHER_BYTES for sealing */
export const ROOM_SCRATCH_AT = 32;
export const ROOM_GATHER_AT = 36;
export const ROOM_EVENT_BYTES_MAX = 40;
export const ROOM_IMAGE_BYTES_MAX = 44;
/** 651 x 16 bytes: the powers of five of double.ts */
export const ROOM_POWERS_AT = 48;
/** where `parse` and `seal` leave their results: RESULT_* */
export const ROOM_RESULT_AT = 52;
/** raw bytes kept of one reject, and of all rejects of a batch before the batch counts as full */
export const ROOM_RAW_BYTES_MAX = 56;
export const ROOM_RAW_TOTAL_MAX = 60;
/** rows that the room for sealing was laid out for, a multiple of 64 */
export const ROOM_GATHER_ROWS = 64;
/** rejects of one body, after which all that follows is one more */
export const ROOM_BODY_REJECTS_MAX = 68;
export const ROOM_BYTES = 128;

// ## Result of `parse`
/** address of the next byte to parse, number of events seen in this body, and state: the cursor */
export const RESULT_NEXT = 0;
export const RESULT_INDEX = 4;
export const RESULT_STATE = 8;
/** rows and rejects in the batch */
export const RESULT_ROWS = 12;
export const RESULT_REJECTS = 16;
/** STATUS_NEED_DOUBLES: where the list of numbers is, DOUBLE_BYTES each, and how many there are */
export const RESULT_DOUBLES_AT = 20;
export const RESULT_DOUBLES = 24;
/** of `seal`: rows, stored bytes */
export const RESULT_SEALED_ROWS = 28;
export const RESULT_STORED_BYTES = 32;
export const RESULT_BYTES = 64;

/** The body is used up. */
export const STATUS_DONE = 0;
/** Rows, image or rejects of this batch are full: go on from the cursor in the next one. */
export const STATUS_ROOM = 1;
/** The host must write the values of the listed numbers into the list, and call again from the cursor. */
export const STATUS_NEED_DOUBLES = 2;

// ## States of a body
export const STATE_NDJSON = 0;
export const STATE_JSON = 1;
export const STATE_SINGLE = 2;
export const STATE_ARRAY_FIRST = 3;
export const STATE_ARRAY_ELEMENT = 4;
export const STATE_ARRAY_NEXT = 5;
export const STATE_AFTER = 6;
/** added to ARRAY_* while the array is the value of an envelope */
export const STATE_ENVELOPE = 16;
/** the state's bits from here on count the rejects that the body had so far */
export const STATE_REJECTS_SHIFT = 8;

// ## Reject
export const REJECT_BYTES = 32;
export const REJECT_REASON = 0;
/** ordinal of the declared member, or FIELD_NONE */
export const REJECT_FIELD = 4;
export const REJECT_INDEX = 8;
export const REJECT_RAW_AT = 12;
export const REJECT_RAW_BYTES = 16;
/** name of an undeclared member at fault, as it was sent, or 0 */
export const REJECT_NAME_AT = 20;
export const REJECT_NAME_BYTES = 24;
/** where grammar broke, relative to the event's first byte */
export const REJECT_OFFSET = 28;
export const FIELD_NONE = 0xffff;

/** why an event fails; 0 = it does not */
export const REASON_BAD_JSON = 1;
export const REASON_BAD_UTF8 = 2;
export const REASON_NOT_AN_OBJECT = 3;
export const REASON_DUPLICATE_MEMBER = 4;
export const REASON_MISSING_MEMBER = 5;
export const REASON_WRONG_TYPE = 6;
export const REASON_OUT_OF_RANGE = 7;
export const REASON_BAD_TIME = 8;
export const REASON_UNKNOWN_SYMBOL = 9;
export const REASON_TOO_DEEP = 10;
export const REASON_TOO_LARGE = 11;
export const REASON_TOO_MANY_REJECTS = 12;

// ## Schema block, written by the host
export const SCHEMA_FIELD_COUNT = 0;
/** fields, FIELD_BYTES each: the declared members, then `attrs` */
export const SCHEMA_FIELDS_AT = 4;
/** bytes of a row, and u64 words of its validity bits */
export const SCHEMA_STRIDE = 8;
export const SCHEMA_WORDS = 12;
/** open-addressing table of member names, NAME_BYTES a slot, and its mask */
export const SCHEMA_NAMES_AT = 16;
export const SCHEMA_NAMES_MASK = 20;
/** a row that holds the default values and their validity bits */
export const SCHEMA_DEFAULTS_AT = 24;
/** words of bits: members that must be there (no null, no default) */
export const SCHEMA_REQUIRED_AT = 28;
/** TEMPLATE_BYTES + (fields + 1) x STEP_BYTES */
export const SCHEMA_TEMPLATE_AT = 32;
/** 1 when the schema declares a member named `events`: then there is no envelope */
export const SCHEMA_EVENTS_DECLARED = 36;
export const SCHEMA_TIME_FIELD = 40;
/** ordinal of the event id, or FIELD_NONE */
export const SCHEMA_ID_FIELD = 44;
/** bytes of an image without any text: per image, and per row */
export const SCHEMA_IMAGE_FIXED = 48;
export const SCHEMA_IMAGE_PER_ROW = 52;
export const SCHEMA_BYTES = 64;

export const FIELD_BYTES = 64;
/** u8 */
export const FIELD_KIND = 0;
/** u8 */
export const FIELD_NULLABLE = 1;
/** u8 digits after the point of a decimal */
export const FIELD_SCALE = 2;
/** u8 one of PHYSICAL_* */
export const FIELD_PHYSICAL = 3;
/** offset of the value in a row */
export const FIELD_SLOT = 4;
export const FIELD_ORDINAL = 8;
/** table of enum symbols like the member names', and its mask; the symbols' text: (address, bytes) each */
export const FIELD_SYMBOLS_AT = 12;
export const FIELD_SYMBOLS_MASK = 16;
export const FIELD_SYMBOL_TEXTS_AT = 20;
export const FIELD_SYMBOL_COUNT = 24;
/** batches for which a dictionary is not tried: kernel-owned */
export const FIELD_DICTIONARY_REST = 28;
/** u64 x 2: largest unscaled value of a decimal, 10^precision - 1, low word first */
export const FIELD_DECIMAL_MAX = 32;

export const KIND_STRING = 0;
export const KIND_TIME_MS = 1;
export const KIND_TIME_US = 2;
export const KIND_LONG = 3;
export const KIND_INT = 4;
export const KIND_DECIMAL64 = 5;
export const KIND_DECIMAL128 = 6;
export const KIND_DOUBLE = 7;
export const KIND_FLOAT = 8;
export const KIND_BOOL = 9;
export const KIND_ENUM = 10;
export const KIND_DATE = 11;

/** A slot of a name table: u64 first bytes, u64 last bytes, address, bytes, value + 1 (0 = empty slot). */
export const NAME_BYTES = 32;
export const NAME_FIRST = 0;
export const NAME_LAST = 8;
export const NAME_AT = 16;
export const NAME_LENGTH = 20;
export const NAME_VALUE = 24;

// ## Row: event text, index in the request, validity words, one 8-byte slot per field (16 for DECIMAL of 38 digits). A string's slot
// is its address and its bytes; an enum's the symbol's ordinal.
export const ROW_EVENT_AT = 0;
export const ROW_EVENT_BYTES = 4;
export const ROW_INDEX = 8;
export const ROW_VALID = 16;

// ## Template: the shape of the last event that the general path learned, so that the next one like it is parsed without looking
// members up. Each step holds the exact bytes before a value.
export const TEMPLATE_COUNT = 0;
export const TEMPLATE_MISSES = 4;
/** ordinals of absent members, u16 each, and their number */
export const TEMPLATE_ABSENT_COUNT = 8;
export const TEMPLATE_VALID = 16;
export const TEMPLATE_ABSENT = 64;
export const TEMPLATE_BYTES = 640;
export const STEP_BYTES = 112;
/** a step begins with the text before the value; v128: which of the first 16 bytes count */
export const STEP_MASK = 64;
export const STEP_LENGTH = 80;
export const STEP_KIND = 84;
export const STEP_SLOT = 88;
export const STEP_FIELD = 92;

// ## Limits that are in the structures
/** declared members of a stream: validity bits fit TEMPLATE_VALID, ordinals TEMPLATE_ABSENT */
export const COLUMNS_MAX = 256;
/** undeclared members of one event: their names are compared pairwise */
export const UNDECLARED_MAX = 256;
/** nesting that is rejected as too_deep, the event itself being 1 */
export const DEPTH_MAX = 64;
/** nesting that ends a body: the grammar checker's stack */
export const DEPTH_HARD_MAX = 65536;
/** longest text before a value that a template holds */
export const PREFIX_MAX = 64;

export const SCRATCH_STACK = 0;
export const SCRATCH_SEEN = 65792;
/** what the general path saw: (end of the value before, start of the value, field) each, for the template */
export const SCRATCH_LEARN = 65856;
/** undeclared members: hash u64, name address, name bytes, text address, text bytes */
export const SCRATCH_UNDECLARED = 69632;
export const UNDECLARED_BYTES = 24;
/** numbers of the event at hand that the host converts: address, bytes, f64 */
export const SCRATCH_DOUBLES = 75776;
export const DOUBLE_BYTES = 16;
export const DOUBLE_VALUE = 8;
export const SCRATCH_BYTES = 81920;

/** per row: verdict u8, behind i64, row address u32, dictionary entry 16, slots 8, ids 16, times 8, validity bits */
export const GATHER_BYTES_PER_ROW = 65;
export const GATHER_BYTES = 4096;
