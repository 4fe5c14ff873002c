// One view and twenty on one stream, the whole path: over HTTP, durable, folded, closed windows and raw events in Iceberg. The twenty are what
// one shop might ask of its clicks: 11 sets of keys from none to the page and the user, windows of a minute to an hour, hops, filters, all aggregates; no
// two with the same keys and windows.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchLine } from "./line.ts";
import { CLICKS_CONFIG, caughtUp, load, peakMemory, withAppliance, withFolder } from "./running.ts";

const COUNT = "count(*) AS events";
const REVENUE = "sum(price) AS revenue";
const USERS = "approx_count_distinct(user_id) AS users";
const SESSIONS = "approx_count_distinct(session_id) AS sessions";

interface Asked {
  readonly keys: string;
  readonly values: readonly string[];
  readonly where?: string;
}

function select(window: string, { keys, values, where }: Asked): string {
  const columns = ["window_start", keys, ...values].filter(Boolean).join(", ");
  const filter = where === undefined ? "" : `WHERE ${where} `;
  return `SELECT ${columns} FROM ${window} ${filter}GROUP BY ALL`;
}

function tumble(minutes: number, asked: Asked): string {
  return select(`tumble(clicks, event_time, INTERVAL ${minutes} MINUTE)`, asked);
}

function hop(minutes: number, asked: Asked): string {
  return select(`hop(clicks, event_time, INTERVAL 1 MINUTE, INTERVAL ${minutes} MINUTE)`, asked);
}

const BOUGHT = "event_type = 'purchase'";

/** The first is the one view; the first and the last count every event. */
const VIEWS: readonly string[] = [
  tumble(1, { keys: "event_type, category", values: [COUNT, REVENUE, USERS] }),
  tumble(1, { keys: "category, country", values: [COUNT, "avg(price) AS price"] }),
  tumble(1, {
    keys: "brand",
    values: [COUNT, "min(price) AS lowest", "max(price) AS highest"],
  }),
  tumble(1, { keys: "event_type", values: [COUNT, SESSIONS] }),
  tumble(1, { keys: "country", values: [COUNT, USERS] }),
  tumble(1, { keys: "", values: [COUNT, REVENUE, USERS] }),
  tumble(1, { keys: "category", values: [COUNT, REVENUE], where: BOUGHT }),
  tumble(5, { keys: "event_type, category", values: [COUNT, "avg(price) AS price"] }),
  tumble(5, { keys: "brand, country", values: [COUNT, REVENUE] }),
  tumble(5, {
    keys: "brand",
    values: [
      COUNT,
      `count(*) FILTER (WHERE ${BOUGHT}) AS orders`,
      "count(*) FILTER (WHERE event_type = 'cart') AS carts",
    ],
  }),
  tumble(5, { keys: "country", values: [COUNT, REVENUE], where: BOUGHT }),
  tumble(10, { keys: "category, country", values: [COUNT, "max(price) AS highest"] }),
  tumble(10, { keys: "event_type, country", values: [COUNT, USERS] }),
  tumble(15, { keys: "category", values: [COUNT, SESSIONS] }),
  tumble(15, { keys: "page_url", values: [COUNT], where: "event_type = 'view'" }),
  tumble(60, { keys: "user_id", values: [COUNT, REVENUE], where: BOUGHT }),
  tumble(60, { keys: "event_type, country", values: [COUNT, REVENUE] }),
  hop(10, { keys: "category", values: [COUNT] }),
  hop(5, { keys: "brand", values: [COUNT, "avg(price) AS price"], where: "price > 100" }),
  tumble(60, { keys: "brand", values: [COUNT, REVENUE, USERS] }),
];

/** The configuration as YAML: what clicks.yaml says of the stream, and `count` views. */
function configText(count: number): string {
  const views = VIEWS.slice(0, count).map((sql, n) => `  view_${n}:\n    sql: |\n      ${sql}\n`);
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
  const twenty = await wholePath(VIEWS.length, seconds);
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
