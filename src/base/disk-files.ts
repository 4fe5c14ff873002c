// Adapter of the Files port on the operating system's disk. Owns every fsync, link, rename and unlink of Millrace and brackets each
// with its failpoint. It does not know what the files hold.
//
// POSIX advisory locks, which SQLite uses, are dropped when a process closes ANY descriptor of the file: nothing here may open the
// main file or the -shm of a database that this process has open. The -wal carries no locks and may be synced.
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import {
  durably,
  Failpoints,
  parseFailpointPlans,
  type Failpoint,
  type FailpointPlan,
  type Step,
} from "./failpoints.ts";
import type { FileReader, Files, FileWriter } from "./files.ts";

/** The machine's disk, with failpoints that are armed. */
export class DiskFiles implements Files {
  readonly #failpoints: Failpoints;

  constructor(...plans: readonly FailpointPlan[]) {
    this.#failpoints = new Failpoints(plans);
  }

  reach(failpoint: Failpoint): void {
    this.#failpoints.reach(failpoint);
  }

  makeFolder(path: string): void {
    const missing: string[] = [];
    for (let folder = path; !existsSync(folder); folder = dirname(folder)) missing.push(folder);
    durably(this, "files.folder.make", () => {
      // mkdir also answers for a file in the way (EEXIST, ENOTDIR), which existsSync alone would hide
      mkdirSync(path, { recursive: true });
      for (const folder of missing.toReversed()) syncPath(dirname(folder));
    });
  }

  writeSynced(path: string, parts: readonly Uint8Array[], step: Step): number {
    return durably(this, step, () => {
      const file = openSync(path, "wx", 0o600);
      let lengthBytes = 0;
      try {
        for (const part of parts.slice(0, -1)) lengthBytes += writeAll(file, part);
        const last = parts.at(-1) ?? new Uint8Array(0);
        const half = last.length >>> 1;
        lengthBytes += writeAll(file, last.subarray(0, half));
        this.reach(`${step}.inside`);
        lengthBytes += writeAll(file, last.subarray(half));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      syncPath(dirname(path));
      return lengthBytes;
    });
  }

  create(path: string, step: Step): FileWriter {
    return durably(this, step, () => new DiskFileWriter(path, this));
  }

  open(path: string): FileReader {
    return new DiskFileReader(path);
  }

  linkExclusive(from: string, to: string, step: Step): boolean {
    return durably(this, step, () => {
      try {
        linkSync(from, to);
      } catch (error) {
        if (codeOf(error) === "EEXIST") return false;
        throw error;
      }
      syncPath(dirname(to));
      return true;
    });
  }

  link(from: string, to: string, step: Step): boolean {
    return durably(this, step, () => {
      try {
        linkSync(from, to);
        return true;
      } catch (error) {
        if (NO_LINKS.has(String(codeOf(error)))) return false;
        throw error;
      }
    });
  }

  renameOver(from: string, to: string, step: Step): void {
    durably(this, step, () => {
      renameSync(from, to);
      syncPath(dirname(to));
    });
  }

  unlink(path: string, step: Step): void {
    durably(this, step, () => {
      try {
        unlinkSync(path);
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error;
      }
    });
  }

  removeTree(path: string, step: Step): void {
    durably(this, step, () => {
      try {
        rmSync(path, { recursive: true, force: true });
      } catch (error) {
        // a file is where a folder above it would be: it is not there
        if (codeOf(error) !== "ENOTDIR") throw error;
      }
    });
  }

  list(path: string): string[] {
    try {
      return readdirSync(path).toSorted();
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  sync(path: string, step: Step): void {
    durably(this, step, () => syncPath(path));
  }

  sizeBytes(path: string): number {
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }

  freeBytes(path: string): number {
    if (this.#failpoints.isFull()) return 0;
    const system = statfsSync(path);
    return system.bavail * system.bsize;
  }

  read(path: string): Uint8Array {
    const bytes = readFileSync(path);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

/** Codes of link(2) that are no fault: another file system, one without links, a file with too many, one of another user (protected_hardlinks). */
const NO_LINKS: ReadonlySet<string> = new Set([
  "EXDEV",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EMLINK",
  "EPERM",
]);

/** Bytes of one call: the system refuses 2 GB and more. */
const CALL_BYTES_MAX = 1024 * 1024 * 1024;

class DiskFileWriter implements FileWriter {
  readonly #path: string;
  readonly #failpoints: Pick<Files, "reach">;
  readonly #file: number;
  #lengthBytes = 0;

  constructor(path: string, failpoints: Pick<Files, "reach">) {
    this.#path = path;
    this.#failpoints = failpoints;
    this.#file = openSync(path, "wx", 0o600);
  }

  write(bytes: Uint8Array): void {
    this.#lengthBytes += writeAll(this.#file, bytes);
  }

  finish(step: Step): number {
    return durably(this.#failpoints, step, () => {
      fsyncSync(this.#file);
      syncPath(dirname(this.#path));
      closeSync(this.#file);
      return this.#lengthBytes;
    });
  }

  abandon(step: Step): void {
    durably(this.#failpoints, step, () => {
      closeSync(this.#file);
      unlinkSync(this.#path);
    });
  }
}

class DiskFileReader implements FileReader {
  readonly sizeBytes: number;
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = openSync(path, "r");
    this.sizeBytes = fstatSync(this.#file).size;
  }

  read(offset: number, into: Uint8Array): void {
    for (let done = 0; done < into.length;) {
      const bytes = Math.min(into.length - done, CALL_BYTES_MAX);
      const count = readSync(this.#file, into, done, bytes, offset + done);
      if (count === 0) throw new Error(`${this.#path} ends before byte ${offset + into.length}`);
      done += count;
    }
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Writes all of `part`: a single write may be short (a full disk, a signal, more than 2 GB). Returns its length. */
function writeAll(file: number, part: Uint8Array): number {
  let written = 0;
  while (written < part.length)
    written += writeSync(
      file,
      part,
      written,
      Math.min(part.length - written, CALL_BYTES_MAX),
      null,
    );
  return written;
}

function syncPath(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : null;
}

/** The machine's disk, with the failpoints that MILLRACE_FAILPOINT names, if any. Throws FailpointPlanError for a bad text. */
export function openDiskFiles(failpoint: string | null): DiskFiles {
  return new DiskFiles(...(failpoint === null ? [] : parseFailpointPlans(failpoint)));
}
