// A golden's events through the path on one thread, over processes that end: what outlives them is the log and the checkpoints. The engine
// starts as src/threads/start-engine.ts does it.
import { configurationChange } from "../../src/admit/applied.ts";
import type { CheckpointStore } from "../../src/checkpoint/store.ts";
import { Engine } from "../../src/engine.ts";
import {
  ADMISSION_READER,
  checkpointChange,
  replayLog,
  restoreEngine,
  WINDOWS_READER,
} from "../../src/engine-state.ts";
import { must } from "../../src/base/assert.ts";
import type { Cell } from "../../src/event/image.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { Pipeline, pipelineBodyBytes } from "../../src/pipeline.ts";
import type { EventLine } from "../../src/rehearsal/event-lines.ts";
import type { RehearsalConfig } from "../../src/rehearsal/fixture.ts";
import { lastRows } from "../../src/rehearsal/last-rows.ts";
import { planHash } from "../../src/view/explain.ts";

const BODY_BYTES = 1024 * 1024;

/** Bodies of at most `size` consecutive lines that were received at one time from one source partition. */
export function cutIntoBodies(lines: readonly EventLine[], size: number): EventLine[][] {
  const bodies: EventLine[][] = [];
  for (const line of lines) {
    const last = bodies.at(-1);
    const isAlike =
      last?.[0]?.receivedAtUs === line.receivedAtUs && last.at(-1)?.partition === line.partition;
    if (last !== undefined && last.length < size && isAlike) last.push(line);
    else bodies.push([line]);
  }
  return bodies;
}

/** One process's life over a log and a store that outlive it. Views count from the log's begin. */
export class GoldenLife {
  readonly #engine: Engine;
  readonly #pipeline: Pipeline;
  readonly #config: RehearsalConfig;
  readonly #stream: string;

  constructor(config: RehearsalConfig, log: MemoryLog, store: CheckpointStore) {
    this.#config = config;
    this.#stream = must(config.streams[0], "stream").name;
    this.#engine = new Engine({
      modules: config.modules,
      idKey: { k0: 1n, k1: 2n },
      streams: config.streams,
      bodiesBytes: pipelineBodyBytes(BODY_BYTES),
    });
    const loaded = store.load();
    const views = config.plans.map((plan) => ({ plan, since: 0 }));
    restoreEngine(this.#engine, loaded, views);
    const positionOf = (name: string): number =>
      loaded.readers.find((reader) => reader.name === name)?.position ?? 0;
    const admitted = positionOf(ADMISSION_READER);
    replayLog(this.#engine, log.openReader(), {
      from: Math.min(admitted, positionOf(WINDOWS_READER)),
      admitted,
      last: log.last,
      receivedAtUs: log.lastReceivedAtUs,
    });
    this.#pipeline = new Pipeline(this.#engine, log.openWriter(), null);
  }

  send(body: readonly EventLine[]): void {
    const bytes = Buffer.from(body.map(({ text }) => text).join("\n"));
    const receivedAtUs = must(body[0]?.receivedAtUs ?? undefined, "received_at");
    const partition = must(body[0], "an event").partition;
    for (const tick of this.#engine.ticks(receivedAtUs - 1000)) this.#pipeline.control(tick);
    this.#pipeline.turn(this.#stream, { bytes, format: "ndjson", partition }, receivedAtUs);
  }

  checkpoint(store: CheckpointStore): void {
    const { streams, plans } = this.#config;
    const wanted = {
      streams: streams.map(({ name, schema }) => ({ name, schema, schemaHash: "" })),
      views: plans.map((plan) => ({ name: plan.name, planHash: planHash(plan) })),
      text: "",
    };
    const change = configurationChange(null, wanted, 0);
    if (change.kind === "refused") throw new Error("a first configuration is never refused");
    store.save(checkpointChange(this.#engine, change.applied));
  }

  /** The last state of every row of a view. */
  rows(view: string): Cell[][] {
    const { windows } = this.#engine;
    const plan = must(
      this.#config.plans.find(({ name }) => name === view),
      `view ${view}`,
    );
    return lastRows(plan, windows.pending(view), windows);
  }
}
