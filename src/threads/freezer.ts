// Main's side of copies of the data folder: the export thread is held up, and what it unlinks held back, for one at a time.

/** What holds up the export thread: the fleet. */
export interface Freezable {
  freeze(): Promise<void>;
  thaw(): void;
  letGo(): void;
}

/** One who copies, time and again. */
export interface Freezing {
  /** Resolves when it is this one's turn, and nothing writes state, ledger or tables until `thaw`; nothing is unlinked until `letGo`. */
  freeze(): Promise<void>;
  thaw(): void;
  /** Also where nothing is frozen, or not yet. */
  letGo(): void;
}

export class Freezer {
  readonly #fleet: Freezable;
  /** Resolves when the last one in the queue has let go. */
  #last: Promise<void> = Promise.resolve();

  constructor(fleet: Freezable) {
    this.#fleet = fleet;
  }

  user(): Freezing {
    const fleet = this.#fleet;
    let turn: { readonly end: () => void; frozen: Promise<void> | null } | null = null;
    return {
      freeze: async () => {
        const before = this.#last;
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#last = promise;
        const own = { end: resolve, frozen: null as Promise<void> | null };
        turn = own;
        await before;
        if (turn !== own) return;
        own.frozen = fleet.freeze();
        await own.frozen;
      },
      thaw: () => {
        if (turn?.frozen !== null) fleet.thaw();
      },
      letGo: () => {
        if (turn === null) return;
        const { end, frozen } = turn;
        turn = null;
        if (frozen === null) return end();
        fleet.letGo();
        // a word of the next one's is not to be taken for this one's
        void frozen.then(end);
      },
    };
  }
}
