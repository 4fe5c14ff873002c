// The bench of the fold in its small version: it runs, its rows are DuckDB's, and its result is the same everywhere.
import { expect, test } from "bun:test";
import { run } from "../../bench/fold.ts";

test("bench of the fold, small", async () => {
  const lines = await run({ small: true });
  expect(lines.map(({ ratio_to, hash }) => [ratio_to, hash])).toEqual([
    ["DuckDB, 1 thread", "ed7ac9b62ac26cbf"],
    ["Map code", "ed7ac9b62ac26cbf"],
  ]);
}, 60_000);
