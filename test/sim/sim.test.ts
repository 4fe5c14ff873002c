// The simulator itself: 200 seeds keep every rule, a seed repeats to the last step, and each planted bug is found. In processes of their own, since the
// simulator is put beneath the product as it is loaded.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { MUTATIONS, SEEDS_MAX, type Mutation } from "./mutations.ts";

const ROOT = join(import.meta.dir, "..", "..");
const SEEDS = 200;
const PROCESSES = 2;
/** Half a minute that has all in it: bugs show soonest. */
const DENSE = ["--pace", "dense"] as const;
const TIMEOUT_MS = 600_000;

interface Ran {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Runs `npm run sim` with these arguments. */
async function sim(...words: string[]): Promise<Ran> {
  const child = Bun.spawn(
    [process.execPath, "--no-install", join(import.meta.dir, "main.ts"), ...words],
    { cwd: ROOT, stdout: "pipe", stderr: "pipe" },
  );
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, lines: `${out}${err}`.trimEnd().split("\n") };
}

/** Whether one of the first seeds breaks a rule, with a planted bug. */
async function isFound({ name, temper, isKeyed }: Mutation): Promise<boolean> {
  const words = ["--seeds", `${SEEDS_MAX}`, "--temper", temper, "--mutation", name];
  const kind = isKeyed === true ? ["--keyed"] : [];
  const { lines } = await sim("--child", "--quick", ...DENSE, ...kind, ...words);
  const summary = lines.findLast((line) => line.startsWith("{"));
  if (summary === undefined) throw new Error(`${name}: ${lines.join("\n")}`);
  return typeof (JSON.parse(summary) as { failed: unknown }).failed === "number";
}

/** As many at a time as there are cores to spare. */
async function inTurn<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: PROCESSES }, worker));
}

test(
  `${SEEDS} seeds keep every rule`,
  async () => {
    const each = SEEDS / PROCESSES;
    const failures: string[] = [];
    await inTurn(
      Array.from({ length: PROCESSES }, (_, index) => 1 + index * each),
      async (from) => {
        const { code, lines } = await sim("--child", "--from", `${from}`, "--seeds", `${each}`);
        if (code !== 0) failures.push(...lines);
      },
    );
    expect(failures).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "so do some of fewer, larger bodies",
  async () => {
    const { code, lines } = await sim("--child", "--pace", "batched", "--seeds", "4");
    expect({ code, failed: lines.slice(0, -1) }).toEqual({ code: 0, failed: [] });
  },
  TIMEOUT_MS,
);

test(
  "every planted bug is found",
  async () => {
    const missed: string[] = [];
    await inTurn(MUTATIONS, async (mutation) => {
      if (!(await isFound(mutation))) missed.push(mutation.name);
    });
    expect(missed).toEqual([]);
    expect(MUTATIONS.length).toBeGreaterThanOrEqual(20);
  },
  TIMEOUT_MS,
);

test(
  "a failure is shrunk, and one command repeats it to the last step",
  async () => {
    const [mutation] = MUTATIONS;
    const name = mutation?.name ?? "";
    const found = await sim("--child", ...DENSE, "--seeds", "20", "--mutation", name);
    expect(found.code).toBe(1);
    const broken = found.lines[1]?.trim() ?? "";
    const again = found.lines.find((line) => line.startsWith("see it again: npm run sim -- "));
    const words = [...(again ?? "").matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? "",
    );
    const given = words.slice(words.indexOf("--") + 1);
    const first = await sim(...given);
    expect(first.lines).toContain(`broken: ${broken}`);
    expect(given).toContain("--faults");
    expect((await sim(...given)).lines).toEqual(first.lines);
  },
  TIMEOUT_MS,
);
