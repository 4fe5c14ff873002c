// Minutes at a steady rate while one reader is held behind again and again: first the raw export, then a view. Its table cannot be written
// (table-door.ts) until it stands a minute behind, then it catches up while events go on coming. Not part of a plain `npm run bench`: it
// takes over twenty minutes. `bun bench/hold.ts SECONDS EVENTS_PER_SECOND HELD_SECONDS [raw|view]` runs other lengths.
import { join } from "node:path";
import type { Appliance } from "../test/e2e/appliance.ts";
import { TABLE_RETRY_US_MAX } from "../src/limits.ts";
import { SERIES_S, type LoadPlan, type LoadResult } from "./client.ts";
import { numberText, type BenchLine } from "./line.ts";
import { CLICKS_CONFIG, gauges, load, memoryMb, withAppliance } from "./running.ts";
import { TableDoor } from "./table-door.ts";

interface Length {
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly heldSeconds: number;
}

/** Who is held, and by which table. */
interface Held {
  readonly name: string;
  readonly reader: string;
  readonly table: string;
  readonly config: string;
  readonly flags: readonly string[];
  readonly plan: Partial<LoadPlan>;
}

const RAW: Held = {
  name: "raw export",
  reader: "raw:clicks",
  table: "default/clicks_raw",
  config: CLICKS_CONFIG,
  flags: ["--export.interval=1s"],
  plan: {},
};

const VIEW: Held = {
  name: "view",
  reader: "view:per_second",
  table: "default/per_second",
  config: join(import.meta.dir, "held-view.yaml"),
  flags: ["--export.raw=off"],
  plan: { spread: true, categories: 100_000 },
};

const SAMPLE_MS = 250;
/** How far behind a reader stands that keeps up: gauges are up to two seconds old, the raw export takes in what is a second old. */
const KEPT_UP_S = 4;
const MB = 1_000_000;

/** Log bytes of an event of the bench at most, and what the log keeps of events that nobody needs: two files of 128 MB. */
const LOG_BYTES_PER_EVENT = 40;
const LOG_REST_BYTES = 256 * MB;

interface Sample {
  /** Seconds since the begin. */
  readonly at: number;
  readonly durable: number;
  readonly reader: number;
  /** How old the first event is that the reader has not taken, s. */
  readonly lag: number;
  readonly logMb: number;
  readonly memoryMb: number;
}

/** A time held and caught up. `ratio`: rate of catching up by the rate of ingest. */
interface Cycle {
  readonly lag: number;
  readonly ratio: number;
}

class Watch {
  readonly samples: Sample[] = [];
  readonly #appliance: Appliance;
  readonly #reader: string;
  readonly #begin = performance.now();
  /** The sample whose durable position the reader has not reached. */
  #reached = 0;

  constructor(appliance: Appliance, reader: string) {
    this.#appliance = appliance;
    this.#reader = reader;
  }

  async sample(): Promise<Sample> {
    await Bun.sleep(SAMPLE_MS);
    const now = await gauges(this.#appliance);
    const at = (performance.now() - this.#begin) / 1000;
    const durable = now.get("millrace_log_position") ?? 0;
    const reader = now.get(`millrace_reader_position{reader="${this.#reader}"}`) ?? 0;
    const first = this.samples;
    while (this.#reached < first.length && (first[this.#reached]?.durable ?? 0) <= reader)
      this.#reached++;
    const sample = {
      at,
      durable,
      reader,
      lag: at - (first[this.#reached]?.at ?? at),
      logMb: (now.get("millrace_log_bytes") ?? 0) / MB,
      memoryMb: memoryMb(this.#appliance.process.pid),
    };
    const last = first.at(-1)?.at ?? 0;
    if (Math.floor(at / SERIES_S) > Math.floor(last / SERIES_S)) tell(sample);
    this.samples.push(sample);
    return sample;
  }

  /** Samples until one is as asked for, or the time is over: then null. */
  async until(end: number, is: (sample: Sample) => boolean): Promise<Sample | null> {
    for (;;) {
      const sample = await this.sample();
      if (is(sample)) return sample;
      if (sample.at >= end) return null;
    }
  }

  /** The highest value of each SERIES_S seconds. */
  series(of: (sample: Sample) => number): number[] {
    const highest: number[] = [];
    for (const sample of this.samples) {
      const slot = Math.floor(sample.at / SERIES_S);
      highest[slot] = Math.max(highest[slot] ?? 0, Math.round(of(sample)));
    }
    return Array.from(highest, (value: number | undefined) => value ?? 0);
  }
}

function tell({ at, lag, logMb, memoryMb: memory }: Sample): void {
  const cells = [at, lag, logMb, memory].map((value) => value.toFixed(0));
  process.stderr.write(
    `  ${cells[0]} s: ${cells[1]} s behind, log ${cells[2]} MB, memory ${cells[3]} MB\n`,
  );
}

/** Holds the reader and lets it go, as often as there is time for it to catch up. */
async function cycles(watch: Watch, door: TableDoor, length: Length): Promise<Cycle[]> {
  const { seconds, heldSeconds } = length;
  const done: Cycle[] = [];
  if ((await watch.until(seconds, () => door.hasFiles)) === null) return done;
  for (;;) {
    door.shut();
    const held = await watch.until(seconds, ({ lag }) => lag >= heldSeconds);
    door.open();
    if (held === null) return done;
    // its next try may be a while away
    const moved = await watch.until(seconds, ({ reader }) => reader > held.reader);
    const before = watch.samples.at(-2);
    if (moved === null || before === undefined) return done;
    const level = await watch.until(seconds, ({ lag }) => lag <= KEPT_UP_S);
    const last = level ?? watch.samples.at(-1);
    if (last !== undefined && last.at > before.at)
      done.push({ lag: before.lag, ratio: 1 + (before.lag - last.lag) / (last.at - before.at) });
    // a next time must have a chance to end
    if (level === null || level.at + 4 * heldSeconds > seconds) return done;
  }
}

function linesOf(
  held: Held,
  length: Length,
  measured: { readonly watch: Watch; readonly done: readonly Cycle[]; readonly result: LoadResult },
): BenchLine[] {
  const { watch, done, result } = measured;
  const { seconds, eventsPerSecond, heldSeconds } = length;
  const stage = `${seconds} s at ${numberText(eventsPerSecond)} events/s, ${held.name} held`;
  const logs = watch.series(({ logMb }) => logMb);
  const memories = watch.series((sample) => sample.memoryMb);
  const logMb = (behindS: number): number =>
    (LOG_REST_BYTES + eventsPerSecond * behindS * LOG_BYTES_PER_EVENT) / MB;
  // while it catches up at 1.3 times the rate, files whose beginning is needed stay whole: a tenth more
  const heldMost = 1.1 * logMb(heldSeconds + TABLE_RETRY_US_MAX / 1e6);
  const last = watch.samples.at(-1);
  const lowest = Math.min(...done.map(({ ratio }) => ratio));
  const longest = Math.max(...done.map(({ lag }) => lag));
  const wanted = { least: eventsPerSecond * 0.99 };
  const rate = result.accepted / result.seconds;
  return [
    { stage: `${stage}: taken`, rate, unit: "events/s", wanted },
    { stage: `${stage}: times held`, rate: done.length, unit: "times", wanted: { least: 1 } },
    { stage: `${stage}: behind`, rate: longest, unit: "s", wanted: { least: heldSeconds } },
    { stage: `${stage}: catching up`, rate: lowest, unit: "x ingest", wanted: { least: 1.3 } },
    { stage: `${stage}: acknowledged, p50`, rate: result.p50, unit: "ms" },
    {
      stage: `${stage}: acknowledged, p99`,
      rate: result.p99,
      unit: "ms",
      wanted: { most: 50 },
      series: result.p99s,
    },
    {
      stage: `${stage}: log at most`,
      rate: Math.max(...logs),
      unit: "MB",
      wanted: { most: heldMost },
      series: logs,
    },
    {
      stage: `${stage}: log once caught up`,
      rate: last?.logMb ?? 0,
      unit: "MB",
      wanted: { most: logMb(2 * KEPT_UP_S) },
    },
    {
      stage: `${stage}: memory at most`,
      rate: Math.max(...memories),
      unit: "MB",
      wanted: { most: 2000 },
      series: memories,
    },
  ];
}

async function hold(held: Held, length: Length): Promise<BenchLine[]> {
  const { config, flags, reader, table, plan } = held;
  return withAppliance({ config, flags }, async (appliance, data) => {
    process.stderr.write(`${held.name}:\n`);
    const { seconds, eventsPerSecond } = length;
    let isOver = false;
    const loading = load(appliance, { ...plan, seconds, eventsPerSecond }).finally(
      () => (isOver = true),
    );
    const watch = new Watch(appliance, reader);
    const done = await cycles(watch, new TableDoor(data, table), length);
    if (done.length === 0) throw new Error(`${held.name} was never held and let go: run longer`);
    await watch.until(Infinity, () => isOver);
    const result = await loading;
    const over = watch.samples.at(-1)?.at ?? 0;
    await watch.until(over + 4 * length.heldSeconds, ({ lag }) => lag <= KEPT_UP_S);
    // a checkpoint and the trimming of the log follow
    await watch.until((watch.samples.at(-1)?.at ?? 0) + SERIES_S, () => false);
    return linesOf(held, length, { watch, done, result });
  });
}

/** Ten minutes for each of both. `small`: the raw export for a moment; what a view may have waiting takes longer to fill. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  if (options.small) return hold(RAW, { seconds: 15, eventsPerSecond: 20_000, heldSeconds: 3 });
  const length = { seconds: 600, eventsPerSecond: 500_000, heldSeconds: 60 };
  return [...(await hold(RAW, length)), ...(await hold(VIEW, length))];
}

if (import.meta.main) {
  const [seconds = 0, eventsPerSecond = 0, heldSeconds = 0] = process.argv.slice(2).map(Number);
  const length = { seconds, eventsPerSecond, heldSeconds };
  for (const held of [RAW, VIEW])
    if (process.argv[5] === undefined || held.reader.startsWith(process.argv[5]))
      for (const line of await hold(held, length)) console.log(JSON.stringify(line));
}
