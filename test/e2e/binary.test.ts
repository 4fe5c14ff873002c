// The executable alone: copied into an empty folder, with an empty cache, no Node, Bun or node_modules in reach, it does the whole round
// trip. `npm run build` makes it; without it these tests are skipped.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { Appliance, temporaryFolder } from "./appliance.ts";

const ROOT = join(import.meta.dir, "..", "..");
const BUILT = join(ROOT, "dist", "millrace");
const isAbsent = !existsSync(BUILT);
const why = isAbsent ? " (needs dist/millrace: npm run build)" : "";

const folder = temporaryFolder();
const executable = join(folder.path, "millrace");
const cache = join(folder.path, "cache");
const config = join(folder.path, "orders.yaml");
const data = join(folder.path, "data");
/** Nothing of the machine that tests: no programs, no home, nothing unpacked yet. */
const env = { PATH: join(folder.path, "no-programs"), HOME: folder.path, XDG_CACHE_HOME: cache };

const SCHEMA = {
  type: "record",
  name: "Order",
  fields: [
    { name: "id", type: "string" },
    { name: "placed_at", type: { type: "long", logicalType: "timestamp-millis" } },
    { name: "country", type: { type: "enum", name: "Country", symbols: ["DE", "FR"] } },
    { name: "amount", type: { type: "bytes", logicalType: "decimal", precision: 10, scale: 2 } },
  ],
};
const CONFIG = `streams:
  orders:
    schema: orders.avsc
    event_time: placed_at
    event_id: id
    out_of_orderness: 0s
views:
  per_minute:
    sql: |
      SELECT window_start, country, count(*) AS orders, sum(amount) AS amount
      FROM tumble(orders, placed_at, INTERVAL 1 MINUTE)
      GROUP BY ALL
`;

/** Runs to the end in the empty folder. */
function run(...args: string[]): {
  readonly code: number;
  readonly out: string;
  readonly err: string;
} {
  const { exitCode, stdout, stderr } = Bun.spawnSync([executable, ...args], {
    cwd: folder.path,
    env,
  });
  return { code: exitCode, out: stdout.toString(), err: stderr.toString() };
}

const started: { kill(signal: "SIGKILL"): void }[] = [];

async function serve(): Promise<Appliance> {
  const options = { config, data, command: [executable], env, cwd: folder.path };
  const appliance = await Appliance.start(options);
  started.push(appliance.process);
  return appliance;
}

/** The files that a process and its children have mapped; null where there is no /proc. */
function mapsOf(pid: number): string | null {
  if (!existsSync("/proc/self/maps")) return null;
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean),
  );
  return [pid, ...children].map((id) => readFileSync(`/proc/${id}/maps`, "utf8")).join("\n");
}

const order = (id: string, at: string, country: string, amount: string): string =>
  `{"id":"${id}","placed_at":"${at}","country":"${country}","amount":${amount}}`;

beforeAll(() => {
  if (isAbsent) return;
  copyFileSync(BUILT, executable);
  mkdirSync(env.PATH);
  mkdirSync(cache);
  writeFileSync(join(folder.path, "orders.avsc"), JSON.stringify(SCHEMA));
  writeFileSync(config, CONFIG);
});
afterAll(() => {
  for (const process of started) process.kill("SIGKILL");
  folder.dispose();
});

describe.skipIf(isAbsent)(`the executable in an empty folder${why}`, () => {
  test("says its version, and what is wrong with a configuration", () => {
    expect(run("version")).toEqual({ code: 0, out: `millrace ${manifest.version}\n`, err: "" });
    expect(run("check", "--config", config)).toEqual({
      code: 0,
      out: expect.stringMatching(/^view \S+\n  reads [\s\S]*\nthe configuration is good\n$/),
      err: "",
    });
    const bad = join(folder.path, "bad.yaml");
    writeFileSync(bad, CONFIG.replace("sum(amount)", "sum(amounts)"));
    const { code, err } = run("check", "--config", bad);
    expect(code).toBe(2);
    expect(err).toContain("bad.yaml:10:");
    expect(err).toContain("amounts");
  }, 60_000);

  test("serves, stops in order, and finds its data again", async () => {
    const first = await serve();
    const answer = await first.send(
      [
        order("a", "2024-05-01T10:00:01Z", "DE", "10.50"),
        order("b", "2024-05-01T10:00:02Z", "DE", "0.25"),
        order("c", "2024-05-01T10:00:59.999Z", "FR", "7"),
        order("d", "2024-05-01T10:01:00Z", "FR", "1.01"),
        order("e", "2024-05-01T10:01:00Z", "IT", "1"),
      ].join("\n"),
    );
    expect({ ...answer, errors: answer.errors.map(({ reason }) => reason) }).toEqual({
      accepted: 4,
      duplicates: 0,
      rejected: 1,
      errors: ["unknown_symbol"],
      position: answer.position,
    });
    const view = "SELECT * EXCLUDE (revision) FROM per_minute ORDER BY ALL";
    const rows = [
      ["2024-05-01T10:00:00Z", "DE", 2, 10.75, true],
      ["2024-05-01T10:00:00Z", "FR", 1, 7, true],
      ["2024-05-01T10:01:00Z", "FR", 1, 1.01, false],
    ];
    const stream = "SELECT id, amount FROM orders WHERE amount > 1 ORDER BY id";
    const { position } = answer;
    expect((await first.rows(view, position)).rows).toEqual(rows);
    expect((await first.rows(stream, position)).rows).toEqual([
      ["a", 10.5],
      ["c", 7],
      ["d", 1.01],
    ]);
    // What is loaded is the executable's own: nothing of the repository it was built in.
    const maps = mapsOf(first.process.pid);
    if (maps !== null) {
      expect(maps).toContain(`${cache}/millrace`);
      expect(maps).not.toContain(ROOT);
    }
    expect(readdirSync(join(cache, "millrace")).length).toBe(1);
    expect(await first.stop()).toBe(0);

    const second = await serve();
    expect((await second.rows(view)).rows).toEqual(rows);
    expect((await second.rows(stream)).rows).toHaveLength(3);
    const again = await second.send(
      [
        order("a", "2024-05-01T10:00:01Z", "DE", "10.50"),
        order("f", "2024-05-01T10:02:00Z", "DE", "3"),
      ].join("\n"),
    );
    expect([again.accepted, again.duplicates]).toEqual([1, 1]);
    const { rows: after } = await second.rows(view, again.position);
    expect(after.map((row) => row.at(-1))).toEqual([true, true, true, false]);
    expect(await second.stop()).toBe(0);
  }, 120_000);

  test("demo: the clicks inside it are played, asked about, and served", async () => {
    const child = Bun.spawn(
      [executable, "demo", "--listen", "127.0.0.1:0", "--data", join(folder.path, "demo")],
      { cwd: folder.path, env, stdin: "ignore", stdout: "pipe", stderr: "inherit" },
    );
    started.push(child);
    let text = "";
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes("Ctrl-C") && !child.killed) child.kill("SIGTERM");
    }
    expect(await child.exited).toBe(0);
    expect(text).toContain("17,434 events");
    expect(text).toContain("17434 accepted, 0 duplicates, 0 rejected");
    expect(text).toMatch(/electronics\.smartphone +\d+ +\d+\.\d\d/);
  }, 120_000);
});
