// Checkpoints: how long one of a million groups takes until it is on disk, and its longest slice; then what those who bring events notice of one
// every five seconds: the whole path's rate, and how long acknowledgements take.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FOLD_PAGE_BYTES } from "../kernels/abi.ts";
import { buildKernels } from "../kernels/build.ts";
import type { FoldKernels } from "../kernels/fold.ts";
import { instantiate } from "../kernels/host.ts";
import { DiskFiles } from "../src/base/disk-files.ts";
import { openCheckpointStore } from "../src/checkpoint/sqlite-store.ts";
import { NO_CHANGE, type CheckpointStore } from "../src/checkpoint/store.ts";
import { ROOM_PAGES, roomOf } from "../src/engine-state.ts";
import { buildImage, type Cell } from "../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS } from "../src/event/schema.ts";
import { Windows, type WindowsCheckpoint } from "../src/window/windows.ts";
import { plainSchema, planOver } from "./rows.ts";
import { numberText, type BenchLine } from "./line.ts";
import { seeded } from "./load-body.ts";
import { CLICKS_CONFIG, caughtUp, gauges, load, withAppliance, withFolder } from "./running.ts";

const SQL = `SELECT window_start, category, count(*) AS events, sum(price) AS revenue
FROM tumble(clicks, event_time, INTERVAL 1 HOUR) GROUP BY ALL`;

const SCHEMA = plainSchema({
  event_time: { kind: "TIMESTAMPTZ" },
  category: { kind: "VARCHAR" },
  price: { kind: "BIGINT" },
});

const RECORD_ROWS = 4000;
/** As src/threads/slices.ts cuts slices, ms. */
const SLICE_MS = 3;
const REPEATS = 3;

/** A view of an hour's categories. */
class State {
  readonly #windows: Windows;
  #position = 0;

  constructor(windows: Windows) {
    this.#windows = windows;
  }

  static async make(): Promise<State> {
    await buildKernels();
    const wasm = readFileSync(join(import.meta.dir, "../build/fold.wasm"));
    const windows = new Windows(instantiate<FoldKernels>(wasm, 1024 * 1024 * 1024), 40_000);
    windows.addView(await planOver(SCHEMA, "per_hour", SQL), SCHEMA, { since: 0 });
    return new State(windows);
  }

  /** An event in each of these groups. */
  fold(groups: readonly number[]): void {
    for (let from = 0; from < groups.length; from += RECORD_ROWS) {
      const rows = groups
        .slice(from, from + RECORD_ROWS)
        .map((group): Cell[] => [0n, `category-${group}`, 100n, null, 0n]);
      const image = buildImage([...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS], rows);
      this.#windows.fold({
        kind: "events",
        stream: "clicks",
        partition: "",
        schemaId: 1,
        position: ++this.#position,
        receivedAtUs: 0,
        watermarkUs: 0n,
        rowCount: rows.length,
        duplicateCount: 0,
        rejects: [],
        image,
      });
    }
  }

  steps(room: (n: number) => Uint8Array): Iterator<void, WindowsCheckpoint> {
    return this.#windows.checkpointSteps(room);
  }
}

interface Taken {
  readonly bytes: number;
  /** Of all slices and the save; of the longest slice; of merging, ms. */
  readonly totalMs: number;
  readonly sliceMs: number;
  readonly mergeMs: number;
}

/** Takes checkpoints as the engine does, and saves them as the export thread does. */
class Saver {
  readonly #state: State;
  readonly #store: CheckpointStore;
  readonly #rooms: SharedArrayBuffer[] = [];

  constructor(state: State, store: CheckpointStore) {
    this.#state = state;
    this.#store = store;
  }

  take(): Taken {
    const begin = performance.now();
    const steps = this.#state.steps((n) => this.#roomFor(n));
    let sliceMs = 0;
    let checkpoint: WindowsCheckpoint | null = null;
    while (checkpoint === null) {
      const sliceBegin = performance.now();
      while (checkpoint === null && performance.now() - sliceBegin < SLICE_MS) {
        const { done, value } = steps.next();
        if (done === true) checkpoint = value;
      }
      sliceMs = Math.max(sliceMs, performance.now() - sliceBegin);
    }
    const { pages, freed } = checkpoint;
    const space = "fold";
    this.#store.save({
      ...NO_CHANGE,
      pages: pages.map((page) => ({ space, ...page })),
      freedPages: freed.map((page) => ({ space, page })),
    });
    const end = performance.now();
    this.#store.merge();
    return {
      bytes: pages.reduce((sum, { bytes }) => sum + bytes.length, 0),
      totalMs: end - begin,
      sliceMs,
      mergeMs: performance.now() - end,
    };
  }

  #roomFor(n: number): Uint8Array {
    const at = Math.floor(n / ROOM_PAGES);
    this.#rooms[at] ??= new SharedArrayBuffer(ROOM_PAGES * FOLD_PAGE_BYTES);
    return roomOf(this.#rooms[at], n);
  }
}

/** The median of each figure over repetitions, each of which `change` comes before. */
function repeated(saver: Saver, change: () => void): Taken {
  const taken = Array.from({ length: REPEATS }, () => {
    change();
    return saver.take();
  });
  const median = (of: (one: Taken) => number): number =>
    taken.map(of).toSorted((a, b) => a - b)[REPEATS >> 1] ?? 0;
  return {
    bytes: median(({ bytes }) => bytes),
    totalMs: median(({ totalMs }) => totalMs),
    sliceMs: median(({ sliceMs }) => sliceMs),
    mergeMs: median(({ mergeMs }) => mergeMs),
  };
}

function linesOf(stage: string, taken: Taken, totalMsMost: number): BenchLine[] {
  return [
    { stage: `${stage}: in all`, rate: taken.totalMs, unit: "ms", wanted: { most: totalMsMost } },
    {
      stage: `${stage}: longest slice`,
      rate: taken.sliceMs,
      unit: "ms",
      wanted: { most: 5 },
    },
    { stage: `${stage}: pages`, rate: taken.bytes / 1e6, unit: "MB" },
    { stage: `${stage}: merging afterwards`, rate: taken.mergeMs, unit: "ms" },
  ];
}

async function groupLines(groups: number): Promise<BenchLine[]> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-checkpoint-"));
  const store = openCheckpointStore(join(folder, "state.db"), new DiskFiles(), "bench");
  try {
    const state = await State.make();
    const saver = new Saver(state, store);
    const random = seeded(1);
    const all = Array.from({ length: groups }, (_, group) => group);
    const some = (pick: (n: number) => number): number[] =>
      Array.from({ length: groups / 100 }, (_, n) => pick(n));
    state.fold(all);
    saver.take();
    const stage = `checkpoint of ${numberText(groups)} groups`;
    const scattered = (): void => state.fold(some(() => Math.floor(random() * groups)));
    const newest = (): void => state.fold(some((n) => groups - 1 - n));
    return [
      ...linesOf(
        `${stage}, all changed`,
        repeated(saver, () => state.fold(all)),
        1500,
      ),
      ...linesOf(`${stage}, 1 % changed, the newest`, repeated(saver, newest), 150),
      ...linesOf(`${stage}, 1 % changed, at random`, repeated(saver, scattered), 150),
    ];
  } finally {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Without event ids: nothing but the interval asks for checkpoints. A category is a group of the view `per_hour` for an hour. */
export function groupsConfig(): string {
  const sql = SQL.replaceAll("\n", " ");
  return `streams:
  clicks:
    schema: ${join(CLICKS_CONFIG, "..", "clicks.avsc")}
    event_time: event_time
    out_of_orderness: 10s
views:
  per_hour:
    sql: |
      ${sql}
`;
}

interface Reached {
  readonly rate: number;
  readonly p99: number;
  readonly longestSliceMs: number;
}

/** The whole path with a checkpoint every `interval`. `eventsPerSecond`: 0 = as fast as it goes. */
async function wholePath(
  interval: string,
  length: {
    readonly seconds: number;
    readonly eventsPerSecond: number;
    readonly categories: number;
  },
): Promise<Reached> {
  return withFolder(async (folder) => {
    const config = join(folder, "millrace.yaml");
    writeFileSync(config, groupsConfig());
    const flags = [`--checkpoint.interval=${interval}`, "--export.raw=off"];
    return withAppliance({ config, flags }, async (appliance) => {
      const plan = { ...length, spread: true };
      // the groups are there, and code is compiled
      const warm = await load(appliance, { ...plan, seconds: length.seconds / 2, run: 2 });
      await caughtUp(appliance, warm.lastPosition);
      const result = await load(appliance, plan);
      const tail = await caughtUp(appliance, result.lastPosition);
      const now = await gauges(appliance);
      const slice = now.get('millrace_engine_step_seconds_max{step="checkpoint"}') ?? 0;
      return {
        rate: result.accepted / (result.seconds + tail),
        p99: result.p99,
        longestSliceMs: slice * 1000,
      };
    });
  });
}

async function pathLines(small: boolean): Promise<BenchLine[]> {
  const seconds = small ? 1 : 20;
  const categories = small ? 10_000 : 1_000_000;
  const every = small ? "1s" : "5s";
  const fast = { seconds, categories, eventsPerSecond: 0 };
  const steady = { seconds, categories, eventsPerSecond: small ? 20_000 : 200_000 };
  const without = await wholePath("1h", fast);
  const with5s = await wholePath(every, fast);
  const steadyWithout = await wholePath("1h", steady);
  const steadyWith = await wholePath(every, steady);
  const stage = `whole path, ${numberText(categories)} groups`;
  const checkpoints = `a checkpoint every ${every.replace("s", " s")}`;
  const at = `${numberText(steady.eventsPerSecond)} events/s`;
  return [
    { stage: `${stage}, no checkpoint`, rate: without.rate, unit: "events/s" },
    {
      stage: `${stage}, ${checkpoints}`,
      rate: with5s.rate,
      unit: "events/s",
      ratio: with5s.rate / without.rate,
      ratio_to: "no checkpoint",
      wanted: { least: 0.9 * without.rate },
    },
    {
      stage: `${stage}, no checkpoint, ${at}: acknowledged, p99`,
      rate: steadyWithout.p99,
      unit: "ms",
    },
    {
      stage: `${stage}, ${checkpoints}, ${at}: acknowledged, p99`,
      rate: steadyWith.p99,
      unit: "ms",
      wanted: { most: 2 * steadyWithout.p99 },
    },
    {
      stage: `${stage}, ${checkpoints}, ${at}: longest slice`,
      rate: steadyWith.longestSliceMs,
      unit: "ms",
      wanted: { most: 5 },
    },
  ];
}

/** `small`: a hundredth of the groups, a moment of the path. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const { small } = options;
  return [...(await groupLines(small ? 10_000 : 1_000_000)), ...(await pathLines(small))];
}

if (import.meta.main)
  for (const line of await run({ small: process.argv.includes("--small") }))
    console.log(JSON.stringify(line));
