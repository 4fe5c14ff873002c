// A real appliance under load, for the benchmarks of the whole path: starting it, the load process, its memory and gauges, and when its
// readers have caught up. Measures nothing by itself.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Appliance } from "../test/e2e/appliance.ts";
import type { LoadPlan, LoadResult } from "./client.ts";
import type { BenchLine } from "./line.ts";
import { LoadBody } from "./load-body.ts";

export const CLICKS_CONFIG = join(import.meta.dir, "clicks.yaml");
const CLIENT = join(import.meta.dir, "client.ts");

/** 16 connections that send bodies of 1,000 events as fast as answers come. */
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

/** How long readers may take to catch up before a run is given up, ms. */
const CATCH_UP_MS_MAX = 120_000;

/** Runs the load process to its end. */
export async function load(appliance: Appliance, plan: Partial<LoadPlan>): Promise<LoadResult> {
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

export function withRatio(line: BenchLine, against: number, name: string): BenchLine {
  return { ...line, ratio: line.rate / against, ratio_to: name };
}

/** Seconds until every reader stands at `position`. */
export async function caughtUp(appliance: Appliance, position: number): Promise<number> {
  const begin = performance.now();
  for (;;) {
    const { rows } = await appliance.rows(
      "SELECT min(coalesce(ledger_position, position)) FROM millrace.readers WHERE reader <> 'dead_letters'",
    );
    if (Number(rows[0]?.[0]) >= position) return (performance.now() - begin) / 1000;
    if (performance.now() - begin > CATCH_UP_MS_MAX) throw new Error("readers do not catch up");
    await Bun.sleep(20);
  }
}

/** Resident memory of a process and its children, MB. */
export function memoryMb(pid: number): number {
  const kilobytes = (id: number): number => {
    try {
      const status = readFileSync(`/proc/${id}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
    } catch {
      // a child that has just ended
      return 0;
    }
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
export async function peakMemory<T>(
  pid: number,
  work: Promise<T>,
): Promise<{ value: T; peakMb: number }> {
  let peakMb = 0;
  const timer = setInterval(() => (peakMb = Math.max(peakMb, memoryMb(pid))), 250);
  try {
    return { value: await work, peakMb };
  } finally {
    clearInterval(timer);
  }
}

/** Everything that /metrics shows, by name with labels: `millrace_dedup_ids{stream="clicks"}`. */
export async function gauges(appliance: Appliance): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${appliance.address}/metrics`)).text();
  return new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const space = line.lastIndexOf(" ");
        return [line.slice(0, space), Number(line.slice(space + 1))];
      }),
  );
}

/** JSON.parse of each line of the same bodies on one core, events/s: what the whole path is compared with. */
export function jsonParseRate(): number {
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

/** Uses a folder that is gone afterwards. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Uses an appliance on an empty data folder; both are gone afterwards. */
export async function withAppliance<T>(
  options: {
    readonly config?: string;
    readonly flags: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  },
  use: (appliance: Appliance, data: string) => Promise<T>,
): Promise<T> {
  return withFolder(async (data) => {
    const { config = CLICKS_CONFIG, flags, env = {} } = options;
    const appliance = await Appliance.start({ config, data, flags, env });
    try {
      return await use(appliance, data);
    } finally {
      await appliance.kill();
    }
  });
}
