// A view's table cannot be written and its rows reach their bound: views wait, the log takes the burst, /health says why, a stop and a start
// in between lose nothing, and all goes on by itself once the table can be written. The real process and a really broken table.
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, existsSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PENDING_OUTPUT_BYTES_MAX } from "../../src/limits.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const folder = temporaryFolder();
afterAll(folder.dispose);
const data = join(folder.path, "data");
const DAY = join(data, "warehouse/default/by_user/data/window_start_day=2025-06-01");

/** Users with long names: each event becomes a row of so many bytes. */
const NAME_BYTES = 8_000;
const BODY_EVENTS = 1_500;
/** So many bodies reach the bound, and some more that only the log takes. */
const FULL_BODIES = Math.ceil(PENDING_OUTPUT_BYTES_MAX / (NAME_BYTES * BODY_EVENTS)) + 1;
const MORE_BODIES = 4;

function config(): string {
  const path = join(folder.path, "waiting.yaml");
  const avsc = join(import.meta.dir, "../../bench/clicks.avsc");
  copyFileSync(avsc, join(folder.path, "clicks.avsc"));
  const sql =
    "SELECT window_start, user_id, count(*) AS events FROM tumble(clicks, event_time, INTERVAL 1 SECOND) GROUP BY ALL";
  writeFileSync(
    path,
    `streams:
  clicks:
    schema: clicks.avsc
    event_time: event_time
    event_id: event_id
    dedup_ttl: 30s
    dedup_ids_max: 100000
    out_of_orderness: 0s
views:
  by_user:
    sql: ${sql}
`,
  );
  return path;
}

/** Events of the second `second` of a day, each of a user of its own. */
function bodyOf(second: number): string {
  const at = new Date(Date.UTC(2025, 5, 1, 12, 0, second)).toISOString();
  return Array.from({ length: BODY_EVENTS }, (_, i) =>
    JSON.stringify({
      event_id: `${second}-${i}`,
      event_time: at,
      ...CLICK,
      user_id: `${second}-${i}`.padEnd(NAME_BYTES, "x"),
    }),
  ).join("\n");
}

interface Health {
  readonly problems: readonly string[];
  readonly position: number;
}

async function health(appliance: Appliance): Promise<readonly [number, Health]> {
  const response = await fetch(`${appliance.address}/health`);
  return [response.status, (await response.json()) as Health];
}

async function until(what: string, isThere: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 300; waited++) {
    if (await isThere()) return;
    await Bun.sleep(100);
  }
  throw new Error(`30 s without ${what}`);
}

const waits = (appliance: Appliance) => async (): Promise<boolean> => {
  const [status, { problems }] = await health(appliance);
  return status === 503 && problems.some((problem) => problem.startsWith("views wait at"));
};

test("views wait for their table, and go on by themselves", async () => {
  const flags = ["--export.raw=off", "--checkpoint.interval=500ms"];
  const start = () => Appliance.start({ config: config(), data, flags });
  let appliance = await start();
  // in the way of the day's folder
  symlinkSync(join(folder.path, "nowhere"), DAY);
  let second = 0;
  let position = 0;
  const send = async (bodies: number): Promise<void> => {
    for (let i = 0; i < bodies; i++) ({ position } = await appliance.send(bodyOf(second++)));
  };
  await send(FULL_BODIES);
  await until("waiting", waits(appliance));
  const [, { problems }] = await health(appliance);
  expect(problems.join("\n")).toContain("default.by_user: writing epoch");
  // the log takes the burst
  await send(MORE_BODIES);
  const lag = "SELECT lag FROM millrace.readers WHERE reader = 'view:by_user'";
  expect(Number((await appliance.rows(lag)).rows[0]?.[0])).toBeGreaterThan(0);
  // a question that names no position sees what is folded, one that does is told
  const count = "SELECT count(*) FROM by_user";
  const seen = await appliance.rows(count);
  expect(seen.position).toBeLessThan(position);
  expect((await appliance.ask(count, { after: position })).status).toBe(503);
  // the watermark is of that position too, though admission is ahead
  const { rows: marks } = await appliance.rows(
    "SELECT watermark = (SELECT max(event_time) FROM clicks), watermark < newest_event_time FROM millrace.watermarks",
  );
  expect(marks).toEqual([[true, true]]);
  // the stop does not wait for the table, and the next start waits as this one did
  expect(await appliance.stop()).toBe(0);
  expect(existsSync(DAY)).toBe(false);
  appliance = await start();
  await until("waiting after a start", waits(appliance));
  await send(1);
  rmSync(DAY);
  await until("health", async () => (await health(appliance))[0] === 200);
  const all = [[second * BODY_EVENTS]];
  await until("all rows", async () => Bun.deepEquals((await appliance.rows(count)).rows, all));
  await appliance.kill();
  appliance = await start();
  await until("health", async () => (await health(appliance))[0] === 200);
  expect((await appliance.rows(count, position)).rows).toEqual(all);
  const distinct = "SELECT count(DISTINCT (window_start, user_id)) FROM by_user";
  expect((await appliance.rows(distinct)).rows).toEqual(all);
  expect(await appliance.stop()).toBe(0);
}, 180_000);
