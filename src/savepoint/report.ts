// Verb: what was saved or restored -> lines for operators.
import { counted } from "../base/counted.ts";
import { CONFIGURATION_NAME } from "./manifest.ts";
import type { RestoreReport } from "./restore.ts";
import type { SavepointProgress, SavepointReport } from "./savepoint.ts";

const BYTES_PER_MB = 1024 * 1024;

/** `12.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / BYTES_PER_MB).toFixed(1)} MB`;
}

export function progressText({ step, bytes }: SavepointProgress): string {
  return `${step}: ${megabytes(bytes)} so far`;
}

export function savepointLines(report: SavepointReport): string[] {
  const { folder, position, files, bytes, linkedFiles, linkedBytes, foreignTables } = report;
  const lines = [
    `savepoint ${folder}: log position ${position}, ${counted(files, "file")}, ${megabytes(bytes)}`,
  ];
  if (linkedFiles > 0)
    lines.push(
      `${counted(linkedFiles, "file")} of them (${megabytes(linkedBytes)}) are hard links: they share the disk with the data folder until the savepoint is copied elsewhere`,
    );
  if (foreignTables.length > 0)
    lines.push(
      `not in it, since they are not Millrace's: ${counted(foreignTables.length, "table")} of the warehouse (${foreignTables.slice(0, 3).join(", ")})`,
    );
  return lines;
}

export function restoreLines({ dataFolder, savepoint, movedTables }: RestoreReport): string[] {
  const { log, jobId, madeAt, millrace, tables } = savepoint;
  const lines = [
    `restored to ${dataFolder}: log position ${log.last}, ${counted(tables.length, "table")}, job ${jobId}, as it was at ${madeAt} (millrace ${millrace})`,
  ];
  if (movedTables > 0)
    lines.push(
      `the metadata of ${counted(movedTables, "table")} was written anew: they were at ${savepoint.dataFolder}`,
    );
  lines.push(
    `start it with the configuration of then (${CONFIGURATION_NAME} in the savepoint says what it was): millrace serve --config FILE --data ${dataFolder}`,
    "it is the same job: let the other instance, if there still is one, not write the same tables",
  );
  return lines;
}
