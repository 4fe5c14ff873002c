// The benchmark of decode runs, small, so that it cannot rot; and the order of members makes no difference to its images.
import { expect, test } from "bun:test";
import { run } from "../../bench/decode.ts";

test("bench: small run, the same images for members in order and shuffled", async () => {
  const lines = await run({ small: true });
  const hashes = lines.flatMap((line) => (line.hash === undefined ? [] : [line.hash]));
  console.log(`decode images ${hashes[0]}`);
  expect(hashes).toHaveLength(2);
  expect(hashes[0]).toBe(hashes[1] ?? "");
  for (const line of lines) expect(line.rate).toBeGreaterThan(0);
});
