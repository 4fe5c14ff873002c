// What a start finds of the data files that a ledger lists: those that are not there any more, or are of another length than was written.
import type { Files } from "../base/files.ts";
import type { LedgerFile } from "./ledger.ts";

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
  const damages: string[] = [];
  for (const { path, bytes } of listed) {
    const found = files.sizeBytes(path);
    if (found === 0) damages.push(`${path} is missing or empty`);
    else if (bytes !== null && found !== bytes)
      damages.push(`${path} has ${found} bytes, ${bytes} were written`);
  }
  if (damages.length === 0) return null;
  const rest = damages.length - NAMED_MAX;
  const named = damages.slice(0, NAMED_MAX).join("; ") + (rest > 0 ? `; and ${rest} more` : "");
  return (
    `table ${table}: ${damages.length} of its ${listed.length} data files are damaged: ${named}. SQL that reads them fails, events are taken ` +
    "as ever. Stop Millrace, put these files back from a backup (they never change), or restore the whole data folder from one, and start again"
  );
}
