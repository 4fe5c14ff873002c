// The Python that reads our files back in tests: where it is, and what is said when it is not there.
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Python of the venv with pyarrow and pyiceberg (requirements.txt beside this file); it may be missing. */
export const PYTHON = join(import.meta.dir, "..", "..", ".venv", "bin", "python");

/** Runs read_table.py and returns what it prints. Throws with Python's own message. */
export function readBack(kind: "parquet" | "iceberg", path: string): unknown {
  const { stdout, stderr, exitCode } = Bun.spawnSync([
    PYTHON,
    join(import.meta.dir, "read_table.py"),
    kind,
    path,
  ]);
  if (exitCode !== 0) throw new Error(`read_table.py: ${stderr.toString()}`);
  return JSON.parse(stdout.toString());
}

/** Whether there is none: what needs it is skipped, and says so in its name. */
export const isPythonMissing = !existsSync(PYTHON);

/** The end of such a name. */
export const NEEDS_PYTHON = "(needs .venv with pyiceberg: see test/python/requirements.txt)";
