// Verbs: many requests, few at a time. Running ones are awaited when one fails, so that nothing goes on behind the caller's back.

/** Runs tasks, `max` at a time. */
export class Lanes {
  readonly #max: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;

  constructor(max: number) {
    this.#max = max;
  }

  /** Resolves when the task has begun. Rejects with the first failure of any task before it. */
  async start(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#max) await Promise.race(this.#running);
    this.#refuseFailed();
    const run: Promise<void> = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  /** Resolves when all tasks are done. Rejects with the first failure, after all have ended. */
  async end(): Promise<void> {
    await Promise.all(this.#running);
    this.#refuseFailed();
  }

  #refuseFailed(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}

/** What `fetch` gives for each item, in the items' order, while up to `max` are under way. Rejects with its first failure in that order. */
export async function* inOrder<T, R>(
  items: Iterable<T>,
  max: number,
  fetch: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const ahead: Promise<R>[] = [];
  try {
    for (const item of items) {
      const one = fetch(item);
      // it is awaited in its turn
      one.catch(() => {});
      ahead.push(one);
      const first = ahead.length === max ? ahead.shift() : undefined;
      if (first !== undefined) yield await first;
    }
    for (let one = ahead.shift(); one !== undefined; one = ahead.shift()) yield await one;
  } finally {
    await Promise.allSettled(ahead);
  }
}
