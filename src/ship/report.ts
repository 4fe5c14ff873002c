// Verb: what was restored from a store -> lines for operators.
import { counted } from "../base/counted.ts";
import type { ShipRestoreReport } from "./restore.ts";

export function shipRestoreLines(report: ShipRestoreReport): string[] {
  const { dataFolder, from, number, shipment, last, lastReceivedAtUs, movedTables } = report;
  const { log, madeAt, jobId, tables } = shipment;
  const received =
    lastReceivedAtUs === 0
      ? ""
      : `, whose events were received at ${new Date(lastReceivedAtUs / 1000).toISOString()}`;
  const lines = [
    `restored to ${dataFolder} from ${from}: up to log position ${last}${received}. What was acknowledged later is not in it: send it again, what is known is a duplicate`,
    `shipment ${number} of ${madeAt} (log position ${log.last}), ${counted(last - log.last, "log record")} after it, ${counted(tables.length, "table")}, job ${jobId}`,
  ];
  if (report.beyond !== null)
    lines.push(
      `not restored: log positions ${report.beyond.from} to ${report.beyond.to}, which the store has in part behind a gap${report.damage === null ? ": the log was trimmed before they were shipped, and no shipment was made since" : ` (${report.damage})`}`,
    );
  if (movedTables > 0)
    lines.push(
      `the metadata of ${counted(movedTables, "table")} was written anew: they were at ${shipment.dataFolder}`,
    );
  lines.push(
    `start it with the configuration of then: millrace serve --config FILE --data ${dataFolder}`,
    "it is the same job, and takes over the prefix where it ships there: the other instance, if there still is one, is then refused",
  );
  return lines;
}
