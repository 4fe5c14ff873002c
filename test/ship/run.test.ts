// Shipping from claim to restore, in this process, to a store that we did not write: copies of a folder, restores that ended early, clocks, gaps, full disks.
import { afterAll, expect, setDefaultTimeout } from "bun:test";
import { cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { logFolderOf } from "../../src/log/data-folder.ts";
import { logMoment } from "../../src/savepoint/copy-log.ts";
import { restoreShipment } from "../../src/ship/restore.ts";
import { readSegmentKey } from "../../src/ship/segment.ts";
import type { ObjectStore } from "../../src/ship/store.ts";
import { temporaryFolder } from "../e2e/appliance.ts";
import {
  recordsOf,
  restoreTo,
  runShip,
  trimLog,
  writeDamaged,
  writeLog,
  type Running,
} from "./instance-fixture.ts";
import { storeTest, useStore, type TestStore } from "./store-fixture.ts";

setDefaultTimeout(60_000);

const folder = temporaryFolder();
const at = (name: string): string => join(folder.path, name);
afterAll(folder.dispose);
let store: TestStore;
useStore((started) => (store = started));

/** Ships all that is in the log, with a shipment of it, and ends. */
async function shipAll(data: string, prefix: string, last: number): Promise<void> {
  const running = runShip(at(data), store.open(prefix));
  await running.until(
    ({ position, shipment }) => position >= last && (shipment?.position ?? 0) >= last,
  );
  await running.stop();
}

async function refusal(running: Running): Promise<string> {
  await running.until(({ isRefused }) => isRefused);
  await running.stop();
  return running.notices.join("\n");
}

storeTest("an older copy of the folder that took events of its own is refused", async () => {
  writeLog(at("older"), 20);
  await shipAll("older", "older", 20);
  cpSync(at("older"), at("copy"), { recursive: true });
  cpSync(at("older"), at("trimmed"), { recursive: true });
  // as of a machine that runs: the copy knows the newest term
  writeLog(at("older"), 40);
  await shipAll("older", "older", 40);
  cpSync(join(at("older"), "ship.json"), join(at("copy"), "ship.json"));
  writeLog(at("copy"), 60, 1000);
  const copy = await refusal(runShip(at("copy"), store.open("older")));
  expect(copy).toContain(
    "s3://events/older and this data folder hold different events at log position 21: this is an older copy",
  );
  // nothing is left of what could be compared, and a newer term is known
  writeLog(at("trimmed"), 700, 1000);
  trimLog(at("trimmed"), 600);
  const trimmed = await refusal(runShip(at("trimmed"), store.open("older")));
  expect(trimmed).toContain("was shipped to by a newer copy of this data folder (since ");
  // what was shipped is there, and its own folder goes on
  writeLog(at("older"), 50);
  await shipAll("older", "older", 50);
  expect((await restoreTo(at("older-restored"), store.open("older"))).last).toBe(50);
  expect(recordsOf(at("older-restored"))).toEqual(recordsOf(at("older")));
});

storeTest("a folder whose log was trimmed into the last segment goes on", async () => {
  writeLog(at("cut"), 400);
  await shipAll("cut", "cut", 400);
  writeLog(at("cut"), 700);
  trimLog(at("cut"), 390);
  const first = logMoment(logFolderOf(at("cut")), new DiskFiles()).first;
  expect(first > 1 && first < 400).toBe(true);
  await shipAll("cut", "cut", 700);
});

storeTest(
  "a restore that ended at damage takes over from there: what it takes then is shipped",
  async () => {
    const [open, data] = [store.open("ended"), at("ended")];
    writeLog(data, 20);
    await shipAll("ended", "ended", 20);
    const running = runShip(data, open, { intervalUs: 3_600_000_000 });
    await running.until(({ position }) => position === 20);
    writeLog(data, 30);
    await running.until(({ position }) => position === 30);
    writeLog(data, 40);
    await running.until(({ position }) => position === 40);
    await running.stop();
    const last = (await open.list("log/")).find(({ key }) => readSegmentKey(key)?.last === 30);
    await open.put(last?.key ?? "", new Uint8Array(7));

    const report = await restoreTo(at("ended-2"), open);
    expect([report.last, report.beyond]).toEqual([20, { from: 21, to: 40 }]);
    // others than those that were lost, and fewer
    writeLog(at("ended-2"), 35, 1000);
    await shipAll("ended-2", "ended", 35);
    expect((await restoreTo(at("ended-3"), open)).last).toBe(35);
    expect(recordsOf(at("ended-3"))).toEqual(recordsOf(at("ended-2")));
    // it is its own now, and goes on
    writeLog(at("ended-2"), 45, 1000);
    await shipAll("ended-2", "ended", 45);
    expect((await restoreTo(at("ended-4"), open)).last).toBe(45);
  },
);

storeTest(
  "what a restore would not get is no lag of zero: before a shipment, and in a gap",
  async () => {
    const data = at("gap");
    writeLog(data, 20);
    const away = store.open("gap", { endpoint: "http://127.0.0.1:1" });
    const first = runShip(data, store.open("gap"), { shipments: away });
    await first.until(({ problems }) => problems.join().includes("no newer shipment was made"));
    await first.until(() => first.status().bytes > 0);
    expect([first.status().position, first.status().problems.length]).toEqual([0, 1]);
    await first.stop();
    await shipAll("gap", "gap", 20);
    writeLog(data, 700);
    trimLog(data, 600);
    // also when the process that saw the gap is gone
    for (let time = 0; time < 2; time++) {
      const run = runShip(data, store.open("gap"), { shipments: away });
      await run.until(({ problems }) => problems.length === 2);
      const { position, problems, completeAtUs } = run.status();
      expect(position).toBe(20);
      expect(problems[1]).toContain("a restore would end at log position 20: records behind it");
      await run.stop();
      expect(run.status().completeAtUs).toBe(completeAtUs);
    }
    await shipAll("gap", "gap", 700);
    expect((await restoreTo(at("gap-2"), store.open("gap"))).last).toBe(700);
  },
);

storeTest("a clock that was ahead and is right again holds up no shipment", async () => {
  const data = at("clock");
  writeLog(data, 10);
  const ahead = (): number => (Date.now() + 10 * 86_400_000) * 1000;
  const first = runShip(data, store.open("clock"), { clock: { nowUs: ahead, monotonicUs: ahead } });
  await first.until(({ shipments }) => shipments > 0);
  await first.stop();
  writeLog(data, 20);
  const second = runShip(data, store.open("clock"));
  await second.until(({ shipment }) => shipment?.position === 20);
  await second.stop();
});

storeTest("a damaged record is told before it is the only copy", async () => {
  writeLog(at("spoilt"), 10);
  await shipAll("spoilt", "spoilt", 10);
  writeDamaged(at("spoilt"));
  const running = runShip(at("spoilt"), store.open("spoilt"));
  await running.until(({ problems }) => problems.length > 0);
  expect(running.status().problems.join()).toContain("the checksum of the payload differs");
  expect(running.status().position).toBe(10);
  await running.stop();
});

storeTest("an object that was cut on the way is read again", async () => {
  writeLog(at("way"), 30);
  await shipAll("way", "way", 30);
  const open = store.open("way");
  const cut = new Set<string>();
  const cutting: ObjectStore = {
    address: open.address,
    put: (key, bytes) => open.put(key, bytes),
    list: (prefix) => open.list(prefix),
    remove: (key) => open.remove(key),
    get: async (key, bytesMax, atOnce) => {
      const whole = await open.get(key, bytesMax, atOnce);
      if (!/^(log|data)/.test(key) || cut.has(key)) return whole;
      cut.add(key);
      return whole?.subarray(0, -1) ?? null;
    },
  };
  const { last, damage } = await restoreTo(at("way-2"), cutting);
  expect([last, damage, cut.size > 2]).toEqual([30, null, true]);
});

storeTest("of a log that stands still two shipments are made, also where one is kept", async () => {
  writeLog(at("still"), 20);
  const running = runShip(at("still"), store.open("still"), { keepMax: 1, intervalUs: 1000 });
  await running.until(({ shipments }) => shipments === 2);
  // each step of the log tells
  let steps = 0;
  await running.until(() => ++steps > 50);
  expect(running.status().shipments).toBe(2);
  await running.stop();
  expect(await store.open("still").list("shipments/")).toHaveLength(1);
});

storeTest("a restore to where no folder can be says so", async () => {
  writeLog(at("plain"), 1);
  await shipAll("plain", "plain", 1);
  const below = join(at("plain"), "lock.db", "data");
  const said = await restoreTo(below, store.open("plain")).catch((error: Error) => error);
  expect(said).toMatchObject({ name: "SavepointError" });
  expect(String(said)).toContain(`nothing was restored to ${below}: `);
});

storeTest("an object that was removed while no process ran is put there again", async () => {
  writeLog(at("removed"), 5);
  const open = store.open("removed");
  const first = runShip(at("removed"), open);
  await first.until(({ shipments }) => shipments === 2);
  await first.stop();
  for (const { key } of await open.list("data/")) await open.remove(key);
  const second = runShip(at("removed"), open);
  await second.until(({ shipments }) => shipments > 0);
  await second.stop();
  expect((await restoreTo(at("removed-2"), open)).last).toBe(5);
});

storeTest("what is in the folder, or comes there meanwhile, is named and stays", async () => {
  writeLog(at("into"), 5);
  await shipAll("into", "into", 5);
  const open = store.open("into");
  const to = at("into-2");
  mkdirSync(join(to, "log"), { recursive: true });
  writeFileSync(join(to, "log", "mine"), "");
  // before the store is asked
  const away = store.open("into", { endpoint: "http://127.0.0.1:1" });
  expect(String(await restoreTo(to, away).catch(String))).toContain(
    `${to} is not empty: it holds log. Name a folder`,
  );
  for (const isThere of [true, false]) {
    const late = at(`into-late-${isThere}`);
    if (isThere) mkdirSync(late);
    const order = { store: open, number: null, dataFolder: late, files: new DiskFiles() };
    const tell = (): void => {
      mkdirSync(join(late, "log"), { recursive: true });
      writeFileSync(join(late, "log", "mine"), "");
    };
    const said = await restoreShipment({ ...order, tell }).catch(String);
    expect(said).toContain(`${late} is not empty: it holds log. Name a folder`);
    expect(readdirSync(late, { recursive: true }).map(String).toSorted()).toEqual([
      "log",
      "log/mine",
    ]);
  }
  expect(readdirSync(to, { recursive: true }).map(String).toSorted()).toEqual(["log", "log/mine"]);
});
