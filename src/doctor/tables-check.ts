// Verb: the warehouse -> a check for each table of the ledger, and what lies there that the ledger does not know.
import { counted } from "../base/counted.ts";
import { join } from "node:path";
import { warehouseFolderOf } from "../log/data-folder.ts";
import type { Ledger } from "../table/ledger.ts";
import { highestMarker } from "../table/metadata.ts";
import { MetadataFiles } from "../table/metadata-files.ts";
import { DeepReader } from "./deep-check.ts";
import type { Place } from "./place.ts";
import { Findings, type Check } from "./report.ts";
import { checkTable } from "./table-check.ts";

/** `ledger` null: nothing was ever recorded. */
export async function checkTables(place: Place, ledger: Ledger | null): Promise<Check[]> {
  const known = ledger?.tables() ?? [];
  const checks: Check[] = [];
  const deep = place.isDeep ? await DeepReader.open() : null;
  try {
    for (const { name, epochNext } of known) {
      const folder = join(warehouseFolderOf(place.folder), ...name.split("."));
      if (ledger !== null)
        checks.push(await checkTable(place, { name, folder, epochNext, ledger, deep }));
    }
  } finally {
    deep?.close();
  }
  return [...checks, checkUnknown(place, new Set(known.map(({ name }) => name)))];
}

/** Tables in the warehouse that the ledger does not know. */
function checkUnknown({ folder, files, jobId }: Place, known: ReadonlySet<string>): Check {
  const findings = new Findings("warehouse");
  const warehouse = warehouseFolderOf(folder);
  const inside = (path: string): string[] => {
    try {
      return files.list(path);
    } catch {
      // a file: not a namespace
      return [];
    }
  };
  for (const namespace of files.list(warehouse))
    for (const table of inside(`${warehouse}/${namespace}`)) {
      const path = `${warehouse}/${namespace}/${table}`;
      if (known.has(`${namespace}.${table}`) || !files.exists(`${path}/metadata`)) continue;
      const newest = findings.try(() => new MetadataFiles(path, files).newest());
      const marker = newest === null ? null : highestMarker(newest.metadata);
      if (marker?.jobId === jobId)
        findings.damaged(
          `${path} is a table of this data folder at epoch ${marker.epoch}, but the ledger does not know it: SQL lacks its rows. Restore ` +
            "ledger.db, or the whole data folder, from a backup",
        );
      else
        findings.note(
          `${path} is not in the ledger: another program's, or of a start that was killed`,
        );
    }
  return findings.check(`${counted(known.size, "table")} in the ledger`);
}
