// Noun: one line of benchmark results, as JSON in bench/results/ and as a row of the printed table.

/** What one stage reached. Durations are wall time. */
export interface BenchLine {
  /** Stage and case, such as "log.append 8x1000 rows". */
  readonly stage: string;
  readonly rate: number;
  /** What `rate` counts per second, such as "events/s"; or the unit of a duration or an amount. */
  readonly unit: string;
  readonly ns_per_event?: number;
  /** `rate` divided by the rate of `ratio_to` on the same bytes in the same run: above 1 is faster. */
  readonly ratio?: number;
  /** Such as "fdatasync", "memcpy", "JSON.parse". */
  readonly ratio_to?: string;
  /** Of the result, where it must be the same on every machine. */
  readonly hash?: string;
  /** How it went over time, the highest value of each ten seconds: for the results only. */
  readonly series?: readonly number[];
  /** What `rate` is wanted to be, on two idle cores of the reference machine: `least` or more, `most` or less. */
  readonly wanted?: { readonly least: number } | { readonly most: number };
}

/** Whether a full run fell short of what is wanted. */
export function isMissed({ rate, wanted }: BenchLine): boolean {
  if (wanted === undefined) return false;
  return "least" in wanted ? rate < wanted.least : rate > wanted.most;
}

/** A number as the table shows it: three digits at least. */
export function numberText(value: number): string {
  if (value >= 1000 || Number.isInteger(value)) return Math.round(value).toLocaleString("en-US");
  return value.toPrecision(3);
}

/** What is wanted, such as "at least 700,000"; "" when nothing is. */
export function wantedText({ wanted }: BenchLine): string {
  if (wanted === undefined) return "";
  return "least" in wanted
    ? `at least ${numberText(wanted.least)}`
    : `at most ${numberText(wanted.most)}`;
}
