// A savepoint or a restore that is killed, given up or met by a full disk: the running data folder loses nothing, what is half-written is refused by
// name, and the next try works.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findingsOf, visit } from "../doctor/doctor-fixture.ts";
import { temporaryFolder } from "./appliance.ts";
import {
  countsOf,
  EVENTS,
  millrace,
  restore,
  savepoint,
  sendBodies,
  sendUntil,
  start,
  writeConfig,
} from "./full-instance.ts";

setDefaultTimeout(300_000);

const folder = temporaryFolder();
afterAll(folder.dispose);
const config = writeConfig(folder.path);
const at = (name: string): string => join(folder.path, name);

test("kill -9 in a savepoint: the data folder is whole, the savepoint is refused by name", async () => {
  const data = at("killed");
  const to = at("killed-savepoint");
  const failpoints = [
    "savepoint.database.write.inside",
    "savepoint.log.append.before",
    "savepoint.file.link.after:3",
    "savepoint.manifest.rename.before",
  ];
  let sent = 0;
  for (const failpoint of failpoints) {
    const appliance = await start({ config, data, failpoint: `${failpoint}:kill` });
    sent += (await sendBodies(appliance, sent, sent + 10)).length;
    const { code, error } = await savepoint(appliance, to);
    expect([failpoint, code]).toEqual([failpoint, 2]);
    // before or after its first line
    expect(error).toMatch(/does not answer|ended in the middle: there is no savepoint in /);
    await appliance.process.exited;
    expect(findingsOf(await visit(data, { isDeep: true }))).toEqual([]);
    const refused = await restore(to, at("never"));
    expect([refused.code, refused.error.includes("was not finished")]).toEqual([2, true]);
    rmSync(to, { recursive: true });
  }
  const appliance = await start({ config, data, failpoint: "savepoint.end.before:kill" });
  expect(await countsOf(appliance)).toEqual([sent * EVENTS, sent * EVENTS, 0]);
  await savepoint(appliance, to);
  await appliance.process.exited;
  // the manifest was there: it is one
  expect((await restore(to, at("whole"))).code).toBe(0);
  const again = await start({ config, data: at("whole") });
  expect(await countsOf(again)).toEqual([sent * EVENTS, sent * EVENTS, 0]);
  expect(await again.stop()).toBe(0);
});

test("a full disk fails the savepoint and nothing else", async () => {
  const data = at("full");
  const armed = (number: number): string => at(`full-${number}`);
  const failures = [
    { failpoint: "savepoint.database.write.before:2:enospc", isThere: false },
    { failpoint: "savepoint.log.append.before:1:enospc", isThere: false },
    { failpoint: "savepoint.file.link.before:4:eio", isThere: true },
  ];
  const failpoint = failures.map((one, number) => `${one.failpoint}@${armed(number)}`).join(",");
  const appliance = await start({ config, data, failpoint });
  await sendBodies(appliance, 0, 20);
  let isOver = false;
  const sending = sendUntil(appliance, 20, () => isOver);
  const to = at("full-savepoint");
  for (const [number, { failpoint: name, isThere }] of failures.entries()) {
    if (isThere) mkdirSync(to);
    writeFileSync(armed(number), "");
    const { code, error } = await savepoint(appliance, to);
    rmSync(armed(number));
    expect([code, error]).toEqual([2, expect.stringContaining(`, at ${name.split(":")[0]}`)]);
    expect(error).toContain("What was written there was removed, events were taken as ever");
    expect([existsSync(to), isThere && readdirSync(to).length > 0]).toEqual([isThere, false]);
  }
  expect((await savepoint(appliance, to)).code).toBe(0);
  isOver = true;
  const sent = 20 + (await sending).length;
  expect(await countsOf(appliance)).toEqual([sent * EVENTS, sent * EVENTS, 0]);
  const health = await fetch(`${appliance.address}/health`);
  expect(health.status).toBe(200);
  expect(await appliance.stop()).toBe(0);
  expect(findingsOf(await visit(data, { isDeep: true }))).toEqual([]);
});

test("SIGTERM in a savepoint: it is given up and removed, the process stops in order", async () => {
  const data = at("stopped");
  const appliance = await start({ config, data });
  await sendBodies(appliance, 0, 40);
  const to = at("stopped-savepoint");
  const making = savepoint(appliance, to);
  while (!existsSync(to)) await Bun.sleep(1);
  expect(await appliance.stop()).toBe(0);
  const { code, error } = await making;
  // it may have been done just before
  if (code === 0) expect((await restore(to, at("stopped-data"))).code).toBe(0);
  else {
    // the connection may be gone before it is told
    expect(error).toMatch(/Millrace was stopped|ended in the middle: there is no savepoint in /);
    expect(existsSync(to)).toBe(false);
  }
  expect(findingsOf(await visit(data, { isDeep: true }))).toEqual([]);
});

test("kill -9 in a restore: the folder is refused by name until it is removed", async () => {
  const data = at("restored");
  const appliance = await start({ config, data });
  await sendBodies(appliance, 0, 20);
  const to = at("restored-savepoint");
  expect((await savepoint(appliance, to)).code).toBe(0);
  expect(await appliance.stop()).toBe(0);
  const target = at("restored-target");
  for (const failpoint of [
    "restore.table.write.inside:2",
    "restore.place.rename.after:2",
    "restore.identity.rename.before",
  ]) {
    const killed = await millrace(["restore", to, "--data", target], {
      MILLRACE_FAILPOINT: `${failpoint}:kill`,
    });
    expect([failpoint, killed.code]).toEqual([failpoint, 137]);
    expect((await restore(to, target)).error).toContain("holds a restore that was not finished");
    const refused = await start({ config, data: target }).catch(String);
    expect(refused).toContain("holds a restore that was not finished");
    rmSync(target, { recursive: true });
  }
  const failed = await millrace(["restore", to, "--data", target], {
    MILLRACE_FAILPOINT: "restore.file.sync.before:4:enospc",
  });
  expect([failed.code, existsSync(target)]).toEqual([2, false]);
  expect(failed.error).toContain("What was written there was removed");
  expect((await restore(to, target)).code).toBe(0);
  const again = await start({ config, data: target });
  expect(await countsOf(again)).toEqual([20 * EVENTS, 20 * EVENTS, 0]);
  expect(await again.stop()).toBe(0);
});
