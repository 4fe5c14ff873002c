// A stream that is taken out of the configuration: its acknowledged events are in its table before the log may forget them.
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DuckDb } from "../../src/base/duckdb.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const BENCH = join(import.meta.dir, "..", "..", "bench");
const folder = temporaryFolder();
afterAll(() => folder.dispose());

function config(name: string, streams: readonly string[], views = ""): string {
  const path = join(folder.path, `${name}.yaml`);
  copyFileSync(join(BENCH, "clicks.avsc"), join(folder.path, "clicks.avsc"));
  const text = streams.map(
    (stream) =>
      `  ${stream}:\n    schema: clicks.avsc\n    event_time: event_time\n    event_id: event_id\n    dedup_ttl: 1h\n    dedup_ids_max: 100000\n    out_of_orderness: 10s\n`,
  );
  writeFileSync(path, `streams:\n${text.join("")}${views}`);
  return path;
}

const event = JSON.stringify({
  event_id: "a",
  event_time: "2025-06-01T12:00:00Z",
  ...CLICK,
});

test("a stream cannot be removed while its events are only in the log; after a stop in order it can", async () => {
  const both = config("both", ["one", "two"]);
  const without = config("without", ["two"]);
  const data = join(folder.path, "data");
  const first = await Appliance.start({ config: both, data });
  expect((await first.post(event, "application/x-ndjson", "one")).status).toBe(200);
  await first.kill();
  const refused = await Appliance.start({ config: without, data }).then(
    (appliance) => appliance.kill().then(() => "it started"),
    (error: unknown) => String(error),
  );
  expect(refused).toContain("stream one is no longer in the configuration");
  expect(refused).toContain("stop in order (SIGTERM)");
  const second = await Appliance.start({ config: both, data });
  expect((await second.rows("SELECT count(*) FROM one")).rows).toEqual([[1]]);
  expect(await second.stop()).toBe(0);
  for (const attempt of [1, 2]) {
    const third = await Appliance.start({ config: without, data });
    expect([attempt, await third.stop()]).toEqual([attempt, 0]);
  }
  // it comes back to its ids
  const fourth = await Appliance.start({ config: both, data });
  const again = await fourth.post(event, "application/x-ndjson", "one");
  expect(await again.json()).toMatchObject({ accepted: 0, duplicates: 1 });
  expect(await fourth.stop()).toBe(0);
}, 60_000);

test("a view cannot be removed after a kill, when what it closed since the checkpoint is nowhere; after a stop in order it can", async () => {
  const sql =
    "SELECT window_start, count(*) AS events FROM tumble(one, event_time, INTERVAL 1 MINUTE) GROUP BY ALL";
  const withView = config("with-view", ["one"], `views:\n  per_minute:\n    sql: ${sql}\n`);
  const without = config("without-view", ["one"]);
  const data = join(folder.path, "viewed");
  const flags = ["--checkpoint.interval=1h"];
  const first = await Appliance.start({ config: withView, data, flags });
  const minutes = ["12:00:00", "12:01:00", "12:05:00"].map((time, i) =>
    event.replace('"a"', `"${i}"`).replace("12:00:00", time),
  );
  expect((await first.post(minutes.join("\n"), "application/x-ndjson", "one")).status).toBe(200);
  const closed = "SELECT sum(events) FROM per_minute WHERE is_final";
  expect((await first.rows(closed)).rows).toEqual([[2]]);
  await first.kill();
  const refused = await Appliance.start({ config: without, data }).then(
    (appliance) => appliance.kill().then(() => "it started"),
    (error: unknown) => String(error),
  );
  expect(refused).toContain("view per_minute is no longer in the configuration");
  expect(refused).toContain("stop in order (SIGTERM)");
  const second = await Appliance.start({ config: withView, data });
  expect(await second.stop()).toBe(0);
  const third = await Appliance.start({ config: without, data });
  expect(await third.stop()).toBe(0);
  // its table has what it closed: the view comes back to it
  const fourth = await Appliance.start({ config: withView, data });
  expect((await fourth.rows("SELECT sum(events) FROM per_minute")).rows).toEqual([[2]]);
  expect(await fourth.stop()).toBe(0);
}, 60_000);

/** The most events that a row of a view's data files has. */
async function mostInTable(data: string): Promise<number> {
  const db = await DuckDb.open({ threads: "1" });
  const duckdb = await db.connect();
  const files = join(data, "warehouse", "default", "per_minute", "data", "**", "*.parquet");
  const { rows } = await duckdb.run(`SELECT max(events) FROM read_parquet('${files}')`);
  duckdb.close();
  db.close();
  return Number(rows[0]?.[0]);
}

test("corrections that wait are in the table before a view may be removed; it does not come back to windows that it does not know", async () => {
  const sql =
    "SELECT window_start, count(*) AS events FROM tumble(one, event_time, INTERVAL 1 MINUTE) GROUP BY ALL";
  const late = "    late: { policy: update, allowed: 1h }\n";
  const withView = config("corrected", ["one"], `views:\n  per_minute:\n    sql: ${sql}\n${late}`);
  const without = config("without-corrected", ["one"]);
  const data = join(folder.path, "corrected");
  const first = await Appliance.start({ config: withView, data });
  const send = async (id: string, time: string): Promise<void> => {
    const text = event.replace('"a"', `"${id}"`).replace("12:00:00", time);
    expect((await first.post(text, "application/x-ndjson", "one")).status).toBe(200);
  };
  await send("a", "12:00:00");
  await send("b", "12:05:00");
  // the first correction goes out at once, the second one waits for a second
  await send("c", "12:00:01");
  await send("d", "12:00:02");
  expect((await first.rows("SELECT max(events) FROM per_minute WHERE revision = 2")).rows).toEqual([
    [3],
  ]);
  expect(await first.stop()).toBe(0);
  expect(await mostInTable(data)).toBe(3);
  const second = await Appliance.start({ config: without, data });
  expect(await second.stop()).toBe(0);
  const refused = await Appliance.start({ config: withView, data }).then(
    (appliance) => appliance.kill().then(() => "it started"),
    (error: unknown) => String(error),
  );
  expect(refused).toContain("view per_minute was removed and would come back");
}, 60_000);

test("a ledger and tables older than the checkpoint beside them are refused", async () => {
  const one = config("one", ["one"]);
  const data = join(folder.path, "restored");
  const copied = join(folder.path, "copied");
  const first = await Appliance.start({ config: one, data });
  expect(await first.stop()).toBe(0);
  cpSync(data, copied, { recursive: true });
  for (const id of ["a", "b"]) {
    const next = await Appliance.start({ config: one, data });
    const body = event.replace('"a"', `"${id}"`);
    expect((await next.post(body, "application/x-ndjson", "one")).status).toBe(200);
    expect(await next.stop()).toBe(0);
  }
  const last = await Appliance.start({ config: one, data });
  expect(await last.stop()).toBe(0);
  for (const part of ["ledger.db", "warehouse"]) {
    rmSync(join(data, part), { recursive: true });
    cpSync(join(copied, part), join(data, part), { recursive: true });
  }
  // the second time too: a refused start exports nothing
  for (const attempt of [1, 2]) {
    const refused = await Appliance.start({ config: one, data }).then(
      (appliance) => appliance.kill().then(() => "it started"),
      (error: unknown) => String(error),
    );
    expect([attempt, refused]).toEqual([
      attempt,
      expect.stringContaining("when the checkpoint was saved they held it up to"),
    ]);
  }
}, 60_000);
