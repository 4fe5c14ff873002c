// A stop under load: from SIGTERM on no event is taken, however many producers go on over the connections that they have; what was
// acknowledged is there after the next start. Each write of the log takes long, so that requests are always in work.
import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { logFolderOf } from "../../src/log/data-folder.ts";
import { openSqliteLogReader } from "../../src/log/sqlite-log-reader.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const folder = temporaryFolder();
const running: Appliance[] = [];
afterAll(async () => {
  for (const appliance of running) await appliance.kill();
  folder.dispose();
});

const DATA = join(folder.path, "data");
const PRODUCERS = 8;
const BODY_EVENTS = 200;
const WRITE_MS = 100;
const STOPS = "stopping: finishing what was accepted";

async function start(): Promise<Appliance> {
  const slow = join(folder.path, "slow");
  writeFileSync(slow, "");
  const appliance = await Appliance.start({
    config: join(import.meta.dir, "../../bench/clicks.yaml"),
    data: DATA,
    flags: ["--streams.clicks.idle_after=1s"],
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

/** The last control record of a data folder's log. */
function lastControl(data: string): string | undefined {
  const reader = openSqliteLogReader(logFolderOf(data), new DiskFiles());
  const heads = reader.heads(reader.bounds().first, Number.MAX_SAFE_INTEGER);
  const at = heads.findLast(({ kind }) => kind === "control")?.position;
  const record = at === undefined ? undefined : reader.read(at, 1)[0];
  reader.close();
  return record?.kind === "control" ? record.control : undefined;
}

test("from SIGTERM on producers are refused, and the stop ends with what they were told", async () => {
  const appliance = await start();
  const told: Told = { acknowledged: 0, takenAfterwards: 0 };
  const producers = Array.from({ length: PRODUCERS }, (_, n) => produce(appliance, `p${n}`, told));
  const enough = async (): Promise<void> => {
    while (told.acknowledged < 10 * PRODUCERS * BODY_EVENTS) await Bun.sleep(5);
  };
  await Promise.race([enough(), Promise.all(producers)]);
  expect(await appliance.stop()).toBe(0);
  await Promise.all(producers);
  expect(appliance.output).toContain(STOPS);
  expect(told.takenAfterwards).toBe(0);
  // who is refused is not idle, however long the last requests take
  expect(lastControl(DATA)).toBe("partition_paused");
  const again = await start();
  const { rows } = await again.rows("SELECT count(*) FROM clicks");
  expect(Number(rows[0]?.[0])).toBe(told.acknowledged);
  expect(await again.stop()).toBe(0);
});
