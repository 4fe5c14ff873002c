// Off the disk: a machine is lost with its disk, and another one goes on from the store; two that write one prefix; a store that is away or refuses.
import { afterAll, expect, setDefaultTimeout } from "bun:test";
import { cpSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { findingsOf, visit } from "../doctor/doctor-fixture.ts";
import { storeTest, useStore, type TestStore, type Way } from "../ship/store-fixture.ts";
import { temporaryFolder, type Appliance } from "./appliance.ts";
import { icebergIds, idsOf } from "./iceberg-ids.ts";
import {
  countsOf,
  EVENTS,
  millrace,
  sendBodies,
  start,
  writeConfig,
  type Said,
} from "./full-instance.ts";

setDefaultTimeout(300_000);

const folder = temporaryFolder();
const config = writeConfig(folder.path);
const at = (name: string): string => join(folder.path, name);

afterAll(folder.dispose);
let store: TestStore;
useStore((started) => (store = started));

/** More than any object here has. */
const OBJECT_BYTES = 8 * 1024 * 1024;
const FAST = ["--ship.interval=1s", "--ship.log_interval=100ms", "--ship.keep=2"];

/** Starts an instance on the data folder `data` that ships to `prefix`. */
const ship = (
  prefix: string,
  data: string,
  more: readonly string[] = [],
  failpoint?: string,
): Promise<Appliance> => {
  const flags = [...store.flags(prefix), ...FAST, ...more];
  const armed = failpoint === undefined ? {} : { failpoint };
  return start({ config, data: at(data), flags, env: store.env, ...armed });
};

const restoreFrom = (prefix: string, data: string, more: readonly string[] = []): Promise<Said> => {
  const [, ...flags] = store.flags(prefix);
  const from = `s3://${store.bucket}/${prefix}`;
  return millrace(["restore", from, "--data", at(data), ...flags, ...more], store.env);
};

async function metric(of: Appliance, name: string): Promise<number> {
  const text = await (await fetch(`${of.address}/metrics`)).text();
  return Number(new RegExp(`^millrace_ship_${name} (.*)$`, "m").exec(text)?.[1]);
}

/** Resolves when a figure is as wanted; the test's own time limit is the only one. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await Bun.sleep(20);
}

const shipped = (of: Appliance, position: number): Promise<void> =>
  until(async () => (await metric(of, "position")) >= position);

const health = async (
  of: Appliance,
): Promise<{ readonly status: string; readonly problems: readonly string[] }> =>
  (await (await fetch(`${of.address}/health`)).json()) as {
    readonly status: string;
    readonly problems: readonly string[];
  };

storeTest("a machine is lost with its disk: another goes on from the store", async () => {
  const first = await ship("lost", "first");
  const positions = await sendBodies(first, 0, 12);
  await until(async () => (await metric(first, "shipments_total")) >= 1);
  positions.push(...(await sendBodies(first, 12, 16)));
  await shipped(first, positions.at(-1) ?? 0);
  // ticks go on into the log, and are shipped too
  await until(async () => (await metric(first, "lag_seconds")) === 0);
  // the last are acknowledged, and may be on this disk alone
  positions.push(...(await sendBodies(first, 16, 20)));
  const position = await metric(first, "position");
  await first.kill();
  rmSync(at("first"), { recursive: true });

  const said = await restoreFrom("lost", "second");
  expect(said).toMatchObject({ code: 0, error: "" });
  const restored = Number(/up to log position (\d+), whose events/.exec(said.out)?.[1]);
  expect(restored).toBeGreaterThanOrEqual(position);
  const second = await ship("lost", "second");
  const there = positions.filter((one) => one <= restored).length;
  expect(there).toBeGreaterThanOrEqual(16);
  expect(await countsOf(second)).toEqual([there * EVENTS, there * EVENTS, 0]);
  // producers send what was not acknowledged, and the last seconds again
  await sendBodies(second, 10, 22);
  expect(await countsOf(second)).toEqual([22 * EVENTS, 22 * EVENTS, 0]);
  // a stop ships what is left of the log
  expect(await second.stop()).toBe(0);
  expect(await icebergIds(at("second"))).toEqual(idsOf(22 * EVENTS));
  expect(findingsOf(await visit(at("second"), { isDeep: true }))).toEqual([]);
  expect((await restoreFrom("lost", "third")).code).toBe(0);
  const third = await start({ config, data: at("third") });
  expect(await countsOf(third)).toEqual([22 * EVENTS, 22 * EVENTS, 0]);
  expect(await third.stop()).toBe(0);
});

storeTest("two copies of a job: one prefix takes the log of one of them", async () => {
  const old = await ship("two", "old");
  const sent = await sendBodies(old, 0, 3);
  await until(async () => (await metric(old, "shipments_total")) >= 1);
  await shipped(old, sent.at(-1) ?? 0);
  expect((await restoreFrom("two", "early")).code).toBe(0);
  // the old one is alive, and ships on: who was restored before that is refused, and takes events all the same
  await shipped(old, (await sendBodies(old, 3, 4))[0] ?? 0);
  const early = await ship("two", "early");
  await early.printed("nothing is shipped: s3://events/two was shipped to by another copy");
  expect((await health(early)).status).toBe("unhealthy");
  await sendBodies(early, 3, 5);
  expect(await early.stop()).toBe(0);
  // the old one is silent: who is restored now takes over, and the old one hears of it
  expect((await restoreFrom("two", "new")).code).toBe(0);
  const fresh = await ship("two", "new");
  await until(async () => (await metric(fresh, "shipments_total")) >= 1);
  await sendBodies(old, 4, 5);
  await old.printed("nothing is shipped: another process ships to s3://events/two since");
  expect((await health(old)).problems.join()).toContain("another process ships to");
  expect((await fetch(`${old.address}/ready`)).status).toBe(200);
  await sendBodies(fresh, 4, 7);
  expect(await old.stop()).toBe(0);
  expect(await fresh.stop()).toBe(0);
  // what the old one put there behind the other's beginning is not restored
  expect((await restoreFrom("two", "last")).code).toBe(0);
  const last = await start({ config, data: at("last") });
  expect(await countsOf(last)).toEqual([7 * EVENTS, 7 * EVENTS, 0]);
  expect(await last.stop()).toBe(0);
  // neither the old one, nor a copy of it that never shipped
  const again = await ship("two", "old");
  await again.printed("nothing is shipped: s3://events/two is shipped to by another copy");
  expect(await again.stop()).toBe(0);
});

storeTest("a store that is away or refuses harms no event, and is told once", async () => {
  const appliance = await ship("away", "away");
  let bodies = (await sendBodies(appliance, 0, 2)).length;
  await until(async () => (await metric(appliance, "shipments_total")) >= 1);
  const ways: [Way, string][] = [
    [{ kind: "answer", status: 500 }, "the store answers 500"],
    [{ kind: "answer", status: 403 }, "the store answers 403"],
    [{ kind: "cut" }, "does not answer"],
  ];
  for (const [way, why] of ways) {
    const failures = await metric(appliance, "failures_total");
    store.setWay(way);
    const [position = 0] = await sendBodies(appliance, bodies++, bodies);
    await until(async () => (await metric(appliance, "failures_total")) > failures + 1);
    expect(await metric(appliance, "lag_seconds")).toBeGreaterThan(0);
    const { status, problems } = await health(appliance);
    expect([status, problems.join()]).toEqual(["healthy", expect.stringContaining(why)]);
    store.setWay({ kind: "slow", ms: 5 });
    await shipped(appliance, position);
    await until(async () => (await health(appliance)).problems.length === 0);
  }
  const lines = appliance.output.split("\n").filter((line) => line.includes("log is not shipped"));
  expect(lines.length).toBe(ways.length);
  expect(appliance.output).not.toContain(store.credentials.secretAccessKey);
  await replacesRemoved(appliance, () => sendBodies(appliance, bodies++, bodies));
  // a store that hangs does not hold up a stop
  store.setWay({ kind: "hang" });
  await sendBodies(appliance, bodies++, bodies);
  expect(await appliance.stop()).toBe(0);
  store.setWay({ kind: "open" });
  const again = await ship("away", "away");
  await until(async () => (await metric(again, "lag_seconds")) === 0);
  expect(await again.stop()).toBe(0);
  rmSync(at("away"), { recursive: true });
  expect((await restoreFrom("away", "away")).code).toBe(0);
  const back = await start({ config, data: at("away") });
  expect(await countsOf(back)).toEqual([bodies * EVENTS, bodies * EVENTS, 0]);
  expect(await back.stop()).toBe(0);
});

storeTest(
  "a log that was trimmed while the store was away: the newest shipment goes on",
  async () => {
    const small = ["--log.file_size=64KB", "--export.interval=100ms"];
    const appliance = await ship("gap", "gap", small);
    await sendBodies(appliance, 0, 3);
    await until(async () => (await metric(appliance, "shipments_total")) >= 1);
    store.setWay({ kind: "cut" });
    const before = await metric(appliance, "position");
    let bodies = 3;
    const firstHeld = (): number =>
      Number.parseInt(readdirSync(join(at("gap"), "log"))[0] ?? "", 10);
    while (firstHeld() <= before + 1)
      bodies += (await sendBodies(appliance, bodies, bodies + 5)).length;
    // a step that begins now finds them gone
    await until(async () => (await metric(appliance, "missed_records_total")) > 0);
    store.setWay({ kind: "open" });
    await appliance.printed("log records were trimmed before they could be shipped");
    await until(async () => (await metric(appliance, "shipment_position")) > before);
    await until(async () => (await metric(appliance, "lag_seconds")) === 0);
    await appliance.kill();
    rmSync(at("gap"), { recursive: true });
    expect((await restoreFrom("gap", "gap")).code).toBe(0);
    const back = await start({ config, data: at("gap"), flags: small });
    expect(await countsOf(back)).toEqual([bodies * EVENTS, bodies * EVENTS, 0]);
    expect(await back.stop()).toBe(0);
  },
);

storeTest("a copy of the folder, a start without credentials, another job", async () => {
  const one = await ship("copied", "one");
  await sendBodies(one, 0, 1);
  await until(async () => (await metric(one, "shipments_total")) >= 1);
  expect(await one.stop()).toBe(0);
  cpSync(at("one"), at("copy"), { recursive: true });
  const again = await ship("copied", "one");
  await shipped(again, (await sendBodies(again, 1, 2))[0] ?? 0);
  expect(await again.stop()).toBe(0);
  rmSync(at("one"), { recursive: true });
  renameSync(at("copy"), at("one"));
  const copy = await ship("copied", "one");
  await copy.printed("it is an older copy of the one that was shipped");
  expect(await copy.stop()).toBe(0);
  const other = await ship("copied", "other");
  await other.printed("is the prefix of another data folder");
  expect(await other.stop()).toBe(0);
  const bare = { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" };
  const flags = store.flags("copied");
  const refused = await start({ config, data: at("one"), flags, env: bare }).catch(String);
  expect(refused).toContain("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
});

storeTest("a restore says what is wrong, and offers what is whole", async () => {
  const appliance = await ship("damaged", "whole");
  for (const number of [0, 1, 2]) {
    await sendBodies(appliance, number, number + 1);
    await until(async () => (await metric(appliance, "shipments_total")) > number);
  }
  expect(await appliance.stop()).toBe(0);
  const objects = store.open("damaged");
  const keysOf = async (prefix: string): Promise<string[]> =>
    (await objects.list(prefix)).map(({ key }) => key);
  const [older = "", newest = ""] = await keysOf("shipments/");
  const numberOf = (key: string): string => String(Number(key.split("/")[1]?.slice(0, 8)));

  /** What a restore says that finds `key` changed; then it is as it was. */
  const withDamage = async (key: string, bytes: Uint8Array | null): Promise<Said> => {
    const whole = (await objects.get(key, OBJECT_BYTES)) ?? new Uint8Array(0);
    if (bytes === null) await objects.remove(key);
    else await objects.put(key, bytes);
    const said = await restoreFrom("damaged", "never");
    await objects.put(key, whole);
    return said;
  };
  const offer = `restore again with --shipment ${numberOf(older)}`;
  const manifest = new TextDecoder().decode(
    (await objects.get(newest, OBJECT_BYTES)) ?? new Uint8Array(0),
  );
  const state = /"path":"state\.db","bytes":\d+,"chunks":\[\{"sha256":"(\w+)"/.exec(manifest)?.[1];
  for (const [key, bytes, why] of [
    [newest, new TextEncoder().encode(manifest.replace('"jobId"', '"jobID"')), "checksum"],
    [`data/${state}`, new Uint8Array(9), "is damaged (its SHA-256 does not fit)"],
    [`data/${state}`, new Uint8Array(OBJECT_BYTES), "is not what Millrace put there"],
    [`data/${state}`, null, "is missing"],
  ] as const) {
    const said = await withDamage(key, bytes);
    expect([key, said.code]).toEqual([key, 2]);
    expect(said.error).toContain(`s3://events/damaged/${key}`);
    expect(said.error).toContain(why);
    expect(said.error).toContain(offer);
  }
  const [firstSegment = ""] = await keysOf("log/");
  const lost = await withDamage(firstSegment, null);
  expect([lost.code, lost.error]).toEqual([2, expect.stringContaining("needs the log up to")]);
  const { code, out } = await restoreFrom("damaged", "older", ["--shipment", numberOf(older)]);
  expect([code, out]).toEqual([0, expect.stringContaining(`shipment ${numberOf(older)} of `)]);
  // the log goes to its end all the same
  const back = await start({ config, data: at("older") });
  expect(await countsOf(back)).toEqual([3 * EVENTS, 3 * EVENTS, 0]);
  expect(await back.stop()).toBe(0);
  const empty = await restoreFrom("nothing", "never");
  expect(empty.error).toContain("s3://events/nothing holds nothing that Millrace shipped");
  const unknown = await restoreFrom("damaged", "never", ["--shipment", "77"]);
  expect(unknown.error).toContain("has no shipment 77: it has ");
  const flags = ["--data", at("never"), "--ship.endpoint", store.endpoint, "--ship.path_style=on"];
  const wrong = { ...store.env, AWS_SECRET_ACCESS_KEY: "no" };
  const forbidden = await millrace(["restore", "s3://events/damaged", ...flags], wrong);
  expect([forbidden.code, forbidden.error]).toEqual([2, expect.stringContaining("403 Signature")]);
  const nowhere = await millrace(["restore", "s3://other-one/x", ...flags], store.env);
  expect(nowhere.error).toContain("There is no bucket other-one");
});

storeTest("kill -9 while the folder's note is written: the next start ships", async () => {
  for (const failpoint of ["write.inside", "rename.before", "rename.after"]) {
    const killed = ship("killed", "killed", [], `ship.note.${failpoint}:1:kill`);
    const ended = await killed.then(
      (appliance) => appliance.process.exited,
      () => 137,
    );
    expect([failpoint, ended]).toEqual([failpoint, 137]);
  }
  const appliance = await ship("killed", "killed");
  await shipped(appliance, (await sendBodies(appliance, 0, 1))[0] ?? 0);
  expect(await appliance.stop()).toBe(0);
  expect(findingsOf(await visit(at("killed")))).toEqual([]);
});

/** Somebody removes an object that kept shipments need: it is told, and put there again. */
async function replacesRemoved(of: Appliance, send: () => Promise<unknown>): Promise<void> {
  store.setWay({ kind: "open" });
  const objects = store.open("away");
  const rawFile =
    /"path":"warehouse\/default\/clicks_raw\/data[^"]*","bytes":\d+,"chunks":\[\{"sha256":"(\w+)"/;
  let sha256: string | undefined;
  await until(async () => {
    await send();
    const newest = (await objects.list("shipments/")).at(-1)?.key ?? "";
    const manifest = await objects.get(newest, OBJECT_BYTES);
    sha256 = rawFile.exec(new TextDecoder().decode(manifest ?? new Uint8Array(0)))?.[1];
    return sha256 !== undefined;
  });
  await objects.remove(`data/${sha256}`);
  await send();
  const told = "1 object that shipments need is gone from s3://events/away";
  await until(() => Promise.resolve(of.output.includes(told)));
  await until(async () => (await objects.get(`data/${sha256}`, OBJECT_BYTES)) !== null);
  await until(async () => (await health(of)).problems.length === 0);
}
