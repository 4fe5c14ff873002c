// POST /v1/savepoint on the wire: lines of progress, then the report or the problem.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunningServer } from "../../src/serve/server.ts";
import { serveMemory } from "./memory-appliance.ts";

let server: RunningServer;
let url: string;
beforeAll(() => {
  ({ server, url } = serveMemory());
});
afterAll(() => server.stop(0));

describe("/v1/savepoint", () => {
  const post = (body: string): Promise<Response> =>
    fetch(`${url}/v1/savepoint`, { method: "POST", body });

  test("progress, then the report as the last line; or the problem", async () => {
    const done = await post('{"to": "/backup/monday"}');
    expect(done.headers.get("content-type")).toBe("application/x-ndjson");
    const [progress, report] = (await done.text()).trimEnd().split("\n");
    expect(progress).toBe('{"progress":{"step":"state","bytes":5}}');
    expect(JSON.parse(report ?? "")).toMatchObject({ report: { folder: "/backup/monday" } });
    const refused = await (await post('{"to": "monday"}')).text();
    expect(refused.trimEnd().split("\n").at(-1)).toBe(
      '{"problem":{"code":"no_savepoint","detail":"monday is not an absolute path"}}',
    );
  });

  test.each(["", "{}", "null", '{"to": 1}', '{"to": ""}', '{"to": "/a\\u0000"}'])(
    "%j: 400",
    async (body) => {
      const response = await post(body);
      expect([response.status, await response.json()]).toEqual([
        400,
        expect.objectContaining({ code: "bad_request" }),
      ]);
    },
  );
});
