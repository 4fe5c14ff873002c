// Questions all the time, of each kind: what an answer may be, and that no count of events ever goes down.
import type { Appliance, SqlAnswer } from "../e2e/appliance.ts";

/** What questions were answered, over all lives. */
export interface Answers {
  asked: number;
  timeouts: number;
  /** 503 with Retry-After. */
  later: number;
  /** Positions that a reader was behind, at most. */
  lagMax: number;
  /** Events of each stream when it was last asked. */
  readonly counts: Map<string, number>;
}

const PAUSE_MS = 100;
const COUNTS = ["clicks", "orders"] as const;
const QUESTIONS: readonly string[] = [
  "SELECT category, sum(events) FROM clicks_minute GROUP BY ALL",
  "SELECT * FROM clicks_minute_1h ORDER BY window_start DESC LIMIT 20",
  "SELECT window_start, sum(events) FROM clicks_hop GROUP BY ALL ORDER BY 1 DESC LIMIT 5",
  "SELECT count(*), max(events) FROM orders_sessions",
  "SELECT * FROM millrace.accounting",
  "SELECT * FROM millrace.watermarks",
  "SELECT count(*) FROM millrace.late_events",
  "SELECT reason, count(*) FROM millrace.dead_letters GROUP BY ALL",
  "SELECT o.category, count(*) FROM orders o JOIN clicks_minute c ON o.category = c.category WHERE o._position % 50 = 0 GROUP BY ALL",
];
/** Longer than `query.timeout`. */
const ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b";
const ENDLESS_EVERY = 40;

/** Asks one after the other until `ended`; throws when an answer is none that may be. Errors of a process that ends are not looked at: none ends before `ended`. */
export async function askUntil(
  ended: AbortSignal,
  appliance: Appliance,
  answers: Answers,
): Promise<void> {
  while (!ended.aborted) {
    const turn = answers.asked++;
    if (turn % ENDLESS_EVERY === 0) await ask(appliance, ENDLESS, answers);
    else if (turn % 5 === 0) await askCount(appliance, answers, COUNTS[(turn / 5) % 2] ?? "clicks");
    else if (turn % 5 === 1) await askLag(appliance, answers);
    else await ask(appliance, QUESTIONS[turn % QUESTIONS.length] ?? "SELECT 1", answers);
    await Bun.sleep(PAUSE_MS);
  }
}

async function ask(appliance: Appliance, sql: string, answers: Answers): Promise<SqlAnswer | null> {
  const response = await appliance.ask(sql);
  const text = await response.text();
  if (response.status === 200) return JSON.parse(text) as SqlAnswer;
  if (response.status === 408) answers.timeouts++;
  else if (response.status === 503 && response.headers.has("retry-after")) answers.later++;
  else throw new Error(`${sql}: ${response.status}: ${text}`);
  return null;
}

async function askCount(appliance: Appliance, answers: Answers, stream: string): Promise<void> {
  const answer = await ask(appliance, `SELECT count(*) FROM ${stream}`, answers);
  if (answer === null) return;
  const count = Number(answer.rows[0]?.[0]);
  const before = answers.counts.get(stream) ?? 0;
  if (count < before) throw new Error(`${stream} had ${before} events and has ${count}`);
  answers.counts.set(stream, count);
}

async function askLag(appliance: Appliance, answers: Answers): Promise<void> {
  const answer = await ask(appliance, "SELECT max(lag) FROM millrace.readers", answers);
  if (answer !== null) answers.lagMax = Math.max(answers.lagMax, Number(answer.rows[0]?.[0] ?? 0));
}
