// Checksums of what state.db holds, and what is said when one does not fit.
import { SQLiteError } from "bun:sqlite";
import { CheckpointError } from "./store.ts";

/** What is stored of a value. */
export interface Stored {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
}

/** xxHash3 of the bytes, exclusive-or that of the row's key as text: it finds changed bytes and exchanged rows. */
export function hashOf(key: string, bytes: Uint8Array): Uint8Array {
  const hash = new Uint8Array(8);
  const value = Bun.hash.xxHash3(bytes) ^ Bun.hash.xxHash3(key);
  new DataView(hash.buffer).setBigUint64(0, value, true);
  return hash;
}

/** The bytes of a row of the file at `path`. Throws CheckpointError when they are not what was stored under `key`. */
export function checked(path: string, key: string, { hash, bytes }: Stored): Uint8Array {
  if (Buffer.compare(hash, hashOf(key, bytes)) !== 0)
    throw new CheckpointError(damaged(path, `the checksum of ${key} differs`));
  return bytes;
}

/** An error of SQLite as the operator should see it: CheckpointError when the file is damaged. */
export function openError(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  if (error.code !== "SQLITE_NOTADB" && !(error.code ?? "").startsWith("SQLITE_CORRUPT"))
    return error;
  return new CheckpointError(damaged(path, error.message));
}

export function damaged(path: string, what: string): string {
  return (
    `${path} is damaged or not a checkpoint of Millrace (${what}). Copy the data folder aside, check the disk, and restore the folder ` +
    "from a backup"
  );
}
