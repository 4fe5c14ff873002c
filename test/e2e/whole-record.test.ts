// A body whose events fill a record to its last row: what is left of it holds no event and is in no record, yet it is answered only with the events
// before it (found by the simulator: it was answered at once, with none of them).
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { RECORD_ROWS_MAX } from "../../src/limits.ts";
import { Appliance, temporaryFolder, type EventsAnswer } from "./appliance.ts";
import { CLICK } from "./click.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const folder = temporaryFolder();
let appliance: Appliance;

beforeAll(async () => {
  appliance = await Appliance.start({ config: CONFIG, data: folder.path });
});
afterAll(async () => {
  await appliance.kill();
  folder.dispose();
});

function event(id: string): string {
  return JSON.stringify({ event_id: id, event_time: new Date().toISOString(), ...CLICK });
}

for (const [name, type, open, between, close] of [
  ["lines", "application/x-ndjson", "", "\n", "\n\n"],
  ["an array", "application/json", "[", ",", "]"],
] as const)
  test(`${name} of as many events as a record holds are counted, and durable`, async () => {
    const events = Array.from({ length: RECORD_ROWS_MAX }, (_, n) => event(`${name} ${n}`));
    const response = await fetch(`${appliance.address}/v1/events`, {
      method: "POST",
      headers: { "content-type": type },
      body: `${open}${events.join(between)}${close}`,
    });
    const answer = (await response.json()) as EventsAnswer;
    expect(answer).toMatchObject({ accepted: RECORD_ROWS_MAX, duplicates: 0, rejected: 0 });
    const { rows } = await appliance.rows(
      `SELECT count(*) FROM clicks WHERE starts_with(event_id, '${name} ')`,
      answer.position,
    );
    expect(rows).toEqual([[RECORD_ROWS_MAX]]);
  });
