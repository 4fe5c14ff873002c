// The load process: `bun bench/client.ts '{"port":8080,...}'`. Prints one JSON line with what was acknowledged. Stops by itself.
import { LoadBody } from "./load-body.ts";
import { converse, postHead } from "./http-client.ts";

/** What to send. `eventsPerSecond` 0 = as fast as answers come. */
export interface LoadPlan {
  readonly port: number;
  readonly connections: number;
  readonly eventsPerBody: number;
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly users: number;
  readonly categories: number;
  /** Whether every category occurs in turn (for many groups), or a fixed choice again and again. */
  readonly spread?: boolean;
  /** Distinguishes the ids of several runs. */
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
}

async function run(plan: LoadPlan): Promise<LoadResult> {
  const latencies: number[] = [];
  let accepted = 0;
  let duplicates = 0;
  let busy = 0;
  let lastPosition = 0;
  let sequence = plan.run * 1_000_000_000;
  const begin = performance.now();
  const end = begin + plan.seconds * 1000;
  const spareMs =
    plan.eventsPerSecond === 0 ? 0 : (1000 * plan.eventsPerBody) / plan.eventsPerSecond;
  const one = async (connection: number): Promise<void> => {
    const body = LoadBody.make({
      seed: connection + 1,
      events: plan.eventsPerBody,
      users: plan.users,
      categories: plan.categories,
    });
    const head = postHead("/v1/events/clicks", "application/x-ndjson", body.bytes.length);
    const request =
      plan.eventsPerBody === 1 ? new Uint8Array(head.length + body.bytes.length) : null;
    await converse("127.0.0.1", plan.port, {
      next: () => {
        if (performance.now() >= end) return null;
        if (plan.spread === true) body.spread(sequence);
        body.stamp(sequence++, Date.now());
        if (request === null) return [head, body.bytes];
        request.set(head);
        request.set(body.bytes, head.length);
        return [request];
      },
      answer: (status, text, latencyMs) => {
        latencies.push(latencyMs);
        if (status === 503) busy++;
        else if (status !== 200) throw new Error(`status ${status}: ${text}`);
        if (status !== 200) return;
        const answer = JSON.parse(text) as {
          accepted: number;
          duplicates: number;
          position: number;
        };
        accepted += answer.accepted;
        duplicates += answer.duplicates;
        lastPosition = Math.max(lastPosition, answer.position);
      },
    });
  };
  if (spareMs > 0) await paced();
  else
    await Promise.all(Array.from({ length: plan.connections }, (_, connection) => one(connection)));
  latencies.sort((a, b) => a - b);
  const at = (q: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0;
  return {
    accepted,
    duplicates,
    requests: latencies.length,
    busy,
    lastPosition,
    seconds: (performance.now() - begin) / 1000,
    p50: at(0.5),
    p99: at(0.99),
    max: latencies.at(-1) ?? 0,
  };

  /** Sends bodies at their due times, whatever the answers do (an open loop, so that a stall shows in the latency). */
  async function paced(): Promise<void> {
    const body = LoadBody.make({
      seed: 1,
      events: plan.eventsPerBody,
      users: plan.users,
      categories: plan.categories,
    });
    const open = new Set<Promise<void>>();
    for (let n = 0; n * spareMs < plan.seconds * 1000; n++) {
      const due = begin + n * spareMs;
      const wait = due - performance.now();
      if (wait > 1) await Bun.sleep(wait);
      body.stamp(sequence++, Date.now());
      const bytes = body.bytes.slice();
      const sending = (async () => {
        const response = await fetch(`http://127.0.0.1:${plan.port}/v1/events/clicks`, {
          method: "POST",
          headers: { "content-type": "application/x-ndjson" },
          body: bytes,
        });
        const answer = (await response.json()) as { accepted?: number; position?: number };
        latencies.push(performance.now() - due);
        if (response.status === 503) busy++;
        accepted += answer.accepted ?? 0;
        lastPosition = Math.max(lastPosition, answer.position ?? 0);
      })();
      open.add(sending);
      void sending.finally(() => open.delete(sending));
    }
    await Promise.all(open);
  }
}

if (import.meta.main)
  console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? "{}") as LoadPlan)));
