import { expect, test } from "bun:test";
import { faultText } from "../../src/config/fault.ts";
import { checkConfig } from "../../src/serve/check.ts";
import type { CheckResult, CheckTools } from "../../src/serve/check.ts";

const YAML = `streams:
  clicks: { schema: clicks.avsc, event_time: t }
  orders: { schema: orders.avsc, event_time: t }
views:
  a:
    sql: |
      SELECT count(*)
      FROM tumble(clicks, t, INTERVAL 1 FORTNIGHT)
  b:
    sql: SELECT * FROM orders
`;

/** Files by path; a schema whose text is "bad" has a fault, a view's fault is where FORTNIGHT stands. */
function tools(files: Record<string, string>): CheckTools {
  return {
    readText: (path) => {
      const text = files[path];
      if (text === undefined) throw new Error(`ENOENT: no such file, open '${path}'`);
      return text;
    },
    parseSchema: ({ text }) =>
      text === "bad"
        ? {
            kind: "faults",
            faults: [{ message: "member t is a string", advice: "make it a timestamp" }],
          }
        : { kind: "schema", schema: { id: 1, columns: [], eventTime: 0, eventId: null } },
    parseView: ({ name, sql, streams }) => {
      const at = sql.split("\n").findIndex((line) => line.includes("FORTNIGHT"));
      const column = (sql.split("\n")[at] ?? "").indexOf("FORTNIGHT") + 1;
      if (at === -1)
        return Promise.resolve({
          kind: "plan",
          plan: {
            name,
            stream: streams[0]?.name ?? "",
            sql,
            window: sql.startsWith("SELECT *")
              ? null
              : { kind: "tumble", sizeUs: 1_200_000_000, offsetUs: 0 },
            rollupOf: null,
            filter: null,
            keys: [],
            aggregates: [],
            output: [],
            having: null,
            topN: null,
            late: { policy: "side", allowedUs: 0 },
          },
        });
      const fault = { line: at + 1, column, message: "unknown unit", advice: "write DAY" };
      return Promise.resolve({ kind: "faults", faults: [fault] });
    },
  };
}

function check(files: Record<string, string>): Promise<CheckResult> {
  const input = { configFlag: "conf/m.yaml", workingFolder: "/w", flags: new Map(), env: {} };
  return checkConfig(input, tools(files));
}

test("faults of file, schemas and SQL are told at once, in the file's order", async () => {
  const result = await check({
    "/w/conf/m.yaml": YAML.replace("event_time: t }\nviews", "event_time: t, ttl: 1 }\nviews"),
    "/w/conf/clicks.avsc": "{}",
    "/w/conf/orders.avsc": "bad",
  });
  expect(result.kind === "faults" ? result.faults.map(faultText) : []).toEqual([
    "conf/m.yaml:3:21 streams.orders.schema: orders.avsc: member t is a string; make it a timestamp",
    expect.stringContaining("conf/m.yaml:3:49 streams.orders.ttl: there is no such key"),
    "conf/m.yaml:8:41 views.a.sql: line 2, column 35 of the text: unknown unit; write DAY",
  ]);
});

test("rollups are views of their own, and their names must be free", async () => {
  const files = { "/w/conf/clicks.avsc": "{}", "/w/conf/orders.avsc": "{}" };
  const yaml = YAML.replace("FORTNIGHT", "DAY").replace("  a:\n", "  a:\n    rollups: [1 hour]\n");
  const good = await check({ ...files, "/w/conf/m.yaml": yaml });
  expect(good.kind === "checked" ? good.plans.map(({ name }) => name) : good.faults).toEqual([
    "a",
    "a_1h",
    "b",
  ]);
  const taken = await check({ ...files, "/w/conf/m.yaml": yaml.replace("  b:", "  a_1h:") });
  expect(taken.kind === "faults" ? taken.faults.map(faultText) : []).toEqual([
    "conf/m.yaml:6:14 views.a.rollups: the rollup a_1h has the name of another view or stream; rename that",
  ]);
  const odd = await check({ ...files, "/w/conf/m.yaml": yaml.replace("1 hour", "1 day Nowhere") });
  expect(odd.kind === "faults" ? odd.faults.map(faultText) : []).toEqual([
    'conf/m.yaml:6:14 views.a.rollups: there is no time zone "Nowhere"; write for example Europe/Berlin',
  ]);
  const refusals = [
    [
      "50 minutes",
      "windows of 50m do not consist of whole windows of a; choose a multiple of its size",
    ],
    ["367 days", "windows of 367d are too long; write 366 days at most"],
    [
      "1 day Asia/Kolkata",
      "windows of 1d in Asia/Kolkata do not consist of whole windows of a; the zone's days begin within windows of the view: make them 30m long, or a part of that",
    ],
  ] as const;
  for (const [level, problem] of refusals) {
    const uneven = await check({ ...files, "/w/conf/m.yaml": yaml.replace("1 hour", level) });
    expect(uneven.kind === "faults" ? uneven.faults.map(faultText) : []).toEqual([
      `conf/m.yaml:6:14 views.a.rollups: ${problem}`,
    ]);
  }
});

test("a view without windows has no late events to decide about", async () => {
  const files = { "/w/conf/clicks.avsc": "{}", "/w/conf/orders.avsc": "{}" };
  const yaml = `${YAML.replace("FORTNIGHT", "DAY")}    late: { policy: drop }\n`;
  const result = await check({ ...files, "/w/conf/m.yaml": yaml });
  expect(result.kind === "faults" ? result.faults.map(faultText) : []).toEqual([
    "conf/m.yaml:11:21 views.b.late.policy: b has no windows: no event is late for it; leave it out",
  ]);
});

test("a missing configuration or schema says where it was looked for", async () => {
  const none = await check({});
  expect(none.kind === "faults" ? none.faults.map(faultText) : []).toEqual([
    expect.stringContaining(
      "conf/m.yaml ENOENT: no such file, open '/w/conf/m.yaml'; name the file with --config",
    ),
  ]);
  const schemas = await check({ "/w/conf/m.yaml": YAML, "/w/conf/orders.avsc": "{}" });
  expect(schemas.kind === "faults" ? schemas.faults.map(faultText)[0] : "").toContain(
    "conf/m.yaml:2:21 streams.clicks.schema: ENOENT: no such file, open '/w/conf/clicks.avsc'",
  );
});

test("without faults there are plans, schemas and the control record", async () => {
  const result = await check({
    "/w/conf/m.yaml": YAML.replace("FORTNIGHT", "DAY"),
    "/w/conf/clicks.avsc": "{}",
    "/w/conf/orders.avsc": "{}",
  });
  if (result.kind !== "checked") throw new Error(result.faults.map(faultText).join("\n"));
  expect(result.plans.map(({ name }) => name)).toEqual(["a", "b"]);
  expect([...result.schemas.keys()]).toEqual(["clicks", "orders"]);
  expect(JSON.parse(result.record.body)).toMatchObject({ hash: result.record.hash });
});
