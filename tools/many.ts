// `npm run kills [-- N]`, `npm run power [-- N]`: a test that ends lives at random moments, N of them; `npm test` has fewer. More arguments go to the test. Keeps its exit code.
import { join } from "node:path";

/** The test, the variable that it reads, and how many it is unless it is said. */
const TESTS: Readonly<Record<string, readonly [path: string, variable: string, count: string]>> = {
  kills: ["./test/e2e/kill.test.ts", "MILLRACE_KILLS", "100"],
  power: ["./test/power/power.test.ts", "MILLRACE_POWER_CUTS", "100"],
};

const [name = "", given, ...rest] = process.argv.slice(2);
const found = TESTS[name];
if (found === undefined) throw new Error(`${name} is none of ${Object.keys(TESTS).join(", ")}`);
const [path, variable, count] = found;
const child = Bun.spawn(
  [process.execPath, "--no-install", join(import.meta.dir, "test.ts"), path, ...rest],
  { env: { ...process.env, [variable]: given ?? count }, stdio: ["ignore", "inherit", "inherit"] },
);
process.exit(await child.exited);
