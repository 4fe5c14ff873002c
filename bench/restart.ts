// Starts with much state: after a kill in mid-load, after one with much log behind the last checkpoint, and after a stop, each until SQL gives the acknowledged count. The load
// goes on until the gauges show what must be there: groups open, ids live, bytes of log.
import { join } from "node:path";
import { Appliance } from "../test/e2e/appliance.ts";
import type { LoadResult } from "./client.ts";
import { numberText, type BenchLine } from "./line.ts";
import { CLICKS_CONFIG, gauges, load, withFolder } from "./running.ts";

/** What is in the state before it ends. */
interface Wanted {
  readonly groups: number;
  readonly ids: number;
  readonly end: "kill" | "stop";
}

/** Ids are remembered, and windows stay open, for all of the run. */
const FLAGS = ["--streams.clicks.dedup_ttl=10m", "--streams.clicks.out_of_orderness=10m"];
/** Longest time that the load is given to fill the state. */
const FILL_SECONDS_MAX = 90;
/** A little more, so that what is live after the start is as much as wanted too. */
const MARGIN = 1.02;

async function filled(appliance: Appliance, { groups, ids }: Wanted): Promise<void> {
  const end = performance.now() + FILL_SECONDS_MAX * 1000;
  for (;;) {
    const now = await gauges(appliance);
    const hasGroups = (now.get('millrace_view_groups{view="per_minute"}') ?? 0) >= groups * MARGIN;
    if (hasGroups && (now.get('millrace_dedup_ids{stream="clicks"}') ?? 0) >= ids * MARGIN) return;
    if (performance.now() > end)
      throw new Error(
        `the load did not make ${groups} groups and ${ids} ids in ${FILL_SECONDS_MAX} s`,
      );
    await Bun.sleep(50);
  }
}

/** Loads until the state is as wanted, then ends the appliance; when that began. */
async function fillAndEnd(
  appliance: Appliance,
  wanted: Wanted,
): Promise<{ readonly result: LoadResult; readonly beginMs: number }> {
  const loading = load(appliance, {
    seconds: FILL_SECONDS_MAX + 10,
    // every category once, half of them a second time, which is a group of its own when the event type is another: about 1.12 times what
    // is wanted. Then few new groups, however long the ids take.
    categories: 0.9 * wanted.groups,
    spread: true,
    spreadEvents: 1.35 * wanted.groups,
    untilKilled: true,
  });
  await filled(appliance, wanted);
  const beginMs = performance.now();
  if (wanted.end === "kill") await appliance.kill();
  else if ((await appliance.stop()) !== 0) throw new Error(`it did not stop:\n${appliance.output}`);
  return { result: await loading, beginMs: wanted.end === "kill" ? beginMs : performance.now() };
}

async function restart(wanted: Wanted, secondsMost: number): Promise<BenchLine[]> {
  return withFolder(async (data) => {
    const flags = [...FLAGS, ...(wanted.end === "stop" ? ["--export.raw=off"] : [])];
    const first = await Appliance.start({ config: CLICKS_CONFIG, data, flags });
    let second: Appliance | null = null;
    try {
      const { result, beginMs } = await fillAndEnd(first, wanted);
      second = await Appliance.start({ config: CLICKS_CONFIG, data, flags });
      const { rows } = await second.rows(
        "SELECT sum(events), count(*) FROM per_minute",
        result.lastPosition,
      );
      const seconds = (performance.now() - beginMs) / 1000;
      const [events, groups] = rows[0]?.map(Number) ?? [];
      const live = await second.rows("SELECT live_ids FROM millrace.watermarks");
      const ids = Number(live.rows[0]?.[0]);
      if (events === undefined || events < result.accepted)
        throw new Error(`${result.accepted} events were acknowledged, SQL counts ${events}`);
      const name = wanted.end === "kill" ? "kill -9 under load" : "start";
      const state = `${numberText(wanted.groups)} groups open, ${numberText(wanted.ids)} ids live`;
      return [
        {
          stage: `${name}, ${state}: to SQL`,
          rate: seconds,
          unit: "s",
          wanted: { most: secondsMost },
        },
        {
          stage: `${name}: groups open`,
          rate: groups ?? 0,
          unit: "groups",
          wanted: { least: wanted.groups },
        },
        { stage: `${name}: ids live`, rate: ids, unit: "ids", wanted: { least: wanted.ids } },
      ];
    } finally {
      await first.kill();
      await second?.kill();
    }
  });
}

const REPLAY_CONFIG = join(import.meta.dir, "no-ids.yaml");
/** Log files are small here, so that the bytes of the log are those of its records. */
const REPLAY_FLAGS = ["--log.file_size=8MB", "--log.size_max=4GB"];
const REPLAY_SECONDS_MOST = 3;

async function bytesOfLog(appliance: Appliance): Promise<number> {
  return (await gauges(appliance)).get("millrace_log_bytes") ?? 0;
}

/** Loads until the log has grown by so many bytes of which no checkpoint knows, then kills. */
async function growAndKill(
  appliance: Appliance,
  { groups, bytes }: { readonly groups: number; readonly bytes: number },
): Promise<{ readonly result: LoadResult; readonly grown: number; readonly beginMs: number }> {
  const before = await bytesOfLog(appliance);
  const loading = load(appliance, {
    seconds: FILL_SECONDS_MAX,
    categories: 0.9 * groups,
    run: 2,
    untilKilled: true,
  });
  let grown = 0;
  while (grown < bytes) {
    await Bun.sleep(20);
    grown = (await bytesOfLog(appliance)) - before;
  }
  const beginMs = performance.now();
  await appliance.kill();
  return { result: await loading, grown, beginMs };
}

/** From `kill -9`, with `groups` in the checkpoint and `bytes` of log behind it, to SQL giving the acknowledged count. */
async function replay(groups: number, bytes: number): Promise<BenchLine[]> {
  return withFolder(async (data) => {
    const start = (...more: readonly string[]): Promise<Appliance> =>
      Appliance.start({ config: REPLAY_CONFIG, data, flags: [...REPLAY_FLAGS, ...more] });
    const running: Appliance[] = [];
    try {
      const first = await start();
      running.push(first);
      const filling = await fillAndEnd(first, { groups, ids: 0, end: "stop" });
      const second = await start("--checkpoint.interval=1h");
      running.push(second);
      const { result, grown, beginMs } = await growAndKill(second, { groups, bytes });
      const third = await start();
      running.push(third);
      const { rows } = await third.rows(
        "SELECT sum(events), count(*) FROM per_minute",
        result.lastPosition,
      );
      const seconds = (performance.now() - beginMs) / 1000;
      const [events = 0, found = 0] = rows[0]?.map(Number) ?? [];
      const accepted = filling.result.accepted + result.accepted;
      if (events < accepted)
        throw new Error(`${accepted} events were acknowledged, SQL counts ${events}`);
      const name = "kill -9, log to replay";
      return [
        {
          stage: `${name}, ${numberText(groups)} groups: to SQL`,
          rate: seconds,
          unit: "s",
          wanted: { most: REPLAY_SECONDS_MOST },
        },
        { stage: `${name}: groups open`, rate: found, unit: "groups", wanted: { least: groups } },
        {
          stage: `${name}: log behind the checkpoint`,
          rate: grown / 2 ** 20,
          unit: "MB",
          wanted: { least: bytes / 2 ** 20 },
        },
        { stage: `${name}: events in it`, rate: result.accepted, unit: "events" },
      ];
    } finally {
      for (const one of running) await one.kill();
    }
  });
}

/** `small`: a hundredth of it. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const scale = options.small ? 0.01 : 1;
  return [
    ...(await restart({ groups: 1_000_000 * scale, ids: 5_000_000 * scale, end: "kill" }, 5)),
    ...(await replay(1_000_000 * scale, 100 * 2 ** 20 * scale)),
    ...(await restart({ groups: 1_000_000 * scale, ids: 20_000_000 * scale, end: "stop" }, 4)),
  ];
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
