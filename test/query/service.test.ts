// The parent's side with a real child: time and size bounds, a child that is stuck or killed, neighbours of a bad question.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Answer } from "../../src/query/service.ts";
import {
  emptyPin,
  eventRow,
  eventsRecord,
  openFixture,
  provider,
  question,
  textOf,
  type Fixture,
} from "./fixture.ts";

const ENDLESS =
  "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE (a.range + b.range) % 7 = 8";
/** Long calls that the bounded functions do not know: an interrupt does not reach into them. */
const STUCK: readonly string[] = [
  "SELECT len(list_transform(range(100000), a -> len(list_transform(range(100000), b -> (a * b) % 7))))",
  "SELECT repeat('a', 100000) LIKE repeat('%a', 5000) || 'b'",
  "SELECT cardinality(map_concat(MAP(range(40000), range(40000)), MAP(range(40000, 80000), range(40000))))",
  "SELECT length(list_reduce([repeat('a', 10) FOR x IN range(40)], (a, x) -> a || a))",
];

let fixture: Fixture;
beforeEach(async () => {
  fixture = await openFixture();
  fixture.append([
    eventsRecord(
      1,
      Array.from({ length: 3000 }, (_, index) => eventRow(index)),
    ),
  ]);
});
afterEach(() => fixture.close());

function ask(sql: string, more: Parameters<typeof question>[1] = {}): Promise<Answer> {
  return fixture.service.ask(question(sql, more), provider(emptyPin(fixture, 1)).pinFor);
}
function codeOf(answer: Answer): string {
  return answer.kind === "problem" ? `${answer.problem.status} ${answer.problem.code}` : "answered";
}
const COUNTED = "SELECT count(*) FROM clicks";

test("an endless question ends at its timeout; others are answered meanwhile", async () => {
  let ended = 0;
  const endless = [1, 2, 3].map(async () => {
    const answer = await ask(ENDLESS, { timeoutMs: 5000 });
    ended++;
    return answer;
  });
  await Bun.sleep(100);
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
  expect(ended).toBe(0);
  expect((await Promise.all(endless)).map(codeOf)).toEqual(Array(3).fill("408 query_timeout"));
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
}, 20_000);

test.each(STUCK)(
  "a question that no interrupt reaches costs the child its life; its neighbour is asked again: %s",
  async (sql) => {
    const stuck = ask(sql, { timeoutMs: 300 });
    await Bun.sleep(50);
    const neighbour = ask(ENDLESS, { timeoutMs: 3000 });
    expect(codeOf(await stuck)).toMatch(/^(408 query_timeout|503 query_memory)$/);
    expect(codeOf(await neighbour)).toMatch(/^(408 query_timeout|503 query_memory)$/);
    expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
  },
  30_000,
);

test("a child killed in mid-question: 503 at once, the pin released, the next question answered", async () => {
  const pinned = provider(emptyPin(fixture, 1));
  const running = fixture.service.ask(question(ENDLESS), pinned.pinFor);
  await Bun.sleep(200);
  process.kill(fixture.service.childPid(), "SIGKILL");
  expect(codeOf(await running)).toBe("503 query_process_died");
  expect(pinned.released).toBe(1);
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
}, 20_000);

test("a child that is found dead before anything was run: asked again, of the next", async () => {
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
  const pinned = provider(emptyPin(fixture, 1));
  const dead = fixture.service.childPid();
  const answer = await fixture.service.ask(question(COUNTED), async (...asked) => {
    if (existsSync(`/proc/${dead}`)) process.kill(dead, "SIGKILL");
    while (existsSync(`/proc/${dead}`)) await Bun.sleep(1);
    return pinned.pinFor(...asked);
  });
  expect(textOf(answer)).toContain("[[3000]]");
  expect(pinned.released).toBe(pinned.asked.length);
}, 20_000);

test("a removed socket costs the child its life; questions are answered by the next", async () => {
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
  const unreachable = fixture.service.childPid();
  const running = ask(ENDLESS, { timeoutMs: 2000 });
  await Bun.sleep(100);
  rmSync(join(fixture.folder, "query.sock"));
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
  expect(codeOf(await running)).toBe("408 query_timeout");
  expect(fixture.service.childPid()).not.toBe(unreachable);
}, 20_000);

test("more questions than places wait, and all are answered", async () => {
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) => ask(`SELECT ${index}, count(*) FROM clicks`)),
  );
  answers.forEach((answer, index) => expect(textOf(answer)).toContain(`[[${index},3000]]`));
}, 20_000);

test("beyond the queue's bound: 503 with Retry-After", async () => {
  const controller = new AbortController();
  const crowd = Array.from({ length: 4 + 64 }, () => ask(ENDLESS, { signal: controller.signal }));
  const refused = await ask(COUNTED);
  expect(refused).toMatchObject({ problem: { status: 503, code: "query_busy", retryAfterS: 2 } });
  controller.abort();
  await Promise.all(crowd);
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
}, 20_000);

test("a client that hangs up stops its question", async () => {
  const controller = new AbortController();
  const gone = ask(ENDLESS, { signal: controller.signal });
  await Bun.sleep(200);
  controller.abort();
  await gone;
  expect(fixture.service.status().running).toBe(0);
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
}, 20_000);

test.each([
  ["SELECT * FROM range(1000000000)", "answer_too_large"],
  ["SELECT repeat('x', 100000) FROM range(10000)", "answer_too_large"],
  ["SELECT list(range) FROM range(1000000000)", "out_of_memory"],
])(
  "a huge question is stopped with advice: %s",
  async (sql, code) => {
    const answer = await ask(sql, { timeoutMs: 25_000 });
    expect(codeOf(answer)).toBe(`400 ${code}`);
    expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
  },
  40_000,
);

test("an error after the first rows is an error, with its message", async () => {
  const sql =
    "SELECT CASE WHEN range = 900000 THEN error('row 900000 is bad') ELSE range END FROM range(1000000)";
  expect(await ask(sql)).toMatchObject({ problem: { status: 400, detail: "row 900000 is bad" } });
  expect(textOf(await ask(COUNTED))).toContain("[[3000]]");
}, 20_000);

test("a large answer arrives whole", async () => {
  const answer = await ask("SELECT range AS a, 'text of row ' || range AS b FROM range(500000)");
  const { rows, row_count } = JSON.parse(textOf(answer));
  expect(row_count).toBe(500_000);
  expect(rows.at(-1)).toEqual([499_999, "text of row 499999"]);
}, 20_000);

test("the log trimmed under a pin is said, not answered wrongly", async () => {
  const answer = await fixture.service.ask(
    question(COUNTED),
    provider(emptyPin(fixture, 9)).pinFor,
  );
  expect(codeOf(answer)).toBe("503 relation_unavailable");
}, 20_000);

test("what a scan says of a log that was trimmed in mid-question is worth asking again", async () => {
  const answer = await ask("SELECT error('log record 7 is no longer held: the log begins at 9')");
  expect(answer).toMatchObject({ problem: { status: 503, retryAfterS: 1 } });
}, 20_000);

test("a refused pin is the answer, and a child's rest fits the memory", async () => {
  const refused = { status: 503, code: "view_lags", title: "View lags", detail: "v is at 3" };
  const answer = await fixture.service.ask(question(COUNTED), () =>
    Promise.resolve({ kind: "refused", problem: refused }),
  );
  expect(answer).toEqual({ kind: "problem", problem: refused });
  await ask(COUNTED);
  expect(fixture.service.status().rssBytes).toBeLessThan(170 * 1024 * 1024);
});

test("the child ends with its parent", async () => {
  const parent = Bun.spawn([
    process.execPath,
    "--no-install",
    "-e",
    `const { openFixture } = await import(${JSON.stringify(`${import.meta.dir}/fixture.ts`)});
     const fixture = await openFixture();
     console.log(JSON.stringify([fixture.service.childPid(), fixture.folder]));
     await Bun.sleep(60_000);`,
  ]);
  let pid = 0;
  let folder = "";
  for await (const bytes of parent.stdout) {
    [pid, folder] = JSON.parse(new TextDecoder().decode(bytes)) as [number, string];
    break;
  }
  expect(pid).toBeGreaterThan(0);
  parent.kill("SIGKILL");
  await parent.exited;
  let alive = true;
  for (let tries = 0; tries < 50 && alive; tries++) {
    await Bun.sleep(50);
    try {
      process.kill(pid, 0);
    } catch {
      alive = false;
    }
  }
  rmSync(folder, { recursive: true });
  expect(alive).toBe(false);
}, 20_000);
