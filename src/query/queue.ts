// Noun: who runs next. Bounded admission of questions: some run, some wait, the rest are refused. Knows nothing of SQL.

interface Waiting {
  readonly client: string;
  readonly start: (admitted: boolean) => void;
}

/**
 * At most `runningMax` run and `waitingMax` wait. The next to run is the oldest of the client that has the fewest running, so one client
 * with many questions does not hold up another with one. Where too many wait, those with the most lose their newest: one cannot fill the queue against others.
 */
export class FairQueue {
  readonly #runningMax: number;
  readonly #waitingMax: number;
  readonly #running = new Map<string, number>();
  readonly #waiting: Waiting[] = [];
  #runningCount = 0;

  constructor(limits: { readonly runningMax: number; readonly waitingMax: number }) {
    this.#runningMax = limits.runningMax;
    this.#waitingMax = limits.waitingMax;
  }

  get running(): number {
    return this.#runningCount;
  }
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * Waits for a place. True: the caller runs and must `leave(client)`. False: the queue is full, of others' questions or of this client's, or `signal` was aborted while waiting.
   */
  enter(client: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.#runningCount < this.#runningMax) {
      this.#admit(client);
      return Promise.resolve(true);
    }
    if (this.#waiting.length >= this.#waitingMax && !this.#displaceFor(client))
      return Promise.resolve(false);
    return new Promise((resolve) => {
      const entry: Waiting = {
        client,
        start: (admitted) => {
          signal.removeEventListener("abort", giveUp);
          resolve(admitted);
        },
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        entry.start(false);
      };
      signal.addEventListener("abort", giveUp);
      this.#waiting.push(entry);
    });
  }

  /** The full queue loses the newest question of the client that has the most waiting, if `client` has at least two fewer there. */
  #displaceFor(client: string): boolean {
    const counts = new Map<string, number>();
    for (const entry of this.#waiting)
      counts.set(entry.client, (counts.get(entry.client) ?? 0) + 1);
    const most = Math.max(0, ...counts.values());
    if (most < (counts.get(client) ?? 0) + 2) return false;
    const at = this.#waiting.findLastIndex((entry) => counts.get(entry.client) === most);
    const [entry] = this.#waiting.splice(at, 1);
    entry?.start(false);
    return entry !== undefined;
  }

  /** Gives the place back and lets the next one run. */
  leave(client: string): void {
    this.#runningCount--;
    const left = (this.#running.get(client) ?? 1) - 1;
    if (left === 0) this.#running.delete(client);
    else this.#running.set(client, left);
    const fewest = Math.min(...this.#waiting.map((entry) => this.#runningOf(entry)));
    const next = this.#waiting.findIndex((entry) => this.#runningOf(entry) === fewest);
    const [entry] = next < 0 ? [] : this.#waiting.splice(next, 1);
    if (entry === undefined) return;
    this.#admit(entry.client);
    entry.start(true);
  }

  #runningOf(entry: Waiting): number {
    return this.#running.get(entry.client) ?? 0;
  }
  #admit(client: string): void {
    this.#runningCount++;
    this.#running.set(client, (this.#running.get(client) ?? 0) + 1);
  }
}
