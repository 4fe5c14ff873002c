// kill -9 at random moments under load: every acknowledged event is there exactly once, and the windows equal a recomputation from
// the raw events.
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";

const KILLS = 20;
const CLIENTS = 6;
const EVENTS_PER_BODY = 40;
const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
/** Small intervals, so that checkpoints, epochs and log files are cut many times between kills. */
const FLAGS = [
  "--checkpoint.interval=150ms",
  "--export.interval=200ms",
  "--log.file_size=1MB",
  "--streams.clicks.out_of_orderness=0s",
];

const folder = temporaryFolder();
afterAll(folder.dispose);

/** Ids that the clients were told are accepted, and the highest position of those answers. */
class Acknowledged {
  readonly ids = new Set<string>();
  position = 0;
}

function body(prefix: string, time: number): string {
  return Array.from({ length: EVENTS_PER_BODY }, (_, row) =>
    JSON.stringify({
      event_id: `${prefix}-${row}`,
      event_time: new Date(time).toISOString(),
      event_type: row % 3 === 0 ? "cart" : "view",
      user_id: `u${row % 17}`,
      session_id: "s",
      page_url: `/${row}`,
      category: `c${row % 5}`,
      brand: "b",
      price: row / 4,
      country: "DE",
    }),
  ).join("\n");
}

/** Sends until the connection breaks. Times advance by two seconds a body, so that minutes close under way. */
async function client(
  appliance: Appliance,
  prefix: string,
  acknowledged: Acknowledged,
  clock: { ms: number },
) {
  for (let n = 0; ; n++) {
    clock.ms += 2000;
    const sent = `${prefix}-${n}`;
    try {
      const answer = await appliance.send(body(sent, clock.ms));
      expect(answer.accepted).toBe(EVENTS_PER_BODY);
      for (let row = 0; row < EVENTS_PER_BODY; row++) acknowledged.ids.add(`${sent}-${row}`);
      acknowledged.position = Math.max(acknowledged.position, answer.position);
    } catch (error) {
      if (appliance.isKilled) return;
      throw error;
    }
  }
}

async function check(appliance: Appliance, acknowledged: Acknowledged): Promise<void> {
  const stored = await appliance.rows("SELECT event_id FROM clicks", acknowledged.position);
  const ids = stored.rows.map(([id]) => String(id));
  expect(new Set(ids).size).toBe(ids.length);
  const there = new Set(ids);
  expect([...acknowledged.ids].filter((id) => !there.has(id))).toEqual([]);
  const same = await appliance.rows(
    `WITH batch AS (
       SELECT date_trunc('minute', event_time) AS window_start, event_type, category, count(*) AS events, sum(price) AS revenue
       FROM clicks WHERE epoch_us(event_time) + _behind < epoch_us(date_trunc('minute', event_time) + INTERVAL 1 MINUTE) GROUP BY ALL),
     stream AS (SELECT window_start, event_type, category, events, revenue FROM per_minute)
     SELECT (SELECT count(*) FROM (FROM batch EXCEPT ALL FROM stream)),
            (SELECT count(*) FROM (FROM stream EXCEPT ALL FROM batch)), (SELECT count(*) FROM stream),
            (SELECT count(*) FROM millrace.late_events)
              - (SELECT count(*) FROM clicks WHERE epoch_us(event_time) + _behind >= epoch_us(date_trunc('minute', event_time) + INTERVAL 1 MINUTE))`,
  );
  expect(same.rows[0]?.slice(0, 2).map(Number)).toEqual([0, 0]);
  expect(Number(same.rows[0]?.[2])).toBeGreaterThan(0);
  expect(Number(same.rows[0]?.[3])).toBe(0);
}

test(
  `${KILLS} kills: nothing acknowledged is lost or counted twice`,
  async () => {
    const random = seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_121));
    const acknowledged = new Acknowledged();
    // A day ago: never ahead of its receipt, far enough behind to advance for the whole test.
    const clock = { ms: Date.now() - 86_400_000 };
    for (let kill = 0; kill < KILLS; kill++) {
      const appliance = await Appliance.start({ config: CONFIG, data: folder.path, flags: FLAGS });
      if (kill > 0) await check(appliance, acknowledged);
      const clients = Array.from({ length: CLIENTS }, (_, n) =>
        client(appliance, `k${kill}c${n}`, acknowledged, clock),
      );
      await Bun.sleep(100 + random() * 900);
      await appliance.kill();
      await Promise.all(clients);
    }
    const last = await Appliance.start({ config: CONFIG, data: folder.path, flags: FLAGS });
    await check(last, acknowledged);
    expect(acknowledged.ids.size).toBeGreaterThan(KILLS * EVENTS_PER_BODY);
    const code = await last.stop();
    if (code !== 0) throw new Error(last.output);
  },
  { timeout: 300_000 },
);
