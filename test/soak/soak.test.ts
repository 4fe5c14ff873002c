// The soak, short: every kind of fault once, and nothing that does not hold. `npm run soak` goes on for half an hour.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { seeded } from "../../bench/load-body.ts";
import { buildKernels } from "../../kernels/build.ts";
import { temporaryFolder } from "../e2e/appliance.ts";
import { PowerDisk, whyNoPowerDisk } from "../power/disk.ts";
import { boundsOf, Soak } from "./soak.ts";

setDefaultTimeout(600_000);
const folder = temporaryFolder();
let soak: Soak | null = null;
beforeAll(() => buildKernels());
afterAll(() => {
  soak?.dispose();
  folder.dispose();
});

// Where no disk may be mounted it is shorter by the faults that need one.
test("faults under mixed load: what was acknowledged is there once, within the bounds", async () => {
  const hasDisk = whyNoPowerDisk() === null;
  soak = new Soak(
    {
      folder: folder.path,
      isOver: (lives) => lives === 3,
      lifeMs: [5000, 5000],
      burstMs: 2000,
      compareEvery: 1,
      random: seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_122)),
      say: () => {},
    },
    hasDisk ? PowerDisk.make(folder.path) : null,
  );
  const { faults, peaks, events, answers } = await soak.run();
  const ofDisk = hasDisk
    ? { "full disk": 1, "power cut": 1, stop: 1, kill: 1 }
    : { stop: 1, kill: 2 };
  expect(faults).toEqual({ "slow disk": 1, ...ofDisk });
  for (const [name, most] of Object.entries(boundsOf(events)))
    expect(peaks[name as keyof typeof peaks], name).toBeLessThan(most);
  expect(events).toBeGreaterThan(1000);
  expect(answers.asked).toBeGreaterThan(10);
});
