// The plain twin of src/window/emit.ts and the kernels under it: HAVING over rows of values, then the first rows of each window.
import { Evaluator, order, type Cell, type ReferenceExpr } from "./expression.ts";
import type { ReferenceOutput } from "./fold.ts";

/** What of a plan decides which rows are part of the view; `keys`: ordinals of the group keys in the output. */
export interface ReferenceShown {
  readonly having: ReferenceExpr | null;
  readonly topN: {
    readonly limit: number;
    readonly orderBy: readonly {
      readonly ordinal: number;
      readonly descending: boolean;
      readonly nullsFirst: boolean;
    }[];
  } | null;
  readonly keys: readonly number[];
}

function compare(a: readonly Cell[], b: readonly Cell[], { topN, keys }: ReferenceShown): number {
  const ties = keys.map((ordinal) => ({ ordinal, descending: false, nullsFirst: false }));
  for (const { ordinal, descending, nullsFirst } of [...(topN?.orderBy ?? []), ...ties]) {
    const [x, y] = [a[ordinal] ?? null, b[ordinal] ?? null];
    if (x === null && y === null) continue;
    if (x === null) return nullsFirst ? -1 : 1;
    if (y === null) return nullsFirst ? 1 : -1;
    const found = order(x, y);
    if (found !== 0) return descending ? -found : found;
  }
  return 0;
}

/** The rows that are part of the view; windows are told apart by their start. */
export function shownRows(
  rows: readonly ReferenceOutput[],
  shown: ReferenceShown,
): ReferenceOutput[] {
  const { having, topN } = shown;
  const passing = rows.filter(({ row: cells }) => {
    const row = new Evaluator({ cells, receivedAtUs: 0n, startUs: 0n, endUs: 0n });
    return having === null || row.value(having) === true;
  });
  if (topN === null) return passing;
  const starts = new Set(passing.map(({ startUs }) => startUs));
  return [...starts].flatMap((start) =>
    passing
      .filter(({ startUs }) => startUs === start)
      .toSorted((a, b) => compare(a.row, b.row, shown))
      .slice(0, topN.limit),
  );
}
