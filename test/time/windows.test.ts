// The folds do what the tables CLOSED and LATE say, for every combination of their facts.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ReferenceSessions, type ReferenceSession } from "../../kernels/reference/session.ts";
import { buildImage } from "../../src/event/image.ts";
import { combinations } from "../../src/time/decision.ts";
import { CLOSED, decide, LATE, SESSION_LATE } from "../../src/time/rules.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { IMAGE_COLUMNS, planOf, SCHEMA, WINDOW_US } from "../window/arbitrary.ts";
import { newWindows } from "../window/drive.ts";

const BIGINT = { kind: "BIGINT" } as const;
const PLAN: ViewPlan = planOf({
  name: "v",
  filter: null,
  keys: [],
  aggregates: [{ fn: "count_star", arg: null, filter: null, type: BIGINT }],
});
const SIZE_US = BigInt(WINDOW_US);
const ALLOWED_US = 5n * SIZE_US;

/** A record of one event at `timeUs`, `behindUs` behind the watermark. */
function record(
  position: number,
  at: { readonly timeUs: bigint; readonly behindUs: bigint; readonly watermarkUs: bigint | null },
): Parameters<ReturnType<typeof newWindows>["fold"]>[0] {
  const cells = IMAGE_COLUMNS.map((_, ordinal) => (ordinal === 0 ? at.timeUs : null));
  cells[IMAGE_COLUMNS.length - 1] = at.behindUs;
  return {
    kind: "events",
    position,
    stream: "events",
    partition: "",
    schemaId: 1,
    receivedAtUs: 10 ** 15 + position * 10_000_000,
    watermarkUs: at.watermarkUs,
    rowCount: 1,
    duplicateCount: 0,
    rejects: [],
    image: buildImage(IMAGE_COLUMNS, [cells]),
  };
}

test.each(combinations(CLOSED))("closed? %o", (facts) => {
  const gapUs = 7_000_000n;
  const isSession = facts.window === "session";
  const plan: ViewPlan = isSession
    ? { ...PLAN, window: { kind: "session", gapUs: Number(gapUs) } }
    : PLAN;
  const windows = newWindows();
  windows.addView(plan, SCHEMA, { since: 0 });
  const timeUs = 3n * SIZE_US;
  const boundUs = isSession ? timeUs + gapUs : timeUs + SIZE_US;
  const watermarkUs = { none: null, below: boundUs - 1n, at: boundUs, above: boundUs + 1n }[
    facts.watermark
  ];
  windows.fold(record(1, { timeUs, behindUs: 0n, watermarkUs: null }));
  const outputs = windows.advance("events", { position: 2, receivedAtUs: 10 ** 15, watermarkUs });
  expect(outputs.length > 0 ? "closed" : "open").toBe(decide(CLOSED, facts));
});

test.each(combinations(LATE))("late? %o", (facts) => {
  const { policy } = facts;
  const allowedUs = policy === "update" ? Number(ALLOWED_US) : 0;
  const endUs = 4n * SIZE_US;
  const timeUs = 3n * SIZE_US + 5n;
  // The watermark before the event, at each side of what the facts name.
  const beforeUs = {
    no: [timeUs, endUs - 1n],
    end: policy === "update" ? [endUs, endUs + ALLOWED_US - 1n] : [endUs],
    final: policy === "update" ? [endUs + ALLOWED_US, endUs * 9n] : [endUs, endUs * 9n],
  }[facts.passed];
  for (const [index, watermarkUs] of beforeUs.entries()) {
    const fresh = newWindows();
    fresh.addView({ ...PLAN, late: { policy, allowedUs } }, SCHEMA, { since: 0 });
    fresh.fold(record(1, { timeUs: 3n * SIZE_US, behindUs: 0n, watermarkUs }));
    const behindUs = watermarkUs - timeUs;
    const late = fresh.fold(record(2, { timeUs, behindUs, watermarkUs }));
    // Corrections are gathered for a second of received time: one more record puts them out.
    const after = fresh.advance("events", {
      position: 3,
      receivedAtUs: 10 ** 15 + 60_000_000,
      watermarkUs,
    });
    const counts = fresh.stats()[0]?.counts;
    const outputs = [...late, ...after];
    const inTime = outputs.some(({ op }) => op === "upsert") ? "corrected" : "applied";
    const tooLate = outputs.some(({ kind }) => kind === "late") ? "late row" : "counted";
    const answer = counts?.late === 0 ? inTime : tooLate;
    expect([index, answer]).toEqual([index, decide(LATE, facts)]);
  }
});

test("late for a session? The plain model that the kernels are held to says what the table says", () => {
  const gapUs = 5n;
  const step = fc.record({
    timeUs: fc.bigInt(0n, 40n),
    forwardUs: fc.oneof(fc.constant(0n), fc.bigInt(0n, 6n)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const model = new ReferenceSessions<null>(gapUs);
      let watermarkUs = -6n;
      for (const { timeUs, forwardUs } of steps) {
        watermarkUs += forwardUs;
        model.advance(watermarkUs);
        const isNear = ({ startUs, lastUs }: ReferenceSession<null>): boolean =>
          timeUs >= startUs - gapUs && timeUs <= lastUs + gapUs;
        const holds = ({ startUs, lastUs }: ReferenceSession<null>): boolean =>
          timeUs >= startUs && timeUs <= lastUs + gapUs;
        const yes = (isSo: boolean): "yes" | "no" => (isSo ? "yes" : "no");
        const answer = decide(SESSION_LATE, {
          "near a closed one": yes(model.kept.some(isNear)),
          passed: yes(watermarkUs > timeUs + gapUs),
          "in an open one": yes(model.open.some(holds)),
        });
        const { kind } = model.add("k", timeUs, null);
        expect(kind === "late" ? "late" : "joined").toBe(answer);
      }
    }),
    { numRuns: 500 },
  );
});
