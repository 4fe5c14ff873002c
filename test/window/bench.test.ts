// The benches of the fold in their small versions: they run, their rows are DuckDB's, and their results are the same everywhere.
import { expect, test } from "bun:test";
import { run } from "../../bench/fold.ts";
import { run as runSessions } from "../../bench/session.ts";

test("bench of the fold, small", async () => {
  const lines = await run({ small: true });
  const [plain, shapes] = [lines.slice(0, 2), lines.slice(2)];
  expect(shapes.map(({ ratio_to }) => ratio_to)).toEqual(Array(6).fill("DuckDB, 1 thread"));
  expect(plain.map(({ ratio_to, hash }) => [ratio_to, hash])).toEqual([
    ["DuckDB, 1 thread", "ed7ac9b62ac26cbf"],
    ["Map code", "ed7ac9b62ac26cbf"],
  ]);
}, 60_000);

test("bench of sessions, small", async () => {
  const lines = await runSessions({ small: true });
  expect(
    lines.flatMap(({ ratio_to, hash }) => (hash === undefined ? [] : [[ratio_to, hash]])),
  ).toEqual([
    ["DuckDB, 1 thread", "71978dbac6297eb2"],
    ["DuckDB, 1 thread", "4ee71bcbbffeec79"],
  ]);
}, 60_000);
