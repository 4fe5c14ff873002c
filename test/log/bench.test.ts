// Runs the room's benchmark small, so that it cannot rot, and prints its result hashes.
import { expect, test } from "bun:test";
import { run } from "../../bench/log.ts";

test("the benchmark of log and checkpoint runs", async () => {
  const lines = await run({ small: true });
  expect(lines.length).toBe(9);
  for (const line of lines) expect(line.rate).toBeGreaterThan(0);
  const hashes = lines.flatMap((line) => (line.hash === undefined ? [] : [line.hash]));
  console.log(`bench log hashes: ${hashes.join(" ")}`);
  const again = await run({ small: true });
  expect(again.flatMap((line) => (line.hash === undefined ? [] : [line.hash]))).toEqual(hashes);
});
