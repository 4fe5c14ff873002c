// The configuration's `query.*` keys reach the process that answers questions.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, temporaryFolder } from "./appliance.ts";

const CONFIG = join(import.meta.dir, "../../examples/clickstream/millrace.yaml");
/** A list of this many numbers takes some 100 MB, and does not spill. */
const LIST = "SELECT len(list(range)) FROM range(8000000)";

/** Threads of the process's child. */
function childThreads(pid: number): number {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean),
  );
  return children.reduce((sum, child) => sum + readdirSync(`/proc/${child}/task`).length, 0);
}

async function withFlags<T>(
  flags: readonly string[],
  use: (appliance: Appliance) => Promise<T>,
): Promise<T> {
  const folder = temporaryFolder();
  try {
    const data = join(folder.path, "data");
    const appliance = await Appliance.start({ config: CONFIG, data, flags });
    try {
      return await use(appliance);
    } finally {
      await appliance.kill();
    }
  } finally {
    folder.dispose();
  }
}

test("memory_limit is shared by the questions that may run, threads are each one's", async () => {
  const small = await withFlags(
    ["--query.memory_limit=128MB", "--query.threads=1"],
    async (appliance) => {
      const answer = await appliance.ask(LIST);
      expect({ status: answer.status, body: await answer.json() }).toMatchObject({
        status: 400,
        body: { code: "out_of_memory" },
      });
      return childThreads(appliance.process.pid);
    },
  );
  const large = await withFlags(
    ["--query.memory_limit=2GB", "--query.threads=12"],
    async (appliance) => {
      expect((await appliance.rows(LIST)).rows).toEqual([[8_000_000]]);
      return childThreads(appliance.process.pid);
    },
  );
  // One DuckDB is open: twelve threads instead of one. Bun's own come and go.
  expect(large - small).toBeGreaterThan(7);
}, 60_000);

test("what cannot work is refused at the start", async () => {
  const starting = withFlags(["--query.memory_limit=64MB"], () => Promise.resolve());
  await expect(starting).rejects.toThrow("--query.memory_limit");
}, 30_000);
