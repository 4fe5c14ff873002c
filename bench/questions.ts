// What those who bring events notice of questions over a million open groups: how long acknowledgements take at a steady rate, with nobody
// who asks and with one who always does, and for how long the engine does nothing else.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Appliance } from "../test/e2e/appliance.ts";
import { groupsConfig } from "./checkpoint.ts";
import type { LoadResult } from "./client.ts";
import { numberText, type BenchLine } from "./line.ts";
import { caughtUp, gauges, load, withAppliance, withFolder } from "./running.ts";

const QUESTION = "SELECT count(*), sum(events) FROM per_hour";

interface Length {
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly categories: number;
}

/** Asks one question after the other while events come; gives how long the answers took, ms. */
async function askDuring(
  appliance: Appliance,
  loading: Promise<LoadResult>,
): Promise<{ readonly result: LoadResult; readonly answerMs: readonly number[] }> {
  const asking = { isOver: false };
  const loaded = loading.finally(() => (asking.isOver = true));
  const answerMs: number[] = [];
  while (!asking.isOver) {
    const begin = performance.now();
    await appliance.rows(QUESTION);
    answerMs.push(performance.now() - begin);
  }
  return { result: await loaded, answerMs: answerMs.toSorted((a, b) => a - b) };
}

async function lines(length: Length): Promise<BenchLine[]> {
  return withFolder(async (folder) => {
    const config = join(folder, "millrace.yaml");
    writeFileSync(config, groupsConfig());
    const flags = ["--export.raw=off"];
    return withAppliance({ config, flags }, async (appliance) => {
      const plan = { ...length, spread: true };
      // all groups are there, and code is compiled
      const warm = await load(appliance, { ...plan, eventsPerSecond: 0, run: 2 });
      await caughtUp(appliance, warm.lastPosition);
      await appliance.rows(QUESTION);
      const quiet = await load(appliance, plan);
      const { result, answerMs } = await askDuring(appliance, load(appliance, { ...plan, run: 3 }));
      const now = await gauges(appliance);
      const slice = now.get('millrace_engine_step_seconds_max{step="picture"}') ?? 0;
      const groups = `${numberText(length.categories)} open groups`;
      const stage = `${groups}, ${numberText(length.eventsPerSecond)} events/s`;
      const answer = answerMs[answerMs.length >> 1] ?? 0;
      return [
        { stage: `${stage}, no questions: acknowledged, p99`, rate: quiet.p99, unit: "ms" },
        {
          stage: `${stage}, a question always: acknowledged, p99`,
          rate: result.p99,
          unit: "ms",
          ratio: result.p99 / quiet.p99,
          ratio_to: "no questions",
        },
        { stage: `${stage}, a question always: acknowledged, max`, rate: result.max, unit: "ms" },
        { stage: `${stage}, a question always: answered, p50`, rate: answer, unit: "ms" },
        { stage: `${groups}: longest slice of a picture`, rate: slice * 1000, unit: "ms" },
      ];
    });
  });
}

/** `small`: a hundredth of the groups, a moment of the load. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  if (options.small) return lines({ seconds: 1, eventsPerSecond: 20_000, categories: 10_000 });
  return lines({ seconds: 10, eventsPerSecond: 200_000, categories: 1_000_000 });
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
