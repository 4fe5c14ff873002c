// ISO 8601 times and dates to µs and days since the epoch (Hinnant, "chrono-Compatible Low-Level Date Algorithms"). Years 1 to 9999;
// a time without an offset is UTC; digits of the fraction beyond µs are cut, as DuckDB does.

/** The value that the last successful parser of this module found: µs. */
export let micros: i64 = 0;
/** Days since the epoch. */
export let days: i32 = 0;

/** 0001-01-01T00:00:00Z and 10000-01-01T00:00:00Z (exclusive). */
export const MICROS_MIN: i64 = -62135596800000000;
export const MICROS_END: i64 = 253402300800000000;
export const DAYS_MIN: i32 = -719162;
export const DAYS_END: i32 = 2932897;

/** The last "YYYY-MM-DDTHH:MM" seen, and its µs: in a stream of events the next one is mostly the same. */
let minuteText: v128 = i64x2.splat(0);
let minuteMicros: i64 = 0;

// @ts-ignore: decorator
@inline
function two(p: usize): i32 {
  return (<i32>load<u8>(p) - 48) * 10 + (<i32>load<u8>(p, 1) - 48);
}

// @ts-ignore: decorator
@inline
function isDigit(p: usize): bool {
  return <u32>load<u8>(p) - 48 <= 9;
}

/** True when the 10 bytes at `p` are a date that exists; sets `days`. */
export function parseDate(p: usize): bool {
  for (let i: usize = 0; i < 10; i++)
    if (i == 4 || i == 7 ? load<u8>(p + i) != 45 : !isDigit(p + i)) return false;
  const year = two(p) * 100 + two(p + 2);
  const month = two(p + 5);
  const day = two(p + 8);
  if (year == 0 || month < 1 || month > 12 || day < 1) return false;
  const leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  const short = month == 4 || month == 6 || month == 9 || month == 11;
  if (day > (month == 2 ? (leap ? 29 : 28) : short ? 30 : 31)) return false;
  const y = month <= 2 ? year - 1 : year;
  const era = y / 400;
  const yearOfEra = y - era * 400;
  const dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
  days = era * 146097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719468;
  return true;
}

/** True when "YYYY-MM-DD?HH:MM" stands at `p`; remembers it and its µs. */
function parseMinute(p: usize): bool {
  if (!parseDate(p)) return false;
  const between = <u32>load<u8>(p, 10);
  if ((between | 32) != 116 && between != 32) return false;
  if (!isDigit(p + 11) || !isDigit(p + 12) || load<u8>(p, 13) != 58) return false;
  if (!isDigit(p + 14) || !isDigit(p + 15)) return false;
  const hour = two(p + 11);
  const minute = two(p + 14);
  if (hour > 23 || minute > 59) return false;
  minuteText = v128.load(p);
  minuteMicros = <i64>days * 86400000000 + <i64>(hour * 60 + minute) * 60000000;
  return true;
}

/** The µs of the offset that [p, end) spells (nothing, Z, ±HH, ±HHMM, ±HH:MM), or i64.MIN_VALUE. */
function parseOffset(p: usize, end: usize): i64 {
  const bytes = <u32>(end - p);
  if (bytes == 0) return 0;
  const c = <u32>load<u8>(p);
  if (bytes == 1) return (c | 32) == 122 ? 0 : i64.MIN_VALUE;
  if (c != 43 && c != 45) return i64.MIN_VALUE;
  if (bytes != 3 && bytes != 5 && bytes != 6) return i64.MIN_VALUE;
  if (!isDigit(p + 1) || !isDigit(p + 2)) return i64.MIN_VALUE;
  let minute = 0;
  if (bytes > 3) {
    if (bytes == 6 && load<u8>(p, 3) != 58) return i64.MIN_VALUE;
    if (!isDigit(end - 2) || !isDigit(end - 1)) return i64.MIN_VALUE;
    minute = two(end - 2);
  }
  const hour = two(p + 1);
  if (hour > 23 || minute > 59) return i64.MIN_VALUE;
  const offset = <i64>(hour * 60 + minute) * 60000000;
  return c == 45 ? -offset : offset;
}

/** True when [p, end) is a time that exists; sets `micros`, which may lie a day outside of the years 1 to 9999. */
export function parseTime(p: usize, end: usize): bool {
  const bytes = <u32>(end - p);
  if (bytes < 16) return false;
  if (v128.any_true(v128.xor(v128.load(p), minuteText)) && !parseMinute(p)) return false;
  let value = minuteMicros;
  p += 16;
  if (p < end && load<u8>(p) == 58) {
    if (end - p < 3 || !isDigit(p + 1) || !isDigit(p + 2)) return false;
    const second = two(p + 1);
    if (second > 59) return false;
    value += <i64>second * 1000000;
    p += 3;
    if (p < end && load<u8>(p) == 46) {
      p++;
      let unit: i64 = 100000;
      const first = p;
      for (; p < end && isDigit(p); p++) {
        value += <i64>(<i32>load<u8>(p) - 48) * unit;
        unit /= 10;
      }
      if (p == first) return false;
    }
  }
  const offset = parseOffset(p, end);
  if (offset == i64.MIN_VALUE) return false;
  micros = value - offset;
  return true;
}

/** Fast form of `parseTime` for the text of a JSON string at `p` that reads YYYY-MM-DDTHH:MM:SS.mmmZ": true when it is exactly that. */
// @ts-ignore: decorator
@inline
export function parseMillisZ(p: usize): bool {
  if (load<u8>(p, 24) != 34) return false;
  if (v128.any_true(v128.xor(v128.load(p), minuteText)) && !parseMinute(p)) return false;
  // ":SS.mmmZ": separators become 0, digits their value; then bytes that exceed what they may be carry into their top bit.
  const word = load<u64>(p, 16) ^ 0x5a3030302e30303a;
  if ((((word + 0x7f7676767f76767f) | word) & 0x8080808080808080) != 0) return false;
  const second = <i32>((word >> 8) & 15) * 10 + <i32>((word >> 16) & 15);
  if (second > 59) return false;
  const millis =
    <i32>((word >> 32) & 15) * 100 + <i32>((word >> 40) & 15) * 10 + <i32>((word >> 48) & 15);
  micros = minuteMicros + <i64>(second * 1000 + millis) * 1000;
  return true;
}
