// Goldens: the rows of each view are those that DuckDB gave for the same text (make.ts), and they are the same rows in requests of one event
// and of all that came at one time, straight, and when the process is killed half-way, with a checkpoint at any earlier moment or none.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { kernelModule } from "../../kernels/modules.ts";
import { engineStreams } from "../../src/appliance.ts";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { faultsText } from "../../src/config/argv.ts";
import { parseAvroSchema } from "../../src/event/avro.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { readEventLines, type EventLine } from "../../src/rehearsal/event-lines.ts";
import { EVENTS_FILE, runFixture, type RehearsalConfig } from "../../src/rehearsal/fixture.ts";
import { checkConfig } from "../../src/serve/check.ts";
import { ViewParser } from "../../src/view/parse.ts";
import { cutIntoBodies, GoldenLife } from "./lives.ts";
import { caseFiles } from "./made-events.ts";

const FOLDER = import.meta.dir;
const CASES = readdirSync(FOLDER, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .toSorted();

const temporary = mkdtempSync(join(tmpdir(), "millrace-golden-"));
await buildKernels();
let parser: ViewParser;
beforeAll(async () => {
  parser = await ViewParser.open();
});
afterAll(() => {
  parser.close();
  rmSync(temporary, { recursive: true });
});

/** The case's configuration, checked as `serve` does. */
async function configOf(name: string): Promise<RehearsalConfig> {
  const checked = await checkConfig(
    { configFlag: "millrace.yaml", workingFolder: join(FOLDER, name), flags: new Map(), env: {} },
    {
      readText: (path) => readFileSync(path, "utf8"),
      parseSchema: ({ text, eventTime, eventId }) => {
        const parsed = parseAvroSchema(text, { eventTime, eventId, id: 1 });
        if ("faults" in parsed) throw new Error(JSON.stringify(parsed.faults));
        return { kind: "schema", schema: parsed.schema };
      },
      parseView: (source) => parser.parse(source),
    },
  );
  if (checked.kind === "faults") throw new Error(faultsText(checked.faults));
  const [decode, admit, fold] = [
    await kernelModule("decode"),
    await kernelModule("admit"),
    await kernelModule("fold"),
  ];
  return {
    modules: { decode, admit, fold },
    streams: engineStreams(checked),
    plans: checked.plans,
  };
}

/** All rows of all views as sorted text, so that runs can be compared. */
function rowsOf(life: GoldenLife, config: RehearsalConfig): string[] {
  return config.plans
    .flatMap(({ name }) => life.rows(name).map((row) => `${name}: ${row.map(String).join("|")}`))
    .toSorted();
}

interface Golden {
  readonly config: RehearsalConfig;
  readonly lines: readonly EventLine[];
}

let stores = 0;

/** Runs all bodies; at the half the process is killed, `savedBefore` bodies after the last checkpoint (null: there was none). */
function runKilled({ config, lines }: Golden, size: number, savedBefore: number | null): string[] {
  const bodies = cutIntoBodies(lines, size);
  const log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
  const store = openCheckpointStore(join(temporary, `${stores++}.db`), openDiskFiles(null), "job");
  const half = Math.floor(bodies.length / 2);
  let life = new GoldenLife(config, log, store);
  for (const [index, body] of bodies.entries()) {
    if (savedBefore !== null && index === half - savedBefore) life.checkpoint(store);
    if (index === half) life = new GoldenLife(config, log, store);
    life.send(body);
  }
  store.close();
  return rowsOf(life, config);
}

function runStraight({ config, lines }: Golden, size: number): string[] {
  const log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
  const store = openCheckpointStore(join(temporary, `${stores++}.db`), openDiskFiles(null), "job");
  const life = new GoldenLife(config, log, store);
  for (const body of cutIntoBodies(lines, size)) life.send(body);
  store.close();
  return rowsOf(life, config);
}

describe.each(CASES)("%s", (name) => {
  test("is what DuckDB gave", async () => {
    const result = runFixture(caseFiles(join(FOLDER, name)), await configOf(name));
    expect(result).toMatchObject({ kind: "ran", differences: [] });
  }, 60_000);

  test("is the same in requests of one event, and over a kill half-way", async () => {
    const config = await configOf(name);
    const lines = readEventLines(caseFiles(join(FOLDER, name)).text(EVENTS_FILE));
    const golden = { config, lines };
    const expected = runStraight(golden, 1000);
    expect(expected.length).toBeGreaterThan(20);
    expect(runStraight(golden, 1)).toEqual(expected);
    for (const [size, savedBefore] of [
      [1, 0],
      [1, 60],
      [1000, 0],
      [1000, 1],
      [1000, null],
    ] as const)
      expect(runKilled(golden, size, savedBefore)).toEqual(expected);
  }, 60_000);
});
