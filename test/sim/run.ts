// One run of the simulator: a seed -> what the appliance, its producers and the disk did, and which rules were broken. Everything in it follows
// from the seed, the faults that are left of those the seed draws, and the sources.
import { must } from "../../src/base/assert.ts";
import { unaccounted } from "../../src/reader/accounting.ts";
import { Fleet } from "../../src/threads/fleet.ts";
import type { ThreadStart } from "../../src/threads/messages.ts";
import { Appliance } from "./appliance.ts";
import { Asker } from "./asker.ts";
import { Client, type Told } from "./clients.ts";
import { configurationOf, naiveViews, PACES, type Pace, type Setup } from "./configuration.ts";
import { SimDisk } from "./disk.ts";
import { drawFaults, drawOthers, TEMPERS, type Temper } from "./draw-faults.ts";
import { DiskFaults, type Fault } from "./faults.ts";
import { ForeignWriter } from "./foreign.ts";
import { Freezes } from "./freezes.ts";
import { runOn } from "./machine-now.ts";
import { LogOracle } from "./oracle-log.ts";
import { PinOracle } from "./oracle-pins.ts";
import { TableOracle } from "./oracle-tables.ts";
import { KEYED_EVERY, Random } from "./random.ts";
import { logTools, pinTools, tableTools } from "./reading.ts";
import { Scheduler } from "./scheduler.ts";
import { releaseMemories } from "./wasm.ts";

export type PaceName = keyof typeof PACES;

export interface RunOptions {
  readonly seed: number;
  /** Which of the seed's faults happen; null: all. */
  readonly faults: readonly number[] | null;
  /** How much time it takes; null: as the seed says. */
  readonly pace: PaceName | null;
  /** What its faults are about; null: as the seed says. */
  readonly temper: Temper | null;
  /** Keep a line for everything that happened. */
  readonly verbose: boolean;
}

export interface RunResult {
  readonly seed: number;
  readonly violations: readonly string[];
  /** All faults of the seed, whether they were to happen or not. */
  readonly drawn: readonly Fault[];
  readonly lines: readonly string[];
  readonly simulatedUs: number;
  readonly steps: number;
  readonly trace: number;
  readonly lives: number;
  readonly acknowledged: number;
  readonly records: number;
  /** Questions that were held against the log. */
  readonly questions: number;
}

const SECOND_US = 1_000_000;
/** When producers have sent all, nothing fails any more, and there are a few events more, so that all windows of before close and become final. */
const CLOSING_COUNT = 3;
/** What is left to do then is done within this time: retries, waits of tables that failed. */
const CATCH_UP_US = 90 * SECOND_US;
/** Without events the appliance does little: steps a second, messages among them. */
const IDLE_US = 4 * SECOND_US;
const IDLE_STEPS_MAX = 25;
/** Of a whole run, ten times what a long one takes. */
const STEPS_MAX = 500_000;
/** A stop is done within this time. */
const STOP_US = 30 * SECOND_US;

/** Workers tell the simulator of themselves as they are loaded. */
const workers = Promise.all([
  import("../../src/threads/engine.ts"),
  import("../../src/threads/export.ts"),
  import("../../src/threads/log.ts"),
]);

const configurations = new Map<string, Promise<ThreadStart>>();

function configured(pace: PaceName, setup: Setup): Promise<ThreadStart> {
  const key = `${pace} ${setup.idleAfter} ${setup.hasKeys}`;
  const known = configurations.get(key) ?? configurationOf(setup);
  configurations.set(key, known);
  return known;
}

class Run {
  readonly #seed: number;
  readonly #pace: Pace;
  readonly #scheduler: Scheduler;
  readonly #faults: DiskFaults;
  readonly #disk: SimDisk;
  readonly #appliance: Appliance;
  readonly #log: LogOracle;
  readonly #tables: TableOracle;
  readonly #pins: PinOracle;
  readonly #foreign: ForeignWriter;
  readonly #freezes: Freezes;
  readonly #clients: Client[] = [];
  readonly #told: Told = {
    acknowledged: new Map(),
    inOrder: [],
    position: 0,
    answers: 0,
    refusals: 0,
    sent: new Set(),
  };
  readonly #lines: string[] = [];
  readonly #verbose: boolean;
  readonly violations: string[] = [];
  #lives = 0;

  constructor(
    options: RunOptions,
    setup: { readonly pace: Pace; readonly faults: readonly Fault[]; readonly start: ThreadStart },
  ) {
    const { seed } = options;
    const { pace, faults, start } = setup;
    this.#seed = seed;
    this.#pace = pace;
    this.#verbose = options.verbose;
    const scheduler = new Scheduler(new Random(seed, "scheduler"));
    this.#scheduler = scheduler;
    const nowUs = (): number => scheduler.nowUs;
    scheduler.restsUntilUs = (thread, atUs) => this.#faults.restsUntilUs(thread, atUs);
    this.#faults = new DiskFaults(faults, nowUs, new Random(seed, "costs"));
    this.#disk = new SimDisk({
      random: new Random(seed, "disk"),
      faults: this.#faults,
      spend: (us) => scheduler.spend(us),
    });
    const violated = (what: string): void => this.#violated(what);
    const schema = must(start.streams[0], "the stream").schema;
    const told = this.#told;
    this.#appliance = new Appliance({
      start,
      startFleet: (given, events) =>
        Fleet.start(
          given,
          {
            log: "log",
            engine: "engine",
            export: "export",
            reconcile: "",
            past: "",
            savepoint: "",
            ship: "",
          },
          events,
        ),
      scheduler,
      disk: this.#disk,
      faults: this.#faults,
      random: new Random(seed, "product"),
      others: (due) => {
        if (due.kind === "foreign") this.#foreign.commit();
        else this.#freezes.take(due);
      },
      violated,
      say: (line) => this.say(line),
    });
    this.#foreign = new ForeignWriter(this.#disk, new Random(seed, "foreign"), (line) =>
      this.say(line),
    );
    this.#faults.intrude = (path) => this.#foreign.intrude(path);
    this.#freezes = new Freezes({
      appliance: this.#appliance,
      disk: this.#disk,
      scheduler,
      violated,
      say: (line) => this.say(line),
    });
    const { outOfOrdernessUs, idleAfterUs } = must(start.streams[0], "the stream");
    this.#log = new LogOracle(
      { tools: logTools(start, schema), told, violated },
      { outOfOrdernessUs, idleAfterUs },
      naiveViews(pace),
    );
    const tools = tableTools(start, this.#disk, schema);
    this.#tables = new TableOracle(tools, this.#log, violated);
    this.#pins = new PinOracle(pinTools(start, tools, this.#disk), this.#log, violated);
    this.#addClients(idleAfterUs !== null);
    this.#addAsker();
  }

  #addAsker(): void {
    const { sendS, questions } = this.#pace;
    const views = naiveViews(this.#pace).map(({ name }) => name);
    return void new Asker({
      appliance: this.#appliance,
      scheduler: this.#scheduler,
      random: new Random(this.#seed, "asker"),
      oracle: this.#pins,
      relations: ["hits", ...views],
      told: () => this.#told.position,
      violated: (what) => this.#violated(what),
      pauseUs: (sendS * SECOND_US) / questions,
      untilUs: sendS * SECOND_US,
    });
  }

  #addClients(hasPartitions: boolean): void {
    const random = new Random(this.#seed, "clients");
    const count = random.between(2, 4);
    const [low, high] = this.#pace.pauseS;
    for (let client = 0; client < count; client++)
      this.#clients.push(
        new Client(`c${client}`, hasPartitions && random.chance(0.6) ? `p${client}` : "", {
          appliance: this.#appliance,
          scheduler: this.#scheduler,
          faults: this.#faults,
          random: new Random(this.#seed, `client ${client}`),
          told: this.#told,
          violated: (what) => this.#violated(what),
          hasKeys: this.#seed % KEYED_EVERY === 0,
          pace: this.#pace,
          pauseUs: random.between(low * SECOND_US, high * SECOND_US),
        }),
      );
  }

  say(line: string): void {
    if (this.#verbose) this.#lines.push(`${(this.#scheduler.nowUs / 1e6).toFixed(6)} ${line}`);
  }

  #violated(what: string): void {
    this.violations.push(what);
    this.say(`VIOLATED: ${what}`);
  }

  /** After each step. */
  #look(): void {
    const wasEnded = this.#disk.isEnded;
    this.#appliance.look();
    const { changed } = this.#disk;
    if (this.#appliance.lives !== this.#lives || wasEnded) {
      this.#lives = this.#appliance.lives;
      if (this.#log.last > 0) this.#log.restarted();
      changed.clear();
      return;
    }
    if (changed.size > 0) {
      if ([...changed].some((path) => path.startsWith("/data/log/"))) this.#log.follow();
      if (changed.has("/data/ledger.db")) this.#tables.check();
      changed.clear();
    }
    this.#log.checkTold();
    for (const path of this.#foreign.overwritten()) this.#violated(`${path} was overwritten`);
  }

  /** All of it. Stops at the first broken rule. */
  go(): void {
    const look = (): void => {
      this.#look();
      if (this.#scheduler.steps > STEPS_MAX) this.#violated(`${STEPS_MAX} steps and no end`);
      if (this.violations.length > 0) throw new Stopped();
      if (this.#scheduler.actor === this.#appliance.main) this.#checkAccounts();
    };
    try {
      this.#disk.makeFolder("/data");
      const { sendS, allowedS, outOfOrdernessS, hoppingS } = this.#pace;
      let atUs = sendS * SECOND_US;
      this.#scheduler.runUntil(atUs, look);
      this.say("no more faults");
      this.#faults.isOver = true;
      const closingUs = ((allowedS + outOfOrdernessS + hoppingS[1]) / 2) * SECOND_US;
      const closer = must(this.#clients[0], "a producer");
      for (let count = 0; count < CLOSING_COUNT; count++) {
        this.#scheduler.runUntil((atUs += closingUs), look);
        closer.sendOne();
      }
      let endUs = atUs + CATCH_UP_US;
      while (atUs < endUs && this.#lagging() !== null)
        this.#scheduler.runUntil((atUs += SECOND_US), look);
      const lagging = this.#lagging();
      if (lagging !== null) this.#violated(`not caught up: ${lagging}`);
      const { steps } = this.#scheduler;
      this.#scheduler.runUntil((atUs += IDLE_US), look);
      const stepsMax = steps + (IDLE_STEPS_MAX * IDLE_US) / SECOND_US;
      if (this.#scheduler.steps > stepsMax)
        this.#violated(`${this.#scheduler.steps - steps} steps in ${IDLE_US} idle µs`);
      endUs = atUs;
      this.#appliance.stop();
      for (
        const { lives } = this.#appliance;
        this.#appliance.lives === lives && atUs < endUs + STOP_US;
      )
        this.#scheduler.runUntil((atUs += SECOND_US), look);
      if (atUs >= endUs + STOP_US) this.#violated("a stop did not end");
      this.#tables.check();
      this.#tables.checkComplete();
    } catch (error) {
      if (!(error instanceof Stopped)) this.#violated(`a step failed: ${textOf(error)}`);
    }
  }

  #checkAccounts(): void {
    const accounts = this.#appliance.fleet?.status().engine?.accounts;
    for (const view of accounts?.views ?? [])
      if (unaccounted(view) !== 0)
        this.#violated(`view ${view.view} does not account for ${unaccounted(view)} events`);
  }

  /** What has not caught up, or null. */
  #lagging(): string | null {
    const { fleet } = this.#appliance;
    if (fleet === null) return "the appliance does not run";
    const waiting = this.#clients.findIndex((client) => client.isWaiting);
    if (waiting !== -1) return `producer c${waiting} has no answer`;
    const { durablePosition, engine, readers } = fleet.status();
    if (engine === null || engine.position < durablePosition)
      return `views stand at ${engine?.position} of ${durablePosition}`;
    for (const { reader, position } of readers)
      if (position < durablePosition)
        return `reader ${reader} stands at ${position} of ${durablePosition}`;
    const { problems } = fleet.health();
    return problems.length > 0 ? `not healthy: ${problems.join("; ")}` : null;
  }

  /** Gives back what is not garbage by itself. */
  close(): void {
    this.#disk.close();
    releaseMemories();
  }

  result(drawn: readonly Fault[]): RunResult {
    return {
      seed: this.#seed,
      violations: this.violations,
      drawn,
      lines: this.#lines,
      simulatedUs: this.#scheduler.nowUs,
      steps: this.#scheduler.steps,
      trace: this.#scheduler.trace,
      lives: this.#appliance.lives,
      acknowledged: this.#told.acknowledged.size,
      records: this.#log.last,
      questions: this.#pins.checked,
    };
  }
}

class Stopped extends Error {}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Runs a seed. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  await workers;
  const { seed } = options;
  const random = new Random(seed, "run");
  const idleAfter = random.chance(0.4) ? "2s" : null;
  const drawnPace = random.chance(0.2) ? "dense" : "usual";
  const drawnTemper = random.pick(TEMPERS);
  const name = options.pace ?? drawnPace;
  const pace = PACES[name];
  const start = await configured(name, { pace, idleAfter, hasKeys: seed % KEYED_EVERY === 0 });
  const sendUs = pace.sendS * SECOND_US;
  const drawn = [
    ...drawFaults(new Random(seed, "faults"), sendUs, options.temper ?? drawnTemper),
    ...drawOthers(new Random(seed, "others"), sendUs),
  ].toSorted((a, b) => a.atUs - b.atUs);
  const faults =
    options.faults === null ? drawn : drawn.filter((_, index) => options.faults?.includes(index));
  const run = new Run(options, { pace, faults, start });
  run.go();
  run.close();
  runOn(null);
  return run.result(drawn);
}
