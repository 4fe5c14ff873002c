// What is said when ledger.db cannot be read or written, and when it is not one to go on with.

/** Operating error, latched: the ledger could not be read or written. The process must end; the next start recovers. */
export class LedgerFailedError extends Error {
  override readonly name: string = "LedgerFailedError";
}

/** Operating error: ledger.db is not this job's, or damaged. The message says what to do. */
export class LedgerRefusedError extends LedgerFailedError {
  override readonly name: string = "LedgerRefusedError";
}

/** An error of a step on the ledger at `path` as the operator should see it: LedgerRefusedError when the file is damaged. */
export function ledgerError(path: string, operation: string, cause: unknown): LedgerFailedError {
  if (cause instanceof LedgerFailedError) return cause;
  if (isDamage(cause)) return new LedgerRefusedError(damagedLedger(path, cause.message), { cause });
  return new LedgerFailedError(
    `ledger ${path}: ${operation} failed (${String(cause)}). Check the disk, then start again: recovery continues from the last recorded epoch.`,
    { cause },
  );
}

/** `what`: as SQLite says it; its last line says what is wrong, the others where. */
export function damagedLedger(path: string, what: string): string {
  const reason = what.split("\n").at(-1);
  return (
    `${path} is damaged or not a ledger of Millrace (${reason}): which files of the tables are whole cannot be told without it. ` +
    "Copy the data folder aside, check the disk, and restore the whole data folder from one backup"
  );
}

/** What SQLite says of bytes that are not a database, and our own reading of values that are not what was stored. */
function isDamage(cause: unknown): cause is Error {
  if (!(cause instanceof Error)) return false;
  if (cause instanceof SyntaxError) return true;
  return /^SQLITE_(NOTADB|CORRUPT)/.test(String(Reflect.get(cause, "code")));
}
