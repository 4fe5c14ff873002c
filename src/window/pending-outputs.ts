// Noun: what views have put out and no ledger holds yet, in order of position; and which of it no checkpoint has.
import type { ViewOutput } from "./output.ts";
import type { CoveredOutput } from "./root.ts";

export class PendingOutputs {
  readonly #pending = new Map<string, ViewOutput[]>();
  readonly #covered = new Map<string, CoveredOutput>();
  #fresh: ViewOutput[] = [];
  #bytes = 0;

  /** Bytes of all images. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Up to which positions outputs are let go. */
  get coverage(): CoveredOutput[] {
    return [...this.#covered.values()];
  }

  /** Holds an output until it is covered; false when it was covered before a restart and is given again by the replay. */
  keep(output: ViewOutput): boolean {
    const covered = this.#covered.get(`${output.kind} ${output.view}`);
    if (covered !== undefined && output.position <= covered.position) return false;
    const list = this.#pending.get(output.view) ?? [];
    list.push(output);
    this.#bytes += output.image.byteLength;
    this.#pending.set(output.view, list);
    this.#fresh.push(output);
    return true;
  }

  /** The ledger holds the outputs of a kind up to `position`: they are let go. */
  cover({ view, kind, position }: CoveredOutput): void {
    this.#covered.set(`${kind} ${view}`, { view, kind, position });
    const rest = (outputs: readonly ViewOutput[]): ViewOutput[] =>
      outputs.filter(
        (output) => output.view !== view || output.kind !== kind || output.position > position,
      );
    this.#set(view, rest(this.of(view)));
    this.#fresh = rest(this.#fresh);
  }

  /** Forgets a view. */
  drop(view: string): void {
    this.#set(view, []);
    for (const kind of ["rows", "late"] as const) this.#covered.delete(`${kind} ${view}`);
    this.#fresh = this.#fresh.filter((output) => output.view !== view);
  }

  /** Leaves a view only these. */
  #set(view: string, outputs: ViewOutput[]): void {
    const bytesOf = (list: readonly ViewOutput[]): number =>
      list.reduce((sum, { image }) => sum + image.byteLength, 0);
    this.#bytes += bytesOf(outputs) - bytesOf(this.of(view));
    this.#pending.set(view, outputs);
  }

  /** Those of a view, in order of position. */
  of(view: string): readonly ViewOutput[] {
    return this.#pending.get(view) ?? [];
  }

  /** Those that were kept since the call before: a checkpoint takes them. */
  takeFresh(): ViewOutput[] {
    const outputs = this.#fresh;
    this.#fresh = [];
    return outputs;
  }

  /** As a checkpoint has them; `outputs` in any order. */
  restore(covered: readonly CoveredOutput[], outputs: Iterable<ViewOutput>): void {
    for (const output of covered) this.#covered.set(`${output.kind} ${output.view}`, output);
    for (const output of [...outputs].toSorted((a, b) => a.position - b.position))
      this.keep(output);
    this.#fresh = [];
  }
}
