// `npm run kills [-- N]`: kill -9 at N random moments under load, 100 unless it is said; each run of the tests has 20. Keeps its exit code.
import { join } from "node:path";

const [kills = "100", ...rest] = process.argv.slice(2);
const child = Bun.spawn(
  [
    process.execPath,
    "--no-install",
    join(import.meta.dir, "test.ts"),
    "./test/e2e/kill.test.ts",
    ...rest,
  ],
  { env: { ...process.env, MILLRACE_KILLS: kills }, stdio: ["ignore", "inherit", "inherit"] },
);
process.exit(await child.exited);
