// The path on one thread over the bundled clicks: how they are cut into bodies, how they are shuffled and how often they are sent changes
// no row; and a process that ends anywhere, again and again, gives the very rows, at the very positions, of one that does not.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { seeded } from "../bench/load-body.ts";
import { openDiskFiles } from "../src/base/disk-files.ts";
import { openCheckpointStore } from "../src/checkpoint/sqlite-store.ts";
import {
  CLICKS,
  Disk,
  EXAMPLE_PLANS,
  Life,
  OUT_OF_ORDERNESS_MS,
  shuffledClicks,
  withoutPositions,
} from "./one-thread.ts";

/** Events cut into bodies of `size` events; null: of 1 to 3,000, by chance. */
function cut(events: readonly string[], size: number | null, seed: number): string[][] {
  const random = seeded(seed);
  const bodies: string[][] = [];
  for (let at = 0; at < events.length;) {
    const count = size ?? 1 + Math.floor(random() ** 3 * 3000);
    bodies.push(events.slice(at, at + count));
    at += count;
  }
  return bodies;
}

/** Rows without what first and last gave: they follow the order of the log. */
function withoutLogOrder(rows: readonly string[]): string[] {
  return rows.map((row) => {
    const plan = EXAMPLE_PLANS.plans.find(({ name }) => row.startsWith(`${name} rows `));
    const [head = "", cells = ""] = row.split(": ");
    const kept = cells.split("|").filter((_, ordinal) => {
      const source = plan?.output[ordinal]?.source;
      const fn = source?.kind === "aggregate" ? plan?.aggregates[source.index]?.fn : undefined;
      return fn !== "first" && fn !== "last";
    });
    return `${head}: ${kept.join("|")}`;
  });
}

/** Sends every body, and each again three bodies later when `twice`; the rows. */
function play(bodies: readonly (readonly string[])[], twice: boolean): string[] {
  const life = new Life(new Disk(), null);
  const sent = { accepted: 0, duplicates: 0, rejected: 0 };
  let n = 0;
  const send = (events: readonly string[] | undefined): void => {
    if (events === undefined) return;
    const answer = life.turn(n, events, n % 2 === 0 ? "ndjson" : "json");
    n++;
    expect(answer.accepted + answer.duplicates + answer.rejected).toBe(events.length);
    sent.accepted += answer.accepted;
    sent.duplicates += answer.duplicates;
    sent.rejected += answer.rejected;
  };
  for (let at = 0; at < bodies.length + 3; at++) {
    send(bodies[at]);
    if (twice) send(bodies[at - 3]);
  }
  const duplicates = twice ? CLICKS.length : 0;
  expect(sent).toEqual({ accepted: CLICKS.length, duplicates, rejected: 0 });
  return withoutPositions(life.rows());
}

describe("the same rows", () => {
  const expected = play(cut(CLICKS, 1000, 0), false);

  test("there are some, of every view, closed and open, none late", () => {
    for (const { name, window } of EXAMPLE_PLANS.plans)
      for (const state of window === null ? ["closed"] : ["closed", "open"])
        expect(expected.some((row) => row.startsWith(`${name} rows ${state}:`))).toBe(true);
    expect(expected.filter((row) => / late /.test(row))).toEqual([]);
    const [total] = expected
      .filter((row) => row.startsWith("category_minute"))
      .map((row) => Number(row.split("|")[4]))
      .reduce(([sum], count) => [(sum ?? 0) + count], [0]);
    expect(total).toBe(CLICKS.length);
  });

  for (const [size, name] of [
    [1, "1"],
    [7, "7"],
    [1000, "1,000"],
    [null, "random sizes"],
  ] as const)
    for (const shuffle of [false, true])
      test(`bodies of ${name}, ${shuffle ? "shuffled" : "in order"}, sent twice`, () => {
        const seed = (size ?? 3) * 2 + 1;
        const events = shuffle ? shuffledClicks(seed, OUT_OF_ORDERNESS_MS - 1) : CLICKS;
        const rows = play(cut(events, size, seed), true);
        if (shuffle) expect(withoutLogOrder(rows)).toEqual(withoutLogOrder(expected));
        else expect(rows).toEqual(expected);
      }, 60_000);
});

describe("a process that ends", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-pipeline-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  // Shuffled by more than the out-of-orderness: late events are outputs too.
  const bodies = cut(shuffledClicks(99, OUT_OF_ORDERNESS_MS * 4), 250, 0);
  const straight = new Life(new Disk(), null);
  for (const [n, body] of bodies.entries()) straight.turn(n, body);
  const expected = straight.rows();

  /** What happens at a body: before it the process may end, after it outputs are published or a checkpoint is saved. */
  const event = fc.oneof(
    { weight: 20, arbitrary: fc.constant("nothing" as const) },
    { weight: 3, arbitrary: fc.constant("ends" as const) },
    { weight: 3, arbitrary: fc.constant("checkpoint" as const) },
    { weight: 2, arbitrary: fc.constant("checkpoint around" as const) },
    { weight: 3, arbitrary: fc.constant("publish" as const) },
  );

  test("anywhere, with any checkpoint behind it, gives the same rows at the same positions", () => {
    expect(expected.some((row) => / late /.test(row))).toBe(true);
    let run = 0;
    let lives = 0;
    const history = fc.array(event, { minLength: bodies.length, maxLength: bodies.length });
    fc.assert(
      fc.property(history, (events) => {
        const path = join(folder, `state-${run++}.db`);
        const open = () => openCheckpointStore(path, openDiskFiles(null), "job");
        const disk = new Disk();
        let store = open();
        let life = new Life(disk, store);
        for (const [n, body] of bodies.entries()) {
          if (events[n] === "ends") {
            store.close();
            store = open();
            life = new Life(disk, store);
            lives++;
          }
          if (events[n] === "checkpoint around") life.turnAround(n, body, store);
          else life.turn(n, body);
          if (events[n] === "checkpoint") life.checkpoint(store);
          if (events[n] === "publish") life.publish();
        }
        store.close();
        expect(life.rows()).toEqual(expected);
      }),
      { numRuns: 5 },
    );
    expect(lives).toBeGreaterThan(5);
  }, 120_000);

  test("anywhere between the slices of a checkpoint, which has what was folded when it began", () => {
    let run = 0;
    let broken = 0;
    let over = 0;
    const history = fc.array(event, { minLength: bodies.length, maxLength: bodies.length });
    fc.assert(
      fc.property(history, (events) => {
        const path = join(folder, `sliced-${run++}.db`);
        const open = () => openCheckpointStore(path, openDiskFiles(null), "job");
        const disk = new Disk();
        let store = open();
        let life = new Life(disk, store);
        let isTaking = false;
        for (const [n, body] of bodies.entries()) {
          if (events[n] === "ends") {
            if (isTaking) broken++;
            isTaking = false;
            store.close();
            store = open();
            life = new Life(disk, store);
          }
          if (events[n]?.startsWith("checkpoint") === true) {
            life.beginCheckpoint();
            isTaking = true;
          }
          const wasTaking = isTaking;
          life.turnBehind(n, body);
          for (let step = 0; step < 3 && isTaking; step++) isTaking = life.slice(store);
          if (wasTaking && !isTaking) over++;
          if (!isTaking) life.catchUp();
          if (events[n] === "publish") life.publish();
        }
        while (life.slice(store));
        life.catchUp();
        store.close();
        expect(life.rows()).toEqual(expected);
      }),
      { numRuns: 5 },
    );
    expect(broken).toBeGreaterThan(0);
    expect(over).toBeGreaterThan(0);
  }, 120_000);

  test("anywhere, with tables that take outputs only now and then: views wait, and give the same rows", () => {
    const outputBytesMax = 150_000;
    const history = fc.array(event, { minLength: bodies.length, maxLength: bodies.length });
    let run = 0;
    let waited = 0;
    fc.assert(
      fc.property(history, (events) => {
        const path = join(folder, `waiting-${run++}.db`);
        const open = () => openCheckpointStore(path, openDiskFiles(null), "job");
        const disk = new Disk();
        let store = open();
        let life = new Life(disk, store, outputBytesMax);
        for (const [n, body] of bodies.entries()) {
          if (events[n] === "ends") {
            store.close();
            store = open();
            life = new Life(disk, store, outputBytesMax);
          }
          // a record of 250 events closes less than as much again
          expect(life.turnBehind(n, body)).toBeLessThan(2 * outputBytesMax);
          if (events[n]?.startsWith("checkpoint") === true) life.checkpoint(store);
          if (life.catchUp()) waited++;
          // what waits goes on with the next turn
          if (events[n] === "publish") life.publish();
        }
        do life.publish();
        while (life.catchUp());
        store.close();
        expect(life.rows()).toEqual(expected);
      }),
      { numRuns: 5 },
    );
    expect(waited).toBeGreaterThan(50);
  }, 120_000);
});
