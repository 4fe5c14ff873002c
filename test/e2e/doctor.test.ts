// The doctor over folders that real instances leave: killed at a durable step, again and again, with late events, closed windows outside of
// memory and sealed ids, they are sound, and no look says otherwise. And the command: what it prints, its exit codes, and a start after a repair.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findingsOf, visit } from "../doctor/doctor-fixture.ts";
import { type Appliance, temporaryFolder } from "./appliance.ts";
import {
  body,
  countsOf,
  EVENTS,
  millrace,
  type Said,
  start,
  writeConfig,
} from "./full-instance.ts";

setDefaultTimeout(300_000);

/** Where the runs are killed, one after the other. */
const KILLS = [
  "checkpoint.save.inside:3",
  "table.data.write.before:9",
  "table.ledger.record.before:5",
  "table.ledger.record.after:4",
  "table.manifest.write.before:1",
  "table.metadata.link.before:1",
  "table.hint.write.before:1",
  "table.ledger.mark.before:1",
  "checkpoint.seal.create.before:1",
  "checkpoint.seal.sync.before:1",
  "checkpoint.seal.unlink.before:1",
  "log.roll.after:1",
];
/** Bodies of a run that does not come to its failpoint. */
const BODIES_MAX = 60;

const folder = temporaryFolder();
afterAll(folder.dispose);

const config = writeConfig(folder.path);

/** Sends a body until it is answered. False when the process ended meanwhile. */
async function send(to: Appliance, events: string): Promise<boolean> {
  for (;;) {
    try {
      const { status } = await to.post(events);
      if (status === 200) return true;
      expect(status).toBe(503);
    } catch {
      await to.process.exited;
      return false;
    }
    await Bun.sleep(20);
  }
}

interface Run {
  /** The first body that was not acknowledged. */
  readonly next: number;
  /** Whether the run came to its failpoint. Otherwise it was killed at whatever it did. */
  readonly isReached: boolean;
}

/** Runs from body `from` on until the process is killed. */
async function runUntilKilled(data: string, failpoint: string, from: number): Promise<Run> {
  // a start may come to the failpoint itself
  const appliance = await start({ config, data, failpoint: `${failpoint}:kill` }).catch(() => null);
  if (appliance === null) return { next: from, isReached: true };
  let number = from;
  while (number < from + BODIES_MAX && (await send(appliance, body(number)))) number++;
  const isReached = appliance.process.signalCode !== null;
  await appliance.kill();
  return { next: number, isReached };
}

test("folders of killed instances are clean, however they were killed", async () => {
  const data = join(folder.path, "kills");
  let number = 0;
  let reached = 0;
  let sealed = 0;
  for (const failpoint of KILLS) {
    const run = await runUntilKilled(data, failpoint, number);
    number = run.next;
    if (run.isReached) reached++;
    const found = await visit(data, { isDeep: true });
    expect([failpoint, findingsOf(found), found.code]).toEqual([failpoint, [], 0]);
    const ids = found.report.checks.find(({ name }) => name === "ids");
    if (ids !== undefined && !ids.said.startsWith("0 ")) sealed++;
  }
  expect(reached).toBeGreaterThan(3);
  expect(sealed).toBeGreaterThan(0);
  const mended = await visit(data, { isRepair: true, isDeep: true });
  expect([findingsOf(mended), mended.code]).toEqual([[], 0]);
  const appliance = await start({ config, data });
  expect(await send(appliance, body(number))).toBe(true);
  const sent = (number + 1) * EVENTS;
  expect(await countsOf(appliance)).toEqual([sent, sent, 0]);
  expect(await appliance.stop()).toBe(0);
  const stopped = await visit(data, { isDeep: true });
  expect([findingsOf(stopped), stopped.code]).toEqual([[], 0]);
});

const doctor = (...args: readonly string[]): Promise<Said> => millrace(["doctor", ...args]);

const repairThatFails = (data: string, failpoint: string): Promise<Said> =>
  millrace(["doctor", "--data", data, "--repair"], { MILLRACE_FAILPOINT: failpoint });

test("the command says what it finds, repairs, and the appliance goes on with the same rows", async () => {
  const data = join(folder.path, "command");
  const appliance = await start({ config, data });
  for (let number = 0; number < 5; number++) expect(await send(appliance, body(number))).toBe(true);
  const busy = await doctor("--data", data);
  expect(busy).toMatchObject({ code: 2, out: "" });
  expect(busy.error).toContain("is in use by another millrace process. Stop that one");
  expect(await appliance.stop()).toBe(0);

  // with the configuration that names the folder, or the folder alone
  const well = await doctor("--config", config, "--data", data, "--deep");
  expect(well).toMatchObject({ code: 0, error: "" });
  expect(well.out).toMatch(/^ok +log: records 1 to /m);
  expect(well.out).toMatch(/all is well\n$/);

  const raw = join(data, "warehouse", "default", "clicks_raw");
  const [day = ""] = readdirSync(join(raw, "data"));
  const orphan = join(raw, "data", day, "00000001-999.parquet");
  writeFileSync(orphan, "0123456789");
  writeFileSync(join(raw, "metadata", "version-hint.text"), "12345");
  const found = await doctor("--data", data);
  expect(found.code).toBe(1);
  expect(found.out).toMatch(/^repairable table default\.clicks_raw: /m);
  expect(found.out).toContain(`with --repair it would\n  rewrite the hint of ${raw}`);
  expect(found.out).toContain(`  remove ${orphan} (neither ledger nor any snapshot has it)`);

  const failed = await repairThatFails(data, "doctor.remove.before:1:eio");
  expect(failed).toMatchObject({ code: 2, error: expect.stringMatching(/^EIO.*run it again\n$/) });
  // killed with some done, the next run does the rest
  writeFileSync(orphan.replace("-999", "-998"), "0123456789");
  const killed = await repairThatFails(data, "doctor.remove.before:2:kill");
  expect(killed.code).toBe(137);
  expect(killed.out.split("\n").filter((line) => line.startsWith("done: ")).length).toBe(1);
  const json = await doctor("--data", data, "--json", "--repair");
  expect(json).toMatchObject({ code: 0, error: "" });
  const { exit_code: exitCode, done } = JSON.parse(json.out) as {
    exit_code: number;
    done: string[];
  };
  expect([exitCode, done.filter((line) => line.includes(orphan)).length]).toEqual([0, 1]);
  expect((await doctor("--data", data)).code).toBe(0);

  const again = await start({ config, data });
  const { rows } = await again.rows("SELECT count(*), count(DISTINCT event_id) FROM clicks");
  expect(rows[0]?.map(Number)).toEqual([5 * EVENTS, 5 * EVENTS]);
  expect(await again.stop()).toBe(0);

  const [file = ""] = readdirSync(join(raw, "data", day));
  truncateSync(join(raw, "data", day, file), 100);
  rmSync(join(raw, "metadata", "version-hint.text"));
  const refused = await doctor("--data", join(raw, "data"), "--json");
  expect([refused.code, JSON.parse(refused.out)]).toEqual([
    2,
    expect.objectContaining({ exit_code: 2, refused: expect.stringContaining("--data") }),
  ]);
  const damaged = await doctor("--data", data, "--repair");
  expect(damaged.code).toBe(2);
  expect(damaged.out).toContain(`${file} has 100 bytes, `);
  expect(damaged.out).toContain("until then no file is removed or moved");
});

test("what is no data folder, and words that it does not know", async () => {
  expect(await doctor("--data", join(folder.path, "nowhere"))).toMatchObject({ code: 2, out: "" });
  const { code, error } = await doctor("now", "--data", folder.path);
  expect([code, error]).toEqual([
    2,
    "write millrace doctor --data DIR [--deep] [--repair] [--json]\n",
  ]);
});
