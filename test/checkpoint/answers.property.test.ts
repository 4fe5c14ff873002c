// Answers of requests with keys, in memory and in state.db, against a map: whatever is saved, killed, started again and expired, a key has the last word
// that the log said within its time. And the bounds, and what damage does.
import { Database } from "bun:sqlite";
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KeptAnswers, type AnswersChange, type KeptAnswer } from "../../src/admit/kept-answers.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { SqliteAnswers } from "../../src/checkpoint/sqlite-answers.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { CheckpointError, NO_CHANGE } from "../../src/checkpoint/store.ts";

// every commit is synced: a disk that others use too may take its time
setDefaultTimeout(60_000);

const root = mkdtempSync(join(tmpdir(), "millrace-answers-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const newPath = (): string => join(mkdtempSync(join(root, "t-")), "state.db");

const STREAMS = ["s", "t", "no longer configured"] as const;
/** In µs; where none is configured it is a day. */
const TTL_US = [50, 400, 24 * 3_600_000_000] as const;
const keyOf = (n: number): string => n.toString(16).padStart(32, "0");

function answer(key: number, position: number): KeptAnswer {
  return {
    key: keyOf(key),
    body: keyOf(position),
    accepted: position,
    duplicates: 0,
    rejected: 1,
    errors: [{ index: 0, reason: "wrong_type", field: "ü", message: "m".repeat(position % 9) }],
    position,
    cursor: position % 3 === 0 ? { offset: position, index: 1, state: 2 } : null,
  };
}

/** A record of the log, as it lies there. */
interface Said {
  readonly stream: number;
  readonly receivedAtUs: number;
  readonly answer: KeptAnswer;
}

/** An engine's answers beside its store, and the same as a list of all that was ever said. */
class Life {
  readonly #store;
  readonly #log: Said[] = [];
  #reader: SqliteAnswers;
  #answers: KeptAnswers;
  #taken: AnswersChange | null = null;
  /** Log records that the saved, and the taken checkpoint contain. */
  #saved = 0;
  #takenAt = 0;
  nowUs = 1000;

  constructor() {
    const path = newPath();
    this.#store = openCheckpointStore(path, new DiskFiles(), "job");
    this.#reader = new SqliteAnswers(path);
    this.#answers = this.#started();
  }

  #started(): KeptAnswers {
    const answers = new KeptAnswers(this.#reader);
    for (const [stream, name] of STREAMS.entries())
      if (stream < 2) answers.addStream(name, TTL_US[stream] ?? null);
    for (const said of this.#log.slice(this.#saved)) keep(answers, said);
    return answers;
  }

  say(stream: number, key: number): void {
    const said = { stream, receivedAtUs: this.nowUs, answer: answer(key, this.#log.length + 1) };
    this.#log.push(said);
    keep(this.#answers, said);
  }

  take(): void {
    if (this.#taken !== null) return;
    this.#taken = this.#answers.takeChange(this.nowUs);
    this.#takenAt = this.#log.length;
  }

  save(): void {
    if (this.#taken === null) return;
    this.#store.save({ ...NO_CHANGE, ...this.#taken });
    this.#saved = this.#takenAt;
    this.#taken = null;
    this.#answers.saved();
  }

  /** The process ends; what was taken and not saved is gone. */
  kill(): void {
    this.#taken = null;
    this.#answers = this.#started();
  }

  check(): void {
    for (const [stream, name] of STREAMS.entries())
      for (let key = 0; key < 4; key++) {
        const last = this.#log.findLast(
          (said) => said.stream === stream && said.answer.key === keyOf(key),
        );
        const isIn = last !== undefined && last.receivedAtUs >= this.nowUs - (TTL_US[stream] ?? 0);
        expect(this.#answers.find(name, keyOf(key), this.nowUs)).toEqual(
          isIn ? expect.objectContaining(last.answer) : null,
        );
      }
  }

  /** What is stored adds up, and nothing too old is left of what a save has seen. */
  checkStored(): void {
    this.save();
    this.take();
    this.save();
    const stored = [...this.#store.load().answers];
    for (const { stream, receivedAtUs } of stored)
      expect(receivedAtUs).toBeGreaterThanOrEqual(
        this.nowUs - (TTL_US[STREAMS.findIndex((name) => name === stream)] ?? 0),
      );
    const sums = this.#reader.sums();
    for (const { stream, rows, bytes } of sums) {
      const own = stored.filter((one) => one.stream === stream);
      const texts = own.map(({ position, key }) =>
        JSON.stringify(answer(Number.parseInt(key, 16), position)),
      );
      expect([rows, bytes]).toEqual([own.length, Buffer.byteLength(texts.join(""))]);
    }
    expect(this.#answers.rows).toBe(stored.length);
  }

  close(): void {
    this.#reader.close();
    this.#store.close();
  }
}

function keep(answers: KeptAnswers, { stream, receivedAtUs, answer: said }: Said): void {
  answers.keep(STREAMS[stream] ?? "", receivedAtUs, [said]);
}

test("a key has the last word of the log within its time", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.tuple(fc.constant("say"), fc.nat(2), fc.nat(3)) },
    { weight: 3, arbitrary: fc.tuple(fc.constant("wait"), fc.nat(120), fc.constant(0)) },
    fc.tuple(fc.constantFrom("take", "save", "save", "kill"), fc.constant(0), fc.constant(0)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const life = new Life();
      try {
        for (const [what, a, b] of steps) {
          if (what === "say") life.say(a, b);
          else if (what === "wait") life.nowUs += a;
          else if (what === "take") life.take();
          else if (what === "save") life.save();
          else life.kill();
          life.check();
        }
        life.checkStored();
        life.check();
      } finally {
        life.close();
      }
    }),
    { numRuns: 40 },
  );
});

test("no key more than fits is taken: until older ones expire, or a checkpoint has what waits", () => {
  const path = newPath();
  const store = openCheckpointStore(path, new DiskFiles(), "job");
  const reader = new SqliteAnswers(path);
  const answers = new KeptAnswers(reader, { rows: 5, bytes: 1e6, waitingBytes: 900 });
  answers.addStream("s", 100);
  const save = (nowUs: number): void => {
    store.save({ ...NO_CHANGE, ...answers.takeChange(nowUs) });
    answers.saved();
  };
  for (let key = 0; key < 3; key++) answers.keep("s", 10, [answer(key, 1)]);
  expect([answers.full, answers.isCheckpointDue]).toEqual(["checkpoint", true]);
  save(10);
  expect([answers.full, answers.isCheckpointDue, answers.rows]).toEqual([null, false, 3]);
  for (let key = 3; key < 5; key++) answers.keep("s", 60, [answer(key, 1)]);
  expect(answers.full).toBe("keys");
  save(111);
  expect([answers.full, answers.rows]).toEqual([null, 2]);
  const small = new KeptAnswers(reader, { rows: 9, bytes: 100, waitingBytes: 1000 });
  expect(small.full).toBe("keys");
  // refused requests leave no record: the log's time stands still, that of the look-ups does not
  for (let key = 5; key < 8; key++) answers.keep("s", 111, [answer(key, 1)]);
  expect([answers.full, answers.find("s", keyOf(9), 300)]).toEqual(["keys", null]);
  save(111);
  expect([answers.full, answers.rows]).toEqual([null, 0]);
  reader.close();
  store.close();
});

test("a changed byte is found", () => {
  const path = newPath();
  const store = openCheckpointStore(path, new DiskFiles(), "job");
  store.save({ ...NO_CHANGE, keptAnswers: [{ ...answer(1, 1), stream: "s", receivedAtUs: 5 }] });
  const other = new Database(path);
  other.run("UPDATE answers SET received_at = received_at + 1");
  other.close();
  const reader = new SqliteAnswers(path);
  expect(() => reader.find("s", keyOf(1))).toThrow(CheckpointError);
  expect(() => [...store.load().answers]).toThrow(CheckpointError);
  reader.close();
  store.close();
});
