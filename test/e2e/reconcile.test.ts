// `millrace reconcile`, the real command: late events into final windows, held against DuckDB over the raw events; a process that is killed
// in the middle; rollups; late events that come after it; and unattended.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { DuckDb } from "../../src/base/duckdb.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "./appliance.ts";

const SCHEMA = {
  type: "record",
  name: "Reading",
  fields: [
    { name: "id", type: "long" },
    { name: "taken_at", type: { type: "long", logicalType: "timestamp-micros" } },
    { name: "sensor", type: ["null", "string"], default: null },
    { name: "weight", type: "float" },
    { name: "value", type: ["null", "double"], default: null },
    { name: "cents", type: { type: "bytes", logicalType: "decimal", precision: 10, scale: 2 } },
  ],
};

const ROLLUPS = ["per_10s", "per_10s_5m", "per_10s_30m"];
const SESSIONS = ["visits", "kept"];
const VIEWS = [...ROLLUPS, "corrected", "dropped", "trend", "top", "fine"];

const configText = (unattended: string, rarely = ""): string => `
streams:
  readings: { schema: readings.avsc, event_time: taken_at, event_id: id, out_of_orderness: 2s }
views:
  per_10s:
    sql: |
      SELECT window_start, sensor, weight, count(*) AS n, sum(value) AS total, avg(value) AS mean, sum(cents) AS paid, min(cents) AS low,
        approx_count_distinct(id % 40) AS ids, first(id) AS entry, last(id) AS exit
      FROM tumble(readings, taken_at, INTERVAL 10 SECONDS) WHERE id % 13 > 0 GROUP BY ALL
    rollups: [5 minutes, 30 minutes]
    ${unattended}
  corrected:
    sql: "SELECT window_start, window_end, sensor, count(*) AS n, sum(value) AS total FROM tumble(readings, taken_at, INTERVAL 1 MINUTE) GROUP BY ALL"
    late: { policy: update, allowed: 30s }
  dropped:
    sql: "SELECT window_start, window_end, count(*) AS n FROM tumble(readings, taken_at, INTERVAL 1 MINUTE, INTERVAL 7 SECONDS) GROUP BY ALL"
    late: { policy: drop }
  trend:
    sql: "SELECT window_start, window_end, sensor, count(*) AS n, sum(cents) AS paid FROM hop(readings, taken_at, INTERVAL 1 MINUTE, INTERVAL 3 MINUTES) GROUP BY ALL"
  top:
    sql: |
      SELECT window_start, sensor, weight, count(*) AS n, last(id) AS newest FROM tumble(readings, taken_at, INTERVAL 30 SECONDS)
      GROUP BY window_start, sensor, weight HAVING n % 4 > 0 QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY n DESC) <= 3
  fine:
    sql: "SELECT window_start, sensor, count(*) AS n, avg(weight) AS mean FROM tumble(readings, taken_at, INTERVAL 5 SECONDS) GROUP BY ALL"
    ${rarely}
  visits:
    sql: "SELECT window_start, sensor, count(*) AS n FROM session(readings, taken_at, INTERVAL 3 SECONDS, sensor) GROUP BY ALL"
  stays:
    sql: "SELECT window_start, sensor, count(*) AS n FROM session(readings, taken_at, INTERVAL 9 SECONDS, sensor) GROUP BY ALL"
    late: { policy: drop }
  kept:
    sql: |
      SELECT window_start, window_end, sensor, count(*) AS n, sum(cents) AS paid, first(id) AS entry, last(id) AS exit
      FROM session(readings, taken_at, INTERVAL 2 SECONDS, sensor) WHERE id % 5 > 0 GROUP BY ALL HAVING n > 1
    late: { policy: update, allowed: 1s }
  copies:
    sql: "SELECT taken_at, id FROM readings"
`;

const START_MS = Date.UTC(2024, 0, 1);
const WHOLE = ["2024-01-01", "2024-01-02"];
let folder: ReturnType<typeof temporaryFolder>;
let config: string;
let appliance: Appliance;
let sent = 0;

/** The next readings, 400 ms apart; one in ten late by up to six minutes. */
async function send(count: number): Promise<void> {
  const random = seeded(sent + 5);
  const texts = Array.from({ length: count }, () => {
    const id = sent++;
    const late = random() < 0.1 ? random() * 360_000 : random() * 1_500;
    return JSON.stringify({
      id,
      taken_at: new Date(START_MS + 400_000 + id * 400 - late).toISOString(),
      sensor: id % 7 === 0 ? null : `s${id % 3}`,
      weight: (id % 2) / 10,
      value: id % 50 === 0 ? null : (random() - 0.5) * 10 ** (id % 12),
      cents: `${id % 1000}.25`,
    });
  });
  let position = 0;
  for (let at = 0; at < count; at += 100)
    ({ position } = await appliance.send(texts.slice(at, at + 100).join("\n")));
  await appliance.rows("SELECT 1 FROM per_10s LIMIT 1", position);
}

const serve = async (): Promise<void> => {
  appliance = await Appliance.start({ config, data: join(folder.path, "data") });
};

// Every test has an appliance of its own with 40 minutes of readings.
beforeEach(async () => {
  folder = temporaryFolder();
  config = join(folder.path, "millrace.yaml");
  writeFileSync(join(folder.path, "readings.avsc"), JSON.stringify(SCHEMA));
  writeFileSync(config, configText(""));
  await serve();
  sent = 0;
  await send(6000);
}, 120_000);
afterEach(async () => {
  await appliance.kill();
  folder.dispose();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(...words: string[]): Promise<Ran> {
  const command = [...FROM_SOURCE, ...words, "--config", config, "--url", appliance.address];
  const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "pipe"] });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

/** Every view is DuckDB's over the raw events, with the reconciled windows' late ones. */
async function verified(): Promise<void> {
  const { code, out, err } = await run("verify");
  const lines = out.trimEnd().split("\n");
  expect(
    lines.map((line) => line.replace(/: [\d,]+ rows at position \d+$/, "")).toSorted(),
  ).toEqual([...VIEWS, ...SESSIONS, "stays", "copies"].map((view) => `${view}: same`).toSorted());
  expect({ code, err }).toEqual({ code: 0, err: "" });
}

async function value(sql: string): Promise<number> {
  const [[found] = []] = (await appliance.rows(sql)).rows;
  return Number(found);
}

const rowsOf = async (view: string): Promise<string[]> =>
  (await appliance.rows(`SELECT * FROM ${view} ORDER BY ALL`)).rows.map((row) =>
    JSON.stringify(row),
  );

test("what cannot be reconciled is said", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["per_10", ...WHOLE], /there is no view "per_10"; did you mean per_10s\?/],
    [["per_10s", "2024-01-02", "2024-01-01"], /the range ends at 2024-01-01, not after 2024-01-02/],
    [["per_10s", "2024-01-02"], /^write millrace reconcile VIEW FROM TO \[--dry-run\]\n$/],
    [["per_10s_5m", ...WHOLE], /per_10s_5m is a rollup: reconcile per_10s/],
    [
      ["stays", ...WHOLE],
      /stays has sessions, and with late.policy: drop nothing tells which events/,
    ],
    [["copies", ...WHOLE], /copies has no windows: no event is late for it/],
  ];
  for (const [words, message] of cases) {
    const { code, out, err } = await run("reconcile", ...words);
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 2, out: "" });
  }
}, 120_000);

test("a dry run changes nothing; a run is the batch over all events, and the second has nothing to do", async () => {
  const before = await Promise.all(ROLLUPS.map(rowsOf));
  const dry = await run("reconcile", "per_10s", ...WHOLE, "--dry-run");
  expect(dry.err).toBe("");
  expect(dry.out).toMatch(
    /per_10s: would reconcile [\d,]+ late events in [\d,]+ windows up to position \d+\n/,
  );
  expect(await Promise.all(ROLLUPS.map(rowsOf))).toEqual(before);
  expect(await value("SELECT count(*) FROM millrace.reconciled")).toBe(0);

  const done = await run("reconcile", "per_10s", ...WHOLE);
  expect(done.err).toBe("");
  expect(done.out).toMatch(
    /\nper_10s: reconciled [\d,]+ late events in [\d,]+ windows up to position \d+\n {2}per_10s: [\d,]+ rows changed\n/,
  );
  // the last half hour is not over
  expect(done.out).toMatch(
    / skipped [\d,]+ windows with [\d,]+ late events: not final, or in a window of a rollup that is not\n$/,
  );
  expect(done.code).toBe(1);
  await verified();
  const final =
    "epoch_us(window_start) < (SELECT max(epoch_us(window_start)) FROM per_10s_30m WHERE is_final) + 1800000000";
  for (const [view, width] of [
    ["per_10s", "10 SECONDS"],
    ["per_10s_5m", "5 MINUTES"],
    ["per_10s_30m", "30 MINUTES"],
  ]) {
    const all = `SELECT time_bucket(INTERVAL ${width}, taken_at) AS window_start, sensor, weight, count(*) AS n, sum(cents) AS paid,
      first(id ORDER BY _position, _index) AS entry FROM readings WHERE id % 13 > 0 GROUP BY ALL`;
    const own = `SELECT window_start, sensor, weight, n, paid, entry FROM ${view}`;
    const difference = (a: string, b: string): string =>
      `SELECT count(*) FROM ((${a}) EXCEPT ALL (${b})) WHERE ${final}`;
    expect(await value(difference(own, all))).toBe(0);
    expect(await value(difference(all, own))).toBe(0);
  }
  const late = await value(
    "SELECT count(*) FROM millrace.late_events WHERE view = 'per_10s' AND reconciled",
  );
  expect(late).toBeGreaterThan(100);
  expect(late).toBe(await value(`SELECT sum(revision) FROM per_10s`));
  expect(
    await value(
      `SELECT count(*) FROM millrace.late_events WHERE view = 'per_10s' AND reconciled <> (${final})`,
    ),
  ).toBe(0);

  const again = await run("reconcile", "per_10s", ...WHOLE);
  expect(again.out).toMatch(/^per_10s: nothing to do up to position \d+\n {2}skipped /);
}, 120_000);

test("killed in the middle, and started again: what was told is done, the next run does the rest", async () => {
  const streamed = await fetch(`${appliance.address}/v1/reconcile`, {
    method: "POST",
    body: JSON.stringify({ view: "fine", from: WHOLE[0], to: WHOLE[1] }),
  });
  let text = "";
  for await (const part of streamed.body ?? []) {
    text += new TextDecoder().decode(part);
    if (/"late_events_done":[1-9]/.test(text)) break;
  }
  await appliance.kill();
  await serve();
  expect(await value("SELECT sum(revision) FROM fine")).toBeGreaterThan(0);
  await verified();
  expect((await run("reconcile", "fine", ...WHOLE)).code).toBe(0);
  expect((await run("reconcile", "per_10s", ...WHOLE)).code).toBe(1);
  expect(await value("SELECT sum(n) FROM fine WHERE is_final")).toBe(
    await value(
      "SELECT count(*) FROM readings WHERE taken_at < (SELECT max(window_start) + INTERVAL 5 SECONDS FROM fine WHERE is_final)",
    ),
  );
  await verified();
  const rows = await Promise.all(VIEWS.map(rowsOf));
  await appliance.stop();
  await serve();
  expect(await Promise.all(VIEWS.map(rowsOf))).toEqual(rows);
  await appliance.kill();
  await serve();
  expect(await Promise.all(VIEWS.map(rowsOf))).toEqual(rows);
  await verified();
}, 180_000);

test("windows that overlap, and rows that HAVING and a top let in and take away", async () => {
  for (const view of ["trend", "top"]) {
    const before = await rowsOf(view);
    const { code, out, err } = await run("reconcile", view, ...WHOLE);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(
      view === "top"
        ? /top: [\d,]+ rows changed, [\d,]+ rows gone\n/
        : /trend: [\d,]+ rows changed\n/,
    );
    expect(await rowsOf(view)).not.toEqual(before);
    expect((await run("reconcile", view, ...WHOLE)).out).toMatch(/nothing to do/);
  }
  await verified();
  const late = "millrace.late_events WHERE view = 'trend' AND window_start >= '2024-01-01'";
  const lasts = "(SELECT max(window_end) FROM trend WHERE is_final)";
  expect(
    await value(`SELECT count(*) FROM ${late} AND reconciled <> (window_end <= ${lasts})`),
  ).toBe(0);
}, 120_000);

test("sessions: whole ones are made anew, rows that they replace are gone; what comes late after it waits", async () => {
  for (const view of SESSIONS) {
    const dry = await run("reconcile", view, ...WHOLE, "--dry-run");
    expect(dry.out).toMatch(/would reconcile [\d,]+ late events in [\d,]+ windows up to/);
    expect(
      await value("SELECT count(*) FROM millrace.reconciled WHERE view = '" + view + "'"),
    ).toBe(0);
    const { out, err } = await run("reconcile", view, ...WHOLE);
    expect(err).toBe("");
    expect(out).toMatch(/: [\d,]+ rows changed, [\d,]+ rows gone\n/);
    expect((await run("reconcile", view, ...WHOLE)).out).toMatch(/nothing to do/);
  }
  await verified();
  // all that is left is near sessions that are open
  const left = "SELECT count(*) FROM millrace.late_events WHERE view = 'visits' AND NOT reconciled";
  expect(
    await value(
      `${left} AND event_time < (SELECT min(window_start) FROM visits WHERE NOT is_final)`,
    ),
  ).toBe(0);
  expect(await value("SELECT sum(revision) FROM visits")).toBeGreaterThan(100);
  await appliance.kill();
  await serve();
  await verified();
  const n = await value("SELECT sum(n) FROM visits");
  const late = {
    id: 1_000_002,
    taken_at: "2024-01-01T00:10:30.5Z",
    sensor: "s1",
    weight: 1,
    cents: "1",
  };
  await appliance.send(JSON.stringify(late));
  await verified();
  expect(await value("SELECT sum(n) FROM visits")).toBe(n);
  expect((await run("reconcile", "visits", "2024-01-01T00:10", "2024-01-01T00:11")).out).toMatch(
    /visits: reconciled 1 late event in 1 window /,
  );
  expect(await value("SELECT sum(n) FROM visits")).toBe(n + 1);
  await verified();
}, 180_000);

test("corrected windows take what came beyond the allowed lateness; what is late after it waits for the next run", async () => {
  const range = ["2024-01-01T00:05:00Z", "2024-01-01T00:25:00Z"];
  const done = await run("reconcile", "corrected", ...range);
  expect(done).toMatchObject({ code: 0, err: "" });
  await verified();
  const n = await value("SELECT sum(n) FROM corrected");
  await appliance.send(
    JSON.stringify({ id: 1_000_000, taken_at: "2024-01-01T00:10:30Z", weight: 1, cents: "1" }),
  );
  await verified();
  expect(await value("SELECT sum(n) FROM corrected")).toBe(n);
  expect((await run("reconcile", "corrected", ...range)).out).toMatch(
    /corrected: reconciled 1 late event in 1 window /,
  );
  expect(await value("SELECT sum(n) FROM corrected")).toBe(n + 1);
  await verified();
}, 120_000);

test("unattended: late events are there by themselves", async () => {
  await appliance.stop();
  writeFileSync(
    config,
    configText("late: { reconcile_every: 1s }", "late: { reconcile_every: 1h }"),
  );
  await serve();
  // neither was reconciled before, so both are due when the process starts; a busy machine takes its time
  const said = ["per_10s: reconciled", "fine: reconciled"];
  const isSaid = (): boolean => said.every((line) => appliance.output.includes(line));
  for (let tries = 0; tries < 600 && !isSaid(); tries++) await Bun.sleep(100);
  for (const line of said) expect(appliance.output).toContain(line);
  const late = { id: 1_000_001, taken_at: "2024-01-01T00:10:31Z", weight: 1, cents: "1" };
  await appliance.send(JSON.stringify(late));
  for (let tries = 0; tries < 300; tries++) {
    if ((await value("SELECT count(*) FROM per_10s WHERE exit = 1000001")) === 1) break;
    await Bun.sleep(100);
  }
  await verified();
  expect(await value("SELECT count(*) FROM per_10s_30m WHERE exit = 1000001")).toBe(1);
  expect(
    await value(
      "SELECT count(*) FROM millrace.reconciled WHERE received_at BETWEEN (SELECT max(received_at) FROM readings) - INTERVAL 1 HOUR AND now()",
    ),
  ).toBe(await value("SELECT count(*) FROM millrace.reconciled"));
}, 120_000);

test("with the list of reconciled ranges any engine tells which late events in the Iceberg table count", async () => {
  const middle = "2024-01-01T00:25:00Z";
  for (const view of ["per_10s", "visits"]) await run("reconcile", view, "2024-01-01", middle);
  await send(600);
  for (const view of ["per_10s", "visits"])
    await run("reconcile", view, "2024-01-01T00:15:00Z", "2024-01-01T00:20:00Z");
  const text = await (
    await appliance.ask("SELECT * FROM millrace.reconciled", { format: "csv" })
  ).text();
  const list = join(folder.path, "reconciled.csv");
  writeFileSync(list, text);
  const counts = (from: string, reconciled: string): string =>
    `SELECT view, ${reconciled} AS reconciled, CAST(count(*) AS VARCHAR) FROM ${from} AS l WHERE view IN ('per_10s', 'visits') GROUP BY ALL ORDER BY ALL`;
  const { rows: wanted } = await appliance.rows(counts("millrace.late_events", "reconciled"));
  expect(wanted).toHaveLength(4);
  expect(await appliance.stop()).toBe(0);
  const db = await DuckDb.open({ threads: "1" });
  const duckdb = await db.connect();
  const files = join(folder.path, "data", "warehouse", "millrace", "late_events", "data");
  const isOf = (time: string): string => `EXISTS (SELECT 1 FROM read_csv('${list}') AS r
    WHERE r.view = l.view AND l._position <= r.raw_position AND ${time} >= r.window_from AND ${time} < r.window_to)`;
  const { rows } = await duckdb.run(
    counts(
      `read_parquet('${files}/**/*.parquet')`,
      `CASE WHEN view = 'visits' THEN ${isOf("l.event_time")} ELSE ${isOf("l.window_start")} END`,
    ),
  );
  duckdb.close();
  db.close();
  expect(rows.map(String)).toEqual(wanted.map(String));
}, 120_000);
