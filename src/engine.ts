// The engine: decode, admit, fold, as synchronous steps over three WASM memories. What it decides depends on its inputs alone: bodies and
// `now` up to the log, records after it. Reads no clock and writes no file: the caller (pipeline.ts on one thread, threads/engine.ts
// beside the log's thread) makes records durable between `take` and `fold`.
import { Admission } from "./admit/admission.ts";
import type { ControlDraft } from "./admit/applied.ts";
import { Intake, type Body } from "./admit/intake.ts";
import { KeptAnswers } from "./admit/kept-answers.ts";
import { instantiate } from "../kernels/host.ts";
import type { AdmitKernels } from "../kernels/admit.ts";
import type { DecodeKernels } from "../kernels/decode.ts";
import type { FoldKernels } from "../kernels/fold.ts";
import type { PartitionChange } from "./admit/stream-clock.ts";
import { assert, must } from "./base/assert.ts";
import { Decoder, type DecodeCursor } from "./event/decode.ts";
import {
  ADMIT_MEMORY_BYTES_MAX,
  DECODE_MEMORY_BYTES_MAX,
  FOLD_MEMORY_BYTES_MAX,
  IMAGES_BYTES,
  IMAGE_BYTES_MAX,
  RECORD_ROWS_MAX,
} from "./limits.ts";
import { ImageRing } from "./event/image-ring.ts";
import type { EngineOptions, EngineStream, EngineView } from "./engine-options.ts";
import type { SealedRecord, Source, Taken } from "./engine-records.ts";
import { answersControlOf } from "./log/answers-control.ts";
import { clockControl, clockControlOf } from "./log/clock-control.ts";
import type { ControlRecord, EventsRecord, LogRecord } from "./log/record.ts";
import { Accounting, type Accounts } from "./reader/accounting.ts";
import { Condition } from "./window/condition.ts";
import type { ViewOutput } from "./window/output.ts";
import { Windows } from "./window/windows.ts";

export class Engine {
  readonly bodiesBase: number;
  readonly admission: Admission;
  readonly windows: Windows;
  /** What requests with an Idempotency-Key were answered. */
  readonly answers: KeptAnswers;
  readonly #streams = new Map<string, EngineStream>();
  readonly accounting = new Accounting();
  readonly #since = new Map<string, number>();
  /** Of the streams with punctuated watermarks. */
  readonly #conditions = new Map<string, Condition>();
  readonly #decoder: Decoder;
  readonly #intake: Intake;
  readonly #images: ImageRing;
  #lastPosition = 0;
  #folded = 0;
  #receivedAtUs = 0;

  constructor(options: EngineOptions) {
    const { modules } = options;
    const decode = instantiate<DecodeKernels>(modules.decode, DECODE_MEMORY_BYTES_MAX);
    this.bodiesBase = decode.allocate(options.bodiesBytes);
    this.#images = new ImageRing(decode.allocate(IMAGES_BYTES), IMAGES_BYTES, IMAGE_BYTES_MAX);
    this.#decoder = new Decoder(decode, {
      rowsMax: RECORD_ROWS_MAX,
      imageBytesMax: IMAGE_BYTES_MAX,
    });
    const admit = instantiate<AdmitKernels>(modules.admit, ADMIT_MEMORY_BYTES_MAX);
    this.admission = new Admission(admit, options.idKey, options.generations ?? null);
    this.answers = new KeptAnswers(options.keptAnswers ?? null);
    const fold = instantiate<FoldKernels>(modules.fold, FOLD_MEMORY_BYTES_MAX);
    this.windows = new Windows(fold, undefined, { disk: options.closedParts ?? null });
    for (const stream of options.streams) {
      this.#addStream(stream);
      const { name, punctuated, schema } = stream;
      if (punctuated !== undefined)
        this.#conditions.set(name, new Condition(modules.fold, punctuated, schema));
    }
    this.#intake = new Intake(this.#decoder, this.admission, options.idKey);
  }

  /** The decode memory: bodies go in at `bodiesBase`, images of sealed records come out. */
  get decodeMemory(): SharedArrayBuffer {
    return this.#decoder.memory;
  }

  /** Adds views: those of a restored checkpoint go on. Others of the checkpoint are dropped. Call once, after any restore. */
  addViews(views: readonly EngineView[], restored: readonly string[]): void {
    for (const { plan, ...options } of views) {
      this.windows.addView(plan, this.#stream(plan.stream).schema, options);
      this.#since.set(plan.name, options.since);
    }
    const stats = this.windows.stats();
    this.accounting.count(
      views.map(({ plan: { name: view, stream, rollupOf }, since }) => {
        // A rollup takes over what is open below, and stands where that does: behind `since` when the log is replayed.
        const begun = stats.find((one) => one.view === view)?.counts.accepted ?? 0;
        const isRollup = rollupOf !== null;
        return { view, stream, since, from: isRollup ? 0 : since, accepted: isRollup ? begun : 0 };
      }),
    );
    const kept = new Set(views.map(({ plan }) => plan.name));
    for (const name of restored) if (!kept.has(name)) this.windows.dropView(name);
  }

  /** What moves a stream's watermark, for people. */
  movedBy(stream: string): "events" | "condition" | "receipt" {
    const { punctuated, schema } = this.#stream(stream);
    if (schema.eventTime === null) return "receipt";
    return punctuated === undefined ? "events" : "condition";
  }

  /** The log position after which a view counts events. */
  since(view: string): number {
    return must(this.#since.get(view), `view ${view}`);
  }

  get streamNames(): string[] {
    return [...this.#streams.keys()];
  }

  /**
   * Watermarks in µs as decimal text, by stream; streams without an event have none. Where views have not folded all that was admitted it
   * is theirs: what a table says of its completeness holds for its rows.
   */
  get watermarks(): Map<string, string> {
    const watermarks = new Map<string, string>();
    for (const stream of this.#streams.keys()) {
      const clock = this.admission.clock(stream);
      const watermarkUs = this.windows.streamWatermarkUs(stream) ?? clock.watermarkUs;
      if (watermarkUs !== null) watermarks.set(stream, watermarkUs.toString());
    }
    return watermarks;
  }

  /** Where the events up to `folded` went. */
  get accounts(): Accounts {
    const views = this.windows.stats().flatMap(({ view, counts }) => {
      const counted = this.accounting.view(view);
      if (counted === null) return [];
      const { stream, accepted } = counted;
      return [{ view, stream, ...counts, accepted }];
    });
    const watermarks = this.streamNames.map((stream) => {
      // A checkpoint of the first releases has it with the views only.
      const known = this.accounting.watermarkUs(stream);
      const viewsUs = this.windows.streamWatermarkUs(stream)?.toString() ?? null;
      return { stream, watermarkUs: known === undefined ? viewsUs : known };
    });
    return { streams: this.accounting.streams, views, watermarks };
  }

  /** Last position that was given out, durable or not. */
  get lastPosition(): number {
    return this.#lastPosition;
  }

  /** Last position that every view has folded. */
  get folded(): number {
    return this.#folded;
  }

  get lastReceivedAtUs(): number {
    return this.#receivedAtUs;
  }

  /** Whether `take` may be called: there is room for an image. When not, durable records must be folded first. */
  get hasRoom(): boolean {
    return this.#images.next !== null;
  }

  /** Makes one record of as many bodies (of one source partition) as fit. `cursor` belongs to the first body. */
  take(
    { stream, partition }: Source,
    bodies: readonly Body[],
    at: { readonly nowUs: number; readonly cursor: DecodeCursor | null },
  ): Taken {
    const address = must(this.#images.next, "room for an image: ask hasRoom first");
    const receivedAtUs = this.#logTime(at.nowUs);
    const condition = this.#conditions.get(stream) ?? null;
    const taken = this.#intake.step(stream, bodies, {
      receivedAtUs,
      partition,
      condition,
      target: address,
      cursor: at.cursor,
    });
    if (taken.full) return { kind: "full", reason: taken.reason, used: taken.used, cursor: null };
    const { outcomes, used, cursor, rowCount, duplicateCount, rejects, storedBytes } = taken;
    if (rowCount + duplicateCount + rejects.length === 0)
      return { kind: "taken", sealed: null, outcomes, used, cursor };
    this.#images.keep(storedBytes);
    this.#receivedAtUs = receivedAtUs;
    this.#lastPosition++;
    const clock = this.admission.clock(stream);
    // With rows admission was told already; without, dead letters are a sign of life as well.
    if (rowCount + duplicateCount === 0) clock.heard(partition, receivedAtUs);
    const sealed: SealedRecord = {
      position: this.#lastPosition,
      stream,
      partition,
      schemaId: this.#stream(stream).schema.id,
      receivedAtUs,
      watermarkUs: clock.watermarkUs,
      ...(condition === null ? {} : { markedUs: clock.highestUs(partition) }),
      rowCount,
      duplicateCount,
      rejects,
      address,
      storedBytes,
    };
    return { kind: "taken", sealed, outcomes, used, cursor };
  }

  /** A sealed record as the log holds it; its image is a view into the decode memory. */
  recordOf(sealed: SealedRecord): EventsRecord {
    const { address, storedBytes, ...rest } = sealed;
    const image = new Uint8Array(this.decodeMemory, address, storedBytes);
    return { kind: "events", ...rest, image };
  }

  /** A control record at the next position. Those that move a stream's clock are made by the methods below. */
  control({ control, stream, body }: ControlDraft, nowUs: number): ControlRecord {
    this.#receivedAtUs = this.#logTime(nowUs);
    this.#lastPosition++;
    const at = { position: this.#lastPosition, receivedAtUs: this.#receivedAtUs };
    return { kind: "control", ...at, control, stream, body };
  }

  /** Source partitions of a stream come, go, are held back or go on. */
  changePartitions(
    stream: string,
    change: { readonly names: readonly string[]; readonly to: PartitionChange },
    nowUs: number,
  ): ControlRecord {
    const clock = this.admission.clock(stream);
    clock.change(change.names, change.to, this.#logTime(nowUs));
    const { watermarkUs } = clock;
    const said = { change: change.to, stream, partitions: change.names, watermarkUs };
    return this.control(clockControl(said), nowUs);
  }

  /**
   * All source partitions at once: "connected" at a start, since what was silent while we were down could not deliver; "paused" while we
   * refuse producers, and "resumed" after that.
   */
  changeAllPartitions(to: "connected" | "paused" | "resumed", nowUs: number): ControlRecord[] {
    return this.streamNames.flatMap((stream) => {
      const names = this.admission.clock(stream).affectedBy(to);
      return names.length === 0 ? [] : [this.changePartitions(stream, { names, to }, nowUs)];
    });
  }

  /** Ticks of the streams where one changes something now: a source partition falls idle, or corrections that wait are put out. */
  ticks(nowUs: number): ControlRecord[] {
    const timeUs = this.#logTime(nowUs);
    // all of them before the first record is made: views are behind the log then
    const due = this.streamNames.filter((stream) => {
      const dueAtUs = this.admission.clock(stream).dueAtUs ?? Infinity;
      return Math.min(dueAtUs, this.correctionsDueAtUs(stream)) <= timeUs;
    });
    return due.map((stream) => {
      const clock = this.admission.clock(stream);
      clock.tick(timeUs);
      const said = { change: "tick", stream, partitions: [] } as const;
      return this.control(clockControl({ ...said, watermarkUs: clock.watermarkUs }), nowUs);
    });
  }

  /** As Windows has it; Infinity: nothing waits, or views are behind the log, whose records may put it out. */
  correctionsDueAtUs(stream: string): number {
    if (this.#folded < this.#lastPosition) return Infinity;
    return this.windows.correctionsDueAtUs(stream) ?? Infinity;
  }

  /** received_at of a record made now: whole ms, never below that of the last. */
  #logTime(nowUs: number): number {
    return Math.max(this.#receivedAtUs, Math.floor(nowUs / 1000) * 1000);
  }

  /** Folds a record that is durable now, and takes its image back. */
  foldSealed(sealed: SealedRecord): ViewOutput[] {
    const outputs = this.foldRecord(this.recordOf(sealed));
    this.#images.giveBack(sealed.address);
    return outputs;
  }

  /** Takes the image of a durable record back without folding it: that is done from the log. */
  release(sealed: SealedRecord): void {
    this.#images.giveBack(sealed.address);
  }

  /** Folds a record of the log, the next one behind `folded`, that admission knows. */
  foldRecord(record: LogRecord): ViewOutput[] {
    assert(record.position === this.#folded + 1, "records are folded in order");
    this.#folded = record.position;
    this.accounting.fold(record);
    return this.windows.foldRecord(record);
  }

  /** Repeats for admission a record of the log: `admitted` is the position that admission's checkpoint contains. */
  replay(record: LogRecord, admitted: number): void {
    this.#lastPosition = record.position;
    this.#receivedAtUs = record.receivedAtUs;
    // A stream that is no longer configured: its events stay in its table, nothing reads them here.
    const stream = this.#streams.get(record.stream ?? "");
    if (record.position <= admitted) return;
    const answers = record.kind === "control" ? answersControlOf(record) : null;
    if (answers !== null) this.answers.keep(record.stream ?? "", record.receivedAtUs, answers);
    if (stream === undefined) return;
    if (record.kind === "control") this.#replayControl(record);
    else if (record.rowCount > 0) {
      const { eventTime, eventId } = stream.schema;
      this.admission.replay(stream.name, { ...record, eventTime, eventId });
    } else {
      const clock = this.admission.clock(stream.name);
      clock.heard(record.partition, record.receivedAtUs);
      clock.decided(record.watermarkUs);
    }
  }

  #replayControl(record: ControlRecord): void {
    const said = clockControlOf(record);
    if (said === null) return;
    const clock = this.admission.clock(said.stream);
    if (said.change === "tick") clock.tick(record.receivedAtUs);
    else clock.change(said.partitions, said.change, record.receivedAtUs);
    clock.decided(said.watermarkUs);
  }

  /** Continues a log that ends at `last`, after a checkpoint whose views have folded it up to `folded`. */
  resumeAt(at: {
    readonly last: number;
    readonly folded: number;
    readonly receivedAtUs: number;
  }): void {
    this.#lastPosition = at.last;
    this.#folded = at.folded;
    this.#receivedAtUs = Math.max(this.#receivedAtUs, at.receivedAtUs);
  }

  #stream(name: string): EngineStream {
    return must(this.#streams.get(name), `stream ${name}`);
  }

  #addStream(stream: EngineStream): void {
    this.#streams.set(stream.name, stream);
    this.#decoder.setSchema(stream.name, stream.schema);
    this.answers.addStream(stream.name, stream.dedupTtlUs);
    this.admission.addStream({
      name: stream.name,
      dedupTtlUs: stream.schema.eventId === null ? null : stream.dedupTtlUs,
      outOfOrdernessUs: stream.outOfOrdernessUs,
      idleAfterUs: stream.idleAfterUs,
      eventTime: stream.schema.eventTime === null ? "received_at" : "column",
      maxFutureUs: stream.maxFutureUs,
      maxPastUs: stream.maxPastUs,
      idsMax: stream.dedupIdsMax,
    });
  }
}
