import { describe, expect, test } from "bun:test";
import { faultText } from "../../src/config/fault.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { LoadedConfig } from "../../src/config/load.ts";

const GOOD = `streams:
  clicks:
    schema: clicks.avsc
    event_time: event_time
    event_id: event_id
views:
  page_views:
    sql: |
      SELECT window_start, count(*) AS n
      FROM tumble(clicks, event_time, INTERVAL 1 MINUTE)
        GROUP BY ALL
log: { size_max: 1GB }
storage: { path: ./data }
`;

function load(
  text: string,
  given: { flags?: Record<string, string>; env?: Record<string, string> } = {},
): LoadedConfig {
  return loadConfig({
    text,
    path: "/etc/millrace/millrace.yaml",
    shown: "millrace.yaml",
    workingFolder: "/home/me",
    flags: new Map(Object.entries(given.flags ?? {})),
    env: given.env ?? {},
  });
}

function faults(text: string): string[] {
  return load(text).faults.map(faultText);
}

describe("a good file", () => {
  test("gives values in µs and bytes, with defaults filled in", () => {
    const { config, faults: none } = load(GOOD);
    expect(none).toEqual([]);
    expect(config.streams).toEqual([
      {
        name: "clicks",
        schema: "/etc/millrace/clicks.avsc",
        eventTime: "event_time",
        eventId: "event_id",
        dedupTtlUs: 86_400_000_000,
        dedupIdsMax: 24_000_000,
        dedupDiskMaxBytes: 4 * 1024 ** 3,
        outOfOrdernessUs: 10_000_000,
        idleAfterUs: null,
        watermarkPunctuated: null,
        maxFutureUs: 300_000_000,
        maxPastUs: null,
      },
    ]);
    expect(config.views[0]?.latePolicy).toBe("side");
    expect(config.settings.log.sizeMaxBytes).toBe(1024 ** 3);
    expect(config.settings.server.listen).toEqual({ host: "127.0.0.1", port: 8080 });
  });

  test("out_of_orderness is 0 where time is exact", () => {
    for (const keys of [
      "event_time: received_at",
      "event_time: event_time, watermark: {punctuated: x}",
    ]) {
      const text = GOOD.replace(/event_time: event_time/, keys.replaceAll(", ", "\n    "));
      const { config, faults: none } = load(text);
      expect(none).toEqual([]);
      expect(config.streams[0]?.outOfOrdernessUs).toBe(0);
    }
  });

  test("paths in the file are relative to it, others to the working folder", () => {
    expect(load(GOOD).config.settings.storage.path).toBe("/etc/millrace/data");
    expect(load(GOOD, { flags: { data: "x" } }).config.settings.storage.path).toBe("/home/me/x");
    const without = GOOD.replace("storage: { path: ./data }", "");
    expect(load(without).config.settings.storage.path).toBe("/home/me/data");
  });
});

describe("rollups", () => {
  const withRollups = (list: string): LoadedConfig =>
    load(GOOD.replace("views:\n  page_views:", `views:\n  page_views:\n    rollups: ${list}`));

  test("are a list of sizes, and of days of a time zone", () => {
    const list = "[1 hour, 30m, {every: 1 day, time_zone: Europe/Berlin}]";
    const { config, faults: none } = withRollups(list);
    expect(none).toEqual([]);
    const expected = [
      { everyUs: 3_600_000_000, timeZone: null },
      { everyUs: 1_800_000_000, timeZone: null },
      { everyUs: 86_400_000_000, timeZone: "Europe/Berlin" },
    ];
    expect(config.views[0]?.rollups).toEqual(expected);
    const flag = { "views.page_views.rollups": "1 hour, 30m, 1 day Europe/Berlin" };
    expect(load(GOOD, { flags: flag }).config.views[0]?.rollups).toEqual(expected);
    expect(load(GOOD).config.views[0]?.rollups).toBe(null);
  });

  test.each([
    ["[1]", '"1" is no rollup; write [1 hour, 1 day]'],
    ["[0 hours]", '"0 hours" is no rollup; write [1 hour, 1 day]'],
    ["[2 days Europe/Berlin]", "is no calendar day; a time zone belongs to 1 day"],
    ["[{every: 1 day, zone: x}]", "this is no list of rollups"],
    ["[[1 hour]]", "this is no list of rollups"],
    ["{every: 1 hour}", "one value is expected here"],
  ])("%s is refused", (list, problem) => {
    const found = withRollups(list).faults.map(faultText);
    expect(found.length).toBe(1);
    expect(found[0]).toContain(problem);
  });
});

test("an alias within its own anchor is a fault, not an endless walk", () => {
  expect(faults("streams: &a\n  x: *a\nviews: {}\n")).toContain(
    "millrace.yaml:2:6 *a stands within what it is to stand for; write the value out",
  );
});

describe("overrides", () => {
  test("flags win over the environment, both over the file", () => {
    const env = { MILLRACE_LOG_SIZE_MAX: "3GB", MILLRACE_STREAMS_CLICKS_DEDUP_TTL: "30s" };
    const { config } = load(GOOD, { env, flags: { "log.size_max": "2GB" } });
    expect(config.settings.log.sizeMaxBytes).toBe(2 * 1024 ** 3);
    expect(config.streams[0]?.dedupTtlUs).toBe(30_000_000);
    expect(load(GOOD, { env }).config.settings.log.sizeMaxBytes).toBe(3 * 1024 ** 3);
  });

  test("every key has a flag, also a short one", () => {
    const flags = { listen: "[::1]:0", "streams.clicks.max_past": "1d" };
    const { config, faults: none } = load(GOOD, { flags });
    expect(none).toEqual([]);
    expect(config.settings.server.listen).toEqual({ host: "::1", port: 0 });
    expect(config.streams[0]?.maxPastUs).toBe(86_400_000_000);
  });

  test("a bad one is told with its own place; an unknown one with what was meant", () => {
    const { faults: found } = load(GOOD, {
      flags: { "log.size_mx": "1GB", "log.file_size": "much" },
      env: { MILLRACE_LOG_SIZEMAX: "1GB", MILLRACE_QUERY_TIMEOUT: "5" },
    });
    expect(found.map(faultText)).toEqual([
      "MILLRACE_LOG_SIZEMAX there is no such key; did you mean MILLRACE_LOG_SIZE_MAX?",
      "--log.size_mx there is no such key; did you mean --log.size_max?",
      '--log.file_size log.file_size: "much" is not a size; write for example 64MB or 8GB',
      'MILLRACE_QUERY_TIMEOUT query.timeout: "5" has no unit; write 5ms, 5s, 5m, 5h',
    ]);
  });

  test("variables that Kubernetes sets for a service named millrace are not ours", () => {
    const env = { MILLRACE_PORT: "tcp://10.0.0.1:80", MILLRACE_SERVER_SERVICE_HOST: "10.0.0.1" };
    expect(load(GOOD, { env }).faults).toEqual([]);
  });
});

describe("late policies", () => {
  const late = (text: string) => load(GOOD.replace("log: ", `    ${text}\nlog: `));
  test.each([
    ["late: { policy: drop }", "drop", null],
    ["late: { policy: update, allowed: 10m }", "update", 600_000_000],
  ])("%s", (text, policy, allowedUs) => {
    const loaded = late(text);
    expect(loaded.faults).toEqual([]);
    expect(loaded.config.views[0]).toMatchObject({ latePolicy: policy, lateAllowedUs: allowedUs });
  });

  test.each([
    ["late: { policy: update }", "update needs late.allowed"],
    ["late: { allowed: 10m }", "late.policy side corrects no window"],
    ["late: { policy: drop, allowed: 10m }", "late.policy drop corrects no window"],
    ["late: { policy: update, allowed: 8d }", '"8d" is too much'],
    ["late: { policy: update, allowed: 0s }", '"0s" is zero'],
    ["late: { reconcile_every: 100ms }", '"100ms" is too little'],
    ["late: { reconcile_every: 8d }", '"8d" is too much'],
    ["memory_max: 63KB", '"63KB" is too little'],
  ])("%s is refused", (text, problem) => {
    expect(late(text).faults.map((fault) => fault.problem)).toEqual([problem]);
  });
});

describe("faults", () => {
  test("all are told at once, each with its place and what to write instead", () => {
    const text = `streams:
  clicks:
    schema: clicks.avsc
    evnt_time: event_time
    dedup_ttl: 24
    idle_after: 30s
    kafka: { brokers: "127.0.0.1:9092" }
    dedup_ids_max: lots
views:
  v:
    late: { policy: upsert, reconcile_every: 10 }
    rollups: [1 hour, 1 moon]
  Bad-Name:
    sql: SELECT 1
server: { listen: 8080 }
logg: { size_max: 1GB }
export: { raw: maybe }
`;
    expect(load(text).faults.map(faultText).toSorted()).toEqual(
      [
        "millrace.yaml:2:3 streams.clicks.event_time: this key is required; add event_time: (The member that says when the event happened: a required timestamp of the schema; or received_at: when it was received.)",
        "millrace.yaml:4:5 streams.clicks.evnt_time: there is no such key; did you mean event_time?",
        'millrace.yaml:5:16 streams.clicks.dedup_ttl: "24" has no unit; write 24ms, 24s, 24m, 24h',
        "millrace.yaml:7:5 streams.clicks.kafka: this key is not in this release; leave it out",
        'millrace.yaml:8:20 streams.clicks.dedup_ids_max: "lots" is not a whole number; write digits only, for example 1000000',
        "millrace.yaml:10:3 views.v.sql: this key is required; add sql: (A SELECT over a stream, or over tumble, hop or session of one, in DuckDB's dialect (see Views).)",
        'millrace.yaml:11:21 views.v.late.policy: "upsert" is not a late policy; write side, update or drop',
        'millrace.yaml:11:46 views.v.late.reconcile_every: "10" has no unit; write 10ms, 10s, 10m, 10h',
        'millrace.yaml:12:14 views.v.rollups: "1 moon" is no rollup; write [1 hour, 1 day]',
        'millrace.yaml:13:3 views.Bad-Name: "Bad-Name" cannot be a name; use at most 63 lower-case letters, digits and _, not beginning with a digit; millrace is taken',
        'millrace.yaml:15:19 server.listen: "8080" is not HOST:PORT; write 127.0.0.1:8080',
        "millrace.yaml:16:1 logg: there is no such key; did you mean log?",
        'millrace.yaml:17:16 export.raw: "maybe" is neither on nor off; write on or off',
      ].toSorted(),
    );
  });

  test.each([
    ["", "millrace.yaml:1:1 the configuration is empty; write streams: and views:"],
    ["[1, 2]", "millrace.yaml:1:1 the configuration is empty; write streams: and views:"],
    [
      "views: {}\n",
      "millrace.yaml:1:1 streams: there is no stream; add streams: {name: {schema: ...}}",
    ],
    [
      GOOD.replace("log: { size_max: 1GB }", "log: { size_max: 200MB }"),
      "millrace.yaml:12:18 log.size_max: the log must have room for two files of log.file_size and 82MB on the way; make log.size_max at least 2 x 128MB + 82MB = 338MB",
    ],
    [
      GOOD.replace("log: { size_max: 1GB }", "log: { size_max: 40MB, file_size: 20MB }"),
      "millrace.yaml:12:18 log.size_max: the log must have room for two files of log.file_size and 82MB on the way; make log.size_max at least 2 x 20MB + 82MB = 122MB",
    ],
    [
      GOOD.replace(
        "event_time: event_time",
        "event_time: received_at\n    watermark: { punctuated: kind = 'end' }",
      ),
      "millrace.yaml:5:30 streams.clicks.watermark.punctuated: with event_time: received_at every event moves the watermark to its receipt; leave it out, or name a timestamp of the schema as event_time",
    ],
    [
      GOOD.replace("event_time: event_time", "event_time: received_at\n    out_of_orderness: 10s"),
      "millrace.yaml:5:23 streams.clicks.out_of_orderness: with event_time: received_at events are in order; leave it out",
    ],
    [
      GOOD.replace("event_time: event_time", "event_time: received_at\n    max_past: 1h"),
      "millrace.yaml:5:15 streams.clicks.max_past: with event_time: received_at no event is of the past; leave it out",
    ],
    [
      GOOD.replace(
        "event_time: event_time",
        "event_time: event_time\n    out_of_orderness: 1s\n    watermark: { punctuated: kind = 'end' }",
      ),
      "millrace.yaml:5:23 streams.clicks.out_of_orderness: with watermark.punctuated the events that satisfy it say how far time is; leave it out",
    ],
    [
      GOOD.replace(
        "event_time: event_time",
        "event_time: event_time\n    watermark: { marked: x }",
      ),
      "millrace.yaml:5:18 streams.clicks.watermark.marked: there is no such key; keys here are punctuated",
    ],
    [
      GOOD.replace("page_views:", "clicks_raw:"),
      "millrace.yaml:7:3 views.clicks_raw: this is the name of stream clicks's raw table; give the view another name",
    ],
    [
      GOOD.replace("page_views:", "clicks:"),
      "millrace.yaml:7:3 views.clicks: a stream has this name; give the view another name",
    ],
    [
      GOOD.replace("event_id: event_id", "dedup_ttl: 30d"),
      'millrace.yaml:5:16 streams.clicks.dedup_ttl: "30d" is too much; write 20d at most',
    ],
    [
      GOOD.replace("event_id: event_id", "dedup_ids_max: 10"),
      'millrace.yaml:5:20 streams.clicks.dedup_ids_max: "10" is too little; write 65536 or more',
    ],
    [
      `${GOOD}query: { threads: 4, memory_limit: 128MB }\n`,
      "millrace.yaml:14:36 query.memory_limit: it is too little for 4 questions of 4 threads; write 256MB or more",
    ],
    [
      `${GOOD}query: { threads: 300 }\n`,
      'millrace.yaml:14:19 query.threads: "300" is too much; write 256 at most',
    ],
    [
      `${GOOD}server: { key: secret }\n`,
      "millrace.yaml:14:1 server.key: a key does not belong in a file; set MILLRACE_KEY",
    ],
  ])("%#: one fault, precisely", (text, expected) => {
    expect(faults(text)).toEqual([expected]);
  });

  test("YAML that does not parse is told with its place", () => {
    expect(faults("streams: {\n  clicks: [\n")[0]).toMatch(
      /^millrace.yaml:\d+:\d+ this is not valid YAML/,
    );
    expect(faults(`${GOOD}log: { size_max: 2GB }\n`)[0]).toMatch(
      /^millrace.yaml:14:1 this is not valid YAML: Map keys must be unique/,
    );
  });
});

describe("places within a view's SQL", () => {
  const at = (text: string, line: number, column: number): string => {
    const { line: fileLine, column: fileColumn } = load(text).placeWithin(
      "views.page_views.sql",
      line,
      column,
    );
    return (text.split("\n")[(fileLine ?? 0) - 1] ?? "").slice((fileColumn ?? 0) - 1);
  };
  test("a block scalar's lines and columns are mapped into the file", () => {
    expect(at(GOOD, 1, 8)).toBe("window_start, count(*) AS n");
    expect(at(GOOD, 2, 6)).toBe("tumble(clicks, event_time, INTERVAL 1 MINUTE)");
    expect(at(GOOD, 3, 3)).toBe("GROUP BY ALL");
  });
  test("a plain text on one line keeps its columns, a quoted one with escapes its start", () => {
    const plain = GOOD.replace(/sql: \|[\s\S]*(?=log:)/, "sql: SELECT a FROM b\n");
    expect(at(plain, 1, 8)).toBe("a FROM b");
    const quoted = GOOD.replace(/sql: \|[\s\S]*(?=log:)/, 'sql: "SELECT \\"a\\""\n');
    expect(at(quoted, 1, 8)).toBe('"SELECT \\"a\\""');
  });
});
