// A stop under load: from SIGTERM on no event is taken, however many producers go on over the connections that they have; what was
// acknowledged is there after the next start. Each write of the log takes long, so that requests are always in work.
import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const folder = temporaryFolder();
const running: Appliance[] = [];
afterAll(async () => {
  for (const appliance of running) await appliance.kill();
  folder.dispose();
});

const PRODUCERS = 8;
const BODY_EVENTS = 200;
const WRITE_MS = 100;
const STOPS = "stopping: finishing what was accepted";

async function start(): Promise<Appliance> {
  const slow = join(folder.path, "slow");
  writeFileSync(slow, "");
  const appliance = await Appliance.start({
    config: join(import.meta.dir, "../../bench/clicks.yaml"),
    data: join(folder.path, "data"),
    env: { MILLRACE_FAILPOINT: `log.append.before:wait${WRITE_MS}@${slow}` },
  });
  running.push(appliance);
  return appliance;
}

/** What producers were told. */
interface Told {
  acknowledged: number;
  /** Events acknowledged to requests that began when it had said that it stops. */
  takenAfterwards: number;
}

/** Sends body after body, without a pause, until the connection breaks. */
async function produce(appliance: Appliance, name: string, told: Told): Promise<void> {
  for (let n = 0; ; n++) {
    const events = Array.from({ length: BODY_EVENTS }, (_, i) =>
      JSON.stringify({
        ...CLICK,
        event_id: `${name}-${n}-${i}`,
        event_time: "2025-06-01T12:00:00Z",
      }),
    );
    const beganLater = appliance.output.includes(STOPS);
    let response: Response;
    try {
      response = await appliance.post(events.join("\n"), "application/x-ndjson");
    } catch {
      return;
    }
    if (response.status === 200) {
      told.acknowledged += BODY_EVENTS;
      if (beganLater) told.takenAfterwards += BODY_EVENTS;
    } else {
      expect(response.status).toBe(503);
      expect(((await response.json()) as { readonly code: string }).code).toBe("stopping");
    }
  }
}

test("from SIGTERM on producers are refused, and the stop ends with what they were told", async () => {
  const appliance = await start();
  const told: Told = { acknowledged: 0, takenAfterwards: 0 };
  const producers = Array.from({ length: PRODUCERS }, (_, n) => produce(appliance, `p${n}`, told));
  while (told.acknowledged < 10 * PRODUCERS * BODY_EVENTS) await Bun.sleep(5);
  expect(await appliance.stop()).toBe(0);
  await Promise.all(producers);
  expect(appliance.output).toContain(STOPS);
  expect(told.takenAfterwards).toBe(0);
  const again = await start();
  const { rows } = await again.rows("SELECT count(*) FROM clicks");
  expect(Number(rows[0]?.[0])).toBe(told.acknowledged);
  expect(await again.stop()).toBe(0);
});
