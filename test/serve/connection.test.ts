// What goes over one connection: requests one after another, in whatever pieces they come, plain and not; and what ends it.
import { afterAll, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import fc from "fast-check";
import { systemClock } from "../../src/base/clock.ts";
import type { ServeDeps } from "../../src/serve/deps.ts";
import { Front } from "../../src/serve/front.ts";
import { RequestIds } from "../../src/serve/problem.ts";
import { startServer, type RunningServer } from "../../src/serve/server.ts";
import { Tunnels } from "../../src/serve/tunnel.ts";
import { MemoryAppliance } from "./memory-appliance.ts";

const servers: RunningServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.stop(0))));

function serve(bounds: Partial<ServeDeps> = {}): RunningServer {
  const deps = { ...new MemoryAppliance().deps(["clicks"], null), ...bounds };
  const server = startServer(deps, { host: "127.0.0.1", port: 0 }, systemClock());
  servers.push(server);
  return server;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Whole answers at the beginning of `text`, in order. */
function answersIn(text: string): Answer[] {
  const answers: Answer[] = [];
  for (let at = 0; ;) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end === -1) return answers;
    const head = text.slice(at, end);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    const body = text.slice(end + 4, end + 4 + length);
    if (body.length < length) return answers;
    answers.push({ status: Number(head.slice(9, 12)), body });
    at = end + 4 + length;
  }
}

/** A client without an HTTP library. */
class RawClient {
  readonly socket: Socket;
  text = "";
  isClosed = false;

  constructor({ port }: { readonly port: number }) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.socket.on("data", (chunk) => (this.text += chunk.toString("latin1")));
    this.socket.on("error", () => {});
    this.socket.on("close", () => (this.isClosed = true));
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Waits until there are so many answers, or the connection has gone. */
  async answers(count: number): Promise<Answer[]> {
    for (;;) {
      const answers = answersIn(this.text);
      if (answers.length >= count || this.isClosed) return answers;
      await Bun.sleep(2);
    }
  }

  async closed(): Promise<void> {
    if (!this.isClosed) await once(this.socket, "close");
  }
}

let lastId = 0;
function event(): string {
  return `{"id":${++lastId}}`;
}

function post(body: string, more = ""): string {
  return `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
}

const HEALTH = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

function counts({ status, body }: Answer): unknown {
  const { accepted, duplicates, rejected } = JSON.parse(body) as Record<string, number>;
  return { status, accepted, duplicates, rejected };
}

test("plain posts that are sent without waiting are answered in their order", async () => {
  const client = new RawClient(serve());
  const [a, b] = [event(), event()];
  client.send([a, b, a, "1", `[${a},${b},1]`].map((body) => post(body)).join(""));
  const answers = await client.answers(5);
  expect(answers.map(counts)).toEqual([
    { status: 200, accepted: 1, duplicates: 0, rejected: 0 },
    { status: 200, accepted: 1, duplicates: 0, rejected: 0 },
    { status: 200, accepted: 0, duplicates: 1, rejected: 0 },
    { status: 400, accepted: 0, duplicates: 0, rejected: 1 },
    { status: 200, accepted: 0, duplicates: 2, rejected: 1 },
  ]);
  client.socket.destroy();
});

test("in whatever pieces requests come, each is answered once, and a connection may end with one that is not plain", async () => {
  const server = serve();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(20_000), { maxLength: 6 }),
      fc.boolean(),
      async (sizes, cuts, endsInHealth) => {
        const bodies = sizes.map((size) => `[${Array.from({ length: size }, event).join(",")}]`);
        const text = bodies.map((body) => post(body)).join("") + (endsInHealth ? HEALTH : "");
        const client = new RawClient(server);
        let at = 0;
        for (const cut of cuts.map((place) => place % text.length).toSorted((x, y) => x - y)) {
          client.send(text.slice(at, cut));
          at = cut;
          await Bun.sleep(1);
        }
        client.send(text.slice(at));
        const answers = await client.answers(sizes.length + (endsInHealth ? 1 : 0));
        expect(answers.slice(0, sizes.length).map(counts)).toEqual(
          sizes.map((accepted) => ({ status: 200, accepted, duplicates: 0, rejected: 0 })),
        );
        expect(answers[sizes.length]?.status).toBe(endsInHealth ? 200 : undefined);
        client.socket.destroy();
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);

test("a plain post and one that the library reads are answered alike", async () => {
  const server = serve();
  const bodies = [event(), "1", "[]", `{"events":[${event()},2]}`, "\n"];
  const headersOf = (text: string): string[] =>
    text
      .slice(0, text.indexOf("\r\n\r\n"))
      .toLowerCase()
      .split("\r\n")
      .filter((line) => !/^(date|x-request-id|content-length):/.test(line))
      .toSorted();
  for (const body of bodies) {
    const shown: string[][] = [];
    for (const more of ["", "Content-Encoding: identity\r\n"]) {
      const client = new RawClient(server);
      client.send(
        post(
          body.replaceAll(/\d+/g, (id) => `${id}${more.length}`),
          more,
        ),
      );
      const [answer] = await client.answers(1);
      const text = (answer?.body ?? "").replace(/"position":\d+|"request_id":"[^"]*"/, "");
      shown.push([...headersOf(client.text), text]);
      client.socket.destroy();
    }
    expect(shown[0]).toEqual(shown[1] ?? []);
  }
});

test.each([
  ["half a head", "POST /v1/events HTT"],
  ["half a body", post(event()).slice(0, -3)],
  [
    "half a chunk",
    'POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"id"',
  ],
])("%s is answered 408 in time", async (_, text) => {
  const client = new RawClient(serve({ requestTimeoutMs: 300 }));
  client.send(text);
  const [answer] = await client.answers(1);
  expect(answer?.status).toBe(408);
  expect(answer?.body).toContain("request_too_slow");
  client.socket.destroy();
});

test("beyond the open files that connections may have new ones are told 503, and go on when others have gone", async () => {
  const server = serve({ openFilesMax: 4 });
  const clients = Array.from({ length: 4 }, () => new RawClient(server));
  for (const client of clients) client.send(post(event()));
  for (const client of clients) expect((await client.answers(1))[0]?.status).toBe(200);
  const fifth = new RawClient(server);
  const [refused] = await fifth.answers(1);
  expect([refused?.status, fifth.text.includes("retry-after: 1")]).toEqual([503, true]);
  await fifth.closed();
  // a tunnel needs two files more
  clients[0]?.send(HEALTH);
  expect((await clients[0]?.answers(2))?.[1]?.status).toBe(503);
  for (const client of clients.slice(0, 3)) client.socket.destroy();
  await Bun.sleep(50);
  clients[3]?.send(HEALTH);
  expect((await clients[3]?.answers(2))?.[1]?.status).toBe(200);
  clients[3]?.socket.destroy();
});

test("bodies of senders that hang up no longer count", async () => {
  const server = serve();
  const head =
    "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n{";
  // as many as may come in at a time, twice
  for (let round = 0; round < 2; round++) {
    const clients = Array.from({ length: 256 }, () => new RawClient(server));
    for (const client of clients) client.send(head);
    await Bun.sleep(100);
    for (const client of clients) client.socket.destroy();
    await Bun.sleep(100);
  }
  const client = new RawClient(server);
  const body = `[${event()}${" ".repeat(900_000)}]`;
  client.send(post(body));
  expect((await client.answers(1))[0]?.status).toBe(200);
  client.socket.destroy();
}, 20_000);

test("a large answer reaches a client that reads slowly, whole", async () => {
  const large = Buffer.alloc(30_000_000, "0123456789");
  const memory = new MemoryAppliance();
  const questions: ServeDeps["questions"] = {
    ask: () => Promise.resolve({ kind: "answer", body: large, position: 1, rowCount: 1 }),
  };
  const client = new RawClient(serve({ ...memory.deps(["clicks"], null), questions }));
  client.send("GET /v1/sql?query=SELECT%201 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  for (let pauses = 0; pauses < 5; pauses++) {
    client.socket.pause();
    await Bun.sleep(20);
    client.socket.resume();
    await Bun.sleep(5);
  }
  const [answer] = await client.answers(1);
  expect(answer?.body.length).toBe(large.length);
  expect(answer?.body === large.toString("latin1")).toBe(true);
  client.socket.destroy();
}, 20_000);

test("a client that takes nothing of its answer is let go", async () => {
  const memory = new MemoryAppliance();
  const body = Buffer.alloc(30_000_000, "0123456789");
  const questions: ServeDeps["questions"] = {
    ask: () => Promise.resolve({ kind: "answer", body, position: 1, rowCount: 1 }),
  };
  const bounds = { questions, openFilesMax: 3, idleTimeoutS: 1 };
  const server = serve({ ...memory.deps(["clicks"], null), ...bounds });
  const client = new RawClient(server);
  client.socket.once("data", () => client.socket.pause());
  client.send("GET /v1/sql?query=SELECT%201 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await once(client.socket, "data");
  // its files are all that connections may have
  for (let status: number | undefined = 503; status !== 200;) {
    const other = new RawClient(server);
    other.send(post(event()));
    status = (await other.answers(1))[0]?.status;
    other.socket.destroy();
    await Bun.sleep(100);
  }
  client.socket.destroy();
}, 30_000);

test("a stop waits until a client has its answer", async () => {
  const memory = new MemoryAppliance();
  const body = Buffer.alloc(30_000_000, "0123456789");
  const asked = Promise.withResolvers<void>();
  const questions: ServeDeps["questions"] = {
    ask: async () => {
      asked.resolve();
      await Bun.sleep(50);
      return { kind: "answer", body, position: 1, rowCount: 1 };
    },
  };
  const server = serve({ ...memory.deps(["clicks"], null), questions });
  const idle = new RawClient(server);
  idle.send(HEALTH);
  await idle.answers(1);
  const client = new RawClient(server);
  client.send("GET /v1/sql?query=SELECT%201 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await asked.promise;
  await server.stop(30_000);
  await Promise.all([client.closed(), idle.closed()]);
  expect(answersIn(client.text)[0]?.body.length).toBe(body.length);
}, 40_000);

test.each([
  ["plain", [post(event())]],
  ["the library's", [HEALTH]],
  ["many", [post(event()), post(event()), post(event()), HEALTH]],
])("a client that ends its side behind its requests gets the answers: %s", async (_, requests) => {
  const server = serve({ openFilesMax: 3 });
  // one after another: each of them gives its files back
  for (let round = 0; round < 5; round++) {
    const client = new RawClient(server);
    client.socket.end(requests.join(""));
    await client.closed();
    expect(answersIn(client.text).map(({ status }) => status)).toEqual(requests.map(() => 200));
    await Bun.sleep(20);
  }
});

test("a client that ends its side in the middle of a request is let go", async () => {
  const server = serve();
  for (const half of ["POST /v1", post(event()).slice(0, -3)]) {
    const client = new RawClient(server);
    client.socket.end(half);
    await client.closed();
    expect(client.text).toBe("");
  }
});

test("a body that comes byte by byte is kept in few pieces", async () => {
  const bodies: (readonly Uint8Array[])[] = [];
  const front = new Front({
    service: {
      read: () => ({ length: 400 }),
      submit: (_, body, respond) => {
        bodies.push(body);
        respond({ status: 200, headers: {}, body: "" });
      },
    },
    tunnels: new Tunnels(1),
    ids: new RequestIds("a"),
    clock: systemClock(),
    openFilesMax: 9,
    requestTimeoutMs: 30_000,
    idleTimeoutS: 120,
  });
  const listening = front.listen({ host: "127.0.0.1", port: 0 });
  const client = new RawClient(listening);
  const body = Array.from({ length: 400 }, (_, at) => String(at % 10)).join("");
  for (const byte of `POST\r\n\r\n${body}`) {
    client.send(byte);
    await Bun.sleep(0);
  }
  await client.answers(1);
  client.socket.destroy();
  listening.stop(true);
  const [pieces = []] = bodies;
  expect(Buffer.concat(pieces).toString()).toBe(body);
  expect(pieces.length).toBeLessThanOrEqual(64);
});

test("a head beyond all bounds is refused, and others are served", async () => {
  const server = serve();
  const client = new RawClient(server);
  client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n");
  for (let n = 0; n < 200 && !client.isClosed; n++) {
    client.send(`X-${n}: ${"a".repeat(4000)}\r\n`);
    await Bun.sleep(1);
  }
  await client.answers(1);
  expect(client.text).toMatch(/^HTTP\/1\.1 431 /);
  client.socket.destroy();
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
});
