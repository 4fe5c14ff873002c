// The files of a shipment until they are in the store: copies of the databases, and hard links of what never changes and is not there yet, in the data folder's
// tmp/. Not in the store straight from the data folder: nothing may be unlinked while a slow store takes them, and the disk would fill.
import { dirname, join } from "node:path";
import type { Files } from "../base/files.ts";
import { DISK_FREE_BYTES_MIN } from "../limits.ts";
import { tmpFolderOf } from "../log/data-folder.ts";
import { copyFile } from "../savepoint/bytes.ts";
import { SavepointError } from "../savepoint/manifest.ts";
import type { SavepointPlace } from "../savepoint/savepoint.ts";
import type { ShippedFile } from "./shipment.ts";

/** A file of the shipment: where it is to be read, or how it is in the store already. */
export type StagedFile =
  | { readonly path: string; readonly from: string }
  | { readonly path: string; readonly shipped: ShippedFile };

const STEPS = {
  create: "savepoint.file.create",
  sync: "savepoint.file.sync",
  abandon: "savepoint.file.abandon",
} as const;

export class ShipStage implements SavepointPlace {
  readonly #folder: string;
  readonly #dataFolder: string;
  readonly #files: Files;
  readonly #known: ReadonlyMap<string, ShippedFile>;
  readonly staged: StagedFile[] = [];

  /** `known`: files that never change, by path, as the store has them. */
  constructor(dataFolder: string, files: Files, known: ReadonlyMap<string, ShippedFile>) {
    this.#folder = join(tmpFolderOf(dataFolder), "ship");
    this.#dataFolder = dataFolder;
    this.#files = files;
    this.#known = known;
    this.remove();
    files.makeFolder(this.#folder);
  }

  pathOf(relative: string): string {
    return join(this.#folder, relative);
  }

  *list(relative: string): Generator<number> {
    this.staged.push({ path: relative, from: this.pathOf(relative) });
    yield 0;
  }

  *put(relative: string): Generator<number> {
    const [from, to] = [join(this.#dataFolder, relative), this.pathOf(relative)];
    const shipped = this.#known.get(relative);
    if (shipped?.bytes === this.#files.sizeBytes(from)) {
      this.staged.push({ path: relative, shipped });
      return;
    }
    this.#files.makeFolder(dirname(to));
    if (!this.#files.link(from, to, "savepoint.file.link")) {
      this.refuseFull(this.#files.sizeBytes(from));
      const room = (bytes: number): void => this.refuseFull(bytes);
      yield* copyFile(this.#files, { from, to, room }, STEPS);
    }
    yield* this.list(relative);
  }

  write(relative: string, bytes: Uint8Array): void {
    this.#files.makeFolder(dirname(this.pathOf(relative)));
    this.#files.writeSynced(this.pathOf(relative), [bytes], "savepoint.file.write");
    this.staged.push({ path: relative, from: this.pathOf(relative) });
  }

  refuseFull(bytes: number): void {
    if (this.#files.freeBytes(this.#folder) - bytes >= DISK_FREE_BYTES_MIN) return;
    throw new SavepointError(
      `the disk of ${this.#dataFolder} has too little room for the copies that a shipment is made of: ${DISK_FREE_BYTES_MIN / 1024 / 1024} MB are left to events. Make room`,
    );
  }

  /** Nobody needs it any more. A start empties tmp/ as well. */
  remove(): void {
    this.#files.removeTree(this.#folder, "ship.stage.remove");
  }
}
