// Comparison, three-valued logic, NULL tests and coalesce over registers. Doubles have DuckDB's total order: NaN equals NaN and is
// greatest, -0.0 equals 0.0. Text compares by bytes.
import { CLASS_D, CLASS_H, CLASS_I, CLASS_S, COMPARE_EQUAL } from "../../kernels/abi";
import { allValid, copyValid, isValid, mergeValid, own, ownValid, step, valid, validStep, values } from "./vector";
import { compare as compareWide } from "./wide";

/** -1, 0 or 1 of two doubles in total order. */
export function compareDouble(a: f64, b: f64): i32 {
  if (a < b) return -1;
  if (a > b) return 1;
  if (a == b) return 0;
  return i32(a != a) - i32(b != b);
}

/** -1, 0 or 1 of two texts by bytes, the shorter one first. */
export function compareText(a: u32, aBytes: u32, b: u32, bBytes: u32): i32 {
  const n = min(aBytes, bBytes);
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) break;
  for (; i < n; i++) {
    const x = load<u8>(a + i);
    const y = load<u8>(b + i);
    if (x != y) return x < y ? -1 : 1;
  }
  return aBytes < bBytes ? -1 : i32(aBytes > bBytes);
}

function order(kind: u32, a: u32, b: u32): i32 {
  if (kind == CLASS_D) return compareDouble(load<f64>(a), load<f64>(b));
  if (kind == CLASS_H)
    return compareWide(load<u64>(a), load<i64>(a, 8), load<u64>(b), load<i64>(b, 8));
  if (kind == CLASS_S)
    return compareText(load<u32>(a), load<u32>(a, 4), load<u32>(b), load<u32>(b, 4));
  const x = load<i64>(a);
  const y = load<i64>(b);
  return i32(x > y) - i32(x < y);
}

/** dst = (order of a and b is in mask). With `distinct` nulls are values: equal to each other, different from all else. */
export function compare(dst: u32, a: u32, b: u32, kind: u32, mask: u32, distinct: bool, n: u32): void {
  let atA = values(a);
  let atB = values(b);
  const stepA = step(a);
  const stepB = step(b);
  const to = own(dst, 1);
  if (kind == CLASS_I) {
    for (let i: u32 = 0; i < n; i++, atA += stepA, atB += stepB) {
      const x = load<i64>(atA);
      const y = load<i64>(atB);
      store<u8>(to + i, (mask >> (1 + u32(x > y) - u32(x < y))) & 1);
    }
  } else {
    for (let i: u32 = 0; i < n; i++, atA += stepA, atB += stepB)
      store<u8>(to + i, (mask >> (1 + order(kind, atA, atB))) & 1);
  }
  if (!distinct) return mergeValid(dst, a, b, n);
  allValid(dst);
  if (valid(a) == 0 && valid(b) == 0) return;
  const whenEqual = u8((mask & COMPARE_EQUAL) != 0);
  for (let i: u32 = 0; i < n; i++) {
    const hasA = isValid(a, i);
    const hasB = isValid(b, i);
    if (hasA && hasB) continue;
    store<u8>(to + i, hasA == hasB ? whenEqual : 1 - whenEqual);
  }
}

/** dst = a AND b (or: a OR b) with SQL's three-valued logic: `absorbing` (0 for AND, 1 for OR) wins over NULL. */
export function logic(dst: u32, a: u32, b: u32, absorbing: u8, n: u32): void {
  const atA = values(a);
  const atB = values(b);
  const stepA = step(a);
  const stepB = step(b);
  const to = own(dst, 1);
  const both = valid(a) == 0 && valid(b) == 0;
  if (both) allValid(dst);
  const toValid = both ? 0 : ownValid(dst);
  for (let i: u32 = 0; i < n; i++) {
    const x = load<u8>(atA + i * stepA);
    const y = load<u8>(atB + i * stepB);
    store<u8>(to + i, absorbing ? x | y : x & y);
    if (both) continue;
    const hasA = isValid(a, i);
    const hasB = isValid(b, i);
    const absorbed = (hasA && x == absorbing) || (hasB && y == absorbing);
    store<u8>(toValid + i, u8(absorbed || (hasA && hasB)));
    if (absorbed) store<u8>(to + i, absorbing);
  }
}

export function not(dst: u32, a: u32, n: u32): void {
  const atA = values(a);
  const stepA = step(a);
  const to = own(dst, 1);
  for (let i: u32 = 0; i < n; i++) store<u8>(to + i, load<u8>(atA + i * stepA) ^ 1);
  copyValid(dst, a, n);
}

/** dst = (a is NULL) != negated */
export function isNull(dst: u32, a: u32, negated: u8, n: u32): void {
  const to = own(dst, 1);
  allValid(dst);
  for (let i: u32 = 0; i < n; i++) store<u8>(to + i, u8(!isValid(a, i)) ^ negated);
}

/** dst = a where it is valid, else b. */
export function coalesce(dst: u32, a: u32, b: u32, width: u32, n: u32): void {
  const atA = values(a);
  const atB = values(b);
  const stepA = step(a);
  const stepB = step(b);
  const to = own(dst, width);
  const someNull = valid(b) != 0;
  const toValid = someNull ? ownValid(dst) : 0;
  if (!someNull) allValid(dst);
  for (let i: u32 = 0; i < n; i++) {
    const first = isValid(a, i);
    memory.copy(to + i * width, first ? atA + i * stepA : atB + i * stepB, width);
    if (someNull) store<u8>(toValid + i, u8(first) | load<u8>(valid(b) + i * validStep(b)));
  }
}
