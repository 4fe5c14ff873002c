// The log's files go once every reader has what is in them: the log thread trims, the export thread unlinks.
import { afterAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { LoadBody } from "../../bench/load-body.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
const FLAGS = ["--checkpoint.interval=150ms", "--export.interval=200ms", "--log.file_size=1MB"];
const BODIES = 100;

const folder = temporaryFolder();
afterAll(folder.dispose);

const logFiles = (): string[] =>
  readdirSync(join(folder.path, "log")).filter((name) => name.endsWith(".db"));

test(
  "trimmed files of the log are unlinked, and a restart goes on with the rest",
  async () => {
    const first = await Appliance.start({ config: CONFIG, data: folder.path, flags: FLAGS });
    const body = LoadBody.make({ seed: 5, events: 1000, users: 100_000, categories: 50 });
    for (let sequence = 0; sequence < BODIES; sequence++) {
      body.stamp(sequence, Date.now());
      expect((await first.post(body.bytes)).status).toBe(200);
    }
    for (let waited = 0; waited < 300 && logFiles().length > 1; waited++) await Bun.sleep(100);
    expect(logFiles().length).toBe(1);
    expect(logFiles()).not.toContain("0000000000000001.db");
    expect(await first.stop()).toBe(0);
    const second = await Appliance.start({ config: CONFIG, data: folder.path, flags: FLAGS });
    expect((await second.rows("SELECT count(*) FROM clicks")).rows).toEqual([[BODIES * 1000]]);
    expect(await second.stop()).toBe(0);
  },
  { timeout: 90_000 },
);
