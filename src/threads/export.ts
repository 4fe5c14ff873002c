// The export thread: a loop around the exporter's steps, the checkpoint store, and what the log may forget. Slow disk work happens here
// and nowhere on the path of an answer. Wiring only.
import { instantiate } from "../../kernels/host.ts";
import type { ExportKernels } from "../../kernels/export.ts";
import { kernelModule } from "../../kernels/modules.ts";
import { must } from "../base/assert.ts";
import { systemClock } from "../base/clock.ts";
import { HeldFiles } from "../base/held-files.ts";
import type { EngineStream } from "../engine-options.ts";
import { CONFIGURATION_READER, foldPages } from "../engine-state.ts";
import { TABLE_READER_BODY, trimPosition } from "../checkpoint/recovery.ts";
import { Sealer, type SealedStream } from "../checkpoint/sealer.ts";
import { openCheckpointStore } from "../checkpoint/sqlite-store.ts";
import type { CheckpointChange, CheckpointStore } from "../checkpoint/store.ts";
import { EXPORT_MEMORY_BYTES_MAX } from "../limits.ts";
import {
  generationsFolderOf,
  ledgerPathOf,
  logFolderOf,
  statePathOf,
  warehouseFolderOf,
} from "../log/data-folder.ts";
import { LogFilesAhead } from "../log/files-ahead.ts";
import { unlinkLogFiles } from "../log/sqlite-log.ts";
import { openSqliteLogReader } from "../log/sqlite-log-reader.ts";
import { Exporter, isLogReader } from "../table/exporter.ts";
import { openTables, type Tables } from "../table/tables.ts";
import { decideChange } from "./applied.ts";
import type {
  EngineToExport,
  ExportToEngine,
  ExportToMain,
  MainToExport,
  ThreadStart,
} from "./messages.ts";
import { FailureLatch } from "./worker.ts";

declare const self: Worker;

/** How often it is looked at what is due by its age; what the engine sends is looked at when it comes. */
const TURN_INTERVAL_MS = 250;
const COMMIT_INTERVAL_MS = 2000;

const toMain = (message: ExportToMain): void => self.postMessage(message);
const latch = new FailureLatch(toMain);

class ExportThread {
  readonly #tables: Tables;
  readonly #exporter: Exporter;
  readonly #store: CheckpointStore;
  readonly #engine: MessagePort;
  readonly #files: HeldFiles;
  readonly #start: ThreadStart;
  readonly #logFolder: string;
  /** What views come to next when they catch up: the engine need not wait for it to be opened. */
  readonly #ahead: LogFilesAhead;
  /** Positions that running queries still read from the log. */
  readonly #holds = new Map<number, number>();
  /** Positions that the newest checkpoint contains. */
  #checkpointed: number | null = null;
  #trimmed = 0;
  /** What views that stopped want of the log. */
  #wanted: number | null = null;
  #turnScheduled = false;
  #isStopped = false;
  #timers: readonly ReturnType<typeof setInterval>[] = [];
  /** Readers of the checkpoint that run no more: the log is trimmed without them. */
  readonly #stoppedReaders: readonly string[];
  /** Null until the engine's first message. */
  #sealer: Sealer | null = null;
  #told = "";
  /** A savepoint is being taken: what the engine sent since, in order. Null: nothing is held up. */
  #frozen: EngineToExport[] | null = null;
  /** Trimmed files of the log that a savepoint may still copy. Null: none is under way. */
  #undiscarded: number[] | null = null;

  constructor(start: ThreadStart, kernels: Uint8Array, engine: MessagePort) {
    const files = new HeldFiles(start.failpoint);
    const clock = systemClock();
    this.#engine = engine;
    this.#files = files;
    this.#start = start;
    this.#logFolder = logFolderOf(start.dataFolder);
    this.#ahead = new LogFilesAhead(this.#logFolder, files);
    this.#store = openCheckpointStore(statePathOf(start.dataFolder), files, start.jobId);
    const log = openSqliteLogReader(this.#logFolder, files);
    decideChange(start, this.#store.reader(CONFIGURATION_READER), log);
    this.#tables = openTables({
      folder: warehouseFolderOf(start.dataFolder),
      ledgerPath: ledgerPathOf(start.dataFolder),
      jobId: start.jobId,
      onTableAhead: start.onTableAhead,
      files,
      clock,
      kernels: instantiate<ExportKernels>(kernels, EXPORT_MEMORY_BYTES_MAX),
    });
    const { raw, intervalUs, rows } = start.config.settings.export;
    this.#exporter = new Exporter({
      tables: this.#tables,
      log,
      clock,
      streams: start.streams,
      views: start.views,
      rawOn: raw,
      rawEpoch: { ageUsMax: intervalUs, rowsMax: rows },
    });
    const running = new Set(this.#exporter.readers().map(({ reader }) => reader));
    const saved = this.#store.readerNames().filter((name) => isLogReader(name));
    this.#stoppedReaders = saved.filter((name) => !running.has(name));
    engine.onmessage = ({ data }: { data: EngineToExport }) =>
      latch.run(() => this.#onEngine(data));
    this.#tell([]);
    for (const text of this.#tables.rollbacks) toMain({ kind: "notice", text });
    toMain({
      kind: "started",
      covered: this.#exporter.coverage(),
      writers: this.#tables.writers(),
      readers: this.#exporter.readers(),
    });
  }

  pin(message: Extract<MainToExport, { kind: "pin" }>): void {
    const streams = message.streams.map((stream) => ({
      stream,
      ...this.#exporter.pinnedStream(stream),
    }));
    const { files, coveredPosition } = this.#exporter.pinnedDeadLetters();
    const reads = [
      ...streams.map((stream) => stream.coveredPosition),
      ...(message.deadLetters ? [coveredPosition] : []),
    ];
    if (reads.length > 0) this.#holds.set(message.id, Math.min(...reads));
    toMain({
      kind: "pinned",
      id: message.id,
      streams,
      views: message.views.map(({ view, rowsEpoch }) => ({
        view,
        rows: this.#exporter.pinnedRows(view, rowsEpoch),
      })),
      lateEvents: this.#exporter.pinnedLate(
        new Map(message.views.map(({ view, lateEpoch }) => [view, lateEpoch])),
      ),
      deadLetters: { files, coveredPosition },
      readers: this.#exporter.readers(),
    });
  }

  release(id: number): void {
    this.#holds.delete(id);
  }

  /** Unlinks files of the log that were trimmed; those that a stop leaves are trimmed after the next start. */
  discard(firsts: readonly number[]): void {
    if (this.#undiscarded === null) unlinkLogFiles(this.#logFolder, this.#files, firsts);
    else this.#undiscarded.push(...firsts);
  }

  /** From the end of this step on all files are of one moment. */
  freeze(): void {
    this.#frozen = [];
    this.#undiscarded = [];
    this.#tables.keepReplaced(true);
    this.#files.hold();
    toMain({ kind: "frozen" });
  }

  thaw(): void {
    const waiting = this.#frozen ?? [];
    this.#frozen = null;
    for (const message of waiting) this.#onEngine(message);
    this.#scheduleTurn();
  }

  /** The savepoint has ended: everything that was to be unlinked since is. */
  letGo(): void {
    this.thaw();
    const firsts = this.#undiscarded ?? [];
    this.#undiscarded = null;
    this.#tables.keepReplaced(false);
    this.#files.release();
    this.discard(firsts);
  }

  /** Cuts and commits everything that waits. */
  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    if (this.#sealer !== null) this.#finish();
    this.#sealer?.close();
    this.#ahead.close();
    this.#store.close();
    this.#tables.close();
    toMain({ kind: "stopped" });
  }

  #finish(): void {
    // what failed is tried first: nothing is read beside it
    this.#cover(true);
    while (this.#exporter.readLog()) {
      this.#cover(false);
      // a record of many days: the rest of the log comes after it
      if (this.#exporter.isWriting) this.#cover(true);
    }
    this.#cover(true);
    do this.#commit();
    while (this.#exporter.hasMoreToCommit);
  }

  /** Nothing is written before the engine has found the data folder's files to be of one moment: a refused start leaves them as they were. */
  #begin(): Sealer {
    const folder = generationsFolderOf(this.#start.dataFolder);
    const sealer = new Sealer(
      { files: this.#files, folder },
      this.#store,
      this.#start.streams.flatMap((stream) => sealedStream(stream)),
    );
    for (const text of this.#exporter.resume()) toMain({ kind: "notice", text });
    this.#timers = [
      setInterval(() => latch.run(() => this.#turn()), TURN_INTERVAL_MS),
      setInterval(() => latch.run(() => this.#commit()), COMMIT_INTERVAL_MS),
    ];
    return sealer;
  }

  #onEngine(message: EngineToExport): void {
    if (this.#frozen !== null) {
      this.#frozen.push(message);
      return;
    }
    this.#sealer ??= this.#begin();
    if (message.kind === "outputs") this.#exporter.addOutputs(message.outputs);
    else if (message.kind === "generations taken") this.#sealer.taken();
    else if (message.kind === "checkpoint")
      this.#save(this.#sealer, { ...message.change, pages: foldPages(message.pages) });
    else {
      this.#wanted = message.wanted;
      this.#ahead.keep(message.position + 1);
      this.#exporter.folded(message.position, message.watermarks, message.stopped);
      this.#scheduleTurn();
    }
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    setImmediate(() => {
      this.#turnScheduled = false;
      if (this.#isStopped) return;
      latch.run(() => this.#turn());
    });
  }

  /** One bounded piece of the log, then what is due. More follows when there is more. */
  #turn(): void {
    if (this.#frozen !== null) return;
    const more = this.#exporter.readLog();
    this.#cover(false);
    this.#trim();
    if (this.#exporter.hasMoreToCommit) this.#commit();
    this.#seal();
    this.#store.merge();
    const isBusy = more || this.#exporter.isWriting || this.#sealer?.isBusy === true;
    if (isBusy) this.#scheduleTurn();
  }

  /** One bounded step of sealing ids. */
  #seal(): void {
    const change = this.#sealer?.step() ?? null;
    if (change !== null) this.#toEngine({ kind: "generations", ...change });
  }

  #cover(force: boolean): void {
    const covered = this.#exporter.cut(force);
    if (covered.length > 0) this.#toEngine({ kind: "covered", covered });
  }

  #commit(): void {
    if (this.#frozen !== null) return;
    const sealing = this.#sealer?.problem ?? null;
    const failures = [...this.#exporter.commit(), ...(sealing === null ? [] : [sealing])];
    this.#tell(failures.map(({ message }) => message));
    toMain({ kind: "readers", readers: this.#exporter.readers() });
  }

  /** Says what fails now, with what was damaged at the start, when it is not what was said last. */
  #tell(failures: readonly string[]): void {
    const problems = [...this.#tables.damages, ...failures];
    const text = problems.join("\n");
    if (text === this.#told) return;
    if (text !== "") toMain({ kind: "notice", text });
    toMain({ kind: "problems", problems });
    this.#told = text;
  }

  #save(sealer: Sealer, change: CheckpointChange): void {
    // beside the engine's readers, how far the tables are: a start refuses a ledger that is older than its checkpoint, and a log that begins behind it
    const tables = this.#exporter.readers().map(({ reader, durable }) => ({
      name: reader,
      position: durable,
      body: TABLE_READER_BODY,
    }));
    const changes = sealer.save({
      ...change,
      readers: [...change.readers, ...tables],
      removedReaders: [...change.removedReaders, ...this.#stoppedReaders],
    });
    for (const generations of changes) this.#toEngine({ kind: "generations", ...generations });
    this.#checkpointed = Math.min(...change.readers.map(({ position }) => position));
    this.#toEngine({ kind: "checkpointed" });
    this.#trim();
  }

  #trim(): void {
    if (this.#checkpointed === null) return;
    const readers = this.#exporter.readers().map(({ durable }) => durable);
    const position = trimPosition([this.#checkpointed, ...readers, ...this.#holds.values()]);
    if (position <= this.#trimmed) return;
    this.#trimmed = position;
    toMain({ kind: "trim", position, wanted: this.#wanted });
  }

  #toEngine(message: ExportToEngine): void {
    this.#engine.postMessage(message);
  }
}

/** How a stream's ids are sealed; none without event ids. */
function sealedStream(stream: EngineStream): SealedStream[] {
  const { name, schema, dedupTtlUs, dedupIdsMax, dedupDiskMaxBytes } = stream;
  if (schema.eventId === null || dedupTtlUs === null) return [];
  return [{ name, dedupTtlUs, idsMax: dedupIdsMax, diskBytesMax: dedupDiskMaxBytes }];
}

let thread: ExportThread | null = null;

self.onmessage = (event: MessageEvent<MainToExport>) =>
  latch.run(() => {
    const message = event.data;
    if (message.kind === "start") {
      const port = must(event.ports[0], "the port to the engine");
      kernelModule("export")
        .then((kernels) => latch.run(() => (thread = new ExportThread(message, kernels, port))))
        .catch((error: unknown) => latch.fail(error));
      return;
    }
    const exporter = must(thread, "the export");
    if (message.kind === "pin") exporter.pin(message);
    else if (message.kind === "release") exporter.release(message.id);
    else if (message.kind === "discard") exporter.discard(message.firsts);
    else if (message.kind === "freeze") exporter.freeze();
    else if (message.kind === "thaw") exporter.thaw();
    else if (message.kind === "let go") exporter.letGo();
    else exporter.stop();
  });
