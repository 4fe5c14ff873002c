// Keeps open the log files that a reader in another thread of this process comes to next. Who opens a sealed file first has its -wal scanned
// by SQLite, 100 ms for 128 MB; whoever opens it then finds the index made. Reads nothing, and finds files by their names alone.
import { join } from "node:path";
import type { Files } from "../base/files.ts";
import {
  isMissingFile,
  logFileError,
  logFileFirst,
  logFileName,
  LogFileReader,
} from "./log-file.ts";

export class LogFilesAhead {
  readonly #folder: string;
  readonly #files: Files;
  #open: LogFileReader[] = [];

  /** Nothing is touched before the first call. */
  constructor(folder: string, files: Files) {
    this.#folder = folder;
    this.#files = files;
  }

  /** From now on the file with `position` and the one after it are open, others are not. Throws LogFolderError when one is damaged. */
  keep(position: number): void {
    const firsts = this.#files
      .list(this.#folder)
      .map(logFileFirst)
      .filter((first) => first !== null);
    const at = firsts.findLastIndex((first) => first <= position);
    const wanted = firsts.slice(Math.max(0, at), at + 2);
    const open = wanted.flatMap((first) => {
      const known = this.#open.find((file) => file.first === first) ?? this.#opened(first);
      return known === null ? [] : [known];
    });
    for (const file of this.#open) if (!open.includes(file)) file.close();
    this.#open = open;
  }

  close(): void {
    for (const file of this.#open) file.close();
    this.#open = [];
  }

  /** Null: it was trimmed meanwhile. */
  #opened(first: number): LogFileReader | null {
    const path = join(this.#folder, logFileName(first));
    if (!this.#files.exists(path)) return null;
    try {
      return new LogFileReader(path, first, null);
    } catch (error) {
      if (isMissingFile(error)) return null;
      throw logFileError(error, path);
    }
  }
}
