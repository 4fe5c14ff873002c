// Verb: the files of one table: in the ledger, in its snapshots, on the disk -> which are missing, unknown to one of them, or named by nobody.
import { counted } from "../base/counted.ts";
import { basename } from "node:path";
import type { Files } from "../base/files.ts";
import { dataFileEpoch, dataFilesOf, sizeDamage } from "../table/data-files.ts";
import { manifestVersionOf } from "../table/metadata-files.ts";
import type { FilesUnderCheck, KnownTable } from "./history.ts";
import type { Place } from "./place.ts";
import { type Findings, type Repair } from "./report.ts";

const PUT_BACK = "Put it back from a backup (it never changes), or restore the whole data folder";

/** What the ledger says is committed is in the current snapshot, and the other way round. */
export function compareLedger(under: FilesUnderCheck, findings: Findings): void {
  const { recorded, history, committed, isForeign } = under;
  const known = new Set(recorded.map(({ path }) => path));
  let gone = 0;
  for (const { epoch, path, removedEpoch } of recorded) {
    const isLive = epoch <= committed && (removedEpoch === null || removedEpoch > committed);
    if (!isLive || history.current.has(path)) continue;
    if (isForeign) gone++;
    else
      findings.damaged(
        `${path} of epoch ${epoch} is committed by the ledger, but the current snapshot does not have it. Restore the whole data folder, ` +
          "warehouse included, from one backup",
      );
  }
  if (gone > 0)
    findings.note(`other programs took ${counted(gone, "file")} out of the current snapshot`);
  for (const path of history.current.keys())
    if (!known.has(path) && dataFileEpoch(basename(path)) > 0)
      findings.damaged(
        `${path} is in the current snapshot, but the ledger does not know it: SQL lacks its rows, and a start would remove it. Do not start ` +
          "Millrace; restore ledger.db, or the whole data folder, from a backup",
      );
}

/** All files that the ledger or a snapshot names are there, with their lengths. Returns the bytes of those of the ledger. */
export function checkPresence(
  { recorded, history }: FilesUnderCheck,
  files: Pick<Files, "sizeBytes">,
  findings: Findings,
): number {
  const look = (path: string, bytes: number | null): number => {
    const found = files.sizeBytes(path);
    const damage = sizeDamage({ path, bytes }, found);
    if (damage !== null) findings.damaged(`${damage}. ${PUT_BACK}`);
    return found;
  };
  let sum = 0;
  const known = new Set<string>();
  for (const { path, bytes } of recorded) {
    sum += look(path, bytes ?? history.named.get(path) ?? null);
    known.add(path);
  }
  for (const [path, bytes] of history.named) if (!known.has(path)) look(path, bytes);
  return sum;
}

/**
 * Files in the table's folder that neither the ledger nor any kept snapshot has. Those that an interrupted run explains are the next start's; older
 * ones are nobody's.
 */
export function findOrphans(
  under: FilesUnderCheck,
  at: {
    readonly table: KnownTable;
    readonly place: Place;
    readonly findings: Findings;
  },
): void {
  const { table, place, findings } = at;
  const { files } = place;
  const named = new Set([...under.recorded.map(({ path }) => path), ...under.history.named.keys()]);
  const orphans = dataFilesOf(under.folder, files).filter(
    ({ path }) => !named.has(path) && !/^[._]/.test(basename(path)),
  );
  // a cut that was interrupted is of an epoch that its writer has not recorded; several writers number theirs together
  const { ledger, name, epochNext } = table;
  const ends = ledger
    .writers()
    .filter((writer) => writer.table === name)
    .map(({ writer }) => ledger.writerPosition(name, writer).epoch + 1);
  const interrupted = Math.min(epochNext, ...ends);
  const sizes = (paths: readonly string[]): string =>
    `${counted(paths.length, "file")}, ${counted(
      paths.reduce((sum, path) => sum + files.sizeBytes(path), 0),
      "byte",
    )}`;
  const fresh = orphans.filter(({ epoch }) => epoch >= interrupted).map(({ path }) => path);
  if (fresh.length > 0)
    findings.note(`an interrupted run left ${sizes(fresh)}: the next start removes them`);
  const old = orphans.filter(({ epoch }) => epoch > 0 && epoch < interrupted);
  const repairs = old.map(({ path }): Repair => ({
    kind: "remove",
    path,
    why: "neither ledger nor any snapshot has it",
  }));
  if (old.length > 0)
    findings.repairable(
      `orphan data files, that neither the ledger nor any snapshot has: ${sizes(old.map(({ path }) => path))}`,
      repairs,
    );
  const doubtful = orphans
    .filter(({ path, epoch }) => epoch === 0 && !isAbove(path, under.history.named))
    .map(({ path }) => path);
  if (doubtful.length > 0)
    findings.repairable(
      `files in its data folder that are not Millrace's and in no snapshot: ${sizes(doubtful)}`,
      doubtful.map((path) => ({ kind: "move", path, why: "no snapshot has it" })),
    );
  const strays = strayMetadata(under, files);
  if (strays.length > 0)
    findings.note(
      `${counted(strays.length, "temporary or expired file")} in ${under.folder}/metadata`,
      strays.map((path) => ({ kind: "remove", path, why: "no snapshot names it" })),
    );
}

/** Temporary files, and manifests and lists of ours that no kept snapshot names. */
function strayMetadata(under: FilesUnderCheck, files: Files): string[] {
  const folder = `${under.folder}/metadata`;
  return files
    .list(folder)
    .filter((name) => {
      if (name.endsWith(".tmp")) return true;
      return manifestVersionOf(name) > 0 && !under.history.avro.has(`${folder}/${name}`);
    })
    .map((name) => `${folder}/${name}`);
}

/** Whether a path is a folder of named files, as other programs lay them out. */
function isAbove(path: string, named: ReadonlyMap<string, number>): boolean {
  for (const other of named.keys()) if (other.startsWith(`${path}/`)) return true;
  return false;
}
