// Bounds of a run over sessions.
import { DAY_US } from "../base/iso-time.ts";

/** Late events that are read at once: 50 bytes each, of the 64 MB that an answer may have. */
export const LATE_PAGE_EVENTS = 200_000;

/** Late events that are brought in together: their keys stand in each question, which may have 1 MB. */
export const SESSION_CHUNK_LATE = 2_000;

/** How far apart, µs, such events may be: raw events lie in files by day, and those of the same keys in between are read too. */
export const SESSION_CHUNK_US = DAY_US;

/** Gaps around late events that are read at first; then twice as much, until sessions end within what is read. */
export const SESSION_MARGIN_GAPS = 4n;
