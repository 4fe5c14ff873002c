// Ids beyond what memory holds: sealed on disk, merged, looked up there; killed at each step of it, no event counts twice and none is lost.
import { afterAll, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LoadBody } from "../../bench/load-body.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const FLAGS = [
  "--streams.clicks.dedup_ids_max=65536",
  "--streams.clicks.dedup_ttl=24h",
  "--checkpoint.interval=100ms",
];
const EVENTS = 1000;
const BODIES = 160;
/** Where the runs are killed, one after the other; the last goes on to the end. */
const KILLS = [
  "checkpoint.seal.create.before:1",
  "checkpoint.seal.sync.before:1",
  "checkpoint.seal.sync.before:3",
  "checkpoint.seal.unlink.before:1",
  "checkpoint.save.inside:12",
  "checkpoint.seal.create.before:6",
];

const folder = temporaryFolder();
afterAll(folder.dispose);

const start = (data: string, failpoint: string | null): Promise<Appliance> =>
  Appliance.start({
    config: CONFIG,
    data,
    flags: FLAGS,
    env: failpoint === null ? {} : { MILLRACE_FAILPOINT: `${failpoint}:kill` },
  });

/** Sends a body until it is answered; 503 means later. Null when the process ended meanwhile. */
async function send(to: Appliance, body: LoadBody): Promise<{ duplicates: number } | null> {
  for (;;) {
    try {
      const answer = await to.post(body.bytes);
      if (answer.status === 200) return (await answer.json()) as { duplicates: number };
      expect(answer.status).toBe(503);
    } catch {
      await to.process.exited;
      return null;
    }
    await Bun.sleep(20);
  }
}

test("ids on disk are duplicates too, over kills at every step of sealing", async () => {
  const data = join(folder.path, "kills");
  const body = LoadBody.make({ seed: 7, events: EVENTS, users: 10, categories: 5 });
  const now = Date.now();
  const kills = [...KILLS];
  let killed = -1;
  const next = async (): Promise<Appliance> => {
    killed++;
    const failpoint = kills.shift() ?? null;
    // what a kill left is removed at the start, where the next kill may be
    return start(data, failpoint).catch(() => start(data, kills.shift() ?? null));
  };
  let appliance = await next();
  for (let sequence = 0; sequence < BODIES;) {
    body.stamp(sequence, now);
    if ((await send(appliance, body)) !== null) sequence++;
    else appliance = await next();
  }
  expect(killed).toBeGreaterThan(2);
  for (let sequence = 0; sequence < BODIES;) {
    body.stamp(sequence, now);
    const answer = await send(appliance, body);
    if (answer === null) appliance = await start(data, null);
    else {
      expect(answer.duplicates).toBe(EVENTS);
      sequence++;
    }
  }
  const { rows } = await appliance.rows("SELECT count(*), count(DISTINCT event_id) FROM clicks");
  expect(rows).toEqual([[BODIES * EVENTS, BODIES * EVENTS]]);
  expect(await appliance.stop()).toBe(0);
  const files = readdirSync(join(data, "ids"));
  expect(files.length).toBeGreaterThan(0);
  // damage is refused by name
  const [file = ""] = files;
  writeFileSync(join(data, "ids", file), "not a generation");
  const refused = start(data, null);
  await expect(refused).rejects.toThrow(`the file ${file} of sealed event ids cannot be used`);
}, 180_000);
