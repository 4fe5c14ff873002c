// The load process: `bun bench/client.ts '{"port":8080,...}'`. Prints one JSON line with what was acknowledged. Stops by itself.
import { LoadBody } from "./load-body.ts";
import { Connection, postHead } from "./http-client.ts";

/** What to send. */
export interface LoadPlan {
  readonly port: number;
  readonly connections: number;
  readonly eventsPerBody: number;
  readonly seconds: number;
  /**
   * 0 = as fast as answers come; else bodies have due times, whatever the answers do (an open loop, so that a stall shows in the latency:
   * it counts from the due time).
   */
  readonly eventsPerSecond: number;
  readonly users: number;
  readonly categories: number;
  /** Whether every category occurs in turn (for many groups), or a fixed choice again and again. */
  readonly spread?: boolean;
  /** Only so many events are spread: those after them keep the categories that they have. Absent = all. */
  readonly spreadEvents?: number;
  /** Whether the server is killed in mid-load: connections may break, what was acknowledged counts. */
  readonly untilKilled?: boolean;
  /** Distinguishes the ids of several runs, 0 to 9. */
  readonly run: number;
}

/** What was acknowledged. Latencies in ms. */
export interface LoadResult {
  readonly accepted: number;
  readonly duplicates: number;
  readonly requests: number;
  readonly busy: number;
  readonly lastPosition: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** p99 of each SERIES_S seconds, whole ms. */
  readonly p99s: readonly number[];
}

/** Seconds of a value in a series, here and in what is watched meanwhile. */
export const SERIES_S = 10;

/** A connection with its body, and when the request under way was due. */
interface Lane {
  readonly connection: Connection;
  readonly body: LoadBody;
  readonly head: Uint8Array;
  /** Head and body in one, for small bodies: one write. */
  readonly request: Uint8Array | null;
  sinceMs: number;
}

/** Bodies up to this size are sent in one write with their head. */
const ONE_WRITE_BYTES = 16_384;
/** Bodies that a run may send before their ids are those of the next. */
const RUN_BODIES = 1_000_000_000;

class Load {
  readonly #plan: LoadPlan;
  readonly #latencies: number[] = [];
  /** Answers at the end of each SERIES_S seconds. */
  readonly #marks: number[] = [];
  #accepted = 0;
  #duplicates = 0;
  #busy = 0;
  #lastPosition = 0;
  #sequence: number;
  #beginMs = 0;
  #endMs = 0;
  /** Due times of requests that wait for a connection, ascending, and connections that wait for one. */
  readonly #due: number[] = [];
  readonly #idle: Lane[] = [];
  #isDueOver = false;
  #open = 0;
  #finish: (() => void) | null = null;
  #fail: ((error: Error) => void) | null = null;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
    this.#sequence = plan.run * RUN_BODIES;
  }

  async run(): Promise<LoadResult> {
    const plan = this.#plan;
    const finished = new Promise<void>((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    const lanes: Lane[] = [];
    for (let n = 0; n < plan.connections; n++) lanes.push(await this.#lane(n));
    this.#open = lanes.length;
    this.#beginMs = performance.now();
    this.#endMs = this.#beginMs + plan.seconds * 1000;
    if (plan.eventsPerSecond > 0) {
      this.#idle.push(...lanes);
      void this.#announce();
    } else for (const lane of lanes) this.#send(lane, this.#beginMs, this.#beginMs);
    await finished;
    return this.#result();
  }

  async #lane(n: number): Promise<Lane> {
    const { port, eventsPerBody: events, users, categories } = this.#plan;
    const body = LoadBody.make({ seed: n + 1, events, users, categories });
    const head = postHead("/v1/events/clicks", "application/x-ndjson", body.bytes.length);
    const isSmall = body.bytes.length <= ONE_WRITE_BYTES;
    const connection = await Connection.open("127.0.0.1", port, {
      answered: () => this.#answered(lane),
      broke: (error) => this.#broke(error),
    });
    const request = isSmall ? new Uint8Array(head.length + body.bytes.length) : null;
    request?.set(head);
    const lane: Lane = { connection, body, head, request, sinceMs: 0 };
    return lane;
  }

  #answered(lane: Lane): void {
    const nowMs = performance.now();
    if (nowMs > this.#beginMs + (this.#marks.length + 1) * SERIES_S * 1000)
      this.#marks.push(this.#latencies.length);
    this.#latencies.push(nowMs - lane.sinceMs);
    const { status, text, accepted, duplicates, position } = lane.connection.reader;
    if (status === 503) this.#busy++;
    else if (text !== "" || accepted + duplicates !== this.#plan.eventsPerBody)
      return this.#fail?.(new Error(`status ${status}: ${text}, ${accepted} accepted`));
    this.#accepted += accepted;
    this.#duplicates += duplicates;
    if (position > this.#lastPosition) this.#lastPosition = position;
    this.#next(lane, nowMs);
  }

  #next(lane: Lane, nowMs: number): void {
    if (this.#plan.eventsPerSecond === 0) {
      if (nowMs < this.#endMs) this.#send(lane, nowMs, nowMs);
      else this.#end(lane);
      return;
    }
    const dueMs = this.#due.shift();
    if (dueMs !== undefined) this.#send(lane, dueMs, nowMs);
    else if (this.#isDueOver) this.#end(lane);
    else this.#idle.push(lane);
  }

  #send(lane: Lane, sinceMs: number, nowMs: number): void {
    const { body, request } = lane;
    lane.sinceMs = sinceMs;
    if (this.#isSpread()) body.spread(this.#sequence);
    body.stamp(this.#sequence++, Math.floor(performance.timeOrigin + nowMs));
    if (request === null) return lane.connection.send(lane.head, body.bytes);
    request.set(body.bytes, lane.head.length);
    return lane.connection.send(request, null);
  }

  #isSpread(): boolean {
    const { spread, spreadEvents = Infinity, run, eventsPerBody } = this.#plan;
    return spread === true && (this.#sequence - run * RUN_BODIES) * eventsPerBody < spreadEvents;
  }

  #end(lane: Lane): void {
    lane.connection.end();
    this.#open--;
    if (this.#open === 0) this.#finish?.();
  }

  #broke(error: Error): void {
    if (this.#plan.untilKilled !== true) return this.#fail?.(error);
    this.#open--;
    this.#isDueOver = true;
    return this.#open === 0 ? this.#finish?.() : undefined;
  }

  /** Says when bodies are due. */
  async #announce(): Promise<void> {
    const { eventsPerBody, eventsPerSecond } = this.#plan;
    const everyMs = (1000 * eventsPerBody) / eventsPerSecond;
    for (let n = 0; !this.#isDueOver; n++) {
      const dueMs = this.#beginMs + n * everyMs;
      if (dueMs >= this.#endMs) break;
      const waitMs = dueMs - performance.now();
      if (waitMs > 1) await Bun.sleep(waitMs);
      // in turn: a server closes connections that rest too long
      const lane = this.#idle.shift();
      if (lane === undefined) this.#due.push(dueMs);
      else this.#send(lane, dueMs, performance.now());
    }
    this.#isDueOver = true;
    for (const lane of this.#idle.splice(0)) this.#end(lane);
  }

  #result(): LoadResult {
    const latencies = Float64Array.from(this.#latencies).toSorted();
    const ends = [...this.#marks, latencies.length];
    const parts = ends.map((end, part) => this.#latencies.slice(ends[part - 1] ?? 0, end));
    return {
      accepted: this.#accepted,
      duplicates: this.#duplicates,
      requests: latencies.length,
      busy: this.#busy,
      lastPosition: this.#lastPosition,
      seconds: (performance.now() - this.#beginMs) / 1000,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99),
      max: latencies.at(-1) ?? 0,
      p99s: parts.map((part) => Math.round(quantile(Float64Array.from(part).toSorted(), 0.99))),
    };
  }
}

/** `sorted`: ascending; 0 of nothing. */
function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

if (import.meta.main) {
  const plan = JSON.parse(process.argv[2] ?? "{}") as LoadPlan;
  console.log(JSON.stringify(await new Load(plan).run()));
}
