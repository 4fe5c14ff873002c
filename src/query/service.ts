// Verb: a question -> an answer, on the parent's side: who may run, what state it sees (a pin of the caller's), the child that runs it,
// and what happens when the child dies. Owns no data; a crash or an out-of-memory of DuckDB ends here.
import { systemClock } from "../base/clock.ts";
import {
  QUERY_ANSWER_BYTES_MAX,
  QUERY_ANSWER_ROWS_MAX,
  QUERY_IDLE_MS,
  QUERY_KILL_GRACE_MS,
  QUERY_REST_RSS_BYTES_MAX,
  QUERY_RUNNING_MAX,
  QUERY_TIMEOUT_MS,
  QUERY_WAIT_MS_MAX,
  QUERY_WAITING_MAX,
} from "../limits.ts";
import type { ResultFormat } from "./format.ts";
import { namesIn } from "./names.ts";
import type { Pin } from "./pin.ts";
import type { Problem } from "./problem.ts";
import { ChildProcess, type ChildCommand, type ChildLife } from "./process.ts";
import { FairQueue } from "./queue.ts";
import { ROW_COUNT_HEADER, type QuestionParam, type RunRequest } from "./wire.ts";

export interface Question {
  readonly sql: string;
  readonly params: readonly QuestionParam[];
  readonly format: ResultFormat;
  /** Wait until this log position is in the answer; null: the newest acknowledged. */
  readonly after: number | null;
  /** How long it may run; QUERY_TIMEOUT_MS when absent. */
  readonly timeoutMs?: number;
  /** Who asks, for fairness between clients. */
  readonly client?: string;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
}

/** A pin that must be released, or why there is none (503 naming the laggard). */
export type PinAnswer =
  | { readonly kind: "pinned"; readonly pin: Pin; readonly release: () => void }
  | { readonly kind: "refused"; readonly problem: Problem };

/**
 * Fixes what a question may see. `names`: all that its text could read, in lower case ("clicks", "millrace.readers"); those of no relation
 * are passed over. What the text reads and the pin lacks, the child says with its place. `after` as in the question.
 */
export type PinProvider = (names: readonly string[], after: number | null) => Promise<PinAnswer>;

export type Answer =
  | {
      readonly kind: "answer";
      readonly contentType: string;
      readonly body: Uint8Array;
      readonly position: number;
      readonly rowCount: number;
    }
  | { readonly kind: "problem"; readonly problem: Problem };

function problem(body: Problem): { readonly kind: "problem"; readonly problem: Problem } {
  return { kind: "problem", problem: body };
}

const BUSY = problem({
  status: 503,
  code: "query_busy",
  title: "Too many questions",
  detail: "all places are taken and the queue is full: ask again later",
  retryAfterS: 2,
});
const DIED = problem({
  status: 503,
  code: "query_process_died",
  title: "Query process ended",
  detail: "the process that answers questions ended and is being restarted: ask again",
  retryAfterS: 1,
});
const TOO_MUCH_MEMORY = problem({
  status: 503,
  code: "query_memory",
  title: "Query process out of memory",
  detail: "the questions under way needed too much memory and were stopped: ask for less at a time",
  retryAfterS: 2,
});

/** The child's life that a question saw end, without being the cause. */
interface Died {
  readonly kind: "died";
  readonly life: number;
}

/** ms for a child to get ready, which takes 0.2 s when it is well. */
const READY_MS_MAX = 10_000;

export class QueryService {
  readonly #child: ChildProcess;
  readonly #queue = new FairQueue({
    runningMax: QUERY_RUNNING_MAX,
    waitingMax: QUERY_WAITING_MAX,
  });

  readonly #clock = systemClock();
  readonly #rest: ReturnType<typeof setInterval>;
  /** When the last question ended, ms; null when the child has had none in this life. */
  #usedMs: number | null = null;

  constructor(command: ChildCommand) {
    this.#child = new ChildProcess(command);
    this.#rest = setInterval(() => this.#recycleIdle(), QUERY_IDLE_MS / 4);
    this.#rest.unref();
  }

  /** Resolves once the child listens. */
  async ready(): Promise<void> {
    await this.#child.ready();
  }

  /** For metrics. */
  status(): { readonly running: number; readonly waiting: number; readonly rssBytes: number } {
    return {
      running: this.#queue.running,
      waiting: this.#queue.waiting,
      rssBytes: this.#child.rssBytes(),
    };
  }

  /** The child's process id, for tests and the operator; 0 when it does not run. */
  childPid(): number {
    return this.#child.pid();
  }

  /** Never rejects: what goes wrong is a problem. */
  async ask(question: Question, pinFor: PinProvider): Promise<Answer> {
    const client = question.client ?? "";
    const waiting = AbortSignal.any([question.signal, AbortSignal.timeout(QUERY_WAIT_MS_MAX)]);
    if (!(await this.#queue.enter(client, waiting))) return BUSY;
    try {
      const first = await this.#askOnce(question, pinFor, 0);
      if (first.kind !== "died") return first;
      // Its death was not this question's doing (or came before anything was run): asked once more, of the next life.
      const second = await this.#askOnce(question, pinFor, first.life);
      return second.kind === "died" ? DIED : second;
    } catch {
      return DIED;
    } finally {
      this.#usedMs = this.#nowMs();
      this.#queue.leave(client);
    }
  }

  /** Ends the child. Questions under way get 503. */
  async close(): Promise<void> {
    clearInterval(this.#rest);
    await this.#child.close();
  }

  #nowMs(): number {
    return this.#clock.monotonicUs() / 1000;
  }

  /** Allocators keep what a large question once took: a child at rest that holds much is replaced. The child has forgotten its caches by then. */
  #recycleIdle(): void {
    if (this.#queue.running > 0 || this.#usedMs === null) return;
    if (this.#nowMs() - this.#usedMs < QUERY_IDLE_MS * 1.5) return;
    this.#usedMs = null;
    if (this.#child.rssBytes() > QUERY_REST_RSS_BYTES_MAX) this.#child.recycle();
  }

  /** Asks the child in a later life than `after`. */
  async #askOnce(question: Question, pinFor: PinProvider, after: number): Promise<Answer | Died> {
    const child = await withTimeout(this.#child.ready(after), READY_MS_MAX);
    const pinned = await pinFor(namesIn(question.sql), question.after);
    if (pinned.kind === "refused") return problem(pinned.problem);
    try {
      return await this.#run(child, question, pinned.pin);
    } finally {
      pinned.release();
    }
  }

  async #run(child: ChildLife, question: Question, pin: Pin): Promise<Answer | Died> {
    const timeoutMs = question.timeoutMs ?? QUERY_TIMEOUT_MS;
    const { sql, params, format } = question;
    const limits = { rowsMax: QUERY_ANSWER_ROWS_MAX, bytesMax: QUERY_ANSWER_BYTES_MAX };
    const order: RunRequest = { sql, params, format, pin, timeoutMs, ...limits };
    let stuck = false;
    const killer = setTimeout(() => {
      stuck = true;
      this.#child.kill(child.life, "stuck");
    }, timeoutMs + QUERY_KILL_GRACE_MS);
    try {
      const reply = await fetch("http://query/run", {
        unix: child.socketPath,
        method: "POST",
        // A connection of its own: a refused one tells that nothing was run, a kept one that breaks does not.
        keepalive: false,
        body: JSON.stringify(order),
        signal: question.signal,
      });
      if (reply.status !== 200) return problem((await reply.json()) as Problem);
      return {
        kind: "answer",
        contentType: reply.headers.get("content-type") ?? "",
        body: await reply.bytes(),
        position: pin.position,
        rowCount: Number(reply.headers.get(ROW_COUNT_HEADER)),
      };
    } catch (error) {
      if (isNotConnected(error)) {
        // Dead already, or alive behind a socket that somebody removed: nobody would ever reach it again.
        this.#child.kill(child.life, "unreachable");
        return { kind: "died", life: child.life };
      }
      if (stuck) return problem(stuckProblem(timeoutMs));
      const reason = this.#child.killReason(child.life);
      if (reason === "too_much_memory") return TOO_MUCH_MEMORY;
      if (reason !== null) return { kind: "died", life: child.life };
      if (!question.signal.aborted) await this.#child.gone(child.life);
      return DIED;
    } finally {
      clearTimeout(killer);
    }
  }
}

function stuckProblem(timeoutMs: number): Problem {
  return {
    status: 408,
    code: "query_timeout",
    title: "Question took too long",
    detail: `stopped after ${timeoutMs} ms in one long call: give functions shorter texts and lists`,
  };
}

/** Nobody listened: the child had died before or its socket is gone, nothing was run. */
function isNotConnected(error: unknown): boolean {
  const code: unknown = error instanceof Error ? Reflect.get(error, "code") : null;
  return code === "ECONNREFUSED" || code === "ENOENT";
}

/** Rejects when the promise takes longer. */
async function withTimeout<T>(promise: Promise<T>, ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not ready within ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
