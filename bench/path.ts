// The whole path, measured from outside: a real appliance, a client in another process on the same two cores, rates as events divided
// by the time until every reader stands at the last position.
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Appliance } from "../test/e2e/appliance.ts";
import type { BenchLine } from "./line.ts";
import {
  caughtUp,
  jsonParseRate,
  load,
  memoryMb,
  peakMemory,
  withAppliance,
  withFolder,
  withRatio,
} from "./running.ts";

/** fdatasync of 4 KB appends one after the other, per second: what a commit without a group costs at least. */
async function fdatasyncRate(): Promise<number> {
  return withFolder(async (folder) => {
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
    return rate;
  });
}

/** What the load client was told is what SQL counts. */
async function assertCount(
  appliance: Appliance,
  accepted: number,
  position: number,
): Promise<void> {
  const { rows } = await appliance.rows("SELECT count(*) FROM clicks", position);
  if (Number(rows[0]?.[0]) !== accepted)
    throw new Error(`${accepted} events were acknowledged, SQL counts ${String(rows[0]?.[0])}`);
}

/** Seconds of the same load before it is measured: new code is interpreted, and compiled meanwhile; a server's is mostly not new. */
const WARM_S = 2;

async function wholePath(seconds: number, raw: "on" | "off"): Promise<BenchLine[]> {
  // The raw reader stands where its ledger does: files of two seconds, so that the tail is short against the run.
  const flags = [`--export.raw=${raw}`, "--export.interval=2s"];
  return withAppliance({ flags }, async (appliance) => {
    const warm = await load(appliance, { seconds: WARM_S, run: 2 });
    await caughtUp(appliance, warm.lastPosition);
    const { value: result, peakMb } = await peakMemory(
      appliance.process.pid,
      load(appliance, { seconds }),
    );
    const tail = await caughtUp(appliance, result.lastPosition);
    if (raw === "on")
      await assertCount(appliance, warm.accepted + result.accepted, result.lastPosition);
    const stage = `whole path over HTTP, 1,000 a POST, raw export ${raw}, ${seconds} s after ${WARM_S}`;
    return [
      withRatio(
        {
          stage,
          rate: result.accepted / (result.seconds + tail),
          unit: "events/s",
          wanted: { least: raw === "on" ? 700_000 : 1_500_000 },
        },
        jsonParseRate(),
        "JSON.parse",
      ),
      { stage: `${stage}: acknowledged, p50`, rate: result.p50, unit: "ms" },
      { stage: `${stage}: acknowledged, p99`, rate: result.p99, unit: "ms" },
      { stage: `${stage}: catching up afterwards`, rate: tail, unit: "s" },
      { stage: `${stage}: peak memory`, rate: peakMb, unit: "MB", wanted: { most: 2000 } },
    ];
  });
}

async function singles(seconds: number): Promise<BenchLine[]> {
  return withAppliance({ flags: [] }, async (appliance) => {
    await Bun.sleep(1000);
    const restMb = memoryMb(appliance.process.pid);
    const plan = { connections: 64, eventsPerBody: 1 };
    const warm = await load(appliance, { ...plan, seconds: WARM_S, run: 2 });
    const result = await load(appliance, { ...plan, seconds });
    await assertCount(appliance, warm.accepted + result.accepted, result.lastPosition);
    const rate = result.requests / result.seconds;
    return [
      {
        stage: "memory at rest, parent and child",
        rate: restMb,
        unit: "MB",
        wanted: { most: 250 },
      },
      withRatio(
        {
          stage: `single-event POSTs, 64 connections, after ${WARM_S} s`,
          rate,
          unit: "requests/s",
          wanted: { least: 50_000 },
        },
        await fdatasyncRate(),
        "fdatasync",
      ),
      { stage: "single-event POSTs: p50", rate: result.p50, unit: "ms" },
      { stage: "single-event POSTs: p99", rate: result.p99, unit: "ms", wanted: { most: 10 } },
    ];
  });
}

/** A click of its own that a question can look for. */
function marker(id: string): string {
  return `${JSON.stringify({ event_id: id, event_time: new Date().toISOString(), event_type: "view", user_id: "1", session_id: "s", page_url: "/", category: "c", brand: "b", price: 1, country: "DE" })}\n`;
}

/** From an acknowledgement to the SQL answer that holds it, while 100,000 events/s arrive. */
async function freshness(seconds: number): Promise<BenchLine[]> {
  return withAppliance({ flags: [] }, async (appliance) => {
    const loading = load(appliance, { seconds, eventsPerBody: 200, eventsPerSecond: 100_000 });
    await Bun.sleep(1500);
    const latencies: number[] = [];
    const end = performance.now() + (seconds - 3) * 1000;
    for (let n = 0; performance.now() < end; n++) {
      const id = `marker-${n}`;
      const answer = await appliance.send(marker(id));
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
    const stage = "acknowledged to visible in SQL at 100,000 events/s";
    return [
      { stage: `${stage}: p50`, rate: at(0.5), unit: "ms" },
      { stage: `${stage}: p99`, rate: at(0.99), unit: "ms", wanted: { most: 250 } },
      {
        stage: "events/s taken meanwhile",
        rate: result.accepted / result.seconds,
        unit: "events/s",
        wanted: { least: 99_000 },
      },
    ];
  });
}

/** All lines of the whole path. `small` runs each for a moment, so that the benchmark cannot rot. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const { small } = options;
  return [
    ...(await wholePath(small ? 1 : 60, "on")),
    ...(await wholePath(small ? 1 : 20, "off")),
    ...(await singles(small ? 1 : 10)),
    ...(await freshness(small ? 4 : 15)),
  ];
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
