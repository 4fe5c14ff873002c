// Limits of shipping, with their arithmetic.

/** Bytes of a file that are one object: fifteen a second on a line of 1 Gbit/s, and four of them on the way are 32 MB of memory. */
export const CHUNK_BYTES = 8 * 1024 * 1024;
/** Chunks on the way to the store at a time. */
export const UPLOADS_MAX = 4;
/** Objects on the way from the store at a time, 8 MB each: no others want the line of a machine that is restored. */
export const DOWNLOADS_MAX = 8;
/** Objects being removed at a time. */
export const REMOVALS_MAX = 8;
/** Bytes of records in one segment, but for a record that is larger. */
export const SEGMENT_BYTES = 8 * 1024 * 1024;
/** Bytes of a segment, however large its last record is: bodies of 4 MB and rejects of 4 MB, or the rows of a reconcile. */
export const SEGMENT_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes of a note: some 120 a file and as many a chunk, so a manifest of two million of each, and one text of the runtime. */
export const NOTE_BYTES_MAX = 512 * 1024 * 1024;
/** Bytes of a page of a listing: a thousand keys of 1 KB at most, which escapes make three times as long, with what is said of each; also of any other answer. */
export const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
/** How often a request is tried before its failure is told: the store's own advice for 500, 503 and cut connections. */
export const REQUEST_TRIES = 3;
/** Wait before the second try; four times as long before the third. */
export const REQUEST_RETRY_MS = 250;
/** A request may take this long, and a millisecond more for each ... */
export const REQUEST_TIMEOUT_MS = 30_000;
/** ... bytes that it moves: 100 KB/s, below which nothing would ever be shipped. */
export const REQUEST_BYTES_PER_MS = 100;
/** Longest wait after failures, µs: what the store gives back is seen that soon. */
export const SHIP_RETRY_US_MAX = 30_000_000;
/** First wait after a failure, µs. */
export const SHIP_RETRY_US_MIN = 1_000_000;
