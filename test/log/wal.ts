// What tests know of SQLite's -wal: where its frames end. Zeros that the log wrote ahead follow.
import { readFileSync } from "node:fs";
import { LOG_PAGE_BYTES } from "../../src/limits.ts";

export const WAL_HEADER_BYTES = 32;
export const FRAME_BYTES = 24 + LOG_PAGE_BYTES;

/** Bytes up to the end of the last frame. A frame begins with its page number, which is never 0. */
export function walEnd(path: string): number {
  const bytes = readFileSync(path);
  let end = WAL_HEADER_BYTES;
  while (end + FRAME_BYTES <= bytes.length && bytes.readUInt32BE(end) !== 0) end += FRAME_BYTES;
  return end;
}
