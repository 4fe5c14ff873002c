// Main's side of reconcile: one run at a time, on a thread of its own, whose questions go the way of all questions and whose records go to
// the engine. Runs that nobody waits for come by the views' `late.reconcile_every`. Wiring: what a run does is src/reconcile's.
import type { EngineStream } from "../engine-options.ts";
import type { ViewConfig } from "../config.ts";
import { must } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { YEAR_1_US, YEAR_10000_US } from "../base/iso-time.ts";
import type { ReconcileOrder, ReconcileReport } from "../reconcile/tally.ts";
import { reconcileSummary } from "../reconcile/report.ts";
import { reconcileRefusal, withRollups } from "../reconcile/scope.ts";
import type { QuestionAnswer, Questions, Reconcile, Refusal } from "../serve/deps.ts";
import { refuse } from "../serve/problem.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { ControlDraft } from "../admit/applied.ts";
import type { FromReconcile, ToReconcile } from "./messages.ts";

/** Tries of a question or record while the appliance says "not now". */
const ATTEMPTS_MAX = 30;

export interface ReconcilerWires {
  readonly url: string;
  readonly questions: Questions;
  readonly append: (control: ControlDraft) => Promise<number | Refusal>;
  readonly streams: readonly EngineStream[];
  readonly plans: readonly ViewPlan[];
  readonly hasRaw: boolean;
  readonly clock: Pick<Clock, "nowUs">;
  /** Views that stopped. */
  readonly suspended: () => readonly string[];
  /** A line for the operator. */
  readonly say: (line: string) => void;
}

type Outcome = ReconcileReport | Refusal;

const STOPPED = refuse(
  503,
  "stopping",
  "the appliance is shutting down; what was reconciled stays so, run it again for the rest",
);

export class Reconciler implements Reconcile {
  readonly #wires: ReconcilerWires;
  readonly #timers: Timer[] = [];
  readonly #stop = new AbortController();
  /** Views whose next unattended run is due, in turn: those of one interval are due at the same moment. */
  readonly #due = new Set<string>();
  #worker: Worker | null = null;
  #end: ((outcome: Outcome) => void) | null = null;

  constructor(wires: ReconcilerWires) {
    this.#wires = wires;
  }

  /** Reconciles everything that is final, again and again, of the views that want it: from when that is due, by what the log says of the last run. */
  async schedule(views: readonly ViewConfig[]): Promise<void> {
    const wanting = views.flatMap(({ name, lateReconcileEveryUs: everyUs }) =>
      everyUs === null ? [] : [{ name, everyUs }],
    );
    if (wanting.length === 0) return;
    const lasts = await this.#lastRuns();
    if (this.#stop.signal.aborted) return;
    const nowUs = this.#wires.clock.nowUs();
    for (const { name, everyUs } of wanting) {
      const due = (): void => {
        this.#due.add(name);
        this.#runDue();
      };
      const first = (): void => {
        this.#timers.push(setInterval(due, everyUs / 1000));
        due();
      };
      const waitUs = dueInUs({ lastUs: lasts.get(name) ?? null, everyUs }, nowUs);
      this.#timers.push(setTimeout(first, waitUs / 1000));
    }
  }

  /** When each view was reconciled last, µs. Those of which nothing is known are due; so are all when there is no answer. */
  async #lastRuns(): Promise<ReadonlyMap<string, number>> {
    const sql =
      "SELECT view, CAST(max(epoch_us(received_at)) AS VARCHAR) FROM millrace.reconciled GROUP BY view";
    const reply = await this.#try({ kind: "ask", sql, after: null });
    if (reply.kind !== "rows") return new Map();
    const { rows } = JSON.parse(new TextDecoder().decode(reply.body)) as {
      readonly rows: readonly (readonly [string, string])[];
    };
    return new Map(rows.map(([view, us]) => [view, Number(us)]));
  }

  start: Reconcile["start"] = (request, tell) => {
    const order = this.#orderOf(request);
    return "kind" in order
      ? { outcome: Promise.resolve(order) }
      : { outcome: this.#run(order, tell) };
  };

  /** Ends a run; what it published is whole. */
  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#due.clear();
    this.#stop.abort();
    this.#finish(STOPPED);
  }

  /** Begins the next run that is due, unless one is at work: its end does. */
  #runDue(): void {
    for (const view of this.#due) {
      if (this.#worker !== null) return;
      this.#due.delete(view);
      void this.#unattended(view);
    }
  }

  async #unattended(view: string): Promise<void> {
    const everything = { view, fromUs: YEAR_1_US, toUs: YEAR_10000_US, isDry: false };
    const outcome = await this.start(everything, () => undefined).outcome;
    if ("kind" in outcome) {
      if (outcome !== STOPPED) this.#wires.say(`reconcile ${view}: ${outcome.detail}`);
    } else if (outcome.windows > 0) this.#wires.say(reconcileSummary(outcome, false));
  }

  #orderOf({ view, ...rest }: Parameters<Reconcile["start"]>[0]): ReconcileOrder | Refusal {
    const { plans, streams, hasRaw } = this.#wires;
    const plan = plans.find(({ name }) => name === view);
    if (plan === undefined) {
      const names = plans.map(({ name }) => name).join(", ");
      return refuse(
        404,
        "unknown_view",
        `there is no view ${JSON.stringify(view)}; views are ${names || "none"}`,
      );
    }
    const why = reconcileRefusal(plan);
    if (why !== null) return refuse(400, "not_reconcilable", why);
    if (!hasRaw)
      return refuse(
        400,
        "no_raw",
        "with export.raw: off raw events leave with the log's trimming: windows cannot be computed anew",
      );
    const stopped = this.#wires.suspended().find((name) => name === view);
    if (stopped !== undefined)
      return refuse(
        400,
        "suspended",
        `view ${view} is suspended: events since are in none of its windows`,
      );
    if (this.#worker !== null)
      return {
        ...refuse(503, "reconcile_busy", "another reconcile is at work; wait for its end"),
        retryAfterS: 5,
      };
    const { schema } = must(
      streams.find(({ name }) => name === plan.stream),
      `stream ${plan.stream}`,
    );
    return { ...rest, plans: withRollups(plan, plans), schema };
  }

  #run(order: ReconcileOrder, tell: Parameters<Reconcile["start"]>[1]): Promise<Outcome> {
    const worker = new Worker(this.#wires.url);
    this.#worker = worker;
    return new Promise((resolve) => {
      this.#end = resolve;
      worker.addEventListener("error", ({ message }) =>
        this.#finish(refuse(500, "internal", message)),
      );
      worker.onmessage = ({ data }: { data: FromReconcile }) => {
        if (data.kind === "progress") tell(data.progress);
        else if (data.kind === "done") this.#finish(data.report);
        else if (data.kind === "failed")
          this.#finish(
            refuse(
              data.isTheirs ? 400 : 500,
              data.isTheirs ? "not_reconciled" : "internal",
              data.message,
            ),
          );
        else void this.#serve(worker, data);
      };
      worker.postMessage({ kind: "order", order } satisfies ToReconcile);
    });
  }

  #finish(outcome: Outcome): void {
    this.#worker?.terminate();
    this.#worker = null;
    this.#end?.(outcome);
    this.#end = null;
    this.#runDue();
  }

  /** Does what the run asks for; while the appliance says "not now" again and again. */
  async #serve(
    worker: Worker,
    wish: Extract<FromReconcile, { kind: "ask" | "publish" }>,
  ): Promise<void> {
    let reply: ToReconcile | Refusal = STOPPED;
    for (let attempt = 0; attempt < ATTEMPTS_MAX && this.#worker === worker; attempt++) {
      reply = await this.#try(wish);
      if (reply.kind !== "refusal" || reply.status !== 503) break;
      await Bun.sleep(1000 * (reply.retryAfterS ?? 1));
    }
    if (this.#worker !== worker) return;
    worker.postMessage(
      reply.kind === "refusal" ? { kind: "refused", message: reply.detail } : reply,
    );
  }

  async #try(
    wish: Extract<FromReconcile, { kind: "ask" | "publish" }>,
  ): Promise<ToReconcile | Refusal> {
    if (wish.kind === "publish") {
      const position = await this.#wires.append(wish.control);
      return typeof position === "number" ? { kind: "published", position } : position;
    }
    const { sql, after } = wish;
    const answer: QuestionAnswer | Refusal = await this.#wires.questions.ask({
      sql,
      params: [],
      format: "json",
      after,
      client: "reconcile",
      signal: this.#stop.signal,
    });
    return answer.kind === "refusal" ? answer : { kind: "rows", body: answer.body };
  }
}

/** How long after `nowUs` a view's next unattended run is due, µs: `everyUs` after the last one that changed something; at once when there was none. */
export function dueInUs(
  { lastUs, everyUs }: { readonly lastUs: number | null; readonly everyUs: number },
  nowUs: number,
): number {
  if (lastUs === null) return 0;
  return Math.min(everyUs, Math.max(0, lastUs + everyUs - nowUs));
}
