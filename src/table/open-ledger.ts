// Whether a file is a ledger to go on with: whose it is, of which format, whether it is whole. Reads only.
import type { Database } from "bun:sqlite";
import { damagedLedger, LedgerRefusedError } from "./ledger-failure.ts";
import { hasItsRows } from "./ledger-rows.ts";
import { LEDGER_APPLICATION_ID, LEDGER_FORMAT } from "./ledger-schema.ts";

/** Only a file without tables becomes a ledger. Reads: a file that is not ours is not even switched to another journal. */
export function refuseForeign(database: Database, path: string): void {
  const found = database
    .query(
      "SELECT application_id AS application, (SELECT count(*) FROM sqlite_schema) AS tables FROM pragma_application_id",
    )
    .get() as { application: number; tables: number };
  if (found.tables === 0 || found.application === LEDGER_APPLICATION_ID) return;
  throw new LedgerRefusedError(
    `${path} is a database of another program, not a ledger of Millrace: it was left as it is. Move it away, or give another data folder.`,
  );
}

/** Every page is looked at once, as recovery reads nearly all of them: damage is found before anything is built on what is left. */
export function refuseDamaged(
  database: Database,
  path: string,
  check: "quick_check" | "integrity_check",
): void {
  const found = database.query(`PRAGMA ${check}(1)`).get() as Readonly<Record<string, string>>;
  const said = found[check] ?? "";
  if (said !== "ok") throw new LedgerRefusedError(damagedLedger(path, said));
}

/** PRAGMA user_version; 0 = there is nothing in it. */
export function formatOf(database: Database): number {
  return (database.query("PRAGMA user_version").get() as { user_version: number }).user_version;
}

/** Throws LedgerRefusedError for a format that this release does not know, and when rows were changed or lost. */
export function checkFormat(database: Database, path: string): void {
  const format = formatOf(database);
  if (format !== LEDGER_FORMAT)
    throw new LedgerRefusedError(
      `ledger ${path} has format ${format}, this release knows ${LEDGER_FORMAT}. Use the release that wrote it.`,
    );
  if (!hasItsRows(database))
    throw new LedgerRefusedError(damagedLedger(path, "its rows have a wrong checksum"));
}

/** Throws LedgerRefusedError for the ledger of another job. */
export function checkJob(database: Database, path: string, jobId: string): void {
  const job = database.query("SELECT id FROM job").get() as { id: string } | null;
  if (job?.id !== jobId)
    throw new LedgerRefusedError(
      `ledger ${path} is of job ${job?.id ?? "?"}, this is job ${jobId}. Restore the files of one data folder together.`,
    );
}
