// Overload: more comes than tables can be written. The log takes it at the speed of ingest, the readers' lag is visible, past log.size_max producers are told 503 and when to come again, memory
// stays within its bound, and all goes on by itself. The real process and slow tables.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gauges, memoryMb } from "../../bench/running.ts";
import { buildKernels } from "../../kernels/build.ts";
import { Appliance, temporaryFolder, type EventsAnswer } from "./appliance.ts";
import { CLICK } from "./click.ts";

setDefaultTimeout(300_000);

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
/** 82 of them are kept for what is under way. */
const LOG_SIZE_MAX_MB = 160;
const FLAGS = [
  `--log.size_max=${LOG_SIZE_MAX_MB}MB`,
  "--log.file_size=4MB",
  "--checkpoint.interval=300ms",
  "--export.interval=300ms",
  "--streams.clicks.dedup_ids_max=1000000",
];
/** Texts that compress to half: some 200 bodies fill the log. */
const EVENTS = 500;
const TEXT_BYTES = 1400;
const TAKEN_LEAST = 60_000;
const SENDERS = 4;
/** Positions. */
const LAG_LEAST = 10;
/** Of the process and its query process: the engine's memories (160 MB of bodies, 80 of images, ids), DuckDB and Bun. */
const MEMORY_MB_MAX = 1000;

const folder = temporaryFolder();
const slow = join(folder.path, "slow");
let appliance: Appliance;
beforeAll(async () => {
  await buildKernels();
  appliance = await Appliance.start({
    config: CONFIG,
    data: join(folder.path, "data"),
    flags: FLAGS,
    env: { MILLRACE_FAILPOINT: `table.data.write.before:wait5000@${slow}` },
  });
});
afterAll(() => {
  appliance?.process.kill("SIGKILL");
  folder.dispose();
});

let bodies = 0;
function bodyOf(): string {
  const number = bodies++;
  return Array.from({ length: EVENTS }, (_, row) =>
    JSON.stringify({
      event_id: `${number}-${row}`,
      event_time: new Date(Date.UTC(2025, 5, 1) + number * 1000).toISOString(),
      ...CLICK,
      session_id: crypto.getRandomValues(Buffer.alloc(TEXT_BYTES / 2)).toString("hex"),
    }),
  ).join("\n");
}

/** Sends bodies one after the other until it is told; what became of them. */
async function sendUntil(ended: AbortSignal): Promise<{ accepted: number; refused: number }> {
  const sent = { accepted: 0, refused: 0 };
  while (!ended.aborted) {
    const response = await appliance.post(bodyOf());
    const text = await response.text();
    if (response.status === 200) {
      sent.accepted += (JSON.parse(text) as EventsAnswer).accepted;
      continue;
    }
    expect([response.status, text]).toEqual([503, expect.stringContaining("log_full")]);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    sent.refused++;
    await Bun.sleep(20);
  }
  return sent;
}

/** The lag of the raw export in positions, by SQL and by /metrics. */
async function lags(): Promise<readonly [number, number]> {
  const { rows } = await appliance.rows(
    "SELECT lag FROM millrace.readers WHERE reader = 'raw:clicks'",
  );
  const now = await gauges(appliance);
  const position = now.get('millrace_reader_position{reader="raw:clicks"}') ?? 0;
  return [Number(rows[0]?.[0]), (now.get("millrace_log_position") ?? 0) - position];
}

interface Health {
  readonly problems: readonly string[];
}

async function until(what: string, isThere: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 1200; waited++) {
    if (await isThere()) return;
    await Bun.sleep(100);
  }
  throw new Error(`two minutes without ${what}:\n${appliance.output}`);
}

test("a burst is taken until the log is full, then refused, and all goes on by itself", async () => {
  let accepted = (await appliance.send(bodyOf())).accepted;
  let peakMb = 0;
  const sampling = setInterval(
    () => (peakMb = Math.max(peakMb, memoryMb(appliance.process.pid))),
    100,
  );
  try {
    writeFileSync(slow, "");
    const ended = new AbortController();
    const senders = Promise.all(Array.from({ length: SENDERS }, () => sendUntil(ended.signal)));
    await until("a log that is full, and says so", async () => {
      const health = (await (await fetch(`${appliance.address}/health`)).json()) as Health;
      const isLagging = Math.min(...(await lags())) > LAG_LEAST;
      return isLagging && health.problems.some((problem) => problem.includes("log.size_max"));
    });
    ended.abort();
    const sent = await senders;
    for (const one of sent) accepted += one.accepted;
    expect(Math.max(...sent.map(({ refused }) => refused))).toBeGreaterThan(0);
    expect(accepted).toBeGreaterThan(TAKEN_LEAST);
    // questions go on, and views are not behind what is durable
    const { rows } = await appliance.rows("SELECT sum(events) FROM per_minute");
    expect(Number(rows[0]?.[0])).toBe(accepted);

    rmSync(slow);
    await until("room", async () => {
      const response = await appliance.post(bodyOf());
      if (response.status === 200) accepted += ((await response.json()) as EventsAnswer).accepted;
      return response.status === 200;
    });
    await until("the raw export at the log's end", async () => Math.max(...(await lags())) === 0);
    const counted = await appliance.rows(
      "SELECT (SELECT count(*) FROM clicks), (SELECT count(DISTINCT event_id) FROM clicks), (SELECT sum(events) FROM per_minute)",
    );
    expect(counted.rows[0]?.map(Number)).toEqual([accepted, accepted, accepted]);
    expect((await fetch(`${appliance.address}/health`)).status).toBe(200);
    expect(peakMb).toBeLessThan(MEMORY_MB_MAX);
    expect(await appliance.stop()).toBe(0);
  } finally {
    clearInterval(sampling);
  }
});
