// Verb: ledger.db, and positions: log, checkpoint and tables -> whether they are of one moment. The decision is that of a start.
import { counted } from "../base/counted.ts";
import { olderTablesRefusal, recoveryPlan, type ReaderFacts } from "../checkpoint/recovery.ts";
import { ADMISSION_READER, WINDOWS_READER } from "../engine-state.ts";
import { ledgerPathOf } from "../log/data-folder.ts";
import { isLogReader, logReaderOf } from "../table/exporter.ts";
import { Ledger, type LedgerWriter } from "../table/ledger.ts";
import type { LogBounds } from "./log-check.ts";
import type { Place } from "./place.ts";
import { Findings, type Check } from "./report.ts";

/** An opened ledger; "none": nothing was ever recorded, "unreadable": see the check. */
export type OpenedLedger = Ledger | "none" | "unreadable";

export function checkLedger({ folder, jobId, files }: Place): {
  readonly check: Check;
  readonly ledger: OpenedLedger;
} {
  const findings = new Findings("ledger");
  let ledger: OpenedLedger = "unreadable";
  const said = findings.try(() => {
    const found = Ledger.read(ledgerPathOf(folder), jobId, files);
    ledger = found ?? "none";
    return found === null
      ? "nothing was recorded yet"
      : `${counted(found.tables().length, "table")}, ${counted(found.writers().length, "writer")}`;
  });
  return { check: findings.check(said ?? "the ledger cannot be read"), ledger };
}

/** What is compared. Positions are inclusive. */
export interface PositionFacts {
  readonly log: LogBounds;
  readonly checkpoint: ReadonlyMap<string, number>;
  /** Of the readers in it that ran when it was saved. */
  readonly running: ReadonlyMap<string, number>;
  readonly writers: readonly LedgerWriter[];
}

/** Checks that the log has all that the checkpoint and the tables do not. */
export function checkPositions({ log, checkpoint, running, writers }: PositionFacts): Check {
  const findings = new Findings("positions");
  const outputs = writers.filter((writer) => logReaderOf(writer) === null);
  const exports = writers.flatMap((writer) => {
    const name = logReaderOf(writer);
    return name === null ? [] : [{ name, position: writer.position }];
  });
  const written = new Set(exports.map(({ name }) => name));
  for (const name of running.keys())
    if (isLogReader(name) && !written.has(name)) exports.push({ name, position: 0 });
  const covered = Math.max(0, ...outputs.map(({ position }) => position));
  const readers: ReaderFacts[] = [
    { name: ADMISSION_READER, ledger: null },
    { name: WINDOWS_READER, ledger: covered },
  ].map((reader) => ({
    ...reader,
    checkpoint: checkpoint.get(reader.name) ?? null,
    keepsState: true,
  }));
  for (const { name, position } of exports)
    readers.push({
      name,
      checkpoint: running.get(name) ?? null,
      ledger: position === 0 ? null : position,
      keepsState: false,
    });
  const plan = recoveryPlan({ log, hasCheckpoint: checkpoint.size > 0, readers });
  if (plan.kind === "refuse") findings.damaged(plan.message);
  for (const { name, position } of exports) {
    const older = olderTablesRefusal(name, {
      checkpoint: checkpoint.get(name) ?? 0,
      ledger: position,
    });
    if (older !== null) findings.damaged(older);
    if (!running.has(name) && position + 1 < log.first)
      findings.note(
        `the table of reader ${name} ends at record ${position}, the log begins at ${log.first}: what lies between is in neither, as when the ` +
          "raw export is off",
      );
  }
  const replayed = plan.kind === "start" ? plan.replayCount : 0;
  return findings.check(
    `${counted(checkpoint.size, "reader")} of the checkpoint and ${counted(writers.length, "writer")} of tables against records ${log.first} to ` +
      `${log.last}; a start reads ${counted(replayed, "record")} again`,
  );
}
