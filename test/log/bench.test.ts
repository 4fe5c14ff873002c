// Runs the room's benchmark small, so that it cannot rot, and prints its result hashes.
import { expect, test, setDefaultTimeout } from "bun:test";
import { run } from "../../bench/log.ts";

// every commit is synced: a disk that others use too may take its time
setDefaultTimeout(60_000);

test("the benchmark of log and checkpoint runs", async () => {
  const lines = await run({ small: true });
  expect(lines.length).toBe(9);
  for (const line of lines) expect(line.rate).toBeGreaterThan(0);
  const hashes = lines.flatMap((line) => (line.hash === undefined ? [] : [line.hash]));
  console.log(`bench log hashes: ${hashes.join(" ")}`);
  const again = await run({ small: true });
  expect(again.flatMap((line) => (line.hash === undefined ? [] : [line.hash]))).toEqual(hashes);
});
