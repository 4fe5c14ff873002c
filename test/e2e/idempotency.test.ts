// Requests with an Idempotency-Key and events without ids: a request that is sent again, to the same process or to a later one, before its answer or
// after, stores nothing twice. Single requests first, then kill -9 under load: large bodies are killed between their records.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { buildKernels } from "../../kernels/build.ts";
import { Appliance, temporaryFolder, type EventsAnswer } from "./appliance.ts";
import { millrace, restore, savepoint } from "./full-instance.ts";

// a busy machine may take its time
setDefaultTimeout(120_000);

const folder = temporaryFolder();
const appliances: Appliance[] = [];
beforeAll(() => buildKernels());
afterAll(() => {
  for (const { process } of appliances) process.kill("SIGKILL");
  folder.dispose();
});

const CONFIG = join(folder.path, "millrace.yaml");
writeFileSync(
  CONFIG,
  `streams: { hits: { schema: hit.avsc, event_time: received_at, out_of_orderness: 0s }, taps: { schema: hit.avsc, event_time: received_at, out_of_orderness: 0s } }
views: { per_user: { sql: "SELECT window_start, name, count(*) AS hits FROM tumble(hits, received_at, INTERVAL 1 HOUR) GROUP BY ALL" } }
`,
);
writeFileSync(
  join(folder.path, "hit.avsc"),
  JSON.stringify({
    type: "record",
    name: "Hit",
    fields: [
      { name: "name", type: "string" },
      { name: "n", type: "long" },
    ],
  }),
);
/** Taps have ids: fewer than a body may have in memory at a time. */
const IDS_FLAGS = ["--streams.taps.event_id=n", "--streams.taps.dedup_ids_max=65536"];
const FLAGS = ["--checkpoint.interval=150ms", "--export.interval=200ms", "--log.file_size=1MB"];
const TYPE = "application/x-ndjson";
const LIVES = 4;

async function start(data: string, flags: readonly string[] = FLAGS): Promise<Appliance> {
  const appliance = await Appliance.start({ config: CONFIG, data: join(folder.path, data), flags });
  appliances.push(appliance);
  return appliance;
}

interface Request {
  readonly key: string;
  readonly body: string;
  readonly type?: string;
  readonly stream?: string;
}

function send(
  to: Appliance,
  { key, body, type = TYPE, stream = "hits" }: Request,
): Promise<Response> {
  return fetch(`${to.address}/v1/events/${stream}`, {
    method: "POST",
    headers: { "content-type": type, "idempotency-key": key },
    body,
  });
}

interface Said {
  readonly status: number;
  readonly text: string;
  readonly isReplay: boolean;
}

async function say(to: Appliance, request: Request): Promise<Said> {
  const response = await send(to, request);
  const isReplay = response.headers.get("idempotency-replayed") === "true";
  return { status: response.status, text: await response.text(), isReplay };
}

/** Lines of the events `name` 0, 1... */
function lines(name: string, count: number): string {
  return Array.from({ length: count }, (_, n) => JSON.stringify({ name, n })).join("\n");
}

async function countOf(to: Appliance, name: string, stream = "hits"): Promise<number> {
  const { rows } = await to.rows(`SELECT count(*) FROM ${stream} WHERE name = '${name}'`);
  return Number(rows[0]?.[0]);
}

/** A producer that sends a body with a key until it has an answer, and now and then what was answered before. */
class Client {
  readonly #name: string;
  readonly #sizes: readonly number[];
  /** Events by the name that they have, of every body that was ever sent. */
  readonly sent = new Map<string, number>();
  #open: Request | null = null;
  #last: { readonly request: Request; readonly text: string } | null = null;
  /** Requests that an earlier process had carried out and had not answered. */
  found = 0;

  constructor(name: string, sizes: readonly number[]) {
    this.#name = name;
    this.#sizes = sizes;
  }

  /** Sends until the connection breaks. */
  async run(to: Appliance): Promise<void> {
    try {
      for (;;) {
        await this.settle(to);
        const key = `${this.#name}-${this.sent.size}`;
        const count = this.#sizes[this.sent.size % this.#sizes.length] ?? 1;
        this.#open = { key, body: lines(key, count) };
        this.sent.set(key, count);
        expect(await this.#send(to, this.#open)).toBe(false);
      }
    } catch (error) {
      // a kill breaks connections: that there was one is checked for each life
      const isBroken = error instanceof Error && "code" in error;
      if (!isBroken || !/ECONNRESET|ECONNREFUSED|EPIPE/.test(String(error.code))) throw error;
    }
  }

  /** Sends what was answered last once more, and what has no answer yet. */
  async settle(to: Appliance): Promise<void> {
    if (this.#last !== null) {
      const { request, text } = this.#last;
      expect(await say(to, request)).toEqual({ status: 200, text, isReplay: true });
    }
    if (this.#open !== null && (await this.#send(to, this.#open))) this.found++;
  }

  /** Whether it had been carried out before. */
  async #send(to: Appliance, request: Request): Promise<boolean> {
    const { status, text, isReplay } = await say(to, request);
    expect([status, text]).toEqual([200, expect.anything()]);
    const accepted = this.sent.get(request.key) ?? 0;
    const { position: _, ...counts } = JSON.parse(text) as EventsAnswer;
    expect(counts).toEqual({ accepted, duplicates: 0, rejected: 0, errors: [] });
    this.#last = { request, text };
    this.#open = null;
    return isReplay;
  }
}

describe("one request", () => {
  let appliance: Appliance;
  beforeAll(async () => {
    appliance = await start("single");
  });

  test("sent again it gets the same bytes, and nothing is stored twice; a key belongs to a stream", async () => {
    const request = { key: "k1", body: `${lines("one", 3)}\nno event of one` };
    const first = await say(appliance, request);
    expect(first).toMatchObject({ status: 200, isReplay: false });
    expect(JSON.parse(first.text)).toMatchObject({ accepted: 3, duplicates: 0, rejected: 1 });
    for (const key of ["k1", '"k1"'])
      expect(await say(appliance, { ...request, key })).toEqual({ ...first, isReplay: true });
    expect(await countOf(appliance, "one")).toBe(3);
    const zipped = await fetch(`${appliance.address}/v1/events/hits`, {
      method: "POST",
      headers: { "content-type": TYPE, "idempotency-key": "k1", "content-encoding": "gzip" },
      body: Bun.gzipSync(Buffer.from(request.body)),
    });
    expect([zipped.headers.get("idempotency-replayed"), await zipped.text()]).toEqual([
      "true",
      first.text,
    ]);
    const other = await say(appliance, { ...request, stream: "taps" });
    expect(other).toMatchObject({ status: 200, isReplay: false });
    expect(await countOf(appliance, "one", "taps")).toBe(3);
    const dead = await appliance.rows(
      "SELECT count(*) FROM millrace.dead_letters WHERE raw = 'no event of one'",
    );
    expect(Number(dead.rows[0]?.[0])).toBe(2);
  });

  test("another body, or another format, under the same key is refused", async () => {
    const body = lines("two", 1);
    expect(await say(appliance, { key: "k2", body })).toMatchObject({ status: 200 });
    for (const other of [{ body: lines("two", 2) }, { body, type: "application/json" }]) {
      const { status, text } = await say(appliance, { key: "k2", ...other });
      expect([status, JSON.parse(text)]).toEqual([
        422,
        expect.objectContaining({ code: "key_of_another_body" }),
      ]);
    }
    expect(await countOf(appliance, "two")).toBe(1);
  });

  test("an answer that only rejected is kept, one that stored nothing is not", async () => {
    const bad = { key: "k3", body: "nonsense" };
    const first = await say(appliance, bad);
    expect(first).toMatchObject({ status: 400, isReplay: false });
    expect(await say(appliance, bad)).toEqual({ ...first, isReplay: true });
    expect(await say(appliance, { key: "k4", body: "\n" })).toMatchObject({ status: 400 });
    const late = await say(appliance, { key: "k4", body: lines("three", 1) });
    expect(late).toMatchObject({ status: 200, isReplay: false });
  });

  test("while the first is in work the same key is told to wait", async () => {
    let waiting: Response[] = [];
    // those that come when it is done get its answer: then once more
    for (let time = 0; waiting.length === 0; time++) {
      const key = `five-${time}`;
      const request = { key, body: lines(key, 60_000) };
      const sent = await Promise.all(Array.from({ length: 4 }, () => send(appliance, request)));
      waiting = sent.filter(({ status }) => status === 409);
      const answered = sent.filter(({ status }) => status === 200).length;
      expect(answered).toBeGreaterThan(0);
      expect(answered + waiting.length).toBe(sent.length);
      expect(await countOf(appliance, key)).toBe(60_000);
    }
    for (const response of waiting) {
      expect(response.headers.get("retry-after")).toBe("1");
      expect(await response.json()).toMatchObject({ code: "request_in_work" });
    }
  });

  test("after a stop and a kill answers are the same", async () => {
    const requests = ["r1", "r2", "r3"].map((key) => ({ key, body: `${lines(key, 20_000)}\n[` }));
    const said = await Promise.all(requests.map((request) => say(appliance, request)));
    const again = async (): Promise<void> => {
      appliance = await start("single");
      for (const [index, request] of requests.entries())
        expect(await say(appliance, request)).toEqual({
          ...(said[index] as Said),
          isReplay: true,
        });
    };
    await appliance.kill();
    await again();
    expect(await appliance.stop()).toBe(0);
    await again();
    for (const { key } of requests) expect(await countOf(appliance, key)).toBe(20_000);
  });
});

test("a body that was killed between its records goes on behind the last", async () => {
  const request = { key: "many", body: lines("many", 120_000) };
  let stored = 0;
  for (let tries = 0; tries < 20 && (stored === 0 || stored === 120_000); tries++) {
    const data = `between-${tries}`;
    const killed = await Appliance.start({
      config: CONFIG,
      data: join(folder.path, data),
      flags: FLAGS,
      env: { MILLRACE_FAILPOINT: "log.append.before:4:kill" },
    });
    appliances.push(killed);
    await say(killed, request).catch(() => null);
    await killed.kill();
    const appliance = await start(data);
    stored = await countOf(appliance, "many");
    const { status, text } = await say(appliance, request);
    expect([status, JSON.parse(text)]).toEqual([
      200,
      expect.objectContaining({ accepted: 120_000, duplicates: 0, rejected: 0 }),
    ]);
    expect(await countOf(appliance, "many")).toBe(120_000);
    await appliance.kill();
  }
  expect(stored).toBeGreaterThan(0);
  expect(stored).toBeLessThan(120_000);
});

test("a body that was refused in the middle, for want of room for ids, goes on when there is room", async () => {
  const appliance = await start("room", [...FLAGS, ...IDS_FLAGS]);
  const request = { key: "ids", body: lines("ids", 70_000), stream: "taps" };
  let refused = 0;
  for (;;) {
    const { status, text, isReplay } = await say(appliance, request);
    if (status === 503) {
      refused++;
      expect(JSON.parse(text)).toMatchObject({ code: "dedup_full" });
      await Bun.sleep(100);
      continue;
    }
    expect([status, isReplay]).toEqual([200, false]);
    expect(JSON.parse(text)).toMatchObject({ accepted: 70_000, duplicates: 0, rejected: 0 });
    break;
  }
  expect(refused).toBeGreaterThan(0);
  expect(await countOf(appliance, "ids", "taps")).toBe(70_000);
  expect(await appliance.stop()).toBe(0);
});

test("a savepoint has the answers, and the doctor reads them", async () => {
  const appliance = await start("copied");
  const requests = ["s1", "s2"].map((key) => ({ key, body: lines(key, 10) }));
  const said = await Promise.all(requests.map((request) => say(appliance, request)));
  const at = (name: string): string => join(folder.path, name);
  const copied = await savepoint(appliance, at("savepoint"));
  expect([copied.code, copied.error]).toEqual([0, ""]);
  expect(await appliance.stop()).toBe(0);
  const restored = await restore(at("savepoint"), at("restored"));
  expect([restored.code, restored.error]).toEqual([0, ""]);
  const second = await start("restored");
  for (const [index, request] of requests.entries())
    expect(await say(second, request)).toEqual({ ...(said[index] as Said), isReplay: true });
  expect(await second.stop()).toBe(0);
  const checked = await millrace(["doctor", "--data", at("restored")]);
  expect([checked.code, checked.out]).toEqual([
    0,
    expect.stringContaining("2 answers of Idempotency-Keys"),
  ]);
});

test("kills under load: every event that was sent is there once", async () => {
  const random = seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_122));
  const clients = [
    new Client("small", [1, 40]),
    new Client("large", [20_000, 3]),
    new Client("huge", [50_000]),
    ...["a", "b"].map((name) => new Client(name, [7])),
  ];
  const between = (from: number, to: number): number => from + Math.floor(random() * (to - from));
  for (let life = 0; life < LIVES; life++) {
    const point = ["log.append.inside", "log.append.after", "checkpoint.save.inside", null][
      life % 4
    ];
    const env = point == null ? {} : { MILLRACE_FAILPOINT: `${point}:${between(3, 30)}:kill` };
    const options = { config: CONFIG, data: join(folder.path, "load"), flags: FLAGS, env };
    const appliance = await Appliance.start(options);
    appliances.push(appliance);
    const running = clients.map((client) => client.run(appliance));
    await Promise.race([appliance.process.exited, Bun.sleep(between(200, 800))]);
    await appliance.kill();
    await Promise.all(running);
    expect([appliance.process.signalCode, appliance.output]).toEqual([
      "SIGKILL",
      expect.anything(),
    ]);
  }
  const last = await start("load");
  await Promise.all(clients.map((client) => client.settle(last)));
  const { rows } = await last.rows(
    "SELECT name, count(*), count(DISTINCT n), max(n) + 1 FROM hits GROUP BY name ORDER BY name",
  );
  const sent = clients
    .flatMap((client) => [...client.sent])
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  expect(rows.map(([name, ...counts]) => [name, ...counts.map(Number)])).toEqual(
    sent.map(([name, count]) => [name, count, count, count]),
  );
  const all = sent.reduce((sum, [, count]) => sum + count, 0);
  const accounts = await last.rows(
    "SELECT accepted, duplicates, rejected FROM millrace.accounting WHERE kind = 'stream' AND name = 'hits'",
  );
  expect(accounts.rows.map((row) => row.map(Number))).toEqual([[all, 0, 0]]);
  expect(await last.stop()).toBe(0);
});
