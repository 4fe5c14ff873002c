// Columns of the batch as registers: a copy only where the layout differs (bits to bytes, 32 to 64 bits, offsets to references).
import {
  BATCH_COLUMN_BYTES,
  BATCH_DICT_COUNT_AT,
  BATCH_DICT_OFFSETS_AT,
  BATCH_ERRORS_AT,
  BATCH_PHYSICAL_AT,
  BATCH_TEXT_AT,
  BATCH_VALIDITY_AT,
  BATCH_VALUES_AT,
  PHYSICAL_BOOL,
  PHYSICAL_F32,
  PHYSICAL_F64,
  PHYSICAL_I128,
  PHYSICAL_I32,
  PHYSICAL_I64,
  REGISTER_BYTES,
  REGISTER_STEP_AT,
  REGISTER_VALID_AT,
  REGISTER_VALID_STEP_AT,
  REGISTER_VALUES_AT,
} from "../../kernels/abi";
import { allValid, fail, own, ownValid, point, setValidStep, valid, values } from "./vector";

let columns: u32 = 0;
let shared: u32 = 0;

/** Sets the address of the batch's columns. */
export function setColumns(at: u32): void {
  columns = at;
}

/** Sets the address of the registers of the program that views share, which ran over all rows of the record. */
export function setShared(registers: u32): void {
  shared = registers;
}

/** dst = shared register x from row `from` on: no copy. */
export function loadShared(dst: u32, x: u32, from: u32): void {
  const source = shared + x * REGISTER_BYTES;
  const validAt = load<u32>(source, REGISTER_VALID_AT);
  const width = load<u32>(source, REGISTER_STEP_AT);
  const validWidth = load<u32>(source, REGISTER_VALID_STEP_AT);
  point(dst, load<u32>(source, REGISTER_VALUES_AT) + from * width, width, validAt == 0 ? 0 : validAt + from * validWidth);
  setValidStep(dst, validWidth);
}

/** Bits from row `from` on as bytes of 0 or 1. */
function spread(bits: u32, from: u32, n: u32, to: u32): void {
  for (let i: u32 = 0; i < n; i++) {
    const row = from + i;
    store<u8>(to + i, (load<u8>(bits + (row >> 3)) >> <u8>(row & 7)) & 1);
  }
}

/** References (address, bytes) of `n` texts from their offsets. */
function references(offsets: u32, text: u32, n: u32, to: u32): void {
  for (let i: u32 = 0; i < n; i++, to += 8) {
    const start = load<u32>(offsets + (i << 2));
    store<u32>(to, text + start);
    store<u32>(to, load<u32>(offsets + (i << 2), 4) - start, 4);
  }
}

/** dst = column x from row `from` on. */
export function loadColumn(dst: u32, x: u32, from: u32, n: u32): void {
  const column = columns + x * BATCH_COLUMN_BYTES;
  const source = load<u32>(column, BATCH_VALUES_AT);
  const bits = load<u32>(column, BATCH_VALIDITY_AT);
  const physical = load<u32>(column, BATCH_PHYSICAL_AT);
  const entries = load<u32>(column, BATCH_DICT_OFFSETS_AT);
  if (bits == 0) allValid(dst);
  else spread(bits, from, n, ownValid(dst));
  const validAt = valid(dst);
  if (physical == PHYSICAL_BOOL) {
    spread(source, from, n, own(dst, 1));
  } else if (physical == PHYSICAL_I64 || physical == PHYSICAL_F64) {
    point(dst, source + (from << 3), 8, validAt);
  } else if (physical == PHYSICAL_I128) {
    point(dst, source + (from << 4), 16, validAt);
  } else if (physical == PHYSICAL_I32) {
    const to = own(dst, 8);
    const at = source + (from << 2);
    for (let i: u32 = 0; i < n; i++) store<i64>(to + (i << 3), <i64>load<i32>(at + (i << 2)));
  } else if (physical == PHYSICAL_F32) {
    const to = own(dst, 8);
    const at = source + (from << 2);
    for (let i: u32 = 0; i < n; i++) store<f64>(to + (i << 3), <f64>load<f32>(at + (i << 2)));
  } else if (entries == 0) {
    references(source + (from << 2), load<u32>(column, BATCH_TEXT_AT), n, own(dst, 8));
  } else if (bits == 0) {
    point(dst, source + (from << 2), 4, 0);
  } else {
    const to = own(dst, 4);
    const at = source + (from << 2);
    const none = load<u32>(column, BATCH_DICT_COUNT_AT);
    for (let i: u32 = 0; i < n; i++)
      store<u32>(to + (i << 2), load<u8>(validAt + i) != 0 ? load<u32>(at + (i << 2)) : none);
    allValid(dst);
  }
}

/** dst = entries of dictionary column x and one null after them: `n` in all. */
export function loadEntries(dst: u32, x: u32, n: u32): void {
  const column = columns + x * BATCH_COLUMN_BYTES;
  const to = own(dst, 8);
  references(
    load<u32>(column, BATCH_DICT_OFFSETS_AT),
    load<u32>(column, BATCH_TEXT_AT),
    n - 1,
    to,
  );
  store<u64>(to + ((n - 1) << 3), 0);
  if (load<u32>(column, BATCH_VALIDITY_AT) == 0) return allValid(dst);
  const validAt = ownValid(dst);
  memory.fill(validAt, 1, n - 1);
  store<u8>(validAt + n - 1, 0);
}

/** dst = values of register `from` (one per entry of column y's dictionary) by the codes in register a. */
export function gather(dst: u32, a: u32, from: u32, width: u32, y: u32, n: u32): void {
  const codes = values(a);
  const source = values(from);
  const to = own(dst, width);
  if (width == 8) {
    for (let i: u32 = 0; i < n; i++)
      store<u64>(to + (i << 3), load<u64>(source + (load<u32>(codes + (i << 2)) << 3)));
  } else if (width == 16) {
    for (let i: u32 = 0; i < n; i++)
      v128.store(to + (i << 4), v128.load(source + (load<u32>(codes + (i << 2)) << 4)));
  } else {
    for (let i: u32 = 0; i < n; i++)
      store<u8>(to + i, load<u8>(source + load<u32>(codes + (i << 2))));
  }
  const sourceValid = valid(from);
  if (sourceValid == 0) allValid(dst);
  else {
    const toValid = ownValid(dst);
    for (let i: u32 = 0; i < n; i++)
      store<u8>(toValid + i, load<u8>(sourceValid + load<u32>(codes + (i << 2))));
  }
  const entryErrors = load<u32>(columns + y * BATCH_COLUMN_BYTES, BATCH_ERRORS_AT);
  if (entryErrors == 0) return;
  for (let i: u32 = 0; i < n; i++)
    if (load<u8>(entryErrors + load<u32>(codes + (i << 2))) != 0) fail(i);
}
