// What the appliances of simulated runs are configured with: one stream, views of each kind, at one of three paces. Checked as `serve` does, once per process.
import { checkConfig } from "../../src/serve/check.ts";
import { engineStreams } from "../../src/appliance.ts";
import { parseAvroSchema } from "../../src/event/avro.ts";
import type { ThreadStart } from "../../src/threads/messages.ts";
import { ViewParser } from "../../src/view/parse.ts";
import type { NaiveView } from "./naive.ts";

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

/** How much time a run takes, and what comes in it. Times in s. */
export interface Pace {
  /** Producers send so long, with faults. */
  readonly sendS: number;
  /** Mean pause between bodies of one producer: at least, at most. */
  readonly pauseS: readonly [number, number];
  /** How many bodies have 20 to 40 events; the others have 1 to 8. */
  readonly largeShare: number;
  readonly outOfOrdernessS: number;
  readonly tumblingS: number;
  readonly hoppingS: readonly [slide: number, size: number];
  readonly correctedS: number;
  readonly allowedS: number;
  readonly rollupS: number;
  readonly sessionGapS: number;
  /** A user sends for so long; then others do. */
  readonly visitS: number;
  readonly checkpointS: number;
  readonly exportS: number;
  /** How many events are late, and by how much at most; the same share cannot be read, or is of the far future. */
  readonly lateShare: number;
  readonly lateS: number;
  /** How many are asked in a run, about. */
  readonly questions: number;
  /** Size of a file of the log: smaller than a user may ask for, so that a run fills some. */
  readonly logFileBytes: number;
}

/** Half a minute with all that happens now and then in it. */
const DENSE: Pace = {
  sendS: 25,
  pauseS: [0.2, 2],
  largeShare: 0.1,
  outOfOrdernessS: 2,
  tumblingS: 5,
  hoppingS: [3, 6],
  correctedS: 4,
  allowedS: 8,
  rollupS: 12,
  sessionGapS: 2,
  visitS: 3600,
  checkpointS: 3,
  exportS: 6,
  lateShare: 0.05,
  lateS: 15,
  questions: 24,
  logFileBytes: 96 * 1024,
};

/** Intervals that the product has when nothing is configured, windows of a minute, a quarter of an hour. */
const USUAL: Pace = {
  sendS: 600,
  pauseS: [0.9, 2.1],
  largeShare: 0.1,
  outOfOrdernessS: 10,
  tumblingS: 60,
  hoppingS: [60, 120],
  correctedS: 60,
  allowedS: 60,
  rollupS: 300,
  sessionGapS: 30,
  visitS: 90,
  checkpointS: 10,
  exportS: 10,
  lateShare: 0.002,
  lateS: 200,
  questions: 8,
  logFileBytes: 1024 * 1024,
};

/** As usual, and as many events in fewer bodies: a body costs what it costs whatever is in it, and that is most of a run's time. No seed says it. */
const BATCHED: Pace = { ...USUAL, pauseS: [1.5, 3.3], largeShare: 0.3 };

export const PACES = { dense: DENSE, usual: USUAL, batched: BATCHED };

/** The views that are held against the naive answers. */
export function naiveViews(pace: Pace): readonly NaiveView[] {
  const us = (s: number): bigint => BigInt(s * 1_000_000);
  const view = (name: string, [slideS, sizeS]: readonly [number, number], allowedS = 0) => ({
    name,
    sizeUs: us(sizeS),
    slideUs: us(slideS),
    allowedUs: us(allowedS),
  });
  return [
    view("tumbling", [pace.tumblingS, pace.tumblingS]),
    view("hopping", pace.hoppingS),
    view("corrected", [pace.correctedS, pace.correctedS], pace.allowedS),
  ];
}

const LOG_BYTES_MAX = 96 * 1024 * 1024;

const ROWS = "SELECT window_start, user, count(*) AS hits, sum(value) AS total";

/** A kind of run. */
export interface Setup {
  readonly pace: Pace;
  readonly idleAfter: string | null;
  /** Events have no ids, requests have keys. */
  readonly hasKeys: boolean;
}

function yaml({ pace, idleAfter, hasKeys }: Setup): string {
  const [slideS, sizeS] = pace.hoppingS;
  return `
streams:
  hits:
    schema: hits.avsc
    event_time: time
${hasKeys ? "" : "    event_id: id"}
    out_of_orderness: ${pace.outOfOrdernessS}s
    max_future: 5m
${idleAfter === null ? "" : `    idle_after: ${idleAfter}`}
views:
  tumbling:
    sql: ${ROWS} FROM tumble(hits, time, INTERVAL ${pace.tumblingS} SECONDS) GROUP BY ALL
  hopping:
    sql: ${ROWS} FROM hop(hits, time, INTERVAL ${slideS} SECONDS, INTERVAL ${sizeS} SECONDS) GROUP BY ALL
  corrected:
    sql: ${ROWS} FROM tumble(hits, time, INTERVAL ${pace.correctedS} SECONDS) GROUP BY ALL
    late: { policy: update, allowed: ${pace.allowedS}s }
    rollups: [${pace.rollupS} seconds]
  visits:
    sql: SELECT window_start, window_end, user, count(*) AS hits, sum(value) AS total FROM session(hits, time, INTERVAL ${pace.sessionGapS} SECONDS, user) GROUP BY ALL
server:
  listen: 127.0.0.1:8080
storage:
  path: /data
checkpoint:
  interval: ${pace.checkpointS}s
export:
  interval: ${pace.exportS}s
`;
}

/** What a process of the appliance starts with. */
export async function configurationOf(setup: Setup): Promise<ThreadStart> {
  const parser = await ViewParser.open();
  const checked = await checkConfig(
    { configFlag: "millrace.yaml", workingFolder: "/", flags: new Map(), env: {} },
    {
      readText: (path) => (path.endsWith(".avsc") ? SCHEMA : yaml(setup)),
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
  const log = {
    ...settings.log,
    fileSizeBytes: setup.pace.logFileBytes,
    sizeMaxBytes: LOG_BYTES_MAX,
  };
  return {
    kind: "start",
    config: { ...checked.config, settings: { ...settings, log } },
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
