// Verb (pure): what an operator reads of a run.
import { counted } from "../base/counted.ts";
import type { ReconcileReport } from "./tally.ts";

/** Lines: what was (dry: would be) done, then what was skipped. */
export function reconcileSummary(report: ReconcileReport, isDry: boolean): string {
  const { view, windows, lateEvents, rows, skipped, rawPosition } = report;
  const up = `up to position ${rawPosition}`;
  const lines: string[] = [];
  if (windows === 0) lines.push(`${view}: nothing to do ${up}`);
  else {
    const what = `${counted(lateEvents, "late event")} in ${counted(windows, "window")} ${up}`;
    lines.push(`${view}: ${isDry ? "would reconcile" : "reconciled"} ${what}`);
    for (const { view: name, changed, removed } of rows) {
      const gone = removed === 0 ? "" : `, ${counted(removed, "row")} gone`;
      lines.push(`  ${name}: ${counted(changed, "row")} changed${gone}`);
    }
  }
  for (const { windows: left, lateEvents: late, why } of skipped)
    lines.push(`  skipped ${counted(left, "window")} with ${counted(late, "late event")}: ${why}`);
  return lines.join("\n");
}

/** Exit codes: 0 all was done or there was nothing to do, 1 windows were skipped. */
export function reconcileExitCode({ skipped }: ReconcileReport): 0 | 1 {
  return skipped.length === 0 ? 0 : 1;
}
