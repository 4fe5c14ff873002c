// Images of what the engine still holds, as files that the query process reads. A file is written once (a window that did not change
// since keeps its file), is named by what it holds, and is unlinked when neither the newest picture nor a pin needs it. Not durable:
// they lie below tmp/, which is emptied at every start, and are never synced. Files
// are written and unlinked off the thread: 60 MB take 140 ms of processor time.
import { existsSync, mkdirSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { must } from "../base/assert.ts";

/** A batch image with a name that changes when its content does. */
export interface NamedImage {
  readonly name: string;
  readonly image: Uint8Array;
}

export class ImageFiles {
  readonly #folder: string;
  /** Files on disk -> how many pins hold them. */
  readonly #held = new Map<string, number>();
  readonly #current = new Map<string, readonly string[]>();
  readonly #pins = new Map<number, readonly string[]>();
  /** All files are gone that were unlinked so far. */
  #removed: Promise<unknown> = Promise.resolve();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Path of a named image if it was written before and is still there. */
  has(name: string): boolean {
    return this.#held.has(this.#path(name));
  }

  /**
   * Makes `images` the newest picture of `key` (a view's rows or late events) and returns their paths: one call at a time. Pins may come and go
   * meanwhile. Rejects with OS errors: no room, no rights. What somebody removed is written again.
   */
  async replace(key: string, images: readonly NamedImage[]): Promise<readonly string[]> {
    const before = this.#current.get(key) ?? [];
    const paths = images.map(({ name }) => this.#path(name));
    // both are needed until all is written
    this.#current.set(key, [...before, ...paths]);
    await this.#removed;
    for (const [index, { image }] of images.entries()) {
      const path = must(paths[index], "a path for each image");
      if (this.#held.has(path) && existsSync(path)) continue;
      mkdirSync(this.#folder, { recursive: true });
      await writeFile(path, image, { mode: 0o600 });
      this.#held.set(path, this.#held.get(path) ?? 0);
    }
    this.#current.set(key, paths);
    this.#sweep(before);
    return paths;
  }

  /** Keeps files until `release(id)`. */
  pin(id: number, paths: readonly string[]): void {
    this.#pins.set(id, paths);
    for (const path of paths) this.#held.set(path, (this.#held.get(path) ?? 0) + 1);
  }

  release(id: number): void {
    const paths = this.#pins.get(id) ?? [];
    this.#pins.delete(id);
    for (const path of paths) this.#held.set(path, (this.#held.get(path) ?? 1) - 1);
    this.#sweep(paths);
  }

  #path(name: string): string {
    return join(this.#folder, `${name}.image`);
  }

  /** Unlinks those of `paths` that no pin holds and no newest picture names. One that stays for some reason is gone with the next start. */
  #sweep(paths: readonly string[]): void {
    const current = new Set([...this.#current.values()].flat());
    for (const path of paths) {
      if (current.has(path) || this.#held.get(path) !== 0) continue;
      this.#held.delete(path);
      this.#removed = this.#removed.then(() => rm(path, { force: true })).catch(() => undefined);
    }
  }
}
