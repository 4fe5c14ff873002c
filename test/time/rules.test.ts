// The decision tables of time: total, without a rule too many, and printed in ARCHITECTURE.md as they are.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { combinations, rulesFor } from "../../src/time/decision.ts";
import { isIdle, TIME_TABLES, timeRulesMarkdown } from "../../src/time/rules.ts";

describe.each(TIME_TABLES.map((table) => [table.question, table] as const))("%s", (_, table) => {
  const all = combinations(table);

  test("exactly one rule for every combination of facts", () => {
    const sizes = Object.values(table.facts).map((values) => Object.keys(values).length);
    expect(all).toHaveLength(sizes.reduce((product, size) => product * size, 1));
    expect(all.filter((values) => rulesFor(table, values).length !== 1)).toEqual([]);
  });

  test("every rule decides something, every answer is given", () => {
    const used = new Set(all.flatMap((values) => rulesFor(table, values)));
    expect(used.size).toBe(table.rules.length);
    const given = new Set([...used].map(({ answer }) => answer));
    expect(given).toEqual(new Set(Object.keys(table.answers)));
  });
});

test("a disconnected or paused partition is never idle, a connected one when it is silent", () => {
  const idle = (["connected", "disconnected", "paused"] as const).flatMap((state) =>
    [false, true].filter((isSilent) => isIdle(state, isSilent)).map(() => state),
  );
  expect(idle).toEqual(["connected"]);
  expect(isIdle("connected", true)).toBe(true);
});

test("ARCHITECTURE.md prints the tables (node tools/bun.mjs --no-install tools/reference.ts)", () => {
  const page = readFileSync(join(import.meta.dir, "../../ARCHITECTURE.md"), "utf8");
  expect(page).toContain(timeRulesMarkdown());
});
