// Noun: a bad event. Bad input is a value, never an exception; a reject keeps the raw bytes, so that nothing is lost.
import { ANSWER_ERRORS_MAX } from "../limits.ts";

/** Why an event was refused. The text is part of the outside contract: producers branch on it. */
export type RejectReason =
  | "bad_json"
  | "bad_utf8"
  | "not_an_object"
  | "duplicate_member"
  | "missing_member"
  | "wrong_type"
  | "out_of_range"
  | "bad_time"
  | "unknown_symbol"
  | "too_deep"
  | "too_large"
  | "too_many_rejects"
  | "too_far_in_future"
  | "too_far_in_past";

/** One refused event. `index` counts events (or lines) within the request from 0. `raw` is cut to `limits.rejectRawBytesMax`. */
export interface Reject {
  readonly index: number;
  readonly reason: RejectReason;
  /** The member at fault, or null when the event as a whole is. */
  readonly field: string | null;
  /** One sentence for people: what was found and what was expected. */
  readonly message: string;
  readonly raw: Uint8Array;
}

/**
 * The errors that an answer lists: the first ANSWER_ERRORS_MAX, the last of which gives its place to the one that says that the rest of the
 * body was not looked at. `errors` are in the order of their events.
 */
export function listedErrors<E extends Pick<Reject, "reason">>(errors: readonly E[]): E[] {
  const last = errors.at(-1);
  const isCut = errors.length > ANSWER_ERRORS_MAX && last?.reason === "too_many_rejects";
  if (!isCut) return errors.slice(0, ANSWER_ERRORS_MAX);
  return [...errors.slice(0, ANSWER_ERRORS_MAX - 1), last];
}
