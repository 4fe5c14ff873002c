// date_trunc of times in µs, UTC, proleptic Gregorian. Days to civil dates and back by Howard Hinnant's algorithms
// (https://howardhinnant.github.io/date_algorithms.html), with years below zero in astronomical numbering.
import {
  TRUNC_CENTURY,
  TRUNC_DAY,
  TRUNC_DECADE,
  TRUNC_HOUR,
  TRUNC_MICROSECONDS,
  TRUNC_MILLENNIUM,
  TRUNC_MILLISECONDS,
  TRUNC_MINUTE,
  TRUNC_MONTH,
  TRUNC_QUARTER,
  TRUNC_SECOND,
  TRUNC_WEEK,
  TRUNC_YEAR,
} from "../../kernels/abi";
import { copyValid, own, step, values } from "./vector";

export const DAY_US: i64 = 86400000000;

/** a / b rounded down; b is positive. */
export function floorDivide(a: i64, b: i64): i64 {
  const q = a / b;
  return q * b > a ? q - 1 : q;
}

let year: i64 = 0;
let month: i64 = 0;

/** Year and month (1 to 12) of days since the epoch. */
function toCivil(days: i64): void {
  const z = days + 719468;
  const era = floorDivide(z, 146097);
  const doe = z - era * 146097;
  const yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const mp = (5 * doy + 2) / 153;
  month = mp < 10 ? mp + 3 : mp - 9;
  year = yoe + era * 400 + i64(month <= 2);
}

/** Days since the epoch of the first day of a month. */
function fromCivil(y: i64, m: i64): i64 {
  if (m <= 2) y--;
  const era = floorDivide(y, 400);
  const yoe = y - era * 400;
  const doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

function fixedUnit(unit: u32): i64 {
  if (unit == TRUNC_MICROSECONDS) return 1;
  if (unit == TRUNC_MILLISECONDS) return 1000;
  if (unit == TRUNC_SECOND) return 1000000;
  if (unit == TRUNC_MINUTE) return 60000000;
  return unit == TRUNC_HOUR ? 3600000000 : unit == TRUNC_DAY ? DAY_US : 0;
}

function truncateDays(days: i64, unit: u32): i64 {
  // 1970-01-01 was a Thursday: Monday three days before.
  if (unit == TRUNC_WEEK) return floorDivide(days + 3, 7) * 7 - 3;
  toCivil(days);
  if (unit == TRUNC_MONTH) return fromCivil(year, month);
  if (unit == TRUNC_QUARTER) return fromCivil(year, ((month - 1) / 3) * 3 + 1);
  let span: i64 = 1;
  if (unit == TRUNC_DECADE) span = 10;
  else if (unit == TRUNC_CENTURY) span = 100;
  else if (unit == TRUNC_MILLENNIUM) span = 1000;
  return fromCivil((year / span) * span, 1);
}

/** dst = date_trunc(unit, a) */
export function dateTrunc(dst: u32, a: u32, unit: u32, n: u32): void {
  let at = values(a);
  const stepA = step(a);
  const to = own(dst, 8);
  copyValid(dst, a, n);
  const fixed = fixedUnit(unit);
  for (let i: u32 = 0; i < n; i++, at += stepA) {
    const t = load<i64>(at);
    let r = t;
    if (fixed != 0) r = floorDivide(t, fixed) * fixed;
    else r = truncateDays(floorDivide(t, DAY_US), unit) * DAY_US;
    store<i64>(to + (i << 3), r);
  }
}
