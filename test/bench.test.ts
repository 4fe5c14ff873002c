// Every benchmark runs small, so that none can rot, each in a process of its own. Rates depend on the machine and are printed only; what
// was computed on the way is the same everywhere: it is held against the hash of the seed's result. A hash that changes says that a format or
// a result changed: if that was meant, write the new one here.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BenchLine } from "../bench/line.ts";

const ROOT = join(import.meta.dir, "..");

/** Hashes of each stage's lines that have one, in their order; `decode`: members in order and shuffled give the same images. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  decode: ["90d98fdf8f64aa38", "90d98fdf8f64aa38"],
  admit: ["18df6255e7488672", "12354fdc37887ab2"],
  fold: ["ed7ac9b62ac26cbf", "ed7ac9b62ac26cbf"],
  log: ["bdc1cc65152aea42", "546155d68be387b0"],
  export: ["2b7966033ed0c83a"],
  twins: [],
  path: [],
};

async function runSmall(stage: string): Promise<BenchLine[]> {
  const child = Bun.spawn(
    [process.execPath, "--no-install", join(ROOT, "bench", "main.ts"), "--stage", stage, "--small"],
    { cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`the benchmark of ${stage} failed:\n${out}${err}`);
  return out
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as BenchLine);
}

test("every benchmark is here", () => {
  const stages = readdirSync(join(ROOT, "bench"))
    .filter((name) => name.endsWith(".ts"))
    .filter((name) =>
      /export (async )?function run\(/.test(readFileSync(join(ROOT, "bench", name), "utf8")),
    )
    .map((name) => name.replace(".ts", ""));
  expect(Object.keys(EXPECTED).toSorted()).toEqual(stages.toSorted());
});

for (const [stage, hashes] of Object.entries(EXPECTED))
  test(`bench ${stage}, small`, async () => {
    const lines = await runSmall(stage);
    for (const { stage: name, rate, unit, hash = "" } of lines)
      console.log(`bench ${name}: ${rate.toPrecision(3)} ${unit} ${hash}`);
    expect(lines.length).toBeGreaterThan(1);
    for (const { rate } of lines) expect(rate).toBeGreaterThan(0);
    expect(lines.flatMap(({ hash }) => (hash === undefined ? [] : [hash]))).toEqual([...hashes]);
  }, 120_000);
