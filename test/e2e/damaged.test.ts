// Damage to what lies on disk: a start says which file and what to do, and answers say so while it runs.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, renameSync, truncateSync, writeFileSync } from "node:fs";
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

/** Path of the one data file of the stream's raw table. */
function rawFile(data: string): string {
  const folder = join(data, "warehouse", "default", "clicks_raw", "data");
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const found = names.filter((name) => name.endsWith(".parquet"));
  expect(found.length).toBe(1);
  return join(folder, found[0] ?? "");
}

interface Health {
  readonly status: number;
  readonly problems: readonly string[];
}

async function health(appliance: Appliance): Promise<Health> {
  const response = await fetch(`${appliance.address}/health`);
  const { problems } = (await response.json()) as Health;
  return { status: response.status, problems };
}

/** Status, code and detail of a question that gets no rows. */
async function problemOf(appliance: Appliance, sql: string): Promise<readonly [string, string]> {
  const response = await appliance.ask(sql);
  const { code, detail } = (await response.json()) as { code: string; detail: string };
  return [`${response.status} ${code}`, detail];
}

const READS_ALL = "SELECT * FROM clicks";
const COUNTS_VIEW = "SELECT count(*) > 0 FROM page_views_minute";

test.each([
  ["missing", "is missing or empty", (path: string) => renameSync(path, `${path}.away`)],
  ["short", /has 1000 bytes, \d+ were written/, (path: string) => truncateSync(path, 1000)],
])("a data file that is %s is told at the start, the rest goes on", async (_, what, harm) => {
  const data = await stoppedFolder();
  const path = rawFile(data);
  harm(path);
  const appliance = await Appliance.start({ config: CONFIG, data });
  await appliance.printed("1 of its 1 data files are damaged");
  const { status, problems } = await health(appliance);
  expect(status).toBe(503);
  expect(problems.length).toBe(1);
  expect(problems[0]).toContain(path);
  expect(problems[0]).toMatch(what);
  const [code, detail] = await problemOf(appliance, READS_ALL);
  expect(code).toBe("500 damaged_file");
  expect(detail).toContain(path);
  expect((await appliance.rows(COUNTS_VIEW)).rows).toEqual([[true]]);
  const more = await appliance.send(exampleClicks().slice(500, 600).join("\n"));
  expect(more.accepted + more.duplicates + more.rejected).toBe(100);
  expect(await appliance.stop()).toBe(0);
});

test("a data file whose bytes changed is named by the first question that meets it, and by /health", async () => {
  const data = await stoppedFolder();
  const path = rawFile(data);
  // more than one place: a page that zstd did not make smaller is read as it is
  for (let part = 0; part < 0.6; part += 0.05)
    damage(path, (length) => Math.floor(length * part) + 4, 50);
  const appliance = await Appliance.start({ config: CONFIG, data });
  expect((await health(appliance)).status).toBe(200);
  // what a question says itself is not believed
  const [said] = await problemOf(
    appliance,
    "SELECT error('Parquet file is likely corrupted') FROM page_views_minute",
  );
  expect(said).toBe("503 relation_unavailable");
  expect((await health(appliance)).status).toBe(200);
  for (const sql of [READS_ALL, `SELECT bit_xor(hash(COLUMNS(*))) FROM clicks`]) {
    const [code, detail] = await problemOf(appliance, sql);
    expect(code).toBe("500 damaged_file");
    expect(detail).toContain(`${path}, a data file of clicks, cannot be read`);
  }
  const { status, problems } = await health(appliance);
  expect(status).toBe(503);
  expect(problems.join()).toContain(path);
  expect((await appliance.rows(COUNTS_VIEW)).rows).toEqual([[true]]);
  expect((await problemOf(appliance, "SELECT nothing FROM clicks"))[0]).toBe("400 bad_sql");
  await appliance.kill();
});
