// A view whose state outgrows its memory_max: /health is red and says why, its table and the other view go on being asked, and a kill and a
// start change nothing of it. With a higher memory_max it goes on where it stopped: no row is missing or double. The real process.
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const folder = temporaryFolder();
afterAll(folder.dispose);
const EVENTS = 4_000;

function config(): string {
  const path = join(folder.path, "suspended.yaml");
  copyFileSync(join(import.meta.dir, "../../bench/clicks.avsc"), join(folder.path, "clicks.avsc"));
  const select = (key: string): string =>
    `SELECT window_start, ${key}, count(*) AS events FROM tumble(clicks, event_time, INTERVAL 1 HOUR) GROUP BY ALL`;
  writeFileSync(
    path,
    `streams:
  clicks: { schema: clicks.avsc, event_time: event_time }
views:
  by_user: { sql: "${select("user_id")}", memory_max: 256KB }
  by_country: { sql: "${select("country")}" }
`,
  );
  return path;
}

/** Events of one hour, each of a user of its own. */
function bodyOf(hour: number, count: number): string {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      event_id: `${hour}-${i}`,
      event_time: new Date(Date.UTC(2025, 5, 1, hour, 30, 0)).toISOString(),
      ...CLICK,
      user_id: `a user with a long name ${i}`,
    }),
  ).join("\n");
}

const RAW = `SELECT time_bucket(INTERVAL 1 HOUR, event_time), user_id, count(*) FROM clicks GROUP BY ALL`;

async function health(appliance: Appliance): Promise<readonly [number, string]> {
  const response = await fetch(`${appliance.address}/health`);
  return [response.status, await response.text()];
}

async function until(appliance: Appliance, status: 200 | 503): Promise<void> {
  for (let waited = 0; waited < 300; waited++) {
    if ((await health(appliance))[0] === status) return;
    await Bun.sleep(100);
  }
  throw new Error(`30 s without ${status} of /health: ${(await health(appliance))[1]}`);
}

test("a view beyond its memory_max is suspended, the other goes on", async () => {
  const options = { data: join(folder.path, "data"), config: config() };
  let appliance = await Appliance.start(options);
  // its hour closes small, then the next one grows
  await appliance.send(bodyOf(1, 10));
  await appliance.send(bodyOf(2, EVENTS));
  await until(appliance, 503);
  for (const start of ["first", "second"]) {
    const [status, text] = await health(appliance);
    expect([start, status]).toEqual([start, 503]);
    expect(text).toMatch(/view by_user is suspended after log position \d+: its state is larger/);
    const answer = await appliance.rows(
      "SELECT (SELECT count(*) FROM by_user), (SELECT sum(events) FROM by_country), (SELECT sum(unaccounted) FROM millrace.accounting)",
    );
    expect(answer.rows.map((row) => row.map(Number))).toEqual([[EVENTS + 10, EVENTS + 10, 0]]);
    if (start === "second") break;
    await appliance.kill();
    appliance = await Appliance.start(options);
    await until(appliance, 503);
  }
  // these are in no window of the view that stopped, which closes in what it passes
  await appliance.send(bodyOf(3, 20));
  await appliance.stop();
  const flags = ["--views.by_user.memory_max=64MB"];
  for (const round of ["goes on", "stays", "after a kill"]) {
    appliance = await Appliance.start({ ...options, flags });
    await until(appliance, 200);
    const [[state, lag] = []] = (
      await appliance.rows("SELECT state, lag FROM millrace.readers WHERE reader = 'view:by_user'")
    ).rows;
    expect([state, Number(lag)]).toEqual(["running", 0]);
    const answer = await appliance.rows(
      `SELECT (SELECT count(*) FROM (SELECT window_start, user_id, events FROM by_user EXCEPT ALL ${RAW})),
        (SELECT count(*) FROM (${RAW} EXCEPT ALL SELECT window_start, user_id, events FROM by_user)),
        (SELECT count(*) FROM by_user), (SELECT count(*) FROM by_user WHERE is_final), (SELECT sum(unaccounted) FROM millrace.accounting)`,
    );
    expect([round, answer.rows.map((row) => row.map(Number))]).toEqual([
      round,
      [[0, 0, EVENTS + 30, EVENTS + 10, 0]],
    ]);
    if (round === "stays") await appliance.kill();
    else await appliance.stop();
  }
}, 60_000);
