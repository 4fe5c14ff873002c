// Main's side of reading the raw table for views that go on after a suspension: one reading at a time, on a thread of its own, whose questions go
// the way of all questions and whose pages go to the engine.
import type { EngineStream } from "../engine-options.ts";
import type { PastPage, PastWish } from "../engine-laggards.ts";
import { must } from "../base/assert.ts";
import type { Questions } from "../serve/deps.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { FromPast, PastMessage, ToPast } from "./past-messages.ts";

export interface PastWires {
  readonly url: string;
  readonly streams: readonly EngineStream[];
  readonly plans: readonly ViewPlan[];
}

/** What is there once the threads run. */
export interface PastEnds {
  readonly questions: Questions;
  /** To the engine. */
  readonly send: (page: PastPage) => void;
}

export class PastReader {
  readonly #wires: PastWires;
  readonly #stop = new AbortController();
  #ends: PastEnds | null = null;
  /** What was said before. */
  readonly #early: PastMessage[] = [];
  #worker: Worker | null = null;

  constructor(wires: PastWires) {
    this.#wires = wires;
  }

  /** From now on wishes are fulfilled. */
  start(ends: PastEnds): void {
    this.#ends = ends;
    for (const message of this.#early.splice(0)) this.told(message);
  }

  /** What the engine says of its views that go on. */
  told(message: PastMessage): void {
    const ends = this.#ends;
    if (ends === null) return void this.#early.push(message);
    if (message.kind === "more past")
      return this.#worker?.postMessage({ kind: "more" } satisfies ToPast);
    this.#worker?.terminate();
    this.#worker = null;
    return message.wish === null || this.#stop.signal.aborted
      ? undefined
      : this.#begin(message.wish, ends);
  }

  /** Ends a reading; the next start begins anew where its view stands. */
  close(): void {
    this.#stop.abort();
    this.told({ kind: "past", wish: null });
  }

  #begin(wish: PastWish, { questions, send }: PastEnds): void {
    const { url, plans, streams } = this.#wires;
    const plan = must(
      plans.find(({ name }) => name === wish.view),
      `view ${wish.view}`,
    );
    const stream = streams.find(({ name }) => name === plan.stream);
    const { schema } = must(stream, `stream ${plan.stream}`);
    const worker = new Worker(url);
    this.#worker = worker;
    worker.addEventListener("error", ({ message }) =>
      send({ id: wish.id, kind: "none", reason: `what it passed could not be read: ${message}` }),
    );
    worker.onmessage = ({ data }: { data: FromPast }) => {
      if (data.kind === "page") send(data.page);
      else void this.#ask(worker, questions, data);
    };
    worker.postMessage({ kind: "order", wish, plan, schema } satisfies ToPast);
  }

  /** Asks until the appliance does not say "not now" any more. */
  async #ask(
    worker: Worker,
    questions: Questions,
    { sql, after }: Extract<FromPast, { kind: "ask" }>,
  ): Promise<void> {
    const { signal } = this.#stop;
    const question = { sql, params: [], format: "json", after, client: "past", signal } as const;
    while (this.#worker === worker) {
      const answer = await questions.ask(question);
      if (this.#worker !== worker) return;
      const isLater = answer.kind === "refusal" && answer.status === 503;
      if (isLater) {
        await Bun.sleep(1000 * (answer.retryAfterS ?? 1));
        continue;
      }
      const reply: ToPast =
        answer.kind === "refusal"
          ? { kind: "refused", message: answer.detail }
          : { kind: "rows", body: answer.body };
      worker.postMessage(reply);
      return;
    }
  }
}
