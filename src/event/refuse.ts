// What a reject says: the kernel's codes to the words of the outside contract. Pure.
import * as L from "../../kernels/abi.ts";
import { must, unreachable } from "../base/assert.ts";
import type { Reject, RejectReason } from "./reject.ts";
import { sqlTypeText, type EventColumn, type EventSchema } from "./schema.ts";

/** A reject as the kernel notes it (REJECT_* of kernels/abi.ts). */
export interface RejectedEvent {
  readonly reason: number;
  /** Ordinal of the declared member, or FIELD_NONE. */
  readonly field: number;
  readonly index: number;
  /** Where grammar broke, in bytes from the event's first. */
  readonly offset: number;
  /** Bytes of the event, before `raw` was cut. */
  readonly bytes: number;
  readonly raw: Uint8Array;
  /** Name of an undeclared member at fault. */
  readonly name: string | null;
}

/** Bounds that a reject may be about. */
interface RejectBounds {
  readonly eventBytesMax: number;
  readonly bodyRejectsMax: number;
}

/** Reasons that decode can give, by the kernel's code. */
const REASONS = new Map<number, RejectReason>([
  [L.REASON_BAD_JSON, "bad_json"],
  [L.REASON_BAD_UTF8, "bad_utf8"],
  [L.REASON_NOT_AN_OBJECT, "not_an_object"],
  [L.REASON_DUPLICATE_MEMBER, "duplicate_member"],
  [L.REASON_MISSING_MEMBER, "missing_member"],
  [L.REASON_WRONG_TYPE, "wrong_type"],
  [L.REASON_OUT_OF_RANGE, "out_of_range"],
  [L.REASON_BAD_TIME, "bad_time"],
  [L.REASON_UNKNOWN_SYMBOL, "unknown_symbol"],
  [L.REASON_TOO_DEEP, "too_deep"],
  [L.REASON_TOO_LARGE, "too_large"],
  [L.REASON_TOO_MANY_REJECTS, "too_many_rejects"],
]);

/** What JSON a column takes. */
function expectedOf(column: EventColumn): string {
  const orNull = column.nullable ? " or null" : "";
  if (column.decoding.kind === "enum")
    return `one of ${column.decoding.symbols.join(", ")}${orNull}`;
  switch (column.type.kind) {
    case "BOOLEAN":
      return `true or false${orNull}`;
    case "INTEGER":
    case "BIGINT":
      return `an integer without fraction or exponent (${column.type.kind})${orNull}`;
    case "FLOAT":
    case "DOUBLE":
      return `a number (${column.type.kind})${orNull}`;
    case "VARCHAR":
      return `a string${orNull}`;
    case "DATE":
      return `a date "YYYY-MM-DD" or days since the epoch${orNull}`;
    case "TIMESTAMPTZ":
      return `an ISO-8601 time or an integer of ${
        column.decoding.kind === "epoch_ms" ? "milliseconds" : "microseconds"
      } since the epoch${orNull}`;
    case "DECIMAL":
      return `a number, or a number in a string (${sqlTypeText(column.type)})${orNull}`;
    default:
      return unreachable(column.type);
  }
}

function rangeOf(column: EventColumn): string {
  if (column.type.kind === "TIMESTAMPTZ" || column.type.kind === "DATE")
    return "lies outside of the years 1 to 9999";
  const fraction = column.type.kind === "DECIMAL" ? ", fraction digits included" : "";
  return `does not fit ${sqlTypeText(column.type)}${fraction}`;
}

function messageOf(
  reason: RejectReason,
  event: RejectedEvent,
  column: EventColumn | undefined,
  bounds: RejectBounds,
): string {
  const named = JSON.stringify(column?.name ?? event.name ?? "event");
  switch (reason) {
    case "bad_json":
      return `JSON breaks at byte ${event.offset} of this text`;
    case "bad_utf8":
      return "a string is not valid UTF-8, or has a \\u escape of half a surrogate pair";
    case "not_an_object":
      return "an event must be a JSON object";
    case "duplicate_member":
      return `member ${named} occurs twice`;
    case "missing_member":
      return `member ${named} is missing; it must be ${column ? expectedOf(column) : "there"}`;
    case "wrong_type":
      return `member ${named} must be ${column ? expectedOf(column) : "another type"}`;
    case "out_of_range":
      return `the value of member ${named} ${column ? rangeOf(column) : "is out of range"}`;
    case "bad_time":
      return `the value of member ${named} is no date or time that exists; it must be ${
        column ? expectedOf(column) : "a time"
      }`;
    case "unknown_symbol":
      return `the value of member ${named} must be ${column ? expectedOf(column) : "a symbol"}`;
    case "too_deep":
      return `objects and arrays are nested deeper than ${L.DEPTH_MAX}`;
    case "too_large":
      return event.bytes > bounds.eventBytesMax
        ? `the event has ${event.bytes} bytes, at most ${bounds.eventBytesMax} are taken`
        : `the event has more than ${L.UNDECLARED_MAX} undeclared members`;
    case "too_many_rejects":
      return `${bounds.bodyRejectsMax} events before this one were refused: it and all that follows in the request, ${event.bytes} bytes, is one reject that nobody looked at; mend the producer and send the events from index ${event.index} on again`;
    case "too_far_in_future":
    case "too_far_in_past":
      return "admission decides this";
    default:
      return unreachable(reason);
  }
}

/** The reject that people and dead letters see. */
export function rejectOf(event: RejectedEvent, schema: EventSchema, bounds: RejectBounds): Reject {
  const column = event.field === L.FIELD_NONE ? undefined : schema.columns[event.field];
  const reason = must(REASONS.get(event.reason), `reason ${event.reason}`);
  return {
    index: event.index,
    reason,
    field: column?.name ?? event.name,
    message: messageOf(reason, event, column, bounds),
    raw: event.raw,
  };
}
