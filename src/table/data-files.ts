// Which data files lie in a table's folder, and what a start finds of those that a ledger lists: those that are not there any more, or are of another length than was written.
import type { Files } from "../base/files.ts";
import type { LedgerFile } from "./ledger.ts";

/** Names of our data files: epoch, then a number that makes the name unique. */
const DATA_NAME = /^(\d{8,})-\d+\.parquet$/;

/** The lowest epoch that a data file can be of, by its name; 0: the name is not one of ours. */
export function dataFileEpoch(name: string): number {
  return Number(DATA_NAME.exec(name)?.[1] ?? 0);
}

/** A file in a table's data folder. */
export interface FoundFile {
  /** Absolute. */
  readonly path: string;
  /** As `dataFileEpoch`. */
  readonly epoch: number;
}

/** All files in the data folder of the table in `table`, and in the folders of its days. */
export function dataFilesOf(table: string, files: Pick<Files, "list">): FoundFile[] {
  const data = `${table}/data`;
  const isFolder = (name: string): boolean => name.includes("=");
  const names = files.list(data);
  const found = (folder: string, name: string): FoundFile => ({
    path: `${folder}/${name}`,
    epoch: dataFileEpoch(name),
  });
  return [
    ...names.filter((name) => !isFolder(name)).map((name) => found(data, name)),
    ...names
      .filter(isFolder)
      .flatMap((day) => files.list(`${data}/${day}`).map((name) => found(`${data}/${day}`, name))),
  ];
}

/** What is wrong with a file that is `foundBytes` long (0: not there), in a clause; null when nothing is. `bytes` null: its length is not known. */
export function sizeDamage(
  { path, bytes }: Pick<LedgerFile, "path" | "bytes">,
  foundBytes: number,
): string | null {
  if (foundBytes === 0) return `${path} is missing or empty`;
  if (bytes === null || foundBytes === bytes) return null;
  return `${path} has ${foundBytes} bytes, ${bytes} were written`;
}

/** Damaged files that are named; the others are counted. */
const NAMED_MAX = 3;

/**
 * What is wrong with the data files of a table, in a sentence that says what to do; null when nothing is. `listed`: with absolute paths.
 * Costs a stat for each file; bytes are not read.
 */
export function damageOf(
  table: string,
  listed: readonly Pick<LedgerFile, "path" | "bytes">[],
  files: Pick<Files, "sizeBytes">,
): string | null {
  const damages = listed.flatMap((file) => sizeDamage(file, files.sizeBytes(file.path)) ?? []);
  if (damages.length === 0) return null;
  const rest = damages.length - NAMED_MAX;
  const named = damages.slice(0, NAMED_MAX).join("; ") + (rest > 0 ? `; and ${rest} more` : "");
  return (
    `table ${table}: ${damages.length} of its ${listed.length} data files are damaged: ${named}. SQL that reads them fails, events are taken ` +
    "as ever. Stop Millrace, put these files back from a backup (they never change), or restore the whole data folder from one, and start again"
  );
}
