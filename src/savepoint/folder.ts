// The folder that a savepoint is written to: made, filled, finished by its manifest or removed again. Owns which files are in it, and how a file
// that never changes gets there: as a hard link where the file system has them, else as a copy.
import { readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, normalize } from "node:path";
import type { Files } from "../base/files.ts";
import { DISK_FREE_BYTES_MIN } from "../limits.ts";
import { RESTORING_NAME } from "../log/data-folder.ts";
import { copyFile, hashFile } from "./bytes.ts";
import {
  encodeManifest,
  MANIFEST_NAME,
  SavepointError,
  UNFINISHED_NAME,
  type Savepoint,
  type SavepointFile,
} from "./manifest.ts";
import type { SavepointPlace } from "./savepoint.ts";

const STEPS = {
  create: "savepoint.file.create",
  sync: "savepoint.file.sync",
  abandon: "savepoint.file.abandon",
} as const;

/** What may lie in an empty folder: a file system's own. */
const NOBODYS = "lost+found";

export class SavepointFolder implements SavepointPlace {
  /** Absolute, links resolved. */
  readonly path: string;
  readonly #files: Files;
  readonly #dataFolder: string;
  /** Whether it was there before. */
  readonly #wasThere: boolean;
  readonly #listed: SavepointFile[] = [];
  #linkedFiles = 0;
  #linkedBytes = 0;

  private constructor(path: string, dataFolder: string, at: { files: Files; wasThere: boolean }) {
    this.path = path;
    this.#dataFolder = dataFolder;
    this.#files = at.files;
    this.#wasThere = at.wasThere;
  }

  /** Makes the folder `path`, or takes an empty one. Throws SavepointError when it cannot be a savepoint's. */
  static make(path: string, dataFolder: string, files: Files): SavepointFolder {
    if (!isAbsolute(path))
      throw new SavepointError(
        `${JSON.stringify(path)} is not an absolute path: name a folder on the machine where Millrace runs, such as /backup/monday`,
      );
    const real = resolved(normalize(path).replace(/\/$/, ""));
    if (isWithin(real, dataFolder) || isWithin(dataFolder, real))
      throw new SavepointError(
        `${path} and the data folder ${dataFolder} lie in each other: name another folder`,
      );
    const wasThere = files.exists(real);
    if (wasThere) refuseFilled(real);
    try {
      files.makeFolder(real);
      const note = new TextEncoder().encode("This savepoint is not finished: do not restore it.\n");
      files.writeSynced(join(real, UNFINISHED_NAME), [note], "savepoint.begin");
    } catch (error) {
      throw new SavepointError(`${path} cannot be written (${String(error)}): name another folder`);
    }
    return new SavepointFolder(real, dataFolder, { files, wasThere });
  }

  get linked(): { readonly files: number; readonly bytes: number } {
    return { files: this.#linkedFiles, bytes: this.#linkedBytes };
  }

  get bytes(): number {
    return this.#listed.reduce((sum, file) => sum + file.bytes, 0);
  }

  get fileCount(): number {
    return this.#listed.length;
  }

  pathOf(relative: string): string {
    return join(this.path, relative);
  }

  /** Throws SavepointError when `bytes` more would leave the disk of the data folder without the room that ingest needs. */
  refuseFull(bytes: number): void {
    if (!this.#isSameDisk()) return;
    const left = this.#files.freeBytes(this.path) - bytes;
    if (left >= DISK_FREE_BYTES_MIN) return;
    throw new SavepointError(
      `the disk of ${this.path} has too little room: it is also that of the data folder, which needs ${DISK_FREE_BYTES_MIN / 1024 / 1024} MB of it for events. Make room, or name a folder on another disk`,
    );
  }

  /** Takes up a file that was written here by others, closed and synced. */
  *list(relative: string): Generator<number> {
    const hashed = yield* hashFile(this.#files, this.pathOf(relative));
    this.#listed.push({ path: relative, ...hashed });
  }

  /** Puts a file that never changes here, under the name that it has in the data folder. */
  *put(relative: string): Generator<number> {
    const [from, to] = [join(this.#dataFolder, relative), this.pathOf(relative)];
    this.#files.makeFolder(dirname(to));
    if (this.#files.link(from, to, "savepoint.file.link")) {
      yield* this.list(relative);
      this.#linkedFiles++;
      this.#linkedBytes += this.#listed.at(-1)?.bytes ?? 0;
      return;
    }
    this.refuseFull(this.#files.sizeBytes(from));
    const room = (bytes: number): void => this.refuseFull(bytes);
    const hashed = yield* copyFile(this.#files, { from, to, room }, STEPS);
    this.#listed.push({ path: relative, ...hashed });
  }

  /** Writes a small file. */
  write(relative: string, bytes: Uint8Array): void {
    this.#files.makeFolder(dirname(this.pathOf(relative)));
    this.#files.writeSynced(this.pathOf(relative), [bytes], "savepoint.file.write");
    const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    this.#listed.push({ path: relative, bytes: bytes.length, sha256 });
  }

  /** Everything is in it: syncs the folders, then writes the manifest, which makes it a savepoint. */
  finish(savepoint: Omit<Savepoint, "files">): void {
    const folders = new Set(this.#listed.map(({ path }) => dirname(this.pathOf(path))));
    for (const folder of folders) this.#files.sync(folder, "savepoint.folder.sync");
    const temporary = this.pathOf(`${MANIFEST_NAME}.tmp`);
    const bytes = encodeManifest({ ...savepoint, files: this.#listed });
    this.#files.writeSynced(temporary, [bytes], "savepoint.manifest.write");
    this.#files.renameOver(temporary, this.pathOf(MANIFEST_NAME), "savepoint.manifest.rename");
    this.#files.unlink(this.pathOf(UNFINISHED_NAME), "savepoint.end");
  }

  /** Removes what was written: the folder was empty, or not there. */
  abandon(): void {
    if (this.#wasThere)
      for (const name of readdirSync(this.path).filter((found) => found !== NOBODYS))
        this.#files.removeTree(this.pathOf(name), "savepoint.abandon");
    else this.#files.removeTree(this.path, "savepoint.abandon");
  }

  #isSameDisk(): boolean {
    return statSync(this.path).dev === statSync(this.#dataFolder).dev;
  }
}

/** Throws SavepointError when a folder that is there holds anything but `own`. */
export function refuseFilled(path: string, own?: string): void {
  if (!statSync(path).isDirectory()) throw new SavepointError(`${path} is not a folder`);
  const all = readdirSync(path).toSorted();
  const names = all.filter((name) => name !== NOBODYS && name !== own);
  if (names.includes(RESTORING_NAME))
    throw new SavepointError(
      `${path} holds a restore that was not finished: remove it, or name another folder`,
    );
  if (names.includes(UNFINISHED_NAME) && !names.includes(MANIFEST_NAME))
    throw new SavepointError(
      `${path} holds a savepoint that was not finished: remove it, or name another folder`,
    );
  if (names.length > 0)
    throw new SavepointError(
      `${path} is not empty: it holds ${names.slice(0, 3).join(", ")}. Name a folder that is empty or not there`,
    );
}

/** The path with links resolved, of which the last parts may not be there. */
function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path === "/" ? path : join(resolved(dirname(path)), basename(path));
  }
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
