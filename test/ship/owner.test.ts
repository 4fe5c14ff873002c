// Who may ship to a prefix, case by case, and what a term may say about the log.
import { describe, expect, test } from "bun:test";
import {
  decideClaim,
  endOf,
  nextTermId,
  notedTerms,
  TERMS_NOTED_MAX,
  withTerm,
  type ClaimFacts,
  type FolderNote,
  type Term,
} from "../../src/ship/owner.ts";

const term = (number: number, from: number): Term => ({
  id: `00000${number}-0000000${number}`,
  from,
  beganAt: "2026-11-22T00:00:00.000Z",
});
const OWNER = { jobId: "job", folder: "one", terms: [term(1, 1), term(2, 50)] };
const ID = term(2, 50).id;
const RESTORED = { to: "s3://b/p", term: term(2, 50).id, last: 80 };
const FACTS: ClaimFacts = {
  address: "s3://b/p",
  jobId: "job",
  last: 90,
  note: { folder: "one", restored: null },
  owner: OWNER,
  isUsed: true,
  stored: 80,
};

describe("a prefix", () => {
  test.each<[string, Partial<ClaimFacts>, string]>([
    ["that is empty", { owner: null, isUsed: false, note: null }, "new"],
    ["that this folder shipped to", {}, "own"],
    [
      "that it shipped to before it was at another",
      { note: { folder: "one", restored: { ...RESTORED, to: "s3://b/other" } } },
      "own",
    ],
    [
      "that it was restored from",
      { note: { folder: null, restored: RESTORED }, last: 80 },
      "take over",
    ],
    [
      "that this folder began the newest term at",
      { note: { folder: "one", restored: null, claimed: { to: "s3://b/p", terms: [ID, "x"] } } },
      "own",
    ],
    [
      "that it shipped to before another one, which had other terms",
      { note: { folder: "one", restored: null, claimed: { to: "s3://b/other", terms: ["x"] } } },
      "own",
    ],
    [
      "that a copy of this folder has begun a term at since",
      { note: { folder: "one", restored: null, claimed: { to: "s3://b/p", terms: ["x"] } } },
      "was shipped to by a newer copy of this data folder (since 2026-11-22",
    ],
    [
      "that it was restored from, when the claim was cut off",
      { note: { folder: "two", restored: RESTORED } },
      "take over",
    ],
    ["of others' objects", { owner: null }, "holds other objects"],
    ["of another job", { jobId: "other" }, "of another data folder (job job, not other)"],
    ["that is further than the folder", { last: 79 }, "it is an older copy"],
    ["of a copy", { note: null }, "is shipped to by another copy"],
    ["of a copy that shipped elsewhere", { note: { folder: "two", restored: null } }, "is shipped"],
    [
      "that went on since the restore",
      { note: { folder: null, restored: RESTORED }, stored: 81 },
      "up to log position 81) after this one was restored from it as it was up to 80",
    ],
    [
      "that another took over since the restore",
      { note: { folder: null, restored: { ...RESTORED, term: term(1, 1).id } } },
      "was shipped to by another copy",
    ],
    [
      "that it was restored from, under another name",
      { note: { folder: null, restored: { ...RESTORED, to: "s3://b/q" } } },
      "is shipped to by another copy",
    ],
  ])("%s", (_name, facts, wanted) => {
    const claim = decideClaim({ ...FACTS, ...facts });
    if (claim.kind === "refuse") expect(claim.why).toContain(wanted);
    else expect(claim.kind).toBe(wanted as typeof claim.kind);
  });
});

test("a folder whose claims fail again and again is not taken for an older copy", () => {
  const owner = { ...OWNER, folder: "one" };
  let note: FolderNote = { folder: "one", restored: null };
  for (let claim = 0; claim < 3 * TERMS_NOTED_MAX; claim++) {
    expect(decideClaim({ ...FACTS, owner, note }).kind).toBe("own");
    const terms = notedTerms(note, "s3://b/p", { owner, term: `t${claim}` });
    expect(terms.at(-1)).toBe(`t${claim}`);
    expect(terms.length).toBeLessThanOrEqual(TERMS_NOTED_MAX);
    note = { ...note, claimed: { to: "s3://b/p", terms } };
  }
});

test("a take-over begins where the restore ended", () => {
  const note = { folder: null, restored: RESTORED };
  const ended = { folder: null, restored: { ...RESTORED, end: 60 } };
  expect(decideClaim({ ...FACTS, note })).toEqual({ kind: "take over", end: 80 });
  expect(decideClaim({ ...FACTS, note: ended })).toEqual({ kind: "take over", end: 60 });
});

test("a term ends where the lowest of the later ones begins", () => {
  const terms = [term(1, 1), term(2, 50), term(3, 30)];
  expect(terms.map(({ id }) => endOf(id, terms))).toEqual([30, 30, Infinity]);
  expect(endOf("000009-00000000", terms)).toBe(null);
});

test("terms are kept from the first on that a key names", () => {
  const terms = [term(1, 1), term(2, 50), term(3, 90)];
  const named = (...numbers: number[]): Set<string> =>
    new Set(numbers.map((number) => term(number, 0).id));
  expect(withTerm(terms, term(4, 99), named(2))).toEqual([term(2, 50), term(3, 90), term(4, 99)]);
  expect(withTerm(terms, term(4, 99), named())).toEqual([term(4, 99)]);
  expect(nextTermId(OWNER, "abcdef01")).toBe("000003-abcdef01");
  expect(nextTermId(null, "abcdef01")).toBe("000001-abcdef01");
});
