// The power goes at random moments under load (8, or as many as `npm run power` asks for): what the independent client was told is there exactly once after each, with the real SQLite on
// a real file system. The same test with bugs planted finds them.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { buildKernels } from "../../kernels/build.ts";
import { OutsideClient } from "../client/outside.ts";
import { findingsOf, visit } from "../doctor/doctor-fixture.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "../e2e/appliance.ts";
import { BUSY_FLAGS, writeConfig } from "../e2e/full-instance.ts";
import { CUTS, PowerDisk, whyNoPowerDisk, type Cut } from "./disk.ts";
import { makeMutant, MUTATIONS } from "./mutant.ts";

const POWER_CUTS = Number(process.env["MILLRACE_POWER_CUTS"] ?? 8);
/** Time for one, ms: most of it is starts and comparisons on a busy machine. */
const CUT_MS_MAX = 20_000;
setDefaultTimeout((POWER_CUTS + 8) * CUT_MS_MAX);
/** A planted bug must show within so many. */
const MUTANT_CUTS = 8;
/** Load before a cut, ms. */
const LOAD_MS_MIN = 150;
const LOAD_MS_MORE = 450;

const FIRST_LOG_FILE = "0000000000000001.db";
const COMPARED = { stream: "clicks", view: "per_minute", allowedMs: 3_600_000 };

const reason = whyNoPowerDisk();
const folder = temporaryFolder();
const disks: PowerDisk[] = [];
const clients: OutsideClient[] = [];
const appliances: Appliance[] = [];
beforeAll(() => buildKernels());
afterAll(() => {
  for (const client of clients) client.dispose();
  for (const appliance of appliances) appliance.process.kill("SIGKILL");
  for (const disk of disks) disk.dispose();
  folder.dispose();
});

/** A disk, an appliance on it, and who was told what by it. */
class Machine {
  readonly disk: PowerDisk;
  readonly client: OutsideClient;
  readonly #random: () => number;
  readonly #command: readonly string[];
  readonly #config: string;
  #appliance: Appliance | null = null;
  readonly cuts: string[] = [];

  constructor(name: string, random: () => number, command: readonly string[] = FROM_SOURCE) {
    const path = join(folder.path, name);
    mkdirSync(path);
    this.disk = PowerDisk.make(path);
    disks.push(this.disk);
    this.#random = random;
    this.#command = command;
    this.#config = writeConfig(path);
    this.client = new OutsideClient("ann", join(path, "journal"), {
      stream: "clicks",
      lanes: 4,
      events: 500,
      pauseMs: 1,
      beganMs: Date.now(),
      speed: 120,
    });
    clients.push(this.client);
  }

  get data(): string {
    return join(this.disk.path, "data");
  }

  /** Starts; what it holds is what the client was told. Throws with what is not so. */
  async start(): Promise<Appliance> {
    const appliance = await Appliance.start({
      config: this.#config,
      data: this.data,
      flags: BUSY_FLAGS,
      command: this.#command,
    });
    this.#appliance = appliance;
    appliances.push(appliance);
    await this.client.compare(appliance.address, COMPARED);
    return appliance;
  }

  /** A life under load that ends with a cut, and not before `isReady`. */
  async live(how: Cut, isReady: () => boolean): Promise<void> {
    const appliance = await this.start();
    this.client.start(appliance.address);
    while (!isReady()) await Bun.sleep(20);
    const ms = LOAD_MS_MIN + this.#random() * LOAD_MS_MORE;
    await Bun.sleep(ms);
    this.cuts.push(`${how} after ${Math.round(ms)} ms`);
    this.disk.cut(how, this.#random);
    await this.end();
  }

  /** Cuts until one shows something, which is told; "" when none of them does. */
  async untilWrong(): Promise<string> {
    for (let count = 0; count < MUTANT_CUTS; count++)
      try {
        await this.live("lost", () => this.isTrimmed);
      } catch (error) {
        return String(error);
      }
    return "";
  }

  #names(...path: string[]): string[] {
    const inside = join(this.data, ...path);
    return existsSync(inside) ? readdirSync(inside) : [];
  }

  /** Whether the log was trimmed behind a checkpoint, and a table has a snapshot. */
  get isTrimmed(): boolean {
    const metadata = this.#names("warehouse", "default", "clicks_raw", "metadata");
    return metadata.includes("v2.metadata.json") && !this.#names("log").includes(FIRST_LOG_FILE);
  }

  /** Whether ids were sealed too. */
  get isSealed(): boolean {
    return this.isTrimmed && this.#names("ids").length > 0;
  }

  /** Everybody is gone, the disk is there again. */
  async end(): Promise<void> {
    await this.#appliance?.kill();
    this.#appliance = null;
    await this.client.stop();
    this.disk.restore();
  }
}

// Absent, not skipped, where no disk may be mounted: the simulator cuts power on every machine.
if (reason === null)
  describe("power cuts", () => {
    const random = seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_122));
    const cutAt = (count: number): Cut => CUTS[count % CUTS.length] ?? "lost";

    test(`${POWER_CUTS} of them: what was acknowledged is there once, and nothing else`, async () => {
      const machine = new Machine("machine", random);
      try {
        for (let count = 0; count < POWER_CUTS; count++)
          await machine.live(cutAt(count), () => machine.isSealed);
        const appliance = await machine.start();
        await machine.client.settle(appliance.address);
        await machine.client.compare(appliance.address, COMPARED);
        expect(await appliance.stop()).toBe(0);
        const found = await visit(machine.data, { isDeep: true });
        expect([findingsOf(found), found.code]).toEqual([[], 0]);
      } catch (error) {
        throw new Error(`cuts: ${machine.cuts.join(", ")}`, { cause: error });
      }
    });

    test.each(MUTATIONS)("found: $name", async (mutation) => {
      const path = join(folder.path, mutation.name.replaceAll(" ", "-"));
      const machine = new Machine(
        mutation.file.replaceAll("/", "-"),
        random,
        makeMutant(path, mutation),
      );
      const found = await machine.untilWrong();
      expect(found).toMatch(/millrace ended|what the client was told differs/);
    });
  });
else console.log(`no tests of power cuts: ${reason}`);
