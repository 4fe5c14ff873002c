// Verb: a time that an operator writes -> µs since the epoch, and back. Without an offset a time is UTC, as everywhere.

/** A day of UTC, µs. */
export const DAY_US = 86_400_000_000n;
/** Times of events lie in the years 1 to 9999, as ISO 8601 has them: from here, µs since the epoch... */
export const YEAR_1_US = -62_135_596_800_000_000n;
/** ...to here, exclusive. */
export const YEAR_10000_US = 253_402_300_800_000_000n;

const PATTERN =
  /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?(Z|[+-]\d{2}:\d{2})?$/;

/** µs since the epoch of `2019-10-01`, `2019-10-01T00:30`, `2019-10-01 00:30:15.25+02:00`; null for anything else. */
export function timeUs(text: string): bigint | null {
  const [, day, minutes = "00:00", seconds = "00", fraction = "", zone = "Z"] =
    PATTERN.exec(text) ?? [];
  if (day === undefined) return null;
  const ms = Date.parse(`${day}T${minutes}:${seconds}${zone}`);
  // Date.parse takes the 31st of February for a day in March.
  if (Number.isNaN(ms) || Number(day.slice(8)) > daysOfMonth(day)) return null;
  return BigInt(ms) * 1000n + BigInt(fraction.padEnd(6, "0"));
}

function daysOfMonth(day: string): number {
  return new Date(Date.UTC(Number(day.slice(0, 4)), Number(day.slice(5, 7)), 0)).getUTCDate();
}

/** `2019-10-01T00:00:00.25Z`: the fraction as long as needed, absent when zero. Beyond the years of ISO 8601: the µs. */
export function isoTime(us: bigint): string {
  if (us < YEAR_1_US || us >= YEAR_10000_US) return `${us} µs`;
  const ms = us >= 0n ? us / 1000n : (us - 999n) / 1000n;
  const iso = new Date(Number(ms)).toISOString();
  const fraction = iso.slice(20, 23) + String(us - ms * 1000n).padStart(3, "0");
  const digits = fraction.replace(/0+$/, "");
  return `${iso.slice(0, 19)}${digits === "" ? "" : `.${digits}`}Z`;
}
