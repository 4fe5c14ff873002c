// Mixed load with faults for minutes: streams and views of several kinds, small and large bodies, late, repeated and broken events, bursts of ten times as many, questions all
// the time, clients that nobody wants; and kills, stops, power cuts, a full disk, a slow one. Owns the run and what must hold in it; how it is reported is main.ts's.
import { existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/base/assert.ts";
import { OutsideClient } from "../client/outside.ts";
import { Appliance, FROM_SOURCE } from "../e2e/appliance.ts";
import { CLICK } from "../e2e/click.ts";
import { CUTS, PowerDisk } from "../power/disk.ts";
import { askUntil, type Answers } from "./asker.ts";
import { HostileClients } from "./hostile.ts";
import { measure, noPeaks, type Peaks } from "./measure.ts";

const BENCH = join(import.meta.dir, "..", "..", "bench");
const CONFIG = `streams:
  clicks: { schema: ${BENCH}/clicks.avsc, event_time: event_time, event_id: event_id, dedup_ttl: 24h, dedup_ids_max: 65536 }
  orders: { schema: ${BENCH}/clicks.avsc, event_time: event_time, event_id: event_id, dedup_ttl: 24h }
  probes: { schema: ${BENCH}/clicks.avsc, event_time: event_time, event_id: event_id, dedup_ttl: 24h }
views:
  clicks_minute:
    sql: SELECT window_start, event_type, category, count(*) AS events, sum(price) AS revenue, approx_count_distinct(user_id) AS users FROM tumble(clicks, event_time, INTERVAL 1 MINUTE) GROUP BY ALL
    late: { policy: update, allowed: 1h }
    rollups: [1 hour]
  clicks_hop:
    sql: SELECT window_start, category, count(*) AS events FROM hop(clicks, event_time, INTERVAL 1 MINUTE, INTERVAL 5 MINUTE) GROUP BY ALL
  orders_minute:
    sql: SELECT window_start, event_type, category, count(*) AS events, sum(price) AS revenue FROM tumble(orders, event_time, INTERVAL 1 MINUTE) GROUP BY ALL
  orders_sessions:
    sql: SELECT window_start, window_end, category, count(*) AS events FROM session(orders, event_time, INTERVAL 30 SECONDS, category) GROUP BY ALL
`;
const LOG_SIZE_MAX_MB = 200;
const FLAGS = [
  "--log.file_size=4MB",
  `--log.size_max=${LOG_SIZE_MAX_MB}MB`,
  "--checkpoint.interval=1s",
  "--export.interval=1s",
  "--query.memory_limit=400MB",
];
const COMPARED = [
  { stream: "clicks", view: "clicks_minute", allowedMs: 3_600_000 },
  { stream: "orders", view: "orders_minute", allowedMs: 0 },
];

const VERIFIED = [
  "clicks_minute",
  "clicks_minute_1h",
  "clicks_hop",
  "orders_minute",
  "orders_sessions",
];

/** Each write of the log waits so long while the disk is slow, ms. */
const SLOW_MS = 200;
const SAMPLE_MS = 500;
/** How long it may take until there is room again, or none any more; and until all is well, ms. */
const RESUME_MS_MAX = 60_000;
/** Of the whole disk that others leave free while it is full: less than the log's reserve. */
const FULL_FREE_MB = 300;
/** Connections of each hostile kind. */
const HOSTILE = 20;

const PROBE = { event_time: "2025-06-01T12:00:00Z", ...CLICK };

/**
 * Bounds that the run asserts, in MB: the engine's memories (decode 160, images 80, ids and views) and Bun, with bursts; DuckDB's limit and itself; the log's bound and half of it, 300 MB, and 150 bytes of tables and ids
 * for an event. Open files: 100 hostile connections, tunnels (three each), log files, tables. Threads: those of ARCHITECTURE.md with their collectors and compilers.
 */
export const boundsOf = (events: number): Peaks => ({
  parentMb: 1000,
  queryMb: 900,
  openFiles: 500,
  threads: 60,
  diskMb: 1.5 * LOG_SIZE_MAX_MB + 300 + (events * 150) / 2 ** 20,
});

export interface SoakOptions {
  readonly folder: string;
  /** Asked before each life. */
  readonly isOver: (lives: number) => boolean;
  /** Of a life, from and below. */
  readonly lifeMs: readonly [number, number];
  /** A quarter of the time there are ten times the events, for so long each time. */
  readonly burstMs: number;
  /** What clients were told is compared at the start of every so many lives, and at the end. */
  readonly compareEvery: number;
  readonly random: () => number;
  readonly say: (text: string) => void;
}

export interface SoakResult {
  readonly lives: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly compared: readonly string[];
  readonly answers: Answers;
  readonly peaks: Peaks;
  readonly events: number;
}

export class Soak {
  readonly #options: SoakOptions;
  readonly #disk: PowerDisk | null;
  readonly #root: string;
  readonly #config: string;
  readonly #slow: string;
  readonly #clients: readonly OutsideClient[];
  readonly #hostile = new HostileClients();
  readonly #answers: Answers = { asked: 0, timeouts: 0, later: 0, lagMax: 0, counts: new Map() };
  readonly #peaks = noPeaks();
  readonly #faults: Record<string, number> = {};
  #appliance: Appliance | null = null;
  #probes = 0;

  /** Without `disk` the data folder is an ordinary one: no power cuts and no full disk. */
  constructor(options: SoakOptions, disk: PowerDisk | null) {
    this.#options = options;
    this.#disk = disk;
    this.#root = disk?.path ?? join(options.folder, "disk");
    mkdirSync(this.#root, { recursive: true });
    this.#config = join(options.folder, "soak.yaml");
    this.#slow = join(options.folder, "slow");
    writeFileSync(this.#config, CONFIG);
    this.#clients = COMPARED.map(
      ({ stream }) =>
        new OutsideClient(`${stream}-`, join(options.folder, `${stream}.journal`), {
          stream,
          lanes: 4,
          events: 40,
          largeEvery: 97,
          largeEvents: 6000,
          pauseMs: 100,
          burstEveryMs: options.burstMs * 4,
          burstMs: options.burstMs,
          beganMs: Date.now(),
          speed: 30,
        }),
    );
  }

  get #data(): string {
    return join(this.#root, "data");
  }

  async run(): Promise<SoakResult> {
    let lives = 0;
    for (; !this.#options.isOver(lives); lives++) await this.#live(lives);
    const compared = await this.#finish();
    const events = compared.reduce((sum, text) => sum + Number.parseInt(text, 10), 0);
    return {
      lives,
      faults: this.#faults,
      compared,
      answers: this.#answers,
      peaks: this.#peaks,
      events,
    };
  }

  async #start(queryTimeout: string): Promise<Appliance> {
    const appliance = await Appliance.start({
      config: this.#config,
      data: this.#data,
      flags: [...FLAGS, `--query.timeout=${queryTimeout}`],
      env: { MILLRACE_FAILPOINT: `log.append.before:wait${SLOW_MS}@${this.#slow}` },
    });
    this.#appliance = appliance;
    return appliance;
  }

  #compare(appliance: Appliance): Promise<string[]> {
    return Promise.all(
      this.#clients.map((client, at) =>
        client.compare(appliance.address, must(COMPARED[at], "a stream")),
      ),
    );
  }

  #count(fault: string): void {
    this.#faults[fault] = (this.#faults[fault] ?? 0) + 1;
  }

  async #live(life: number): Promise<void> {
    const { lifeMs, random, compareEvery, say } = this.#options;
    const appliance = await this.#start("3s");
    if (life % compareEvery === 0) await this.#compare(appliance);
    for (const client of this.#clients) client.start(appliance.address);
    const ms = lifeMs[0] + random() * (lifeMs[1] - lifeMs[0]);
    const living = new AbortController();
    const sampling = setInterval(
      () => measure(appliance.process.pid, this.#data, this.#peaks),
      SAMPLE_MS,
    );
    const asking = askUntil(living.signal, appliance, this.#answers);
    // it is looked at when the life is over
    asking.catch(() => {});
    try {
      this.#hostile.come(appliance.address, HOSTILE);
      await Bun.sleep(ms / 3);
      await this.#trouble(life, appliance, ms / 3);
      this.#hostile.leave();
      await Bun.sleep(ms / 3);
      if (appliance.process.exitCode !== null) throw new Error(`it ended:\n${appliance.output}`);
      living.abort();
      await asking;
      const how = await this.#end(life, appliance);
      say(`life ${life}: ${Math.round(ms / 1000)} s, ${how}, ${JSON.stringify(this.#peaks)}`);
    } finally {
      living.abort();
      clearInterval(sampling);
    }
  }

  /** Something that the appliance must bear and go on from by itself. */
  async #trouble(life: number, appliance: Appliance, ms: number): Promise<void> {
    const kind = (["none", "slow disk", "full disk"] as const)[life % 3] ?? "none";
    if (kind === "none" || (kind === "full disk" && this.#disk === null)) return Bun.sleep(ms);
    this.#count(kind);
    if (kind === "slow disk") {
      writeFileSync(this.#slow, "");
      await Bun.sleep(ms);
      rmSync(this.#slow);
      return;
    }
    const ballast = join(this.#root, "ballast");
    const { bavail, bsize } = statfsSync(this.#root);
    const bytes = bavail * bsize - FULL_FREE_MB * 2 ** 20;
    const { success } = Bun.spawnSync(["fallocate", "-l", String(bytes), ballast]);
    if (!success) throw new Error(`no ballast of ${bytes} bytes`);
    await this.#until(appliance, 503);
    await Bun.sleep(ms);
    rmSync(ballast);
    await this.#until(appliance, 200);
  }

  /** Sends an event every 100 ms until that is the answer. */
  async #until(appliance: Appliance, status: number): Promise<void> {
    const end = performance.now() + RESUME_MS_MAX;
    while (performance.now() < end) {
      const body = { ...PROBE, event_id: `p${this.#probes++}` };
      const response = await appliance.post(JSON.stringify(body), "application/json", "probes");
      await response.text();
      if (response.status === status) return;
      await Bun.sleep(100);
    }
    throw new Error(`no answer ${status} within ${RESUME_MS_MAX} ms:\n${appliance.output}`);
  }

  /** The life ends, by what is next; clients stay behind with what has no answer. */
  async #end(life: number, appliance: Appliance): Promise<string> {
    const how = ["kill", "stop", "power cut"][life % (this.#disk === null ? 2 : 3)] ?? "kill";
    this.#count(how);
    if (how === "power cut" && this.#disk !== null) {
      this.#disk.cut(CUTS[Math.floor(life / 3) % CUTS.length] ?? "lost", this.#options.random);
      await appliance.kill();
      await this.#stopClients();
      this.#disk.restore();
      return how;
    }
    if (how === "stop") {
      const code = await appliance.stop();
      if (code !== 0) throw new Error(`a stop ended with ${code}:\n${appliance.output}`);
    } else await appliance.kill();
    await this.#stopClients();
    return how;
  }

  async #stopClients(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.stop()));
  }

  /** Everything has its answer; then clients, `verify`, `/health` and `doctor` have nothing to say. */
  async #finish(): Promise<string[]> {
    const appliance = await this.#start("5m");
    await Promise.all(this.#clients.map((client) => client.settle(appliance.address)));
    const compared = await this.#compare(appliance);
    for (const view of VERIFIED) {
      await this.#command("verify", view, "--config", this.#config, "--url", appliance.address);
    }
    const health = await fetch(`${appliance.address}/health`);
    if (health.status !== 200) throw new Error(`/health: ${await health.text()}`);
    const code = await appliance.stop();
    if (code !== 0) throw new Error(`the last stop ended with ${code}:\n${appliance.output}`);
    await this.#command("doctor", "--data", this.#data, "--deep");
    return compared;
  }

  /** Runs `millrace` with these arguments; no exit code but 0 may come. */
  async #command(...args: readonly string[]): Promise<void> {
    const child = Bun.spawn([...FROM_SOURCE, ...args], { stdout: "pipe", stderr: "pipe" });
    const [out, error] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    const code = await child.exited;
    if (code !== 0) throw new Error(`millrace ${args.join(" ")}:\n${out}${error}`);
  }

  /** Ends whatever still runs. */
  dispose(): void {
    this.#hostile.leave();
    for (const client of this.#clients) client.dispose();
    this.#appliance?.process.kill("SIGKILL");
    if (existsSync(this.#slow)) rmSync(this.#slow);
    this.#disk?.dispose();
  }
}
