// The Python that reads our files back in tests: where it is, and what is said when it is not there.
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Python of the venv with pyarrow and pyiceberg (requirements.txt beside this file); it may be missing. */
export const PYTHON = join(import.meta.dir, "..", "..", ".venv", "bin", "python");

const SCRIPT = join(import.meta.dir, "read_table.py");

/** Runs read_table.py and returns what it prints. Throws with Python's own message. */
export function readBack(kind: "parquet" | "iceberg", path: string): unknown {
  const { stdout, stderr, exitCode } = Bun.spawnSync([PYTHON, SCRIPT, kind, path]);
  if (exitCode !== 0) throw new Error(`read_table.py: ${stderr.toString()}`);
  return JSON.parse(stdout.toString());
}

/** The same for `sums`, while others go on. */
export async function readBackBeside(...args: readonly string[]): Promise<unknown> {
  const child = Bun.spawn([PYTHON, SCRIPT, ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`read_table.py: ${error}`);
  return JSON.parse(out);
}

/** Whether there is none: what needs it is skipped, and says so in its name. */
export const isPythonMissing = !existsSync(PYTHON);

/** The end of such a name. */
export const NEEDS_PYTHON = "(needs .venv with pyiceberg: see test/python/requirements.txt)";
