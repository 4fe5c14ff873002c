// Rows of a projection: which rows of a chunk a filter takes, and values of registers as columns of a batch image. Output buffers are
// zeroed by the host, so null slots are zero.
import {
  RESULT_FAILED_AT,
  RESULT_FILTERED_AT,
  WORK_ERRORS_AT,
  WORK_RESULT_AT,
  WORK_SELECTED_AT,
} from "../../kernels/abi";
import { storeValue } from "./extract";
import { runProgram } from "./program";
import { begin, errors, isValid, registers, step, values } from "./vector";

/** Lists those of the `n` rows of a chunk for which register `filter` (-1: none) is true; returns how many. Counts: RESULT_FILTERED_AT, RESULT_FAILED_AT. */
export function selectRows(filter: i32, n: u32): u32 {
  let selected: u32 = 0;
  let failed: u32 = 0;
  const filterAt = filter < 0 ? 0 : values(filter);
  const filterStep = filter < 0 ? 0 : step(filter);
  for (let i: u32 = 0; i < n; i++) {
    if (filter >= 0 && (load<u8>(filterAt + i * filterStep) == 0 || !isValid(filter, i))) continue;
    store<u32>(WORK_SELECTED_AT + (selected << 2), i);
    selected++;
    failed += u32(load<u8>(WORK_ERRORS_AT + i) != 0);
  }
  store<u32>(WORK_RESULT_AT, n - selected, RESULT_FILTERED_AT);
  store<u32>(WORK_RESULT_AT, failed, RESULT_FAILED_AT);
  return selected;
}

/**
 * Runs the program at `address` with registers at `at` over `n` rows from row `row` on, and writes a byte for each: 1 where register `r` is
 * true. The program that ran before may go on being read.
 */
export function maskRows(address: u32, count: u32, at: u32, errorsAt: u32, row: u32, n: u32, r: u32, to: u32): void {
  const formerRegisters = registers;
  const formerErrors = errors;
  runProgram(address, count, at, errorsAt, row, n);
  const from = values(r);
  const width = step(r);
  for (let i: u32 = 0; i < n; i++)
    store<u8>(to + i, u8(load<u8>(from + i * width) != 0 && isValid(r, i)));
  begin(formerRegisters, formerErrors);
}

function setBit(bits: u32, j: u32): void {
  const at = bits + (j >> 3);
  store<u8>(at, load<u8>(at) | (<u8>1 << <u8>(j & 7)));
}

/** Values of a register of fixed width for the `n` selected rows. Returns the number of nulls, whose bits stay 0. */
export function project(register: u32, n: u32, physical: u32, to: u32, bits: u32): u32 {
  const from = values(register);
  const width = step(register);
  let nulls: u32 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const i = load<u32>(WORK_SELECTED_AT + (j << 2));
    if (!isValid(register, i)) {
      nulls++;
      continue;
    }
    setBit(bits, j);
    storeValue(to, j, physical, from + i * width);
  }
  return nulls;
}

/** Bytes of the texts of a register for the selected rows. */
export function projectTextBytes(register: u32, n: u32): u64 {
  const from = values(register);
  const width = step(register);
  let sum: u64 = 0;
  for (let j: u32 = 0; j < n; j++) {
    const i = load<u32>(WORK_SELECTED_AT + (j << 2));
    if (isValid(register, i)) sum += load<u32>(from + i * width, 4);
  }
  return sum;
}

/** Texts of a register for the selected rows: n + 1 offsets to `to`, bytes to `text`. Returns the number of nulls. */
export function projectText(register: u32, n: u32, to: u32, text: u32, bits: u32): u32 {
  const from = values(register);
  const width = step(register);
  let nulls: u32 = 0;
  let end: u32 = 0;
  store<u32>(to, 0);
  for (let j: u32 = 0; j < n; j++) {
    const i = load<u32>(WORK_SELECTED_AT + (j << 2));
    if (isValid(register, i)) {
      const value = from + i * width;
      const bytes = load<u32>(value, 4);
      memory.copy(text + end, load<u32>(value), bytes);
      end += bytes;
      setBit(bits, j);
    } else nulls++;
    store<u32>(to + (j << 2), end, 4);
  }
  return nulls;
}
