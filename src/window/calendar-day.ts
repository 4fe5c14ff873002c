// Verb: a time and a time zone -> its calendar day, from the first instant of the local date to that of the next one, by the runtime's table
// of time zones. Days have 23 to 25 hours, or whatever a government decrees; where a clock goes back over midnight what comes again of the
// date before is in the day that has begun. view/batch.ts says the same in SQL.
import type { Range } from "./grid.ts";

const SECOND_US = 1_000_000n;
const DAY_MS = 86_400_000;
const HOUR_S = 3600;
/** No zone is further from UTC. */
const SHIFT_MS_MAX = 18 * 3_600_000;

/** The days of one time zone; the one asked for last is known without a search. */
export class CalendarDays {
  readonly #format: Intl.DateTimeFormat;
  #last: Range = { startUs: 0n, endUs: 0n };

  /** Throws a RangeError for an unknown zone. */
  constructor(timeZone: string) {
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      calendar: "gregory",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
    });
  }

  /** The day that holds a time, µs. */
  dayOf(timeUs: bigint): Range {
    const last = this.#last;
    if (timeUs >= last.startUs && timeUs < last.endUs) return last;
    const dayMs = this.#localDayMs(Number(timeUs / 1000n));
    const day = this.#rangeOf(dayMs);
    this.#last = timeUs < day.endUs ? day : this.#rangeOf(dayMs + DAY_MS);
    return this.#last;
  }

  #rangeOf(dayMs: number): Range {
    return { startUs: this.#begin(dayMs), endUs: this.#begin(dayMs + DAY_MS) };
  }

  /** The local date at a time, as the UTC midnight of the same date, ms. */
  #localDayMs(timeMs: number): number {
    const parts = new Map(
      this.#format.formatToParts(timeMs).map(({ type, value }) => [type, value]),
    );
    const year = Number(parts.get("year"));
    const day = new Date(0);
    day.setUTCFullYear(
      parts.get("era") === "BC" ? 1 - year : year,
      Number(parts.get("month")) - 1,
      Number(parts.get("day")),
    );
    return day.getTime();
  }

  /** First instant of a local date: where there are two midnights, the first. */
  #begin(dayMs: number): bigint {
    const midnightS = dayMs / 1000;
    const shiftS = SHIFT_MS_MAX / 1000;
    const found = this.#first(dayMs, midnightS - shiftS, midnightS + shiftS);
    const isTwice = this.#localDayMs((found - HOUR_S) * 1000) >= dayMs;
    const first = isTwice ? this.#first(dayMs, found - 2 * HOUR_S, found - HOUR_S) : found;
    return BigInt(first) * SECOND_US;
  }

  /** The second at which the local date is reached, between one before and one after it, by halves; transitions are at whole seconds. */
  #first(dayMs: number, from: number, to: number): number {
    while (from < to) {
      const middle = Math.floor((from + to) / 2);
      if (this.#localDayMs(middle * 1000) >= dayMs) to = middle;
      else from = middle + 1;
    }
    return to;
  }
}
