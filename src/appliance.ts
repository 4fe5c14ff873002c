// One running appliance: data folder, threads, query process, HTTP, from a checked configuration. Puts adapters together; decides nothing
// about events. Used by `serve` and `demo`.
import { must } from "./base/assert.ts";
import { systemClock } from "./base/clock.ts";
import { openDiskFiles } from "./base/disk-files.ts";
import type { EngineStream } from "./engine-options.ts";
import { openFilesLimit } from "./base/open-files.ts";
import { DRAIN_MS } from "./limits.ts";
import { IDLE_TIMEOUT_S, OPEN_FILES_RESERVE, REQUEST_TIMEOUT_MS } from "./serve/http-limits.ts";
import {
  openDataFolder,
  tmpFolderOf,
  warehouseFolderOf,
  type DataFolder,
} from "./log/data-folder.ts";
import { DAMAGED_FILE, type Problem } from "./query/problem.ts";
import { QueryService, type PinAnswer } from "./query/service.ts";
import type { CheckedConfig } from "./serve/check.ts";
import type { Question, QuestionAnswer, Questions, Refusal } from "./serve/deps.ts";
import { checkGivenKey, chooseKey, isLoopback } from "./serve/key.ts";
import { MetricRegistry } from "./serve/metrics.ts";
import { startServer, type RunningServer } from "./serve/server.ts";
import type { Credentials } from "./ship/signature.ts";
import { shipTarget } from "./ship/target.ts";
import type { OnTableAhead } from "./table/recovery.ts";
import { registerFleetMetrics } from "./threads/fleet-metrics.ts";
import { Fleet, type WorkerUrls } from "./threads/fleet.ts";
import type { Failed, ThreadStart } from "./threads/messages.ts";
import { Freezer } from "./threads/freezer.ts";
import { PastReader } from "./threads/past-reader.ts";
import { Reconciler } from "./threads/reconciler.ts";
import { Savepointer } from "./threads/savepointer.ts";
import { registerShipMetrics, Shipping } from "./threads/shipping.ts";

export interface ApplianceOptions {
  readonly checked: CheckedConfig;
  readonly workers: WorkerUrls;
  /** Executable and leading arguments of the query process. */
  readonly queryCommand: readonly string[];
  readonly version: string;
  /** MILLRACE_KEY and MILLRACE_FAILPOINT, as the environment has them. */
  readonly key: string | undefined;
  readonly failpoint: string | undefined;
  /** Where the configuration has `ship.to`. */
  readonly shipCredentials: Credentials | null;
  /** Absent: refuse. */
  readonly onTableAhead?: OnTableAhead;
  /** A line for the operator. */
  readonly say: (line: string) => void;
  /** The first failure: say it and end the process. */
  readonly failed: (failure: Failed) => void;
}

export class Appliance {
  readonly url: string;
  /** The key that was made at this start, if one was. */
  readonly madeKey: string | null;
  /** How long `stop` may take: the caller ends the process then. */
  readonly shutdownTimeoutUs: number;
  readonly #folder: DataFolder;
  readonly #fleet: Fleet;
  readonly #queries: QueryService;
  readonly #server: RunningServer;
  readonly #reconciler: Reconciler;
  readonly #pastReader: PastReader;
  readonly #savepointer: Savepointer;
  readonly #shipping: Shipping | null;

  private constructor(parts: {
    readonly folder: DataFolder;
    readonly fleet: Fleet;
    readonly queries: QueryService;
    readonly server: RunningServer;
    readonly reconciler: Reconciler;
    readonly pastReader: PastReader;
    readonly savepointer: Savepointer;
    readonly shipping: Shipping | null;
    readonly madeKey: string | null;
    readonly shutdownTimeoutUs: number;
  }) {
    this.url = parts.server.url;
    this.shutdownTimeoutUs = parts.shutdownTimeoutUs;
    this.madeKey = parts.madeKey;
    this.#folder = parts.folder;
    this.#fleet = parts.fleet;
    this.#queries = parts.queries;
    this.#server = parts.server;
    this.#reconciler = parts.reconciler;
    this.#pastReader = parts.pastReader;
    this.#savepointer = parts.savepointer;
    this.#shipping = parts.shipping;
  }

  /** Resolves once events are accepted. Throws DataFolderError, KeyError and ListenError with advice. */
  static async start(options: ApplianceOptions): Promise<Appliance> {
    const { checked, say } = options;
    const { settings } = checked.config;
    // Before anything is made on disk.
    checkGivenKey(options.key);
    const folder = openDataFolder(settings.storage.path, openDiskFiles(options.failpoint ?? null));
    const key = chooseKey(settings.server.listen, folder.path, options.key);
    if (key.made !== null)
      say(
        `a key was made; it is shown this once: ${key.made}\nsend it as the header Authorization: Bearer KEY`,
      );
    const pastReader = new PastReader({
      url: options.workers.past,
      streams: engineStreams(checked),
      plans: checked.plans,
    });
    const fleet = await Fleet.start(threadStart(options, folder), options.workers, {
      failed: options.failed,
      notice: say,
      past: (message) => pastReader.told(message),
    });
    const queries = new QueryService({
      command: options.queryCommand,
      socketPath: `${tmpFolderOf(folder.path)}/query.sock`,
      options: {
        warehouseFolder: warehouseFolderOf(folder.path),
        tempFolder: `${tmpFolderOf(folder.path)}/query`,
        memoryBytesMax: settings.query.memoryLimitBytes,
        threads: settings.query.threads,
      },
      logLine: say,
    });
    const metrics = new MetricRegistry();
    registerFleetMetrics(metrics, fleet, queries);
    const questions = new FleetQuestions(fleet, queries, settings.query.timeoutUs / 1000);
    const reconciler = reconcilerOf(options, fleet, questions);
    pastReader.start({ questions, send: (page) => fleet.past(page) });
    const { savepointer, shipping } = copiersOf(options, new Freezer(fleet), folder);
    if (shipping !== null) registerShipMetrics(metrics, shipping, () => fleet.health().position);
    const server = startServer(
      {
        ingest: fleet.ingest,
        questions,
        reconcile: reconciler,
        savepoints: savepointer,
        status: () => shipping?.health(fleet.health()) ?? fleet.health(),
        metrics,
        keyHash: key.hash,
        version: options.version,
        views: checked.plans.map(({ name }) => name),
        openFilesMax: connectionFilesMax(openFilesLimit()),
        requestTimeoutMs: REQUEST_TIMEOUT_MS,
        idleTimeoutS: IDLE_TIMEOUT_S,
        requestIdPrefix: folder.jobId.slice(0, 8),
        logLine: say,
      },
      settings.server.listen,
      systemClock(),
    );
    if (key.hash === null && !isLoopback(settings.server.listen.host))
      throw new Error("broken invariant: an address beyond loopback has a key");
    void reconciler.schedule(checked.config.views);
    const { shutdownTimeoutUs } = settings.server;
    const running = { fleet, queries, server, reconciler, pastReader, savepointer, shipping };
    const parts = { ...running, folder, shutdownTimeoutUs };
    return new Appliance({ ...parts, madeKey: key.made });
  }

  /** Takes no more requests, finishes those in work, saves a checkpoint, commits what waits, lets the folder go. */
  async stop(): Promise<void> {
    this.#fleet.noMore();
    this.#reconciler.close();
    this.#shipping?.noMore();
    this.#pastReader.close();
    // an eighth of the time, so that a savepoint that is given up is removed; a half is for what comes after
    await this.#savepointer.close(this.shutdownTimeoutUs / 8000);
    await this.#server.stop(Math.min(DRAIN_MS, (this.shutdownTimeoutUs * 3) / 8000));
    await this.#queries.close();
    await this.#fleet.stop();
    await this.#shipping?.close(this.shutdownTimeoutUs / 8000);
    this.#folder.close();
  }
}

/** Of the files that the system allows, those that connections may have open. */
function connectionFilesMax(limit: number): number {
  return limit - Math.min(OPEN_FILES_RESERVE, Math.ceil(limit / 2));
}

/** The streams of a configuration with their schemas. */
export function engineStreams({ config, schemas, conditions }: CheckedConfig): EngineStream[] {
  return config.streams.flatMap((stream) => {
    const checked = schemas.get(stream.name);
    if (checked === undefined) return [];
    const punctuated = conditions.get(stream.name);
    return [
      { ...stream, schema: checked.schema, ...(punctuated === undefined ? {} : { punctuated }) },
    ];
  });
}

function threadStart(options: ApplianceOptions, folder: DataFolder): ThreadStart {
  const { config, plans, record } = options.checked;
  return {
    kind: "start",
    config,
    streams: engineStreams(options.checked),
    views: plans,
    configurationText: record.body,
    dataFolder: folder.path,
    jobId: folder.jobId,
    idKey: folder.hashKey,
    onTableAhead: options.onTableAhead ?? "refuse",
    failpoint: options.failpoint ?? null,
  };
}

function reconcilerOf(
  { checked, workers, say }: ApplianceOptions,
  fleet: Fleet,
  questions: Questions,
): Reconciler {
  return new Reconciler({
    url: workers.reconcile,
    questions,
    append: (control) => fleet.append(control),
    streams: engineStreams(checked),
    plans: checked.plans,
    hasRaw: checked.config.settings.export.raw,
    clock: systemClock(),
    suspended: () => (fleet.status().engine?.suspended ?? []).map(({ view }) => view),
    say,
  });
}

/** What copies everything: into a folder when it is asked for, and to a store all the time. */
function copiersOf(
  { checked, workers, version, failpoint, shipCredentials, say }: ApplianceOptions,
  freezer: Freezer,
  folder: DataFolder,
): { readonly savepointer: Savepointer; readonly shipping: Shipping | null } {
  // one for all: the ship thread's is made at the same moment, and neither goes back when the machine's does
  const clock = systemClock();
  const nowUs = (): number => clock.nowUs();
  const order = {
    dataFolder: folder.path,
    jobId: folder.jobId,
    hashKey: folder.hashKey,
    configurationText: checked.record.body,
    logFileSizeBytes: checked.config.settings.log.fileSizeBytes,
    millrace: version,
  };
  const savepointer = new Savepointer({
    url: workers.savepoint,
    order,
    failpoint: failpoint ?? null,
    nowUs,
    freezer: freezer.user(),
  });
  const to = shipTarget(checked.config.settings.ship);
  if (to === null) return { savepointer, shipping: null };
  const { intervalUs, logIntervalUs, keep: keepMax } = checked.config.settings.ship;
  const shipping = new Shipping({
    url: workers.ship,
    order: {
      savepoint: order,
      intervalUs,
      logIntervalUs,
      keepMax,
      target: to,
      credentials: must(shipCredentials, "credentials where something is shipped"),
    },
    failpoint: failpoint ?? null,
    freezer: freezer.user(),
    nowUs,
    say,
  });
  return { savepointer, shipping };
}

/** Questions of the HTTP routes over the query process and the fleet's pins. */
class FleetQuestions implements Questions {
  readonly #fleet: Fleet;
  readonly #queries: QueryService;
  readonly #timeoutMs: number;

  constructor(fleet: Fleet, queries: QueryService, timeoutMs: number) {
    this.#fleet = fleet;
    this.#queries = queries;
    this.#timeoutMs = timeoutMs;
  }

  async ask(question: Question): Promise<QuestionAnswer | Refusal> {
    const answer = await this.#queries.ask(
      { ...question, timeoutMs: this.#timeoutMs },
      async (relations, after): Promise<PinAnswer> => {
        const held = await this.#fleet.pin(relations, after);
        return "pin" in held
          ? { kind: "pinned", ...held }
          : { kind: "refused", problem: { ...held, title: "Not there yet" } };
      },
    );
    if (answer.kind === "answer") return answer;
    if (answer.problem.code === DAMAGED_FILE) this.#fleet.damaged(answer.problem.detail);
    return refusalOf(answer.problem);
  }
}

function refusalOf(problem: Problem): Refusal {
  const { status, code, detail, line, column, retryAfterS } = problem;
  return {
    kind: "refusal",
    status: status as Refusal["status"],
    code,
    detail,
    ...(retryAfterS === undefined ? {} : { retryAfterS }),
    ...(line === undefined || column === undefined ? {} : { more: { line, column } }),
  };
}
