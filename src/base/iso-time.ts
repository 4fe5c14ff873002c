// Verb: a time that an operator writes -> µs since the epoch, and back. Without an offset a time is UTC, as everywhere.

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
  const ms = us >= 0n ? us / 1000n : (us - 999n) / 1000n;
  if (ms < -62_135_596_800_000n || ms > 253_402_300_799_999n) return `${us} µs`;
  const iso = new Date(Number(ms)).toISOString();
  const fraction = iso.slice(20, 23) + String(us - ms * 1000n).padStart(3, "0");
  const digits = fraction.replace(/0+$/, "");
  return `${iso.slice(0, 19)}${digits === "" ? "" : `.${digits}`}Z`;
}
