// What producers notice of the id table: p99 of acknowledgements while it grows to 20 M ids, over p99 of the same load once as many leave as
// come. One batch of the table by itself is measured in admit.ts.
import type { BenchLine } from "./line.ts";
import { SERIES_S, type LoadResult } from "./client.ts";
import { gauges, load, withAppliance } from "./running.ts";

/** A rate that leaves the machine room. */
const EVENTS_PER_SECOND = 500_000;
const IDS = 20_000_000;
/** What the gauge lags behind, and a little more. */
const MARGIN_S = 2;

/** The median of p99 of each SERIES_S seconds: one pause of the machine's disk is p99 of the ten seconds that it is in. */
function usualP99({ p99s }: LoadResult): number {
  return p99s.toSorted((a, b) => a - b)[p99s.length >> 1] ?? 0;
}

export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const ids = IDS * (options.small ? 0.025 : 1);
  const seconds = ids / EVENTS_PER_SECOND + MARGIN_S;
  const flags = [`--streams.clicks.dedup_ttl=${seconds}s`, "--export.raw=off"];
  return withAppliance({ flags }, async (appliance) => {
    const plan = { seconds, eventsPerSecond: EVENTS_PER_SECOND };
    await load(appliance, { ...plan, seconds: 2, run: 3 });
    const growing = await load(appliance, { ...plan, run: 1 });
    const live = (await gauges(appliance)).get('millrace_dedup_ids{stream="clicks"}') ?? 0;
    const steady = await load(appliance, { ...plan, run: 2 });
    const [growingMs, steadyMs] = [usualP99(growing), usualP99(steady)];
    const stage = `ids: acknowledged at 500,000 events/s, usual p99 of ${SERIES_S} s`;
    return [
      { stage: "ids: live when they have grown", rate: live, unit: "ids", wanted: { least: ids } },
      { stage: `${stage} while the table grows`, rate: growingMs, unit: "ms" },
      { stage: `${stage} of a steady table`, rate: steadyMs, unit: "ms" },
      {
        stage: `${stage}, growing over steady`,
        rate: growingMs / steadyMs,
        unit: "x",
        wanted: { most: 2 },
      },
    ];
  });
}
