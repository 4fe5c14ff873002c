// kill -9 at every failpoint there is: before, inside and after each durable step. The next life must hold what was acknowledged, exactly once: in the
// raw events, in the view, in late events and dead letters, and in the Iceberg tables as pyiceberg reads them. A failpoint that nobody comes to
// fails the test, and so does a new one.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { buildKernels } from "../../kernels/build.ts";
import { must } from "../../src/base/assert.ts";
import { FAILPOINTS, type Failpoint, type Step } from "../../src/base/failpoints.ts";
import { findingsOf, visit } from "../doctor/doctor-fixture.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "./appliance.ts";
import { letTimePass, snapshotCount } from "./iceberg-past.ts";
import { expectExact, expectTables } from "./exactly-once.ts";
import { BUSY_FLAGS, writeConfig } from "./full-instance.ts";
import { Producer } from "./producer.ts";

setDefaultTimeout(1_800_000);

const folder = temporaryFolder();
beforeAll(() => buildKernels());
/** Processes that run; null: the test is over, nothing is started any more. */
let running: Set<Appliance> | null = new Set();
afterAll(() => {
  for (const appliance of running ?? []) appliance.process.kill("SIGKILL");
  running = null;
  folder.dispose();
});

const CONFIG = writeConfig(folder.path);

/** Steps of a first start only: each point is met in a folder of its own. So are some of those by which tables come to be. */
const FIRST: readonly Step[] = [
  "log.lock.make",
  "log.identity",
  "checkpoint.file.make",
  "checkpoint.schema",
  "table.ledger.make",
];
const MAKING: readonly Failpoint[] = [
  "log.file.publish.before",
  "log.file.publish.after",
  "table.metadata.write.inside",
  "table.metadata.link.before",
  "table.metadata.link.after",
  "table.hint.rename.before",
];
/** Steps of every start, and of starts after a kill at the point named. */
const STARTING: Partial<Record<Step | "files.free.measure", Failpoint | "any">> = {
  "log.probe.write": "any",
  "log.probe.unlink": "any",
  "log.recover.sync": "any",
  "checkpoint.recover.sync": "any",
  "table.ledger.recover.sync": "any",
  "table.ledger.open": "any",
  "table.ledger.register": "any",
  "files.folder.make": "any",
  "files.free.measure": "any",
  "table.ledger.raise": "table.data.write.after",
  "table.orphan.unlink": "table.data.write.after",
  "table.recover.sync": "table.metadata.link.after",
  "table.sweep.unlink": "table.manifest.write.after",
};
/** Steps that are taken when another one fails. */
const FAILING: Partial<Record<Step, string>> = {
  "checkpoint.seal.abandon": "checkpoint.seal.sync.before:1-1:enospc",
  "table.data.unlink": "table.data.write.before:1-1:eio",
  "table.hint.unlink": "table.hint.rename.before:1-1:eio",
  "table.conflict.unlink": "table.list.write.before:1-1:eio",
};
/** A step that is taken when a table has many manifests, each of a snapshot, and from how many snapshots on it is waited for. */
const MERGING: Step = "table.merged.write";
const MERGING_SNAPSHOTS = 20;
/** Steps that are taken when snapshots are old: the last ones. */
const AGED: readonly Step[] = [
  "table.expire.unlink",
  "table.ledger.forget",
  "table.replaced.unlink",
];
/** The first commit after a start may take them. */
const RARE: readonly Step[] = [MERGING, ...AGED];
/** Steps that come so often that any of the first few times is met. */
const OFTEN =
  /^(log\.(append|roll|file|trim)|checkpoint\.save|table\.(data\.write|ledger\.record))/;
const TIMES = 3;

/** Events of a body; of one where ids are sealed: there must be tens of thousands. */
const EVENTS = 40;
const EVENTS_SEALED = 1000;
/** Between two bodies of a producer, ms. */
const PAUSE_MS = 40;
/** Between a connection that breaks and the end of its process, ms. */
const EXIT_MS_MAX = 10_000;
/** Load of a life that comes to no failpoint. */
const LIFE_MS = 500;
/** Load after which a stop is tried: it writes everything out. */
const LOAD_MS_MAX = 120_000;

const stepOf = (at: Failpoint): Step => at.replace(/\.(before|inside|after)$/, "") as Step;
const random = seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_121));

/** A data folder, its producers, and the points where it was killed since it was last found to be right. */
class Shop {
  readonly data: string;
  readonly producers: readonly Producer[] = [new Producer("ann"), new Producer("bob")];
  readonly killedAt: Failpoint[] = [];
  readonly #armed: string;

  constructor(name: string) {
    this.data = join(folder.path, name);
    this.#armed = `${this.data}.armed`;
  }

  async start(failpoints: string | null): Promise<Appliance> {
    const all = must(running, "a test that goes on");
    rmSync(this.#armed, { force: true });
    const appliance = await Appliance.start({
      config: CONFIG,
      data: this.data,
      flags: BUSY_FLAGS,
      env: failpoints === null ? {} : { MILLRACE_FAILPOINT: failpoints },
    });
    all.add(appliance);
    void appliance.process.exited.then(() => all.delete(appliance));
    return appliance;
  }

  /** A start that comes to the point. */
  async killStarting(at: Failpoint): Promise<void> {
    this.killedAt.push(at);
    const started = await this.start(`${at}:kill`).catch((error: unknown) => String(error));
    if (typeof started === "string") expect(started).toContain("ended (SIGKILL) before it served");
    else await this.#waitForKill(started, at);
  }

  /** A life that is found to be right, has some load, and ends. */
  async live(end: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const appliance = await this.start(null);
    await this.check(appliance);
    await this.load(appliance, EVENTS, LIFE_MS);
    appliance.process.kill(end);
    await appliance.process.exited;
  }

  /**
   * A life that comes to the point under load, or when it stops. It is found to be right before, unless it may come to a rare point at once: then the
   * next life is looked at.
   */
  async kill(at: Failpoint): Promise<void> {
    const step = stepOf(at);
    const time = OFTEN.test(at) ? 1 + Math.floor(random() * TIMES) : 1;
    const plans = [FAILING[step] ?? [], `${at}:${time}:kill`].flat();
    const appliance = await this.start(plans.map((plan) => `${plan}@${this.#armed}`).join(","));
    if (!RARE.includes(step)) await this.check(appliance);
    this.killedAt.push(at);
    writeFileSync(this.#armed, "");
    const events = step.startsWith("checkpoint.seal") ? EVENTS_SEALED : EVENTS;
    await this.load(appliance, events, LOAD_MS_MAX);
    if (appliance.process.signalCode === null) appliance.process.kill("SIGTERM");
    await this.#waitForKill(appliance, at);
  }

  async #waitForKill(appliance: Appliance, at: Failpoint): Promise<void> {
    const late = setTimeout(() => appliance.process.kill("SIGABRT"), LOAD_MS_MAX);
    await appliance.process.exited;
    clearTimeout(late);
    if (appliance.process.signalCode !== "SIGKILL")
      throw new Error(
        `nothing came to ${at} (${appliance.process.signalCode}):\n${appliance.output}`,
      );
  }

  /** Events until the process ends, for so long at most. */
  async load(appliance: Appliance, events: number, ms: number): Promise<void> {
    const end = performance.now() + ms;
    await Promise.all(
      this.producers.map(async (producer) => {
        while (performance.now() < end) {
          try {
            await producer.settle(appliance);
            await producer.send(appliance, events);
          } catch (error) {
            await Promise.race([appliance.process.exited, Bun.sleep(EXIT_MS_MAX)]);
            if (appliance.process.signalCode === "SIGKILL") return;
            throw new Error(appliance.output, { cause: error });
          }
          await Bun.sleep(PAUSE_MS);
        }
      }),
    );
  }

  /** What has no answer is sent again; then everything is there once. */
  async check(appliance: Appliance): Promise<void> {
    try {
      for (const producer of this.producers) await producer.settle(appliance);
      await expectExact(appliance, this.producers);
      this.killedAt.length = 0;
    } catch (error) {
      throw new Error(`after kills at ${this.killedAt.join(", ")}:\n${appliance.output}`, {
        cause: error,
      });
    }
  }

  /** All that is final goes out: the tables hold it, and the doctor finds nothing. */
  async end(): Promise<void> {
    const appliance = await this.start(null);
    await this.check(appliance);
    await expectTables(appliance, this.producers, this.data);
    const found = await visit(this.data, { isDeep: true });
    expect([findingsOf(found), found.code]).toEqual([[], 0]);
  }
}

/** Points of a first start, each in a folder of its own. */
async function killFirstStarts(points: readonly Failpoint[]): Promise<void> {
  for (const at of points) {
    const shop = new Shop(at);
    await shop.killStarting(at);
    await shop.live();
  }
}

/** Points of a start and of a life, in the order of their steps; what needs old snapshots comes last. */
async function killLives(shop: Shop, points: readonly Failpoint[]): Promise<void> {
  const starting = points.filter((at) => STARTING[stepOf(at)] !== undefined);
  const anyTime = starting.filter((at) => STARTING[stepOf(at)] === "any");
  const merging = points.filter((at) => stepOf(at) === MERGING);
  const others = points.filter((at) => !starting.includes(at) && !merging.includes(at));
  const isAged = (at: Failpoint): boolean => AGED.includes(stepOf(at));
  await shop.live();
  for (const at of others.filter((one) => !isAged(one))) {
    await shop.kill(at);
    const next = starting.filter((one) => STARTING[stepOf(one)] === at);
    for (const one of [...next, ...anyTime.splice(0, 1)]) await shop.killStarting(one);
    if (merging.length > 0 && snapshotCount(shop.data, "clicks_raw") >= MERGING_SNAPSHOTS)
      for (const one of merging.splice(0)) await shop.kill(one);
  }
  for (const at of [...merging, ...others.filter(isAged)]) {
    if (isAged(at)) {
      // a stop commits corrections: there are files that others replaced
      await shop.live("SIGTERM");
      letTimePass(shop.data, ["clicks_raw", "per_minute"]);
    }
    await shop.kill(at);
  }
  for (const at of anyTime) await shop.killStarting(at);
  await shop.end();
}

/** Points of a repair, each of a folder with something to repair. */
async function killRepairs(shop: Shop, points: readonly Failpoint[]): Promise<void> {
  await shop.live("SIGTERM");
  const data = join(shop.data, "warehouse", "default", "clicks_raw", "data");
  for (const at of points) {
    // an orphan that no start removes, and what is nobody's
    mkdirSync(join(data, "at_day=2025-06-01"), { recursive: true });
    writeFileSync(join(data, "at_day=2025-06-01", "00000001-999.parquet"), at);
    writeFileSync(join(data, "notes.txt"), at);
    const doctor = Bun.spawn([...FROM_SOURCE, "doctor", "--data", shop.data, "--repair"], {
      env: { ...process.env, MILLRACE_FAILPOINT: `${at}:kill` },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const said = await new Response(doctor.stderr).text();
    expect([at, await doctor.exited, said]).toEqual([at, 137, ""]);
    shop.killedAt.push(at);
    await shop.live("SIGTERM");
  }
  const mended = await visit(shop.data, { isRepair: true, isDeep: true });
  expect([findingsOf(mended), mended.code]).toEqual([[], 0]);
  await shop.end();
}

/** Points of a room but those of a first start. Names are taken away from `left`, so that none is forgotten. */
const left = new Set(FAILPOINTS);
function pointsOf(...rooms: readonly string[]): Failpoint[] {
  const points = FAILPOINTS.filter(
    (at) => rooms.includes(must(at.split(".")[0], "a room")) && !FIRST.includes(stepOf(at)),
  );
  for (const at of points) left.delete(at);
  return points;
}
const FIRST_POINTS = FAILPOINTS.filter((at) => FIRST.includes(stepOf(at)));
for (const at of FIRST_POINTS) left.delete(at);
const TABLE_POINTS = pointsOf("table");
const LOG_POINTS = pointsOf("log", "checkpoint", "files");
const DOCTOR_POINTS = pointsOf("doctor");

test("an event that was acknowledged is there once after a kill at every failpoint", async () => {
  await Promise.all([
    killLives(new Shop("tables"), TABLE_POINTS),
    (async () => {
      await killLives(new Shop("log"), LOG_POINTS);
      await killFirstStarts([...FIRST_POINTS, ...MAKING]);
      await killRepairs(new Shop("doctor"), DOCTOR_POINTS);
    })(),
  ]);
});

test("no room is forgotten: kills of a savepoint, a restore and a shipment are test/e2e/copy-failpoints.test.ts's", () => {
  const rooms = new Set([...left].map((at) => at.split(".")[0]));
  expect([...rooms]).toEqual(["savepoint", "restore", "ship"]);
});
