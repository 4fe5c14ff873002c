// `npm run bench [-- --small] [stage ...]`: every stage and the whole path, each in a process of its own, as one table; the lines go to
// bench/results/ with commit and machine. Rates are measured here and nowhere asserted.
import { appendFileSync, mkdirSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../kernels/build.ts";
import { isMissed, numberText, wantedText, type BenchLine } from "./line.ts";

/** What a plain `npm run bench` runs; `hold` takes over twenty minutes, `ship` needs .venv: they run when they are named. */
const STAGES = [
  "decode",
  "admit",
  "fold",
  "late",
  "session",
  "log",
  "export",
  "twins",
  "path",
  "ids",
  "views",
  "restart",
  "checkpoint",
  "questions",
  "slow-disk",
];
const NAMED_STAGES = [...STAGES, "hold", "ship"];
const RESULTS = join(import.meta.dir, "results");

type Run = (options: { readonly small: boolean }) => Promise<BenchLine[]>;

/** A stage's lines, printed as JSON by the child process. */
async function runStage(stage: string, small: boolean): Promise<void> {
  const module = (await import(`./${stage}.ts`)) as { readonly run: Run };
  for (const line of await module.run({ small })) console.log(JSON.stringify(line));
}

/** Columns of the printed table. */
function rowText(cells: readonly string[]): string {
  const [stage = "", measured = "", wanted = "", missed = "", ...rest] = cells;
  const row = `${stage.padEnd(86)} ${measured.padStart(22)}  ${wanted.padEnd(20)} ${missed.padEnd(6)}`;
  return [row, ...rest.filter(Boolean)].join("  ").trimEnd();
}

/** `small`: what is wanted of a full run says nothing of a short one. */
function lineText(line: BenchLine, small: boolean): string {
  const nanoseconds = line.ns_per_event === undefined ? "" : `${line.ns_per_event.toFixed(0)} ns`;
  const ratio = line.ratio === undefined ? "" : `${line.ratio.toFixed(2)} x ${line.ratio_to ?? ""}`;
  const hash = line.hash === undefined ? "" : `#${line.hash}`;
  return rowText([
    line.stage,
    `${numberText(line.rate)} ${line.unit}`,
    wantedText(line),
    !small && isMissed(line) ? "MISSED" : "",
    nanoseconds.padStart(7),
    ratio,
    hash,
  ]);
}

function gitCommit(): string {
  const { stdout } = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"], {
    cwd: import.meta.dir,
  });
  return new TextDecoder().decode(stdout).trim();
}

async function runAll(stages: readonly string[], small: boolean): Promise<void> {
  await buildKernels();
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GB`;
  const commit = gitCommit();
  mkdirSync(RESULTS, { recursive: true });
  console.log(`commit ${commit}, ${machine}${small ? ", small" : ""}`);
  console.log(rowText(["stage", "measured", "wanted"]));
  let missed = 0;
  for (const stage of stages) {
    const child = Bun.spawn({
      cmd: [
        process.execPath,
        "--no-install",
        import.meta.path,
        "--stage",
        stage,
        ...(small ? ["--small"] : []),
      ],
      stdout: "pipe",
      stderr: "inherit",
    });
    const text = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) throw new Error(`bench of ${stage} failed`);
    for (const json of text.trim().split("\n").filter(Boolean)) {
      const line = JSON.parse(json) as BenchLine;
      console.log(lineText(line, small));
      if (isMissed(line)) missed++;
      const entry = { commit, machine, small, stage_file: stage, ...line };
      if (!small) appendFileSync(join(RESULTS, "results.jsonl"), `${JSON.stringify(entry)}\n`);
    }
  }
  if (!small)
    console.log(missed === 0 ? "all that is wanted is reached" : `${missed} lines MISSED`);
}

const args = process.argv.slice(2);
const small = args.includes("--small");
const at = args.indexOf("--stage");
if (at >= 0) await runStage(args[at + 1] ?? "", small);
else {
  const named = args.filter((arg) => !arg.startsWith("--"));
  const unknown = named.filter((name) => !NAMED_STAGES.includes(name));
  if (unknown.length > 0)
    throw new Error(`no such stage: ${unknown.join(", ")}; stages are ${NAMED_STAGES.join(", ")}`);
  await runAll(named.length > 0 ? named : STAGES, small);
}
