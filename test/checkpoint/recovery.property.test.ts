// Decisions about positions: each refusal by an example, and by a random history that no plan loses a record.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  olderTablesRefusal,
  recoveryPlan,
  retiredRefusals,
  runningReaders,
  TABLE_READER_BODY,
  unadmittedRefusals,
  unfoldedRefusals,
  trimPosition,
  type ReaderFacts,
  type RecoveryDecision,
} from "../../src/checkpoint/recovery.ts";

const view = (facts: Partial<ReaderFacts>): ReaderFacts => ({
  name: "view:v",
  checkpoint: null,
  ledger: null,
  keepsState: true,
  ...facts,
});
const raw = (facts: Partial<ReaderFacts>): ReaderFacts => ({
  ...view(facts),
  name: "raw",
  keepsState: false,
});

function startOf(decision: RecoveryDecision, name: string): { after: number; isNew: boolean } {
  if (decision.kind !== "start") throw new Error(decision.message);
  const start = decision.readers.find((reader) => reader.name === name);
  if (start === undefined) throw new Error(`no start of ${name}`);
  return { after: start.after, isNew: start.isNew };
}

function noneSaved(): { view: number; raw: number } | null {
  return null;
}

function reasonOf(decision: RecoveryDecision): string {
  return decision.kind === "refuse" ? decision.reason : decision.kind;
}

describe("recovery", () => {
  test("an empty folder: everybody begins at the beginning, nobody is new", () => {
    const plan = recoveryPlan({
      log: { first: 1, last: 0 },
      hasCheckpoint: false,
      readers: [view({}), raw({})],
    });
    expect(startOf(plan, "view:v")).toEqual({ after: 0, isNew: false });
    expect(startOf(plan, "raw")).toEqual({ after: 0, isNew: false });
  });

  test("killed before the first checkpoint: the log is read from its first record, raw from its ledger", () => {
    const plan = recoveryPlan({
      log: { first: 1, last: 90 },
      hasCheckpoint: false,
      readers: [view({}), raw({ ledger: 40 })],
    });
    expect(startOf(plan, "view:v")).toEqual({ after: 0, isNew: false });
    expect(startOf(plan, "raw")).toEqual({ after: 40, isNew: false });
    expect(plan.kind === "start" && plan.replayCount).toBe(90);
  });

  test("a view resumes at its checkpoint, also when its ledger is ahead: those outputs are dropped", () => {
    const plan = recoveryPlan({
      log: { first: 50, last: 90 },
      hasCheckpoint: true,
      readers: [view({ checkpoint: 60, ledger: 80 }), raw({ checkpoint: 55, ledger: 70 })],
    });
    expect(plan).toEqual({
      kind: "start",
      replayCount: 30,
      readers: [
        { name: "view:v", after: 60, coveredUntil: 80, isNew: false },
        { name: "raw", after: 70, coveredUntil: 70, isNew: false },
      ],
    });
  });

  test("raw export that was checkpointed before its first epoch misses nothing", () => {
    const facts = { log: { first: 1, last: 90 }, hasCheckpoint: true };
    const plan = recoveryPlan({ ...facts, readers: [raw({ checkpoint: 0 })] });
    expect(startOf(plan, "raw")).toEqual({ after: 0, isNew: false });
  });

  test("a table's reader that ran is refused behind a gap; one that was switched off, or that an earlier release left there, is not", () => {
    const log = { first: 50, last: 90 };
    const body = TABLE_READER_BODY;
    const reasons = [
      [{ name: "raw", position: 20, body }],
      [{ name: "raw", position: 20, body: new Uint8Array(0) }],
      [],
    ].map((readers) => {
      const checkpoint = runningReaders(readers).get("raw") ?? null;
      return reasonOf(
        recoveryPlan({ log, hasCheckpoint: true, readers: [raw({ checkpoint, ledger: 20 })] }),
      );
    });
    expect(reasons).toEqual(["log_gap", "start", "start"]);
  });

  test("new readers: a view at the log's end, raw export at what is held", () => {
    const plan = recoveryPlan({
      log: { first: 50, last: 90 },
      hasCheckpoint: true,
      readers: [view({}), raw({ ledger: 20 })],
    });
    expect(startOf(plan, "view:v")).toEqual({ after: 90, isNew: true });
    expect(startOf(plan, "raw")).toEqual({ after: 49, isNew: true });
  });

  test("what does not fit together is refused, with what to do", () => {
    const log = { first: 50, last: 90 };
    const refused: [string, RecoveryDecision][] = [
      [
        "state_ahead_of_log",
        recoveryPlan({ log, hasCheckpoint: true, readers: [view({ checkpoint: 91 })] }),
      ],
      [
        "state_ahead_of_log",
        recoveryPlan({
          log: { first: 1, last: 0 },
          hasCheckpoint: true,
          readers: [view({ checkpoint: 1 })],
        }),
      ],
      [
        "ledger_ahead_of_log",
        recoveryPlan({
          log,
          hasCheckpoint: true,
          readers: [view({ checkpoint: 90, ledger: 91 })],
        }),
      ],
      ["log_gap", recoveryPlan({ log, hasCheckpoint: true, readers: [view({ checkpoint: 48 })] })],
      [
        "log_gap",
        recoveryPlan({ log, hasCheckpoint: true, readers: [raw({ checkpoint: 60, ledger: 48 })] }),
      ],
      ["state_lost", recoveryPlan({ log, hasCheckpoint: false, readers: [view({})] })],
    ];
    for (const [reason, decision] of refused) {
      expect(reasonOf(decision)).toBe(reason);
      expect(decision.kind === "refuse" && decision.message).toContain("restore the whole folder");
    }
    expect(
      reasonOf(recoveryPlan({ log, hasCheckpoint: true, readers: [view({ checkpoint: 49 })] })),
    ).toBe("start");
  });

  test("the log is trimmed to the slowest reader; nobody is a programmer error", () => {
    expect(trimPosition([70, 60, 90])).toBe(61);
    expect(trimPosition([0])).toBe(1);
    expect(() => trimPosition([])).toThrow("a reader that holds the log");
  });

  test("whatever was saved, exported and trimmed when the process died, every reader reads on without a gap", () => {
    const steps = fc.array(
      fc.record({
        kind: fc.constantFrom("append", "checkpoint", "ledger", "trim"),
        amount: fc.nat(20),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (history) => {
        let [first, last] = [1, 0];
        let saved = noneSaved();
        let [viewLedger, rawLedger] = [0, 0];
        for (const { kind, amount } of history) {
          if (kind === "append") last += amount;
          else if (kind === "checkpoint")
            saved = { view: Math.max(saved?.view ?? 0, last - amount, 0), raw: rawLedger };
          else if (kind === "ledger") {
            rawLedger = Math.max(rawLedger, last - amount, 0);
            viewLedger = Math.max(viewLedger, last - amount, 0);
          } else if (saved !== null)
            first = Math.max(first, Math.min(last, trimPosition([saved.view, rawLedger])));
        }
        first = Math.max(first, 1);
        const plan = recoveryPlan({
          log: { first, last },
          hasCheckpoint: saved !== null,
          readers: [
            view({ checkpoint: saved?.view ?? null, ledger: viewLedger === 0 ? null : viewLedger }),
            raw({ checkpoint: saved?.raw ?? null, ledger: rawLedger === 0 ? null : rawLedger }),
          ],
        });
        expect(startOf(plan, "view:v")).toEqual({ after: saved?.view ?? 0, isNew: false });
        expect(startOf(plan, "raw")).toEqual({ after: rawLedger, isNew: false });
      }),
      { numRuns: 2000 },
    );
  });
});

test("what a removed stream or view has nowhere but in the log or the checkpoint refuses the start", () => {
  const facts = { kind: "stream", name: "one", last: 5, ledger: 5, isExported: true } as const;
  expect(retiredRefusals([facts, { ...facts, last: 0, ledger: 0 }])).toEqual([]);
  const [stream, silent, ofView] = retiredRefusals([
    { ...facts, ledger: 4 },
    { ...facts, ledger: 0, isExported: false },
    { ...facts, kind: "view", last: 6 },
  ]);
  expect(stream).toContain("events up to log position 5");
  expect(silent).toContain("with the raw export on");
  expect(ofView).toContain("closed rows up to log position 6");
});

test("a removed view or stream refuses the start while events behind the checkpoint may have closed its windows, or have its ids", () => {
  expect(unadmittedRefusals([{ name: "s", admitted: 5, lastEvents: 5 }])).toEqual([]);
  expect(unadmittedRefusals([{ name: "s", admitted: 5, lastEvents: 7 }])).toEqual([
    expect.stringContaining("ids of its events at log positions 6 to 7 are in no checkpoint"),
  ]);
  expect(unfoldedRefusals([{ name: "v", folded: 5, lastEvents: 5 }])).toEqual([]);
  expect(unfoldedRefusals([{ name: "v", folded: 5, lastEvents: 7 }])).toEqual([
    expect.stringContaining("events at log positions 6 to 7"),
  ]);
});

test("tables older than the checkpoint are refused, new and grown ones are not", () => {
  expect(olderTablesRefusal("raw:one", { checkpoint: 7, ledger: 6 })).toContain("one backup");
  expect(olderTablesRefusal("raw:one", { checkpoint: 7, ledger: 7 })).toBeNull();
  expect(olderTablesRefusal("raw:one", { checkpoint: 0, ledger: 0 })).toBeNull();
});
