// The cache of the log's tail: never a record twice, never one missing, whatever is asked in which order; bounded.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { LogReader } from "../../src/log/log.ts";
import type { LogRecord } from "../../src/log/record.ts";
import { Tail, TailError } from "../../src/query/tail.ts";

interface Part {
  readonly position: number;
  readonly bytes: number;
}

function record(position: number): LogRecord {
  return {
    kind: "control",
    position,
    receivedAtUs: 0,
    control: "clock_tick",
    stream: null,
    body: "",
  };
}

/** A log of positions (trimmed, last], three records a read; counts reads. */
function fakeLog(): LogReader & { last: number; trimmed: number; reads: number } {
  return {
    last: 0,
    trimmed: 0,
    reads: 0,
    read(position) {
      this.reads++;
      if (position <= this.trimmed) return [];
      const end = Math.min(position + 2, this.last);
      return Array.from({ length: Math.max(0, end - position + 1) }, (_, index) =>
        record(position + index),
      );
    },
    heads: () => [],
    bounds() {
      return { first: this.trimmed + 1, last: this.last };
    },
    close: () => undefined,
  };
}

/** Every third record is nothing to this tail. */
function partOf({ position }: LogRecord): Part | null {
  return position % 3 === 0 ? null : { position, bytes: 10 };
}
function wanted(after: number, upTo: number): number[] {
  return Array.from({ length: upTo - after }, (_, index) => after + 1 + index).filter(
    (p) => p % 3 !== 0,
  );
}

test("any sequence of questions gives exactly the records of the pin", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          grow: fc.nat(12),
          cover: fc.nat(6),
          cut: fc.nat(5),
          back: fc.nat(4),
          forget: fc.nat(9),
        }),
        { maxLength: 30 },
      ),
      fc.constantFrom(0, 50, 10_000),
      (steps, bytesMax) => {
        const log = fakeLog();
        const budget = { bytes: 0, bytesMax };
        const tail = new Tail<Part>(budget, partOf);
        let covered = 0;
        for (const { grow, cover, cut, back, forget } of steps) {
          log.last += grow;
          covered = Math.min(log.last, covered + cover);
          if (forget === 0) tail.clear();
          tail.dropThrough(covered);
          const after = Math.max(0, covered - back);
          const upTo = Math.max(after, log.last - cut);
          const got = [...tail.parts(log, after, upTo)].map(({ position }) => position);
          expect(got).toEqual(wanted(after, upTo));
          expect(budget.bytes).toBeLessThanOrEqual(bytesMax);
          expect(budget.bytes).toBeGreaterThanOrEqual(0);
        }
        tail.clear();
        expect(budget.bytes).toBe(0);
      },
    ),
  );
});

test("what was read is not read again, only what is new", () => {
  const log = fakeLog();
  log.last = 9;
  const tail = new Tail<Part>({ bytes: 0, bytesMax: 1000 }, partOf);
  expect([...tail.parts(log, 0, 9)].length).toBe(6);
  expect(log.reads).toBe(3);
  expect([...tail.parts(log, 0, 9)].length).toBe(6);
  expect(log.reads).toBe(3);
  log.last = 10;
  expect([...tail.parts(log, 4, 10)].map(({ position }) => position)).toEqual([5, 7, 8, 10]);
  expect(log.reads).toBe(4);
});

test("two questions at once, interleaved, while a third drops the head", () => {
  const log = fakeLog();
  log.last = 20;
  const tail = new Tail<Part>({ bytes: 0, bytesMax: 1000 }, partOf);
  const first = tail.parts(log, 0, 20);
  const second = tail.parts(log, 2, 15);
  const got: [number[], number[]] = [[], []];
  for (let step = 0; step < 20; step++) {
    const a = first.next();
    if (a.done !== true) got[0].push(a.value.position);
    if (step === 5) tail.dropThrough(10);
    const b = second.next();
    if (b.done !== true) got[1].push(b.value.position);
  }
  expect(got).toEqual([wanted(0, 20), wanted(2, 15)]);
});

test("records that are gone are an error, not a gap", () => {
  const log = fakeLog();
  log.last = 9;
  log.trimmed = 4;
  const tail = new Tail<Part>({ bytes: 0, bytesMax: 1000 }, partOf);
  expect(() => [...tail.parts(log, 2, 9)]).toThrow(TailError);
});
