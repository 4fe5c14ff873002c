// Where a savepoint may be restored to: a folder that is empty or not there, before and after the copying. What restored folders hold: test/e2e/savepoint.test.ts.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { SavepointFolder } from "../../src/savepoint/folder.ts";
import { restoreSavepoint } from "../../src/savepoint/restore.ts";
import { temporaryFolder } from "../e2e/appliance.ts";

const folder = temporaryFolder();
afterAll(folder.dispose);
const at = (name: string): string => join(folder.path, name);
const namesIn = (path: string): string[] =>
  readdirSync(path, { recursive: true }).map(String).toSorted();

/** A savepoint of a file. */
function makeSavepoint(): string {
  mkdirSync(at("data"));
  const made = SavepointFolder.make(at("savepoint"), at("data"), new DiskFiles());
  made.write("ids/1.ids", new Uint8Array(9));
  made.finish({
    millrace: "0.1.0",
    jobId: "a",
    hashKey: "00".repeat(16),
    madeAt: "2026-01-01T00:00:00Z",
    dataFolder: at("data"),
    log: { first: 1, last: 0 },
    tables: [],
  });
  return made.path;
}

test("what is in the folder, or comes there meanwhile, is named and stays", async () => {
  const order = { from: makeSavepoint(), files: new DiskFiles() };
  const fill = (path: string) => (): void => {
    mkdirSync(join(path, "ids"), { recursive: true });
    writeFileSync(join(path, "ids", "mine"), "");
    writeFileSync(join(path, "notes.txt"), "");
  };
  for (const name of ["filled", "empty", "none"]) {
    const dataFolder = at(name);
    if (name !== "none") mkdirSync(dataFolder);
    if (name === "filled") fill(dataFolder)();
    const said = await restoreSavepoint({ ...order, dataFolder, tell: fill(dataFolder) }).catch(
      String,
    );
    expect(said).toContain(`${dataFolder} is not empty: it holds ids, notes.txt. Name a folder`);
    expect(namesIn(dataFolder)).toEqual(["ids", "ids/mine", "notes.txt"]);
  }
  const dataFolder = at("whole");
  await restoreSavepoint({ ...order, dataFolder, tell: () => {} });
  expect(namesIn(dataFolder)).toContain("ids/1.ids");
});
