// A moment that cannot be taken leaves nothing behind: who ships tries again for as long as the process lives.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { ledgerPathOf, logFolderOf, statePathOf } from "../../src/log/data-folder.ts";
import { SavepointFolder } from "../../src/savepoint/folder.ts";
import { fillWithoutLog } from "../../src/savepoint/savepoint.ts";
import { Ledger } from "../../src/table/ledger.ts";
import { temporaryFolder } from "../e2e/appliance.ts";

const folder = temporaryFolder();
afterAll(folder.dispose);

/** Files below a folder that this process has open. */
function openBelow(path: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((name) => {
    try {
      const open = readlinkSync(`/proc/self/fd/${name}`);
      return open.startsWith(path) ? [open] : [];
    } catch {
      // the listing's own
      return [];
    }
  });
}

test.each([
  ["log/0000000000000001.db", "0000000000000001.db"],
  ["ledger.db", "file is not a database"],
  ["state.db", "file is not a database"],
])("of a damaged %s", async (damaged, why) => {
  const files = new DiskFiles();
  const dataFolder = join(folder.path, damaged.replace("/", "-"));
  mkdirSync(logFolderOf(dataFolder), { recursive: true });
  openCheckpointStore(statePathOf(dataFolder), files, "job").close();
  Ledger.open(ledgerPathOf(dataFolder), "job", files).close();
  writeFileSync(
    join(dataFolder, damaged),
    "no database, but more bytes than a head of one has ".repeat(9),
  );
  const order = {
    dataFolder,
    jobId: "job",
    hashKey: new Uint8Array(16),
    configurationText: "{}",
    logFileSizeBytes: 2 ** 20,
    millrace: "0.1.0",
    madeAt: "2026-11-22T00:00:00.000Z",
  };
  let thawed = 0;
  const ports = {
    files,
    freeze: () => Promise.resolve(),
    thaw: () => void thawed++,
    pause: () => Promise.resolve(),
    tell: () => undefined,
  };
  const place = SavepointFolder.make(`${dataFolder}-savepoint`, dataFolder, files);
  const said = await fillWithoutLog(order, ports, place).catch(String);
  expect(said).toContain(why);
  expect([thawed, openBelow(dataFolder)]).toEqual([1, []]);
});
