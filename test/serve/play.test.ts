import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { systemClock } from "../../src/base/clock.ts";
import { clickJson, readClicks } from "../../src/serve/clicks.ts";
import { ApplianceError, Client } from "../../src/serve/client.ts";
import { tableText } from "../../src/serve/demo.ts";
import { barText, play } from "../../src/serve/play.ts";
import { startServer } from "../../src/serve/server.ts";
import { MemoryAppliance } from "./memory-appliance.ts";

const CLICKS = readFileSync(join(import.meta.dir, "../../examples/clickstream/clicks.csv.gz"));

describe("the conversion", () => {
  test("gives one event a line, with the page made of category and product", () => {
    const events = readClicks(CLICKS).map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(events).toHaveLength(17_434);
    expect(events[1]).toEqual({
      event_id: 3,
      event_time: "2019-10-01T00:00:00Z",
      event_type: "view",
      page_url: "/appliances/environment/water_heater/3900821",
      product_id: 3900821,
      category_id: expect.any(Number),
      category_code: "appliances.environment.water_heater",
      brand: "aqua",
      price: 33.2,
      user_id: 554748717,
      user_session: "9333dfbd-b87a-4708-9857-6336556b0fcc",
    });
    expect(events[0]).toMatchObject({ event_id: 2, category_code: null, page_url: "//44600062" });
  });

  test("keeps every digit of ids and prices", () => {
    const lines = gunzipSync(CLICKS).toString().split("\n");
    const line = lines[1] ?? "";
    expect(clickJson(line, 2)).toContain('"category_id":2103807459595387724,');
    expect(clickJson(line, 2)).toContain('"price":35.79,');
  });

  test("refuses a damaged line or another file", () => {
    expect(() => clickJson("2019-10-01 00:00:00 UTC,view,1", 7)).toThrow(
      "line 7 of the clicks is damaged",
    );
    expect(() => readClicks(Bun.gzipSync("a,b\n1,2\n"))).toThrow(
      "does not hold the bundled clicks",
    );
  });
});

/** An appliance that counts its events when asked. */
function serveCounting(): { url: string; stop: () => Promise<void>; memory: MemoryAppliance } {
  const memory = new MemoryAppliance();
  const deps = memory.deps(["clicks"], null);
  const questions = {
    ask: () => {
      const body = JSON.stringify({
        columns: [{ name: "n", type: "BIGINT" }],
        rows: [[memory.events.get("clicks")?.size ?? 0]],
      });
      const answer = { kind: "answer", body: Buffer.from(body), position: 0, rowCount: 1 } as const;
      return Promise.resolve(answer);
    },
  };
  const server = startServer({ ...deps, questions }, { host: "127.0.0.1", port: 0 }, systemClock());
  return { url: server.url, stop: () => server.stop(0), memory };
}

test("play sends all in order into an empty stream, and only into one", async () => {
  const { url, stop, memory } = serveCounting();
  const client = new Client(url, null);
  const shown: string[] = [];
  const screen = { isTerminal: false, write: (text: string) => void shown.push(text) };
  const events = Array.from({ length: 450 }, (_, at) => `{"id":${at}}`);
  const what = { stream: "clicks", events, rateMax: null };
  const played = await play(client, what, screen, systemClock());
  expect(played).toMatchObject({
    sent: 450,
    accepted: 450,
    duplicates: 0,
    rejected: 0,
    position: 3,
  });
  expect([...(memory.events.get("clicks")?.keys() ?? [])]).toEqual(
    events.map((_, at) => String(at)),
  );
  expect(shown.join("")).toContain("100% 450 events");
  expect(play(client, what, screen, systemClock())).rejects.toThrow("holds 450 events");
  await stop();
});

test("an appliance that is not there is told with what to do", async () => {
  const client = new Client("http://127.0.0.1:1", null);
  expect(client.ask("SELECT 1")).rejects.toThrow(ApplianceError);
  expect(client.ask("SELECT 1")).rejects.toThrow("start it with millrace serve");
});

test("the bar and the table are plain text", () => {
  expect(barText(1, 2)).toBe(`[${"#".repeat(20)}${".".repeat(20)}]  50% 1 events`);
  const columns = [
    { name: "page", type: "VARCHAR" },
    { name: "n", type: "BIGINT" },
  ];
  expect(
    tableText({
      columns,
      rows: [
        ["/a", 5],
        ["/long", null],
      ],
    }),
  ).toBe("  page   n\n  /a     5\n  /long");
});
