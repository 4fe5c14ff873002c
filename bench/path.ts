// The whole path, measured from outside: a real appliance, a client in another process on the same two cores, rates as events divided
// by the time until every reader stands at the last position.
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Appliance } from "../test/e2e/appliance.ts";
import type { LoadPlan, LoadResult } from "./client.ts";
import type { BenchLine } from "./line.ts";
import { LoadBody } from "./load-body.ts";

const CONFIG = join(import.meta.dir, "clicks.yaml");
const CLIENT = join(import.meta.dir, "client.ts");
const FAST: LoadPlan = {
  port: 0,
  connections: 16,
  eventsPerBody: 1000,
  seconds: 20,
  eventsPerSecond: 0,
  users: 1_000_000,
  categories: 1600,
  run: 1,
};

/** Runs the load process to its end. */
async function load(appliance: Appliance, plan: Partial<LoadPlan>): Promise<LoadResult> {
  const port = Number(new URL(appliance.address).port);
  const child = Bun.spawn({
    cmd: [process.execPath, "--no-install", CLIENT, JSON.stringify({ ...FAST, ...plan, port })],
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error("the load client failed");
  return JSON.parse(text) as LoadResult;
}

function withRatio(line: BenchLine, against: number, name: string): BenchLine {
  return { ...line, ratio: line.rate / against, ratio_to: name };
}

/** Seconds until every reader stands at `position`. */
async function caughtUp(appliance: Appliance, position: number): Promise<number> {
  const begin = performance.now();
  for (;;) {
    const { rows } = await appliance.rows(
      "SELECT min(coalesce(ledger_position, position)) FROM millrace.readers WHERE reader <> 'dead_letters'",
    );
    if (Number(rows[0]?.[0]) >= position) return (performance.now() - begin) / 1000;
    if (performance.now() - begin > 120_000) throw new Error("readers do not catch up");
    await Bun.sleep(20);
  }
}

/** Resident memory of a process and its children, MB. */
function memoryMb(pid: number): number {
  const kilobytes = (id: number): number => {
    const status = readFileSync(`/proc/${id}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
  };
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
      .split(" ")
      .filter(Boolean)
      .map(Number),
  );
  return [pid, ...children].reduce((sum, id) => sum + kilobytes(id), 0) / 1024;
}

/** The highest memory while `work` runs, MB. */
async function peakMemory<T>(pid: number, work: Promise<T>): Promise<{ value: T; peakMb: number }> {
  let peakMb = 0;
  const timer = setInterval(() => (peakMb = Math.max(peakMb, memoryMb(pid))), 250);
  try {
    return { value: await work, peakMb };
  } finally {
    clearInterval(timer);
  }
}

/** JSON.parse of each line of the same bodies on one core, events/s: what the whole path is compared with. */
function jsonParseRate(): number {
  const body = LoadBody.make({ seed: 1, events: 1000, users: 1_000_000, categories: 1600 });
  let events = 0;
  const begin = performance.now();
  while (performance.now() - begin < 1000) {
    for (const line of new TextDecoder().decode(body.bytes).trimEnd().split("\n")) {
      const click = JSON.parse(line) as { readonly price: number };
      if (click.price >= 0) events++;
    }
  }
  return (events / (performance.now() - begin)) * 1000;
}

/** fdatasync of 4 KB appends one after the other, per second: what a commit without a group costs at least. */
function fdatasyncRate(): number {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  const descriptor = openSync(join(folder, "file"), "w");
  const page = new Uint8Array(4096);
  let syncs = 0;
  const begin = performance.now();
  while (performance.now() - begin < 1000) {
    writeSync(descriptor, page);
    fdatasyncSync(descriptor);
    syncs++;
  }
  const rate = (syncs / (performance.now() - begin)) * 1000;
  closeSync(descriptor);
  rmSync(folder, { recursive: true });
  return rate;
}

async function withAppliance<T>(
  flags: readonly string[],
  use: (appliance: Appliance, data: string) => Promise<T>,
): Promise<T> {
  const data = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  const appliance = await Appliance.start({ config: CONFIG, data, flags });
  try {
    return await use(appliance, data);
  } finally {
    await appliance.kill();
    rmSync(data, { recursive: true, force: true });
  }
}

async function wholePath(seconds: number, raw: "on" | "off"): Promise<BenchLine[]> {
  // The raw reader stands where its ledger does: files of two seconds, so that the tail is short against the run.
  return withAppliance([`--export.raw=${raw}`, "--export.interval=2s"], async (appliance) => {
    const { value: result, peakMb } = await peakMemory(
      appliance.process.pid,
      load(appliance, { seconds }),
    );
    const tail = await caughtUp(appliance, result.lastPosition);
    const stage = `whole path over HTTP, 1,000 a POST, raw export ${raw}, ${seconds} s`;
    return [
      withRatio(
        { stage, rate: result.accepted / (result.seconds + tail), unit: "events/s" },
        jsonParseRate(),
        "JSON.parse",
      ),
      { stage: `${stage}: acknowledged, p50`, rate: result.p50, unit: "ms" },
      { stage: `${stage}: acknowledged, p99`, rate: result.p99, unit: "ms" },
      { stage: `${stage}: catching up afterwards`, rate: tail, unit: "s" },
      { stage: `${stage}: peak memory`, rate: peakMb, unit: "MB" },
    ];
  });
}

async function singles(seconds: number): Promise<BenchLine[]> {
  return withAppliance([], async (appliance) => {
    await Bun.sleep(1000);
    const restMb = memoryMb(appliance.process.pid);
    const result = await load(appliance, { seconds, connections: 64, eventsPerBody: 1 });
    return [
      { stage: "memory at rest, parent and child", rate: restMb, unit: "MB" },
      withRatio(
        {
          stage: "single-event POSTs, 64 connections",
          rate: result.requests / result.seconds,
          unit: "requests/s",
        },
        fdatasyncRate(),
        "fdatasync",
      ),
      { stage: "single-event POSTs: p50", rate: result.p50, unit: "ms" },
      { stage: "single-event POSTs: p99", rate: result.p99, unit: "ms" },
    ];
  });
}

/** From an acknowledgement to the SQL answer that holds it, while 100,000 events/s arrive. */
async function freshness(seconds: number): Promise<BenchLine[]> {
  return withAppliance([], async (appliance) => {
    const loading = load(appliance, { seconds, eventsPerBody: 200, eventsPerSecond: 100_000 });
    await Bun.sleep(1500);
    const latencies: number[] = [];
    const end = performance.now() + (seconds - 3) * 1000;
    for (let n = 0; performance.now() < end; n++) {
      const id = `marker-${n}`;
      const answer = await appliance.send(
        `${JSON.stringify({ event_id: id, event_time: new Date().toISOString(), event_type: "view", user_id: "1", session_id: "s", page_url: "/", category: "c", brand: "b", price: 1, country: "DE" })}\n`,
      );
      const begin = performance.now();
      const { rows } = await appliance.rows(
        `SELECT count(*) FROM clicks WHERE event_id = '${id}'`,
        answer.position,
      );
      if (Number(rows[0]?.[0]) !== 1) throw new Error(`acknowledged but not visible: ${id}`);
      latencies.push(performance.now() - begin);
      await Bun.sleep(20);
    }
    const result = await loading;
    latencies.sort((a, b) => a - b);
    const at = (q: number): number => latencies[Math.floor(latencies.length * q)] ?? 0;
    return [
      {
        stage: "acknowledged to visible in SQL at 100,000 events/s: p50",
        rate: at(0.5),
        unit: "ms",
      },
      {
        stage: "acknowledged to visible in SQL at 100,000 events/s: p99",
        rate: at(0.99),
        unit: "ms",
      },
      {
        stage: "events/s taken meanwhile",
        rate: result.accepted / result.seconds,
        unit: "events/s",
      },
    ];
  });
}

/** kill -9 under load with many groups open and ids live, to the SQL answer with the acknowledged count. */
async function recovery(seconds: number, groups: number): Promise<BenchLine[]> {
  const data = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  const flags = ["--streams.clicks.dedup_ttl=10m", "--streams.clicks.out_of_orderness=10m"];
  try {
    const first = await Appliance.start({ config: CONFIG, data, flags });
    const result = await load(first, { seconds, categories: groups, spread: true });
    await first.kill();
    const begin = performance.now();
    const second = await Appliance.start({ config: CONFIG, data, flags });
    const { rows } = await second.rows(
      "SELECT sum(events), count(*) FROM per_minute",
      result.lastPosition,
    );
    const elapsed = (performance.now() - begin) / 1000;
    await second.kill();
    if (Number(rows[0]?.[0]) < result.accepted) throw new Error("acknowledged events are missing");
    return [
      {
        stage: `kill -9 under load, ${String(rows[0]?.[1])} groups open, ${result.accepted} ids live, to SQL`,
        rate: elapsed,
        unit: "s",
      },
    ];
  } finally {
    rmSync(data, { recursive: true, force: true });
  }
}

/** All lines of the whole path. `small` runs each for a moment, so that the benchmark cannot rot. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const { small } = options;
  return [
    ...(await wholePath(small ? 1 : 60, "on")),
    ...(await wholePath(small ? 1 : 20, "off")),
    ...(await singles(small ? 1 : 10)),
    ...(await freshness(small ? 4 : 15)),
    ...(await recovery(small ? 1 : 6, small ? 10_000 : 1_000_000)),
  ];
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
