// What happens at the bounds: a log that may not grow, an id table that is full, a disk that fails, several streams beside each other.
import { afterAll, expect, test } from "bun:test";
import { once } from "node:events";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { postHead } from "../../bench/http-client.ts";
import { LoadBody } from "../../bench/load-body.ts";
import { Appliance, FROM_SOURCE, temporaryFolder, type EventsAnswer } from "./appliance.ts";

const BENCH = join(import.meta.dir, "..", "..", "bench");
const CONFIG = join(BENCH, "clicks.yaml");
const folders: (() => void)[] = [];
afterAll(() => {
  for (const dispose of folders) dispose();
});

function folder(): string {
  const made = temporaryFolder();
  folders.push(made.dispose);
  return made.path;
}

/** Bodies of 1,000 new events each, until one is refused; the accepted count, and the refusal. */
async function sendUntilRefused(
  appliance: Appliance,
  bodiesMax: number,
): Promise<{ readonly accepted: number; readonly refused: Response | null }> {
  const body = LoadBody.make({ seed: 3, events: 1000, users: 100_000, categories: 50 });
  let accepted = 0;
  for (let sequence = 0; sequence < bodiesMax; sequence++) {
    body.stamp(sequence, Date.now());
    const response = await appliance.post(body.bytes);
    if (response.status !== 200) return { accepted, refused: response };
    accepted += ((await response.json()) as EventsAnswer).accepted;
  }
  return { accepted, refused: null };
}

test(
  "a full log answers 503 with Retry-After, goes on answering questions, and a restart with room goes on",
  async () => {
    const data = folder();
    // No checkpoint comes, so that nothing can be trimmed.
    const flags = ["--checkpoint.interval=1h", "--log.file_size=4MB", "--log.size_max=92MB"];
    const first = await Appliance.start({ config: CONFIG, data, flags });
    const { accepted, refused } = await sendUntilRefused(first, 3000);
    expect(refused?.status).toBe(503);
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused?.json()).toMatchObject({ code: "log_full" });
    expect((await first.rows("SELECT count(*) FROM clicks")).rows).toEqual([[accepted]]);
    await first.kill();
    const second = await Appliance.start({ config: CONFIG, data });
    expect((await second.rows("SELECT count(*), sum(1) FROM clicks")).rows[0]?.[0]).toBe(accepted);
    expect((await second.rows("SELECT sum(events) FROM per_minute")).rows).toEqual([[accepted]]);
    const more = await sendUntilRefused(second, 3);
    expect(more.refused).toBeNull();
    expect(await second.stop()).toBe(0);
  },
  { timeout: 120_000 },
);

/** Sends one body every 200 ms until one is taken (200) or refused (503), whichever is asked for; the ms that it took. */
async function sendUntil(appliance: Appliance, status: number, sequence: number): Promise<number> {
  const body = LoadBody.make({ seed: 7, events: 10, users: 10, categories: 5 });
  const start = performance.now();
  for (let at = sequence; performance.now() - start < 30_000; at++) {
    body.stamp(at, Date.now());
    const response = await appliance.post(body.bytes);
    await response.text();
    if (response.status === status) return performance.now() - start;
    await Bun.sleep(200);
  }
  throw new Error(`no answer ${status} in 30 s:\n${appliance.output}`);
}

test(
  "a full log goes on by itself once a checkpoint is taken and the tables have the rows",
  async () => {
    const data = folder();
    const flags = [
      "--checkpoint.interval=6s",
      "--export.interval=200ms",
      "--log.file_size=4MB",
      "--log.size_max=92MB",
    ];
    const appliance = await Appliance.start({ config: CONFIG, data, flags });
    const { refused } = await sendUntilRefused(appliance, 3000);
    expect(await refused?.json()).toMatchObject({ code: "log_full" });
    await sendUntil(appliance, 200, 900_000);
    expect((await sendUntilRefused(appliance, 3)).refused).toBeNull();
    await appliance.kill();
  },
  { timeout: 60_000 },
);

test(
  "a log without a free disk answers 503 while the disk is short, and goes on by itself",
  async () => {
    // The log looks at the disk at its start and every second: from the 6th look to the 11th there is no room.
    const appliance = await Appliance.start({
      config: CONFIG,
      data: folder(),
      flags: ["--streams.clicks.idle_after=1s"],
      env: { MILLRACE_FAILPOINT: "files.free.measure:6-11:enospc" },
    });
    const state = async (): Promise<unknown> => {
      const { rows } = await appliance.rows("SELECT state FROM millrace.watermarks");
      return rows[0]?.[0];
    };
    await sendUntil(appliance, 503, 1);
    expect(await state()).toBe("paused");
    // Longer than idle_after: silence means nothing while we refuse.
    await Bun.sleep(1500);
    expect(await state()).toBe("paused");
    await sendUntil(appliance, 200, 1000);
    expect(await state()).toBe("connected");
    expect((await sendUntilRefused(appliance, 3)).refused).toBeNull();
    await appliance.kill();
  },
  { timeout: 60_000 },
);

/** A connection that posts one body after another. */
class RawPosts {
  readonly #socket: Socket;

  constructor(appliance: Appliance) {
    this.#socket = connect(Number(new URL(appliance.address).port), "127.0.0.1");
  }

  async opened(): Promise<void> {
    await once(this.#socket, "connect");
  }

  /** The status of the answer. */
  post(body: Uint8Array): Promise<number> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const broke = (): void => reject(new Error("the connection broke"));
      socket.once("close", broke);
      socket.once("data", (answer: Buffer) => {
        socket.off("close", broke);
        resolve(Number(answer.toString("latin1", 9, 12)));
      });
      socket.write(postHead("/v1/events/clicks", "application/x-ndjson", body.length));
      socket.write(body);
    });
  }
}

/** A disk of 700 MB at `path`, of which the log may not touch the last 512 MB; false where mounting is not allowed. */
function mountDisk(path: string): boolean {
  mkdirSync(path, { recursive: true });
  const { success } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", path], {
    stderr: "ignore",
  });
  // lazily: what a killed process held open may take a moment to go
  if (success) folders.unshift(() => Bun.spawnSync(["umount", "--lazy", path]));
  return success;
}

const DISK = folder();

// The same on a real disk, where there may be one: the test before holds the rule on every machine, so that this one is not skipped
// but absent where mounting is not allowed.
if (mountDisk(DISK))
  test(
    "a disk that others fill answers 503 though nothing is appended, and goes on when they free it",
    async () => {
      const appliance = await Appliance.start({ config: CONFIG, data: join(DISK, "data") });
      try {
        await sendUntil(appliance, 200, 1);
        writeFileSync(join(DISK, "ballast"), new Uint8Array(150 * 1024 * 1024));
        await Bun.sleep(1500);
        expect(await sendUntil(appliance, 503, 1000)).toBeLessThan(1000);
        rmSync(join(DISK, "ballast"));
        expect(await sendUntil(appliance, 200, 2000)).toBeLessThan(5000);
      } finally {
        // also after a failure: its files would keep the disk mounted
        await appliance.kill();
      }
    },
    { timeout: 60_000 },
  );

/** Opens so many connections that say nothing. */
async function silentConnections(appliance: Appliance, count: number): Promise<Socket[]> {
  const { port } = new URL(appliance.address);
  const sockets = Array.from({ length: count }, () => connect(Number(port), "127.0.0.1"));
  for (const socket of sockets) socket.on("error", () => {});
  await Promise.all(
    sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve))),
  );
  return sockets;
}

test(
  "more connections than the system allows open files: the log goes on, new ones are told 503 and served when others have gone",
  async () => {
    // Each log file is a few open files more: a process without a reserve would end at the first that cannot be opened.
    const limited = ["bash", "-c", 'ulimit -n 300 && exec "$@"', "bash", ...FROM_SOURCE];
    const appliance = await Appliance.start({
      config: CONFIG,
      data: folder(),
      command: limited,
      flags: ["--log.file_size=4MB"],
    });
    const first = new RawPosts(appliance);
    await first.opened();
    const sockets = await silentConnections(appliance, 400);
    const body = LoadBody.make({ seed: 9, events: 1000, users: 1000, categories: 50 });
    // 60 MB: over many files of the log
    for (let sequence = 0; sequence < 300; sequence++) {
      body.stamp(sequence, Date.now());
      expect(await first.post(body.bytes)).toBe(200);
    }
    const refused = await appliance.post(body.bytes);
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([
      503,
      "too_many_connections",
    ]);
    for (const socket of sockets) socket.destroy();
    await sendUntil(appliance, 200, 1000);
    const { rows } = await appliance.rows("SELECT count(*) >= 300000 FROM clicks");
    expect(rows).toEqual([[true]]);
    expect(await appliance.stop()).toBe(0);
  },
  { timeout: 120_000 },
);

test(
  "a full id table answers 503 and takes nothing of the request; after the TTL it goes on",
  async () => {
    const data = folder();
    const flags = [
      "--streams.clicks.dedup_ids_max=65536",
      "--streams.clicks.dedup_ttl=3s",
      "--streams.clicks.dedup_disk_max=1KB",
    ];
    const appliance = await Appliance.start({ config: CONFIG, data, flags });
    const { accepted, refused } = await sendUntilRefused(appliance, 200);
    expect(refused?.status).toBe(503);
    expect(await refused?.json()).toMatchObject({ code: "dedup_full" });
    expect(accepted).toBeGreaterThan(50_000);
    expect((await appliance.rows("SELECT count(*) FROM clicks")).rows).toEqual([[accepted]]);
    await Bun.sleep(3500);
    const body = LoadBody.make({ seed: 4, events: 1000, users: 10, categories: 5 });
    body.stamp(900_000, Date.now());
    expect((await appliance.post(body.bytes)).status).toBe(200);
    await appliance.kill();
  },
  { timeout: 60_000 },
);

test("the first failed write of the log ends the process; what was acknowledged is there afterwards", async () => {
  const data = folder();
  const first = await Appliance.start({
    config: CONFIG,
    data,
    env: { MILLRACE_FAILPOINT: "log.append.before:9:eio" },
  });
  const body = LoadBody.make({ seed: 5, events: 10, users: 10, categories: 5 });
  let accepted = 0;
  for (let sequence = 0; sequence < 100; sequence++) {
    body.stamp(sequence, Date.now());
    try {
      accepted += (await first.send(new TextDecoder().decode(body.bytes))).accepted;
    } catch {
      break;
    }
  }
  expect(await first.process.exited).toBe(1);
  await first.printed("start it again");
  expect(accepted).toBeGreaterThan(0);
  expect(accepted).toBeLessThan(1000);
  const second = await Appliance.start({ config: CONFIG, data });
  const { rows } = await second.rows("SELECT count(*), count(DISTINCT event_id) FROM clicks");
  expect(Number(rows[0]?.[0])).toBeGreaterThanOrEqual(accepted);
  expect(rows[0]?.[0]).toBe(rows[0]?.[1]);
  await second.kill();
});

/** Two streams of two shapes, each with a view, in one configuration. */
function twoStreams(): string {
  const path = folder();
  mkdirSync(path, { recursive: true });
  copyFileSync(join(BENCH, "clicks.avsc"), join(path, "clicks.avsc"));
  writeFileSync(
    join(path, "beats.avsc"),
    JSON.stringify({
      type: "record",
      name: "Beat",
      fields: [
        { name: "beat_at", type: { type: "long", logicalType: "timestamp-millis" } },
        { name: "host", type: ["null", "string"], default: null },
      ],
    }),
  );
  writeFileSync(
    join(path, "two.yaml"),
    `streams:
  clicks: { schema: clicks.avsc, event_time: event_time, event_id: event_id }
  beats: { schema: beats.avsc, event_time: beat_at, out_of_orderness: 0s }
views:
  clicks_minute:
    sql: SELECT window_start, count(*) AS n FROM tumble(clicks, event_time, INTERVAL 1 MINUTE) GROUP BY ALL
  beats_hour:
    sql: SELECT window_start, host, count(*) AS n FROM tumble(beats, beat_at, INTERVAL 1 HOUR) GROUP BY ALL
`,
  );
  return join(path, "two.yaml");
}

test("several streams: each has its events, its watermark and its views, over a restart too", async () => {
  const config = twoStreams();
  const data = folder();
  const first = await Appliance.start({ config, data });
  const unnamed = await first.post('{"beat_at":1}', "application/json");
  expect(unnamed.status).toBe(400);
  expect(await unnamed.text()).toMatch(/clicks.*beats|beats.*clicks/);
  const body = LoadBody.make({ seed: 6, events: 50, users: 10, categories: 5 });
  body.stamp(1, Date.UTC(2025, 0, 1));
  const beat = (hour: number, host: string | null): string =>
    JSON.stringify({ beat_at: Date.UTC(2025, 0, 1, hour), host });
  const both = await Promise.all([
    first.post(body.bytes, "application/x-ndjson", "clicks"),
    first.post(
      [beat(1, "a"), beat(1, null), beat(2, "a")].join("\n"),
      "application/x-ndjson",
      "beats",
    ),
  ]);
  expect(both.map(({ status }) => status)).toEqual([200, 200]);
  const check = async (appliance: Appliance): Promise<void> => {
    const hours = await appliance.rows(
      "SELECT hour(window_start), host, n, is_final FROM beats_hour ORDER BY ALL",
    );
    expect(hours.rows).toEqual([
      [1, "a", 1, true],
      [1, null, 1, true],
      [2, "a", 1, false],
    ]);
    expect((await appliance.rows("SELECT n FROM clicks_minute")).rows).toEqual([[50]]);
    const joined = await appliance.rows(
      "SELECT (SELECT count(*) FROM clicks), (SELECT count(*) FROM beats), (SELECT count(*) FROM millrace.watermarks)",
    );
    expect(joined.rows).toEqual([[50, 3, 2]]);
  };
  await check(first);
  expect(await first.stop()).toBe(0);
  const second = await Appliance.start({ config, data });
  await check(second);
  await second.kill();
});
