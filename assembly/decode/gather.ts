// Rows to a batch image (kernels/abi.ts): the ids and times that admission asks for, then the columns of the rows that it accepted.
import {
  COLUMN_BYTES,
  COLUMN_DICT_COUNT_AT,
  COLUMN_DICT_OFFSETS_AT,
  COLUMN_ENCODING_AT,
  COLUMN_NULLS_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_TEXT_AT,
  COLUMN_TEXT_BYTES_AT,
  COLUMN_VALIDITY_AT,
  COLUMN_VALUES_AT,
  ENCODING_DICTIONARY,
  FIELD_BYTES,
  FIELD_DICTIONARY_REST,
  FIELD_KIND,
  FIELD_NONE,
  FIELD_NULLABLE,
  FIELD_PHYSICAL,
  FIELD_SLOT,
  FIELD_SYMBOL_COUNT,
  FIELD_SYMBOL_TEXTS_AT,
  IMAGE_COLUMNS_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_MAGIC,
  IMAGE_MAGIC_AT,
  IMAGE_ROWS_AT,
  IMAGE_STORED_BYTES_AT,
  IMAGE_TOTAL_BYTES_AT,
  KIND_ENUM,
  KIND_STRING,
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  PHYSICAL_UTF8,
  RESULT_SEALED_ROWS,
  RESULT_STORED_BYTES,
  ROW_VALID,
  SCHEMA_ID_FIELD,
  SCHEMA_TIME_FIELD,
  VERDICT_ACCEPTED,
} from "../../kernels/abi";
import { sipHash128 } from "../base/siphash";
import { rows } from "./body";
import { hashText } from "./names";
import * as S from "./state";
import { copyText, sameBytes } from "./text";

/** Batches that a column rests after a dictionary did not pay, and the fewest rows for which one is tried. */
const DICTIONARY_REST: u32 = 31;
const DICTIONARY_ROWS_MIN: u32 = 16;

let target: usize = 0;
let next: usize = 0;
let count: u32 = 0;

// The room for sealing, part by part: 60 bytes and 1 bit a row.
export function verdictsAddress(): usize {
  return S.gatherAt + (S.gatherRows << 2);
}
export function behindAddress(): usize {
  return S.gatherAt + (S.gatherRows << 3);
}
function entriesAddress(): usize {
  return S.gatherAt + (S.gatherRows << 4);
}
function slotsAddress(): usize {
  return S.gatherAt + (S.gatherRows << 5);
}
export function idsAddress(): usize {
  return S.gatherAt + S.gatherRows * 40;
}
export function timesAddress(): usize {
  return S.gatherAt + S.gatherRows * 56;
}
export function idsValidAddress(): usize {
  return S.gatherAt + (S.gatherRows << 6);
}

// @ts-ignore: decorator
@inline
function isValid(row: usize, ordinal: u32): bool {
  return ((load<u64>(row + ROW_VALID + ((ordinal >> 6) << 3)) >> (ordinal & 63)) & 1) != 0;
}

/** Writes, for every row of the batch, the event time and the keyed hash of the id (zeros and no validity bit where it is null). */
export function forAdmission(k0: u64, k1: u64): void {
  const rowCount = rows();
  const times = timesAddress();
  const timeField = S.fieldsAt + load<u32>(S.schemaAt, SCHEMA_TIME_FIELD) * FIELD_BYTES;
  const timeSlot = load<u32>(timeField, FIELD_SLOT);
  for (let i: u32 = 0; i < rowCount; i++)
    store<i64>(times + (i << 3), load<i64>(S.rowsAt + i * S.stride + timeSlot));
  const ids = idsAddress();
  const bits = idsValidAddress();
  memory.fill(bits, 0, (rowCount + 7) >> 3);
  const ordinal = load<u32>(S.schemaAt, SCHEMA_ID_FIELD);
  if (ordinal == FIELD_NONE) {
    memory.fill(ids, 0, rowCount << 4);
    return;
  }
  const field = S.fieldsAt + ordinal * FIELD_BYTES;
  const slot = load<u32>(field, FIELD_SLOT);
  const text = load<u8>(field, FIELD_KIND) == KIND_STRING;
  for (let i: u32 = 0; i < rowCount; i++) {
    const row = S.rowsAt + i * S.stride;
    const to = ids + (i << 4);
    if (!isValid(row, ordinal)) {
      store<u64>(to, 0);
      store<u64>(to, 0, 8);
      continue;
    }
    store<u8>(bits + (i >> 3), load<u8>(bits + (i >> 3)) | (<u8>1 << <u8>(i & 7)));
    if (text) sipHash128(load<u32>(row + slot), load<u32>(row + slot, 4), k0, k1, to);
    else sipHash128(row + slot, 8, k0, k1, to);
  }
}

/** Fills up to a multiple of 8 with zeros. */
function pad(to: usize): usize {
  store<u64>(to, 0);
  return (to + 7) & ~7;
}

// @ts-ignore: decorator
@inline
function selected(i: u32): usize {
  return load<u32>(S.gatherAt + (i << 2));
}

/** Lists the addresses of the accepted rows, and moves their `_behind` together. Returns whether one of those is not zero. */
function select(withBehind: bool): bool {
  const verdicts = verdictsAddress();
  const behind = behindAddress();
  const rowCount = rows();
  let any: i64 = 0;
  count = 0;
  for (let i: u32 = 0; i < rowCount; i++) {
    if (load<u8>(verdicts + i) != VERDICT_ACCEPTED) continue;
    store<u32>(S.gatherAt + (count << 2), <u32>(S.rowsAt + i * S.stride));
    if (withBehind) {
      const value = load<i64>(behind + (i << 3));
      store<i64>(behind + (count << 3), value);
      any |= value;
    }
    count++;
  }
  return any != 0;
}

function putValidity(column: usize, ordinal: u32): void {
  let nulls: u32 = 0;
  for (let i: u32 = 0; i < count; i++) nulls += <u32>!isValid(selected(i), ordinal);
  if (nulls == 0) return;
  store<u32>(column, nulls, COLUMN_NULLS_AT);
  store<u32>(column, <u32>(next - target), COLUMN_VALIDITY_AT);
  let word: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    word |= (<u64>isValid(selected(i), ordinal)) << (i & 63);
    if ((i & 63) != 63) continue;
    store<u64>(next, word);
    next += 8;
    word = 0;
  }
  if (count & 63) {
    store<u64>(next, word);
    next += 8;
  }
}

function putBits(slot: u32): void {
  let word: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    word |= load<u64>(selected(i) + slot) << (i & 63);
    if ((i & 63) != 63) continue;
    store<u64>(next, word);
    next += 8;
    word = 0;
  }
  if (count & 63) {
    store<u64>(next, word);
    next += 8;
  }
}

function putFixed(physical: u32, slot: u32): void {
  if (physical == PHYSICAL_BOOL) {
    putBits(slot);
    return;
  }
  let to = next;
  if (physical == PHYSICAL_I128) {
    for (let i: u32 = 0; i < count; i++, to += 16) v128.store(to, v128.load(selected(i) + slot));
  } else if (physical == PHYSICAL_I32 || physical == PHYSICAL_F32) {
    for (let i: u32 = 0; i < count; i++, to += 4) store<u32>(to, load<u32>(selected(i) + slot));
  } else {
    for (let i: u32 = 0; i < count; i++, to += 8) store<u64>(to, load<u64>(selected(i) + slot));
  }
  next = pad(to);
}

function putText(column: usize, slot: u32): void {
  let offsets = next;
  const text = pad(offsets + ((count + 1) << 2));
  let to = text;
  store<u32>(column, <u32>(offsets - target), COLUMN_VALUES_AT);
  for (let i: u32 = 0; i < count; i++, offsets += 4) {
    const value = load<u64>(selected(i) + slot);
    store<u32>(offsets, <u32>(to - text));
    copyText(<u32>value, <u32>(value >> 32), to);
    to += <u32>(value >> 32);
  }
  store<u32>(offsets, <u32>(to - text));
  putTextEnd(column, text, to);
}

function putTextEnd(column: usize, text: usize, to: usize): void {
  store<u32>(column, <u32>(text - target), COLUMN_TEXT_AT);
  store<u32>(column, <u32>(to - text), COLUMN_TEXT_BYTES_AT);
  next = pad(to);
}

/** Puts the codes of a text column at `next` and its entries into the entry list; returns how many, or 0 when too many. */
function findEntries(slot: u32, ordinal: u32, nulls: bool): u32 {
  const limit = count >> 1;
  const mask = (<u32>1 << (32 - clz(count - 1))) - 1;
  const slots = slotsAddress();
  const entries = entriesAddress();
  memory.fill(slots, 0, (mask + 1) << 2);
  let found: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const row = selected(i);
    if (nulls && !isValid(row, ordinal)) {
      store<u32>(next + (i << 2), 0);
      continue;
    }
    const at = <usize>load<u32>(row + slot);
    const bytes = load<u32>(row + slot, 4);
    const hash = hashText(at, bytes);
    let probe = <u32>(hash >> 20) & mask;
    let code: u32;
    while (true) {
      code = load<u32>(slots + (probe << 2));
      if (code == 0) {
        if (found == limit) return 0;
        const entry = entries + (found << 4);
        store<u32>(entry, <u32>at);
        store<u32>(entry, bytes, 4);
        store<u64>(entry, hash, 8);
        code = ++found;
        store<u32>(slots + (probe << 2), code);
        break;
      }
      const entry = entries + ((code - 1) << 4);
      if (
        load<u64>(entry, 8) == hash &&
        load<u32>(entry, 4) == bytes &&
        sameBytes(load<u32>(entry), at, bytes)
      )
        break;
      probe = (probe + 1) & mask;
    }
    store<u32>(next + (i << 2), code - 1);
  }
  return found;
}

/** Codes are at `next`, entries in the list (address, bytes): lays out the dictionary. */
function putDictionary(column: usize, found: u32): void {
  const entries = entriesAddress();
  if (found == 0) {
    // Nulls only: one empty entry, so that code 0 has one.
    store<u64>(entries, 0);
    found = 1;
  }
  store<u8>(column, ENCODING_DICTIONARY, COLUMN_ENCODING_AT);
  store<u32>(column, <u32>(next - target), COLUMN_VALUES_AT);
  store<u32>(column, found, COLUMN_DICT_COUNT_AT);
  let offsets = pad(next + (count << 2));
  store<u32>(column, <u32>(offsets - target), COLUMN_DICT_OFFSETS_AT);
  const text = pad(offsets + ((found + 1) << 2));
  let to = text;
  for (let i: u32 = 0; i < found; i++, offsets += 4) {
    const at = <usize>load<u32>(entries + (i << 4));
    const bytes = load<u32>(entries + (i << 4), 4);
    store<u32>(offsets, <u32>(to - text));
    copyText(at, bytes, to);
    to += bytes;
  }
  store<u32>(offsets, <u32>(to - text));
  putTextEnd(column, text, to);
}

function putEnum(column: usize, field: usize, ordinal: u32): void {
  const slot = load<u32>(field, FIELD_SLOT);
  const texts = <usize>load<u32>(field, FIELD_SYMBOL_TEXTS_AT);
  const codes = idsValidAddress() + (S.gatherRows >> 3) + 8;
  const entries = entriesAddress();
  memory.fill(codes, 0, load<u32>(field, FIELD_SYMBOL_COUNT) << 1);
  const nulls = load<u32>(column, COLUMN_NULLS_AT) != 0;
  let found: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const row = selected(i);
    let code: u32 = 1;
    if (!nulls || isValid(row, ordinal)) {
      const symbol = load<u32>(row + slot);
      code = load<u16>(codes + (symbol << 1));
      if (code == 0) {
        store<u64>(entries + (found << 4), load<u64>(texts + (symbol << 3)));
        code = ++found;
        store<u16>(codes + (symbol << 1), code);
      }
    }
    store<u32>(next + (i << 2), code - 1);
  }
  putDictionary(column, found);
}

function putStrings(column: usize, field: usize, ordinal: u32): void {
  const slot = load<u32>(field, FIELD_SLOT);
  const rest = load<u32>(field, FIELD_DICTIONARY_REST);
  if (rest > 0) store<u32>(field, rest - 1, FIELD_DICTIONARY_REST);
  else if (count >= DICTIONARY_ROWS_MIN) {
    const nulls = load<u32>(column, COLUMN_NULLS_AT);
    const found = nulls == count ? 0 : findEntries(slot, ordinal, nulls > 0);
    if (found > 0) {
      putDictionary(column, found);
      return;
    }
    if (nulls != count) store<u32>(field, DICTIONARY_REST, FIELD_DICTIONARY_REST);
  }
  putText(column, slot);
}

function putBehind(column: usize, any: bool): void {
  store<u8>(column, PHYSICAL_I64, COLUMN_PHYSICAL_AT);
  if (!any) return;
  store<u32>(column, <u32>(next - target), COLUMN_VALUES_AT);
  memory.copy(next, behindAddress(), count << 3);
  next += count << 3;
}

/**
 * Writes the image of the rows whose verdict is VERDICT_ACCEPTED to `to`; verdicts (and `_behind`, when `withBehind`) were put at their
 * addresses. Ends the batch. Returns the number of rows; RESULT_STORED_BYTES has the length. Nothing is written for no rows.
 */
export function seal(to: usize, withBehind: bool): u32 {
  target = to;
  const anyBehind = select(withBehind);
  store<u32>(S.resultAt, count, RESULT_SEALED_ROWS);
  store<u32>(S.resultAt, 0, RESULT_STORED_BYTES);
  if (count == 0) return 0;
  const columns = S.fieldCount + 2;
  memory.fill(to, 0, IMAGE_HEADER_BYTES + columns * COLUMN_BYTES);
  next = to + IMAGE_HEADER_BYTES + columns * COLUMN_BYTES;
  let column = to + IMAGE_HEADER_BYTES;
  for (let ordinal: u32 = 0; ordinal <= S.fieldCount; ordinal++, column += COLUMN_BYTES) {
    const field = S.fieldsAt + ordinal * FIELD_BYTES;
    const physical = load<u8>(field, FIELD_PHYSICAL);
    store<u8>(column, physical, COLUMN_PHYSICAL_AT);
    if (load<u8>(field, FIELD_NULLABLE)) putValidity(column, ordinal);
    if (load<u8>(field, FIELD_KIND) == KIND_ENUM) putEnum(column, field, ordinal);
    else if (physical == PHYSICAL_UTF8) putStrings(column, field, ordinal);
    else {
      store<u32>(column, <u32>(next - to), COLUMN_VALUES_AT);
      putFixed(physical, load<u32>(field, FIELD_SLOT));
    }
  }
  putBehind(column, anyBehind);
  const bytes = <u32>(next - to);
  store<u32>(to, IMAGE_MAGIC, IMAGE_MAGIC_AT);
  store<u32>(to, count, IMAGE_ROWS_AT);
  store<u32>(to, columns, IMAGE_COLUMNS_AT);
  store<u32>(to, bytes, IMAGE_TOTAL_BYTES_AT);
  store<u32>(to, bytes, IMAGE_STORED_BYTES_AT);
  store<u32>(S.resultAt, bytes, RESULT_STORED_BYTES);
  return count;
}
