// Bounds of HTTP with the arithmetic that gave them, and what happens when they are reached.

/** Largest gzip body that libdeflate may inflate unbounded: 64 KiB x 1,032 (deflate's best ratio) = 66 MB. Larger ones go a bounded, slower way. */
export const GZIP_FAST_BYTES_MAX = 64 * 1024;

/** Bodies that are coming in, all connections together, bytes: 16 of the largest, or a thousand of 1,000 events. Beyond it 503. */
export const BODIES_BYTES_MAX = 256 * 1024 * 1024;

/** Seconds without a byte after which an HTTP connection is closed: longer than any pause between a keep-alive client's requests. */
export const IDLE_TIMEOUT_S = 120;

/** Seconds that a client has to take the last answer of a connection that ends. */
export const END_TIMEOUT_S = 5;

/** ms from a request's first byte to its last: 16 MB at 140 KB/s. Slower ones are answered 408: a few could hold all connections. */
export const REQUEST_TIMEOUT_MS = 120_000;

/** Open files that HTTP connections leave to the rest (log, tables, questions: some 60 in work); at most half of what the system allows. */
export const OPEN_FILES_RESERVE = 512;
