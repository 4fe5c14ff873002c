// One JSON value into a row's slot, by the kind of its column. Fails with a reason and leaves grammar to the checker: whatever a
// parser here does not understand is looked at again by skip.ts.
import {
  FIELD_BYTES,
  FIELD_KIND,
  FIELD_NONE,
  FIELD_ORDINAL,
  FIELD_SLOT,
  FIELD_SYMBOLS_AT,
  FIELD_SYMBOLS_MASK,
  KIND_BOOL,
  KIND_DATE,
  KIND_DECIMAL128,
  KIND_DECIMAL64,
  KIND_DOUBLE,
  KIND_ENUM,
  KIND_FLOAT,
  KIND_INT,
  KIND_LONG,
  KIND_STRING,
  KIND_TIME_MS,
  KIND_TIME_US,
  REASON_BAD_TIME,
  REASON_BAD_UTF8,
  REASON_OUT_OF_RANGE,
  REASON_TOO_LARGE,
  REASON_UNKNOWN_SYMBOL,
  REASON_WRONG_TYPE,
  ROW_VALID,
} from "../../kernels/abi";
import { decimalHigh, decimalLow, parseDecimal } from "./decimal";
import { double, parseDouble } from "./double";
import { findName } from "./names";
import { integer, parseLong } from "./number";
import { numberEnd } from "./skip";
import * as S from "./state";
import { escaped, special, stringEnd, unescape, unescapedBytes } from "./text";
import {
  days,
  DAYS_END,
  DAYS_MIN,
  micros,
  MICROS_END,
  MICROS_MIN,
  parseDate,
  parseMillisZ,
  parseTime,
} from "./time";

/** Set by `parseText`: the text without escapes. */
export let textAt: usize = 0;
export let textBytes: u32 = 0;

/** The byte after the string whose opening quote is at `p`, its text in `textAt`; 0 when it is faulty. */
export function parseText(p: usize): usize {
  p++;
  const quick = special(p);
  if (load<u8>(quick) == 34) {
    textAt = p;
    textBytes = <u32>(quick - p);
    return quick + 1;
  }
  let end: usize = 0;
  if (load<u8>(quick) != 92) {
    end = stringEnd(quick);
    if (end == 0) return S.fail(REASON_WRONG_TYPE, FIELD_NONE);
    if (S.softReason) return S.fail(REASON_BAD_UTF8, FIELD_NONE);
    textAt = p;
    textBytes = <u32>(end - p);
    if (!escaped) return end + 1;
  }
  // No room is left only for an event that is too large anyway.
  end = unescape(p, quick, S.arenaNext, S.arenaEnd - 64);
  if (end == 0) return S.fail(S.softReason ? REASON_BAD_UTF8 : REASON_TOO_LARGE, FIELD_NONE);
  textAt = S.arenaNext;
  textBytes = unescapedBytes;
  S.setArenaNext(S.arenaNext + textBytes);
  return end + 1;
}

function wrongType(): usize {
  return S.fail(REASON_WRONG_TYPE, FIELD_NONE);
}

function timeValue(p: usize, slot: usize, unit: i64): usize {
  if (load<u8>(p) != 34) {
    p = parseLong(p);
    if (p == 0) return 0;
    if (integer < MICROS_MIN / unit || integer >= MICROS_END / unit)
      return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
    store<i64>(slot, integer * unit);
    return p;
  }
  if (parseMillisZ(p + 1)) {
    store<i64>(slot, micros);
    return p + 26;
  }
  p = parseText(p);
  if (p == 0) return 0;
  if (!parseTime(textAt, textAt + textBytes)) return S.fail(REASON_BAD_TIME, FIELD_NONE);
  if (micros < MICROS_MIN || micros >= MICROS_END) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
  store<i64>(slot, micros);
  return p;
}

function dateValue(p: usize, slot: usize): usize {
  if (load<u8>(p) != 34) {
    p = parseLong(p);
    if (p == 0) return 0;
    if (integer < DAYS_MIN || integer >= DAYS_END) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
    store<i64>(slot, integer);
    return p;
  }
  p = parseText(p);
  if (p == 0) return 0;
  if (textBytes != 10 || !parseDate(textAt)) return S.fail(REASON_BAD_TIME, FIELD_NONE);
  store<i64>(slot, days);
  return p;
}

/** A decimal as a JSON number, or as a JSON string that holds one. */
function decimalValue(p: usize, slot: usize, field: usize): usize {
  let end: usize;
  if (load<u8>(p) == 34) {
    end = parseText(p);
    if (end == 0) return 0;
    // Escapes leave the text in the arena, where no quote ends it.
    const stop = textAt + textBytes;
    if (textAt != p + 1) store<u8>(stop, 0);
    if (numberEnd(textAt) != stop) return wrongType();
    if (parseDecimal(textAt, field) == 0) return 0;
  } else {
    end = parseDecimal(p, field);
    if (end == 0) return 0;
  }
  store<u64>(slot, decimalLow);
  if (load<u8>(field, FIELD_KIND) == KIND_DECIMAL128) store<u64>(slot, decimalHigh, 8);
  return end;
}

function floatValue(p: usize, slot: usize): usize {
  p = parseDouble(p, REASON_WRONG_TYPE);
  if (p == 0) return 0;
  const value = <f32>double;
  if (abs(value) == Infinity) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
  store<u64>(slot, 0);
  store<f32>(slot, value);
  return p;
}

function boolValue(p: usize, slot: usize): usize {
  const word = load<u32>(p);
  if (word == 0x65757274) {
    store<u64>(slot, 1);
    return p + 4;
  }
  if (word == 0x736c6166 && load<u8>(p, 4) == 101) {
    store<u64>(slot, 0);
    return p + 5;
  }
  return wrongType();
}

function enumValue(p: usize, slot: usize, field: usize): usize {
  if (load<u8>(p) != 34) return wrongType();
  p = parseText(p);
  if (p == 0) return 0;
  const table = load<u32>(field, FIELD_SYMBOLS_AT);
  const code = findName(table, load<u32>(field, FIELD_SYMBOLS_MASK), textAt, textBytes);
  if (code < 0) return S.fail(REASON_UNKNOWN_SYMBOL, FIELD_NONE);
  store<u64>(slot, code);
  return p;
}

function intValue(p: usize, slot: usize): usize {
  p = parseLong(p);
  if (p == 0) return 0;
  if (integer != <i64>(<i32>integer)) return S.fail(REASON_OUT_OF_RANGE, FIELD_NONE);
  store<i64>(slot, integer);
  return p;
}

/** The value at `p` into the slot; returns the byte after it, or 0 with a reason. `kind` is FIELD_KIND. Null is not known here. */
export function parseValue(p: usize, kind: u32, field: usize, slot: usize): usize {
  if (kind == KIND_STRING) {
    if (load<u8>(p) != 34) return wrongType();
    p = parseText(p);
    if (p == 0) return 0;
    store<u64>(slot, (<u64>textAt) | ((<u64>textBytes) << 32));
    return p;
  }
  switch (kind) {
    case KIND_TIME_MS:
      return timeValue(p, slot, 1000);
    case KIND_TIME_US:
      return timeValue(p, slot, 1);
    case KIND_LONG: {
      p = parseLong(p);
      if (p) store<i64>(slot, integer);
      return p;
    }
    case KIND_INT:
      return intValue(p, slot);
    case KIND_DECIMAL64:
    case KIND_DECIMAL128:
      return decimalValue(p, slot, field);
    case KIND_DOUBLE: {
      p = parseDouble(p, REASON_WRONG_TYPE);
      if (p) store<f64>(slot, double);
      return p;
    }
    case KIND_FLOAT:
      return floatValue(p, slot);
    case KIND_BOOL:
      return boolValue(p, slot);
    case KIND_ENUM:
      return enumValue(p, slot, field);
    case KIND_DATE:
      return dateValue(p, slot);
    default:
      return wrongType();
  }
}

/** `parseValue` for a field (FIELD_*) of the row at `row`; a failure names the field. */
export function parseField(p: usize, field: usize, row: usize): usize {
  const end = parseValue(p, load<u8>(field, FIELD_KIND), field, row + load<u32>(field, FIELD_SLOT));
  return end ? end : S.fail(S.failReason, load<u32>(field, FIELD_ORDINAL));
}

/**
 * Parses a default value into the row at `row`, text without escapes to `arena`, which has room for the value's text and 64 bytes more.
 * Returns the byte after it, or 0.
 */
export function parseDefault(p: usize, ordinal: u32, row: usize, arena: usize): usize {
  S.setSoftReason(0);
  const arenaEnd = S.arenaEnd;
  S.setArenaNext(arena);
  S.setArenaEnd(usize.MAX_VALUE);
  const end = parseField(p, S.fieldsAt + ordinal * FIELD_BYTES, row);
  S.setArenaEnd(arenaEnd);
  const word = row + ROW_VALID + ((ordinal >> 6) << 3);
  if (end) store<u64>(word, load<u64>(word) | ((<u64>1) << (ordinal & 63)));
  return end;
}
