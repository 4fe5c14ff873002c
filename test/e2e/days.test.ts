// Events of thousands of days in one request: each day is a file of its own, in the stream's table and in the view's, and all goes on meanwhile.
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const DAYS = 1_000;

const folder = temporaryFolder();
// thousands of files, on a disk that may be busy
afterAll(folder.dispose, 60_000);

function eventOf(day: number): string {
  return JSON.stringify({
    event_id: String(day),
    event_time: new Date(Date.UTC(2015, 0, 1 + day, 12)).toISOString(),
    ...CLICK,
  });
}

test("events of thousands of days in one request are in the tables, each once", async () => {
  const flags = ["--export.interval=200ms"];
  const first = await Appliance.start({ config: CONFIG, data: folder.path, flags });
  const events = Array.from({ length: DAYS }, (_, day) => eventOf(day));
  const { accepted, position } = await first.send(events.join("\n"));
  expect(accepted).toBe(DAYS);
  const counts =
    "SELECT (SELECT count(*) FROM clicks), (SELECT count(DISTINCT _index) FROM clicks), (SELECT count(*) FROM per_minute)";
  expect((await first.rows(counts, position)).rows).toEqual([[DAYS, DAYS, DAYS]]);
  const ledger =
    "SELECT count(*) FROM millrace.readers WHERE reader = 'raw:clicks' AND ledger_position >= $1";
  const isOut = async (): Promise<boolean> => {
    const response = await first.ask(ledger, { params: [position] });
    return ((await response.json()) as { rows: number[][] }).rows[0]?.[0] === 1;
  };
  for (let waited = 0; waited < 600 && !(await isOut()); waited++) await Bun.sleep(100);
  expect(await isOut()).toBe(true);
  expect((await first.rows(counts)).rows).toEqual([[DAYS, DAYS, DAYS]]);
  expect(await first.stop()).toBe(0);
  const second = await Appliance.start({ config: CONFIG, data: folder.path, flags });
  expect((await second.rows(counts)).rows).toEqual([[DAYS, DAYS, DAYS]]);
  expect(await second.stop()).toBe(0);
}, 120_000);
