// The independent client shares nothing with Millrace, and its comparison finds what is wrong.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { Appliance, temporaryFolder } from "../e2e/appliance.ts";
import { Journal, type Body } from "./journal.ts";
import { compare, OutsideClient } from "./outside.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const COMPARED = { stream: "clicks", view: "per_minute", allowedMs: 0 };
const folder = temporaryFolder();
const journal = join(folder.path, "journal");
const client = new OutsideClient("c", journal, {
  stream: "clicks",
  lanes: 2,
  events: 30,
  largeEvery: 5,
  largeEvents: 500,
  pauseMs: 1,
  beganMs: Date.now(),
  speed: 600,
});
let appliance: Appliance;
setDefaultTimeout(60_000);
beforeAll(async () => {
  await buildKernels();
  const flags = ["--streams.clicks.dedup_ttl=1h"];
  appliance = await Appliance.start({ config: CONFIG, data: join(folder.path, "data"), flags });
  client.start(appliance.address);
  while ([...new Journal(journal).read().values()].every(({ bodies }) => bodies.length < 30))
    await Bun.sleep(20);
  await client.stop();
  await client.settle(appliance.address);
});
afterAll(() => {
  client.dispose();
  appliance.process.kill("SIGKILL");
  folder.dispose();
});

test("client and comparison import the runtime's modules and each other, nothing else", () => {
  const imported = ["client.ts", "compare.ts", "journal.ts"].flatMap((name) =>
    [...readFileSync(join(import.meta.dir, name), "utf8").matchAll(/from "([^"]+)"/g)].map(
      ([, from = ""]) => from,
    ),
  );
  expect(imported.filter((from) => !/^node:|^\.\/journal\.ts$/.test(from))).toEqual([]);
});

test("what is there is what it was told", async () => {
  expect(await client.compare(appliance.address, COMPARED)).toMatch(/^\d{4,} events, .*: 0 wrong$/);
});

/** Changes lines of the journal; what the comparison says: the appliance as it would look had it lost, made up, changed or hidden something. */
async function compareWith(change: (lines: string[]) => string[]): Promise<string> {
  const path = join(folder.path, crypto.randomUUID());
  const lines = readFileSync(journal, "utf8").trimEnd().split("\n");
  writeFileSync(path, `${change(lines).join("\n")}\n`);
  return compare(appliance.address, path, COMPARED).catch(String);
}
const lane = "c0";
const sent = (line: string): boolean => line.includes('"sent"') && line.includes(`"${lane}"`);
const told = (line: string): boolean => line.includes('"told"') && line.includes(`"${lane}"`);

test.each([
  [
    "an event that was acknowledged and is not there",
    (lines: string[]) => {
      const { body: last } = JSON.parse(lines.findLast(sent) ?? "") as { body: Body };
      const body = { ...last, first: last.first + last.events, events: 1, repeated: 0 };
      const answer = { accepted: 1, duplicates: 0, rejected: 0, position: 1 };
      return [
        ...lines,
        JSON.stringify({ kind: "sent", body }),
        JSON.stringify({ kind: "told", lane, told: answer }),
      ];
    },
    /c0-\d+ is lost: acknowledged at 1/,
  ],
  [
    "an event that was never sent",
    (lines: string[]) => lines.slice(0, lines.findLastIndex(sent)),
    /c0-\d+ was never sent/,
  ],
  [
    "an event that is not as it was sent",
    (lines: string[]) =>
      lines.with(lines.findIndex(sent), lines.find(sent)?.replace(/"atMs":\d/, '"atMs":9') ?? ""),
    /c0-\d+ \d+ (view|cart) c\d \d+ is c0-/,
  ],
  [
    "an event behind the position that was named",
    (lines: string[]) =>
      lines.with(
        lines.findLastIndex(told),
        lines.findLast(told)?.replace(/"position":\d+/, '"position":1') ?? "",
      ),
    /c0-\d+ is at \d+, after 1/,
  ],
  [
    "more dead letters than lines that were none",
    (lines: string[]) => lines.map((line) => line.replace('"rejected":2', '"rejected":0')),
    /dead letters, \d+ of them different; 0 were told, 0 sent/,
  ],
])("it finds %s", async (_, change, said) => {
  expect(await compareWith(change)).toMatch(said);
});

test("it finds a window that is not what its events make", async () => {
  const other = compare(appliance.address, journal, { ...COMPARED, allowedMs: 3_600_000 });
  expect(await other.catch(String)).toMatch(/has \d+, \d+; its events make \d+/);
});
