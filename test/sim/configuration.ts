// What the appliances of simulated runs are configured with: one stream, views of each kind. Checked as `serve` does, once per process.
import { checkConfig } from "../../src/serve/check.ts";
import { engineStreams } from "../../src/appliance.ts";
import { parseAvroSchema } from "../../src/event/avro.ts";
import type { ThreadStart } from "../../src/threads/messages.ts";
import { ViewParser } from "../../src/view/parse.ts";

const SCHEMA = JSON.stringify({
  type: "record",
  name: "Hit",
  fields: [
    { name: "id", type: "string" },
    { name: "time", type: { type: "long", logicalType: "timestamp-micros" } },
    { name: "user", type: "string" },
    { name: "value", type: "long" },
  ],
});

/** Some 30 records a file. */
const LOG = { fileSizeBytes: 256 * 1024, sizeMaxBytes: 96 * 1024 * 1024 };

const ROWS = "SELECT window_start, user, count(*) AS hits, sum(value) AS total";

function yaml(idleAfter: string | null, hasKeys: boolean): string {
  return `
streams:
  hits:
    schema: hits.avsc
    event_time: time
${hasKeys ? "" : "    event_id: id"}
    out_of_orderness: 2s
    max_future: 5m
${idleAfter === null ? "" : `    idle_after: ${idleAfter}`}
views:
  tumbling:
    sql: ${ROWS} FROM tumble(hits, time, INTERVAL 5 SECONDS) GROUP BY ALL
  hopping:
    sql: ${ROWS} FROM hop(hits, time, INTERVAL 3 SECONDS, INTERVAL 6 SECONDS) GROUP BY ALL
  corrected:
    sql: ${ROWS} FROM tumble(hits, time, INTERVAL 4 SECONDS) GROUP BY ALL
    late: { policy: update, allowed: 8s }
    rollups: [12 seconds]
  visits:
    sql: SELECT window_start, window_end, user, count(*) AS hits, sum(value) AS total FROM session(hits, time, INTERVAL 2 SECONDS, user) GROUP BY ALL
server:
  listen: 127.0.0.1:8080
storage:
  path: /data
checkpoint:
  interval: 3s
export:
  interval: 6s
`;
}

/** What a process of the appliance starts with. `hasKeys`: events have no ids, requests have keys. */
export async function configurationOf(
  idleAfter: string | null,
  hasKeys: boolean,
): Promise<ThreadStart> {
  const parser = await ViewParser.open();
  const checked = await checkConfig(
    { configFlag: "millrace.yaml", workingFolder: "/", flags: new Map(), env: {} },
    {
      readText: (path) => (path.endsWith(".avsc") ? SCHEMA : yaml(idleAfter, hasKeys)),
      parseSchema: ({ text, eventTime, eventId }) => {
        const parsed = parseAvroSchema(text, { eventTime, eventId, id: 1 });
        if ("faults" in parsed) throw new Error(JSON.stringify(parsed.faults));
        return { kind: "schema", schema: parsed.schema };
      },
      parseView: (source) => parser.parse(source),
    },
  );
  parser.close();
  if (checked.kind === "faults") throw new Error(JSON.stringify(checked.faults));
  const { settings } = checked.config;
  return {
    kind: "start",
    // files smaller than a user may ask for: a run fills some of them
    config: { ...checked.config, settings: { ...settings, log: { ...settings.log, ...LOG } } },
    streams: engineStreams(checked),
    views: checked.plans,
    configurationText: checked.record.body,
    dataFolder: "/data",
    jobId: "11111111-2222-4333-8444-555555555555",
    idKey: new Uint8Array(16).fill(7),
    onTableAhead: "refuse",
    failpoint: null,
  };
}
