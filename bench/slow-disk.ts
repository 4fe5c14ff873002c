// A slow disk: the whole path where every commit of the log takes 200 ms longer, as a ratio to the same without.
import type { BenchLine } from "./line.ts";
import { caughtUp, load, peakMemory, withAppliance } from "./running.ts";

const SYNC_MS = 200;
const CONNECTIONS = 512;
/** Seconds of the same load before it is measured. */
const WARM_S = 2;

interface Measured {
  readonly rate: number;
  readonly p99: number;
  readonly peakMb: number;
}

async function measure(seconds: number, env: Record<string, string>): Promise<Measured> {
  return withAppliance({ flags: ["--export.interval=2s"], env }, async (appliance) => {
    const plan = { connections: CONNECTIONS };
    const warm = await load(appliance, { ...plan, seconds: WARM_S, run: 2 });
    await caughtUp(appliance, warm.lastPosition);
    const { value: result, peakMb } = await peakMemory(
      appliance.process.pid,
      load(appliance, { ...plan, seconds }),
    );
    const tail = await caughtUp(appliance, result.lastPosition);
    return { rate: result.accepted / (result.seconds + tail), p99: result.p99, peakMb };
  });
}

/** `small` runs each for a moment. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const seconds = options.small ? 2 : 20;
  const fast = await measure(seconds, {});
  const env = { MILLRACE_FAILPOINT: `log.append.after:1-1000000:wait${SYNC_MS}` };
  const slow = await measure(seconds, env);
  const stage = `whole path, ${CONNECTIONS} connections, 1,000 a POST`;
  return [
    { stage, rate: fast.rate, unit: "events/s" },
    { stage: `${stage}: peak memory`, rate: fast.peakMb, unit: "MB", wanted: { most: 2000 } },
    {
      stage: `${stage}, commits ${SYNC_MS} ms longer`,
      rate: slow.rate,
      unit: "events/s",
      wanted: { least: fast.rate * 0.6 },
      ratio: slow.rate / fast.rate,
      ratio_to: "without",
    },
    { stage: `${stage}, commits ${SYNC_MS} ms longer: p99`, rate: slow.p99, unit: "ms" },
    {
      stage: `${stage}, commits ${SYNC_MS} ms longer: peak memory`,
      rate: slow.peakMb,
      unit: "MB",
      wanted: { most: 2000 },
    },
  ];
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
