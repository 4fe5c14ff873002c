// `watermark.punctuated` is checked as a view's text is, and what is wrong with it is said at its place in the configuration.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { faultText } from "../../src/config/fault.ts";
import { parseAvroSchema } from "../../src/event/avro.ts";
import { checkConfig, type CheckResult } from "../../src/serve/check.ts";
import { ViewParser } from "../../src/view/parse.ts";

const SCHEMA = JSON.stringify({
  type: "record",
  name: "Reading",
  fields: [
    { name: "beat_at", type: { type: "long", logicalType: "timestamp-millis" } },
    { name: "kind", type: "string" },
    { name: "n", type: ["null", "long"], default: null },
  ],
});

let parser: ViewParser;
beforeAll(async () => {
  parser = await ViewParser.open();
});
afterAll(() => parser.close());

/** `condition` as it stands behind `punctuated:`. */
function check(condition: string): Promise<CheckResult> {
  const text = `streams:
  order:
    schema: r.avsc
    event_time: beat_at
    watermark:
      punctuated: ${condition}
views: { v: { sql: "SELECT window_start, count(*) AS n FROM tumble(\\"order\\", beat_at, INTERVAL 1 DAY) GROUP BY ALL" } }
`;
  const input = { configFlag: "m.yaml", workingFolder: "/", flags: new Map(), env: {} };
  return checkConfig(input, {
    readText: (path) => (path.endsWith(".avsc") ? SCHEMA : text),
    parseSchema: (source) => {
      const parsed = parseAvroSchema(source.text, { ...source, id: 1 });
      if ("faults" in parsed) throw new Error(JSON.stringify(parsed.faults));
      return { kind: "schema", schema: parsed.schema };
    },
    parseView: (source) => parser.parse(source),
  });
}

test.each([
  "kind = 'end'",
  "kind = 'end' OR n > 5 -- or enough",
  "received_at >= beat_at AND kind IN ('a', 'b')",
  "attrs IS NULL",
])("%s", async (condition) => {
  const result = await check(JSON.stringify(condition));
  expect(result.kind === "faults" ? result.faults.map(faultText) : []).toEqual([]);
  if (result.kind !== "checked") return;
  expect(result.conditions.get("order")?.filter?.type).toEqual({ kind: "BOOLEAN" });
  expect(result.config.streams[0]?.outOfOrdernessUs).toBe(0);
});

test.each([
  [`"knd = 'end'"`, /^m.yaml:6:19 .*punctuated: .*knd.*did you mean kind/],
  [`|\n        kind = 'end'\n        AND m > 1\n`, /^m.yaml:8:13 .*"?m"?/],
  ["n + 1", /this is BIGINT, not a condition; write a comparison/],
  ["kind", /this is VARCHAR, not a condition/],
  ["count(*) > 1", /a condition is about one event; write it without aggregates/],
  [`"kind = 'a', n = 1"`, /^m.yaml:6:/],
  [`"kind = 'a') AS c FROM \\"order\\" WHERE (n = 1"`, /^m.yaml:6:/],
  [`"kind = "`, /^m.yaml:6:19 .*punctuated: /],
  ["_behind > 0", /_behind is not known before the watermark is; use other columns/],
  [`"true"`, /constant/],
])("%s is refused", async (condition, message) => {
  const result = await check(condition);
  expect(result.kind === "faults" ? result.faults.map(faultText).join("\n") : "").toMatch(message);
});
