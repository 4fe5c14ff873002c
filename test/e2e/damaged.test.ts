// Damage to what lies on disk: a start says which file and what to do, and answers say so while it runs.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, exampleClicks, FROM_SOURCE, temporaryFolder } from "./appliance.ts";

// processes start on a machine that others use too
setDefaultTimeout(60_000);

const CONFIG = join(import.meta.dir, "..", "..", "examples", "clickstream", "millrace.yaml");
const folders: (() => void)[] = [];
afterAll(() => {
  for (const dispose of folders) dispose();
});

/** The data folder that a clean stop leaves: events are in the raw table, windows are closed. */
async function stoppedFolder(): Promise<string> {
  const { path, dispose } = temporaryFolder();
  folders.push(dispose);
  const appliance = await Appliance.start({ config: CONFIG, data: path });
  await appliance.send(exampleClicks().slice(0, 500).join("\n"));
  expect(await appliance.stop()).toBe(0);
  return path;
}

/** What a start says that is refused: exit code 2, and no stack. */
async function refusal(data: string): Promise<string> {
  const args = ["serve", "--config", CONFIG, "--data", data, "--listen", "127.0.0.1:0"];
  const child = Bun.spawn([...FROM_SOURCE, ...args], { stdout: "pipe", stderr: "pipe" });
  const timer = setTimeout(() => child.kill(), 30_000);
  const said = (await new Response(child.stderr).text()).trim();
  clearTimeout(timer);
  expect(said).not.toMatch(/^\s+at /m);
  expect(said).not.toContain("start it again");
  expect({ said, code: await child.exited }).toMatchObject({ code: 2 });
  return said;
}

/** Overwrites bytes of a file, all others stay. */
function damage(path: string, from: (length: number) => number, count: number): void {
  const bytes = readFileSync(path);
  const first = from(bytes.length);
  for (let at = first; at < first + count; at++) bytes[at] = 0xff ^ (bytes[at] ?? 0);
  writeFileSync(path, bytes);
}

test.each([
  ["head", (): number => 0],
  ["second page", (): number => 4096],
])("a ledger that is damaged at its %s is refused with what to do", async (_, from) => {
  const data = await stoppedFolder();
  damage(join(data, "ledger.db"), from, 200);
  expect(await refusal(data)).toMatch(
    /^\S*ledger\.db is damaged .*restore the whole data folder from one backup$/,
  );
});
