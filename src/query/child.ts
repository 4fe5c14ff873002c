// The query child process: answers its parent over a unix socket, one question in one locked-down DuckDB. Owns nothing durable: it may be
// killed at any moment. Its event loop serves table functions too (base/duckdb-scan.ts), so nothing here may block for long.
import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { DuckDb } from "../base/duckdb.ts";
import { systemClock } from "../base/clock.ts";
import {
  QUERY_IDLE_MS,
  QUERY_KILL_GRACE_MS,
  QUERY_RUNNING_MAX,
  QUERY_TEMP_BYTES_MAX,
  QUERY_TEXTS_KEPT,
} from "../limits.ts";
import type { LogReader } from "../log/log.ts";
import { placeOf } from "../view/tree.ts";
import { findDamage } from "./damage.ts";
import { guardQuestion, type GuardAnswer, type UsedRelation } from "./guard.ts";
import { LiveData } from "./live.ts";
import { knownNeedles, type Needle } from "./needles.ts";
import type { Pin } from "./pin.ts";
import { problemOfDuckError, UNAVAILABLE, unreadable, type Problem } from "./problem.ts";
import { Recent } from "./recent.ts";
import { LATE_EVENTS, planRelations, VIEW_ERRORS, type RelationPlan } from "./relations.ts";
import { runQuestion, type RunAnswer } from "./run.ts";
import { SandboxPool, type Sandbox } from "./sandbox.ts";
import { READY_LINE, ROW_COUNT_HEADER, type ChildOptions, type RunRequest } from "./wire.ts";

/** What the child needs from others. */
export interface ChildDeps {
  /** Opens the log for reading; called once. */
  readonly openLog: (folder: string) => LogReader;
}

class QueryChild {
  readonly #parser: DuckDb;
  readonly #pool: SandboxPool;
  readonly #live: LiveData;
  readonly #guarded = new Recent<GuardAnswer>(QUERY_TEXTS_KEPT);
  readonly #clock = systemClock();
  #lastUsedMs = 0;

  constructor(parser: DuckDb, pool: SandboxPool, live: LiveData) {
    this.#parser = parser;
    this.#pool = pool;
    this.#live = live;
  }

  async handle(request: Request): Promise<Response> {
    this.#lastUsedMs = this.#nowMs();
    const { pathname } = new URL(request.url);
    if (pathname !== "/run") return new Response(null, { status: 404 });
    const order = (await request.json()) as RunRequest;
    const answer = await this.#run(order, request.signal);
    this.#lastUsedMs = this.#nowMs();
    if (answer.kind === "problem") return Response.json(answer.problem, { status: 400 });
    return new Response(answer.body, {
      headers: { "content-type": answer.contentType, [ROW_COUNT_HEADER]: String(answer.rowCount) },
    });
  }

  /** Gives memory back after a while without questions. */
  rest(): void {
    const untilMs = this.#nowMs() - QUERY_IDLE_MS;
    const forgot = this.#live.forget(untilMs);
    if (this.#lastUsedMs > untilMs) return;
    this.#pool.shrink();
    if (forgot) Bun.gc(true);
  }

  #nowMs(): number {
    return this.#clock.monotonicUs() / 1000;
  }

  async #guard(sql: string): Promise<GuardAnswer> {
    const known = this.#guarded.get(sql);
    if (known !== undefined) return known;
    const connection = await this.#parser.connect();
    try {
      const guarded = await guardQuestion(connection, sql);
      this.#guarded.set(sql, guarded);
      return guarded;
    } finally {
      connection.close();
    }
  }

  async #run(order: RunRequest, signal: AbortSignal): Promise<RunAnswer> {
    const startedMs = this.#nowMs();
    const guarded = await this.#guard(order.sql);
    if (guarded.kind === "refused") return { kind: "problem", problem: guarded.problem };
    const unknown = unknownRelation(order.sql, order.pin, guarded.relations);
    if (unknown !== null) return { kind: "problem", problem: unknown };
    const names = guarded.relations.map(({ name }) => name);
    const plan = planRelations(order.pin, names);
    const sandbox = await this.#pool.take();
    try {
      const context = { plan, needles: guarded.needles, signal };
      const answer = await this.#runIn(sandbox, order, context);
      const untilMs = startedMs + order.timeoutMs + QUERY_KILL_GRACE_MS / 2;
      const isOfFiles = answer.kind === "problem" && answer.problem.code === UNAVAILABLE;
      const damage = isOfFiles
        ? await findDamage(
            sandbox.connection,
            { pin: order.pin, names },
            { ms: untilMs - this.#nowMs(), signal },
          )
        : null;
      this.#pool.giveBack(sandbox);
      return damage === null ? answer : { kind: "problem", problem: damage };
    } catch (error) {
      sandbox.close();
      throw error;
    }
  }

  async #runIn(
    sandbox: Sandbox,
    order: RunRequest,
    context: {
      readonly plan: RelationPlan;
      readonly needles: readonly Needle[];
      readonly signal: AbortSignal;
    },
  ): Promise<RunAnswer> {
    const { plan, needles, signal } = context;
    try {
      const scans = plan.scans.map((scan) =>
        this.#live.scan(scan, {
          pin: order.pin,
          nowMs: this.#nowMs(),
          needles: knownNeedles(needles, scan.relation, order.params),
        }),
      );
      await sandbox.prepare(plan.relations, scans);
    } catch (error) {
      return { kind: "problem", problem: relationProblem(error) };
    }
    return runQuestion(sandbox.connection, { ...order, position: order.pin.position }, signal);
  }
}

/** Our own relations could not be set up: not the question's fault. */
function relationProblem(error: unknown): Problem {
  return unreadable(problemOfDuckError(error, "").detail);
}

/** The first relation that the pin lacks, as a problem. */
function unknownRelation(
  sql: string,
  pin: Pin,
  relations: readonly UsedRelation[],
): Problem | null {
  const known = new Set([
    ...pin.streams.map(({ stream }) => stream.toLowerCase()),
    ...pin.views.map(({ view }) => view.toLowerCase()),
    ...pin.inline.map(({ name }) => name.toLowerCase()),
    LATE_EVENTS,
    VIEW_ERRORS,
    "millrace.dead_letters",
  ]);
  const missing = relations.find(({ name }) => !known.has(name));
  if (missing === undefined) return null;
  return {
    status: 400,
    code: "unknown_relation",
    title: "Unknown relation",
    detail: `there is no stream, view or system relation ${missing.name}`,
    ...(missing.at === null ? {} : placeOf(sql, missing.at)),
  };
}

/**
 * Nice value of this process: a third of the share of a thread of ingest when both want a core. At 19 it would get a seventieth, and
 * questions would time out whenever ingest is busy.
 */
const NICE = 5;

/** Ingest comes first: this process yields to it, and is the first to go when memory is short. */
function yieldToOthers(): void {
  setPriority(NICE);
  try {
    writeFileSync("/proc/self/oom_score_adj", "1000");
  } catch {
    // Not Linux, or not allowed: only the preference is lost.
  }
}

/** Ends when the parent does: the parent holds the other end of standard input. */
async function endWithParent(): Promise<void> {
  for await (const _ of Bun.stdin.stream()) continue;
  process.kill(process.pid, "SIGKILL");
}

/** Runs the child until its parent goes away. Prints READY_LINE when it listens. */
export async function runQueryChild(
  socketPath: string,
  options: ChildOptions,
  deps: ChildDeps,
): Promise<void> {
  yieldToOthers();
  // The socket and temporary files are for this user only.
  process.umask(0o077);
  void endWithParent();
  const sandboxOptions = {
    ...options,
    memoryBytesMax: Math.floor(options.memoryBytesMax / QUERY_RUNNING_MAX),
    tempBytesMax: QUERY_TEMP_BYTES_MAX,
  };
  const pool = new SandboxPool(sandboxOptions);
  pool.giveBack(await pool.take());
  const parser = await DuckDb.open({ threads: "1" });
  const child = new QueryChild(parser, pool, new LiveData(deps.openLog));
  Bun.serve({
    unix: socketPath,
    maxRequestBodySize: 1024 * 1024 * 1024,
    fetch: (request, server) => {
      // A question may take longer than any idle timeout.
      server.timeout(request, 0);
      return child.handle(request);
    },
  });
  setInterval(() => child.rest(), QUERY_IDLE_MS / 4);
  process.stdout.write(`${READY_LINE}\n`);
}
