// kill -9 at every failpoint of a savepoint, a restore and a shipment: the data folder is as it was, what is half-written is never restored as whole, and
// the next try works. A failpoint that nothing comes to fails the test, and so does a new one. Kills of whole instances: savepoint-kill.test.ts.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { FAILPOINTS, type Failpoint, type Step } from "../../src/base/failpoints.ts";
import { openDataFolder } from "../../src/log/data-folder.ts";
import { MANIFEST_NAME } from "../../src/savepoint/manifest.ts";
import { restoreSavepoint } from "../../src/savepoint/restore.ts";
import { jobOf, recordsOf, restoreTo } from "../ship/instance-fixture.ts";
import { storeTest, useStore, type TestStore } from "../ship/store-fixture.ts";
import { temporaryFolder } from "./appliance.ts";
import type { ChildStore } from "./copy-child.ts";
import { sendBodies, start, writeConfig } from "./full-instance.ts";

setDefaultTimeout(600_000);

const folder = temporaryFolder();
afterAll(folder.dispose);
const at = (name: string): string => join(folder.path, name);
const DATA = at("data");
/** Kills at a time. */
const LANES = 4;
const CHILD = join(import.meta.dir, "copy-child.ts");

const stepOf = (point: Failpoint): Step => point.replace(/\.(before|inside|after)$/, "") as Step;
const pointsOf = (room: string): readonly Failpoint[] =>
  FAILPOINTS.filter((point) => point.startsWith(`${room}.`));

/** Steps that are taken when another one fails. */
const FAILING: Partial<Record<Step, string>> = {
  "savepoint.file.abandon": "savepoint.file.sync.before:1-1:eio",
  "savepoint.abandon": "savepoint.manifest.write.before:1-1:eio",
  "restore.file.abandon": "restore.file.sync.before:1-1:enospc",
  "restore.abandon": "restore.file.sync.before:1-1:enospc",
};
/** Steps that are taken where a file system has no links. */
const COPYING: readonly Step[] = [
  "savepoint.file.create",
  "savepoint.file.sync",
  "savepoint.file.abandon",
];

interface Ended {
  readonly signal: NodeJS.Signals | number | null;
  readonly out: string;
  readonly error: string;
}

async function child(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  const started = Bun.spawn([process.execPath, "--no-install", CHILD, ...args], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  const [out, error] = await Promise.all([
    new Response(started.stdout).text(),
    new Response(started.stderr).text(),
  ]);
  await started.exited;
  return { signal: started.signalCode, out, error };
}

/** Runs the child until it is killed at the point. */
async function killed(
  point: Failpoint,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const plans = [FAILING[stepOf(point)] ?? [], `${point}:kill`].flat().join(",");
  const ended = await child(args, { ...env, MILLRACE_FAILPOINT: plans });
  expect([point, ended.signal, ended.error]).toEqual([point, "SIGKILL", ""]);
  return ended;
}

/** What a data folder says: records, rows of its databases, files of its tables. Metadata names its folder, and is left out. */
function contentOf(data: string): Record<string, unknown> {
  const content: Record<string, unknown> = { log: recordsOf(data) };
  for (const name of ["state.db", "ledger.db"]) {
    using database = new Database(join(data, name), { readonly: true, safeIntegers: true });
    const tables = database
      .query<{ name: string }, []>(
        "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
      )
      .all();
    for (const { name: table } of tables)
      content[`${name} ${table}`] = Bun.hash(
        JSON.stringify(database.query(`SELECT * FROM "${table}"`).values(), (_, value: unknown) =>
          typeof value === "bigint" ? String(value) : value,
        ),
      );
  }
  for (const path of filesBelow(join(data, "warehouse")))
    if (path.endsWith(".parquet")) content[relative(data, path)] = Bun.hash(readFileSync(path));
  return content;
}

function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .toSorted()
    .flatMap((name) => filesBelow(join(path, name)));
}

const restore = (from: string, to: string): Promise<unknown> =>
  restoreSavepoint({ from, dataFolder: to, files: new DiskFiles(), tell: () => {} });

/** A restore of it to `to` is refused by name, or gives what the data folder has. */
async function expectWholeOrRefused(savepoint: string, to: string, wanted: unknown): Promise<void> {
  if (existsSync(join(savepoint, MANIFEST_NAME))) {
    await restore(savepoint, to);
    expect(contentOf(to)).toEqual(wanted as Record<string, unknown>);
    rmSync(to, { recursive: true });
    return;
  }
  const said = String(await restore(savepoint, to).catch((error: unknown) => error));
  expect(said).toMatch(/was not finished|there is no folder|has no savepoint\.json/);
  expect(existsSync(to)).toBe(false);
}

/** Kills at points, some at a time: they wait for the disk more than for a core. `lane`: for names. */
async function each(
  points: readonly Failpoint[],
  run: (point: Failpoint, lane: number) => Promise<void>,
): Promise<void> {
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    for (const point of points.filter((_point, index) => index % LANES === lane))
      await run(point, lane);
  });
  await Promise.all(lanes);
}

beforeAll(async () => {
  const instance = await start({ config: writeConfig(folder.path), data: DATA });
  await sendBodies(instance, 0, 4);
  expect(await instance.stop()).toBe(0);
});
let store: TestStore;
useStore((started) => (store = started));

test("a savepoint that is killed anywhere is whole or none; the data folder is as it was", async () => {
  const wanted = contentOf(DATA);
  const job = jobOf(DATA);
  await each(pointsOf("savepoint"), async (point, lane) => {
    const [to, restored] = [at(`savepoint-${lane}`), at(`restored-${lane}`)];
    const how = COPYING.includes(stepOf(point)) ? "copy" : "link";
    await killed(point, [how, DATA, to, job]);
    await expectWholeOrRefused(to, restored, wanted);
    rmSync(to, { recursive: true, force: true });
  });
  expect(contentOf(DATA)).toEqual(wanted);
  const to = at("savepoint-0");
  expect(await child(["link", DATA, to, job], {})).toMatchObject({ signal: null, error: "" });
  await expectWholeOrRefused(to, at("restored-0"), wanted);
});

test("a restore that is killed anywhere is refused or whole; the savepoint is as it was", async () => {
  const wanted = contentOf(DATA);
  const from = at("from");
  expect((await child(["link", DATA, from, jobOf(DATA)], {})).error).toBe("");
  await each(pointsOf("restore"), async (point, lane) => {
    const to = at(`target-${lane}`);
    await killed(point, ["restore", from, to]);
    if (existsSync(join(to, "lock.db"))) expect(contentOf(to)).toEqual(wanted);
    else if (existsSync(to) && readdirSync(to).length > 0) {
      const said = String(await restore(from, to).catch((error: unknown) => error));
      expect(said).toContain("holds a restore that was not finished");
      expect(() => openDataFolder(to, new DiskFiles())).toThrow("restore that was not finished");
    }
    rmSync(to, { recursive: true, force: true });
    // once for each step: a restore is the larger part of the time
    if (point.endsWith(".after")) await expectWholeOrRefused(from, to, wanted);
  });
});

storeTest(
  "shipping that is killed anywhere goes on; what it had told to be in the store is restored",
  async () => {
    const target = {
      bucket: store.bucket,
      prefix: "killed",
      endpoint: store.endpoint,
      region: "us-east-1",
      pathStyle: true,
    };
    const told: ChildStore = { target, credentials: store.credentials };
    const env = { STORE: JSON.stringify(told) };
    const [data, to] = [at("shipped"), at("fetched")];
    let position = 0;
    for (const point of pointsOf("ship")) {
      const { out } = await killed(point, ["ship", data], env);
      position = Math.max(position, ...out.split("\n").map(Number));
      // as if the machine were lost now
      const fetched = restoreTo(to, store.open("killed"));
      const said = await fetched.catch((error: unknown) => String(error));
      if (typeof said === "string") {
        expect(said).toMatch(/holds nothing that Millrace shipped|holds no whole shipment/);
        expect(position).toBe(0);
        continue;
      }
      const records = recordsOf(data);
      expect(said.last).toBeGreaterThanOrEqual(position);
      expect([point, recordsOf(to)]).toEqual([point, records.slice(0, said.last)]);
      rmSync(to, { recursive: true });
    }
    expect(await child(["ship", data], env)).toMatchObject({ signal: null, error: "" });
    expect((await restoreTo(to, store.open("killed"))).last).toBe(recordsOf(data).length);
    expect(recordsOf(to)).toEqual(recordsOf(data));
    rmSync(to, { recursive: true });
  },
);
