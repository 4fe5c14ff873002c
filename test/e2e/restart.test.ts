// A data folder over several starts: the second finds the data of the first; what does not fit is refused with advice; nothing is lost.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

// processes start on a machine that others use too
setDefaultTimeout(60_000);

const BENCH = join(import.meta.dir, "..", "..", "bench");
const CONFIG = join(BENCH, "clicks.yaml");
const folders: (() => void)[] = [];
afterAll(() => {
  for (const dispose of folders) dispose();
});

function folder(): string {
  const made = temporaryFolder();
  folders.push(made.dispose);
  return made.path;
}

function line(id: string, minute: number, price = 1): string {
  return JSON.stringify({
    event_id: id,
    event_time: new Date(Date.UTC(2025, 5, 1, 12, minute)).toISOString(),
    ...CLICK,
    user_id: id,
    price,
  });
}

/** The bench's configuration, changed by `change`, beside its schema, changed by `changeSchema`. */
function changedConfig(
  change: (text: string) => string,
  changeSchema: (text: string) => string = (text) => text,
): string {
  const path = folder();
  const schema = readFileSync(join(BENCH, "clicks.avsc"), "utf8");
  writeFileSync(join(path, "clicks.avsc"), changeSchema(schema));
  writeFileSync(join(path, "clicks.yaml"), change(readFileSync(CONFIG, "utf8")));
  return join(path, "clicks.yaml");
}

/** Everything that a start prints that does not come to serve. */
async function refusal(config: string, data: string): Promise<string> {
  try {
    const appliance = await Appliance.start({ config, data });
    await appliance.kill();
  } catch (error) {
    return String(error);
  }
  throw new Error("the start was not refused");
}

test("a second start has the data, the ids and the open windows of the first", async () => {
  const data = folder();
  const first = await Appliance.start({ config: CONFIG, data });
  await first.send([line("a", 0), line("b", 0), line("c", 5)].join("\n"));
  expect(await first.stop()).toBe(0);
  const second = await Appliance.start({
    config: CONFIG,
    data,
    flags: ["--streams.clicks.dedup_ttl=1h"],
  });
  const answer = await second.send([line("a", 0), line("d", 5, 2.5)].join("\n"));
  expect(answer).toMatchObject({ accepted: 1, duplicates: 1 });
  const { rows } = await second.rows(
    "SELECT window_start::VARCHAR, events, revenue, users, is_final, revision FROM per_minute ORDER BY ALL",
    answer.position,
  );
  expect(rows).toEqual([
    ["2025-06-01 12:00:00+00", 2, 2, 2, true, 0],
    ["2025-06-01 12:05:00+00", 2, 3.5, 2, false, 0],
  ]);
  const raw = await second.rows("SELECT event_id, _index FROM clicks ORDER BY _position, _index");
  expect(raw.rows).toEqual([
    ["a", 0],
    ["b", 1],
    ["c", 2],
    ["d", 0],
  ]);
  expect(await second.stop()).toBe(0);
});

test("SIGTERM twice, the second at once, ends it safely", async () => {
  const data = folder();
  const first = await Appliance.start({ config: CONFIG, data });
  await first.send(line("a", 0));
  first.process.kill("SIGTERM");
  first.process.kill("SIGTERM");
  await first.process.exited;
  const second = await Appliance.start({ config: CONFIG, data });
  expect((await second.rows("SELECT count(*) FROM clicks")).rows).toEqual([[1]]);
  await second.kill();
});

test("a stop that takes longer than server.shutdown_timeout ends with 0, and loses nothing", async () => {
  const data = folder();
  const first = await Appliance.start({
    config: CONFIG,
    data,
    flags: ["--server.shutdown_timeout=1s", "--checkpoint.interval=1h"],
    env: { MILLRACE_FAILPOINT: "checkpoint.save.before:wait60000" },
  });
  await first.send(line("a", 0));
  // a request that never comes in whole does not hold up the stop
  const half = fetch(`${first.address}/v1/events`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: new ReadableStream({ start: (body) => body.enqueue(new Uint8Array([0x7b])) }),
  }).catch(() => null);
  await Bun.sleep(100);
  expect(await first.stop()).toBe(0);
  await first.printed("not done after 1 s (server.shutdown_timeout)");
  await half;
  const second = await Appliance.start({ config: CONFIG, data });
  expect((await second.rows("SELECT count(*) FROM clicks")).rows).toEqual([[1]]);
  expect((await second.rows("SELECT sum(events) FROM per_minute")).rows).toEqual([[1]]);
  await second.kill();
});

test("a changed view and a changed schema are refused, a new view begins at the end and says so", async () => {
  const data = folder();
  const first = await Appliance.start({ config: CONFIG, data });
  await first.send(line("a", 0));
  await first.stop();
  const changedView = changedConfig((text) =>
    text.replace("count(*) AS events", "count(price) AS events"),
  );
  expect(await refusal(changedView, data)).toContain("Give the changed view another name");
  const changedSchema = changedConfig(
    (text) => text,
    (text) => text.replace(/"brand"/, '"make"'),
  );
  expect(await refusal(changedSchema, data)).toMatch(
    /streams\.clicks\.schema: field brand is gone; .*field make is new\. Changing these in place is not/,
  );
  const noId = changedConfig((text) => text.replace(/^ *(event_id|dedup_\w+):.*\n/gm, ""));
  expect(await refusal(noId, data)).toContain(
    "streams.clicks.event_id was event_id, now it is not given. Changing",
  );
  const twoViews = changedConfig(
    (text) =>
      `${text}  second:\n    sql: SELECT window_start, count(*) AS n FROM tumble(clicks, event_time, INTERVAL 1 HOUR) GROUP BY ALL\n`,
  );
  const second = await Appliance.start({ config: twoViews, data });
  await second.printed("view second is new");
  const { position } = await second.send(line("b", 1));
  expect((await second.rows("SELECT n FROM second", position)).rows).toEqual([[1]]);
  expect((await second.rows("SELECT sum(events) FROM per_minute", position)).rows).toEqual([[2]]);
  await second.stop();
  const third = await Appliance.start({ config: CONFIG, data });
  await third.printed("its table is kept");
  await third.kill();
});

test("a second process on the same folder is refused and the first goes on", async () => {
  const data = folder();
  const first = await Appliance.start({ config: CONFIG, data });
  expect(await refusal(CONFIG, data)).toMatch(/another|already|in use/i);
  expect(await first.send(line("a", 0))).toMatchObject({ accepted: 1 });
  await first.kill();
});

test("a folder that is not ours is refused and left alone", async () => {
  const data = folder();
  mkdirSync(join(data, "log"), { recursive: true });
  writeFileSync(join(data, "lock.db"), "this is not a database, it is somebody's file");
  expect(await refusal(CONFIG, data)).toMatch(/lock\.db/);
  expect(readFileSync(join(data, "lock.db"), "utf8")).toContain("somebody's file");
});

test("a damaged log file is refused with what to do, and kept as it is", async () => {
  const data = folder();
  const first = await Appliance.start({ config: CONFIG, data });
  await first.send(line("a", 0));
  await first.kill();
  const log = join(data, "log");
  const name = readdirSync(log).find((file) => file.endsWith(".db"));
  if (name === undefined) throw new Error("there is a log file");
  writeFileSync(join(log, name), "garbage in place of a log file");
  expect(await refusal(CONFIG, data)).toContain(name);
});

test("faults of a configuration are all told at once with their places", async () => {
  const broken = changedConfig((text) =>
    text
      .replace("event_time: event_time", "event_time: even_time")
      .replace("dedup_ttl: 30s", "dedup_ttl: 30"),
  );
  const said = await refusal(broken, folder());
  expect(said).toMatch(/clicks\.yaml:4:13 .*even_time/);
  expect(said).toMatch(/clicks\.yaml:7:16 .*dedup_ttl/);
  expect(said).toMatch(/2 faults/);
});

test("what it makes in the data folder is for its user alone, while it runs and after it", async () => {
  const data = folder();
  const umask = process.umask(0o022);
  const appliance = await Appliance.start({ config: CONFIG, data }).finally(() =>
    process.umask(umask),
  );
  const openToOthers = (): string[] =>
    readdirSync(data, { recursive: true, encoding: "utf8" }).filter((name) => {
      const found = statSync(join(data, name), { throwIfNoEntry: false });
      return found?.isFile() === true && (found.mode & 0o077) !== 0;
    });
  const { position } = await appliance.send([line("a", 0), line("b", 5)].join("\n"));
  await appliance.rows("SELECT * FROM per_minute", position);
  expect(readdirSync(data)).toEqual(expect.arrayContaining(["state.db-wal", "ledger.db-wal"]));
  expect(openToOthers()).toEqual([]);
  expect(await appliance.stop()).toBe(0);
  expect(openToOthers()).toEqual([]);
});
