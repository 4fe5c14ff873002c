// A view stops, the log is trimmed far beyond it, and with a higher memory_max it goes on out of the raw table: killed again and again on the way, its rows
// are DuckDB's over the raw events. Where the raw table does not have what it passed it stays as it is and says so. The real process.
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, FROM_SOURCE, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const folder = temporaryFolder();
afterAll(folder.dispose);
const FLAGS = [
  "--checkpoint.interval=100ms",
  "--export.interval=200ms",
  "--log.file_size=1MB",
  "--log.size_max=84MB",
];
const GROWN = ["--views.by_user.memory_max=64MB"];
const USERS = 4_000;

function config(): string {
  const path = join(folder.path, "fallen.yaml");
  copyFileSync(join(import.meta.dir, "../../bench/clicks.avsc"), join(folder.path, "clicks.avsc"));
  const select = (key: string): string =>
    `SELECT window_start, ${key}, count(*) AS events, sum(price) AS total FROM tumble(clicks, event_time, INTERVAL 1 HOUR) GROUP BY ALL`;
  writeFileSync(
    path,
    `streams:
  clicks: { schema: clicks.avsc, event_time: event_time, out_of_orderness: 0s }
views:
  by_user: { sql: "${select("user_id")}", memory_max: 256KB, late: { policy: update, allowed: 4d }, rollups: [1d] }
  by_country: { sql: "${select("country")}" }
`,
  );
  return path;
}

/** Events of an hour, each of a user of its own. `padding`: bytes beside, which no compression makes fewer. */
function bodyOf(hour: number, count: number, padding = 0): string {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      event_id: `${hour}-${padding}-${i}`,
      event_time: new Date(Date.UTC(2025, 5, 1, hour, 30, 0)).toISOString(),
      ...CLICK,
      user_id: `a user with a long name ${i}`,
      session_id: Buffer.from(crypto.getRandomValues(new Uint8Array(padding))).toString("base64"),
      price: i % 7,
    }),
  ).join("\n");
}

/** The log may be full until the raw table has taken some of it. */
async function send(appliance: Appliance, body: string): Promise<void> {
  let { status } = await appliance.post(body);
  for (let tries = 0; status === 503 && tries < 100; tries++) {
    await Bun.sleep(100);
    ({ status } = await appliance.post(body));
  }
  expect(status).toBe(200);
}

const logFirst = (data: string): number =>
  Math.min(
    ...readdirSync(join(data, "log")).flatMap((name) =>
      /^\d+\.db$/.test(name) ? [Number.parseInt(name, 10)] : [],
    ),
  );

async function reader(appliance: Appliance): Promise<readonly [string, number]> {
  const sql = "SELECT state, position FROM millrace.readers WHERE reader = 'view:by_user'";
  const [[state, position] = []] = (await appliance.rows(sql)).rows;
  return [String(state), Number(position)];
}

async function until(appliance: Appliance, state: string): Promise<void> {
  for (let waited = 0; waited < 600; waited++) {
    if ((await reader(appliance))[0] === state) return;
    await Bun.sleep(50);
  }
  throw new Error(`30 s without ${state}: ${String(await reader(appliance))}`);
}

/** Stops the view and sends until the log begins behind it; what is sent last is late for what it has closed by then. Gives where the view stands. */
async function fall(appliance: Appliance, data: string): Promise<number> {
  await send(appliance, bodyOf(1, 10));
  await send(appliance, bodyOf(2, USERS));
  await until(appliance, "suspended");
  const [, at] = await reader(appliance);
  await send(appliance, bodyOf(3, 50));
  await send(appliance, bodyOf(2, 30, 1));
  await send(appliance, bodyOf(4, 70));
  for (let hour = 5; logFirst(data) <= at + 1; hour++) {
    if (hour > 68) throw new Error("the log is never trimmed");
    await send(appliance, bodyOf(hour, 250, 8_000));
    await send(appliance, bodyOf(hour - 1, 5, 2));
  }
  return at;
}

async function verify(
  appliance: Appliance,
  configuration: string,
): Promise<{ readonly code: number; readonly text: string }> {
  const words = ["verify", "--config", configuration, "--url", appliance.address];
  const child = Bun.spawn([...FROM_SOURCE, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  return { text: await new Response(child.stdout).text(), code: await child.exited };
}

const DIFFERENT = `WITH raw AS (SELECT time_bucket(INTERVAL 1 HOUR, event_time) AS h, user_id, count(*), sum(price) FROM clicks GROUP BY ALL),
  days AS (SELECT date_trunc('day', event_time) AS d, user_id, count(*), sum(price) FROM clicks GROUP BY ALL),
  v AS (SELECT window_start, user_id, events, total FROM by_user), w AS (SELECT window_start, user_id, events, total FROM by_user_1d)
  SELECT (SELECT count(*) FROM (FROM v EXCEPT ALL FROM raw)), (SELECT count(*) FROM (FROM raw EXCEPT ALL FROM v)),
    (SELECT count(*) FROM (FROM w EXCEPT ALL FROM days)), (SELECT count(*) FROM (FROM days EXCEPT ALL FROM w)),
    (SELECT sum(unaccounted) FROM millrace.accounting), (SELECT sum(revision) FROM by_user)`;

test("a view that the log has left behind goes on out of the raw table", async () => {
  const data = join(folder.path, "data");
  const options = { data, config: config() };
  let appliance = await Appliance.start({ ...options, flags: FLAGS });
  const at = await fall(appliance, data);
  const stopped = await verify(appliance, options.config);
  expect(stopped.code).toBe(2);
  expect(stopped.text).toMatch(
    new RegExp(`by_user: same: [0-9,]+ rows at position ${at}, where it is SUSPENDED`),
  );
  expect(stopped.text).toMatch(/by_country: same: \d+ rows at position \d+$/m);
  await appliance.kill();
  // killed on its way: at once, when a checkpoint has a part of it, when it is there
  for (const pause of [0, 30, 100, 300]) {
    appliance = await Appliance.start({ ...options, flags: [...FLAGS, ...GROWN] });
    await send(appliance, bodyOf(2, 3, pause + 3));
    await Bun.sleep(pause);
    await appliance.kill();
  }
  appliance = await Appliance.start({ ...options, flags: [...FLAGS, ...GROWN] });
  await until(appliance, "running");
  expect((await reader(appliance))[1]).toBeGreaterThan(at);
  await send(appliance, bodyOf(70, 20));
  const [answer = []] = (await appliance.rows(DIFFERENT)).rows;
  expect(answer.slice(0, 5).map(Number)).toEqual([0, 0, 0, 0, 0]);
  expect(Number(answer[5])).toBeGreaterThan(30);
  expect((await fetch(`${appliance.address}/health`)).status).toBe(200);
  const { code, text } = await verify(appliance, options.config);
  expect([code, text]).toEqual([0, expect.not.stringContaining("DIFFERENT")]);
  await appliance.stop();
}, 120_000);

test("where the raw table does not have what it passed it stays and says so", async () => {
  const data = join(folder.path, "raw-off");
  const options = { data, config: config() };
  const off = [...FLAGS, "--export.raw=off"];
  let appliance = await Appliance.start({ ...options, flags: off });
  const at = await fall(appliance, data);
  await appliance.stop();
  for (const flags of [off, FLAGS]) {
    appliance = await Appliance.start({ ...options, flags: [...flags, ...GROWN] });
    await until(appliance, "suspended");
    const health = await (await fetch(`${appliance.address}/health`)).text();
    expect(health).toContain(
      `view by_user is suspended after log position ${at}: the log begins at`,
    );
    expect(health).toMatch(/of the \d+ events of clicks .* the raw table and the log have \d+/);
    expect((await appliance.rows("SELECT sum(unaccounted) FROM millrace.accounting")).rows).toEqual(
      [[0]],
    );
    await appliance.stop();
  }
}, 120_000);
