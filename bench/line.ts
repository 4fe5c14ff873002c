// Noun: one line of benchmark results, as JSON in bench/results/ and as a row of the printed table.

/** What one stage reached. Durations are wall time. */
export interface BenchLine {
  /** Stage and case, such as "log.append 8x1000 rows". */
  readonly stage: string;
  readonly rate: number;
  /** What `rate` counts per second, such as "events/s". */
  readonly unit: string;
  readonly ns_per_event?: number;
  /** `rate` divided by the rate of `ratio_to` on the same bytes in the same run: above 1 is faster. */
  readonly ratio?: number;
  /** Such as "fdatasync", "memcpy", "JSON.parse". */
  readonly ratio_to?: string;
  /** Of the result, where it must be the same on every machine. */
  readonly hash?: string;
}
