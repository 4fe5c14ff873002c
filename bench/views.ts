// One view and twenty on one stream, the whole path: over HTTP, durable, folded, closed windows and raw events in Iceberg. The twenty
// differ in keys, aggregates and windows.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchLine } from "./line.ts";
import { CLICKS_CONFIG, caughtUp, load, peakMemory, withAppliance, withFolder } from "./running.ts";

const KEYS = ["event_type, category", "category, country", "brand, country", "brand", "event_type"];
const VALUES = [
  "sum(price) AS revenue, approx_count_distinct(user_id) AS users",
  "avg(price) AS price",
  "min(price) AS lowest, max(price) AS highest",
  "count(*) FILTER (WHERE event_type = 'purchase') AS purchases",
];

/** The configuration as YAML: what clicks.yaml says of the stream, and `count` views. */
function configText(count: number): string {
  const views = Array.from({ length: count }, (_, n) => {
    const keys = KEYS[n % KEYS.length];
    const values = VALUES[Math.floor(n / KEYS.length) % VALUES.length];
    return `  view_${n}:
    sql: |
      SELECT window_start, ${keys}, count(*) AS events, ${values}
      FROM tumble(clicks, event_time, INTERVAL ${1 + (n % 5)} MINUTE) GROUP BY ALL
`;
  });
  return `streams:
  clicks:
    schema: ${join(CLICKS_CONFIG, "..", "clicks.avsc")}
    event_time: event_time
    event_id: event_id
    dedup_ttl: 30s
    dedup_ids_max: 60000000
    out_of_orderness: 10s
views:
${views.join("")}`;
}

interface Reached {
  readonly rate: number;
  readonly p99: number;
  readonly peakMb: number;
}

async function wholePath(count: number, seconds: number): Promise<Reached> {
  return withFolder(async (folder) => {
    const config = join(folder, "millrace.yaml");
    writeFileSync(config, configText(count));
    return withAppliance({ config, flags: ["--export.interval=2s"] }, async (appliance) => {
      const loading = load(appliance, { seconds });
      const { value: result, peakMb } = await peakMemory(appliance.process.pid, loading);
      const tail = await caughtUp(appliance, result.lastPosition);
      const { rows } = await appliance.rows(
        `SELECT sum(events) FROM view_${count - 1}`,
        result.lastPosition,
      );
      if (Number(rows[0]?.[0]) !== result.accepted)
        throw new Error(
          `${result.accepted} events were acknowledged, the last view has ${String(rows[0]?.[0])}`,
        );
      return { rate: result.accepted / (result.seconds + tail), p99: result.p99, peakMb };
    });
  });
}

/** `small`: a moment each. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const seconds = options.small ? 1 : 15;
  const one = await wholePath(1, seconds);
  const twenty = await wholePath(20, seconds);
  const stage = "whole path, 20 views on one stream";
  return [
    { stage: "whole path, one view of the 20", rate: one.rate, unit: "events/s" },
    {
      stage,
      rate: twenty.rate,
      unit: "events/s",
      ratio: twenty.rate / one.rate,
      ratio_to: "one view",
      wanted: { least: one.rate / 2 },
    },
    { stage: `${stage}: acknowledged, p99`, rate: twenty.p99, unit: "ms" },
    {
      stage: `${stage}: peak memory`,
      rate: twenty.peakMb,
      unit: "MB",
      wanted: { most: 2000 },
    },
  ];
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
