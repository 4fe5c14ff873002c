import { expect, test } from "bun:test";
import { loadConfig } from "../../src/config/load.ts";
import { configurationRecord } from "../../src/config/normal.ts";

function record(
  text: string,
  flags: Record<string, string> = {},
  schema = '{"name":"e","type":"record"}',
): { readonly body: string; readonly hash: string } {
  const { config } = loadConfig({
    text,
    path: "/a/millrace.yaml",
    shown: "millrace.yaml",
    workingFolder: "/",
    flags: new Map(Object.entries(flags)),
    env: {},
  });
  return configurationRecord(config, new Map([["s", schema]]));
}

const TEXT =
  "streams: {s: {schema: s.avsc, event_time: t, event_id: id}}\nviews: {v: {sql: SELECT 1}}\n";
const SAME =
  'views:\n  v: {sql: "SELECT 1", late: {policy: side}}\nstreams: # comment\n  s:\n    event_id: id\n    event_time: t\n    schema: s.avsc\n    dedup_ttl: 1440m\n';

test("the same meaning gives the same record, whatever the file looks like", () => {
  expect(record(SAME)).toEqual(record(TEXT));
  expect(record(TEXT, {}, '{ "type": "record", "name": "e" }')).toEqual(record(TEXT));
});

test("what decides results changes the hash, where it runs does not", () => {
  const { hash } = record(TEXT);
  expect(record(TEXT, { listen: "localhost:1", data: "/elsewhere" }).hash).toBe(hash);
  expect(record(TEXT, { "streams.s.out_of_orderness": "9s" }).hash).not.toBe(hash);
  expect(record(TEXT, { "views.v.sql": "SELECT 2" }).hash).not.toBe(hash);
  expect(record(TEXT, {}, '{"name":"f","type":"record"}').hash).not.toBe(hash);
});
