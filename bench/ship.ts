// Off the disk: an instance under load ships to a store on the same machine (moto, which is Python: a real one is faster, and farther away), is killed, and its
// disk is gone. How old what was not there was (RPO), and how long it takes until SQL answers from what was (RTO). Runs when it is named: it needs .venv.
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Appliance, FROM_SOURCE } from "../test/e2e/appliance.ts";
import { startStore, type TestStore } from "../test/ship/store-fixture.ts";
import { numberText, type BenchLine } from "./line.ts";
import { CLICKS_CONFIG, gauges, load, withFolder } from "./running.ts";

interface Plan {
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly groups: number;
  readonly interval: string;
}

/** Windows stay open for all of the run. */
const FLAGS = ["--streams.clicks.out_of_orderness=10m", "--ship.log_interval=1s"];

/** What was lost with the machine, and what was there before. */
interface Loss {
  /** Highest age of what was on the disk alone, once the first shipment was whole, s. */
  readonly lagMostS: number;
  readonly position: number;
  readonly groups: number;
  readonly bytes: number;
  readonly acceptedPerSecond: number;
}

async function lose(store: TestStore, data: string, plan: Plan): Promise<Loss> {
  const flags = [...FLAGS, ...store.flags("bench"), `--ship.interval=${plan.interval}`];
  const { env } = store;
  const appliance = await Appliance.start({ config: CLICKS_CONFIG, data, flags, env });
  try {
    const loading = load(appliance, {
      seconds: plan.seconds + 60,
      eventsPerSecond: plan.eventsPerSecond,
      categories: 0.9 * plan.groups,
      spread: true,
      spreadEvents: 1.35 * plan.groups,
      untilKilled: true,
    });
    const begin = performance.now();
    const value = (now: ReadonlyMap<string, number>, name: string): number =>
      now.get(`millrace_ship_${name}`) ?? 0;
    let now = await gauges(appliance);
    let lagMostS = 0;
    while (performance.now() - begin < plan.seconds * 1000 || lagMostS === 0) {
      now = await gauges(appliance);
      if (value(now, "shipments_total") > 0)
        lagMostS = Math.max(lagMostS, value(now, "lag_seconds"));
      await Bun.sleep(100);
    }
    now = await gauges(appliance);
    await appliance.kill();
    const { accepted, seconds } = await loading;
    return {
      lagMostS,
      position: value(now, "position"),
      groups: now.get('millrace_view_groups{view="per_minute"}') ?? 0,
      bytes: bytesBelow(data),
      acceptedPerSecond: accepted / seconds,
    };
  } finally {
    await appliance.kill();
  }
}

function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
}

/** Seconds that a restore takes. */
async function restore(store: TestStore, data: string): Promise<number> {
  const begin = performance.now();
  const [to = "", ...flags] = store.flags("bench");
  const from = to.replace("--ship.to=", "");
  const child = Bun.spawn([...FROM_SOURCE, "restore", from, "--data", data, ...flags], {
    env: { ...process.env, ...store.env },
    stdout: "ignore",
    stderr: "inherit",
  });
  if ((await child.exited) !== 0) throw new Error("the restore failed");
  return (performance.now() - begin) / 1000;
}

/** Seconds from a start to an answer that has everything up to `position`. */
async function answer(data: string, position: number): Promise<number> {
  const begin = performance.now();
  const appliance = await Appliance.start({ config: CLICKS_CONFIG, data, flags: FLAGS });
  try {
    await appliance.rows("SELECT sum(events), count(*) FROM per_minute", position);
    return (performance.now() - begin) / 1000;
  } finally {
    await appliance.kill();
  }
}

async function measure(store: TestStore, folder: string, plan: Plan): Promise<BenchLine[]> {
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  const lost = await lose(store, first, plan);
  rmSync(first, { recursive: true });
  const restoreS = await restore(store, second);
  const startS = await answer(second, lost.position);
  const what = `${numberText(lost.groups)} groups, ${numberText(lost.bytes / 1024 / 1024)} MB, ${numberText(lost.acceptedPerSecond)} events/s`;
  const line = (stage: string, rate: number, unit: string): BenchLine => ({ stage, rate, unit });
  return [
    line(`ship, ${what}: most that was on the disk alone`, lost.lagMostS, "s"),
    line("restore", restoreS, "s"),
    line("restored: start to SQL", startS, "s"),
  ];
}

/** `small`: a hundredth of it. */
export async function run({ small }: { readonly small: boolean }): Promise<BenchLine[]> {
  const plan = small
    ? { seconds: 3, eventsPerSecond: 5000, groups: 10_000, interval: "1s" }
    : { seconds: 60, eventsPerSecond: 30_000, groups: 1_000_000, interval: "20s" };
  const store = await startStore();
  try {
    return await withFolder((folder) => measure(store, folder, plan));
  } finally {
    await store.stop();
  }
}
