// Noun: how many pages each view has taken, counted where they are taken: exact, and without looking at its windows.
import type { FoldKernels } from "../../kernels/fold.ts";

export class PageMeter {
  readonly #call: FoldKernels;
  readonly #pages = new Map<string, number>();
  /** On whose account pages are taken and given back now. */
  #owner: string | null = null;
  #used = 0;

  constructor(call: FoldKernels) {
    this.#call = call;
  }

  /** What is taken and given back from now on is `owner`'s (null: nobody's); gives whose it was. */
  charge(owner: string | null): string | null {
    const before = this.#owner;
    const used = this.#call.pagesUsed();
    if (before !== null) this.set(before, this.of(before) + used - this.#used);
    this.#used = used;
    this.#owner = owner;
    return before;
  }

  of(owner: string): number {
    return this.#pages.get(owner) ?? 0;
  }

  /** As it was saved with a checkpoint. */
  set(owner: string, pages: number): void {
    this.#pages.set(owner, pages);
  }

  forget(owner: string): void {
    this.#pages.delete(owner);
  }
}
