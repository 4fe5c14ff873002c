// Savepoints of a running process, restored where nothing of it is left: every event acknowledged at or before the position is there once, in SQL
// and for other programs; what came later is taken as new. And an older copy beside a newer table.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isPythonMissing } from "../python/python.ts";
import { findingsOf, visit } from "../doctor/doctor-fixture.ts";
import { temporaryFolder } from "./appliance.ts";
import { icebergIds, idsOf } from "./iceberg-ids.ts";
import {
  body,
  countsOf,
  EVENTS,
  millrace,
  positionOf,
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

test("a savepoint under load, restored elsewhere after the first machine is gone", async () => {
  const data = at("first");
  const first = await start({ config, data });
  const positions = await sendBodies(first, 0, 140);
  const to = at("savepoint");
  let isMade = false;
  const made = savepoint(first, to).finally(() => (isMade = true));
  positions.push(...(await sendUntil(first, positions.length, () => isMade)));
  const said = await made;
  expect(said).toMatchObject({ code: 0, error: "" });
  expect(said.out).toMatch(/^state: [\d.]+ MB so far$/m);
  expect(said.out).toMatch(/files of them \([\d.]+ MB\) are hard links/);
  // taken as ever after it
  positions.push(...(await sendBodies(first, positions.length, positions.length + 5)));
  const sent = positions.length;
  expect(await countsOf(first)).toEqual([sent * EVENTS, sent * EVENTS, 0]);
  expect(await first.stop()).toBe(0);
  expect(findingsOf(await visit(data, { isDeep: true }))).toEqual([]);
  // what it shares with the savepoint goes, nothing may be needed of it
  rmSync(data, { recursive: true });

  const position = positionOf(said);
  const saved = positions.filter((one) => one <= position).length;
  expect(saved).toBeGreaterThanOrEqual(140);
  const second = at("second");
  const restored = await restore(to, second);
  expect(restored).toMatchObject({ code: 0, error: "" });
  expect(restored.out).toContain(`restored to ${second}: log position ${position}, `);
  expect(restored.out).toContain("tables was written anew: they were at");
  const before = await visit(second, { isDeep: true });
  expect([findingsOf(before), before.code]).toEqual([[], 0]);

  const appliance = await start({ config, data: second });
  expect(await countsOf(appliance)).toEqual([saved * EVENTS, saved * EVENTS, 0]);
  // ids are known: those of before are duplicates, those after it are new
  const known = await appliance.send(body(0));
  const late = await appliance.send(body(saved));
  expect([known.duplicates, late.accepted]).toEqual([EVENTS, EVENTS]);
  expect(await countsOf(appliance)).toEqual([(saved + 1) * EVENTS, (saved + 1) * EVENTS, 0]);
  expect(await appliance.stop()).toBe(0);
  expect(findingsOf(await visit(second, { isDeep: true }))).toEqual([]);
  if (!isPythonMissing) expect(await icebergIds(second)).toEqual(idsOf((saved + 1) * EVENTS));
  // the savepoint was not touched: it can be restored again
  const third = await restore(to, at("third"));
  expect(third.code).toBe(0);
});

test("without a running process the command starts one for it", async () => {
  const data = at("resting");
  const appliance = await start({ config, data });
  await sendBodies(appliance, 0, 3);
  expect(await appliance.stop()).toBe(0);
  const flags = ["--views.per_minute.late.policy=update", "--views.per_minute.late.allowed=1h"];
  const more = ["--streams.clicks.dedup_ttl=24h", "--streams.clicks.dedup_ids_max=65536"];
  const args = ["savepoint", at("rested"), "--config", config, "--data", data, ...flags, ...more];
  const said = await millrace(args);
  expect([said.code, said.error]).toEqual([0, ""]);
  expect((await restore(at("rested"), at("rested-data"))).code).toBe(0);
  const again = await start({ config, data: at("rested-data") });
  expect(await countsOf(again)).toEqual([3 * EVENTS, 3 * EVENTS, 0]);
  expect(await again.stop()).toBe(0);
});

test("an older copy beside a newer table: refused, or the table is taken back", async () => {
  const data = at("ahead");
  const appliance = await start({ config, data });
  await sendBodies(appliance, 0, 30);
  const to = at("ahead-savepoint");
  const saved = await savepoint(appliance, to);
  expect(saved.code).toBe(0);
  await sendBodies(appliance, 30, 60);
  expect(await appliance.stop()).toBe(0);
  const newer = at("newer-warehouse");
  renameSync(join(data, "warehouse"), newer);
  rmSync(data, { recursive: true });
  const restored = await restore(to, data);
  expect(restored).toMatchObject({ code: 0, error: "" });
  // the same path: nothing is written anew
  expect(restored.out).not.toContain("written anew");
  // over that of the savepoint: files that were replaced since are in no newer one
  cpSync(newer, join(data, "warehouse"), { recursive: true });

  const refused = await start({ config, data }).catch(String);
  expect(refused).toContain("the data folder is older than the table");
  expect(refused).toContain("--on-table-ahead=rollback");
  const back = await start({ config, data, flags: ["--on-table-ahead=rollback"] });
  await back.printed("was ahead of the data folder: it was taken back from epoch ");
  expect(await countsOf(back)).toEqual([30 * EVENTS, 30 * EVENTS, 0]);
  const again = await sendBodies(back, 20, 45);
  expect(again.length).toBe(25);
  expect(await countsOf(back)).toEqual([45 * EVENTS, 45 * EVENTS, 0]);
  expect(await back.stop()).toBe(0);
  if (!isPythonMissing) expect(await icebergIds(data)).toEqual(idsOf(45 * EVENTS));
  const found = await visit(data, { isDeep: true });
  expect([findingsOf(found), found.code]).toEqual([[], 0]);
});

test("what cannot be restored or saved is refused with what to do", async () => {
  const data = at("refusals");
  const appliance = await start({ config, data });
  await sendBodies(appliance, 0, 3);
  const to = at("refusals-savepoint");
  expect((await savepoint(appliance, to)).code).toBe(0);
  const failed = async (given: string): Promise<string> => {
    const { code, error } = await savepoint(appliance, given);
    expect(code).toBe(2);
    return error;
  };
  expect(await failed(to)).toContain(`${to} is not empty: it holds `);
  expect(await failed(join(data, "inside"))).toContain("lie in each other");
  expect(await failed(join(config, "below"))).toContain("cannot be written");
  expect(await failed("relative")).toContain("write an absolute path");
  expect(existsSync(join(data, "inside"))).toBe(false);
  expect(await appliance.stop()).toBe(0);

  const target = at("refusals-target");
  const refused = async (change: (copy: string) => void): Promise<string> => {
    const copy = at("refusals-copy");
    rmSync(copy, { recursive: true, force: true });
    cpSync(to, copy, { recursive: true });
    change(copy);
    const { code, error } = await restore(copy, target);
    expect([code, existsSync(target)]).toEqual([2, false]);
    return error;
  };
  const [log = ""] = readdirSync(join(to, "log")).filter((name) => name.endsWith("-wal"));
  const flipped = await refused((copy) => {
    const path = join(copy, "log", log);
    const bytes = readFileSync(path);
    bytes[4000] = (bytes[4000] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  });
  expect(flipped).toContain(`${log} was changed (its SHA-256 does not fit)`);
  const without = (name: string) => refused((copy) => rmSync(join(copy, name)));
  expect(await without("ledger.db")).toContain("ledger.db is missing");
  expect(await without("savepoint.json")).toContain("it has no savepoint.json");
  const served = await start({ config, data: to }).catch(String);
  expect(served).toContain("is a savepoint: it is never served itself");
  expect((await restore(to, data)).error).toContain(`${data} is not empty`);
  expect((await millrace(["restore", to])).error).toContain("write millrace restore DIR --data");
  const numbered = await millrace(["restore", to, "--data", target, "--shipment", "3"]);
  expect(numbered.error).toContain("a restore from a folder takes no flags");
  expect([numbered.code, existsSync(target)]).toEqual([2, false]);
});
