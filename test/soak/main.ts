// `npm run soak [-- MINUTES]`, 30 unless it is said: the soak in full. Prints each life and a summary, adds a line to bench/results/soak.jsonl; exit code 1 when something did
// not hold.
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { buildKernels } from "../../kernels/build.ts";
import { temporaryFolder } from "../e2e/appliance.ts";
import { PowerDisk, whyNoPowerDisk } from "../power/disk.ts";
import { boundsOf, Soak, type SoakResult } from "./soak.ts";

const ROOT = join(import.meta.dir, "..", "..");
const [minutes = "30", seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);

function summary(result: SoakResult): string {
  const { lives, faults, answers, peaks, compared, events } = result;
  const bounds = boundsOf(events);
  const faultsText = Object.entries(faults).map(([name, count]) => `${count} x ${name}`);
  return [
    `${lives} lives: ${faultsText.join(", ")}`,
    ...compared.map((text) => `independent client: ${text}`),
    `${answers.asked} questions, ${answers.timeouts} of them stopped by query.timeout, ${answers.later} told to come later; a reader was at most ${answers.lagMax} positions behind`,
    ...Object.entries(peaks).map(
      ([name, peak]) =>
        `${name}: ${Math.round(Number(peak))}, bound ${Math.round(bounds[name as keyof typeof bounds])}`,
    ),
  ].join("\n");
}

function record(line: object): void {
  const git = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"], { cwd: ROOT });
  const about = {
    bench: "soak",
    at: new Date().toISOString(),
    commit: git.stdout.toString().trim(),
  };
  const path = join(ROOT, "bench", "results", "soak.jsonl");
  appendFileSync(path, `${JSON.stringify({ ...about, ...line })}\n`);
}

await buildKernels();
const folder = temporaryFolder();
const reason = whyNoPowerDisk();
if (reason !== null) console.log(`no power cuts and no full disk: ${reason}`);
const end = performance.now() + Number(minutes) * 60_000;
const soak = new Soak(
  {
    folder: folder.path,
    isOver: () => performance.now() > end,
    lifeMs: [20_000, 60_000],
    burstMs: 75_000,
    compareEvery: 5,
    random: seeded(Number(seed)),
    say: (text) => console.log(text),
  },
  reason === null ? PowerDisk.make(folder.path) : null,
);
let code = 0;
try {
  const result = await soak.run();
  console.log(summary(result));
  const bounds = boundsOf(result.events);
  const beyond = Object.entries(result.peaks).filter(
    ([name, peak]) => peak > bounds[name as keyof typeof bounds],
  );
  for (const [name] of beyond) console.log(`beyond its bound: ${name}`);
  if (beyond.length > 0) code = 1;
  const { answers, ...counted } = result;
  const { counts: _, ...asked } = answers;
  record({ minutes: Number(minutes), seed: Number(seed), code, ...counted, answers: asked });
} catch (error) {
  console.log(error);
  console.log(`npm run soak -- ${minutes} ${seed} draws the same lives and cuts`);
  code = 1;
} finally {
  soak.dispose();
  folder.dispose();
}
process.exit(code);
