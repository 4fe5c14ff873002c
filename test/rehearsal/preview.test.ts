// `millrace preview`, the real command: over the past of an appliance a view gives the rows that the appliance's own view has, late events
// as they were then; over a range, over a file, by name and by text. What is wrong with the words is said, with exit code 2.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "../e2e/appliance.ts";

const VIEWS: Readonly<Record<string, string>> = {
  tumbled:
    "SELECT window_start, kind, count(*) AS n, sum(amount) AS total, first(id) AS first_id FROM tumble(sales, time, INTERVAL 1 MINUTE) WHERE amount > 1 GROUP BY ALL",
  hopped:
    "SELECT window_start, count(*) AS n, max(amount) AS top FROM hop(sales, time, INTERVAL 1 MINUTE, INTERVAL 3 MINUTES) GROUP BY ALL",
  visits:
    "SELECT window_start, window_end, kind, count(*) AS n, avg(weight) AS mean FROM session(sales, time, INTERVAL 2 SECONDS, kind) GROUP BY ALL",
};
const NDJSON = "application/x-ndjson";
const folder = temporaryFolder();
const config = join(folder.path, "millrace.yaml");
const events = join(folder.path, "events.ndjson");
let appliance: Appliance;

beforeAll(async () => {
  const schema = {
    type: "record",
    name: "Sale",
    fields: [
      { name: "id", type: "long" },
      { name: "time", type: { type: "long", logicalType: "timestamp-micros" } },
      { name: "kind", type: ["null", "string"], default: null },
      { name: "weight", type: "double" },
      { name: "amount", type: { type: "bytes", logicalType: "decimal", precision: 20, scale: 3 } },
      { name: "day", type: { type: "int", logicalType: "date" } },
      { name: "flag", type: "boolean" },
    ],
  };
  writeFileSync(join(folder.path, "sales.avsc"), JSON.stringify(schema));
  const views = Object.entries(VIEWS).map(([name, sql]) => `  ${name}: { sql: "${sql}" }`);
  writeFileSync(
    config,
    `streams:
  sales: { schema: sales.avsc, event_time: time, event_id: id, out_of_orderness: 2s }
  others: { schema: sales.avsc, event_time: time }
views:
${views.join("\n")}
  settled:
    sql: "SELECT window_start, kind, count(*) AS n, sum(amount) AS total FROM tumble(sales, time, INTERVAL 1 MINUTE) GROUP BY ALL"
    late: { policy: update, allowed: 20s }
    rollups: [3 minutes]
  settled_hop:
    sql: "SELECT window_start, kind, count(*) AS n FROM hop(sales, time, INTERVAL 30 SECONDS, INTERVAL 2 MINUTES) GROUP BY window_start, kind QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY n DESC, kind) <= 2"
  settled_visits: { sql: "SELECT window_start, kind, count(*) AS n FROM session(sales, time, INTERVAL 2 SECONDS, kind) GROUP BY ALL" }
`,
  );
  const random = seeded(11);
  const texts = Array.from({ length: 900 }, (_, id) => {
    const late = random() < 0.1 ? random() * 90_000 : random() * 3_000;
    const time = new Date(Date.UTC(2024, 0, 1) + id * 700 - late).toISOString();
    const kind = id % 6 === 0 ? null : `k${id % 6}`;
    const members = { id, time, kind, weight: random(), day: "2024-02-29", flag: id % 2 === 0 };
    return JSON.stringify({ ...members, amount: String(id % 50) });
  });
  writeFileSync(events, texts.join("\n"));
  appliance = await Appliance.start({ config, data: join(folder.path, "data") });
  for (let at = 0; at < texts.length; at += 100) {
    const { status } = await appliance.post(texts.slice(at, at + 100).join("\n"), NDJSON, "sales");
    expect(status).toBe(200);
  }
}, 60_000);
afterAll(async () => {
  await appliance.kill();
  folder.dispose();
});

async function preview(
  ...words: string[]
): Promise<{ code: number; lines: string[]; err: string }> {
  const child = Bun.spawn([...FROM_SOURCE, "preview", ...words, "--config", config], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, lines: out.trimEnd().split("\n"), err };
}

/** The rows of a view as the appliance has them, as the preview prints them: a table's cells, NULL empty. */
async function rowsOf(sql: string): Promise<string[]> {
  const text = await (await appliance.ask(sql, { format: "csv" })).text();
  return text
    .trimEnd()
    .split("\r\n")
    .slice(1)
    .map((row) => row.replaceAll(",", " "));
}

const cells = (line: string): string => line.trim().replaceAll(/ +/g, " ");

for (const [name, sql] of Object.entries(VIEWS))
  test(`the past: ${name} is what the appliance has, by name and by text`, async () => {
    const byName = await preview(name, "--url", appliance.address);
    expect(byName.err).toBe("");
    const [header = "", ...rest] = byName.lines;
    const summary = rest.pop() ?? "";
    const [, count, late] =
      /^([\d,]+) rows(?:, the first 100 shown)?; 900 events read, .*, (\d+) events? late$/.exec(
        summary,
      ) ?? [];
    const wanted = await rowsOf(`SELECT * EXCLUDE (is_final) FROM ${name} ORDER BY ALL LIMIT 100`);
    expect(header).toContain("window_start");
    expect(rest.map(cells)).toEqual(wanted.map(cells));
    const total = (await appliance.rows(`SELECT count(*) FROM ${name}`)).rows[0]?.[0];
    expect(Number(count?.replaceAll(",", ""))).toBe(Number(total));
    const lateTotal = (
      await appliance.rows(`SELECT count(*) FROM millrace.late_events WHERE view = '${name}'`)
    ).rows[0]?.[0];
    expect(Number(late)).toBe(Number(lateTotal));
    expect((await preview(sql, "--url", appliance.address)).lines).toEqual(byName.lines);
  }, 60_000);

test("events that come while it reads are in no page", async () => {
  let id = 0;
  const sell = (): Promise<Response> => {
    const sale = { id: id++, time: "2024-01-01T00:00:30Z", weight: 1, amount: "5" };
    const event = JSON.stringify({ ...sale, day: "2024-02-29", flag: true });
    return appliance.post(event, NDJSON, "others");
  };
  expect((await sell()).status).toBe(200);
  const proxy = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const body = await request.text();
      if (body.includes("ORDER BY _position")) await sell();
      const headers = { "content-type": "application/json" };
      return fetch(`${appliance.address}/v1/sql`, { method: "POST", headers, body });
    },
  });
  const sql =
    "SELECT window_start, count(*) AS n FROM tumble(others, time, INTERVAL 1 HOUR) GROUP BY ALL";
  const { lines, err } = await preview(sql, "--url", proxy.url.origin);
  await proxy.stop(true);
  expect(err).toBe("");
  expect(lines.at(-1)).toContain("; 1 event read,");
  const { lines: after } = await preview(sql, "--url", appliance.address);
  expect(after.at(-1)).toContain("; 2 events read,");
}, 60_000);

test("a range of time", async () => {
  const range = ["--from", "2024-01-01T00:02:00Z", "--to", "2024-01-01 00:03"];
  const { lines } = await preview("tumbled", ...range, "--url", appliance.address);
  const wanted = await rowsOf(
    "SELECT * EXCLUDE (is_final) FROM tumbled WHERE window_start = '2024-01-01 00:02:00Z' ORDER BY ALL",
  );
  expect(lines.slice(1, -1).map(cells)).toEqual(wanted.map(cells));
  expect(lines).toHaveLength(8);
});

/** Late events that a run of reconcile brought in. */
async function reconcile(view: string, ...range: string[]): Promise<number> {
  const words = ["reconcile", view, ...range, "--config", config];
  const child = Bun.spawn([...FROM_SOURCE, ...words, "--url", appliance.address], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const out = await new Response(child.stdout).text();
  return Number(/reconciled (\d+) late events? in/.exec(out)?.[1] ?? 0);
}

test("late events that a reconcile brought in are in the rows, but of sessions; they are told", async () => {
  // what is late after the first run waits for the second, or for none
  const parts = ["2024-01-01T00:00", "2024-01-01T00:03", "2024-01-01T00:05"];
  for (const view of ["settled", "settled_hop"])
    for (const [at, from] of parts.slice(0, -1).entries())
      expect(await reconcile(view, from, parts[at + 1] ?? "")).toBeGreaterThan(1);
  for (const view of ["settled", "settled_3m", "settled_hop"]) {
    const columns = "* EXCLUDE (is_final)";
    const wanted = await rowsOf(`SELECT ${columns} FROM ${view} ORDER BY ALL LIMIT 100`);
    const { lines, err } = await preview(view, "--url", appliance.address);
    expect(err).toBe("");
    expect(lines.slice(1, -2).map(cells)).toEqual(wanted.map(cells));
    expect(lines.at(-1)).toMatch(/^with \d+ late events that reconcile has brought in since$/);
  }
  const within = ["--from", "2024-01-01T00:02", "--to", "2024-01-01T00:04"];
  const { lines } = await preview("settled", ...within, "--url", appliance.address);
  const wanted = await rowsOf(
    `SELECT * EXCLUDE (is_final) FROM settled WHERE window_start >= '2024-01-01 00:02:00Z' AND window_start < '2024-01-01 00:04:00Z' ORDER BY ALL`,
  );
  expect(lines.slice(1, -2).map(cells)).toEqual(wanted.map(cells));
  const count = await reconcile("settled_visits", "2024-01-01T00:00", "2024-01-01T00:05");
  expect(count).toBeGreaterThan(5);
  const visits = await preview("settled_visits", "--url", appliance.address);
  expect(visits.lines.at(-1)).toMatch(
    /^without \d+ late events that reconcile has brought in since; SELECT \* FROM settled_visits has them$/,
  );
  const others = await preview("tumbled", "--url", appliance.address);
  expect(others.lines.at(-1)).toMatch(/^\d+ rows; 900 events read/);
}, 120_000);

test("a file", async () => {
  const { lines, code } = await preview(
    "SELECT window_start, count(*) AS n FROM tumble(sales, time, INTERVAL 1 HOUR) GROUP BY ALL",
    "--file",
    events,
  );
  expect(lines[1]).toMatch(/^ {2}2023-12-31T23:00:00Z +\d+ +0 +true$/);
  expect(lines[2]).toMatch(/^ {2}2024-01-01T00:00:00Z +\d+ +0 +false$/);
  expect(lines[3]).toMatch(/^2 rows; 900 events read, 0 events filtered/);
  expect(code).toBe(0);
});

test("of a file, events that are refused are told", async () => {
  const path = join(folder.path, "some.ndjson");
  writeFileSync(path, `{\n{"id": 1}\n{"id": 2}\n`);
  const { lines, code } = await preview("tumbled", "--file", path);
  expect(lines.at(-2)).toStartWith("0 rows; 0 events read");
  expect(lines.at(-1)).toBe("dead letters: 1 bad_json, 2 missing_member");
  expect(code).toBe(0);
}, 60_000);

test("what is wrong is said", async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /write millrace preview NAME, or/],
    [
      ["tumblet"],
      /there is no view "tumblet"; views are tumbled, hopped, visits, settled, settled_3m, settled_hop, settled_visits; or write a SELECT/,
    ],
    [
      ["SELECT window_start FROM tumble(sale, time, INTERVAL 1 HOUR)"],
      /line 1, column \d+: .*sale/,
    ],
    [["tumbled", "--from", "2024-01-01"], /a range has two times/],
    [["tumbled", "--file", "nowhere.ndjson"], /ENOENT/],
    [["tumbled", "--file", "src"], /src is a folder; name a file with an event a line/],
    [["tumbled", "--url", "http://127.0.0.1:9"], /does not answer/],
    [["tumbled", "--data", join(folder.path, "nothing")], /is not a data folder of Millrace/],
  ];
  for (const [words, message] of cases) {
    const { code, err } = await preview(...words);
    expect(err).toMatch(message);
    expect(code).toBe(2);
  }
}, 120_000);
