// `millrace verify`, the real command: the same numbers over a running appliance and over a folder that nobody serves, with late events,
// duplicates and sums of doubles; a view that is not what the appliance runs is told value by value. Exit codes as cron sees them.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "../e2e/appliance.ts";

const SCHEMA = {
  type: "record",
  name: "Reading",
  fields: [
    { name: "id", type: "long" },
    { name: "taken_at", type: { type: "long", logicalType: "timestamp-micros" } },
    { name: "sensor", type: ["null", "string"], default: null },
    { name: "value", type: ["null", "double"], default: null },
    { name: "cents", type: { type: "bytes", logicalType: "decimal", precision: 10, scale: 2 } },
  ],
};

/** The appliance's configuration; `sum` is what the view adds up. */
const configText = (sum: string, port: string): string => `
streams:
  readings: { schema: readings.avsc, event_time: taken_at, event_id: id, out_of_orderness: 2s }
views:
  per_minute:
    sql: |
      SELECT window_start, sensor, count(*) AS n, sum(value) AS total, avg(value) AS mean, sum(${sum}) AS paid,
        approx_count_distinct(id) AS ids, min(value) AS low FROM tumble(readings, taken_at, INTERVAL 1 MINUTE) GROUP BY ALL
  few:
    sql: |
      SELECT window_start, window_end, count(*) AS n FROM tumble(readings, taken_at, INTERVAL 5 MINUTES) WHERE sensor = 's1' GROUP BY ALL
    rollups: [30 minutes]
  visits:
    sql: |
      SELECT window_start, window_end, sensor, count(*) AS n, sum(cents) AS paid FROM session(readings, taken_at, INTERVAL 3 SECONDS, sensor) GROUP BY ALL
server: { listen: "${port}" }
`;

const folder = temporaryFolder();
const data = join(folder.path, "data");
const good = join(folder.path, "good.yaml");
const other = join(folder.path, "other.yaml");
let appliance: Appliance;
let late = 0;

/** 6,000 readings over an hour, shuffled by up to 20 s, in bodies of 200; some sensors null, some values extreme. */
function bodies(): string[] {
  const random = seeded(3);
  const events = Array.from({ length: 6000 }, (_, id) => {
    const at = new Date(Date.UTC(2024, 0, 1) + id * 600).toISOString();
    const value =
      id % 50 === 0
        ? null
        : (random() - 0.5) * 10 ** Math.floor(random() * (id % 97 === 0 ? 16 : 4));
    const sensor = id % 11 === 0 ? null : `s${id % 5}`;
    const text = JSON.stringify({ id, taken_at: at, sensor, value, cents: `${id % 1000}.25` });
    return { text, order: id * 600 + random() * 20_000 };
  });
  const texts = events.toSorted((a, b) => a.order - b.order).map(({ text }) => text);
  return Array.from({ length: 30 }, (_, n) => texts.slice(n * 200, n * 200 + 200).join("\n"));
}

/** Starts the appliance and writes its address into both configurations. */
async function serve(): Promise<void> {
  appliance = await Appliance.start({ config: good, data });
  const address = appliance.address.replace("http://", "");
  writeFileSync(good, configText("cents", address));
  writeFileSync(other, configText("cents * 2", address));
}

beforeAll(async () => {
  writeFileSync(join(folder.path, "readings.avsc"), JSON.stringify(SCHEMA));
  writeFileSync(good, configText("cents", "127.0.0.1:0"));
  await serve();
  let position = 0;
  for (const body of bodies()) ({ position } = await appliance.send(body));
  const [[count] = []] = (
    await appliance.rows(
      "SELECT least(count(*), count(*) FILTER (WHERE view = 'visits')) FROM millrace.late_events",
      position,
    )
  ).rows;
  late = Number(count);
}, 60_000);

afterAll(async () => {
  await appliance.kill();
  folder.dispose();
});

async function verify(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([...FROM_SOURCE, "verify", ...words, "--data", data], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

test("a running appliance is asked, and its views are the batch's", async () => {
  expect(late).toBeGreaterThan(10);
  const { code, out, err } = await verify("--config", good);
  expect(err).toBe("");
  expect(out).toMatch(
    /^per_minute: same: 360 rows at position \d+\nfew: same: 12 rows at position \d+\nfew_30m: same: [23] rows at position \d+\nvisits: same: [\d,]{4,} rows at position \d+\n$/,
  );
  expect(code).toBe(0);
}, 60_000);

test("a range of windows", async () => {
  const range = ["2024-01-01T00:10:00Z", "2024-01-01 00:20:00"];
  const { code, out } = await verify("few", ...range, "--config", good);
  expect(out).toMatch(/^few: same: 2 rows at position \d+\n$/);
  expect(code).toBe(0);
}, 60_000);

test("what differs is told: key, column, the stream's value and the batch's", async () => {
  const range = ["2024-01-01T00:10:00Z", "2024-01-01T00:11:00Z"];
  const { code, out } = await verify("per_minute", ...range, "--config", other);
  const lines = out.trimEnd().split("\n");
  expect(lines[0]).toMatch(
    /^per_minute: DIFFERENT: 6 rows differ; the stream has 6 rows at position \d+$/,
  );
  expect(lines).toHaveLength(7);
  for (const line of lines.slice(1)) {
    const found =
      /^ {2}window_start=2024-01-01 00:10:00\+00 sensor=\w+ {2}paid: stream ([\d.]+), batch ([\d.]+)$/.exec(
        line,
      );
    expect(Number(found?.[2])).toBe(Number(found?.[1]) * 2);
  }
  expect(code).toBe(1);
  const all = await verify("per_minute", "--config", other);
  expect(all.out).toMatch(/DIFFERENT: 360 rows differ/);
  expect(all.out).toEndWith("\n  and 260 more rows\n");
}, 60_000);

test("what cannot be verified is exit code 2", async () => {
  const elsewhere = join(folder.path, "elsewhere.yaml");
  writeFileSync(elsewhere, configText("cents", "127.0.0.1:9"));
  await using strange = Bun.serve({
    port: 0,
    fetch: () => new Response("<html>", { status: 404 }),
  });
  await using empty = Bun.serve({ port: 0, fetch: () => Response.json({}) });
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [["fwe", "--config", good], /there is no view "fwe"; did you mean few\?/],
    [
      ["few", "2024-01-02", "2024-01-01", "--config", good],
      /ends at 2024-01-01, not after 2024-01-02/,
    ],
    [["few", "2024-01-02", "tomorrow", "--config", good], /"tomorrow" is not a time/],
    [
      ["few", "--config", good, "--url", "http://127.0.0.1:9"],
      /few: NOT VERIFIED: .* does not answer/,
    ],
    [["few", "--config", elsewhere], /few: NOT VERIFIED: .* is in use: name where .* --url/],
    [["few", "--config", good, "--url", strange.url.href], /404 "<html>", as Millrace does not/],
    [["few", "--config", good, "--url", empty.url.href], /TypeError/],
  ];
  for (const [words, message] of cases) {
    const { code, out, err } = await verify(...words);
    expect(out + err).toMatch(message);
    expect(code).toBe(2);
  }
}, 60_000);

test("a folder that nobody serves is opened, and left as it was", async () => {
  await appliance.kill();
  const first = await verify("--config", good);
  const second = await verify("--config", good);
  await serve();
  expect(first.out).toMatch(
    /^per_minute: same: 360 rows at position \d+\nfew: same: 12 rows.*\nfew_30m: same: .*\nvisits: same: /,
  );
  expect(first.code).toBe(0);
  expect(second.out).toBe(first.out);
  expect(second.code).toBe(0);
}, 60_000);
