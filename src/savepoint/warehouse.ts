// Verb: the warehouse at one moment -> the files that belong to it. Data files by the ledger, metadata by its numbers, what other programs put into
// a table's folders by being there. Names are never used twice, so that a list is enough: the caller sees to it that nothing is unlinked meanwhile.
import { join } from "node:path";
import type { Files } from "../base/files.ts";
import { dataFilesOf, sizeDamage } from "../table/data-files.ts";
import type { Ledger } from "../table/ledger.ts";
import { manifestVersionOf, MetadataFiles, versionOf } from "../table/metadata-files.ts";
import { SavepointError, type SavepointTable } from "./manifest.ts";

/** Newest metadata of each table by `namespace.table`; tables that have none are left out. */
export type TableVersions = ReadonlyMap<string, number>;

/** The moment is now. Every folder of the warehouse that has metadata is looked at, whoever made it. */
export function tableVersions(warehouse: string, files: Files): TableVersions {
  const versions = new Map<string, number>();
  for (const namespace of files.list(warehouse))
    for (const table of files.list(join(warehouse, namespace))) {
      const version = metadataOf(warehouse, `${namespace}.${table}`, files).newestVersion();
      if (version > 0) versions.set(`${namespace}.${table}`, version);
    }
  return versions;
}

/** A table's files, relative to the warehouse; without the hint, which is written anew. */
export interface TableFiles extends SavepointTable {
  /** Relative to the warehouse. */
  readonly folder: string;
  /** Relative to the table's folder. */
  readonly paths: readonly string[];
}

/** The files of the tables that the ledger knows. Throws SavepointError when one that it lists is missing or was cut. */
export function tablesAt(
  moment: { readonly versions: TableVersions; readonly ledger: Ledger | null },
  warehouse: string,
  files: Files,
): TableFiles[] {
  const { versions, ledger } = moment;
  if (ledger === null) return [];
  return ledger.tables().map(({ name }) => {
    const folder = folderOf(name);
    const version = versions.get(name) ?? 0;
    const paths = [
      ...dataAt(name, { warehouse, ledger, files }),
      ...metadataAt(join(warehouse, folder), version, files),
    ];
    return { name, folder, version, epoch: ledger.lastEpochs(name).recorded, paths };
  });
}

/** Tables of the warehouse that the ledger does not know: not Millrace's. */
export function foreignTables(versions: TableVersions, known: readonly SavepointTable[]): string[] {
  const names = new Set(known.map(({ name }) => name));
  return [...versions.keys()].filter((name) => !names.has(name));
}

/** `default.clicks` -> `default/clicks`. */
export function folderOf(table: string): string {
  const dot = table.indexOf(".");
  return join(table.slice(0, dot), table.slice(dot + 1));
}

function metadataOf(warehouse: string, table: string, files: Files): MetadataFiles {
  return new MetadataFiles(join(warehouse, folderOf(table)), files);
}

function dataAt(
  table: string,
  from: { readonly warehouse: string; readonly ledger: Ledger; readonly files: Files },
): string[] {
  const { warehouse, ledger, files } = from;
  const folder = join(warehouse, folderOf(table));
  const recorded = ledger.files(table);
  for (const { path, bytes } of recorded) {
    const file = join(folder, path);
    const damage = sizeDamage({ path: file, bytes }, files.sizeBytes(file));
    if (damage !== null)
      throw new SavepointError(
        `${damage}: a savepoint without it would lack rows. Put the file back from a backup (it never changes), then make the savepoint`,
      );
  }
  // one of ours that the ledger does not know yet is of a cut that came later
  const foreign = dataFilesOf(folder, files).filter(({ epoch }) => epoch === 0);
  return [
    ...recorded.map(({ path }) => path),
    ...foreign.map(({ path }) => path.slice(folder.length + 1)),
  ];
}

/** Metadata, lists and manifests up to a version. Hidden files are other programs' checksums of what is written anew at a restore. */
function metadataAt(folder: string, version: number, files: Files): string[] {
  const metadata = new MetadataFiles(folder, files);
  const isOfMoment = (name: string): boolean =>
    !name.startsWith(".") &&
    !name.endsWith(".tmp") &&
    join(metadata.folder, name) !== metadata.hintPath &&
    versionOf(name) <= version &&
    manifestVersionOf(name) <= version;
  return version === 0
    ? []
    : files
        .list(metadata.folder)
        .filter(isOfMoment)
        .map((name) => `metadata/${name}`);
}
