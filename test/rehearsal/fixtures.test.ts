// `millrace test DIR`, the real command: the example's fixture passes; a fixture that does not hold says which value of which row, and what
// is wrong with the fixture itself. Exit codes 0, 1, 2.
import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FROM_SOURCE, temporaryFolder } from "../e2e/appliance.ts";

const EXAMPLE = join(import.meta.dir, "../../examples/clickstream");
const folder = temporaryFolder();
afterAll(folder.dispose);

async function run(...words: string[]): Promise<{ code: number; out: string }> {
  const child = Bun.spawn([...FROM_SOURCE, "test", ...words], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out: out + err };
}

/** A fixture of its own beside a configuration. */
function fixture(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(folder.path, name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

writeFileSync(
  join(folder.path, "hits.avsc"),
  JSON.stringify({
    type: "record",
    name: "Hit",
    fields: [
      { name: "id", type: "long" },
      { name: "time", type: { type: "long", logicalType: "timestamp-millis" } },
      { name: "page", type: ["null", "string"], default: null },
      { name: "weight", type: "double", default: 1 },
    ],
  }),
);
writeFileSync(
  join(folder.path, "millrace.yaml"),
  `streams:
  hits: { schema: hits.avsc, event_time: time, event_id: id, out_of_orderness: 10s, max_future: 1m }
views:
  pages: { sql: "SELECT window_start, page, count(*) AS n, sum(weight) AS w, max(received_at) AS seen FROM tumble(hits, time, INTERVAL 1 MINUTE) GROUP BY ALL" }
`,
);

const hit = (id: number, time: string, more: object = {}): string =>
  JSON.stringify({ id, time: `2024-01-01T00:${time}Z`, ...more });

test("the example's own fixture", async () => {
  const { code, out } = await run(EXAMPLE);
  expect(out).toBe(`ok    ${join(EXAMPLE, "tests/shop")} (4 compared)\n`);
  expect(code).toBe(0);
}, 60_000);

test("a value, a row too many, a row too few", async () => {
  const copy = join(folder.path, "clicks");
  cpSync(EXAMPLE, copy, { recursive: true });
  const text = `window_start,page_url,view_count,is_final
2019-10-01T00:00:00Z,/a,3,true
2019-10-01T00:05:00Z,/c,1,true
`;
  writeFileSync(join(copy, "tests/shop/page_views_minute.csv"), text);
  const { code, out } = await run(copy);
  expect(out.split("\n")).toEqual([
    `FAIL  ${join(copy, "tests/shop")}`,
    "  page_views_minute.csv",
    "    ~ window_start=2019-10-01T00:00:00Z page_url=/a  view_count: expected 3, got 2",
    "    - window_start=2019-10-01T00:05:00Z page_url=/c view_count=1 is_final=true  (expected, not there)",
    "    + window_start=2019-10-01T00:02:00Z page_url=/b view_count=1 is_final=false  (there, not expected)",
    "",
  ]);
  expect(code).toBe(1);
}, 60_000);

test("times of receipt, the future, settings; NULL and the empty text; doubles as people write them", async () => {
  const at = (receivedAt: string, event: string): string =>
    `{"received_at": "2024-01-01T00:${receivedAt}Z", "event": ${event}}`;
  const path = fixture("received", {
    "events.ndjson": [
      at("00:30.5", hit(1, "00:10", { weight: 0.1 })),
      hit(2, "00:20", { weight: 0.2 }),
      at("00:40", hit(3, "00:50", { page: "" })),
      at("00:41", hit(4, "02:00")),
      at("01:30", hit(5, "01:29")),
      hit(6, "00:59"),
      "{",
    ].join("\n"),
    "test.yaml": "out_of_orderness: 0s\n",
    "pages.csv": `page,n,w,seen,is_final\n,2,0.3,2024-01-01 00:00:30.5,true\n"",1,1,2024-01-01T00:00:40Z,true\n,1,1.0,2024-01-01T01:01:30+01:00,false\n`,
    "late_events.json": '[{"behind": 30000000, "received_at": "2024-01-01T00:01:30Z"}]',
    "dead_letters.csv": "reason,field\ntoo_far_in_future,time\nbad_json,\n",
  });
  const { code, out } = await run(path);
  expect(out).toBe(`ok    ${path} (3 compared)\n`);
  expect(code).toBe(0);
}, 60_000);

test("partitions fall idle as the clock goes on between the lines, and behind the last one until a time", async () => {
  const from = (partition: string, receivedAt: string, time: string): string =>
    `{"received_at": "2024-01-01T${receivedAt}Z", "partition": "${partition}", "event": ${hit(++hits, time)}}`;
  let hits = 100;
  const yaml = `streams:
  hits: { schema: ../hits.avsc, event_time: time, event_id: id, out_of_orderness: 0s, idle_after: 30s }
views:
  pages: { sql: "SELECT window_start, count(*) AS n FROM tumble(hits, time, INTERVAL 1 MINUTE) GROUP BY ALL" }
`;
  // The last one is late only if b was idle by then; a tick two hours later closes what is left, up to the newest event.
  const events = [
    from("a", "00:00:10", "00:10"),
    from("b", "00:00:10", "00:10"),
    from("a", "00:02:30", "02:30"),
    from("a", "00:02:40", "00:20"),
    from("b", "00:03:30", "03:20"),
  ].join("\n");
  const rows = (last: boolean): string =>
    `window_start,n,is_final\n2024-01-01T00:00:00Z,2,true\n2024-01-01T00:02:00Z,1,${last}\n2024-01-01T00:03:00Z,1,false\n`;
  const path = fixture("idle", { "millrace.yaml": yaml });
  fixture("idle/still", { "events.ndjson": events, "pages.csv": rows(true) });
  fixture("idle/until", {
    "events.ndjson": `${events}\n${from("a", "00:03:30", "02:59.999")}`,
    "test.yaml": "until: 2024-01-01T02:00:00Z\n",
    "late_events.csv": "event_time\n2024-01-01T00:00:20Z\n2024-01-01T00:02:59.999Z\n",
    "pages.csv": rows(true),
  });
  const { code, out } = await run(path);
  expect(out).toBe(`ok    ${path}/still (1 compared)\nok    ${path}/until (2 compared)\n`);
  expect(code).toBe(0);
}, 60_000);

test("where the event time is the receipt, windows close by the clock, and lines must say when they came", async () => {
  const path = fixture("receipt", {
    "millrace.yaml": `streams:
  hits: { schema: ../hits.avsc, event_time: received_at, idle_after: 5s }
views:
  pages: { sql: "SELECT window_start, count(*) AS n FROM tumble(hits, received_at, INTERVAL 1 MINUTE) GROUP BY ALL" }
`,
  });
  const events = [
    `{"received_at": "2024-01-01T00:00:10Z", "event": ${hit(1, "40:00")}}`,
    `{"received_at": "2024-01-01T00:01:10Z", "event": ${hit(2, "00:00")}}`,
  ].join("\n");
  const rows = (last: boolean): string =>
    `window_start,n,is_final\n2024-01-01T00:00:00Z,1,true\n2024-01-01T00:01:00Z,1,${last}\n`;
  fixture("receipt/open", { "events.ndjson": events, "pages.csv": rows(false) });
  fixture("receipt/until", {
    "events.ndjson": events,
    "pages.csv": rows(true),
    "test.yaml": "until: 2024-01-01T00:02:00Z\n",
  });
  expect(await run(path)).toEqual({
    code: 0,
    out: `ok    ${path}/open (1 compared)\nok    ${path}/until (1 compared)\n`,
  });
  fixture("receipt/unsaid", { "events.ndjson": hit(1, "00:10"), "pages.csv": "n\n1\n" });
  const { code, out } = await run(join(path, "unsaid"));
  expect(out).toContain("events of hits have no time but that of their receipt");
  expect(code).toBe(2);
}, 60_000);

test("is_final is SQL's: a session is beyond its end, no later than its range is forgotten; a projection's rows always", async () => {
  const path = fixture("final", {
    "millrace.yaml": `streams:
  hits: { schema: ../hits.avsc, event_time: time, event_id: id, out_of_orderness: 0s }
views:
  visits: { sql: "SELECT window_start, window_end, page, count(*) AS n FROM session(hits, time, INTERVAL 20 SECONDS, page) GROUP BY ALL" }
  kept:
    sql: "SELECT window_start, window_end, page, count(*) AS n FROM session(hits, time, INTERVAL 20 SECONDS, page) GROUP BY ALL"
    late: { policy: update, allowed: 1h }
  copies: { sql: "SELECT page FROM hits" }
`,
  });
  // the watermark is at the end of a's session first, then beyond the time at which it is forgotten
  const events = [hit(1, "00:10", { page: "a" }), hit(2, "00:30", { page: "b" })];
  const later = hit(3, "00:51", { page: "c" });
  const rows = (a: boolean, b: boolean): string => `page,is_final\na,${a}\nb,${b}\n`;
  fixture("final/at", {
    "events.ndjson": events.join("\n"),
    "visits.csv": rows(false, false),
    "kept.csv": rows(false, false),
    "copies.csv": rows(true, true),
  });
  fixture("final/beyond", {
    "events.ndjson": [...events, later].join("\n"),
    "visits.csv": `${rows(true, true)}c,false\n`,
    "kept.csv": `${rows(true, false)}c,false\n`,
  });
  expect(await run(path)).toEqual({
    code: 0,
    out: `ok    ${path}/at (3 compared)\nok    ${path}/beyond (2 compared)\n`,
  });
}, 60_000);

test("files may begin with a byte order mark; events that were refused explain rows that are not there", async () => {
  const marked = fixture("marked", {
    "events.ndjson": `\uFEFF${hit(1, "00:10")}`,
    "pages.csv": "\uFEFFwindow_start,n\r\n2024-01-01T00:00:00Z,1\r\n",
  });
  expect(await run(marked)).toEqual({ code: 0, out: `ok    ${marked} (1 compared)\n` });
  const refused = fixture("refused", {
    "events.ndjson": `{\n{"id": 2}\n[]\n${hit(1, "00:10")}`,
    "pages.csv": "n\n2\n",
  });
  const { code, out } = await run(refused);
  expect(out).toBe(
    `FAIL  ${refused}
  pages.csv
    - n=2  (expected, not there)
    + n=1  (there, not expected)
  events.ndjson
    dead letters: 1 bad_json, 1 missing_member, 1 not_an_object
`,
  );
  expect(code).toBe(1);
  writeFileSync(join(refused, "pages.csv"), "n\n1\n");
  expect(await run(refused)).toEqual({
    code: 0,
    out: `ok    ${refused} (1 compared; dead letters: 1 bad_json, 1 missing_member, 1 not_an_object)\n`,
  });
}, 60_000);

test("a fixture that is not right says what to write", async () => {
  const events = hit(1, "00:10");
  const hitOf2300 = JSON.stringify({ id: 1, time: "2300-01-01T00:00:00Z" });
  const cases: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{ "events.ndjson": events }, /there are no expected rows/],
    [
      { "events.ndjson": events, "page.csv": "n\n1\n" },
      /there is no view "page" .* pages, late_events, dead_letters/,
    ],
    [
      { "events.ndjson": events, "pages.csv": "m\n1\n" },
      /pages has no column "m"; it has window_start, page, n, w, seen, revision, is_final/,
    ],
    [{ "events.ndjson": events, "pages.csv": "n\none\n" }, /row 1: n "one" is not a BIGINT/],
    [{ "events.ndjson": events, "pages.csv": "n,w\n1\n" }, /row 1 has 1 fields, the header 2/],
    [
      { "events.ndjson": events, "pages.csv": "n\n1\n", "test.yaml": "strem: hits" },
      /strem is not understood/,
    ],
    [
      { "events.ndjson": events, "pages.csv": "n\n1\n", "test.yaml": "- until" },
      /write key: value lines/,
    ],
    [
      { "events.ndjson": events, "pages.csv": "n\n1\n", "test.yaml": "until: soon" },
      /until "soon" is not a time/,
    ],
    [
      { "events.ndjson": hitOf2300, "pages.csv": "n\n1\n" },
      /an event is beyond 2255-06-05T23:47:34.74Z, where times of receipt end: say when/,
    ],
    [
      { "events.ndjson": events, "pages.csv": "n\n1\n", "test.yaml": "received_at: 2300-01-01" },
      /received_at "2300-01-01" is not a time up to 2255-06-05T/,
    ],
    [
      { "events.ndjson": `{"received_at":"2300-01-01","event":${events}}`, "pages.csv": "n\n" },
      /line 1: received_at 2300-01-01 is beyond 2255-06-05T/,
    ],
    [
      { "events.ndjson": '{"received_at":"soon","event":{}}', "pages.csv": "n\n" },
      /line 1: received_at "soon" is not a time/,
    ],
  ];
  for (const [index, [files, message]] of cases.entries()) {
    const { code, out } = await run(fixture(`bad-${index}`, files));
    expect(out).toMatch(message);
    expect([1, 2]).toContain(code);
  }
  expect(await run(join(folder.path, "nowhere"))).toMatchObject({ code: 2 });
  // a folder of that name is no file
  mkdirSync(join(folder.path, "odd/events.ndjson"), { recursive: true });
  const { code, out } = await run(join(folder.path, "odd"));
  expect(out).toMatch(/no folder below .*odd holds events.ndjson\n$/);
  expect(code).toBe(2);
}, 120_000);
