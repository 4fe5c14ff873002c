// Nouns: what is wrong with a view's text, and the list in which the parts of the check collect it.
import { locationOf, placeOf, type Node, type Place } from "./tree.ts";

/** One thing that is wrong, its place in the view's text (from 1; columns count characters), and what to write instead. */
export interface ViewFault extends Place {
  readonly message: string;
  /** What to write instead; empty when nothing fits. */
  readonly advice: string;
}

/** Collects faults, so that all are told at once. */
export class Faults {
  readonly #text: string;
  readonly #found: ViewFault[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  /** Adds a fault at a node or byte offset (null: the text's begin). Returns null, so that a check can end with it. */
  add(where: Node | number | null, message: string, advice = ""): null {
    const at = typeof where === "number" ? where : (locationOf(where) ?? 0);
    const fault = { ...placeOf(this.#text, at), message, advice };
    const known = this.#found.some(
      (other) =>
        other.line === fault.line && other.column === fault.column && other.message === message,
    );
    if (!known) this.#found.push(fault);
    return null;
  }

  get count(): number {
    return this.#found.length;
  }

  /** In the text's order. */
  list(): ViewFault[] {
    return this.#found.toSorted((a, b) => a.line - b.line || a.column - b.column);
  }
}
