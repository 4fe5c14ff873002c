// Pure decisions of the export: when an epoch is due, and what a start does with a table and a ledger that may disagree.
import {
  CHANGES_EPOCH_AGE_US,
  EPOCH_ROWS_MAX,
  OUTPUT_EPOCH_AGE_US,
  RAW_EPOCH_AGE_US,
} from "../limits.ts";
import type { Marker } from "./metadata.ts";

/** What is known of rows on their way into an epoch. */
export interface EpochFacts {
  /** "changes": some of them change rows of the table. */
  readonly kind: "raw" | "output" | "changes";
  readonly rowCount: number;
  /** Age of the oldest row, µs. */
  readonly ageUs: number;
  /** Memory bounds ask for an end (DayFiles.isFull). */
  readonly isFull: boolean;
  /** A write of it failed before: its rows wait in memory. */
  readonly isFailed: boolean;
}

/** Why an epoch is cut now, or "wait". */
export type EpochDecision = "wait" | "rows" | "memory" | "age" | "retry";

const AGE_US_MAX = {
  raw: RAW_EPOCH_AGE_US,
  output: OUTPUT_EPOCH_AGE_US,
  changes: CHANGES_EPOCH_AGE_US,
} as const;

export function decideEpoch(facts: EpochFacts): EpochDecision {
  if (facts.isFailed) return "retry";
  if (facts.rowCount === 0) return "wait";
  if (facts.rowCount >= EPOCH_ROWS_MAX) return "rows";
  if (facts.isFull) return "memory";
  return facts.ageUs >= AGE_US_MAX[facts.kind] ? "age" : "wait";
}

/** What a start finds. */
export interface RecoveryFacts {
  readonly jobId: string;
  /** The table's highest marker, null before our first commit. */
  readonly marker: Marker | null;
  /** The ledger's log position of the marker's epoch; null: it does not know the epoch. */
  readonly position: number | null;
  /** The ledger's last epoch, and the last one that it knows to be in the table. */
  readonly recorded: number;
  readonly committed: number;
}

/** `committedTo`: all recorded epochs up to it are in the table; later ones are committed from their descriptors. */
export type RecoveryDecision =
  | { readonly kind: "continue"; readonly committedTo: number }
  /** `isAhead`: the table holds epochs of this job that the ledger does not have. */
  | { readonly kind: "refuse"; readonly reason: string; readonly isAhead: boolean };

/** What a start does with a table whose last epochs the ledger does not have. */
export type OnTableAhead = "refuse" | "rollback";

export function decideRecovery(facts: RecoveryFacts): RecoveryDecision {
  const { marker, jobId, position, recorded, committed } = facts;
  const refuse = (reason: string, isAhead = false): RecoveryDecision => ({
    kind: "refuse",
    reason,
    isAhead,
  });
  if (marker !== null && marker.jobId !== jobId)
    return refuse(
      `it is written by job ${marker.jobId}, this is job ${jobId}. Give each job tables of its own, or restore the data folder that belongs to the table.`,
    );
  const epoch = marker?.epoch ?? 0;
  if (epoch > recorded)
    return refuse(
      `it holds epoch ${epoch} (log position ${marker?.position ?? 0}), the ledger ends at epoch ${recorded}: the data folder is older than the table. Restore both from the same moment; or, when no other instance of this job writes the table, start once with --on-table-ahead=rollback, which takes it back to the ledger's epoch.`,
      true,
    );
  if (epoch < committed)
    return refuse(
      `it ends at epoch ${epoch}, the ledger has committed epoch ${committed}: the table is older than the data folder. Restore both from the same moment.`,
    );
  if (marker !== null && position !== marker.position) return refuse(otherWriter(marker, position));
  return { kind: "continue", committedTo: epoch };
}

/** What it means that a table's epoch covers another log position than the ledger says: the data folder was copied, and both copies went on. */
export function otherWriter(marker: Marker, position: number | null): string {
  const says = position === null ? "which the ledger does not have" : `the ledger says ${position}`;
  return `its epoch ${marker.epoch} is of log position ${marker.position}, ${says}: another instance of job ${marker.jobId}, restored from a copy of the same data folder, writes it. Stop one of them, and give the other a warehouse of its own.`;
}

/** What a start finds of a stream's raw events. Positions are inclusive; 0 = none. */
export interface RawFacts {
  readonly stream: string;
  /** Whether its raw events are exported from now on. */
  readonly isOn: boolean;
  /** The table of an earlier export: "kept" is readable. */
  readonly table: "none" | "removed" | "kept";
  /** Log position that the table covers. */
  readonly exported: number;
  /** The last log position that was trimmed. */
  readonly trimmed: number;
}

/** What an operator should know of a stream's raw events at a start: what SQL and the table lack. Null when they lack nothing. */
export function rawNotice({ stream, isOn, table, exported, trimmed }: RawFacts): string | null {
  const gap = `log positions ${exported + 1} to ${trimmed}`;
  if (isOn && trimmed <= exported) return null;
  if (isOn && exported === 0)
    return `stream ${stream}: its raw table begins behind log position ${trimmed}, where the log does`;
  if (isOn)
    return `stream ${stream}: ${gap} were trimmed while its raw export was off: events there are not in its raw table, which goes on behind them`;
  if (table === "none") return null;
  if (table === "removed")
    return `stream ${stream}: its raw export is off and its raw table was removed: SQL has the events that the log still holds`;
  const gone = trimmed > exported ? `; ${gap} are in neither` : "";
  return `stream ${stream}: its raw export is off: SQL has its raw table, up to log position ${exported}, and the events after it that the log still holds${gone}`;
}
