// Verb: one table on disk against the ledger -> whether both tell the same history and all files are there.
import { counted } from "../base/counted.ts";
import { basename } from "node:path";
import { plainText, type JsonObject } from "../table/lossless-json.ts";
import { highestMarker, listAt, objectAt, readMarker } from "../table/metadata.ts";
import { MetadataFiles, pathOf, versionOf } from "../table/metadata-files.ts";
import { decideRecovery } from "../table/recovery.ts";
import { readDeep, type DeepReader } from "./deep-check.ts";
import { checkPresence, compareLedger, findOrphans } from "./files-check.ts";
import { readHistory, type FilesUnderCheck, type KnownTable } from "./history.ts";
import type { Place } from "./place.ts";
import { Findings, type Check, type Repair } from "./report.ts";

/** A table of the ledger, on disk. */
export interface TableUnderCheck extends KnownTable {
  /** Absolute. */
  readonly folder: string;
  /** Null: values are not read. */
  readonly deep: DeepReader | null;
}

const RESTORE = "Restore the whole data folder, warehouse included, from one backup";

export async function checkTable(place: Place, table: TableUnderCheck): Promise<Check> {
  const findings = new Findings(`table ${table.name}`);
  const metadataFiles = new MetadataFiles(table.folder, place.files);
  const version = metadataFiles.versions().at(-1);
  if (version === undefined) {
    checkAbsent(table, findings);
    return findings.check("no metadata");
  }
  const metadata = findings.try(() => metadataFiles.read(version));
  if (metadata === null) return findings.check("its metadata cannot be read");
  checkHint(metadataFiles, version, { folder: table.folder, place, findings });
  if (metadata["location"] !== `file://${table.folder}`) {
    findings.damaged(
      `${table.folder} was written as ${plainText(metadata["location"])}: its files are named by absolute paths. Move the data folder back`,
    );
    return findings.check("it lies elsewhere");
  }
  const isForeign = findings.try(() => checkSnapshots(metadata, table, { place, findings }));
  const isDeep = table.deep !== null;
  const from = { metadataFiles, files: place.files, isDeep };
  const history = findings.try(() => readHistory(metadata, from, findings));
  if (history === null || isForeign === null) return findings.check("its history cannot be read");
  const under: FilesUnderCheck = {
    folder: table.folder,
    recorded: table.ledger
      .files(table.name)
      .map((file) => ({ ...file, path: `${table.folder}/${file.path}` })),
    history,
    committed: highestMarker(metadata)?.epoch ?? 0,
    isForeign,
  };
  compareLedger(under, findings);
  const bytes = checkPresence(under, place.files, findings);
  if (table.deep !== null) await readDeep(table.deep, under, { metadata, place, findings });
  findOrphans(under, { table, place, findings });
  return findings.check(
    `${counted(under.recorded.length, "file")}, ${counted(bytes, "byte")}, ${counted(listAt(metadata, "snapshots").length, "snapshot")}, epoch ` +
      `${table.ledger.lastEpochs(table.name).recorded}`,
  );
}

interface Context {
  readonly place: Place;
  readonly findings: Findings;
}

/** The hint leads other programs to the newest metadata, `newest`. */
function checkHint(
  metadata: MetadataFiles,
  newest: number,
  at: Context & { readonly folder: string },
): void {
  const { folder, place, findings } = at;
  const hint = metadata.hint();
  const repair: Repair = {
    kind: "hint",
    path: folder,
    version: newest,
    why: "it is not the newest version",
  };
  const isThere = hint !== null && place.files.exists(metadata.pathOf(hint));
  if (metadata.newestVersion() !== newest || (!isThere && place.files.exists(metadata.hintPath)))
    findings.repairable(
      `${metadata.hintPath} does not lead to v${newest}, the newest metadata: other programs read an older table or none`,
      [repair],
    );
  else if (hint !== newest)
    findings.note(
      `the version hint is behind v${newest}, as after a kill: the next commit sets it right`,
      [repair],
    );
}

/** A table without metadata was never written to, or is gone. */
function checkAbsent({ folder, name, ledger }: TableUnderCheck, findings: Findings): void {
  if (ledger.lastEpochs(name).recorded === 0) findings.note("nothing was written to it yet");
  else
    findings.damaged(
      `${folder} has no metadata. If the folder was removed on purpose, while the raw export of its stream is off, all is well; else: ${RESTORE}`,
    );
}

/** Markers and epochs of all kept snapshots. True when other programs have made some. */
function checkSnapshots(
  metadata: JsonObject,
  { name, ledger }: TableUnderCheck,
  { place, findings }: Context,
): boolean {
  const { jobId, files } = place;
  const highest = highestMarker(metadata);
  const decision = decideRecovery({
    jobId,
    marker: highest,
    position: ledger.epochPosition(name, highest?.epoch ?? 0),
    ...ledger.lastEpochs(name),
  });
  if (decision.kind === "refuse") findings.damaged(`a start is refused: ${decision.reason}`);
  let foreign = 0;
  for (const snapshot of listAt(metadata, "snapshots")) {
    const id = plainText(snapshot["snapshot-id"]);
    const marker = readMarker(objectAt(snapshot, "summary"));
    if (marker === null) {
      foreign++;
      continue;
    }
    const position = ledger.epochPosition(name, marker.epoch);
    if (marker.jobId !== jobId)
      findings.damaged(`snapshot ${id} was written by job ${marker.jobId}, not by ${jobId}`);
    else if (position !== marker.position)
      findings.damaged(
        `snapshot ${id} says epoch ${marker.epoch} at log position ${marker.position}, ${
          position === null ? "which the ledger does not know" : `the ledger says ${position}`
        }: another instance wrote it, or the data folder is an older copy. ${RESTORE}`,
      );
  }
  if (foreign > 0) findings.note(`${counted(foreign, "snapshot")} of other programs`);
  for (const entry of listAt(metadata, "metadata-log")) {
    const path = pathOf(plainText(entry["metadata-file"]));
    if (versionOf(basename(path)) > 0 && !files.exists(path))
      findings.damaged(
        `${path} is missing: a program that has resolved it cannot read the table. Put it back from a backup (it never changes)`,
      );
  }
  return foreign > 0;
}
