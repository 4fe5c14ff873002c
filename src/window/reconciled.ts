// Noun: which windows of which views were reconciled, and up to which log position their late events count. A fold of the log's reconcile
// records. Ranges of a view do not overlap: what is reconciled again counts up to the later position.

/** Late events at or below `position` count for the windows of a view that start in [fromUs, toUs). */
export interface ReconciledRange {
  readonly view: string;
  readonly fromUs: bigint;
  readonly toUs: bigint;
  readonly position: number;
}

/** A range, and when the log took the record that says so, µs; neighbours that became one have the time of one of them. */
export interface RecordedRange extends ReconciledRange {
  readonly receivedAtUs: number;
}

/** A range with its times as decimal text, as a checkpoint has it. */
export type SavedRange = Omit<ReconciledRange, "fromUs" | "toUs"> & {
  readonly fromUs: string;
  readonly toUs: string;
  /** Absent in checkpoints of before it was kept. */
  readonly receivedAtUs?: number;
};

export class Reconciled {
  readonly #views = new Map<string, readonly RecordedRange[]>();

  /** In order: a later range has a higher position. */
  add(range: RecordedRange): void {
    this.#views.set(range.view, withRange(this.#views.get(range.view) ?? [], range));
  }

  /** Every range, each view's in the order of time. */
  get ranges(): RecordedRange[] {
    return [...this.#views.values()].flat();
  }

  drop(view: string): void {
    this.#views.delete(view);
  }

  get saved(): SavedRange[] {
    return this.ranges.map((range) => ({
      ...range,
      fromUs: range.fromUs.toString(),
      toUs: range.toUs.toString(),
    }));
  }

  restore(saved: readonly SavedRange[]): void {
    for (const range of saved)
      this.add({
        ...range,
        fromUs: BigInt(range.fromUs),
        toUs: BigInt(range.toUs),
        receivedAtUs: range.receivedAtUs ?? 0,
      });
  }
}

/** The ranges of one view with a newer one over them; neighbours of one position are one range. */
export function withRange<Range extends ReconciledRange>(
  ranges: readonly Range[],
  newer: Range,
): Range[] {
  const around = ranges.flatMap((range) => [
    { ...range, toUs: range.toUs < newer.fromUs ? range.toUs : newer.fromUs },
    { ...range, fromUs: range.fromUs > newer.toUs ? range.fromUs : newer.toUs },
  ]);
  const merged: Range[] = [];
  const ordered = [...around, newer]
    .filter(({ fromUs, toUs }) => fromUs < toUs)
    .toSorted((a, b) => (a.fromUs < b.fromUs ? -1 : 1));
  for (const range of ordered) {
    const last = merged.at(-1);
    if (last !== undefined && last.toUs === range.fromUs && last.position === range.position)
      merged[merged.length - 1] = { ...last, toUs: range.toUs };
    else merged.push(range);
  }
  return merged;
}
