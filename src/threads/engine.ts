// The engine thread: a queue of bodies, the records in flight to the log, and a loop around the engine's steps. Wiring: everything that
// is decided about events is decided in src/engine.ts and below.
import type { Body } from "../admit/intake.ts";
import { must } from "../base/assert.ts";
import { systemClock, type Clock } from "../base/clock.ts";
import { openDiskFiles } from "../base/disk-files.ts";
import type { Engine } from "../engine.ts";
import { EngineBacklog } from "../engine-backlog.ts";
import { RecordsInFlight } from "../engine-in-flight.ts";
import { EngineKeys, type Keyed } from "../engine-keys.ts";
import { EngineLaggards, type PastPage } from "../engine-laggards.ts";
import type { Source } from "../engine-records.ts";
import type { DecodeCursor } from "../event/decode.ts";
import { RECORD_REQUESTS_MAX } from "../limits.ts";
import { logFolderOf } from "../log/data-folder.ts";
import type { LogReader } from "../log/log.ts";
import type { ControlRecord } from "../log/record.ts";
import { openSqliteLogReader } from "../log/sqlite-log-reader.ts";
import { EngineCheckpoints } from "./engine-checkpoints.ts";
import { EngineCatchUp } from "./engine-catch-up.ts";
import { EnginePins } from "./engine-pins.ts";
import { engineStatus, type LongestSteps } from "./engine-status.ts";
import type {
  EngineToExport,
  EngineToLog,
  EngineToMain,
  ExportToEngine,
  LogToEngine,
  MainToEngine,
  EngineStart,
} from "./messages.ts";
import { LARGE_SLOT, Slots } from "./slots.ts";
import { packAnswers } from "./answers.ts";
import { startEngine, type StartedEngine } from "./start-engine.ts";
import { FailureLatch } from "./worker.ts";

declare const self: Worker;

const STATUS_INTERVAL_MS = 1000;
const CLOCK_INTERVAL_MS = 200;

const toMain = (message: EngineToMain): void => self.postMessage(message);
const latch = new FailureLatch(toMain);

interface QueuedBody extends Body {
  readonly source: Source;
  readonly slot: number;
  /** Where it goes on, when its beginning is in a record already. */
  readonly cursor: DecodeCursor | null;
  /** Null: the request has no Idempotency-Key. */
  readonly keyed: Keyed | null;
}

interface Ports {
  readonly log: MessagePort;
  readonly export: MessagePort;
}

class EngineThread {
  readonly #engine: Engine;
  readonly #backlog: EngineBacklog;
  readonly #pins: EnginePins;
  readonly #checkpoints: EngineCheckpoints;
  readonly #keys: EngineKeys;
  readonly #slots: Slots;
  readonly #ports: Ports;
  readonly #clock: Clock;
  readonly #laggards: EngineLaggards;
  readonly #catchUp: EngineCatchUp;
  readonly #longest: LongestSteps = { catchUpUs: 0, checkpointUs: 0, pictureUs: 0 };
  readonly #queue: QueuedBody[] = [];
  /** Bodies of a slot that are still queued. */
  readonly #queuedInSlot = new Map<number, number>();
  readonly #inFlight = new RecordsInFlight();
  #turnScheduled = false;
  #stopping = false;

  constructor(start: EngineStart, started: StartedEngine, ports: Ports) {
    const { engine } = started;
    this.#engine = engine;
    this.#ports = ports;
    this.#clock = systemClock();
    this.#keys = new EngineKeys(engine, start.idKey);
    this.#slots = new Slots(engine.decodeMemory, engine.bodiesBase);
    const files = openDiskFiles(start.failpoint);
    const openLog = (): LogReader => openSqliteLogReader(logFolderOf(start.dataFolder), files);
    this.#backlog = new EngineBacklog(engine, openLog());
    this.#laggards = new EngineLaggards(engine.windows, openLog(), {
      backlog: this.#backlog,
      wish: (wish) => toMain({ kind: "past", wish }),
      more: () => toMain({ kind: "more past" }),
    });
    const wires = {
      backlog: this.#backlog,
      clock: this.#clock,
      longest: this.#longest,
      later: (step: () => void) => latch.later(step),
      after: (ms: number, step: () => void) => void setTimeout(() => latch.run(step), ms),
      resumed: () => this.#resumed(),
    };
    this.#pins = new EnginePins(engine, { ...wires, dataFolder: start.dataFolder, toMain });
    this.#checkpoints = new EngineCheckpoints(engine, {
      ...wires,
      applied: started.applied,
      send: (message: EngineToExport) => ports.export.postMessage(message),
    });
    this.#catchUp = new EngineCatchUp(engine, {
      backlog: this.#backlog,
      laggards: this.#laggards,
      clock: this.#clock,
      longest: this.#longest,
      outputs: (outputs) => this.#checkpoints.outputs(outputs),
      turn: () => this.#turnFirst(),
      folded: () => {
        this.#checkpoints.tickSoon();
        this.#pins.answer();
      },
      guard: (step) => latch.run(step),
    });
    for (const coverage of start.covered) this.#pins.covered(coverage);
    ports.log.onmessage = ({ data }: { data: LogToEngine }) =>
      latch.run(() => this.#onDurable(data.position));
    ports.export.onmessage = ({ data }: { data: ExportToEngine }) =>
      latch.run(() => this.#onExport(data));
    toMain({ kind: "memory", memory: engine.decodeMemory, slotsBase: engine.bodiesBase });
    this.#toLog({ kind: "memory", memory: engine.decodeMemory });
    this.#checkpoints.outputs(started.outputs);
    this.#checkpoints.durable(this.#backlog.durable);
    this.#checkpoints.tick();
    const nowUs = this.#clock.nowUs();
    this.#append(started.controls.map((control) => engine.control(control, nowUs)));
    this.#append(engine.changeAllPartitions("connected", nowUs));
    const everyMs = start.config.settings.checkpoint.intervalUs / 1000;
    setInterval(() => latch.run(() => this.#checkpoints.take()), everyMs);
    setInterval(() => latch.run(() => this.#tick()), STATUS_INTERVAL_MS);
    setInterval(() => latch.run(() => this.#tickClocks()), CLOCK_INTERVAL_MS);
    this.#tick();
  }

  /** Takes a slot's bodies into the queue; a turn follows when all messages that have arrived are seen. */
  submit(message: Extract<MainToEngine, { kind: "submit" }>): void {
    const { slot, parts, stream } = message;
    const sources = message.partitions.map((partition): Source => ({ stream, partition }));
    // A record holds events of one source partition: those of a slot come together, each partition's in their order.
    const ordered = this.#slots.parts(slot, parts).toSorted((a, b) => a.partition - b.partition);
    const keys = new Map(message.keys.map(({ request, key }) => [request, key]));
    this.#queuedInSlot.set(slot, parts);
    for (const part of ordered) {
      const source = must(sources[part.partition], "the source of a body");
      const body: QueuedBody = { ...part, source, slot, cursor: null, keyed: null };
      const key = keys.get(part.request);
      if (key === undefined) this.#queue.push(body);
      else this.#submitKeyed(body, key);
    }
    this.#scheduleTurn();
  }

  /** A body whose key says that it is to be carried out, or the rest of it, is queued. */
  #submitKeyed(body: QueuedBody, key: string): void {
    const { source, request } = body;
    const decision = this.#keys.decide(source.stream, { ...body, key }, this.#clock.nowUs());
    if (decision.kind === "go on")
      this.#queue.push({ ...body, keyed: decision.keyed, cursor: decision.cursor });
    else toMain({ kind: "decided", request, decision, slots: this.#giveBackSlots([body]) });
  }

  pin(message: Extract<MainToEngine, { kind: "pin" }>): void {
    this.#pins.ask(message);
  }

  release(id: number): void {
    this.#pins.release(id);
  }

  /** Finishes what was submitted, saves a checkpoint, then says so. */
  stop(): void {
    this.#stopping = true;
    this.#finishWhenIdle();
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    latch.later(() => this.#turn());
  }

  /** Makes records of what is queued, as long as there is room for them. */
  #turn(): void {
    this.#turnScheduled = false;
    const beganUs = this.#clock.monotonicUs();
    this.#takeQueued();
    this.#catchUp.tookBodies(beganUs);
    // bodies without events make no record that would be told to be durable
    this.#finishWhenIdle();
  }

  #takeQueued(): void {
    while (this.#queue.length > 0 && this.#engine.hasRoom && this.#inFlight.hasRoom) {
      this.#takeOne();
      const last = this.#queue.at(-1);
      // Who came while a large body was in work is seen before its next record.
      if (last !== undefined && last.cursor !== null) return this.#scheduleTurn();
    }
  }

  #takeOne(): void {
    const { source, cursor } = must(this.#queue[0], "a queued body");
    const bodies = this.#bodiesOfOneRecord(source);
    const nowUs = this.#clock.nowUs();
    const taken = this.#engine.take(source, bodies, { nowUs, cursor });
    const used = this.#queue.splice(0, taken.used);
    if (taken.cursor !== null) this.#goOnLater(taken.cursor);
    const slots = this.#giveBackSlots(used);
    if (taken.kind === "full")
      return toMain({
        kind: "full",
        reason: taken.reason,
        requests: used.map(({ request }) => request),
        slots,
      });
    const { outcomes, kept } = this.#keys.record(source.stream, bodies, { taken, nowUs });
    const answers = packAnswers(outcomes, slots);
    if (taken.sealed === null) {
      if (kept !== null) this.#append([kept]);
      // the first body may have ended with the record before: only what it said there counts
      const after = cursor === null ? 0 : this.#engine.lastPosition;
      return toMain({ kind: "empty", after, answers });
    }
    this.#inFlight.add(taken.sealed, ...(kept === null ? [] : [kept]));
    const raws = new Set(taken.sealed.rejects.map(({ raw }) => raw.buffer));
    return this.#toLog({ kind: "events", ...taken.sealed, answers, kept }, [...raws]);
  }

  /** The first queued bodies: of one source, and none that goes on but the first. */
  #bodiesOfOneRecord({ stream, partition }: Source): QueuedBody[] {
    const other = this.#queue.findIndex(
      ({ source, cursor }, ordinal) =>
        source.stream !== stream ||
        source.partition !== partition ||
        (ordinal > 0 && cursor !== null),
    );
    const end = other === -1 ? this.#queue.length : other;
    return this.#queue.slice(0, Math.min(end, RECORD_REQUESTS_MAX));
  }

  /**
   * The first queued body is in a record as far as that had room. A large one lets everybody else have a record before its next: it may have
   * a thousand of them. Others are done soon, and keep their partition's order.
   */
  #goOnLater(cursor: DecodeCursor): void {
    const body = { ...must(this.#queue.shift(), "the body that goes on"), cursor };
    if (body.slot === LARGE_SLOT) this.#queue.push(body);
    else this.#queue.unshift(body);
  }

  /** Control records on their way to the log. */
  #append(records: readonly ControlRecord[]): void {
    this.#inFlight.add(...records);
    for (const record of records) this.#toLog(record);
  }

  /** While bodies wait here nobody's silence means anything. */
  #tickClocks(): void {
    if (this.#queue.length > 0 || this.#stopping) return;
    this.#append(this.#engine.ticks(this.#clock.nowUs()));
  }

  /** Producers are refused from now on, or no longer: their partitions are paused as long. */
  hold(isHeld: boolean): void {
    if (this.#stopping) return;
    const to = isHeld ? "paused" : "resumed";
    this.#append(this.#engine.changeAllPartitions(to, this.#clock.nowUs()));
  }

  /** A control record that main wants in the log. */
  append({ id, control }: Extract<MainToEngine, { kind: "control" }>): void {
    if (this.#stopping) return;
    const record = this.#engine.control(control, this.#clock.nowUs());
    this.#append([record]);
    toMain({ kind: "appended", id, position: record.position });
  }

  /** Gives back the slots that have no more queued bodies. How many they are, without the large one. */
  #giveBackSlots(used: readonly QueuedBody[]): number {
    const slots: number[] = [];
    for (const { slot } of used) {
      const left = must(this.#queuedInSlot.get(slot), "bodies of a slot") - 1;
      this.#queuedInSlot.set(slot, left);
      if (left === 0) slots.push(slot);
    }
    if (slots.length > 0) toMain({ kind: "emptied", slots });
    return slots.filter((slot) => slot !== LARGE_SLOT).length;
  }

  /** The log made records durable: they are folded in place, or later from the log. */
  #onDurable(position: number): void {
    const durable = this.#inFlight.settle(position);
    this.#catchUp.durable(durable.length);
    this.#checkpoints.outputs(this.#backlog.take(durable));
    this.#checkpoints.durable(position);
    this.#pins.answer();
    this.#checkpoints.tickSoon();
    this.#catchUp.schedule();
    if (this.#queue.length > 0) this.#scheduleTurn();
    this.#finishWhenIdle();
  }

  /** A checkpoint was copied, or a picture made: folding goes on, and questions are answered. */
  #resumed(): void {
    this.#checkpoints.resumed();
    this.#pins.answer();
    this.#catchUp.schedule();
    this.#finishWhenIdle();
  }

  /** What the raw table has for a view that goes on. */
  past(page: PastPage): void {
    this.#laggards.take(page);
    this.#catchUp.schedule();
  }

  /** Bodies that have come are taken before anything is caught up. Not at a stop: the next start goes on. */
  #turnFirst(): boolean {
    if (!this.#stopping) this.#turn();
    return !this.#stopping;
  }

  #onExport(message: ExportToEngine): void {
    if (message.kind === "covered")
      for (const coverage of message.covered) this.#pins.covered(coverage);
    else if (message.kind === "generations") {
      this.#engine.admission.setGenerations(message.stream, message.generations, message.made);
      this.#ports.export.postMessage({ kind: "generations taken" } satisfies EngineToExport);
    } else this.#checkpoints.saved();
    this.#catchUp.schedule();
    this.#finishWhenIdle();
  }

  #tick(): void {
    this.#pins.answer();
    const { admission, answers, windows } = this.#engine;
    if (admission.checkpointDue || answers.isCheckpointDue || windows.closedWindows.isDue)
      this.#checkpoints.take();
    this.#checkpoints.tick();
    this.#catchUp.schedule();
    toMain({ kind: "status", status: engineStatus(this.#engine, this.#backlog, this.#longest) });
  }

  #finishWhenIdle(): void {
    if (!this.#stopping || this.#queue.length > 0 || !this.#inFlight.isEmpty) return;
    this.#checkpoints.tick();
    const ticks = this.#checkpoints.lastTicks();
    if (ticks.length > 0) this.#append(ticks);
    else if (this.#checkpoints.finish()) toMain({ kind: "stopped" });
  }

  /** `given`: nobody needs it here any more. What stays here is garbage of the old generation, of which the collector let 2 GB come together. */
  #toLog(message: EngineToLog, given: readonly ArrayBufferLike[] = []): void {
    const transfer = given.filter((buffer) => buffer instanceof ArrayBuffer);
    this.#ports.log.postMessage(message, transfer);
  }
}

let thread: EngineThread | null = null;

async function begin(message: EngineStart, ports: Ports): Promise<void> {
  const started = await startEngine(message);
  thread = new EngineThread(message, started, ports);
  toMain({
    kind: "started",
    position: started.engine.lastPosition,
    notices: started.notices,
    replayed: started.replayed,
  });
}

self.onmessage = (event: MessageEvent<MainToEngine>) =>
  latch.run(() => {
    const message = event.data;
    if (message.kind === "start engine") {
      const ports = {
        log: must(event.ports[0], "the port to the log"),
        export: must(event.ports[1], "the port to the export"),
      };
      begin(message, ports).catch((error: unknown) => latch.fail(error));
      return;
    }
    const engine = must(thread, "the engine");
    if (message.kind === "submit") engine.submit(message);
    else if (message.kind === "pin") engine.pin(message);
    else if (message.kind === "release") engine.release(message.id);
    else if (message.kind === "hold") engine.hold(message.isHeld);
    else if (message.kind === "control") engine.append(message);
    else if (message.kind === "past") engine.past(message.page);
    else engine.stop();
  });
