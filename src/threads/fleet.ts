// Main's side of the threads: starts them in the order in which each needs the other (log, export, engine), connects their ports, and
// offers what the routes need: ingest, pins for queries, status, an orderly stop. Wiring only.
import type { ControlDraft } from "../admit/applied.ts";
import { must } from "../base/assert.ts";
import type { Pin } from "../query/pin.ts";
import type { Refusal, Status } from "../serve/deps.ts";
import type { PastPage } from "../engine-laggards.ts";
import { Gateway } from "./gateway.ts";
import { health } from "./health.ts";
import type {
  EngineStatus,
  EngineToMain,
  ExportToMain,
  Failed,
  LogToMain,
  MainToEngine,
  MainToExport,
  MainToLog,
  ReaderPosition,
  ThreadStart,
} from "./messages.ts";
import type { PastMessage } from "./past-messages.ts";
import { PinBoard } from "./pin-board.ts";
import { Slots } from "./slots.ts";
import type { Coverage } from "../table/exporter.ts";
import type { LedgerWriter } from "../table/ledger.ts";

/** What the composition root hears of. */
export interface FleetEvents {
  /** The first failure of any thread: say it, end the process. Nothing is acknowledged after it. */
  failed(failure: Failed): void;
  /** A line for the operator. */
  notice(text: string): void;
  /** What views that go on after a suspension want of the raw table; `Fleet.past` answers. Absent: nobody reads it. */
  past?(message: PastMessage): void;
}

/** Worker entry points, given by the composition root: the executable embeds them under these names. */
export interface WorkerUrls {
  readonly log: string;
  readonly engine: string;
  readonly export: string;
  /** Started by their runs, not by the fleet. */
  readonly reconcile: string;
  readonly past: string;
  readonly savepoint: string;
  readonly ship: string;
}

/** Figures for /metrics and system relations. */
export interface FleetStatus {
  readonly durablePosition: number;
  readonly logBytes: number;
  readonly openRequests: number;
  readonly engine: EngineStatus | null;
  readonly readers: readonly ReaderPosition[];
}

const LOG_FULL: Refusal = {
  kind: "refusal",
  status: 503,
  code: "log_full",
  detail:
    "the log has reached log.size_max because a reader is behind, or the disk is nearly full; events are taken again when there is room",
  retryAfterS: 2,
};

const STOPPING: Refusal = {
  kind: "refusal",
  status: 503,
  code: "stopping",
  detail: "the appliance is shutting down; send again once it is back",
  retryAfterS: 5,
};

/** Damaged files that /health names. */
const DAMAGES_MAX = 20;

export class Fleet {
  readonly #start: ThreadStart;
  readonly #events: FleetEvents;
  readonly #log: Worker;
  readonly #engine: Worker;
  readonly #export: Worker;
  #gateway: Gateway | null = null;
  #pins: PinBoard;
  #durable = 0;
  #logBytes = 0;
  /** What the log may forget, as the export thread said last, and what it was told to. */
  #unneeded: Pick<Extract<ExportToMain, { kind: "trim" }>, "position" | "wanted"> = {
    position: 0,
    wanted: null,
  };
  #trimmed = 0;
  #hasRoom = true;
  #engineStatus: EngineStatus | null = null;
  #readers: FleetStatus["readers"] = [];
  #covered: readonly Coverage[] = [];
  #writers: readonly LedgerWriter[] = [];
  #tableProblems: readonly string[] = [];
  /** Data files that questions found to be damaged. */
  readonly #damages = new Set<string>();
  #lastReceivedAtUs = 0;
  #stopping = false;
  /** Ends of bodies whose earlier parts are not durable yet, in the order of positions. */
  #ends: Extract<EngineToMain, { kind: "empty" }>[] = [];
  readonly #waits = new Map<string, () => void>();
  readonly #appends = new Map<number, (position: number) => void>();
  #nextAppend = 1;

  private constructor(start: ThreadStart, urls: WorkerUrls, events: FleetEvents) {
    this.#start = start;
    this.#events = events;
    this.#log = this.#spawn<LogToMain>(urls.log, (message) => this.#onLog(message));
    this.#export = this.#spawn<ExportToMain>(urls.export, (message) => this.#onExport(message));
    this.#engine = this.#spawn<EngineToMain>(urls.engine, (message) => this.#onEngine(message));
    this.#pins = new PinBoard(start, {
      engine: (message) => this.#toEngine(message),
      export: (message) => this.#toExport(message),
      status: () => this.status(),
    });
  }

  /** Starts all threads; resolves once events are accepted. */
  static async start(start: ThreadStart, urls: WorkerUrls, events: FleetEvents): Promise<Fleet> {
    const fleet = new Fleet(start, urls, events);
    const logEngine = new MessageChannel();
    const exportEngine = new MessageChannel();
    const log = fleet.#until("log started");
    fleet.#log.postMessage(start satisfies MainToLog, [logEngine.port1]);
    await log;
    const exporter = fleet.#until("export started");
    fleet.#export.postMessage(start satisfies MainToExport, [exportEngine.port1]);
    await exporter;
    const engine = fleet.#until("engine started");
    const engineStart: MainToEngine = {
      ...start,
      kind: "start engine",
      covered: fleet.#covered,
      writers: fleet.#writers,
      readers: fleet.#readers,
      lastReceivedAtUs: fleet.#lastReceivedAtUs,
    };
    fleet.#engine.postMessage(engineStart, [logEngine.port2, exportEngine.port2]);
    await engine;
    return fleet;
  }

  get ingest(): Gateway {
    return must(this.#gateway, "the gateway");
  }

  /**
   * Fixes what a query sees: all that is durable, or what the views have folded when they wait for their tables. Resolves with a refusal
   * when they lag more than five seconds behind `after`, or behind what is durable.
   */
  pin(
    relations: readonly string[],
    after: number | null,
  ): Promise<{ readonly pin: Pin; readonly release: () => void } | Refusal> {
    return this.#pins.pin(relations, {
      after: after ?? this.#durable,
      mustReach: after !== null,
    });
  }

  /** Writes a control record, unless events would be refused; resolves with its position, before it is durable. */
  append(control: ControlDraft): Promise<number | Refusal> {
    const refusal = this.#refuse();
    if (refusal !== null) return Promise.resolve(refusal);
    const id = this.#nextAppend++;
    return new Promise((resolve) => {
      this.#appends.set(id, resolve);
      this.#toEngine({ kind: "control", id, control });
    });
  }

  /** Gives the engine what the raw table has. */
  past(page: PastPage): void {
    this.#toEngine({ kind: "past", page });
  }

  /** For one copy at a time, see freezer.ts: resolves when nothing writes state, ledger or tables until `thaw`; nothing is unlinked until `letGo`. */
  freeze(): Promise<void> {
    const frozen = this.#until("frozen");
    this.#toExport({ kind: "freeze" });
    return frozen;
  }

  thaw(): void {
    this.#toExport({ kind: "thaw" });
  }

  letGo(): void {
    this.#toExport({ kind: "let go" });
  }

  status(): FleetStatus {
    return {
      durablePosition: this.#durable,
      logBytes: this.#logBytes,
      openRequests: this.#gateway?.openRequests ?? 0,
      engine: this.#engineStatus,
      readers: this.#readers,
    };
  }

  /** A question found a data file that cannot be read: /health says it until the next start. */
  damaged(detail: string): void {
    if (this.#damages.has(detail) || this.#damages.size === DAMAGES_MAX) return;
    this.#damages.add(detail);
    this.#events.notice(detail);
  }

  health(): Status {
    return health({
      isOpen: this.#gateway !== null && !this.#stopping,
      logProblem: this.#hasRoom ? null : LOG_FULL.detail,
      tableProblems: this.#tableProblems,
      damages: this.#damages,
      engine: this.#engineStatus,
      position: this.#durable,
    });
  }

  /** Takes no more events: requests from now on are refused, those in work are finished. */
  noMore(): void {
    this.#stopping = true;
    this.#toEngine({ kind: "hold", isHeld: true });
  }

  /** After `noMore`: finishes what was accepted, saves a checkpoint, cuts what waits for export, closes. */
  async stop(): Promise<void> {
    for (const [thread, send] of [
      ["engine", () => this.#toEngine({ kind: "stop" })],
      ["export", () => this.#toExport({ kind: "stop" })],
      ["log", () => this.#log.postMessage({ kind: "stop" } satisfies MainToLog)],
    ] as const) {
      const stopped = this.#until(`${thread} stopped`);
      send();
      await stopped;
    }
    for (const worker of [this.#engine, this.#export, this.#log]) worker.terminate();
  }

  #spawn<M>(url: string, receive: (message: M) => void): Worker {
    const worker = new Worker(url);
    worker.onmessage = ({ data }: { data: M }) => receive(data);
    worker.addEventListener("error", (event) =>
      this.#events.failed({ kind: "failed", message: event.message, advice: false }),
    );
    return worker;
  }

  #until(what: string): Promise<void> {
    return new Promise((resolve) => this.#waits.set(what, resolve));
  }

  #reached(what: string): void {
    this.#waits.get(what)?.();
    this.#waits.delete(what);
  }

  #toEngine(message: MainToEngine): void {
    this.#engine.postMessage(message);
  }

  #toExport(message: MainToExport): void {
    this.#export.postMessage(message);
  }

  #refuse(): Refusal | null {
    if (this.#stopping) return STOPPING;
    return this.#hasRoom ? null : LOG_FULL;
  }

  #onLog(message: LogToMain): void {
    if (message.kind === "failed") return this.#events.failed(message);
    if (message.kind === "stopped") return this.#reached("log stopped");
    if (message.kind === "discard") return this.#toExport(message);
    this.#logBytes = message.sizeBytes;
    if (this.#gateway !== null && message.hasRoom !== this.#hasRoom && !this.#stopping)
      this.#toEngine({ kind: "hold", isHeld: !message.hasRoom });
    this.#hasRoom = message.hasRoom;
    // what was kept for views that stopped may have to go now
    this.#trim();
    if (message.kind === "started") {
      this.#durable = message.last;
      this.#lastReceivedAtUs = message.lastReceivedAtUs;
      this.#reached("log started");
    } else if (message.kind === "durable") {
      this.#durable = message.position;
      for (const { position, answers } of message.answers) this.ingest.answered(position, answers);
      this.#answerEnds();
    }
  }

  /** A body that goes on behind its last record has events in records that may not be durable: it is answered with them. */
  #answerEnds(): void {
    const waiting = this.#ends.findIndex(({ after }) => after > this.#durable);
    const ended = this.#ends.splice(0, waiting === -1 ? this.#ends.length : waiting);
    for (const { after, answers } of ended) this.ingest.answered(after, answers);
  }

  #onExport(message: ExportToMain): void {
    switch (message.kind) {
      case "started":
        this.#covered = message.covered;
        this.#writers = message.writers;
        this.#readers = message.readers;
        return this.#reached("export started");
      case "stopped":
        return this.#reached("export stopped");
      case "frozen":
        return this.#reached("frozen");
      case "failed":
        return this.#events.failed(message);
      case "notice":
        return this.#events.notice(message.text);
      case "problems":
        this.#tableProblems = message.problems;
        return undefined;
      case "trim":
        this.#unneeded = message;
        return this.#trim();
      case "readers":
        this.#readers = message.readers;
        return undefined;
      case "pinned":
        return this.#pins.exportPinned(message);
    }
  }

  /** What a view that stopped wants to go on is held while the log has half of its room left. */
  #trim(): void {
    const { position, wanted } = this.#unneeded;
    const { sizeMaxBytes } = this.#start.config.settings.log;
    const isRoomy = this.#hasRoom && this.#logBytes < sizeMaxBytes / 2;
    const to = isRoomy ? Math.min(position, wanted ?? position) : position;
    if (to <= this.#trimmed) return;
    this.#trimmed = to;
    this.#log.postMessage({ kind: "trim", position: to } satisfies MainToLog);
  }

  #onEngine(message: EngineToMain): void {
    switch (message.kind) {
      case "memory":
        this.#gateway = new Gateway(
          this.#start.streams.map(({ name }) => name),
          new Slots(message.memory, message.slotsBase),
          { send: (submit) => this.#toEngine(submit), refuse: () => this.#refuse() },
        );
        return undefined;
      case "started":
        for (const notice of message.notices) this.#events.notice(notice);
        if (!this.#hasRoom) this.#toEngine({ kind: "hold", isHeld: true });
        return this.#reached("engine started");
      case "stopped":
        return this.#reached("engine stopped");
      case "failed":
        return this.#events.failed(message);
      case "empty":
        this.#ends.push(message);
        return this.#answerEnds();
      case "full":
        return this.ingest.full(message);
      case "decided":
        return this.ingest.decided(message);
      case "emptied":
        return this.ingest.emptied(message.slots);
      case "past":
      case "more past":
        return this.#events.past?.(message);
      case "appended":
        this.#appends.get(message.id)?.(message.position);
        this.#appends.delete(message.id);
        return undefined;
      case "status":
        this.#engineStatus = message.status;
        return undefined;
      case "pinned":
        this.#engineStatus = message.status;
        return this.#pins.enginePinned(message);
      case "lagging":
        return this.#pins.lagging(message);
      case "no picture":
        return this.#pins.noPicture(message);
    }
  }
}
