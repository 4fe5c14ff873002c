// Registers of expression programs: vectors of values with validity bytes, and the error bytes of the rows at hand. An operation
// writes its register's own buffers; a register may instead point into a column (no copy) or at a constant (step 0).
import {
  REGISTER_BYTES,
  REGISTER_OWN_AT,
  REGISTER_OWN_VALID_AT,
  REGISTER_STEP_AT,
  REGISTER_VALID_AT,
  REGISTER_VALID_STEP_AT,
  REGISTER_VALUES_AT,
} from "../../kernels/abi";

/** Address of the registers, and of the error bytes of the rows, set for each run. */
export let registers: u32 = 0;
export let errors: u32 = 0;
/** Errors of the run at hand. */
export let errorCount: u32 = 0;

export function begin(at: u32, errorsAt: u32): void {
  registers = at;
  errors = errorsAt;
  errorCount = 0;
}

/** Row i had an operation that DuckDB would raise for: it is NULL, and the event counts as failed. */
export function fail(i: u32): void {
  store<u8>(errors + i, 1);
  errorCount++;
}

export function values(r: u32): u32 {
  return load<u32>(registers + r * REGISTER_BYTES, REGISTER_VALUES_AT);
}
export function step(r: u32): u32 {
  return load<u32>(registers + r * REGISTER_BYTES, REGISTER_STEP_AT);
}
/** Address of the validity bytes, 0 = all valid. */
export function valid(r: u32): u32 {
  return load<u32>(registers + r * REGISTER_BYTES, REGISTER_VALID_AT);
}
export function validStep(r: u32): u32 {
  return load<u32>(registers + r * REGISTER_BYTES, REGISTER_VALID_STEP_AT);
}
export function isValid(r: u32, i: u32): bool {
  const at = valid(r);
  return at == 0 || load<u8>(at + i * validStep(r)) != 0;
}

/** Points a register at foreign values. `validAt` 0 = all valid. */
export function point(r: u32, at: u32, width: u32, validAt: u32): void {
  const register = registers + r * REGISTER_BYTES;
  store<u32>(register, at, REGISTER_VALUES_AT);
  store<u32>(register, width, REGISTER_STEP_AT);
  store<u32>(register, validAt, REGISTER_VALID_AT);
  store<u32>(register, 1, REGISTER_VALID_STEP_AT);
}

export function setValidStep(r: u32, width: u32): void {
  store<u32>(registers + r * REGISTER_BYTES, width, REGISTER_VALID_STEP_AT);
}

/** The register's own value buffer, made its values of `width` bytes. */
export function own(r: u32, width: u32): u32 {
  const register = registers + r * REGISTER_BYTES;
  const at = load<u32>(register, REGISTER_OWN_AT);
  store<u32>(register, at, REGISTER_VALUES_AT);
  store<u32>(register, width, REGISTER_STEP_AT);
  return at;
}

/** The register's own validity bytes, made its validity. */
export function ownValid(r: u32): u32 {
  const register = registers + r * REGISTER_BYTES;
  const at = load<u32>(register, REGISTER_OWN_VALID_AT);
  store<u32>(register, at, REGISTER_VALID_AT);
  store<u32>(register, 1, REGISTER_VALID_STEP_AT);
  return at;
}

export function allValid(r: u32): void {
  store<u32>(registers + r * REGISTER_BYTES, 0, REGISTER_VALID_AT);
}

/** dst is valid where a is. */
export function copyValid(dst: u32, a: u32, n: u32): void {
  const from = valid(a);
  if (from == 0) return allValid(dst);
  const stepA = validStep(a);
  const to = ownValid(dst);
  if (stepA == 1) memory.copy(to, from, n);
  else memory.fill(to, load<u8>(from), n);
}

/** dst is valid where a and b both are. */
export function mergeValid(dst: u32, a: u32, b: u32, n: u32): void {
  const fromA = valid(a);
  const fromB = valid(b);
  if (fromA == 0) return copyValid(dst, b, n);
  if (fromB == 0) return copyValid(dst, a, n);
  const stepA = validStep(a);
  const stepB = validStep(b);
  const to = ownValid(dst);
  for (let i: u32 = 0; i < n; i++)
    store<u8>(to + i, load<u8>(fromA + i * stepA) & load<u8>(fromB + i * stepB));
}

/** Validity bytes of dst that an operation may clear: made all ones when dst is all valid. */
export function writableValid(dst: u32, n: u32): u32 {
  const at = valid(dst);
  if (at != 0) return at;
  const to = ownValid(dst);
  memory.fill(to, 1, n);
  return to;
}
