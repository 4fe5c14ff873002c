// Verb: a table and a ledger that may disagree, as a start finds them -> agreed, or refused. Carries out what recovery.ts and rollback.ts decide.
import type { Files } from "../base/files.ts";
import { sizeDamage } from "./data-files.ts";
import type { IcebergTable } from "./iceberg-table.ts";
import type { Ledger } from "./ledger.ts";
import type { Marker } from "./metadata.ts";
import { TableRefusedError } from "./metadata-files.ts";
import { decideRecovery, type OnTableAhead, type RecoveryDecision } from "./recovery.ts";
import type { LedgerMoment } from "./rollback.ts";

/** A table, and who asks for it. */
export interface TableAtStart {
  /** `namespace.table`. */
  readonly name: string;
  readonly iceberg: IcebergTable;
  readonly ledger: Ledger;
  readonly files: Files;
  readonly jobId: string;
  readonly onTableAhead: OnTableAhead;
}

/** Marks what the table has as committed and sweeps. Returns what was taken back of the table, in a sentence, or null. Throws TableRefusedError. */
export function settleTable(table: TableAtStart): string | null {
  const { name, iceberg, ledger, jobId, onTableAhead } = table;
  const { recorded, committed } = ledger.lastEpochs(name);
  const positionOf = (epoch: number): number | null => ledger.epochPosition(name, epoch);
  const decide = (found: Marker | null): RecoveryDecision =>
    decideRecovery({
      jobId,
      marker: found,
      position: positionOf(found?.epoch ?? 0),
      recorded,
      committed,
    });
  const marker = iceberg.marker();
  let decision = decide(marker);
  let said: string | null = null;
  if (decision.kind === "refuse" && decision.isAhead && onTableAhead === "rollback") {
    const back = takeBack(table, { jobId, recorded, committed, positionOf });
    decision = decide(back.marker);
    said = `table ${name} was ahead of the data folder: it was taken back from ${placeOf(marker)} to ${placeOf(back.marker)}; ${back.dropped} of its snapshots are gone`;
  }
  if (decision.kind === "refuse")
    throw new TableRefusedError(`table ${name} (${iceberg.folder}): ${decision.reason}`);
  if (decision.committedTo > committed) {
    iceberg.sync();
    ledger.markCommitted(name, decision.committedTo, 0);
  }
  iceberg.sweep();
  return said;
}

function placeOf(marker: Marker | null): string {
  return marker === null ? "nothing" : `epoch ${marker.epoch} (log position ${marker.position})`;
}

/** Files that later epochs replaced may be gone, though the ledger lists them: then nothing is changed. */
function takeBack(
  { name, iceberg, ledger, files }: TableAtStart,
  moment: LedgerMoment,
): { readonly marker: Marker | null; readonly dropped: number } {
  const damages = ledger.files(name).flatMap(({ path, bytes }) => {
    const file = `${iceberg.folder}/${path}`;
    return sizeDamage({ path: file, bytes }, files.sizeBytes(file)) ?? [];
  });
  if (damages.length > 0)
    throw new TableRefusedError(
      `table ${name} cannot be taken back to epoch ${moment.recorded}: ${damages.length} of the data files that it had then are not as they were: ${damages[0] ?? ""}. ` +
        "Put them back from the savepoint or backup that the data folder is of (in its warehouse, under the same names), then start again",
    );
  const { marker, dropped } = iceberg.rollBack(moment);
  return { marker, dropped: dropped.length };
}
