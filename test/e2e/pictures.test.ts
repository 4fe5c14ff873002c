// Images of open windows and outputs under way: a question sees each row once, whatever is covered in between and whatever happens to
// the files; a lost file costs an answer at most.
import { afterAll, expect, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const folders = [temporaryFolder(), temporaryFolder()] as const;
afterAll(() => {
  for (const folder of folders) folder.dispose();
});

function line(id: string, minute: number, category = "c"): string {
  return JSON.stringify({
    event_id: id,
    event_time: new Date(Date.UTC(2025, 5, 1, 12, minute)).toISOString(),
    ...CLICK,
    user_id: id,
    category,
  });
}

test(
  "late events and closed rows of one position are each seen once while they are covered one after the other",
  async () => {
    const flags = ["--streams.clicks.out_of_orderness=0s"];
    const appliance = await Appliance.start({ config: CONFIG, data: folders[0].path, flags });
    const groups = 40_000;
    const all = Array.from({ length: groups }, (_, group) => line(`g${group}`, 5, `c${group}`));
    await appliance.send(all.join("\n"));
    await appliance.send(line("late1", 1));
    await Bun.sleep(2200);
    await appliance.send([line("late2", 2), line("closing", 9)].join("\n"));
    const end = performance.now() + 6000;
    while (performance.now() < end) {
      const { rows } = await appliance.rows(
        "SELECT count(*), count(DISTINCT category) FROM per_minute WHERE window_start = '2025-06-01 12:05:00+00'",
      );
      expect(rows).toEqual([[groups, groups]]);
      await Bun.sleep(100);
    }
    expect(await appliance.stop()).toBe(0);
  },
  { timeout: 60_000 },
);

test("images that somebody removed are written again; the process goes on", async () => {
  const appliance = await Appliance.start({ config: CONFIG, data: folders[1].path });
  await appliance.send(line("x", 9));
  const count = "SELECT sum(events) FROM per_minute WHERE window_start >= '2025-06-01 12:09:00+00'";
  expect((await appliance.rows(count)).rows).toEqual([[1]]);
  const images = join(folders[1].path, "tmp", "images");
  for (const name of readdirSync(images)) rmSync(join(images, name));
  await appliance.send(line("y", 9));
  expect((await appliance.rows(count)).rows).toEqual([[2]]);
  rmSync(images, { recursive: true });
  await appliance.send(line("z", 9));
  expect((await appliance.rows(count)).rows).toEqual([[3]]);
  expect(await appliance.stop()).toBe(0);
});
