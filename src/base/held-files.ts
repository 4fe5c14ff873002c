// Adapter: the machine's disk, whose unlinks can be held back for a while, so that what is copied by name meanwhile stays. What is held
// when the process ends is never unlinked: every owner of files removes at its next start what nobody names.
import { DiskFiles } from "./disk-files.ts";
import { parseFailpointPlans, type Step } from "./failpoints.ts";

/** Give it only to rooms that never use a name twice. */
export class HeldFiles extends DiskFiles {
  /** Null: nothing is held back. */
  #held: { readonly path: string; readonly step: Step }[] | null = null;

  constructor(failpoint: string | null) {
    super(...(failpoint === null ? [] : parseFailpointPlans(failpoint)));
  }

  /** From now on `unlink` does nothing, until `release` does all of it. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const { path, step } of held) this.unlink(path, step);
  }

  override unlink(path: string, step: Step): void {
    if (this.#held === null) super.unlink(path, step);
    else this.#held.push({ path, step });
  }
}
