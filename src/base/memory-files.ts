// Adapter of the Files port in memory: for tests and the simulator. Owns a tree of byte arrays; keeps what a disk would keep, and
// throws errors with the codes that a disk gives. SQLite and DuckDB cannot see these files.
import { dirname } from "node:path";
import {
  durably,
  Failpoints,
  type Failpoint,
  type FailpointPlan,
  type Step,
} from "./failpoints.ts";
import type { FileReader, Files, FileWriter } from "./files.ts";

/** An error with an operating system's code, as node:fs throws. */
class MemoryFilesError extends Error {
  override readonly name = "MemoryFilesError";
  readonly code: string;
  constructor(code: string, path: string) {
    super(`${code}: ${path}`);
    this.code = code;
  }
}

/** Files in memory with room for `capacityBytes`; ENOSPC beyond. */
export class MemoryFiles implements Files {
  readonly #failpoints: Failpoints;
  readonly #capacityBytes: number;
  readonly #files = new Map<string, Uint8Array>();
  readonly #folders = new Set<string>(["/"]);

  constructor(options: { plan?: FailpointPlan; capacityBytes?: number } = {}) {
    this.#failpoints = new Failpoints(options.plan === undefined ? [] : [options.plan]);
    this.#capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
  }

  reach(failpoint: Failpoint): void {
    this.#failpoints.reach(failpoint);
  }

  makeFolder(path: string): void {
    durably(this, "files.folder.make", () => {
      for (let folder = path; !this.#folders.has(folder); folder = dirname(folder)) {
        if (this.#files.has(folder)) throw new MemoryFilesError("EEXIST", folder);
        this.#folders.add(folder);
      }
    });
  }

  writeSynced(path: string, parts: readonly Uint8Array[], step: Step): number {
    return durably(this, step, () => {
      this.#mustHaveFolder(path);
      if (this.exists(path)) throw new MemoryFilesError("EEXIST", path);
      const bytes = new Uint8Array(Buffer.concat(parts));
      if (bytes.length > this.#free()) throw new MemoryFilesError("ENOSPC", path);
      this.#files.set(path, bytes.subarray(0, bytes.length >>> 1));
      this.reach(`${step}.inside`);
      this.#files.set(path, bytes);
      return bytes.length;
    });
  }

  create(path: string, step: Step): FileWriter {
    durably(this, step, () => {
      this.#mustHaveFolder(path);
      if (this.exists(path)) throw new MemoryFilesError("EEXIST", path);
      this.#files.set(path, new Uint8Array(0));
    });
    const parts: Uint8Array[] = [];
    return {
      write: (bytes) => {
        if (bytes.length > this.#free()) throw new MemoryFilesError("ENOSPC", path);
        parts.push(bytes.slice());
        this.#files.set(path, new Uint8Array(Buffer.concat(parts)));
      },
      finish: (last) => durably(this, last, () => this.sizeBytes(path)),
      abandon: (last) => durably(this, last, () => void this.#files.delete(path)),
    };
  }

  open(path: string): FileReader {
    const bytes = this.#mustRead(path);
    return {
      sizeBytes: bytes.length,
      read: (offset, into) => {
        if (offset + into.length > bytes.length)
          throw new Error(`${path} ends before byte ${offset + into.length}`);
        into.set(bytes.subarray(offset, offset + into.length));
      },
      close: () => {},
    };
  }

  linkExclusive(from: string, to: string, step: Step): boolean {
    return durably(this, step, () => {
      const bytes = this.#mustRead(from);
      this.#mustHaveFolder(to);
      if (this.exists(to)) return false;
      this.#files.set(to, bytes);
      return true;
    });
  }

  link(from: string, to: string, step: Step): boolean {
    if (this.linkExclusive(from, to, step)) return true;
    throw new MemoryFilesError("EEXIST", to);
  }

  renameOver(from: string, to: string, step: Step): void {
    durably(this, step, () => {
      const bytes = this.#mustRead(from);
      this.#mustHaveFolder(to);
      this.#files.delete(from);
      this.#files.set(to, bytes);
    });
  }

  unlink(path: string, step: Step): void {
    durably(this, step, () => void this.#files.delete(path));
  }

  removeTree(path: string, step: Step): void {
    durably(this, step, () => {
      const isIn = (known: string): boolean => known === path || known.startsWith(`${path}/`);
      for (const known of this.#files.keys()) if (isIn(known)) this.#files.delete(known);
      for (const known of this.#folders) if (isIn(known)) this.#folders.delete(known);
    });
  }

  list(path: string): string[] {
    const names: string[] = [];
    for (const known of [...this.#files.keys(), ...this.#folders])
      if (known !== path && dirname(known) === path) names.push(known.slice(path.length + 1));
    return names.toSorted();
  }

  exists(path: string): boolean {
    return this.#files.has(path) || this.#folders.has(path);
  }

  sync(path: string, step: Step): void {
    durably(this, step, () => {
      if (!this.exists(path)) throw new MemoryFilesError("ENOENT", path);
    });
  }

  sizeBytes(path: string): number {
    return this.#files.get(path)?.length ?? 0;
  }

  freeBytes(_path: string): number {
    return this.#failpoints.isFull() ? 0 : this.#free();
  }

  #free(): number {
    let usedBytes = 0;
    for (const bytes of new Set(this.#files.values())) usedBytes += bytes.length;
    return this.#capacityBytes - usedBytes;
  }

  read(path: string): Uint8Array {
    return this.#mustRead(path).slice();
  }

  #mustRead(path: string): Uint8Array {
    const bytes = this.#files.get(path);
    if (bytes === undefined) throw new MemoryFilesError("ENOENT", path);
    return bytes;
  }

  #mustHaveFolder(path: string): void {
    if (!this.#folders.has(dirname(path))) throw new MemoryFilesError("ENOENT", dirname(path));
  }
}
