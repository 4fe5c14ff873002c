// The one port for everything on disk that must survive a crash: every sync, link, rename and unlink of Millrace goes through here,
// named each, so that tests can fail or kill just before it, in its middle and just after it. SQLite does its own I/O; its transactions are
// bracketed by `durably` (failpoints.ts). Adapters: disk-files.ts (real), memory-files.ts (tests, simulator).
import type { Failpoint, Step } from "./failpoints.ts";

/** A new file that is written in order, piece by piece. */
export interface FileWriter {
  write(bytes: Uint8Array): void;
  /** Syncs and closes the file, then syncs its folder. Returns its length in bytes. */
  finish(step: Step): number;
  /** Closes the file and removes it: nobody has been told of it. */
  abandon(step: Step): void;
}

/** An open file. It can be read after it was unlinked. */
export interface FileReader {
  readonly sizeBytes: number;
  /** Fills `into` with the bytes from `offset`. Throws when the file ends before. */
  read(offset: number, into: Uint8Array): void;
  close(): void;
}

/** Folders and files by absolute path. Synchronous: called from threads that own their disk work. All methods throw OS errors. */
export interface Files {
  /** Announces a moment of a durable step that another library carries out: see `durably`. */
  reach(failpoint: Failpoint): void;
  /** Creates a folder and its parents, and syncs the parents of those that are new. No error when it exists. */
  makeFolder(path: string): void;
  /** Writes a new file from `parts` in order, syncs it and its folder. The file must not exist. Returns its length in bytes. */
  writeSynced(path: string, parts: readonly Uint8Array[], step: Step): number;
  /** Begins a new file; it must not exist. For files too large for `writeSynced`. */
  create(path: string, step: Step): FileWriter;
  /** Opens a file for reading parts of it. Throws when it is not there. */
  open(path: string): FileReader;
  /** Hard-links `from` to `to` and syncs the folder: exclusive creation. False when `to` exists. */
  linkExclusive(from: string, to: string, step: Step): boolean;
  /** Hard-links `from` to `to`, which must not exist, without a sync: `sync` the folder of `to`. False where `to` is on another file system, or its file system has no links. */
  link(from: string, to: string, step: Step): boolean;
  /** Replaces `to` by `from` and syncs the folder. */
  renameOver(from: string, to: string, step: Step): void;
  /** Removes a file; no error when it is not there. The removal is durable after a `sync` of the folder. */
  unlink(path: string, step: Step): void;
  /** Removes a file, or a folder and all that is in it; no error when it is not there. For what nobody needs: nothing is synced. */
  removeTree(path: string, step: Step): void;
  /** Names in a folder, sorted; empty when the folder is not there. */
  list(path: string): string[];
  exists(path: string): boolean;
  /** Syncs an existing file or folder. Never call it for a file of an open SQLite database other than its -wal: see disk-files.ts. */
  sync(path: string, step: Step): void;
  /** Length of a file in bytes; 0 when it is not there. */
  sizeBytes(path: string): number;
  /** Bytes that can still be written below a folder; an ENOSPC at the failpoint files.free.measure makes it 0. */
  freeBytes(path: string): number;
  /** The whole file. Throws when it is not there. */
  read(path: string): Uint8Array;
}
