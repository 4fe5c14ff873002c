import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { RunningServer } from "../../src/serve/server.ts";
import { MemoryAppliance, serveMemory } from "./memory-appliance.ts";

const JSON_TYPE = { "content-type": "application/json" };
const NDJSON_TYPE = { "content-type": "application/x-ndjson" };
let appliance: MemoryAppliance;
let server: RunningServer;
let url: string;

beforeAll(() => {
  ({ appliance, server, url } = serveMemory());
});
afterAll(() => server.stop(0));

let lastId = 0;
/** An id that no other test uses: tests share the server and run in any order. */
function id(): number {
  return ++lastId;
}

async function post(
  body: string | Uint8Array | ReadableStream,
  headers: Record<string, string> = JSON_TYPE,
  path = "/v1/events/clicks",
): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }> {
  const response = await fetch(url + path, {
    method: "POST",
    body: body as string | Uint8Array<ArrayBuffer> | ReadableStream,
    headers,
  });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    headers: response.headers,
  };
}

describe("what is accepted", () => {
  test("one object, an array, {events}, NDJSON, with and without the stream's name", async () => {
    const one = await post(JSON.stringify({ id: id() }));
    expect(one.status).toBe(200);
    expect(one.body).toEqual({
      accepted: 1,
      duplicates: 0,
      rejected: 0,
      errors: [],
      position: expect.any(Number),
    });
    const array = await post(JSON.stringify([{ id: id() }, { id: id() }]), JSON_TYPE, "/v1/events");
    expect(array.body["accepted"]).toBe(2);
    const wrapped = await post(JSON.stringify({ events: [{ id: id() }] }));
    expect(wrapped.body["accepted"]).toBe(1);
    const lines = `{"id":${id()}}\n{"id":${id()}}\nnonsense\n`;
    const ndjson = await post(lines, NDJSON_TYPE, "/v1/events/");
    expect(ndjson.body).toMatchObject({
      accepted: 2,
      rejected: 1,
      errors: [{ index: 2, reason: "not_an_object", field: null }],
    });
  });

  test.each([
    "application/json; charset=utf-8",
    'Application/JSON;charset="UTF-8"',
    "application/jsonl",
  ])("%s is understood", async (type) => {
    expect((await post(JSON.stringify({ id: id() }), { "content-type": type })).status).toBe(200);
  });

  test("gzip and zstd, of any size up to the bound", async () => {
    for (const count of [1, 20_000]) {
      const ids = Array.from({ length: count }, () => ({
        id: id(),
        text: Math.random().toString(36),
      }));
      const plain = Buffer.from(JSON.stringify(ids));
      const half = plain.length >> 1;
      const bodies: [string, Uint8Array][] = [
        ["gzip", Bun.gzipSync(plain)],
        ["zstd", Bun.zstdCompressSync(plain)],
        [
          "zstd",
          new Uint8Array([
            ...Bun.zstdCompressSync(plain.subarray(0, half)),
            ...Bun.zstdCompressSync(plain.subarray(half)),
          ]),
        ],
      ];
      for (const [encoding, body] of bodies) {
        const { status, body: answer } = await post(body, {
          ...JSON_TYPE,
          "content-encoding": encoding,
        });
        expect([
          encoding,
          status,
          Number(answer["accepted"]) + Number(answer["duplicates"]),
        ]).toEqual([encoding, 200, count]);
      }
    }
  });

  test("a body of unknown length", async () => {
    const text = JSON.stringify({ id: id() });
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(text.slice(0, 3)));
        controller.enqueue(Buffer.from(text.slice(3)));
        controller.close();
      },
    });
    expect((await post(stream)).body["accepted"]).toBe(1);
  });

  test("the same event again is a duplicate, and that alone is 200", async () => {
    const event = JSON.stringify({ id: id() });
    await post(event);
    const again = await post(event);
    expect([again.status, again.body["duplicates"]]).toEqual([200, 1]);
  });
});

describe("what is refused", () => {
  test("nothing but rejects is 400 with the same body; at most 100 errors are listed", async () => {
    const { status, body } = await post(JSON.stringify(Array.from({ length: 130 }, () => 1)));
    expect(status).toBe(400);
    expect([body["rejected"], body["accepted"], body["errors_truncated"]]).toEqual([130, 0, 30]);
    expect(body["errors"]).toHaveLength(100);
  });

  test.each([
    ["", JSON_TYPE, "/v1/events/clicks", 400, "no_events"],
    ["\n\n", NDJSON_TYPE, "/v1/events/clicks", 400, "no_events"],
    ["[]", JSON_TYPE, "/v1/events/clicks", 400, "no_events"],
    ["{}", JSON_TYPE, "/v1/events/click", 404, "unknown_stream"],
    ["{}", JSON_TYPE, "/v1/events/a/b", 404, "unknown_stream"],
    ["{}", JSON_TYPE, "/v1/eventsclicks", 404, "not_found"],
    ["{}", { "content-type": "text/plain" }, "/v1/events/clicks", 415, "unknown_content_type"],
    [
      "{}",
      { "content-type": "application/json; charset=latin1" },
      "/v1/events/clicks",
      415,
      "unknown_charset",
    ],
    [
      "{}",
      { ...JSON_TYPE, "content-encoding": "br" },
      "/v1/events/clicks",
      415,
      "unknown_encoding",
    ],
    [
      "not gzip",
      { ...JSON_TYPE, "content-encoding": "gzip" },
      "/v1/events/clicks",
      400,
      "bad_compression",
    ],
    [
      "not zstd",
      { ...JSON_TYPE, "content-encoding": "zstd" },
      "/v1/events/clicks",
      400,
      "bad_compression",
    ],
    ["{}", JSON_TYPE, "/v1/events/clicks?wait=none", 400, "not_in_this_release"],
    [
      "{}",
      { ...JSON_TYPE, "idempotency-key": "a b" },
      "/v1/events/clicks",
      400,
      "bad_idempotency_key",
    ],
  ])("%p with %p to %s: %d %s", async (body, headers, path, status, code) => {
    const answer = await post(body, headers, path);
    expect([answer.status, answer.body["code"]]).toEqual([status, code]);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(answer.body["request_id"]).toBe(answer.headers.get("x-request-id"));
  });

  test("a missing content type names the header to send", async () => {
    const response = await fetch(`${url}/v1/events`, { method: "POST", body: Buffer.from("{}") });
    const body = (await response.json()) as { detail: string };
    expect(response.status).toBe(415);
    expect(body.detail).toContain("Content-Type: application/json");
  });

  test("truncated compression is refused, not taken for the whole", async () => {
    const plain = Buffer.from(
      JSON.stringify(Array.from({ length: 9000 }, () => ({ id: id(), r: Math.random() }))),
    );
    const gzip = Bun.gzipSync(plain);
    const zstd = Bun.zstdCompressSync(plain);
    for (const [encoding, body] of [
      ["gzip", gzip],
      ["zstd", zstd],
    ] as const)
      for (const cut of [1, 9, body.length >> 1]) {
        const answer = await post(body.slice(0, body.length - cut), {
          ...JSON_TYPE,
          "content-encoding": encoding,
        });
        expect([encoding, cut, answer.status]).toEqual([encoding, cut, 400]);
      }
  });

  test("a gzip body counts with all its members, or is refused", async () => {
    const packed = (events: object[]): Uint8Array => Bun.gzipSync(JSON.stringify(events));
    const lines = (): Uint8Array => Bun.gzipSync(`{"id":${id()}}\n`);
    const [first, second] = [lines(), lines()];
    const send = (parts: Uint8Array[], encoding = "gzip") =>
      post(Buffer.concat(parts), { ...NDJSON_TYPE, "content-encoding": encoding });
    expect((await send([first, second])).body).toMatchObject({ accepted: 2, duplicates: 0 });
    expect((await send([first, first], "GZIP")).body).toMatchObject({ accepted: 0, duplicates: 2 });
    const many = Array.from({ length: 9000 }, () => ({ id: id(), r: Math.random() }));
    const bytes = packed(many);
    expect(bytes.length).toBeGreaterThan(64 * 1024);
    for (const whole of [first, bytes])
      for (const more of [[1], [0, 0, 0, 0], [0x1f, 0x8b], [...second.subarray(0, 20)]]) {
        const answer = await send([whole, Uint8Array.from(more)]);
        expect([more, answer.status, answer.body["code"]]).toEqual([more, 400, "bad_compression"]);
      }
  });

  test("another method is 405 with what is allowed", async () => {
    const response = await fetch(`${url}/v1/events/clicks`);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });

  test("the client's request id comes back", async () => {
    const answer = await post("{}", { ...JSON_TYPE, "x-request-id": "abc-1" }, "/v1/events/none");
    expect(answer.body["request_id"]).toBe("abc-1");
  });
});

describe("bounds", () => {
  test("20 MB are refused by their declared length, unread, and in a body of unknown length", async () => {
    const big = Buffer.alloc(20 * 1024 * 1024, " ");
    expect((await post(big)).status).toBe(413);
    const chunk = Buffer.alloc(1024 * 1024, " ");
    let sent = 0;
    const stream = new ReadableStream({
      pull(controller) {
        if (sent++ < 20) controller.enqueue(chunk);
        else controller.close();
      },
    });
    expect((await post(stream)).status).toBe(413);
    expect((await post(JSON.stringify({ id: id() }))).status).toBe(200);
  });

  test("bombs are refused within bounded memory", async () => {
    const zeros = Buffer.alloc(400 * 1024 * 1024);
    const gzip = Bun.gzipSync(zeros);
    const zstd = Bun.zstdCompressSync(zeros);
    const small = Bun.gzipSync(zeros.subarray(0, 60 * 1024 * 1024));
    Bun.gc(true);
    const beforeBytes = process.memoryUsage().rss;
    for (const [encoding, body] of [
      ["gzip", gzip],
      ["zstd", zstd],
      ["gzip", small],
    ] as const) {
      const answer = await post(body, { ...JSON_TYPE, "content-encoding": encoding });
      expect([encoding, answer.status, answer.body["code"]]).toEqual([
        encoding,
        413,
        "body_too_large",
      ]);
    }
    expect(process.memoryUsage().rss - beforeBytes).toBeLessThan(200 * 1024 * 1024);
  });

  test("unfinished bodies hold so much together; then 503, until they end", async () => {
    const chunk = Buffer.alloc(15 * 1024 * 1024, " ");
    let answers = "";
    const unfinished = Array.from({ length: 19 }, (_, index) => {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("data", (bytes) => void (answers += bytes.toString()));
      const [length, begin] =
        index % 2 === 0
          ? [`Content-Length: ${chunk.length + 1}`, ""]
          : ["Transfer-Encoding: chunked", `${chunk.length.toString(16)}\r\n`];
      socket.write(
        `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${length}\r\n\r\n${begin}`,
      );
      socket.write(chunk);
      return socket;
    });
    while (!answers.includes("too_many_bodies")) await Bun.sleep(20);
    expect(answers).toStartWith("HTTP/1.1 503");
    expect(answers.toLowerCase()).toContain("retry-after: 1");
    for (const socket of unfinished) socket.destroy();
    await Bun.sleep(200);
    const many = await Promise.all(
      Array.from({ length: 8 }, () => post(`{"id":${id()}}${" ".repeat(15 * 1024 * 1024)}`)),
    );
    expect(many.map(({ status }) => status)).toEqual(Array(8).fill(200));
  }, 20_000);

  test("a client that hangs up half-way harms nobody", async () => {
    const heldBefore = appliance.events.get("clicks")?.size ?? 0;
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(
        "POST /v1/events/clicks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
      );
      return socket;
    });
    await Bun.sleep(50);
    for (const socket of sockets) socket.destroy();
    expect((await post(JSON.stringify({ id: id() }))).status).toBe(200);
    expect(appliance.events.get("clicks")?.size).toBe(heldBefore + 1);
  });
});

test("with several streams a name is needed, and told", async () => {
  const { server: both, url: bothUrl } = serveMemory(["clicks", "orders"]);
  const send = (path: string): Promise<Response> =>
    fetch(bothUrl + path, { method: "POST", body: `{"id":1}`, headers: JSON_TYPE });
  expect((await send("/v1/events/orders")).status).toBe(200);
  const unnamed = await send("/v1/events");
  const body = (await unnamed.json()) as { code: string; detail: string };
  expect([unnamed.status, body.code]).toEqual([400, "stream_not_named"]);
  expect(body.detail).toContain("clicks, orders");
  const wrong = (await (await send("/v1/events/order")).json()) as { detail: string };
  expect(wrong.detail).toContain("Did you mean orders?");
  await both.stop(0);
});
