// Noun: a fault in the configuration, with its place and what to write instead. All faults of a file are told at once.

/** Where a value came from: a file with line and column (from 1), a flag (`--data`) or an environment variable. */
export interface Place {
  readonly source: string;
  readonly line: number | null;
  readonly column: number | null;
}

export interface Fault {
  readonly place: Place;
  /** The dotted key, or null when the file as a whole is at fault. */
  readonly key: string | null;
  readonly problem: string;
  /** What to write instead, or null when nothing fits. */
  readonly instead: string | null;
}

/** `millrace.yaml:12:5`, `--data`. */
export function placeText(place: Place): string {
  if (place.line === null) return place.source;
  return `${place.source}:${place.line}:${place.column ?? 1}`;
}

/** One line: `millrace.yaml:12:16 streams.clicks.dedup_ttl: "24" has no unit; write 24h, 24m or 24s`. */
export function faultText(fault: Fault): string {
  const key = fault.key === null ? "" : ` ${fault.key}:`;
  const instead = fault.instead === null ? "" : `; ${fault.instead}`;
  return `${placeText(fault.place)}${key} ${fault.problem}${instead}`;
}

/** Files in order of their name, faults in order of their place: as a reader goes through them. */
export function sortFaults(faults: readonly Fault[]): Fault[] {
  return faults.toSorted(
    (a, b) =>
      a.place.source.localeCompare(b.place.source) ||
      (a.place.line ?? 0) - (b.place.line ?? 0) ||
      (a.place.column ?? 0) - (b.place.column ?? 0),
  );
}
