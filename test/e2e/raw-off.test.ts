// The raw export switched off, and on again: the real process answers with what table and log hold, and says what they lack.
import { afterAll, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LoadBody } from "../../bench/load-body.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "./appliance.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const OFTEN = ["--checkpoint.interval=150ms", "--log.file_size=1MB"];
const FLAGS = [...OFTEN, "--export.interval=200ms"];
const OFF = [...FLAGS, "--export.raw=off"];
const COUNTS = "SELECT count(*), count(DISTINCT (_position, _index)) FROM clicks";

const folder = temporaryFolder();
const lost = temporaryFolder();
afterAll(() => {
  folder.dispose();
  lost.dispose();
});

const logBegins = (path: string): number =>
  Math.min(...readdirSync(join(path, "log")).map((name) => Number.parseInt(name, 10)));

/** Positions of readers in the newest checkpoint. */
function saved(path: string): Map<string, number> {
  const state = new Database(join(path, "state.db"), { readonly: true });
  const rows = state.query("SELECT name, position FROM readers ORDER BY name").values();
  state.close();
  return new Map(rows as [string, number][]);
}

const tableReaders = (): string[] =>
  [...saved(folder.path).keys()].filter((name) => /^raw:|^dead_letters$/.test(name));

test(
  "raw export off, a gap, on again",
  async () => {
    const start = (flags: string[]) =>
      Appliance.start({ config: CONFIG, data: folder.path, flags });
    const body = LoadBody.make({ seed: 5, events: 1000, users: 100_000, categories: 50 });
    let sequence = 0;
    const post = async (to: Appliance, bodies: number): Promise<void> => {
      for (let i = 0; i < bodies; i++) {
        body.stamp(sequence++, Date.now());
        expect((await to.post(body.bytes)).status).toBe(200);
      }
    };
    const on = await start(FLAGS);
    await post(on, 10);
    expect(await on.stop()).toBe(0);
    const exported = await start(OFF);
    await exported.printed("its raw export is off");
    expect((await exported.rows(COUNTS)).rows).toEqual([[10_000, 10_000]]);
    await post(exported, 100);
    for (let waited = 0; waited < 300 && logBegins(folder.path) < 30; waited++)
      await Bun.sleep(100);
    // a question meets the log's trimming at any moment: what it sees is whole, never twice
    const [[count, distinct] = []] = (await exported.rows(COUNTS)).rows as number[][];
    expect(count).toBe(Number(distinct));
    expect(count).toBeGreaterThanOrEqual(10_000);
    expect(count).toBeLessThan(110_000);
    expect(await exported.stop()).toBe(0);
    expect(tableReaders()).toEqual(["dead_letters"]);
    // on again, and killed with checkpoints that tell the position behind the gap, before any rows are out
    const killed = await start([...OFTEN, "--export.interval=1h"]);
    await killed.printed("were trimmed while its raw export was off");
    await post(killed, 1);
    await Bun.sleep(1500);
    await killed.kill();
    const again = await start(FLAGS);
    await post(again, 1);
    const [[all, once] = []] = (await again.rows(COUNTS)).rows as number[][];
    expect(all).toBe(Number(once));
    expect(all).toBeGreaterThanOrEqual(12_000);
    expect(await again.stop()).toBe(0);
    const last = await start(FLAGS);
    expect((await last.rows(COUNTS)).rows).toEqual([[Number(all), Number(all)]]);
    expect(last.output).not.toContain("were trimmed");
    expect(await last.stop()).toBe(0);
    expect(tableReaders()).toEqual(["dead_letters", "raw:clicks"]);
  },
  { timeout: 90_000 },
);

test(
  "files of the log that the raw table had not taken in are gone: refused, since the export was on",
  async () => {
    const flags = [...OFTEN, "--export.interval=1h"];
    const options = { config: CONFIG, data: lost.path, flags };
    const first = await Appliance.start(options);
    const body = LoadBody.make({ seed: 5, events: 1000, users: 100_000, categories: 50 });
    for (let sequence = 0; sequence < 60; sequence++) {
      body.stamp(sequence, Date.now());
      expect((await first.post(body.bytes)).status).toBe(200);
    }
    for (let waited = 0; waited < 300 && Number(saved(lost.path).get("windows")) < 60; waited++)
      await Bun.sleep(100);
    await first.kill();
    const begins = String(logBegins(lost.path)).padStart(16, "0");
    const names = readdirSync(join(lost.path, "log"));
    expect(names.filter((name) => name.endsWith(".db")).length).toBeGreaterThan(1);
    for (const name of names) if (name.startsWith(begins)) rmSync(join(lost.path, "log", name));
    const gap = (reader: string): RegExp =>
      new RegExp(`reader ${reader} stands at record \\d+, but the log begins at \\d+`);
    await expect(Appliance.start(options)).rejects.toThrow(gap("raw:clicks"));
    // bad events were perhaps in them too
    const off = { ...options, flags: [...flags, "--export.raw=off"] };
    await expect(Appliance.start(off)).rejects.toThrow(gap("dead_letters"));
    const doctor = Bun.spawn([...FROM_SOURCE, "doctor", "--data", lost.path], {
      stdout: "pipe",
      stderr: "inherit",
    });
    expect(await new Response(doctor.stdout).text()).toMatch(gap("dead_letters"));
  },
  { timeout: 90_000 },
);
