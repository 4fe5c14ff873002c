// Noun: what was found out about texts, kept for those that were asked for most recently. A dashboard asks the same texts again and again.

/** Bounded by entries and by the characters of their texts together; a text that is longer alone is not kept. */
export class Recent<T> {
  readonly #countMax: number;
  readonly #charactersMax: number;
  /** In order of last use, the oldest first. */
  readonly #entries = new Map<string, T>();
  #characters = 0;

  constructor(bounds: { readonly countMax: number; readonly charactersMax: number }) {
    this.#countMax = bounds.countMax;
    this.#charactersMax = bounds.charactersMax;
  }

  get(text: string): T | undefined {
    const value = this.#entries.get(text);
    if (value === undefined) return undefined;
    this.#entries.delete(text);
    this.#entries.set(text, value);
    return value;
  }

  set(text: string, value: T): void {
    if (text.length > this.#charactersMax) return;
    if (!this.#entries.delete(text)) this.#characters += text.length;
    this.#entries.set(text, value);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#countMax && this.#characters <= this.#charactersMax) return;
      this.#entries.delete(oldest);
      this.#characters -= oldest.length;
    }
  }
}
