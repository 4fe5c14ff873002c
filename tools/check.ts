// `npm run check`: everything that is quick, at once: types, lint, format, dead code, the assembly's types. Under a minute. Prints the
// output of what failed, then one line; exit code 1 when anything did.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { MODULES, TARGET_FLAGS } from "../kernels/build.ts";

const ROOT = join(import.meta.dir, "..");
const BIN = join(ROOT, "node_modules", ".bin");

interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

const CHECKS: readonly Check[] = [
  { name: "format", command: [join(BIN, "oxfmt"), "--check", "."] },
  { name: "lint", command: [join(BIN, "oxlint"), "--type-aware", "--deny-warnings", "."] },
  { name: "types", command: [join(BIN, "tsc"), "-p", "."] },
  { name: "dead code", command: [join(BIN, "knip"), "--no-progress"] },
  ...MODULES.map((module) => ({
    name: `assembly/${module}`,
    command: [join(BIN, "asc"), `assembly/${module}/exports.ts`, "--noEmit", ...TARGET_FLAGS],
  })),
  {
    name: "tidy",
    command: [process.execPath, "test", "./test/tidy.test.ts"],
  },
];

/** Runs one check; true when it passed. */
async function run(check: Check): Promise<boolean> {
  const began = performance.now();
  const child = Bun.spawn([...check.command], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (code === 0) console.log(`ok    ${check.name} (${seconds} s)`);
  else console.log(`FAIL  ${check.name} (${seconds} s)\n${out}${err}`);
  return code === 0;
}

if (!existsSync(join(ROOT, "build"))) mkdirSync(join(ROOT, "build"));
const began = performance.now();
const waiting = [...CHECKS];
let failed = 0;
/** Two at a time: most of them use more than one core. */
async function worker(): Promise<void> {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift())
    if (!(await run(check))) failed++;
}
await Promise.all([worker(), worker()]);
const seconds = ((performance.now() - began) / 1000).toFixed(0);
console.log(`${CHECKS.length - failed} passed, ${failed} failed (${seconds} s)`);
process.exit(failed === 0 ? 0 : 1);
