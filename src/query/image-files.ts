// Images of what the engine still holds, as files that the query process reads. A file is written once (a window that did not change
// since keeps its file), is named by what it holds, and is unlinked when neither the newest picture nor a pin needs it. Not durable:
// they lie below tmp/, which is emptied at every start, and are never synced.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

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

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Path of a named image if it was written before and is still there. */
  has(name: string): boolean {
    return this.#held.has(this.#path(name));
  }

  /** Throws OS errors: no room, no rights. What somebody removed is written again. Makes `images` the newest picture of `key` (a view's rows or late events) and returns their paths. */
  replace(key: string, images: readonly NamedImage[]): readonly string[] {
    const before = this.#current.get(key) ?? [];
    const paths = images.map(({ name, image }) => {
      const path = this.#path(name);
      if (!this.#held.has(path) || !existsSync(path)) {
        mkdirSync(this.#folder, { recursive: true });
        writeFileSync(path, image, { mode: 0o600 });
        this.#held.set(path, this.#held.get(path) ?? 0);
      }
      return path;
    });
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

  /** Unlinks those of `paths` that no pin holds and no newest picture names. */
  #sweep(paths: readonly string[]): void {
    const current = new Set([...this.#current.values()].flat());
    for (const path of paths) {
      if (current.has(path) || this.#held.get(path) !== 0) continue;
      this.#held.delete(path);
      rmSync(path, { force: true });
    }
  }
}
