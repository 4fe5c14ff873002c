// The raw export switched off, and on again: the real process answers with what table and log hold, and says what they lack.
import { afterAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { LoadBody } from "../../bench/load-body.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const OFTEN = ["--checkpoint.interval=150ms", "--log.file_size=1MB"];
const FLAGS = [...OFTEN, "--export.interval=200ms"];
const OFF = [...FLAGS, "--export.raw=off"];
const COUNTS = "SELECT count(*), count(DISTINCT (_position, _index)) FROM clicks";

const folder = temporaryFolder();
afterAll(folder.dispose);

const logBegins = (): number =>
  Math.min(...readdirSync(join(folder.path, "log")).map((name) => Number.parseInt(name, 10)));

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
    for (let waited = 0; waited < 300 && logBegins() < 30; waited++) await Bun.sleep(100);
    // a question meets the log's trimming at any moment: what it sees is whole, never twice
    const [[count, distinct] = []] = (await exported.rows(COUNTS)).rows as number[][];
    expect(count).toBe(Number(distinct));
    expect(count).toBeGreaterThanOrEqual(10_000);
    expect(count).toBeLessThan(110_000);
    expect(await exported.stop()).toBe(0);
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
  },
  { timeout: 90_000 },
);
