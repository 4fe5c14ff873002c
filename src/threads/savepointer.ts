// Main's side of savepoints: one at a time, on a thread of its own, for which the export thread is held up for a moment. Wiring: what is copied
// is src/savepoint's.
import type { SavepointOrder } from "../savepoint/savepoint.ts";
import type { Refusal, Savepoints } from "../serve/deps.ts";
import type { Freezing } from "./freezer.ts";
import type { FromSavepoint, ToSavepoint } from "./messages.ts";

export interface SavepointerWires {
  readonly url: string;
  /** What is the same for every savepoint of this process. */
  readonly order: Omit<SavepointOrder, "to" | "madeAt">;
  readonly failpoint: string | null;
  readonly nowUs: () => number;
  readonly freezer: Freezing;
}

type Outcome = Awaited<ReturnType<Savepoints["start"]>["outcome"]>;

function refusal(status: Refusal["status"], code: string, detail: string): Refusal {
  return { kind: "refusal", status, code, detail };
}

const BUSY: Refusal = {
  ...refusal(503, "savepoint_busy", "another savepoint is being made; wait for its end"),
  retryAfterS: 5,
};
const STOPPING: Refusal = {
  ...refusal(503, "stopping", "the appliance is shutting down; make the savepoint once it is back"),
  retryAfterS: 5,
};

export class Savepointer implements Savepoints {
  readonly #wires: SavepointerWires;
  #worker: Worker | null = null;
  #isClosed = false;
  #outcome: Promise<Outcome> | null = null;
  #end: ((outcome: Outcome) => void) | null = null;

  constructor(wires: SavepointerWires) {
    this.#wires = wires;
  }

  start: Savepoints["start"] = (to, tell) => {
    if (this.#isClosed) return { outcome: Promise.resolve(STOPPING) };
    if (this.#worker !== null) return { outcome: Promise.resolve(BUSY) };
    const worker = new Worker(this.#wires.url);
    this.#worker = worker;
    this.#outcome = this.#run(worker, to, tell);
    return { outcome: this.#outcome };
  };

  /** Gives up what is under way; resolves when it has removed what it wrote, or after `waitMs`: then it lies there, unfinished. */
  async close(waitMs: number): Promise<void> {
    this.#isClosed = true;
    if (this.#worker === null) return;
    this.#worker.postMessage({ kind: "give up" } satisfies ToSavepoint);
    const late = setTimeout(() => this.#finish(STOPPING), waitMs);
    await this.#outcome;
    clearTimeout(late);
  }

  #finish(outcome: Outcome): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#wires.freezer.letGo();
    this.#end?.(outcome);
    this.#end = null;
  }

  #run(worker: Worker, to: string, tell: Parameters<Savepoints["start"]>[1]): Promise<Outcome> {
    const { order, failpoint, nowUs } = this.#wires;
    return new Promise((resolve) => {
      this.#end = resolve;
      const finish = (outcome: Outcome): void => this.#finish(outcome);
      worker.addEventListener("error", ({ message }) => finish(refusal(500, "internal", message)));
      worker.onmessage = ({ data }: { data: FromSavepoint }) => {
        if (data.kind === "freeze") void this.#freeze(worker);
        else if (data.kind === "thaw") this.#wires.freezer.thaw();
        else if (data.kind === "progress") tell(data.progress);
        else if (data.kind === "done") finish(data.report);
        else {
          const code = data.isTheirs ? "no_savepoint" : "internal";
          finish(refusal(data.isTheirs ? 400 : 500, code, data.message));
        }
      };
      const madeAt = new Date(nowUs() / 1000).toISOString();
      const message: ToSavepoint = { kind: "order", order: { ...order, to, madeAt }, failpoint };
      worker.postMessage(message);
    });
  }

  async #freeze(worker: Worker): Promise<void> {
    await this.#wires.freezer.freeze();
    worker.postMessage({ kind: "frozen" } satisfies ToSavepoint);
  }
}
