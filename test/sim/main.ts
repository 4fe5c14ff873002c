// `npm run sim`: runs seeds of the simulator until one breaks a rule, shrinks its faults, and prints the command that repeats it. Without a failure
// the count goes with the commit to bench/results/sim.jsonl.
//   --seeds N        how many (10,000)                   --from N     the first one (1)
//   --seed N         this one alone, line by line        --faults A,B of the seed's faults only these (by number; "none": none)
//   --pace dense|usual|batched   of all seeds, not as each says (configuration.ts)
//   --temper NAME  what faults are about (draw-faults.ts)
//   --keyed       only seeds whose requests have keys
//   --quick       a failure is not shrunk
//   --mutation NAME  with a planted bug (mutations.ts), which is to be found
// Seeds are run in processes of SEEDS_PER_PROCESS, so that a long run needs no more memory than a short one.
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildKernels } from "../../kernels/build.ts";
import { TEMPERS, type Temper } from "./draw-faults.ts";
import { MUTATIONS } from "./mutations.ts";
import { interpose } from "./patches.ts";
import { KEYED_EVERY } from "./random.ts";
import type { PaceName, RunResult } from "./run.ts";

const ROOT = join(import.meta.dir, "..", "..");
const SEEDS_PER_PROCESS = 200;
const PROCESSES = 2;
/** Those of configuration.ts, which may not be loaded before the simulator is beneath the product. */
const PACE_NAMES = ["dense", "usual", "batched"] as const satisfies readonly PaceName[];

const { values: given } = parseArgs({
  options: {
    seeds: { type: "string" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    faults: { type: "string" },
    mutation: { type: "string" },
    pace: { type: "string" },
    temper: { type: "string" },
    keyed: { type: "boolean", default: false },
    child: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});

const pace = paceOf(given.pace);
const temper = temperOf(given.temper);

/** What a process of seeds says at its end, as its last line. */
interface Summary {
  readonly seeds: number;
  readonly events: number;
  readonly lives: number;
  readonly questions: number;
  readonly simulatedS: number;
  readonly cpuS: number;
  /** The seed that failed. */
  readonly failed: number | null;
}

function paceOf(name: string | undefined): PaceName | null {
  const known = PACE_NAMES.find((one) => one === name) ?? null;
  if (name !== undefined && known === null)
    throw new Error(`no pace "${name}": ${PACE_NAMES.join(", ")}`);
  return known;
}

function temperOf(name: string | undefined): Temper | null {
  const known = TEMPERS.find((one) => one === name) ?? null;
  if (name !== undefined && known === null)
    throw new Error(`no temper "${name}": ${TEMPERS.join(", ")}`);
  return known;
}

function replayCommand(seed: number, faults: readonly number[] | null): string {
  const of = faults === null ? "" : ` --faults ${faults.length === 0 ? "none" : faults.join(",")}`;
  const mutated = given.mutation === undefined ? "" : ` --mutation "${given.mutation}"`;
  const paced = pace === null ? "" : ` --pace ${pace}`;
  const tempered = temper === null ? "" : ` --temper ${temper}`;
  return `npm run sim -- --seed ${seed}${of}${paced}${tempered}${mutated}`;
}

type RunSeed = typeof import("./run.ts").runSeed;

/** The product as it is loaded from here on, with the simulator beneath it. */
async function load(): Promise<RunSeed> {
  const { mutation: name } = given;
  const mutation = MUTATIONS.find((known) => known.name === name);
  if (name !== undefined && mutation === undefined)
    throw new Error(
      `no mutation "${name}"; one of:\n${MUTATIONS.map((one) => one.name).join("\n")}`,
    );
  interpose(mutation?.patches ?? []);
  return (await import("./run.ts")).runSeed;
}

/** The fewest faults with which the seed still fails: each is left out, as long as that leaves a failure. */
async function shrink(runSeed: RunSeed, result: RunResult): Promise<readonly number[]> {
  let kept = result.drawn.map((_, index) => index);
  for (const index of kept.toReversed()) {
    const fewer = kept.filter((one) => one !== index);
    const { violations } = await runSeed({
      seed: result.seed,
      faults: fewer,
      pace,
      temper,
      verbose: false,
    });
    if (violations.length > 0) kept = fewer;
  }
  return kept;
}

/** Says which rule was broken, the faults that it takes, and how to see it again. */
async function report(runSeed: RunSeed, result: RunResult): Promise<void> {
  const faults = await shrink(runSeed, result);
  const again = { seed: result.seed, faults, pace, temper, verbose: false };
  const { violations } = await runSeed(again);
  console.log(`seed ${result.seed} breaks a rule:`);
  for (const violation of violations.slice(0, 5)) console.log(`  ${violation}`);
  console.log(`with ${faults.length} of its ${result.drawn.length} faults:`);
  for (const index of faults) console.log(`  ${index}: ${JSON.stringify(result.drawn[index])}`);
  console.log(`see it again: ${replayCommand(result.seed, faults)}`);
}

async function single(seed: number): Promise<number> {
  const runSeed = await load();
  const { faults: chosen } = given;
  const faults =
    chosen === undefined
      ? null
      : chosen === "none"
        ? []
        : chosen.split(",").map((index) => Number(index));
  const result = await runSeed({ seed, faults, pace, temper, verbose: true });
  for (const line of result.lines) console.log(line);
  for (const violation of result.violations) console.log(`broken: ${violation}`);
  console.log(`trace ${result.trace}: ${result.steps} steps, ${result.acknowledged} events`);
  return result.violations.length > 0 ? 1 : 0;
}

/** Runs seeds in this process, until one fails. */
async function piece(from: number, count: number): Promise<number> {
  const runSeed = await load();
  const began = process.cpuUsage();
  let [events, lives, questions, simulatedUs, seeds] = [0, 0, 0, 0, 0];
  let failed: number | null = null;
  const every = given.keyed ? KEYED_EVERY : 1;
  for (let seed = every * from; seeds < count && failed === null; seed += every) {
    const result = await runSeed({ seed, faults: null, pace, temper, verbose: false });
    seeds++;
    events += result.acknowledged;
    lives += result.lives;
    questions += result.questions;
    simulatedUs += result.simulatedUs;
    if (result.violations.length === 0) continue;
    failed = seed;
    if (given.quick) console.log(result.violations[0]);
    else await report(runSeed, result);
  }
  const cpu = process.cpuUsage(began);
  const [simulatedS, cpuS] = [simulatedUs / 1e6, (cpu.user + cpu.system) / 1e6];
  const summary: Summary = { seeds, events, lives, questions, simulatedS, cpuS, failed };
  console.log(JSON.stringify(summary));
  return failed === null ? 0 : 1;
}

/** Runs a piece of the seeds in a process of its own; what it says is said here, but for its summary. */
async function inProcess(from: number, count: number): Promise<Summary> {
  const mutation = given.mutation === undefined ? [] : ["--mutation", given.mutation];
  const paced = pace === null ? [] : ["--pace", pace];
  const tempered = temper === null ? [] : ["--temper", temper];
  const child = Bun.spawn(
    [
      process.execPath,
      "--no-install",
      import.meta.path,
      "--child",
      "--from",
      String(from),
      "--seeds",
      String(count),
      ...mutation,
      ...paced,
      ...tempered,
      ...(given.keyed ? ["--keyed"] : []),
    ],
    { cwd: ROOT, stdout: "pipe", stderr: "inherit" },
  );
  const lines = (await new Response(child.stdout).text()).trimEnd().split("\n");
  await child.exited;
  const last = lines.pop() ?? "";
  for (const line of lines) console.log(line);
  try {
    return JSON.parse(last) as Summary;
  } catch {
    throw new Error(`the process of seeds ${from} to ${from + count - 1} ended: ${last}`);
  }
}

async function many(from: number, count: number): Promise<number> {
  const began = performance.now();
  const summaries: Summary[] = [];
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < from + count && summaries.every(({ failed }) => failed === null)) {
      const first = next;
      next += Math.min(SEEDS_PER_PROCESS, Math.ceil(count / PROCESSES));
      summaries.push(await inProcess(first, Math.min(next, from + count) - first));
    }
  };
  await Promise.all(Array.from({ length: PROCESSES }, worker));
  const sum = (of: (one: Summary) => number): number =>
    summaries.reduce((all, one) => all + of(one), 0);
  const result = {
    seeds: sum(({ seeds }) => seeds),
    failed: summaries.flatMap(({ failed }) => failed ?? []),
    events: sum(({ events }) => events),
    lives: sum(({ lives }) => lives),
    questions: sum(({ questions }) => questions),
    simulatedS: Math.round(sum(({ simulatedS }) => simulatedS)),
    cpuS: Math.round(sum(({ cpuS }) => cpuS)),
    wallS: Math.round((performance.now() - began) / 1000),
  };
  console.log(JSON.stringify(result));
  if (given.mutation === undefined) record({ from, pace, ...result });
  return result.failed.length > 0 ? 1 : 0;
}

function record(result: object): void {
  const git = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"], { cwd: ROOT });
  const commit = git.stdout.toString().trim();
  const line = JSON.stringify({ bench: "sim", at: new Date().toISOString(), commit, ...result });
  appendFileSync(join(ROOT, "bench", "results", "sim.jsonl"), `${line}\n`);
}

if (!given.child) await buildKernels();
const from = Number(given.from);
const count = Number(given.seeds ?? (given.child ? 1 : 10_000));
process.exit(
  given.seed !== undefined
    ? await single(Number(given.seed))
    : given.child
      ? await piece(from, count)
      : await many(from, count),
);
