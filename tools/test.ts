// `npm test`: builds the kernels, runs every test in random order with a printed seed, lists what was skipped and why, repeats what
// failed (so that the end of a long run says it), names the slowest files, and ends with `N passed, N failed, N skipped`. Arguments go to `bun test` (paths, --seed N). Keeps Bun's exit code.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../kernels/build.ts";

const ROOT = join(import.meta.dir, "..");

/** Counts and skipped names of a JUnit report. A name says why it is skipped: `... (needs pyarrow)`. */
function readReport(path: string): { tests: number; failed: number; skipped: string[] } {
  const xml = readFileSync(path, "utf8");
  const root = /<testsuites\b[^>]*>/.exec(xml)?.[0] ?? "";
  const count = (name: string): number =>
    Number(new RegExp(`\\b${name}="(\\d+)"`).exec(root)?.[1] ?? 0);
  const skipped = [...xml.matchAll(/<testcase\b([^>]*)>\s*<skipped/g)].map(
    ([, attributes = ""]) => {
      const name = /\bname="([^"]*)"/.exec(attributes)?.[1] ?? "?";
      const file = /\bfile="([^"]*)"/.exec(attributes)?.[1] ?? "?";
      return Bun.stripANSI(`${file}: ${name}`)
        .replaceAll("&quot;", '"')
        .replaceAll("&apos;", "'")
        .replaceAll("&lt;", "<")
        .replaceAll("&gt;", ">")
        .replaceAll("&amp;", "&");
    },
  );
  return { tests: count("tests"), failed: count("failures") + count("errors"), skipped };
}

/** Files that the end of the run names: who wants it shorter begins there. */
const SLOWEST_FILES = 12;

/** The files that took longest, `SECONDS s  PATH` each. */
function slowestFiles(path: string): string[] {
  const suites = readFileSync(path, "utf8").matchAll(
    /<testsuite name="([^"]*)" file="\1"[^>]*\btime="([\d.]+)"/g,
  );
  return [...suites]
    .map(([, file = "", seconds]) => ({ file, seconds: Math.round(Number(seconds)) }))
    .toSorted((one, two) => two.seconds - one.seconds)
    .slice(0, SLOWEST_FILES)
    .map(({ file, seconds }) => `${String(seconds).padStart(5)} s  ${file}`);
}

/** Lines of a failure that the end of the run repeats: the assertion and where it stands. */
const FAILURE_LINES = 30;

/** Hands the output of `bun test` on as it comes. Returns what it said just before each `(fail) name`, that line included. */
async function passOn(
  output: ReadableStream<Uint8Array>,
  to: NodeJS.WriteStream,
): Promise<string[]> {
  const failures: string[] = [];
  let before: string[] = [];
  let rest = "";
  const decoder = new TextDecoder();
  for await (const piece of output) {
    to.write(piece);
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      before = [...before.slice(1 - FAILURE_LINES), line];
      if (!Bun.stripANSI(line).startsWith("(fail)")) continue;
      failures.push(before.join("\n"));
      before = [];
    }
  }
  return failures;
}

await buildKernels();
const folder = mkdtempSync(join(tmpdir(), "millrace-test-"));
const report = join(folder, "report.xml");
const given = process.argv.slice(2);
const at = given.findIndex((argument) => /^--seed(=|$)/.test(argument));
const seed =
  at === -1
    ? String(crypto.getRandomValues(new Uint32Array(1))[0])
    : (given[at]?.split("=")[1] ?? given[at + 1] ?? "");
const child = Bun.spawn(
  [
    process.execPath,
    "test",
    // Most of the time a test waits: for a disk, a process, a timer. Files that share a process share its modules, as in one run.
    "--parallel=2",
    "--no-isolate",
    "--randomize",
    ...(at === -1 ? ["--seed", seed] : []),
    "--preload=./test/property-seed.ts",
    "--only-failures",
    // A property takes its time when the machine is busy; tests that are meant to be long say so themselves.
    "--timeout=180000",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...(given.length === 0 ? ["./test"] : given),
  ],
  {
    cwd: ROOT,
    env: { ...process.env, MILLRACE_TEST_SEED: seed },
    stdio: ["ignore", "inherit", "pipe"],
  },
);
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    child.kill(signal);
  });
const failures = await passOn(child.stderr, process.stderr);
let code = await child.exited;
try {
  const { tests, failed, skipped } = readReport(report);
  console.log(["slowest files:", ...slowestFiles(report)].join("\n"));
  for (const failure of failures) console.log(failure);
  for (const name of skipped) console.log(`skipped ${name}`);
  console.log(
    `seed ${seed} (npm test -- --seed ${seed} repeats the order within each file and the properties)`,
  );
  if (tests === 0) code ||= 1;
  console.log(
    `${tests - failed - skipped.length} passed, ${failed} failed, ${skipped.length} skipped`,
  );
} catch (error) {
  code ||= 1;
  console.log(`no report of the tests: ${String(error)}`);
  console.log("0 passed, 1 failed, 0 skipped");
}
rmSync(folder, { recursive: true });
process.exit(code);
