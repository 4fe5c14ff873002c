// Verb: repairs of a report -> done. Each is one step that a kill leaves done or undone, and doing it again changes nothing.
import { dirname, join, relative } from "node:path";
import { unreachable } from "../base/assert.ts";
import type { Files } from "../base/files.ts";
import { MetadataFiles } from "../table/metadata-files.ts";
import { repairText, type Repair } from "./report.ts";

/** Where what is doubtful goes: `<data folder>/doctor/<time>/`, at the place that it had. */
export const ASIDE_FOLDER = "doctor";

/** A data folder under repair. */
export interface RepairPlace {
  readonly folder: string;
  readonly files: Files;
  readonly nowUs: number;
}

/** Carries them out in order; says each that is done. Throws OS errors: what was done stays done. */
export function repairAll(
  repairs: readonly Repair[],
  place: RepairPlace,
  say: (text: string) => void,
): void {
  const touched = new Set<string>();
  for (const repair of repairs) {
    if (!place.files.exists(repair.path)) continue;
    carryOut(repair, place);
    if (repair.kind !== "hint") touched.add(dirname(repair.path));
    say(`done: ${repairText(repair)}`);
  }
  for (const folder of touched) place.files.sync(folder, "doctor.sync");
}

function carryOut(repair: Repair, { folder, files, nowUs }: RepairPlace): void {
  switch (repair.kind) {
    case "remove":
      return files.unlink(repair.path, "doctor.remove");
    case "move": {
      const time = new Date(nowUs / 1000).toISOString().replaceAll(/[-:]/g, "");
      const to = join(folder, ASIDE_FOLDER, time, relative(folder, repair.path));
      files.makeFolder(dirname(to));
      return files.renameOver(repair.path, to, "doctor.move");
    }
    case "hint":
      return new MetadataFiles(repair.path, files).writeHint(repair.version);
    default:
      return unreachable(repair);
  }
}
