// The whole path on one thread for tests: engine, log in memory, checkpoints in SQLite, the example's stream and views. Lives end where a
// test says so; the next one starts from what is durable, as src/threads/start-engine.ts does.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { seeded } from "../bench/load-body.ts";
import { FOLD_PAGE_BYTES } from "../kernels/abi.ts";
import { buildKernels } from "../kernels/build.ts";
import { configurationChange, type AppliedConfiguration } from "../src/admit/applied.ts";
import { must } from "../src/base/assert.ts";
import {
  NO_CHECKPOINT,
  type CheckpointChange,
  type CheckpointStore,
} from "../src/checkpoint/store.ts";
import { Engine } from "../src/engine.ts";
import type { EngineStream, EngineView } from "../src/engine-options.ts";
import type { SealedRecord } from "../src/engine-records.ts";
import { EngineBacklog } from "../src/engine-backlog.ts";
import {
  ADMISSION_READER,
  checkpointChange,
  checkpointSteps,
  replayLog,
  restoreEngine,
  WINDOWS_READER,
} from "../src/engine-state.ts";
import { parseAvroSchema } from "../src/event/avro.ts";
import { imageRows, type ImageColumn } from "../src/event/image.ts";
import { DEDUP_DISK_BYTES, DEDUP_IDS_MAX, PENDING_OUTPUT_BYTES_MAX } from "../src/limits.ts";
import { encodeRecord } from "../src/log/codec.ts";
import type { LogWriter } from "../src/log/log.ts";
import { MemoryLog } from "../src/log/memory-log.ts";
import { Pipeline, pipelineBodyBytes, type PipelineAnswer } from "../src/pipeline.ts";
import { readClicks } from "../src/serve/clicks.ts";
import { planHash } from "../src/view/explain.ts";
import { ViewParser } from "../src/view/parse.ts";
import type { ViewPlan } from "../src/view/plan.ts";
import { LATE_COLUMNS } from "../src/window/late.ts";
import type { ViewOutput } from "../src/window/output.ts";

const ROOT = join(import.meta.dir, "..");
const EXAMPLE = join(ROOT, "examples", "clickstream");
const DAY_US = 86_400_000_000;
const BODY_BYTES = 4 * 1024 * 1024;
/** After the last click, µs: nothing is from the future. */
const NOW_US = Date.UTC(2019, 9, 2) * 1000;
export const OUT_OF_ORDERNESS_MS = 10_000;

await buildKernels();
const kernel = (name: string): Uint8Array => readFileSync(join(ROOT, "build", `${name}.wasm`));
export const MODULES = { decode: kernel("decode"), admit: kernel("admit"), fold: kernel("fold") };

/** The bundled clicks as JSON texts. */
export const CLICKS: readonly string[] = readClicks(readFileSync(join(EXAMPLE, "clicks.csv.gz")));
const TIMES = CLICKS.map((click) =>
  Date.parse((JSON.parse(click) as { event_time: string }).event_time),
);

/** The clicks, each moved back by less than `rangeMs`: within the out-of-orderness none is late. */
export function shuffledClicks(seed: number, rangeMs: number): string[] {
  const random = seeded(seed);
  return CLICKS.map((click, at) => ({ click, at: must(TIMES[at], "time") + random() * rangeMs }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ click }) => click);
}

async function examplePlans(): Promise<{ stream: EngineStream; plans: readonly ViewPlan[] }> {
  const parsed = parseAvroSchema(readFileSync(join(EXAMPLE, "clicks.avsc"), "utf8"), {
    eventTime: "event_time",
    eventId: "event_id",
    id: 1,
  });
  if ("faults" in parsed) throw new Error(JSON.stringify(parsed.faults));
  const { schema } = parsed;
  const stream: EngineStream = {
    name: "clicks",
    schema,
    dedupTtlUs: DAY_US,
    dedupIdsMax: DEDUP_IDS_MAX,
    dedupDiskMaxBytes: DEDUP_DISK_BYTES,
    outOfOrdernessUs: OUT_OF_ORDERNESS_MS * 1000,
    idleAfterUs: null,
    maxFutureUs: 300_000_000,
    maxPastUs: null,
  };
  const { views } = parse(readFileSync(join(EXAMPLE, "millrace.yaml"), "utf8")) as {
    views: Record<string, { sql: string }>;
  };
  const parser = await ViewParser.open();
  const plans: ViewPlan[] = [];
  for (const [name, { sql }] of Object.entries(views)) {
    const result = await parser.parse({ name, sql, streams: [{ name: "clicks", schema }] });
    if (result.kind === "faults") throw new Error(JSON.stringify(result.faults));
    plans.push(result.plan);
  }
  parser.close();
  return { stream, plans };
}

export const EXAMPLE_PLANS = await examplePlans();

/** A plan over the example's stream whose filter is this condition: what makes its watermarks punctuated. */
export async function conditionOf(text: string): Promise<ViewPlan> {
  const { name, schema } = EXAMPLE_PLANS.stream;
  const parser = await ViewParser.open();
  const sql = `SELECT event_time FROM ${name} WHERE ${text}`;
  const result = await parser.parse({ name: "condition", sql, streams: [{ name, schema }] });
  parser.close();
  if (result.kind === "faults") throw new Error(JSON.stringify(result.faults));
  return result.plan;
}
const { stream: STREAM, plans: PLANS } = EXAMPLE_PLANS;

function columnsOf(plan: ViewPlan, kind: ViewOutput["kind"]): readonly ImageColumn[] {
  if (kind === "late") return LATE_COLUMNS;
  return [...plan.output, { name: "revision", type: { kind: "BIGINT" }, nullable: false }];
}

/** `view kind position|open: values` of every row of an image. */
function rowTexts(
  plan: ViewPlan,
  where: { readonly kind: ViewOutput["kind"]; readonly at: string },
  image: Uint8Array,
): string[] {
  return imageRows(image, columnsOf(plan, where.kind)).map(
    (row) => `${plan.name} ${where.kind} ${where.at}: ${row.map(String).join("|")}`,
  );
}

/** What outlives a process: the log, saved checkpoints, and what the tables hold. */
export class Disk {
  readonly log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
  readonly published: string[] = [];
  readonly covered = new Map<
    string,
    { readonly view: string; readonly kind: ViewOutput["kind"]; readonly position: number }
  >();
}

/** A body and what it is written in. */
export function bodyOf(events: readonly string[], format: "json" | "ndjson"): Uint8Array {
  return Buffer.from(format === "json" ? `[${events.join(",")}]` : events.join("\n"));
}

/** Pieces of catching up that end after so many records, wherever those lie in what was read together. */
function pieceOf(records: number): () => boolean {
  let folded = 0;
  return () => ++folded >= records;
}

/** The engine of one process's life. */
export class Life {
  readonly #disk: Disk;
  readonly #engine: Engine;
  readonly #writer: LogWriter;
  readonly #pipeline: Pipeline;
  readonly #applied: AppliedConfiguration;

  readonly #outputBytesMax: number;
  readonly #backlog: EngineBacklog;
  /** What is left of a checkpoint that is taken in slices. */
  #steps: Iterator<void, CheckpointChange> | null = null;

  /** Starts on what the disk and the store hold. `outputBytesMax` bounds what `turnBehind` and `catchUp` leave pending. */
  constructor(
    disk: Disk,
    store: CheckpointStore | null,
    outputBytesMax = PENDING_OUTPUT_BYTES_MAX,
  ) {
    this.#disk = disk;
    this.#outputBytesMax = outputBytesMax;
    this.#engine = new Engine({
      modules: MODULES,
      idKey: { k0: 1n, k1: 2n },
      streams: [STREAM],
      bodiesBytes: pipelineBodyBytes(BODY_BYTES),
    });
    this.#writer = disk.log.openWriter();
    this.#pipeline = new Pipeline(this.#engine, this.#writer, null);
    const wanted = {
      streams: [{ name: "clicks", schema: STREAM.schema, schemaHash: "" }],
      views: PLANS.map((plan) => ({ name: plan.name, planHash: planHash(plan) })),
      text: "",
    };
    const change = configurationChange(null, wanted, 0);
    if (change.kind !== "changed") throw new Error("the first configuration is a change");
    this.#applied = change.applied;
    this.#recover(store);
    const reader = disk.log.openReader();
    this.#backlog = new EngineBacklog(this.#engine, reader, outputBytesMax);
    if (disk.log.last > 0) return;
    for (const control of change.controls) {
      const record = this.#engine.control(control, NOW_US);
      this.#writer.append([encodeRecord(record)]);
      this.#backlog.take([record]);
    }
  }

  #recover(store: CheckpointStore | null): void {
    const engine = this.#engine;
    const { log, covered } = this.#disk;
    const loaded = store?.load() ?? NO_CHECKPOINT;
    const views: EngineView[] = PLANS.map((plan) => ({
      plan,
      since: must(this.#applied.views[plan.name], "applied view").since,
    }));
    restoreEngine(engine, loaded, views);
    for (const { view, kind, position } of covered.values())
      engine.windows.covered(view, kind, position);
    const positionOf = (name: string): number =>
      loaded.readers.find((reader) => reader.name === name)?.position ?? 0;
    const admitted = positionOf(ADMISSION_READER);
    const from = Math.min(admitted, positionOf(WINDOWS_READER));
    replayLog(engine, log.openReader(), {
      from,
      admitted,
      last: log.last,
      receivedAtUs: log.lastReceivedAtUs,
      outputBytesMax: this.#outputBytesMax,
    });
  }

  /** The n-th turn of the path; received a millisecond after the turn before. */
  turn(n: number, events: readonly string[], format: "json" | "ndjson" = "ndjson"): PipelineAnswer {
    const body = { bytes: bodyOf(events, format), format };
    return this.#pipeline.turn("clicks", body, NOW_US + n * 1000);
  }

  checkpoint(store: CheckpointStore): void {
    store.save(checkpointChange(this.#engine, this.#applied));
  }

  /** A turn with a checkpoint in its middle, as threads take it: the ids are admitted, the record is not folded yet. */
  turnAround(n: number, events: readonly string[], store: CheckpointStore): void {
    const sealed = this.#seal(n, events);
    const change = checkpointChange(this.#engine, this.#applied);
    this.#writer.append([encodeRecord(this.#engine.recordOf(sealed))]);
    store.save(change);
    this.#engine.foldSealed(sealed);
  }

  /** Begins a checkpoint of now, of which `slice` takes a step. Turns between them are `turnBehind`: admitted and logged, but not folded. */
  beginCheckpoint(): void {
    this.#backlog.pause();
    const room = (): Uint8Array => new Uint8Array(FOLD_PAGE_BYTES);
    this.#steps ??= checkpointSteps(this.#engine, this.#applied, room);
  }

  /** A step of the checkpoint that was begun; it is saved with the last one. Whether steps are left. */
  slice(store: CheckpointStore): boolean {
    const { done, value } = this.#steps?.next() ?? {};
    if (done === undefined || value === undefined) return this.#steps !== null;
    store.save(value);
    this.#steps = null;
    this.#backlog.resume();
    return false;
  }

  /**
   * A turn as threads take it: folded if outputs have room, else left to the log. Catching up may meet the record in the log before it is told
   * to be durable. Gives the bytes of outputs that wait.
   */
  turnBehind(n: number, events: readonly string[]): number {
    const sealed = this.#seal(n, events);
    this.#writer.append([encodeRecord(this.#engine.recordOf(sealed))]);
    while (this.#backlog.catchUp(pieceOf(2)).more);
    this.#backlog.take([sealed]);
    return this.#engine.windows.pendingBytes;
  }

  /** Folds what was left to the log as far as outputs have room; whether some is left. */
  catchUp(): boolean {
    while (this.#backlog.catchUp(pieceOf(2)).more);
    return this.#backlog.isWaiting;
  }

  #seal(n: number, events: readonly string[]): SealedRecord {
    const engine = this.#engine;
    const address = engine.bodiesBase;
    const bytes = bodyOf(events, "ndjson");
    new Uint8Array(engine.decodeMemory).set(bytes, address);
    const body = { request: 1, address, bytes: bytes.length, format: "ndjson" as const };
    const taken = engine.take({ stream: "clicks", partition: "" }, [body], {
      nowUs: NOW_US + n * 1000,
      cursor: null,
    });
    if (taken.kind === "full" || taken.sealed === null || taken.used !== 1)
      throw new Error("the body is one record");
    return taken.sealed;
  }

  /** What the export does: pending outputs go to the tables, the ledger covers them. */
  publish(): void {
    const { windows } = this.#engine;
    for (const plan of PLANS)
      for (const output of windows.pending(plan.name)) {
        const { view, kind, position } = output;
        this.#disk.published.push(...this.#textsOf(plan, output));
        this.#disk.covered.set(`${view} ${kind}`, { view, kind, position });
      }
    for (const { view, kind, position } of this.#disk.covered.values())
      windows.covered(view, kind, position);
  }

  #textsOf(plan: ViewPlan, { kind, position, image }: ViewOutput): string[] {
    return rowTexts(plan, { kind, at: String(position) }, image);
  }

  /** Every row there is of every view: published, pending and of open windows, in order. */
  rows(): string[] {
    const { windows } = this.#engine;
    const rows = PLANS.flatMap((plan) => [
      ...windows.pending(plan.name).flatMap((output) => this.#textsOf(plan, output)),
      ...windows
        .openWindows(plan.name)
        .flatMap(({ images }) =>
          images.flatMap(({ image }) => rowTexts(plan, { kind: "rows", at: "open" }, image)),
        ),
    ]);
    return [...this.#disk.published, ...rows].toSorted();
  }
}

/** Rows without the position that closed their window: that depends on how events were cut into requests. */
export function withoutPositions(rows: readonly string[]): string[] {
  return rows.map((row) => row.replace(/^(\w+ \w+) \d+:/, "$1 closed:")).toSorted();
}
