import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { carriesKey, chooseKey, keyHash, KeyError } from "../../src/serve/key.ts";
import type { ReconcileReport } from "../../src/reconcile/tally.ts";
import { reconcileResponse } from "../../src/serve/reconcile.ts";
import { ListenError, startServer } from "../../src/serve/server.ts";
import type { RunningServer } from "../../src/serve/server.ts";
import { MemoryAppliance, serveMemory } from "./memory-appliance.ts";

let appliance: MemoryAppliance;
let server: RunningServer;
let url: string;
beforeAll(() => {
  ({ appliance, server, url } = serveMemory());
});
afterAll(() => server.stop(0));

async function problemOf(response: Response): Promise<[number, string]> {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  return [response.status, ((await response.json()) as { code: string }).code];
}

describe("/v1/reconcile", () => {
  const post = (body: string): Promise<Response> =>
    fetch(`${url}/v1/reconcile`, { method: "POST", body });

  test("progress, then the report as the last line; or the problem", async () => {
    const range = { from: "2024-01-01", to: "2024-01-02T00:30:00+02:00" };
    const done = await post(JSON.stringify({ view: "v", dry_run: true, ...range }));
    expect(done.headers.get("content-type")).toBe("application/x-ndjson");
    expect((await done.text()).trimEnd().split("\n")).toEqual([
      '{"progress":{"late_events_done":0,"late_events_all":2}}',
      '{"report":{"view":"v","raw_position":7,"windows":1,"late_events":3,"rows":[],"skipped":[]}}',
    ]);
    const refused = await post(JSON.stringify({ view: "w", ...range }));
    expect((await refused.text()).trimEnd().split("\n").at(-1)).toBe(
      '{"problem":{"code":"not_reconcilable","detail":"w has sessions"}}',
    );
  });

  test("a run that is silent for long keeps its connection: progress is told again", async () => {
    const { promise: outcome, resolve } = Promise.withResolvers<ReconcileReport>();
    const wanted = { view: "v", fromUs: 0n, toUs: 1n, isDry: false };
    const answer = await reconcileResponse({ start: () => ({ outcome }) }, wanted, 1);
    if ("kind" in answer) throw new Error(answer.detail);
    let text = "";
    for await (const part of answer.body ?? []) {
      text += new TextDecoder().decode(part);
      if (text.split("\n").length > 2)
        resolve({ view: "v", rawPosition: 7, windows: 0, lateEvents: 0, rows: [], skipped: [] });
    }
    const lines = text.trimEnd().split("\n");
    expect(lines.slice(0, 2)).toEqual(
      Array(2).fill('{"progress":{"late_events_done":0,"late_events_all":0}}'),
    );
    expect(lines.at(-1)).toStartWith('{"report":{"view":"v"');
  });

  test.each([
    ["", "bad_request"],
    ["null", "bad_request"],
    ['{"view": "v", "from": "yesterday", "to": "2024-01-02"}', "bad_request"],
    ['{"view": "v", "from": "2024-01-01"}', "bad_request"],
    ['{"view": 7, "from": "2024-01-01", "to": "2024-01-02"}', "bad_request"],
    ['{"view": "v", "from": "2024-01-01", "to": "2024-01-02", "dry_run": 1}', "bad_request"],
    ['{"view": "v", "from": "2024-01-01", "to": "2024-01-02", "dryrun": true}', "bad_request"],
    ['{"view": "v", "from": "2024-01-02", "to": "2024-01-02"}', "bad_range"],
  ])("%s is refused", async (body, code) => {
    expect(await problemOf(await post(body))).toEqual([400, code]);
  });
});

describe("without a key", () => {
  const send = (path: string, headers: Record<string, string>): Promise<Response> =>
    fetch(url + path, { method: "POST", body: "{}", headers });

  test.each(["/v1/sql", "/v1/events/clicks", "/v1/events"])(
    "%s is for requests to this machine only",
    async (path) => {
      const foreign = [
        { host: "evil.example" },
        { host: "127.0.0.1.evil.example" },
        { origin: "http://evil.example" },
        { origin: "null" },
      ];
      for (const headers of foreign)
        expect(await problemOf(await send(path, headers))).toEqual([403, "foreign_host"]);
      for (const headers of [{ host: "LocalHost:99" }, { host: "[::1]" }, { origin: url }])
        expect((await send(path, headers)).status).not.toBe(403);
    },
  );
});

describe("/v1/sql", () => {
  const ask = (body: string, type: string, path = "/v1/sql", accept = "*/*"): Promise<Response> =>
    fetch(url + path, { method: "POST", body, headers: { "content-type": type, accept } });

  test.each([
    ["SELECT 1", "text/plain", "/v1/sql", "*/*", { sql: "SELECT 1", format: "json", after: null }],
    ["SELECT 2", "application/x-www-form-urlencoded", "/v1/sql", "*/*", { sql: "SELECT 2" }],
    ["SELECT 3", "text/plain", "/v1/sql?format=csv&after=9", "*/*", { format: "csv", after: 9 }],
    ["SELECT 4", "application/sql", "/v1/sql", "application/x-ndjson", { format: "ndjson" }],
    ["SELECT 5", "text/plain", "/v1/sql", "text/html, text/csv;q=0.5", { format: "csv" }],
    [
      `{"sql":"SELECT 6","params":[1,"a",null,true],"format":"ndjson","after":3}`,
      "application/json",
      "/v1/sql",
      "text/csv",
      { sql: "SELECT 6", params: [1, "a", null, true], format: "ndjson", after: 3 },
    ],
    [
      `{"sql":"SELECT 7"}`,
      "application/x-www-form-urlencoded",
      "/v1/sql",
      "*/*",
      { sql: "SELECT 7" },
    ],
  ])("%s as %s to %s, Accept %s", async (body, type, path, accept, expected) => {
    const response = await ask(body, type, path, accept);
    const asked = appliance.questions.at(-1);
    expect(response.status).toBe(200);
    expect(asked).toMatchObject(expected);
    expect(response.headers.get("millrace-position")).toBe("7");
    expect(response.headers.get("content-type")).toStartWith(
      { json: "application/json", ndjson: "application/x-ndjson", csv: "text/csv" }[
        asked?.format ?? "json"
      ],
    );
  });

  test("GET asks by the URL", async () => {
    const query = new URLSearchParams({
      query: "SELECT ?",
      params: "[5]",
      format: "csv",
      after: "2",
    });
    expect((await fetch(`${url}/v1/sql?${query.toString()}`)).status).toBe(200);
    expect(appliance.questions.at(-1)).toMatchObject({
      sql: "SELECT ?",
      params: [5],
      format: "csv",
      after: 2,
    });
  });

  test("whole numbers arrive digit for digit, or are refused", async () => {
    const digits = "9007199254740993";
    const large = (10n ** 38n).toString();
    const json = `{"sql":"SELECT ?","params":[${digits},-${digits},1e300,${large},7]}`;
    expect((await ask(json, "application/json")).status).toBe(200);
    const params = [
      { integer: digits },
      { integer: `-${digits}` },
      { double: 1e300 },
      { integer: large },
      7,
    ];
    expect(appliance.questions.at(-1)?.params).toEqual(params);
    await fetch(`${url}/v1/sql?query=x&params=[${digits}]`);
    expect(appliance.questions.at(-1)?.params).toEqual([{ integer: digits }]);
    for (const bad of [
      `"params":[1${large}0]`,
      `"params":[{"integer":"1"}]`,
      `"params":[1e400]`,
      `"format":${digits}`,
    ])
      expect(await problemOf(await ask(`{"sql":"x",${bad}}`, "application/json"))).toEqual([
        400,
        "bad_request",
      ]);
  });

  test("a question says who asks", async () => {
    await ask("SELECT 1", "text/plain");
    expect(appliance.questions.at(-1)?.client).toMatch(/^(127\.0\.0\.1|::1|::ffff:127\.0\.0\.1)$/);
  });

  test.each([
    ["", "text/plain", 400, "bad_request"],
    ["{", "application/json", 400, "bad_json"],
    ["[]", "application/json", 400, "bad_request"],
    [`{"sql":1}`, "application/json", 400, "bad_request"],
    [`{"sql":"x","params":{}}`, "application/json", 400, "bad_request"],
    [`{"sql":"x","params":[[1]]}`, "application/json", 400, "bad_request"],
    [`{"sql":"x","after":-1}`, "application/json", 400, "bad_request"],
    [`{"sql":"x","format":"arrow"}`, "application/json", 400, "bad_request"],
    [`{"sql":"x","limit":1}`, "application/json", 400, "bad_request"],
    ["x", "image/png", 415, "unknown_content_type"],
    [`SELECT '${"x".repeat(1024 * 1024)}'`, "text/plain", 413, "body_too_large"],
  ])("%p as %s: %d %s", async (body, type, status, code) => {
    expect(await problemOf(await ask(body, type))).toEqual([status, code]);
  });

  test("a refusal keeps its status, and says when to come back", async () => {
    const response = await ask("FAIL", "text/plain");
    expect(response.headers.get("retry-after")).toBe("2");
    expect(await problemOf(response)).toEqual([503, "lagging"]);
  });
});

describe("probes, metrics, index", () => {
  test("/ready follows the status, /health does not mind", async () => {
    expect((await fetch(`${url}/ready`)).status).toBe(200);
    appliance.ready = false;
    const response = await fetch(`${url}/ready`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      status: "not ready",
      problems: ["it is recovering"],
    });
    expect((await fetch(`${url}/health`)).status).toBe(200);
    appliance.ready = true;
  });

  test("/metrics counts requests", async () => {
    const count = async (): Promise<number> => {
      const text = await (await fetch(`${url}/metrics`)).text();
      return Number(
        /millrace_http_requests_total\{route="events",status="404"\} (\d+)/.exec(text)?.[1] ?? 0,
      );
    };
    const before = await count();
    await fetch(`${url}/v1/events/nope`, { method: "POST", body: "{}" });
    expect(await count()).toBe(before + 1);
  });

  test("/ says where things are", async () => {
    expect(await (await fetch(url)).text()).toContain(`${url}/v1/events/clicks`);
  });

  test("a request without a Host header is answered: some probes send none", async () => {
    const socket = connect(server.port, "127.0.0.1");
    socket.write("GET /ready HTTP/1.0\r\n\r\n");
    const [first] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    expect(first.toString()).toStartWith("HTTP/1.1 200");
  });

  test.each(["/ready", "/v1/sql", "/nothing", "/"])("%s with a broken Host: 400", async (path) => {
    const socket = connect(server.port, "127.0.0.1");
    socket.write(`GET ${path} HTTP/1.1\r\nHost: [bad\r\n\r\n`);
    const [first] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    expect(first.toString()).toStartWith("HTTP/1.1 400");
    expect(first.toString()).toContain("bad_host");
  });

  test("HEAD works where GET does", async () => {
    expect((await fetch(`${url}/health`, { method: "HEAD" })).status).toBe(200);
  });

  test.each([
    ["POST", "/health", 405, "method_not_allowed"],
    ["DELETE", "/v1/sql", 405, "method_not_allowed"],
    ["GET", "/nothing", 404, "not_found"],
    ["GET", "/iceberg/v1/config", 404, "not_in_this_release"],
  ])("%s %s: %d %s", async (method, path, status, code) => {
    expect(await problemOf(await fetch(url + path, { method }))).toEqual([status, code]);
  });
});

describe("keys", () => {
  test("without the key only probes answer", async () => {
    const key = "0123456789abcdef";
    const { server: locked, url: lockedUrl } = serveMemory(["clicks"], keyHash(key));
    const status = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
      (await fetch(lockedUrl + path, { headers })).status;
    for (const path of ["/", "/metrics", "/v1/sql?query=x", "/v1/events", "/nothing"]) {
      expect([path, await status(path)]).toEqual([path, 401]);
      expect(await status(path, { authorization: "Bearer wrong-wrong-wrong" })).toBe(401);
    }
    expect([await status("/health"), await status("/ready")]).toEqual([200, 200]);
    expect(await status("/metrics", { authorization: `Bearer ${key}` })).toBe(200);
    await locked.stop(0);
  });

  test("a made key is told once, and its hash alone is kept", () => {
    const folder = mkdtempSync(join(tmpdir(), "millrace-key-"));
    const open = { host: "0.0.0.0", port: 80 };
    const first = chooseKey(open, folder, undefined);
    const second = chooseKey(open, folder, undefined);
    const path = join(folder, "key.sha256");
    expect(carriesKey(`Bearer ${first.made}`, second.hash ?? new Uint8Array())).toBe(true);
    expect(second.made).toBeNull();
    expect(readFileSync(path, "utf8")).not.toContain(first.made ?? "nothing was made");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    writeFileSync(path, "something else");
    expect(() => chooseKey(open, folder, undefined)).toThrow("does not hold the hash of a key");
    rmSync(folder, { recursive: true });
  });

  test.each([
    ["127.0.0.1", undefined, false],
    ["::1", undefined, false],
    ["localhost", undefined, false],
    ["localhost", "a key that is long", true],
    ["192.168.1.1", "a key that is long", true],
  ])("%s with %p needs a key: %p", (host, given, needed) => {
    const choice = chooseKey({ host, port: 1 }, "/nowhere", given);
    expect(choice.hash !== null).toBe(needed);
    expect(choice.made).toBeNull();
  });

  test("a key from a file has its line end taken off; one that no header carries is refused", () => {
    const choose = (key: string): Uint8Array | null =>
      chooseKey({ host: "0.0.0.0", port: 1 }, "/nowhere", key).hash;
    expect(choose("abcdefghijklmnopqrst\n")).toEqual(keyHash("abcdefghijklmnopqrst"));
    expect(() => choose("abcdefghij\nklmnopqrst")).toThrow("characters that no header carries");
    expect(() => choose("abcdefghijklmnöpqrst")).toThrow("characters that no header carries");
  });

  test("a short key is refused", () => {
    const choose = (): unknown => chooseKey({ host: "0.0.0.0", port: 1 }, "/nowhere", "short");
    expect(choose).toThrow(KeyError);
    expect(choose).toThrow("fewer than 16");
  });

  test("serve with a short key: advice and exit code 2, and nothing is made", () => {
    const root = join(import.meta.dir, "..", "..");
    const data = join(mkdtempSync(join(tmpdir(), "millrace-key-")), "data");
    const config = join(root, "examples", "clickstream", "millrace.yaml");
    const serve = ["src/main.ts", "serve", "--config", config, "--data", data];
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, "--no-install", ...serve], {
      cwd: root,
      env: { ...process.env, MILLRACE_KEY: "short" },
    });
    expect(stderr.toString()).toMatch(/^MILLRACE_KEY has fewer than 16 characters; [^\n]+\n$/);
    expect(exitCode).toBe(2);
    expect(existsSync(data)).toBe(false);
    rmSync(join(data, ".."), { recursive: true });
  }, 20_000);
});

test("a taken address is refused with what to do", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const address = { host: "127.0.0.1", port: (holder.address() as AddressInfo).port };
  const start = (): RunningServer =>
    startServer(new MemoryAppliance().deps(["s"], null), address, systemClock());
  expect(start).toThrow(ListenError);
  expect(start).toThrow("--listen HOST:PORT");
  holder.close();
});

test("stop lets a request in work finish and ends idle connections", async () => {
  const memory = new MemoryAppliance();
  const deps = memory.deps(["s"], null);
  const slow = {
    ...deps,
    ingest: {
      ...deps.ingest,
      submit: (...given: Parameters<typeof deps.ingest.submit>) =>
        void setTimeout(() => deps.ingest.submit(...given), 100),
    },
  };
  const running = startServer(slow, { host: "127.0.0.1", port: 0 }, systemClock());
  await (await fetch(`${running.url}/health`)).text();
  const pending = fetch(`${running.url}/v1/events`, {
    method: "POST",
    body: `{"id":1}`,
    headers: { "content-type": "application/json" },
  });
  await Bun.sleep(30);
  const began = performance.now();
  await running.stop(5000);
  expect(performance.now() - began).toBeLessThan(5000);
  expect((await pending).status).toBe(200);
});
