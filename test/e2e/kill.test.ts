// kill -9 at random moments under load (20, or as many as `npm run kills` asks for), with an independent client that sends again what was not acknowledged: every event that was
// ever sent is there exactly once, and the windows are what these events make.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { buildKernels } from "../../kernels/build.ts";
import { OutsideClient } from "../client/outside.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";

const KILLS = Number(process.env["MILLRACE_KILLS"] ?? 20);
/** In one of so many lives an answer comes before the kill; others may be over sooner. */
const ANSWERED_EVERY = 2;
const EVENTS_PER_BODY = 40;
/** Time for one, ms: most of it is starts and comparisons on a busy machine. */
const KILL_MS_MAX = 20_000;
const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
/** Small intervals, so that checkpoints, epochs and log files are cut many times between kills. */
const FLAGS = [
  "--checkpoint.interval=150ms",
  "--export.interval=200ms",
  "--log.file_size=1MB",
  "--streams.clicks.out_of_orderness=0s",
  "--streams.clicks.dedup_ttl=1h",
];
const COMPARED = { stream: "clicks", view: "per_minute", allowedMs: 0 };

const folder = temporaryFolder();
const client = new OutsideClient("c", join(folder.path, "journal"), {
  stream: "clicks",
  lanes: 6,
  events: EVENTS_PER_BODY,
  pauseMs: 1,
  beganMs: Date.now(),
  speed: 120,
});
let last: Appliance | null = null;
beforeAll(() => buildKernels());
afterAll(() => {
  client.dispose();
  last?.process.kill("SIGKILL");
  folder.dispose();
});

test(
  `${KILLS} kills: what is sent again until it is acknowledged is there exactly once`,
  async () => {
    const random = seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_121));
    const start = async (): Promise<Appliance> => {
      const data = join(folder.path, "data");
      last = await Appliance.start({ config: CONFIG, data, flags: FLAGS });
      await client.compare(last.address, COMPARED);
      return last;
    };
    for (let kill = 0; kill < KILLS; kill++) {
      const appliance = await start();
      const { answered } = client;
      client.start(appliance.address);
      if (kill % ANSWERED_EVERY === 0) while (client.answered === answered) await Bun.sleep(20);
      await Bun.sleep(100 + random() * 900);
      await appliance.kill();
      await client.stop();
    }
    const appliance = await start();
    // what has no answer yet gets one
    await client.settle(appliance.address);
    const compared = await client.compare(appliance.address, COMPARED);
    expect(Number.parseInt(compared, 10)).toBeGreaterThanOrEqual(
      Math.ceil(KILLS / ANSWERED_EVERY) * EVENTS_PER_BODY,
    );
    const code = await appliance.stop();
    if (code !== 0) throw new Error(appliance.output);
  },
  { timeout: KILLS * KILL_MS_MAX },
);
