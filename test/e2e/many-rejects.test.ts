// Bodies of which nothing is right: their cost is bounded, and events of others are taken meanwhile.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, temporaryFolder, type EventsAnswer } from "./appliance.ts";
import { CLICK } from "./click.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const REJECTS_MAX = 10_000;
const folder = temporaryFolder();
let appliance: Appliance;

beforeAll(async () => {
  appliance = await Appliance.start({ config: CONFIG, data: folder.path });
});
afterAll(async () => {
  await appliance.kill();
  folder.dispose();
});

function event(id: string, time: string): string {
  return JSON.stringify({ event_id: id, event_time: time, ...CLICK });
}

let sent = 0;

/** Posts a gzip body and, one after the other until it is answered, single good events: its answer, and theirs. */
async function besideOthers(
  body: string,
  type: string,
): Promise<{ readonly answer: EventsAnswer; readonly others: EventsAnswer[] }> {
  const state = { isOpen: true };
  const posted = fetch(`${appliance.address}/v1/events`, {
    method: "POST",
    headers: { "content-type": type, "content-encoding": "gzip" },
    body: Bun.gzipSync(body, { level: 1 }),
  }).finally(() => (state.isOpen = false));
  const others: EventsAnswer[] = [];
  while (state.isOpen)
    others.push(await appliance.send(event(`other${sent++}`, new Date().toISOString())));
  const answer = (await (await posted).json()) as EventsAnswer;
  return { answer, others };
}

/** Dead letters by reason, and between which positions they lie. */
async function deadLetters(reason: string, after: number): Promise<number[]> {
  const { rows } = await appliance.rows(
    `SELECT count(*), min(_position), max(_position) FROM millrace.dead_letters WHERE reason = '${reason}'`,
    after,
  );
  return rows[0]?.map(Number) ?? [];
}

/** The most memory that the process has had, MB. */
function memoryMaxMb(): number {
  const status = readFileSync(`/proc/${appliance.process.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

test("8 million bad elements in one small body are 10,001 rejects", async () => {
  const good = event("before", new Date().toISOString());
  const { answer, others } = await besideOthers(
    `[${good},${"1,".repeat(8_388_000 - good.length)}1]`,
    "application/json",
  );
  expect(answer).toMatchObject({ accepted: 1, duplicates: 0, rejected: REJECTS_MAX + 1 });
  expect(answer.errors).toHaveLength(100);
  expect(answer.errors_truncated).toBe(REJECTS_MAX + 1 - 100);
  expect(answer.errors[98]).toMatchObject({ index: 99, reason: "not_an_object" });
  expect(answer.errors[99]).toMatchObject({ index: REJECTS_MAX + 1, reason: "too_many_rejects" });
  expect(answer.errors[99]?.message).toContain(`from index ${REJECTS_MAX + 1} on`);
  for (const other of others) expect(other).toMatchObject({ accepted: 1, rejected: 0 });
  expect((await deadLetters("not_an_object", answer.position))[0]).toBe(REJECTS_MAX);
  expect((await deadLetters("too_many_rejects", answer.position))[0]).toBe(1);
  expect(memoryMaxMb()).toBeLessThan(700);
});

test("between the records of a large body others get theirs", async () => {
  const count = 70_000;
  const lines = Array.from({ length: count }, (_, at) => event(`f${at}`, "2999-01-01T00:00:00Z"));
  const { answer, others } = await besideOthers(lines.join("\n"), "application/x-ndjson");
  expect(answer).toMatchObject({ accepted: 0, duplicates: 0, rejected: count });
  const [rejected, first = 0, last = 0] = await deadLetters("too_far_in_future", answer.position);
  expect(rejected).toBe(count);
  const between = others.filter(({ position }) => position > first && position < last);
  expect(between.length).toBeGreaterThan(0);
  expect(memoryMaxMb()).toBeLessThan(700);
});
