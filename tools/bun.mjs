// Starts the Bun that npm installed, with the arguments given to this script. Works with `ignore-scripts=true` (Bun's own
// postinstall, which would place the executable, does not run), Node 20+, npm 10 and 11. Owns nothing else.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Path of the Bun executable inside node_modules, for this operating system, processor and C library. */
function bunPath() {
  const os = { linux: "linux", darwin: "darwin" }[process.platform];
  const cpu = { x64: "x64", arm64: "aarch64" }[process.arch];
  for (const name of [`@oven/bun-${os}-${cpu}`, `@oven/bun-${os}-${cpu}-musl`]) {
    try {
      const path = join(dirname(require.resolve(`${name}/package.json`)), "bin", "bun");
      if (existsSync(path)) return path;
    } catch {
      // not installed for this platform: try the next one
    }
  }
  return join(dirname(require.resolve("bun/package.json")), "bin", "bun.exe");
}

const bun = bunPath();
// mimalloc gives freed memory back after 10 s instead of at once: request bodies come and go, and every page given back is zeroed and
// faulted in again (measured: 100 ns an event of the HTTP thread's time).
const MIMALLOC_PURGE_DELAY = process.env.MIMALLOC_PURGE_DELAY ?? "10000";
const child = spawn(bun, process.argv.slice(2), {
  stdio: "inherit",
  env: { ...process.env, MIMALLOC_PURGE_DELAY, PATH: dirname(bun) + delimiter + process.env.PATH },
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
