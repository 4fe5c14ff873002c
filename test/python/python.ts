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

/** Says why Python tests are skipped, once, and whether they are. */
export function isPythonMissing(): boolean {
  const isMissing = !existsSync(PYTHON);
  if (isMissing)
    console.log(
      "skipped: no .venv with pyarrow and pyiceberg; python3 -m venv .venv && .venv/bin/pip install -r test/python/requirements.txt",
    );
  return isMissing;
}
