// The pure decisions of the export, case by case.
import { describe, expect, test } from "bun:test";
import { EPOCH_ROWS_MAX, OUTPUT_EPOCH_AGE_US, RAW_EPOCH_AGE_US } from "../../src/limits.ts";
import { decideEpoch, decideRecovery } from "../../src/table/recovery.ts";

describe("an epoch is cut", () => {
  const facts = { kind: "raw", rowCount: 1, ageUs: 0, isFull: false, isFailed: false } as const;
  test.each([
    [{}, "wait"],
    [{ rowCount: 0, ageUs: RAW_EPOCH_AGE_US, isFull: true }, "wait"],
    [{ rowCount: EPOCH_ROWS_MAX }, "rows"],
    [{ isFull: true }, "memory"],
    [{ ageUs: RAW_EPOCH_AGE_US - 1 }, "wait"],
    [{ ageUs: RAW_EPOCH_AGE_US }, "age"],
    [{ kind: "output", ageUs: OUTPUT_EPOCH_AGE_US }, "age"],
    [{ rowCount: 0, isFailed: true }, "retry"],
  ] as const)("%j: %s", (change, decision) => {
    expect(decideEpoch({ ...facts, ...change })).toBe(decision);
  });
});

describe("a start finds", () => {
  const marker = { jobId: "a", epoch: 3, position: 30, watermark: "" };
  const facts = { jobId: "a", marker, position: 30, recorded: 3, committed: 3 };
  test.each([
    ["all in order", {}, 3],
    ["a new table", { marker: null, recorded: 0, committed: 0 }, 0],
    ["epochs to commit", { recorded: 5 }, 3],
    ["a commit that the ledger missed", { recorded: 5, committed: 1 }, 3],
    ["nothing committed yet", { marker: null, recorded: 2, committed: 0 }, 0],
  ] as const)("%s", (_name, change, committedTo) => {
    expect(decideRecovery({ ...facts, ...change })).toEqual({ kind: "continue", committedTo });
  });

  test.each([
    ["another job", { jobId: "b" }, "written by job a, this is job b"],
    ["an older ledger", { recorded: 2, committed: 2 }, "the data folder is older than the table"],
    ["an older table", { recorded: 5, committed: 4 }, "the table is older than the data folder"],
    ["another copy's epoch", { position: 31 }, "another instance of job a"],
    ["a lost table", { marker: null }, "the table is older than the data folder"],
  ] as const)("%s: refused", (_name, change, reason) => {
    const decision = decideRecovery({ ...facts, ...change });
    expect(decision.kind === "refuse" ? decision.reason : "").toContain(reason);
  });
});
